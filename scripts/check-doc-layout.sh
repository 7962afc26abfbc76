#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Are the offsets, sizes and numbers in Documentation/ those of the headers?
#
#   scripts/check-doc-layout.sh
#
# In the documents a comment ".. layout: WHAT" starts what is compared, ".. end layout" ends it:
#
#   struct NAME   rows "OFFSET SIZE TYPE ``MEMBER`` ...": every member, in order, without a gap
#   constants     rows "``NAME`` VALUE ..."
#   ioctls        rows "``KCH_IOC_NAME`` NUMBER ``struct NAME`` SIZE ..."
#
# From these a C file of static assertions is made; the compiler is the judge.

set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "$0")/lib.sh"

documents=("$KCH_ROOT/Documentation/region-abi.rst" "$KCH_ROOT/Documentation/user-abi.rst")
work=$(mktemp -d)
# shellcheck disable=SC2064
trap "rm -rf -- '$work'" EXIT

# Awk's own errors and an unfinished block are failures, too.
for document in "${documents[@]}"; do
	awk -v file="${document##*/}" '
	function assert(what) {
		printf "_Static_assert(%s, \"%s line %d: %s\");\n", what, file, NR, what
		asserted++
	}
	function end_struct() {
		assert("sizeof(" structure ") == " next_offset)
		structure = ""
	}
	/^\.\. layout: / {
		if (kind != "") { print "#error block in a block"; exit 1 }
		kind = $3
		if (kind == "struct") { structure = $3 " " $4; next_offset = 0 }
		asserted = 0
		next
	}
	/^\.\. end layout/ {
		if (structure != "") end_struct()
		if (!asserted) printf "#error %s line %d: a block without a row\n", file, NR
		kind = ""
		next
	}
	kind == "" { next }
	{ row = $0; gsub(/``/, "", row); split(row, field, " +") }
	kind == "struct" && /^[0-9]/ {
		assert("offsetof(" structure ", " field[4] ") == " field[1])
		assert("sizeof(((" structure " *)0)->" field[4] ") == " field[2])
		if (field[1] != next_offset)
			printf "#error %s line %d: a gap before %s\n", file, NR, field[4]
		next_offset = field[1] + field[2]
	}
	kind == "constants" && /^``/ { assert(field[1] " == " field[2]) }
	kind == "ioctls" && /^``/ {
		assert(field[1] " == " field[2])
		assert("sizeof(" field[3] " " field[4] ") == " field[5])
	}
	END { if (kind != "") printf "#error %s: no end layout\n", file }
	' "$document" >>"$work/rows"
done

{
	echo '#include <stddef.h>'
	echo '#include <linux/kvmclock_handover.h>'
	echo '#include <linux/kvmclock_handover_record.h>'
	cat "$work/rows"
} >"$work/layout.c"

# A document that lost its marks would pass without a word.
count=$(grep -c '^_Static_assert' "$work/rows") || true
((count > 100)) || die "only $count assertions found in the documents"
"${CC:-gcc}" -fsyntax-only -I"$KCH_ROOT/kernel/include/uapi" -I"$KCH_ROOT/kernel/include" \
	"$work/layout.c" || die "the documents and the headers differ"

# The table of a structure is compared with the compiler's sizes; that it is whole needs the header.
for name in kch_rec_header kch_rec_vm kch_rec_vcpu; do
	grep -q "^\.\. layout: struct $name\$" "${documents[@]}" ||
		die "no table of struct $name"
done
msg "$count numbers agree"
