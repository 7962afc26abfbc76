# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs one stage of a case script; a child of init. The interface is at the top of init.

set -eu
# shellcheck source=tests/l1/init-lib.sh
. /kch/lib.sh
[ -r "/kch/cases/$SCRIPT.sh" ] || fail "no case script $SCRIPT.sh in the initramfs"
# shellcheck disable=SC1090 # any of cases/
. "/kch/cases/$SCRIPT.sh"

if [ "$(param trace no)" = yes ]; then
	set -x
fi
prepare_stage

# type says so on standard output; command -v would find programs too.
if type "stage_$STAGE" 2>/dev/null | grep -q function; then
	"stage_$STAGE"
elif type stage_n 2>/dev/null | grep -q function; then
	stage_n "$STAGE"
else
	fail "$SCRIPT.sh has neither stage_$STAGE nor stage_n"
fi
