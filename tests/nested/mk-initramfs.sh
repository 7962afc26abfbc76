#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make the initramfs of the emulated host.
#
#   tests/nested/mk-initramfs.sh OUTPUT LINE...
#
# One uncompressed cpio for all the kernels of a case: the modules and the vmlinuz of every LINE, so
# that each can kexec into each. It need not hold itself: QEMU puts it into a reserved range of
# the emulated host's memory, where `initrdmem=` makes the first kernel and every later one find it.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../scripts/lib.sh"

output=${1:?usage: mk-initramfs.sh OUTPUT LINE...}
shift
(($# > 0)) || die "no kernel line given"
nested=$KCH_ROOT/tests/nested
l1=$KCH_ROOT/tests/l1

# Modules that the tests load, besides the handover module; what these depend on comes along.
# msr: for tests that read or write the TSC MSRs of the host.
WANTED_MODULES='kvm-amd kvm-intel msr'

export PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d "$KCH_BUILD/.initramfs.XXXXXX")
# shellcheck disable=SC2064
trap "rm -rf -- '$work'" EXIT
root=$work/root
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,usr/lib,usr/libexec/kch,proc,sys,dev,run,tmp,boot,kch/cases,kch/lines}

for command in busybox kexec cpio objcopy xz; do
	command -v "$command" >/dev/null || die "no $command here: run scripts/setup.sh"
done

add_libraries_of() { # PROGRAM: copies the shared libraries it is linked to
	local library
	# A static program makes ldd fail, and brings nothing.
	{ ldd -- "$1" 2>/dev/null | grep -oE '/[^ ]+' || true; } | while read -r library; do
		case $library in
		"$KCH_ROOT"/*) continue ;; # ours are in the payload
		esac
		[[ -e $root$library ]] || install -D -- "$library" "$root$library"
	done
}

add_programs() {
	local applet
	install -- "$(command -v busybox)" "$root/bin/busybox"
	for applet in $(busybox --list); do
		[[ $applet == busybox || $applet == kexec ]] || ln -s busybox "$root/bin/$applet"
	done
	install -- "$(command -v kexec)" "$root/sbin/kexec"
	add_libraries_of "$root/sbin/kexec"
	install -- "$l1/init" "$root/init"
	install -m 644 -- "$l1/init-lib.sh" "$root/kch/lib.sh"
	install -- "$l1/init-stage.sh" "$root/kch/stage.sh"
}

add_payload() {
	local pattern folder file
	while IFS='|' read -r pattern folder; do
		pattern=${pattern//[[:space:]]/} folder=${folder//[[:space:]]/}
		[[ -z $pattern || $pattern == \#* ]] && continue
		mkdir -p "$root$folder"
		for file in "$KCH_ROOT"/$pattern; do
			[[ -f $file ]] || continue
			case $file in
			*.o | *.d | *.a) continue ;;
			esac
			cp -P -- "$file" "$root$folder/"
			[[ -L $file || ! -x $file ]] || add_libraries_of "$file"
		done
	done <"$nested/payload.tbl"
}

find_module() { # LINE NAME: the file, with - and _ being the same
	local name=${2//[-_]/[-_]}
	find "$KCH_KERNELS/$1/modules/kernel" -regextype posix-extended \
		-regex ".*/${name}\\.ko(\\.xz|\\.zst|\\.gz)?" -print -quit
}

unpacked() { # FILE: the module, as is or decompressed
	case $1 in
	*.xz) xz -dc -- "$1" ;;
	*.zst) zstd -qdc -- "$1" ;;
	*.gz) gzip -dc -- "$1" ;;
	*) cat -- "$1" ;;
	esac
}

depends_of() { # MODULE.ko: what its .modinfo says, one a line
	objcopy -O binary -j .modinfo -- "$1" "$work/modinfo"
	tr '\0' '\n' <"$work/modinfo" | sed -n 's/^depends=//p' | tr ',' '\n'
}

# One flat folder and a modules.dep of our own for busybox modprobe. Decompressed here, because
# doing it in the emulated host is slow; kept, because it is slow here too.
add_module() { # LINE NAME [FILE]
	local line=$1 name=$2 file=${3:-} release cache target dep
	release=$(<"$KCH_KERNELS/$line/release")
	target=$root/lib/modules/$release
	name=${name//-/_}
	[[ -e $target/$name.ko ]] && return
	if [[ $file ]]; then
		cp -- "$file" "$target/$name.ko"
	else
		cache=$KCH_BUILD/nested/modules/$line/$name.ko
		file=$(find_module "$line" "$name")
		if [[ -z $file ]]; then
			grep -q "/${name//_/[-_]}\\.ko" "$KCH_KERNELS/$line/modules/modules.builtin" && return
			die "$line: no module $name"
		fi
		# A kernel of our own may be built again under the same name.
		if [[ ! $cache -nt $file ]]; then
			mkdir -p "${cache%/*}"
			unpacked "$file" >"$work/$name.ko"
			mv -- "$work/$name.ko" "$cache"
		fi
		cp -- "$cache" "$target/$name.ko"
	fi
	local deps=()
	mapfile -t deps < <(depends_of "$target/$name.ko")
	for dep in "${deps[@]}"; do
		[[ -z $dep ]] || add_module "$line" "$dep"
	done
}

# modprobe wants all of what a module needs on its line, the deepest last.
all_depends() { # FOLDER NAME
	local dep
	while read -r dep; do
		[[ $dep && -e $1/${dep//-/_}.ko ]] || continue
		echo "${dep//-/_}.ko"
		all_depends "$1" "${dep//-/_}"
	done < <(depends_of "$1/$2.ko")
}

add_kernel() { # LINE
	local line=$1 kernel=$KCH_KERNELS/$1 release target module
	[[ -e $kernel/release ]] || die "$line: not fetched yet: scripts/fetch-kernel.sh $line"
	release=$(<"$kernel/release")
	target=$root/lib/modules/$release
	[[ ! -e $target ]] || die "$line: another kernel of this initramfs calls itself $release, too"
	mkdir -p "$target"
	for module in $WANTED_MODULES; do
		add_module "$line" "$module"
	done
	for module in "$kernel"/*.ko; do
		[[ ! -e $module ]] || add_module "$line" "$(basename "$module" .ko)" "$module"
	done
	for module in "$target"/*.ko; do
		module=${module##*/}
		echo "$module:" "$(all_depends "$target" "${module%.ko}" | awk '!seen[$0]++' | tr '\n' ' ')"
	done >"$target/modules.dep"
	cp -L -- "$kernel/vmlinuz" "$root/boot/vmlinuz-$line"
	echo "$release" >"$root/kch/lines/$line"
}

add_programs
add_payload
for line; do
	add_kernel "$line"
done

# Reproducible: sorted, no owner, no time, so that an unchanged tree gives an unchanged file.
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . -print0 | LC_ALL=C sort -z |
	cpio --quiet --null --reproducible --owner=+0:+0 -o -H newc >"$work/cpio")
mkdir -p "$(dirname -- "$output")"
install_file "$work/cpio" "$output"
