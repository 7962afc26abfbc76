#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test kvmclock-run and its library without KVM: the gate, with threads; what is said and returned
# when a clock cannot be restored; options; what a running guest's KVM_RUN executes more.
#
#   tests/qemu/gate.sh

set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
userspace=$root/build/userspace
programs=$root/build/tests/qemu/gate
id=11111111-1111-1111-1111-111111111111

make --no-print-directory -s -C "$root/userspace" >&2
make --no-print-directory -s -C "$here" >&2

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
number=0 failed=0 skipped=0

result() { # STATUS NAME [REASON]
	number=$((number + 1))
	if (($1 == 0)); then
		echo "ok $number $2"
	else
		failed=$((failed + 1))
		echo "not ok $number $2${3:+ # $3}"
		sed 's/^/#   /' "$work/out"
	fi
}

skip() { # NAME REASON
	number=$((number + 1)) skipped=$((skipped + 1))
	echo "ok $number $1 # SKIP $2"
}

# STATUS expected, TEXT to be said (empty: nothing at all), NAME, then options and -- command.
run() {
	local expected=$1 text=$2 name=$3 status=0
	shift 3
	LD_PRELOAD=$programs/fake-kvm.so timeout 60 "$userspace/kvmclock-run" "$@" \
		>"$work/out" 2>&1 || status=$?
	if ((status != expected)); then
		result 1 "$name" "status $status, expected $expected"
	elif [[ $text ]] && ! grep -qF -- "$text" "$work/out"; then
		result 1 "$name" "not said: $text"
	elif [[ ! $text ]] && grep -q '^kvmclock-run:' "$work/out"; then
		result 1 "$name" "said something"
	else
		result 0 "$name"
	fi
}

gate() { # STATUS TEXT NAME CASE [OPTION...]
	local expected=$1 text=$2 name=$3 case=$4
	shift 4
	run "$expected" "$text" "$name" --id "$id" "$@" -- "$programs/test-gate" "$case"
}

echo "KTAP version 1"
for try in 1 2 3; do
	gate 0 "clock restored: identical" "comes back, $try" comes-back -v
done
gate 0 "" "comes back, quietly" comes-back
gate 0 "this guest starts anew" "starts anew with a record" starts-anew
gate 0 "clock restored" "... unless one says it comes back" comes-back --incoming yes -v
gate 0 "saved clock taken back" "stop, go, stop, end" stop-and-go -v
gate 0 "saved clock taken back" "a vCPU closed unseen" closed-unseen -v --log "$work/unseen"
gate 0 "saved clock taken back" "signals" signals -v
gate 0 "clock restored" "the frequency settles later" try-again -v
gate 1 "refused by the test" "does not wait for ever" try-again --wait 0
gate 0 "clock not restored: refused by the test; the guest's kvmclock is" "refused" refused
gate 4 "the guest is not started (--require)" "refused, required" refused --require
gate 0 "as the VMM set it: 101." "how far behind, of a scaled guest" scaled
gate 0 "the module kvmclock_handover is not loaded" "no module" no-module
gate 4 "the module kvmclock_handover is not loaded" "no module, required" no-module --require
gate 0 "3 vCPUs were saved, there are 4" "another number of vCPUs" other-vcpus
gate 4 "3 vCPUs were saved, there are 4" "... required" other-vcpus --require
gate 0 "process 77 has another VM of this id" "an id saved twice" saved-twice
gate 0 "clock saved" "saved by kvmclockctl before it stopped" saved-before -v
gate 0 "is dropped" "a stale record" stale
gate 0 "is dropped" "... refused" refused-stale
gate 0 "the guest is not started (--require)" "... refused, required" refused-stale --require
gate 0 "clock restored" "a helper forked while the gate is held" fork -v
gate 0 "clock restored" "... with a log file" fork -v --log "$work/fork"
gate 0 "saved clock taken back" "... and one in the VMM's memory" vfork -v

run 2 "usage:" "no id" -- true
run 2 "not a UUID" "a bad id" --id web1 -- true
run 2 "usage:" "no program" --id "$id"
run 127 "not found" "a program that is not there" --id "$id" -- no-such-program
run 1 "linked statically" "a static program" --id "$id" -- "$root/build/tests/qemu/guest"
{
	printf '\177ELF\1'
	head -c 100 /dev/zero
} >"$work/elf32"
chmod 755 "$work/elf32"
run 1 "is a 32-bit program" "a 32-bit program" --id "$id" -- "$work/elf32"
# A program that changes its user or group, which is a matter of root's, too.
set_id() { # OWNER:GROUP BITS
	rm -f "$work/set-id"
	cp "$(type -P true)" "$work/set-id"
	chown "$1" "$work/set-id"
	chmod "$2,a+rx" "$work/set-id"
}
set_id "$(id -u):$(id -g)" u+s,g+s
run 0 "" "a program set to the user and group it is started by" --id "$id" -- "$work/set-id"
if ((EUID == 0)); then
	set_id 1:0 u+s
	run 1 "changes its user to 1" "... to another user" --id "$id" -- "$work/set-id"
	set_id 0:1 g+s
	run 1 "changes its group to 1" "... to another group" --id "$id" -- "$work/set-id"
else
	skip "... to another user or group" "not root"
fi
run 1 "cannot be preloaded" "a library that is none" --id "$id" --library "$here/gate.sh" -- true
run 2 "--wait" "a bad number" --id "$id" --wait soon -- true
for wait in '' ' 5' +5 -1 -18446744073709551615 3601 99999999999999999999 5s; do
	run 2 "--wait $wait:" "... '$wait'" --id "$id" --wait "$wait" -- true
done
run 0 "" "... a good one" --id "$id" --wait 3600 -- true
run 0 "" "a program without a VM" --id "$id" -- true
run 0 "usage:" "help" --help

# The dynamic linker does not look for a library in the working directory.
cp "$userspace/libkvmclock-run.so" "$work"
cd "$work"
gate 0 "clock restored" "a library in the working directory" comes-back -v --library libkvmclock-run.so
cd "$root"

# ... and takes no space in a path, but follows a link.
mkdir "$work/a folder"
cp "$userspace/libkvmclock-run.so" "$work/a folder"
ln -s "a folder/libkvmclock-run.so" "$work/link.so"
gate 1 "no path with a space" "a library with a space in its path" comes-back \
	--library "$work/a folder/libkvmclock-run.so"
gate 0 "clock restored" "... by a link" comes-back -v --library "$work/link.so"
gate 1 "not found" "a library that is not there" comes-back --library "$work/none.so"

# The message also in the log file.
gate 0 "clock restored" "a log file" comes-back -v --log "$work/log"
status=0
grep -q "^kvmclock-run: $id: clock restored" "$work/log" || status=1
result $status "... has the message"

# ... which a VMM that changes its working directory still finds.
cd "$work"
run 0 "clock restored" "a relative log file" --id "$id" -v --log here -- \
	sh -c "cd / && exec '$programs/test-gate' comes-back"
cd "$root"
status=0
grep -q "^kvmclock-run: $id: clock restored" "$work/here" || status=1
result $status "... has the message"

# One branch more than the C library's own, whatever the compiler made of it; what it costs in
# time is bench-gate.sh's. The control is an ioctl that is looked at.
steps() { # OPTION...: branches more
	"$userspace/kvmclock-run" --id "$id" -- "$programs/steps" "$@" >"$work/out" 2>&1 &&
		sed -n 's/^branches_more=//p' "$work/out"
}
status=0
[[ $(steps) == 1 ]] || status=1
echo "# $(tr '\n' ' ' <"$work/out")"
result $status "KVM_RUN: one branch more"
status=0
(($(steps --create) > 1)) || status=1
result $status "... of an ioctl that is looked at: more than one"

echo "1..$number"
echo "# $((number - failed - skipped)) passed, $failed failed, $skipped skipped"
((failed == 0))
