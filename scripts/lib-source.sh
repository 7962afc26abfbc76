# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Kernel sources as Debian packages them, unpacked to build/source/linux-VERSION/ for whoever builds from
# them: nobody writes there. Sourced after lib-apt.sh.

# The suite of linux-source-VERSION, where it is not one of the system's.
declare -A KCH_SOURCE_SUITES=([7.3]=trixie-backports)

source_apt() { # VERSION COMMAND ARGUMENT...
	local suite=${KCH_SOURCE_SUITES[$1]:-}
	if [[ $suite ]]; then
		suite_apt "$suite" "${@:2}"
	else
		private_apt "${@:2}"
	fi
}

# Leaves the source locked, so that it is not replaced while the calling script builds from it.
take_source() { # VERSION [UPDATE]: sets KCH_SOURCE; UPDATE: look for a newer one also if there is one
	KCH_SOURCE=$KCH_BUILD/source/linux-$1
	mkdir -p "$KCH_BUILD/source"
	# Several may build from the source at a time, and nobody while it is being replaced.
	exec {KCH_SOURCE_LOCK}>"$KCH_BUILD/source/.$1.lock"
	flock -s "$KCH_SOURCE_LOCK"
	if [[ ! -e $KCH_SOURCE/.package || ${2:-} ]]; then
		flock -x "$KCH_SOURCE_LOCK"
		fetch_source "$1" "${2:-}"
		flock -s "$KCH_SOURCE_LOCK"
	fi
}

fetch_source() { # VERSION UPDATE: for take_source
	local package=linux-source-$1 where=${KCH_SOURCE_SUITES[$1]:-the suites of this machine} latest work
	if [[ -e $KCH_SOURCE/.package && ! $2 ]]; then
		return
	fi
	msg "looking for $package in $where"
	refresh_lists
	[[ ! ${KCH_SOURCE_SUITES[$1]:-} ]] || add_suite "${KCH_SOURCE_SUITES[$1]}"
	latest=$(source_apt "$1" apt-cache policy "$package" | sed -n 's/^  Candidate: //p')
	[[ $latest && $latest != '(none)' ]] || die "no $package in $where"
	if [[ -e $KCH_SOURCE/.package && $(<"$KCH_SOURCE/.package") == "$package $latest" ]]; then
		return
	fi
	msg "fetching and unpacking $package $latest (2 GB)"
	work=$(mktemp -d "$KCH_BUILD/source/.new.XXXXXX")
	# shellcheck disable=SC2064
	trap "rm -rf -- '$work'" EXIT
	(cd "$work" && source_apt "$1" apt-get download "$package") >"$work/log" 2>&1 ||
		{ cat "$work/log" >&2; die "$package: download failed"; }
	dpkg-deb -x "$work"/*.deb "$work/root"
	tar -C "$work" -xf "$work/root/usr/src/$package.tar.xz"
	echo "$package $latest" >"$work/$package/.package"
	replace_folder "$work/$package" "$KCH_SOURCE"
	rm -rf -- "$work"
	trap - EXIT
}
