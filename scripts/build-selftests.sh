#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build the KVM selftests of a kernel's source, as far as we need them, and ours that use their library.
#
#   scripts/build-selftests.sh VERSION     6.12, 7.3: of Debian's package linux-source-VERSION
#
# The source is only read. Result, in build/selftests/VERSION/:
#
#   package    the source it is from
#   kernel/    the kernel's own tests of clocks and what is related (the list is below)
#   ours/      tests/l1/selftests
#   headers/   its user space headers; kvm/: its objects, and libkvm.a, the library
#
# Without Debian's packages: a source tree at build/source/linux-VERSION, with a line of what it is in
# its file .package, is taken as it is.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
# shellcheck source=scripts/lib-apt.sh
. "$KCH_ROOT/scripts/lib-apt.sh"
# shellcheck source=scripts/lib-source.sh
. "$KCH_ROOT/scripts/lib-source.sh"

version=${1:?which version? (see the head of the script)}
dest=$KCH_BUILD/selftests/$version

# All that is about clocks and TSCs in one of the versions, and what uses the same parts of KVM. Some
# were renamed; a version has what it has.
KERNEL_TESTS='
	kvm_clock_test system_counter_offset_test tsc_msrs_test tsc_scaling_sync
	nested_tsc_adjust_test vmx_tsc_adjust_test nested_tsc_scaling_test vmx_nested_tsc_scaling_test
	hyperv_clock hyperv_cpuid hyperv_features xen_shinfo_test xen_vmcall_test steal_time
	kvm_pv_test aperfmperf_test apic_bus_clock_test vmx_preemption_timer_test state_test
'

# The selftests' own make must not see the options of one that called this script.
clean_make() { # ARGUMENT...
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL nice -n 2 setpriv --pdeathsig TERM \
		make -s -j"${KCH_JOBS:-2}" "$@"
}

logged() { # WHAT COMMAND...
	local log=$dest/$1.log
	shift
	"$@" >"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "$version: building the selftests failed (all of it: $log)"
	}
}

# Where the tests are is another folder in each version.
targets() {
	local name file
	for name in $KERNEL_TESTS; do
		for file in "$kvm"/{,x86/,x86_64/}"$name.c"; do
			[[ ! -e $file ]] || { file=${file#"$kvm/"}; echo "$dest/kvm/${file%.c}"; }
		done
	done
}

mkdir -p "$dest"
exec 9>"$dest/.lock"
flock 9
take_source "$version"
kvm=$KCH_SOURCE/tools/testing/selftests/kvm

recipe="$(<"$KCH_SOURCE/.package") $dest $(sha256sum <"$0")"
if [[ $(cat -- "$dest/recipe" 2>/dev/null || true) != "$recipe" ]]; then
	msg "$version: building the KVM selftests of $(<"$KCH_SOURCE/.package")"
	rm -rf -- "$dest"/{recipe,kvm,kernel,ours,ours.obj}
	logged headers clean_make -C "$KCH_SOURCE" O="$dest/headers" headers
	mapfile -t wanted < <(targets)
	# 7.3's library also has parts for devices, which need a library that nothing of ours does.
	logged tests clean_make -C "$kvm" OUTPUT="$dest/kvm" INSTALL_HDR_PATH="$dest/headers/usr" \
		KHDR_INCLUDES="-isystem $dest/headers/usr/include" LIBVFIO_O= LDLIBS=-ldl "${wanted[@]}"
	find "$dest/kvm/lib" -name '*.o' -print0 | sort -z | xargs -0 ar rcs "$dest/kvm/libkvm.a"
	mkdir "$dest/kernel"
	for file in "${wanted[@]}"; do
		strip -o "$dest/kernel/${file##*/}" "$file"
	done
	cp -- "$KCH_SOURCE/.package" "$dest/package"
	echo "$recipe" >"$dest/recipe"
fi

make --no-print-directory -s -C "$KCH_ROOT/userspace"
make --no-print-directory -s -C "$KCH_ROOT/tests/l1/selftests" KVM="$kvm" LIBRARY="$dest"
