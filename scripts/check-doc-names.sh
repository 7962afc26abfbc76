#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Does the documentation have every name that is part of an interface, and no other?
#
#   scripts/check-doc-names.sh
#
#   debugfs keys           kernel/debugfs.c                user-abi.rst, ".. keys: FUNCTION"
#   debugfs files          kernel/debugfs.c                user-abi.rst, kvmclock_handover.4
#   ioctls                 the user ABI                    user-abi.rst, ".. layout: ioctls";
#                                                          kvmclock_handover.4
#   errnos                 the table in the user ABI       user-abi.rst, ".. errnos: every|single"
#   errnos of each ioctl   kernel-doc of its structure     user-abi.rst, "Errors: ..."
#   module parameters      kernel/main.c                   kvmclock_handover.4
#   library functions      the symbol map                  libkvmclock-handover.3
#   subcommands, options   userspace/cli/                  kvmclockctl.8

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

doc=$KCH_ROOT/Documentation
abi=$doc/user-abi.rst
uapi=$KCH_ROOT/kernel/include/uapi/linux/kvmclock_handover.h
debugfs=$KCH_ROOT/kernel/debugfs.c
map=$KCH_ROOT/userspace/lib/libkvmclock-handover.map
cli=$KCH_ROOT/userspace/cli
failed=
compared=0

# Two lists, one name a line, in any order.
compare() { # WHAT SOURCE DOCUMENTED
	local difference where=sources
	# Nothing found on one side is a fault of this script, or of the marks it looks for.
	if [[ ! $2 || ! $3 ]]; then
		[[ ! $2 ]] || where=documentation
		msg "$1: nothing found in the $where"
		failed=1
		return
	fi
	compared=$((compared + $(sort -u <<<"$2" | wc -l)))
	difference=$(diff <(sort -u <<<"$2") <(sort -u <<<"$3") |
		sed -n 's/^< /  not documented: /p; s/^> /  does not exist: /p') || true
	[[ $difference ]] || return 0
	msg "$1:"
	printf '%s\n' "$difference" >&2
	failed=1
}

# What stands in front of each row between ".. KIND: NAME" and its end.
marked() { # KIND NAME
	sed -n "/^\.\. $1: $2\$/,/^\.\. end $1\$/s/^\`\`\([^\`]*\)\`\`.*/\1/p" "$abi"
}

debugfs_keys() { # FUNCTION
	sed -n "/^static .*[ *]$1(/,/^}/p" "$debugfs" |
		grep -oE '"(\\n|%s)?[a-z][a-z0-9_]*: ' | sed -E 's/^"(\\n|%s)?//; s/: $//'
}

functions=$(sed -nE 's/^static .*[ *]([a-z_]+_?show[a-z_]*|show_[a-z]+)\(.*/\1/p' "$debugfs")
for function in $functions; do
	keys=$(debugfs_keys "$function") || true
	[[ $keys ]] || continue # it only calls others
	compare "debugfs keys of $function()" "$keys" "$(marked keys "$function")"
done
compare "functions with debugfs keys" \
	"$(for function in $functions; do debugfs_keys "$function" >/dev/null && echo "$function"; done)" \
	"$(sed -n 's/^\.\. keys: //p' "$abi")"

files=$(sed -nE 's/.*debugfs_create_file\("([a-z_]+)".*/\1/p' "$debugfs")
# shellcheck disable=SC2016 # the quotes are reStructuredText's
compare "debugfs files in user-abi.rst" "$files" \
	"$(sed -n '/^debugfs$/,/^The module$/s/^``\([a-z_]*\)``.*/\1/p' "$abi")"
compare "debugfs files in kvmclock_handover.4" "$files" \
	"$(sed -n '/^\.Sh DEBUGFS/,/^\.Sh/s/^\.It Pa //p' "$doc/man/kvmclock_handover.4")"

ioctls=$(sed -nE 's/^#define (KCH_IOC_[A-Z_]+)\s+_IO\(.*/\1/p' "$uapi")
compare "ioctls in user-abi.rst" "$ioctls" "$(sed -n '/^\.\. layout: ioctls/,/^\.\. end layout/p' "$abi" |
	sed -nE 's/^..(KCH_IOC_[A-Z_]+)..  *0x.*/\1/p')"
compare "ioctls in kvmclock_handover.4" "$ioctls" \
	"$(sed -n '/^\.Sh DEVICE/,/^\.Sh/s/^\.It Dv //p' "$doc/man/kvmclock_handover.4")"

# The two tables of errnos in the comment at the top of the header.
uapi_errnos() { # TITLE
	sed -n "/^ \* $1/,/^ \*\/\|^ \* Errors of single/p" "$uapi" | sed -nE 's/^ \* (E[A-Z0-9]+) .*/\1/p'
}
compare "errnos of every ioctl" "$(uapi_errnos 'Errors every ioctl')" "$(marked errnos every)"
compare "errnos of single ioctls" "$(sed -n '/^ \* Errors of single ioctls/,/^ \*\//p' "$uapi" |
	sed -nE 's/^ \* (E[A-Z0-9]+) .*/\1/p')" "$(marked errnos single)"

# Of each structure's comment, what follows "Errors:" up to its end or an empty line.
while read -r structure; do
	name=KCH_IOC_$(tr "[:lower:]" "[:upper:]" <<<"${structure#kch_}")
	in_header=$(sed -n "/^ \* struct $structure - /,/^ \*\//p" "$uapi" |
		sed -n '/Errors: /,/^ \*\(\/\|$\)/p' | sed 's/([^)]*)//g; s/.*Errors: //' |
		grep -oE '\bE[A-Z0-9]+\b') || true
	in_doc=$(sed -n "/^$name\$/,/^KCH_IOC_\|^Errors\$/{/^$name\$/d;p}" "$abi" |
		sed -n '/^Errors: /,/^$/p' | grep -oE '\bE[A-Z0-9]+\b') || true
	[[ ! $in_header && ! $in_doc ]] || compare "errnos of $name" "$in_header" "$in_doc"
done < <(sed -nE 's/^ \* struct (kch_[a-z]+) - KCH_IOC_.*/\1/p' "$uapi")

compare "module parameters" \
	"$(sed -nE 's/^module_param(_hw)?\(([a-z_]+),.*/\2/p' "$KCH_ROOT/kernel/main.c")" \
	"$(sed -n '/^\.Sh MODULE PARAMETERS/,/^\.Sh/s/^\.It Cm \([a-z_]*\).*/\1/p' "$doc/man/kvmclock_handover.4")"
compare "library functions" "$(grep -oE '\bkch_[a-z_]+' "$map")" \
	"$(sed -nE 's/^\.F[no] "?([a-z_]+)"?.*/\1/p' "$doc/man/libkvmclock-handover.3")"
compare "subcommands" "$(sed -nE 's/^\t\{ "([a-z-]+)", cmd_.*/\1/p' "$cli/main.c")" \
	"$(sed -n '/^\.Sh COMMANDS/,/^\.Sh/s/^\.Ss \([a-z-]*\).*/\1/p' "$doc/man/kvmclockctl.8")"
compare "options" "$(sed -nE 's/^\t\{ "([a-z-]+)", (no|required|optional)_argument, .*/\1/p' "$cli/options.c")" \
	"$(grep -oE '^\.It Fl -[a-z-]+' "$doc/man/kvmclockctl.8" | sed 's/.*Fl -//')"
# What it prints: names of fields, columns and tables.
compare "output fields of kvmclockctl" \
	"$(cat "$cli"/*.c | grep -oE '(output_(u64|s64|hex|bool|string|uuid|table|line)\([^"(]*|print_error\(tool, )"[a-z0-9_]+"' |
		sed -E 's/.*"([a-z0-9_]+)"/\1/')" \
	"$(sed -n '/^\.Sh OUTPUT/,/^\.Sh/s/^\.It Va \([a-z0-9_]*\).*/\1/p' "$doc/man/kvmclockctl.8")"

[[ ! $failed ]] || die "documentation and sources differ"
msg "$compared names agree"
