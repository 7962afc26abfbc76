#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Put the driver into a kernel's source tree, as part of KVM.
#
#   scripts/graft.sh [-l] TREE
#
#   -l   do not apply patches/*.patch: the tree has them, or what they do
#
# The driver goes to arch/x86/kvm/handover/, its two public headers to include/, and it gets its
# lines in Kconfig, Makefile and MAINTAINERS. What KVM and the TSC code have to offer it is in
# patches/. Files are replaced, never written to: the tree may share them with another by hard links.
# Doing it again brings the driver up to date.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

patches=1
[[ ${1:-} == -l ]] && { patches=; shift; }
tree=${1:?which tree? (see the head of the script)}
[[ -e $tree/arch/x86/kvm/x86.c && -e $tree/MAINTAINERS ]] || die "$tree: not a kernel source tree"
target=arch/x86/kvm/handover
source=$KCH_ROOT/kernel

# The old file stays as it is, whoever else has it; and keeps its time when nothing changes.
replace() { # FILE: in the tree; standard input: what it is to have
	local file=$tree/$1
	mkdir -p "${file%/*}"
	cat >"$file.new"
	if cmp -s -- "$file.new" "$file"; then
		rm -- "$file.new"
	else
		mv -- "$file.new" "$file"
	fi
}

edit() { # FILE PATTERN FILTER...: unless there is a line of that pattern already
	local name=$1 pattern=$2
	shift 2
	grep -qE -- "$pattern" "$tree/$name" && return
	"$@" <"$tree/$name" | replace "$name"
	grep -qE -- "$pattern" "$tree/$name" || die "$name: not where it was expected to go"
}

apply_patches() {
	local patch
	for patch in "$KCH_ROOT"/patches/*.patch; do
		# One that can be taken back is there already.
		if patch -d "$tree" -p1 -R -s -f --dry-run <"$patch" >/dev/null; then
			continue
		fi
		patch -d "$tree" -p1 -s --no-backup-if-mismatch <"$patch" ||
			die "${patch##*/}: does not apply to $tree"
		msg "applied ${patch##*/}"
	done
}

# Without what is for user space only.
for_kernel() { # NAME
	case $1 in
	core/portable.h) sed '/^#else \/\* user space \*\/$/,/^#endif \/\* __KERNEL__ \*\/$/d; /^#ifdef __KERNEL__$/,+1d' ;;
	*) cat ;;
	esac
}

put_driver() {
	local file
	while IFS= read -r -d '' file; do
		case $file in
		# What these are for, KVM does itself.
		kvm/stock* | kvm/selfcheck.c | include/* | intree/*) continue ;;
		*.[ch] | probe.sh) for_kernel "$file" <"$source/$file" | replace "$target/$file" ;;
		esac
	done < <(source_files "$source")
	replace "$target/Makefile" <"$source/Kbuild"
	replace "$target/Kconfig" <"$source/intree/Kconfig"
	replace include/linux/kvmclock_handover_record.h \
		<"$source/include/linux/kvmclock_handover_record.h"
	replace include/uapi/linux/kvmclock_handover.h \
		<"$source/include/uapi/linux/kvmclock_handover.h"
}

hook_up() {
	# The text is Kbuild's, not the shell's.
	# shellcheck disable=SC2016
	edit arch/x86/kvm/Makefile 'CONFIG_KVMCLOCK_HANDOVER' \
		sed '/^obj-\$(CONFIG_KVM_AMD)/a obj-$(CONFIG_KVMCLOCK_HANDOVER)\t+= handover/'
	edit arch/x86/kvm/Kconfig 'kvm/handover/Kconfig' \
		sed 's|^endif # VIRTUALIZATION|source "arch/x86/kvm/handover/Kconfig"\n\n&|'
	# In its alphabetical place.
	edit MAINTAINERS '^KVM CLOCK HANDOVER' \
		awk -v entry="$(<"$source/intree/MAINTAINERS")" \
		'/^KVM / && !done { print entry "\n"; done = 1 } { print }'
}

[[ ! $patches ]] || apply_patches
put_driver
hook_up
