#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Do the scripts that build do what they say, after a `make` among the sources and after one that was
# interrupted? In a copy of the tree, with a kernel that consists of a Makefile.
#
#   scripts/check-build.sh
#
# Only what Kbuild leaves is seen with a real one, that of the default line.

set -euo pipefail
root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
line=$("$root/tests/nested/kernels.py" list default)
headers=$(realpath -- "${KCH_BUILD:-$root/build}/kernels/$line/headers")
[[ -e $headers/Module.symvers ]] ||
	{ echo "$line: not fetched yet: tests/nested/kernels.py ensure $line" >&2; exit 1; }
# Of a make that called this.
unset KERNEL MODULES KDIR DESTDIR INSTALL_MOD_PATH MAKEFLAGS MFLAGS MAKELEVEL

copy=$(mktemp -d)
# shellcheck disable=SC2064
trap "rm -rf -- '$copy'" EXIT
(cd "$root" && tar -cf - --exclude=./build --exclude=./.git .) | tar -xf - -C "$copy"
cd -- "$copy"
export KCH_BUILD=$copy/build
export FAKE_LOG=$copy/build/log
mkdir -p build/kernels build/bin
sources() {
	PYTHONPATH=tests/nested python3 -B -c 'import build, pathlib
print(*build.source_files(pathlib.Path("kernel")), sep="\n")' | sort
}
make -s -C kernel KDIR="$headers" clean >/dev/null 2>&1
find kernel -type f -printf '%P\n' | sort >build/sources
: >"$FAKE_LOG"

passed=0 failed=0
check() { # FUNCTION: each of its commands must succeed
	# Behind an || or in an if, set -e would be without effect.
	"$1" >build/output 2>&1 </dev/null &
	if wait "$!"; then
		passed=$((passed + 1))
		echo "ok - $1"
	else
		failed=$((failed + 1))
		sed 's/^/# /' build/output
		echo "not ok - $1"
	fi
	rm -f -- build/bin/*
}

# A kernel's source, and headers: what it is asked for it writes down.
fake_kernel() { # FOLDER
	mkdir -p "$1/arch/x86/kvm"
	touch "$1/Module.symvers" "$1/arch/x86/kvm/x86.c"
	echo 'KVM FOR EVERYBODY' >"$1/MAINTAINERS"
	echo 'endif # VIRTUALIZATION' >"$1/arch/x86/kvm/Kconfig"
	# The text is make's.
	# shellcheck disable=SC2016
	echo 'obj-$(CONFIG_KVM_AMD) += kvm-amd.o' >"$1/arch/x86/kvm/Makefile"
	printf '%s\n' one two >"$1/planted"
	cat >"$1/Makefile" <<-'END'
		.RECIPEPREFIX = >
		O ?= .
		kernelrelease:
		> @echo 9.9.0
		allnoconfig:
		> mkdir -p $(O)/include/config $(O)/arch/x86/boot
		> cp $(KCONFIG_ALLCONFIG) $(O)/.config
		> echo 9.9.0 >$(O)/include/config/kernel.release
		> ln -sfn $(CURDIR) $(O)/source
		bzImage:
		> echo build >>$(FAKE_LOG)
		> touch $(O)/arch/x86/boot/bzImage $(O)/Module.symvers
		MADE = kch_probed.h kvmclock_handover.mod.c kvmclock_handover.mod Module.symvers modules.order
		modules:
		ifdef M
		> for made in $(MADE); do echo another >$(M)/$$made || exit; done
		> echo | gcc -c -x c -o $(M)/kvmclock_handover.ko -
		endif
		modules_install:
		ifdef M
		> echo "below '$(INSTALL_MOD_PATH)'" >>$(FAKE_LOG)
		else
		> mkdir -p $(INSTALL_MOD_PATH)/lib/modules/9.9.0/kernel
		endif
		clean:
		> echo clean >>$(FAKE_LOG)
	END
}

logged() { # LINE: and nothing else since the last time
	[[ $(cat "$FAKE_LOG") == "$1" ]]
	: >"$FAKE_LOG"
}

fake_command() { # NAME TEXT: while this check runs, for those that have build/bin in their path
	printf '%s\n' '#!/bin/bash' "$2" >"build/bin/$1"
	chmod 755 "build/bin/$1"
}

# ---- what `make` leaves in kernel/

artefacts_are_known() {
	local cc=()
	command -v x86_64-linux-gnu-gcc-12 >/dev/null || cc=(CC=gcc)
	make -C kernel KDIR="$headers" -j"${KCH_JOBS:-2}" "${cc[@]}"
	sources | diff build/sources -
	# Or this would have shown nothing.
	for made in kch_probed.h kvmclock_handover.mod.c Module.symvers modules.order kvmclock_handover.ko; do
		[[ -e kernel/$made ]]
	done
	sha256sum kernel/{kch_probed.h,kvmclock_handover.mod{,.c},Module.symvers,modules.order} >build/artefacts
}

artefacts_stay() {
	mkdir -p build/kernels/9.9
	fake_kernel build/kernels/9.9/headers
	tests/nested/kernels.py module 9.9
	sha256sum -c build/artefacts
	[[ $(<build/module/9.9/kch_probed.h) == another ]]
}

# As it was left by a script that did not know better.
links_go() {
	ln -sf -- "$copy/kernel/kch_probed.h" build/module/9.9/kch_probed.h
	tests/nested/kernels.py module 9.9
	sha256sum -c build/artefacts
}

graft_takes_sources() {
	fake_kernel build/tree
	scripts/graft.py -l build/tree
	ls -A build/tree/arch/x86/kvm/handover
	[[ -e build/tree/arch/x86/kvm/handover/main.c ]]
	[[ ! -e build/tree/arch/x86/kvm/handover/kch_probed.h ]]
	[[ ! -e build/tree/arch/x86/kvm/handover/kvmclock_handover.mod.c ]]
}

# ---- a kernel that has the driver

kernel_is_built() {
	rm -f -- patches/*.patch
	printf '%s\n' '--- a/planted' '+++ b/planted' '@@ -1,2 +1,2 @@' '-one' '-two' '+three' '+four' \
		>patches/0001-planted.patch
	fake_kernel build/source/linux-7.3
	echo "linux-source-7.3 1" >build/source/linux-7.3/.package
	make -C kernel KDIR="$headers" clean
	tests/nested/kernels.py ensure 7.3-intree
	logged build
	tests/nested/kernels.py ensure 7.3-intree
	logged ''
}

artefacts_build_no_kernel() {
	for made in kch_probed.h kvmclock_handover.mod.c Module.symvers main.o; do
		echo made >"kernel/$made"
	done
	tests/nested/kernels.py ensure 7.3-intree
	logged ''
}

half_a_patch() {
	local tree=$copy/build/source/linux-7.3-intree
	fake_command patch "sed -i s/one/three/ '$tree/planted'; exit 1"
	# Another patch, so that the tree is made anew.
	sed -i '1i It is said what for.' patches/0001-planted.patch
	! PATH=$copy/build/bin:$PATH tests/nested/kernels.py ensure 7.3-intree || return
	[[ $(paste -sd ' ' "$tree/planted") == 'three two' ]]
	tests/nested/kernels.py ensure 7.3-intree
	[[ $(paste -sd ' ' "$tree/planted") == 'three four' ]]
	logged build
}

half_a_folder() {
	# Of the folder of a kernel, that goes first.
	# shellcheck disable=SC2016
	fake_command rm 'for at; do [[ ! -e $at/vmlinuz ]] || { /bin/rm -f "$at/vmlinuz"; exit 1; }; done
		exec /bin/rm "$@"'
	cp -- kernel/main.c build/main.c
	echo '/* changed */' >>kernel/main.c
	! PATH=$copy/build/bin:$PATH tests/nested/kernels.py ensure 7.3-intree || return
	# Now it is again what the old folder was made from.
	cp -- build/main.c kernel/main.c
	tests/nested/kernels.py ensure 7.3-intree
	[[ -e build/kernels/7.3-intree/vmlinuz ]]
	: >"$FAKE_LOG"
}

# ---- a kernel that is given

given=(KERNEL="$copy/vmlinuz" MODULES="$copy/build/modules" KDIR="$copy/build/given")

kdir_alone() {
	KDIR=/nowhere tests/nested/kernels.py ensure 7.3-intree
	logged ''
}

given_and_not() {
	mkdir -p build/modules/kernel
	: >vmlinuz
	fake_kernel build/given
	env "${given[@]}" tests/nested/kernels.py ensure 7.3-intree
	grep -x "given: $copy/vmlinuz" build/kernels/7.3-intree/package
	tests/nested/kernels.py ensure 7.3-intree
	grep -x "given: $copy/vmlinuz" build/kernels/7.3-intree/package
	# A mirror that has what is here.
	fake_command apt-cache 'case $* in *pkgnames*) echo linux-source-7.3 ;; *) echo "  Candidate: 1" ;; esac'
	fake_command apt-get 'case $* in *indextargets*) echo Debian/Debian nowhere ;; *download*) >one.deb ;; esac'
	# shellcheck disable=SC2016
	fake_command dpkg-deb 'mkdir -p "$3/usr/share/keyrings" && >"$3/usr/share/keyrings/debian-archive-keyring.gpg"'
	PATH=$copy/build/bin:$PATH tests/nested/kernels.py ensure --update 7.3-intree
	grep -x "linux-source-7.3 1" build/kernels/7.3-intree/package
	logged build
}

one_is_not_three() {
	! env "${given[@]}" tests/nested/run.py --build || return
	[[ ! -e build/kernels/6.1/package ]]
}

# ---- make install, make clean

install_below_destdir() {
	: >"$FAKE_LOG"
	make -C kernel KDIR="$copy/build/given" install DESTDIR=/below
	logged "below '/below'"
	make -C kernel KDIR="$copy/build/given" install DESTDIR=/below INSTALL_MOD_PATH=/modules
	logged "below '/modules'"
	make -C kernel KDIR="$copy/build/given" install
	logged "below ''"
}

clean_cleans_kernel() {
	make clean KDIR="$copy/build/given"
	logged clean
	make clean KDIR=/nowhere
	logged ''
}

for name in artefacts_are_known artefacts_stay links_go graft_takes_sources kernel_is_built \
	artefacts_build_no_kernel half_a_patch half_a_folder kdir_alone given_and_not one_is_not_three \
	install_below_destdir clean_cleans_kernel; do
	check "$name"
done
echo "# $passed passed, $failed failed, 0 skipped"
if ((failed || passed == 0)); then
	exit 1
fi
