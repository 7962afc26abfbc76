#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build the kernel module for a kernel that scripts/fetch-kernel.sh has put under build/kernels/.
#
#   scripts/build-module.sh [-v] LINE      result: build/kernels/LINE/kvmclock_handover.ko
#
#   KCH_MODULE_SRC=DIR   other sources, of the module NAME.ko (default: kernel/, kvmclock_handover)
#   KCH_MODULE=NAME      (their Kbuild has the checkout in KCH_ROOT)
#
# Kbuild puts objects next to the sources, so the sources are mirrored as symbolic links to
# build/module/LINE/ and built there; kernel/ stays clean and several lines can be built at once.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

verbose=
[[ ${1:-} == -v ]] && { verbose=1; shift; }
line=${1:?which kernel line? (see the head of the script)}
source=$(realpath -- "${KCH_MODULE_SRC:-$KCH_ROOT/kernel}")
name=${KCH_MODULE:-kvmclock_handover}
kernel=$KCH_KERNELS/$line
object_dir=$KCH_BUILD/module/$line
[[ $name == kvmclock_handover ]] || object_dir=$KCH_BUILD/module/$line.$name

[[ -e $kernel/headers ]] || die "$line: not fetched yet: scripts/fetch-kernel.sh $line"
[[ -e $source/Kbuild ]] || die "$source: no Kbuild"
if [[ $name == kvmclock_handover ]] && grep -qsx CONFIG_KVMCLOCK_HANDOVER=y "$kernel/headers/.config"; then
	msg "$line: the driver is part of this kernel"
	exit 0
fi
mkdir -p "$object_dir"

exec 9>"$object_dir/.lock"
flock 9

# Objects for another kernel, or for one of another configuration, look like those of this one to
# Kbuild, which does not look beyond the folder it builds in.
kernel_is=$(cat "$kernel"/{release,package,recipe} 2>/dev/null || true)
if [[ $(cat "$object_dir/.kernel" 2>/dev/null || true) != "$kernel_is" ]]; then
	find "$object_dir" -mindepth 1 ! -name .lock -delete
	echo "$kernel_is" >"$object_dir/.kernel"
fi

# Links whose source is gone go first, so that a removed header is not found any more; and those to
# what is no source, or Kbuild would write through them.
find "$object_dir" -xtype l -delete
find "$object_dir" -type l ! \( "${NO_ARTEFACT[@]}" \) -delete
(cd "$source" && find . -type d -print0) | (cd "$object_dir" && xargs -0 mkdir -p)
source_files "$source" | while IFS= read -r -d '' file; do
	link=$object_dir/$file
	[[ $(readlink -- "$link" || true) == "$source/$file" ]] || ln -sfn -- "$source/$file" "$link"
done

make_args=(-C "$kernel/headers" M="$object_dir" -j"${KCH_JOBS:-2}" KCH_ROOT="$KCH_ROOT")
# Debian's headers name the compiler the kernel was built with; where that one is not, the
# default compiler does, with a warning by Kbuild.
command -v x86_64-linux-gnu-gcc-12 >/dev/null || make_args+=(CC=gcc)
[[ $verbose ]] && make_args+=(V=1)
# The kernel's own make must not see the options of one that called this script.
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make "${make_args[@]}" modules \
	>"$object_dir/build.log" 2>&1 || { cat "$object_dir/build.log" >&2; die "$line: build failed"; }
[[ $verbose ]] && cat "$object_dir/build.log"
# "vmlinux is unavailable": fetch-kernel.sh keeps none, and a module without BTF is all that is lost.
grep -E 'warning:|WARNING:' "$object_dir/build.log" >&2 || true
[[ -e $object_dir/$name.ko ]] || die "$line: the build made no $name.ko"

# Debug information is left out: the emulated host unpacks this on every boot.
objcopy --strip-debug "$object_dir/$name.ko" "$object_dir/$name.ko.stripped"
install_file "$object_dir/$name.ko.stripped" "$kernel/$name.ko"
