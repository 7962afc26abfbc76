# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# apt with state of our own, below build/apt: stale or absent lists of the system do not matter, no
# root is needed, and nothing of the system's is changed. Sourced after lib.sh.

# The sources, their keys and proxies are the system's.
private_apt() { # COMMAND ARGUMENT...
	"$1" -o Dir::State::Lists="$KCH_BUILD/apt/lists" -o Dir::Cache="$KCH_BUILD/apt/cache" \
		-o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3 \
		-q "${@:2}" </dev/null
}

# One at a time: apt itself does not wait for its lists. The lock goes with the script.
refresh_lists() {
	command -v apt-get >/dev/null || die "no apt here; give KERNEL= MODULES= KDIR= (see fetch-kernel.sh --help)"
	mkdir -p "$KCH_BUILD"/apt/lists/partial "$KCH_BUILD"/apt/cache/archives/partial
	exec {KCH_APT_LOCK}>"$KCH_BUILD/apt/.lock"
	flock "$KCH_APT_LOCK"
	# A third-party source that does not answer is no reason to stop: what matters is
	# whether the kernel is found later.
	private_apt apt-get update >"$KCH_BUILD/apt/update.log" 2>&1 ||
		msg "apt-get update had errors (see $KCH_BUILD/apt/update.log)"
}

version_of() { # PACKAGE: the version that `apt-get download` would take
	private_apt apt-cache policy "$1" | sed -n 's/^  Candidate: //p'
}

# One suite that the system does not have, from the Debian mirror the system uses.
suite_apt() { # SUITE COMMAND ARGUMENT...
	local dir=$KCH_BUILD/apt/$1
	"$2" -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" \
		-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$dir/sources" \
		-o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
		-o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3 \
		-q "${@:3}" </dev/null
}

# The keys of suites newer than the system come with its package of keys, which is updated for
# that. The installed one may be old: what counts is the newest, vouched for by the system's own keys.
fetch_debian_keys() { # DIRECTORY
	local work=$1/keys.new
	rm -rf -- "$work"
	mkdir -p "$work/root"
	(cd "$work" && private_apt apt-get download debian-archive-keyring) >"$1/keys.log" 2>&1 ||
		{ cat "$1/keys.log" >&2; die "cannot fetch Debian's package of archive keys"; }
	dpkg-deb -x "$work"/*.deb "$work/root"
	# By its content: the name is with .gpg or .pgp, and one may be a link to the other.
	cat -- "$(find "$work/root/usr/share/keyrings" -name 'debian-archive-keyring.[gp]*' | head -n 1)" \
		>"$1/debian-archive-keyring.gpg"
	rm -rf -- "$work"
}

add_suite() { # SUITE: needs refresh_lists
	local dir=$KCH_BUILD/apt/$1 mirror
	# apt's variables, not the shell's.
	# shellcheck disable=SC2016
	mirror=$(private_apt apt-get indextargets --format '$(ORIGIN)/$(LABEL) $(REPO_URI)' \
		'Created-By: Packages' | sed -n 's|^Debian/Debian ||p' | head -n 1) || true
	[[ $mirror ]] || die "none of this machine's apt sources is a Debian mirror: $1 cannot be found"
	mkdir -p "$dir"/{sources,lists/partial,cache/archives/partial}
	fetch_debian_keys "$dir"
	printf '%s\n' "Types: deb" "URIs: $mirror" "Suites: $1" "Components: main" \
		"Signed-By: $dir/debian-archive-keyring.gpg" >"$dir/sources/$1.sources"
	# A warning too: a list that cannot be verified is one, and an old one would be used.
	if ! suite_apt "$1" apt-get update >"$dir/update.log" 2>&1 ||
		grep -q '^[WE]:' "$dir/update.log"; then
		cat "$dir/update.log" >&2
		die "cannot read $1 from the mirror of this machine"
	fi
}
