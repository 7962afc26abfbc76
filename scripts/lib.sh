# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the scripts of this folder and by tests/nested: where things are, and how to say so.

KCH_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
KCH_BUILD=${KCH_BUILD:-$KCH_ROOT/build}
# Used by the sourcing scripts.
# shellcheck disable=SC2034
KCH_KERNELS=$KCH_BUILD/kernels

KCH_PROG=${0##*/}

msg() {
	printf '%s: %s\n' "$KCH_PROG" "$*" >&2
}

die() {
	msg "$@"
	exit 1
}

# A file that is either the old one or the whole new one, also with two builds at the same time.
install_file() { # SOURCE TARGET
	if [[ -e $2 ]] && cmp -s -- "$1" "$2"; then
		rm -f -- "$1"
	else
		mv -f -- "$1" "$2"
	fi
}

# No script ends without a word: set -e alone would.
set -E
trap 'msg "${BASH_SOURCE[0]##*/}:$LINENO: failed: $BASH_COMMAND"' ERR
