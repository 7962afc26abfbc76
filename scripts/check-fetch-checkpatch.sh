#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Print the path of the kernel's checkpatch.pl, fetched if need be.
#
#   scripts/check-fetch-checkpatch.sh [--fetch]      --fetch: do not use a kernel source that is there
#
# Debian ships it only in the kernel's source. The one that an emulated host's kernel was built from
# will do; else three files of linux-source-6.12 (150 MB to fetch, once) are kept in build/check/.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
# shellcheck source=scripts/lib-apt.sh
. "$KCH_ROOT/scripts/lib-apt.sh"

package=linux-source-6.12
dest=$KCH_BUILD/check/checkpatch

if [[ ${1:-} != --fetch ]]; then
	for script in "$KCH_BUILD"/source/linux-*/scripts/checkpatch.pl "$dest/checkpatch.pl"; do
		[[ -e $script ]] && echo "$script" && exit
	done
fi

msg "fetching $package for its checkpatch.pl"
refresh_lists
mkdir -p "$KCH_BUILD/check"
work=$(mktemp -d "$KCH_BUILD/check/.new.XXXXXX")
# shellcheck disable=SC2064
trap "rm -rf -- '$work'" EXIT
(cd "$work" && private_apt apt-get download "$package" >log 2>&1) ||
	{ cat "$work/log" >&2; die "cannot fetch $package"; }
mkdir "$work/checkpatch"
# tar reads to the end also when it has what it wants, so that the pipe does not break.
dpkg-deb --fsys-tarfile "$work"/*.deb |
	tar -xOf - "./usr/src/$package.tar.xz" |
	tar -xJf - -C "$work/checkpatch" --strip-components=2 \
		"$package/scripts/checkpatch.pl" "$package/scripts/spelling.txt" \
		"$package/scripts/const_structs.checkpatch"
rm -rf -- "$dest"
mv -- "$work/checkpatch" "$dest"
echo "$dest/checkpatch.pl"
