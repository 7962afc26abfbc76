#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Do the headers, the symbol map and the shared library name the same functions, all of them with a
# version?
#
#   tests/cli/check-symbols.sh USERSPACE-SOURCES BUILD-FOLDER

set -euo pipefail

source=$1
library=$2/libkvmclock-handover.so

declared=$(sed -n 's/^KCH_API .*\b\(kch_[a-z_]*\)(.*/\1/p' "$source"/include/*.h | sort)
mapped=$(sed -n 's/^\t\(kch_[a-z_]*\);$/\1/p' "$source/lib/libkvmclock-handover.map" | sort)
exported=$(nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* T \(.*\)@@KCH_[0-9.]*$/\1/p' | sort)
all=$(nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* [^A] \([^@]*\).*/\1/p' | sort)

status=0
compare() { # NAME LIST NAME LIST
	local difference
	difference=$(diff <(printf '%s\n' "$2") <(printf '%s\n' "$4")) && return
	printf '%s (<) and %s (>) differ:\n%s\n' "$1" "$3" "$difference"
	status=1
}

[[ $declared ]] || { echo 'the headers declare nothing'; exit 1; }
compare header "$declared" map "$mapped"
compare map "$mapped" library "$exported"
compare 'versioned symbols' "$exported" 'all symbols' "$all"
exit "$status"
