#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Write the driver and what it needs of the kernel as two series of patches, for `git am`.
#
#   scripts/emit-patches.sh [-c] TREE FOLDER
#
#   -c   see that git am takes them, each series alone, and what the tree's checkpatch says
#
# FOLDER/tsc/ hands the frequency of the TSC over and needs nothing of ours; FOLDER/kvm/ is for KVM, and
# has the driver. TREE is the kernel's source, without the driver; it need not be a git repository, and
# nothing in it is changed. The patches are signed off by git's user.name and user.email.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

check=
[[ ${1:-} == -c ]] && { check=1; shift; }
tree=$(realpath -- "${1:?which tree? (see the head of the script)}")
output=${2:?which folder for the patches?}
[[ -e $tree/arch/x86/kvm/x86.c ]] || die "$tree: not a kernel source tree"
[[ ! -e $tree/arch/x86/kvm/handover ]] || die "$tree: has the driver already"
for who in user.name user.email; do
	git config "$who" >/dev/null || die "git does not know who you are: no $who"
done
mkdir -p "$output"
output=$(realpath -- "$output")

work=$(mktemp -d)
# shellcheck disable=SC2064
trap "rm -rf -- '$work'" EXIT
signer="$(git config user.name) <$(git config user.email)>"

in_git() {
	git -C "$work/tree" -c commit.gpgsign=false -c core.autocrlf=false \
		-c user.name="$(git config user.name)" -c user.email="$(git config user.email)" "$@"
}

# Only what is touched: a kernel takes git minutes.
begin() {
	local file
	mkdir "$work/tree"
	in_git init -q
	while read -r file; do
		[[ -e $tree/$file ]] || continue
		install -D -m "$(stat -c %a "$tree/$file")" -- "$tree/$file" "$work/tree/$file"
	done < <(sed -n 's|^+++ b/||p' "$KCH_ROOT"/patches/*.patch
		printf '%s\n' MAINTAINERS arch/x86/kvm/{Kconfig,Makefile,x86.c})
	in_git add -A
	in_git commit -q -m base
	in_git tag base
}

commit() { # standard input: the message
	in_git add -A
	sed "s/@SIGNER@/${signer//\//\\/}/" | in_git commit -q -F -
}

series() { # NAME: its patches, each on a branch of its own
	local patch
	in_git checkout -q -b "$1" base
	for patch in "$KCH_ROOT/patches/$1"-*.patch; do
		patch -d "$work/tree" -p1 -s --no-backup-if-mismatch <"$patch" ||
			die "${patch##*/}: does not apply to $tree"
		sed '/^---$/,$d' "$patch" | commit
	done
	if [[ $1 == kvm ]]; then
		"$KCH_ROOT/scripts/graft.sh" -l "$work/tree"
		commit <"$KCH_ROOT/kernel/intree/message"
	fi
	mkdir -p "$output/$1"
	rm -f -- "$output/$1"/[0-9][0-9][0-9][0-9]-*.patch
	in_git format-patch -q -o "$output/$1" base
}

check_series() { # NAME
	in_git checkout -q -b "check-$1" base
	in_git am -q "$output/$1"/*.patch
	in_git diff --quiet "check-$1" "$1" || die "git am makes another tree of $1"
	msg "git am takes $1"
	# As scripts/check.py has it, and: new files are in MAINTAINERS, by the last patch or a pattern.
	"$tree/scripts/checkpatch.pl" --no-tree --terse --show-types --summary-file \
		--ignore LONG_LINE_STRING,UNSPECIFIED_INT,ALLOC_WITH_SIZEOF,FILE_PATH_CHANGES \
		"$output/$1"/*.patch
}

begin
status=0
for name in tsc kvm; do
	series "$name"
	(cd "$output" && ls -- "$name"/*.patch)
	[[ ! $check ]] || check_series "$name" || status=1
done
exit $status
