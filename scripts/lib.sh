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

# Put a folder in the place of another. That one goes aside first: removed by half, it could still have
# the file that says it is whole.
replace_folder() { # NEW OLD
	if [[ -e $2 || -L $2 ]]; then
		mv -- "$2" "$1.old"
	fi
	mv -- "$1" "$2"
	rm -rf -- "$1.old"
}

# For find: not what Kbuild leaves among the sources after `make` in kernel/. It is made for one kernel.
NO_ARTEFACT=(! -name '*.o' ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' ! -name '*.cmd'
	! -name 'kch_probed.h*' ! -name Module.symvers ! -name modules.order)

# The files of a folder by their names in it, with a NUL behind each, without artefacts and hidden ones.
source_files() { # FOLDER
	find "$1" -type f ! -name '.*' "${NO_ARTEFACT[@]}" -printf '%P\0'
}

# No script ends without a word: set -e alone would.
set -E
trap 'msg "${BASH_SOURCE[0]##*/}:$LINENO: failed: $BASH_COMMAND"' ERR
