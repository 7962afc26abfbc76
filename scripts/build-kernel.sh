#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Build a kernel for the emulated host from Debian's packaged source. Called by fetch-kernel.sh.
#
#   scripts/build-kernel.sh [--update] VERSION[-FRAGMENT...]      as 7.3, 7.3-debug
#
#   --update   look for a newer version of the source also when one is there already
#
# The configuration is allnoconfig and scripts/kernel-config/host, and what FRAGMENT adds. The
# package linux-source-VERSION comes from the mirror this machine uses (see lib-source.sh).
# Result, as fetch-kernel.sh describes it, in build/kernels/LINE/. The source is kept in
# build/source/linux-VERSION/, for those who build more from it; the objects in build/source/LINE.obj/.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"
# shellcheck source=scripts/lib-apt.sh
. "$KCH_ROOT/scripts/lib-apt.sh"
# shellcheck source=scripts/lib-source.sh
. "$KCH_ROOT/scripts/lib-source.sh"

update=
[[ ${1:-} == --update ]] && { update=1; shift; }
line=${1:?which kernel line? (see the head of the script)}
version=${line%%-*}
dest=$KCH_KERNELS/$line
source=$KCH_BUILD/source/linux-$version
objects=$KCH_BUILD/source/$line.obj

fragments=("$KCH_ROOT/scripts/kernel-config/host")
rest=${line#"$version"}
while [[ $rest ]]; do
	rest=${rest#-}
	fragments+=("$KCH_ROOT/scripts/kernel-config/${rest%%-*}")
	rest=${rest#"${rest%%-*}"}
done
for fragment in "${fragments[@]}"; do
	[[ -r $fragment ]] || die "$line: no scripts/kernel-config/${fragment##*/}"
done

# With the fragment `intree` the driver is part of the kernel: on a copy of the source, by hard links.
grafted=
[[ " ${fragments[*]##*/} " != *' intree '* ]] || grafted=$KCH_BUILD/source/linux-$line

graft() {
	[[ $grafted ]] || return 0
	local made_of was
	made_of="$(<"$source/.package") $(cat -- "$KCH_ROOT"/patches/*.patch | sha256sum)"
	was=$(cat -- "$grafted/.made-of" 2>/dev/null || true)
	# Interrupted, it is made anew: half a patch can neither be applied nor taken back.
	rm -f -- "$grafted/.made-of"
	if [[ $was != "$made_of" ]]; then
		rm -rf -- "$grafted" "$grafted.new"
		cp -al -- "$source" "$grafted.new"
		mv -- "$grafted.new" "$grafted"
	fi
	"$KCH_ROOT/scripts/graft.sh" "$grafted"
	echo "$made_of" >"$grafted/.made-of"
	source=$grafted
}

# The kernel's own make must not see the options of one that called this script.
kernel_make() { # ARGUMENT...
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL nice -n 2 setpriv --pdeathsig TERM \
		make -C "$source" O="$objects" -j"${KCH_JOBS:-2}" "$@"
}

configure() {
	local option missing=''
	mkdir -p "$objects"
	# The last word on a symbol counts, as for the kernel's own merge of fragments.
	cat -- "${fragments[@]}" | sed -n '/^CONFIG_/p' | tac | awk -F= '!seen[$1]++' \
		>"$objects/.fragments"
	kernel_make -s KCONFIG_ALLCONFIG="$objects/.fragments" allnoconfig
	# Not all that is asked for is given: dependencies change from version to version.
	while read -r option; do
		grep -qxF -- "$option" "$objects/.config" || missing+=" $option"
	done <"$objects/.fragments"
	[[ -z $missing ]] || die "$line: not in the configuration of $(<"$source/.package"):$missing"
}

# One line every quarter of a minute, to a terminal or a log.
show_progress() { # PID
	local begin=$SECONDS count
	# It outlives this by a quarter of a minute, and must not keep the locks for so long.
	while sleep 15 9>&- {KCH_SOURCE_LOCK}>&- && kill -0 "$1" 2>/dev/null; do
		count=$(grep -cE '^  (CC|AS|LD|HOSTCC)' "$objects/build.log" || true)
		msg "$line: $count objects in $((SECONDS - begin)) s (in all about ${OBJECTS_ABOUT})"
	done
}
# Of the fragment `host`; what is known before, so that progress can be told.
OBJECTS_ABOUT=1220

compile() {
	local pid status=0 watcher
	msg "$line: building $(<"$source/.package") with ${fragments[*]##*/}: some minutes"
	kernel_make bzImage modules >"$objects/build.log" 2>&1 &
	pid=$!
	show_progress "$pid" &
	watcher=$!
	wait "$pid" || status=$?
	kill "$watcher" 2>/dev/null || true
	wait "$watcher" 2>/dev/null || true
	if ((status)); then
		tail -n 30 "$objects/build.log" >&2
		die "$line: the kernel build failed (all of it: $objects/build.log)"
	fi
}

publish() {
	local work release
	work=$(mktemp -d "$KCH_KERNELS/.$line.XXXXXX")
	# shellcheck disable=SC2064
	trap "rm -rf -- '$work' '$work.old'" EXIT
	release=$(<"$objects/include/config/kernel.release")
	kernel_make -s INSTALL_MOD_PATH="$work" INSTALL_MOD_STRIP=1 DEPMOD=true modules_install
	rm -f -- "$work/lib/modules/$release"/{build,source}
	ln -s "lib/modules/$release" "$work/modules"
	# A copy: the next build of these objects may be under way while this kernel is used.
	cp -- "$objects/arch/x86/boot/bzImage" "$work/vmlinuz"
	ln -s "../../source/$line.obj" "$work/headers"
	echo "$recipe" >"$work/recipe"
	cp -- "$source/.package" "$work/package"
	echo "$release" >"$work/release"
	chmod 755 "$work"
	replace_folder "$work" "$dest"
	trap - EXIT
	msg "$line: built $release from $(<"$dest/package") in $SECONDS s"
}

mkdir -p "$KCH_KERNELS"
take_source "$version" "$update"
# What it was made from, and where: the object folder names the source by its absolute path.
recipe="$(<"$source/.package") $objects $(cat -- "${fragments[@]}" | sha256sum)"
if [[ $grafted ]]; then
	recipe+=" $(cd "$KCH_ROOT" && {
		source_files kernel | sed -z 's|^|kernel/|'
		find patches scripts/graft.sh -type f -print0
	} | sort -z | xargs -0 sha256sum | sha256sum)"
fi
if [[ -e $dest/recipe && $(<"$dest/recipe") == "$recipe" && -e $dest/headers/Module.symvers ]]; then
	msg "$line: $(<"$dest/release") from $(<"$dest/package") is here"
	exit 0
fi
graft
configure
compile
publish
