#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Make the module with one thing broken in a copy of its sources, for the controls of cases with module=NAME:
#
#   tests/nested/broken-module.sh NAME LINE     result: build/kernels/LINE/kch_NAME.ko
#
# It has another name, as the whole one is beside it; device and files are the same. Each command of
# sed must change its file.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/../../scripts/lib.sh"

# name | file | sed command. The module's own self-check would find the first, and refuse all.
BROKEN='
old-reference | core/clock.c     | /^bool kch_entry_advance(/,/^}/s/if (!kch_clock_advance(/if (true || !kch_clock_advance(/
old-reference | kvm/selfcheck.c | s/if (off_ns <= (s64)bound_ns \&\& off_ns >= -(s64)bound_ns)/if (bound_ns)/
not-kept      | restore/keep.c   | s/schedule_delayed_work(&look_work, KEEP_INTERVAL);/(void)0;/
'

name=${1:?usage: broken-module.sh NAME LINE}
line=${2:?usage: broken-module.sh NAME LINE}
module=kch_${name//-/_}
copy=$KCH_BUILD/nested/broken/$name
made=$(mktemp -d "$KCH_BUILD/.broken.XXXXXX")
# shellcheck disable=SC2064
trap "rm -rf -- '$made'" EXIT

cp -r -- "$KCH_ROOT/kernel/." "$made"
sed -i "s/kvmclock_handover\\(-y\\|\\.o\\)/$module\\1/" "$made/Kbuild"
count=0
while IFS='|' read -r _ file command; do
	file=$made/${file//[[:space:]]/}
	sed -e "${command# }" "$file" >"$file.new"
	! cmp -s -- "$file" "$file.new" || die "module=$name: nothing to break in ${file##*/}"
	mv -- "$file.new" "$file"
	count=$((count + 1))
done < <(grep -E "^$name +\|" <<<"$BROKEN")
((count)) || die "module=$name: not known"

# Only what changed, so that nothing is built again without need.
source_files "$made" | while IFS= read -r -d '' file; do
	mkdir -p "$(dirname -- "$copy/$file")"
	install_file "$made/$file" "$copy/$file"
done
KCH_MODULE_SRC=$copy KCH_MODULE=$module "$KCH_ROOT/scripts/build-module.sh" "$line"
