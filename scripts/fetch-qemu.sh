#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Get a QEMU of another Debian release, with all it needs to run anywhere, without installing it.
#
#   scripts/fetch-qemu.sh [--update] VERSION      VERSION: 10.0, 11.1
#
#   --update   look for a newer package also when one is there already
#
# Taken with apt from the Debian mirror this machine uses, with lists kept under build/ (lib-apt.sh): nothing
# of the system's is changed, and no root is needed. Result, in build/qemu/VERSION/:
#
#   package    the package and its version
#   run        starts it, with the C library and the dynamic linker it was built for
#   root/      what is needed of its packages
#
# The folder works from any place: tests/nested/image.py puts it into the emulated host.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
# shellcheck source=scripts/lib-apt.sh
. "$KCH_ROOT/scripts/lib-apt.sh"

# The suites that have it; the first is the one it is taken from.
declare -A SUITES=([10.0]=trixie [11.1]='trixie-backports trixie')

# Of its firmware, what x86 guests without display and network need.
FIRMWARE='bios*.bin qboot.rom kvmvapic.bin linuxboot*.bin multiboot*.bin'

update='' version=''
for arg; do
	case $arg in
	--update) update=1 ;;
	-h | --help) sed -n '3,17s/^# \{0,1\}//p' "$0"; exit 0 ;;
	-*) die "unknown option: $arg (see --help)" ;;
	*) version=$arg ;;
	esac
done
[[ ${SUITES[${version:-none}]:-} ]] || die "which QEMU? ${!SUITES[*]} (see --help)"
read -r -a suites <<<"${SUITES[$version]}"
dest=$KCH_BUILD/qemu/$version

# The suites together, as if on a machine on which nothing is installed: so the packages
# that it depends on are complete, down to the C library.
qemu_apt() { # COMMAND ARGUMENT...
	suite_apt "qemu-$version" "$1" -o Dir::State::status="$KCH_BUILD/apt/qemu-$version/status" \
		-o APT::Install-Recommends=false -o APT::Default-Release="${suites[0]}" "${@:2}"
}

add_suites() {
	local suite
	mkdir -p "$KCH_BUILD/apt/qemu-$version"/{sources,lists/partial,cache/archives/partial}
	for suite in "${suites[@]}"; do
		add_suite "$suite"
		cp -- "$KCH_BUILD/apt/$suite/sources/$suite.sources" "$KCH_BUILD/apt/qemu-$version/sources/"
	done
	: >"$KCH_BUILD/apt/qemu-$version/status"
	qemu_apt apt-get update >"$KCH_BUILD/apt/qemu-$version/update.log" 2>&1 ||
		{ cat "$KCH_BUILD/apt/qemu-$version/update.log" >&2; die "cannot read ${suites[*]}"; }
}

# Programs and libraries that QEMU's program names, and what these name, by the linker it comes with.
take_needed() { # FROM TO
	local from=$1 to=$2 file pattern
	install -D -- "$from/usr/bin/qemu-system-x86_64" "$to/usr/bin/qemu-system-x86_64"
	install -D -- "$(find "$from" -name 'ld-linux-x86-64.so.2' -type f | head -n 1)" "$to/ld.so"
	mkdir -p "$to/lib"
	(cd "$from" && find . -name '*.so.*' -path '*/x86_64-linux-gnu/*' ! -path '*/qemu/*' -print0) >"$work/libraries"
	# All in one folder, for them to be found by that and by nothing else.
	mkdir -p "$work/all"
	while IFS= read -r -d '' file; do
		[[ ! -e $from/$file || -e $work/all/${file##*/} ]] || cp -L -- "$from/$file" "$work/all/"
	done <"$work/libraries"
	"$to/ld.so" --library-path "$work/all" --list "$to/usr/bin/qemu-system-x86_64" >"$work/list" ||
		die "$version: its libraries cannot be listed"
	if grep -q 'not found' "$work/list"; then
		cat "$work/list" >&2
		die "$version: some of its libraries are missing"
	fi
	sed -n "s|.* => $work/all/\([^ ]*\) .*|\1|p" "$work/list" | while read -r file; do
		strip -o "$to/lib/$file" "$work/all/$file"
	done
	strip "$to/usr/bin/qemu-system-x86_64"
	mkdir -p "$to/share"
	for pattern in $FIRMWARE; do
		find "$from/usr/share" -name "$pattern" -print0
	done | while IFS= read -r -d '' file; do
		[[ ! -e $file || -e $to/share/${file##*/} ]] || cp -L -- "$file" "$to/share/"
	done
}

write_run() { # FILE
	cat >"$1" <<-'END'
		#!/bin/sh
		# SPDX-License-Identifier: GPL-2.0
		here=$(dirname "$(readlink -f "$0")")
		exec "$here/root/ld.so" --library-path "$here/root/lib" --argv0 qemu-system-x86_64 \
			"$here/root/usr/bin/qemu-system-x86_64" -L "$here/root/share" "$@"
	END
	chmod 755 "$1"
}

mkdir -p "$KCH_BUILD/qemu"
exec 9>"$KCH_BUILD/qemu/.$version.lock"
flock 9
if [[ -e $dest/package && ! $update ]]; then
	msg "$version: $(<"$dest/package") is here"
	exit 0
fi
msg "$version: looking for qemu-system-x86 in ${suites[*]}"
refresh_lists
add_suites
latest=$(qemu_apt apt-cache policy qemu-system-x86 | sed -n 's/^  Candidate: //p')
[[ $latest == *:"$version".* || $latest == "$version".* ]] ||
	die "$version: ${suites[0]} has ${latest:-none}"
if [[ -e $dest/package && $(<"$dest/package") == "qemu-system-x86 $latest" ]]; then
	msg "$version: qemu-system-x86 $latest is the newest, and here"
	exit 0
fi
msg "$version: fetching qemu-system-x86 $latest and what it needs"
work=$(mktemp -d "$KCH_BUILD/qemu/.$version.XXXXXX")
# shellcheck disable=SC2064
trap "rm -rf -- '$work' '$work.old'" EXIT
qemu_apt apt-get install -y --download-only qemu-system-x86 >"$KCH_BUILD/apt/qemu-$version/download.log" 2>&1 ||
	{ cat "$KCH_BUILD/apt/qemu-$version/download.log" >&2; die "$version: download failed"; }
mkdir "$work/from" "$work/to"
for package in "$KCH_BUILD/apt/qemu-$version"/cache/archives/*.deb; do
	dpkg-deb -x "$package" "$work/from"
done
take_needed "$work/from" "$work/to/root"
write_run "$work/to/run"
"$work/to/run" --version | grep -q "version $version\." || die "$version: it does not run here"
echo "qemu-system-x86 $latest" >"$work/to/package"
chmod 755 "$work/to"
replace_folder "$work/to" "$dest"
rm -rf -- "$KCH_BUILD/apt/qemu-$version/cache/archives"
msg "$version: took qemu-system-x86 $latest"
