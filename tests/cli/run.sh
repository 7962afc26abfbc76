#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Test the library and kvmclockctl as far as that goes without KVM: raw dumps, output forms, exit
# codes, finding VMs of other processes, the library's order of writes.
#
#   tests/cli/run.sh [CASE...]

set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
programs=$root/build/tests/cli
userspace=$root/build/userspace
tool=$userspace/kvmclockctl

make --no-print-directory -s -C "$root/userspace" >&2
make --no-print-directory -s -C "$here" >&2

work=$(mktemp -d)
vmm_pid=
cleanup() {
	[[ -z $vmm_pid ]] || kill "$vmm_pid" 2>/dev/null || true
	rm -rf -- "$work"
}
trap cleanup EXIT

passed=0 failed=0 skipped=0 checks=0 bad=0 skip=

# --- checks --------------------------------------------------------------------------------

fault() {
	printf '# %s\n' "$*"
	bad=$((bad + 1))
}

# Runs the tool with its output in $work/out and $work/err; expects an exit status.
run() { # STATUS ARGUMENTS...
	local expected=$1 status=0
	shift
	checks=$((checks + 1))
	"$tool" "$@" >"$work/out" 2>"$work/err" || status=$?
	if ((status != expected)); then
		fault "status $status, expected $expected: kvmclockctl $*: $(head -n 1 "$work/err")"
	fi
}

# The same with the fake device.
run_fake() { # STATUS ARGUMENTS...
	LD_PRELOAD=$programs/fake.so run "$@"
}

has() { # FILE FIXED-STRING
	checks=$((checks + 1))
	grep -F -q -- "$2" "$work/$1" || fault "no '$2' in $1: $(head -c 600 "$work/$1")"
}

has_line() { # FILE LINE
	checks=$((checks + 1))
	grep -F -x -q -- "$2" "$work/$1" || fault "no line '$2' in $1: $(head -c 600 "$work/$1")"
}

has_not() { # FILE FIXED-STRING
	checks=$((checks + 1))
	! grep -F -q -- "$2" "$work/$1" || fault "'$2' is in $1"
}

is_json() {
	local what
	checks=$((checks + 1))
	what=$("$programs/json-check" <"$work/out") || fault "$what"
}

# The value of a field, or a column of a table's rows, of --tsv output.
tsv() { # FIELD | TABLE COLUMN
	if (($# == 1)); then
		sed -n "s/^$1\t//p" "$work/out"
	else
		grep "^$1	" "$work/out" | cut -f "$2" || true
	fi
}

equal() { # FOUND EXPECTED
	checks=$((checks + 1))
	[[ $1 == "$2" ]] || fault "'$1', expected '$2'"
}

region() { # FILE SLOT SEQUENCE VM...
	local file=$1
	shift
	"$programs/mk-region" "$work/$file" 65536 "$@"
}

flip() { # FILE BYTE BIT
	"$programs/mk-region" "$work/$1" flip "$2" "$3"
}

# A process that looks like it has VMs; its pid in $vmm_pid.
start_vmm() { # NUMBERS ARGUMENTS...
	local ready
	stop_vmm
	: >"$work/vmm"
	exec {vmm_in}> >(exec "$programs/fake-vmm" "$@" >"$work/vmm")
	vmm_pid=$!
	for _ in {1..100}; do
		read -r ready <"$work/vmm" && [[ $ready == ready ]] && return
		sleep 0.05
	done
	fault "fake-vmm did not start"
}

stop_vmm() {
	[[ $vmm_pid ]] || return 0
	exec {vmm_in}>&-
	kill "$vmm_pid" 2>/dev/null || true
	# Until it is gone it would be in the next case's list.
	wait "$vmm_pid" 2>/dev/null || true
	rm -f "$work/vmm"
	vmm_pid=
}

uuid_of() { # LETTER
	printf '11111111-1111-1111-1111-1111111111%02x' "'$1"
}

# --- cases ---------------------------------------------------------------------------------

case_usage() {
	run 2
	run 0 --help
	has out kexec-args
	run 0 --version
	run 2 nonsense
	has err "no command 'nonsense'"
	run 2 save
	has err 'save: which VM?'
	run 2 show
	run 2 restore
	run 2 unsave
	run 2 save --bogus
	run 2 save --id
	has err '--id needs a value'
	run 2 save --id 12
	has err 'not a UUID: 12'
	run 2 save --id 00000000-0000-0000-0000-000000000000
	run 2 save --pid 0
	run 2 save --pid 1x
	run 2 save --fd 3 --all
	has err '--fd needs --pid'
	run 2 save --all --pid 1
	run 2 save --pid 1 --name "$(printf 'x%.0s' {1..64})"
	run 2 status extra
	has err 'unexpected operand: extra'
	run 2 status --all
	run 2 decode
	run 2 decode a b
	run 2 show --pid 1 --incoming
	run 0 restore --help
	has out '--unsealed'
}

case_no_device() {
	run 1 status --device /nonexistent
	has err 'kvmclockctl status: /nonexistent: No such file or directory; the module'
	run 1 status --device /dev/null
	has err 'this is not the device of the module'
	run 1 status --json --device /nonexistent
	is_json
	has out '"errno": "ENOENT"'
	run 1 list --device /nonexistent
	run 1 verify --device /nonexistent
}

case_decode_region() {
	region r 0 7 web:2 db:1
	region r 1 8 web:2:1 db:1 mail:4
	run 0 decode --tsv "$work/r"
	equal "$(tsv kind)" region
	equal "$(tsv newest_slot)" 1
	equal "$(tsv sequence)" 8
	equal "$(tsv generation)" 3
	equal "$(tsv sealed)" yes
	equal "$(tsv tsc_khz)" 2596124
	equal "$(tsv tsc_source)" settled
	equal "$(tsv realtime_ns)" 1700000000123456789
	equal "$(tsv kernel_release)" 6.12.0-test
	equal "$(tsv boot_id)" b0b0b0b0-b0b0-b0b0-b0b0-b0b0b0b0b0b0
	equal "$(tsv slots 4)" $'valid\nvalid'
	equal "$(tsv vms 5)" $'web\ndb\nweb\ndb\nmail'
	equal "$(tsv vms 4 | head -n 1)" "$(uuid_of w)"
	equal "$(tsv vms 15 | head -n 1)" -3000000000
	equal "$(tsv vcpus 9 | sort -u)" $'-68719476735\n-68719476736'
	equal "$(tsv vcpus 1 | wc -l)" 10
	equal "$(tsv damage 1)" ''
	run 0 decode - <"$work/r"
	has_line out 'newest_slot:           1'
	run 0 decode --json "$work/r"
	is_json
	has out '"tsc_offset": -68719476736'
	has out '"errors": []'
}

case_decode_empty() {
	head -c 65536 /dev/zero >"$work/zero"
	run 3 decode --tsv "$work/zero"
	equal "$(tsv slots 4)" $'empty\nempty'
	equal "$(tsv newest_slot)" -
	has err 'there is no record in it'
	run 3 decode --json "$work/zero"
	is_json
	region r 0 7 web:1
	"$programs/mk-region" "$work/r" revoke 65536 0
	run 3 decode --tsv "$work/r"
	has out 'taken back'
	run 1 decode "$work/nonexistent"
	has err 'No such file'
	head -c 100 /dev/zero >"$work/short"
	run 1 decode "$work/short"
	has err 'too small'
	: >"$work/nothing"
	run 1 decode "$work/nothing"
}

case_decode_record() {
	region r 0 7 web:2
	head -c $((320 + 192 + 2 * 64)) "$work/r" >"$work/record"
	run 0 decode --tsv "$work/record"
	equal "$(tsv kind)" record
	equal "$(tsv vms 5)" web
	run 0 decode --tsv --record "$work/r"
	equal "$(tsv kind)" record
	equal "$(tsv vcpus 1 | wc -l)" 2
	# One that lost its end is a damaged region, or with --record a damaged record.
	head -c 600 "$work/r" >"$work/cut"
	run 1 decode --record "$work/cut"
	run 1 decode "$work/cut"
}

# A newer record that this tool cannot read: the older one is out of date.
case_decode_newer() {
	region r 0 7 web:1
	region r 1 8 web:1
	"$programs/mk-region" "$work/r" incompat 65536 1
	run 4 decode --tsv "$work/r"
	equal "$(tsv slots 4)" $'valid\nnewer'
	equal "$(tsv newest_slot)" -
	has err 'incompatible features'
}

# Every bit of a record: it is said where one is wrong, and what is behind it can still be read.
case_decode_bits() {
	local byte bit field
	region r 0 7 web:1 db:1
	# magic, header_size, sequence, commit; VM size, crc, name, vcpu_count; vCPU mul
	for field in 0:magic 8:header_size 13:vm_size 33:sequence 73:host_tsc 304:crc32c 308:reserved2 \
		312:commit 319:commit 320:size 321:size 324:crc32c 330:uuid 344:name \
		408:vcpu_count 409:vcpu_count 420:master_cycle_now "520:vcpu 0 tsc_offset" \
		"560:vcpu 0 tsc_to_system_mul" "564:vcpu 0 tsc_shift"; do
		byte=${field%%:*}
		for bit in 0 5 7; do
			cp "$work/r" "$work/bad"
			flip bad "$byte" "$bit"
			run 1 decode --tsv "$work/bad"
			if ((byte < 320)); then
				equal "$(tsv damage 3)" header
				continue
			fi
			equal "$(tsv damage 3)" 'VM entry 0'
			case ${field#*:} in
			# Where the next one begins is not known then.
			size | vcpu_count) equal "$(tsv vms 5)" '' ;;
			*) equal "$(tsv vms 5)" db ;;
			esac
		done
	done
	has err 'slot 0: VM entry 0: VM entry at byte 320: checksum'
	# Control: an undamaged one has none.
	run 0 decode --tsv "$work/r"
	equal "$(tsv damage 1)" ''
}

case_decode_damaged() {
	region r 0 7 web:1 db:1
	flip r 330 1
	flip r 340 1
	run 1 decode --tsv "$work/r"
	equal "$(tsv damage 3)" 'VM entry 0'
	equal "$(tsv vms 5)" db
	run 1 decode --json "$work/r"
	is_json
	# The older record is whole: it is shown, the newer one's damage too.
	rm "$work/r"
	region r 0 7 web:1
	region r 1 8 web:1
	flip r $((32768 + 72)) 3
	run 1 decode --tsv "$work/r"
	equal "$(tsv newest_slot)" 0
	equal "$(tsv slots 4)" $'valid\ndamaged'
	equal "$(tsv damage 2,3)" $'1\theader'
	# Something else altogether
	head -c 65536 /dev/urandom >"$work/noise"
	run 1 decode "$work/noise"
	has err 'magic number'
	head -c 65536 /dev/urandom >"$work/noise2"
	run 1 decode --json "$work/noise2"
	is_json
}

# More than any region has is refused before it is kept.
case_decode_large() {
	local status=0
	checks=$((checks + 1))
	(ulimit -v 300000 && timeout 60 "$tool" decode /dev/zero) >"$work/out" 2>"$work/err" || status=$?
	((status == 1)) || fault "status $status, expected 1: $(head -c 300 "$work/err")"
	has err '/dev/zero: more than 67108864 bytes: no region is that large'
	truncate -s 67108864 "$work/large"
	run 3 decode "$work/large"
	truncate -s 67108865 "$work/large"
	run 1 decode "$work/large"
	has err 'no region is that large'
	rm "$work/large"
}

case_decode_hostile_text() {
	local name=$'e\033[2J"\\\t\377x'
	region r 0 7 "$name:1"
	run 0 decode "$work/r"
	has_not out $'\033'
	has out 'e\x1b[2J"\x5c\x09\xffx'
	run 0 decode --json "$work/r"
	is_json
	has out '"e\u001b[2J\"\\\u0009\ufffdx"'
	run 0 decode --tsv "$work/r"
	equal "$(tsv vms 19)" 4242
}

# Control: what is_json lets through is JSON.
case_json_check() {
	local text
	for text in '' '{' '{"a":1,}' '{a:1}' '[1 2]' '01' '1.' '"a' $'"\t"' '"\x"' '"\u12"' '{} {}' \
		$'"\xff"' $'"\xc0\x80"' $'"\xed\xa0\x80"' nul; do
		checks=$((checks + 1))
		! printf %s "$text" | "$programs/json-check" >/dev/null || fault "passes for JSON: $text"
	done
	for text in '{}' '[]' '-0.5e+3' '{"a": [1, "b", null, true, {"c": "\u00e9é"}]}'; do
		checks=$((checks + 1))
		printf %s "$text" | "$programs/json-check" >/dev/null || fault "does not pass for JSON: $text"
	done
}

case_symbols() {
	"$here/check-symbols.sh" "$root/userspace" "$userspace" >"$work/out" 2>&1 ||
		fault "$(cat "$work/out")"
	checks=$((checks + 1))
	# Control: a function that the header does not have is seen.
	mkdir -p "$work/userspace/lib" "$work/userspace/include"
	cp "$root"/userspace/lib/*.map "$work/userspace/lib/"
	cp "$root"/userspace/include/*.h "$work/userspace/include/"
	grep -v 'KCH_API int kch_list(' "$root/userspace/include/kvmclock-handover.h" \
		>"$work/userspace/include/kvmclock-handover.h"
	checks=$((checks + 1))
	! "$here/check-symbols.sh" "$work/userspace" "$userspace" >"$work/out" 2>&1 ||
		fault 'a missing declaration was not seen'
	has out kch_list
}

case_install() {
	checks=$((checks + 1))
	"$here/check-install.sh" "$root/userspace" >"$work/out" 2>&1 || fault "$(cat "$work/out")"
}

case_library() {
	local status=0
	region saved 0 7 a:2 z:1
	region live 0 7 a:2 b:2:1 c:2:0:1 d:1
	region large 0 7 a:100
	SAVED_REGION=$work/saved LIVE_REGION=$work/live LARGE_REGION=$work/large \
		"$programs/test-library" >"$work/out" 2>&1 || status=$?
	checks=$((checks + 1))
	((status == 0)) || fault "status $status: $(grep -v '^ok' "$work/out" || true)"
	has out '# Totals: pass:19 fail:0 skip:0'
}

# Without the module; the number of cases is checked so that none is lost.
case_stock() {
	local status=0
	STOCK_FILE=$work/stock "$programs/test-stock" >"$work/out" 2>&1 || status=$?
	checks=$((checks + 1))
	((status == 0)) || fault "status $status: $(grep -v '^ok' "$work/out" || true)"
	has out '# Totals: pass:16 fail:0 skip:0'
	# The bytes are a record: the tool shows them.
	run 0 decode --tsv "$work/stock"
	equal "$(tsv vms 5)" web1
	equal "$(tsv vcpus 9 | sort -u)" -68719476736
	equal "$(tsv damage 1)" ''
}

case_stock_vm() {
	local status=0
	"$programs/test-stock-vm" >"$work/out" 2>&1 || status=$?
	checks=$((checks + 1))
	((status == 0)) || fault "status $status: $(grep -v '^ok' "$work/out" || true)"
	has out '# Totals: pass:4 fail:0 skip:0'
}

# With this machine's KVM, if it has one; the emulated host runs the same program.
case_stock_kvm() {
	local status=0
	if ! STOCK_CONTROL_IS_ELSEWHERE=1 STOCK_READINGS=800 "$programs/stock-kvm" >"$work/out" 2>&1; then
		status=1
	fi
	if grep -q '^1..0 # SKIP' "$work/out"; then
		skip='no usable /dev/kvm'
		return
	fi
	checks=$((checks + 1))
	((status == 0)) || fault "$(grep -v '^ok' "$work/out" || true)"
	has out '# Totals: pass:3 fail:0 skip:0'
}

case_status() {
	region saved 0 7 a:2 z:1
	FAKE_INCOMING=$work/saved run_fake 0 status --tsv
	equal "$(tsv modes)" identical
	equal "$(tsv region_start)" 0x30000000
	equal "$(tsv incoming)" yes
	equal "$(tsv incoming_kernel)" 6.12.0-test
	equal "$(tsv incoming_error)" -
	run_fake 0 status --tsv
	equal "$(tsv incoming)" no
	equal "$(tsv incoming_error)" ENODATA
	has out 'no record was ever written here'
	run_fake 0 status --json
	is_json
	has out '"region_start": 805306368'
	has out '"incoming": false'
	FAKE_ERROR='0:1:' run_fake 1 status
}

case_list_show() {
	region saved 0 7 a:2 z:1
	start_vmm 0 -uuid "$(uuid_of a)" -name guest=web1,debug-threads=on
	FAKE_INCOMING=$work/saved FAKE_LIVE=$work/saved run_fake 0 list --tsv
	equal "$(tsv incoming 3)" $'a\nz'
	equal "$(tsv outgoing 1)" ''
	equal "$(tsv live 4 | grep -x "$vmm_pid")" "$vmm_pid"
	equal "$(tsv live 3 | grep -x web1)" web1
	FAKE_INCOMING=$work/saved FAKE_LIVE=$work/saved run_fake 0 list --json
	is_json
	# Read again at the seal; out of date; without master clock; read when it went away.
	region last 0 7 a:2 b:1:0:0::16 c:1:0:0::4 d:1:0:0::9
	FAKE_INCOMING=$work/last FAKE_OUTGOING=$work/last run_fake 0 list --tsv
	equal "$(tsv incoming 10)" $'exact\nstale\nno master clock\nexact'
	equal "$(tsv outgoing 8)" $'exact\nstale\nno master clock\nexact'
	local letter
	for letter in a b c d; do
		FAKE_INCOMING=$work/last run_fake 0 show --tsv --id "$(uuid_of "$letter")"
		equal "$letter $(tsv at_seal) $(tsv at_end) $(tsv stale) $(tsv master_clock)" "$(
			case $letter in
			a) echo a yes no no yes ;; b) echo b no no yes no ;;
			c) echo c yes no no no ;; d) echo d no yes no yes ;;
			esac)"
	done
	FAKE_INCOMING=$work/saved run_fake 0 show --tsv --id "$(uuid_of a)"
	equal "$(tsv source)" incoming
	equal "$(tsv vcpu_count)" 2
	equal "$(tsv vcpus 14)" $'-1\n-1'
	FAKE_OUTGOING=$work/saved run_fake 0 show --tsv --id "$(uuid_of a)"
	equal "$(tsv source)" outgoing
	FAKE_OUTGOING=$work/saved run_fake 3 show --incoming --id "$(uuid_of a)"
	FAKE_INCOMING=$work/saved run_fake 3 show --id "$(uuid_of q)"
	FAKE_LIVE=$work/saved run_fake 0 show --tsv --pid "$vmm_pid"
	equal "$(tsv source)" live
	equal "$(tsv uuid)" "$(uuid_of a)"
	equal "$(tsv rebase_bound_ns)" 46
	FAKE_LIVE=$work/saved run_fake 0 show --json --pid "$vmm_pid"
	is_json
	FAKE_LIVE=$work/saved run_fake 3 show --pid $$
	has err 'it has no such VM'
	# It ended between being looked at and being named; it closed one and has another file there.
	FAKE_LIVE=$work/saved FAKE_ENDED=1 run_fake 3 show --pid "$vmm_pid"
	has err 'it has no such VM'
	start_vmm 99,0 -uuid "$(uuid_of a)"
	run_fake 0 list --tsv
	equal "$(tsv live 2,4)" "$(uuid_of a)	$vmm_pid"
	stop_vmm
}

case_save() {
	region live 0 7 a:2 b:1
	start_vmm 0,1 --uuid "$(uuid_of a)" -name web1
	FAKE_LIVE=$work/live run_fake 0 save --tsv --pid "$vmm_pid" --fd 3
	equal "$(tsv vms 2)" "$(uuid_of a)"
	equal "$(tsv vms 5)" saved
	FAKE_LIVE=$work/live run_fake 2 save --pid "$vmm_pid"
	has err 'it has several VMs'
	FAKE_LIVE=$work/live run_fake 0 save --id "$(uuid_of a)"
	FAKE_LIVE=$work/live run_fake 3 save --id "$(uuid_of q)"
	FAKE_LIVE=$work/live run_fake 0 save --tsv --pid "$vmm_pid" --fd 3 --id "$(uuid_of q)" --name Q
	equal "$(tsv vms 2)" "$(uuid_of q)"
	equal "$(tsv vms 3)" Q
	FAKE_LIVE=$work/live FAKE_OUTGOING=$work/live run_fake 0 save --tsv --pid "$vmm_pid" --fd 3
	equal "$(tsv vms 5)" replaced
	# A failure is reported, and the next VM is done all the same.
	FAKE_LIVE=$work/live FAKE_ERROR='1:28:region full, 4096 bytes needed' run_fake 1 save --tsv --all
	equal "$(tsv vms 5 | sort -u)" ENOSPC
	has err 'kvmclockctl save: web1: region full, 4096 bytes needed; its clock is not saved'
	checks=$((checks + 1))
	(($(tsv vms 5 | wc -l) >= 2)) || fault 'it stopped at the first failure'
	FAKE_LIVE=$work/live FAKE_ERROR='1:28:region full' run_fake 4 save --id "$(uuid_of a)" --json
	is_json
	has out '"errno": "ENOSPC"'
	FAKE_LIVE=$work/live FAKE_ERROR='1:1:not permitted' run_fake 1 save --id "$(uuid_of a)"
	stop_vmm
}

case_unsave() {
	region saved 0 7 a:2 z:1
	FAKE_OUTGOING=$work/saved run_fake 0 unsave --all --tsv
	equal "$(tsv vms 3)" $'a\nz'
	run_fake 3 unsave --all
	FAKE_ERROR='2:2:no VM of that id' run_fake 3 unsave --id "$(uuid_of a)"
	has err 'the record is unchanged'
}

# Ids: QEMU's, from a name, from the process; always the same.
case_identity() {
	local first
	start_vmm 0,1 -name guest=db,,1,process=qemu
	run_fake 0 list --tsv
	equal "$(tsv live 3 | grep -c -x 'db,1')" 2
	first=$(tsv live 2 | sort)
	# An interface: FNV-1a of kvmclock-handover:name:db,1 and ...:db,1:1, as UUIDv8.
	equal "$first" $'603cb51c-a96a-8b18-90c6-14711047ae30\n6699eba9-7965-87a9-a5e8-4ab631fa2ce9'
	stop_vmm
	local names
	for names in guest=db,,1 db,,1,debug-threads=on debug-threads=on,guest=db,,1 \
		process=q,,guest=z,guest=z,guest=db,,1,debug-threads=on; do
		start_vmm 0,1 -name "$names"
		run_fake 0 list --tsv
		equal "$(tsv live 2 | sort)" "$first"
		stop_vmm
	done
	# Another option of the same kind takes nothing away, and is no name.
	start_vmm 0,1 -name db,,1 -name process=qemu,debug-threads=on
	run_fake 0 list --tsv
	equal "$(tsv live 2 | sort)" "$first"
	stop_vmm
	start_vmm 5
	run_fake 0 list --tsv
	first=$(tsv live 2)
	run_fake 0 list --tsv
	equal "$(tsv live 2)" "$first"
	checks=$((checks + 1))
	[[ $first =~ ^........-....-8...-[89ab]...-............$ ]] || fault "not a UUIDv8: $first"
	stop_vmm
}

# shellcheck source=tests/cli/cases-restore.sh
. "$here/cases-restore.sh"

case_verify() {
	region saved 0 7 a:2 z:1
	# Live: VM 0 as saved, VM 1 one cycle off, VM 2 one of mul off.
	region live 0 7 a:2 a:2:1 a:2:0:1
	export FAKE_INCOMING=$work/saved FAKE_LIVE=$work/live
	start_vmm 0 -uuid "$(uuid_of a)"
	run_fake 0 verify --tsv
	equal "$(tsv vms 5)" $'identical\nnot live'
	equal "$(tsv vms 7 | head -n 1)" 0
	equal "$(tsv vcpus 4)" $'yes\nyes'
	run_fake 0 verify --json
	is_json
	run_fake 3 verify --id "$(uuid_of z)"
	has err 'no VM of the record was found running'
	run_fake 3 verify --outgoing
	start_vmm 1 -uuid "$(uuid_of a)"
	run_fake 1 verify --tsv
	equal "$(tsv vms 5)" $'differs\nnot live'
	equal "$(tsv vms 7 | head -n 1)" 1
	has err 'vCPU 0 is off by 0 ns, 1 cycles, 0 ppb'
	start_vmm 2 -uuid "$(uuid_of a)"
	run_fake 1 verify --tsv
	equal "$(tsv vms 5)" $'differs\nnot live'
	equal "$(tsv vms 7 | head -n 1)" 0
	# Its master clock was lost, and one vCPU's TSC moved: KVM's clock is compared.
	region lost 0 7 a:2:1:0:-2000
	export FAKE_LIVE=$work/lost
	start_vmm 0 -uuid "$(uuid_of a)"
	run_fake 1 verify --tsv --id "$(uuid_of a)"
	equal "$(tsv vms 5-8)" $'differs\t-2000\t1\t-'
	equal "$(tsv vms 12)" 7
	equal "$(tsv vcpus 4-8)" $'no\t-2000\t1\t-\t7\nno\t-2000\t1\t-\t7'
	has err "KVM has no master clock for it any more (its vCPUs' TSCs do not match, or the host's TSC went backwards); vCPU 0 is off by -2000 ns give or take 7, 1 cycles, at an unknown rate"
	FAKE_TSC_SOURCE=4 run_fake 1 verify --json --id "$(uuid_of a)"
	is_json
	has out '"rate_ppb": null'
	has err "(the host's clocksource is not the TSC)"
	export FAKE_LIVE=$work/live
	# Told by the module, and by hand.
	start_vmm 1,0
	FAKE_KNOWN=1 run_fake 1 verify --tsv --id "$(uuid_of a)"
	equal "$(tsv vms 5)" differs
	run_fake 1 verify --pid "$vmm_pid" --fd 3 --id "$(uuid_of a)"
	run_fake 0 verify --pid "$vmm_pid" --fd 5 --id "$(uuid_of a)"
	run_fake 2 verify --pid "$vmm_pid" --id "$(uuid_of a)"
	has err 'it has several VMs: say which with --fd'
	run_fake 3 verify --pid "$vmm_pid" --fd 99 --id "$(uuid_of a)"
	has err 'it has no such VM'
	# The saved one, to the bit, but not known to be the last; and what cannot be compared.
	start_vmm 0 -uuid "$(uuid_of a)"
	region last 0 7 a:2:0:0::16
	FAKE_INCOMING=$work/last run_fake 1 verify --tsv
	equal "$(tsv vms 5)" stale
	equal "$(tsv vms 7)" 0
	has err 'that may not be the last that it had'
	region last 0 7 a:2:0:0::4
	FAKE_INCOMING=$work/last run_fake 1 verify --tsv
	equal "$(tsv vms 5)" differs
	has err 'or did when it was read last'
	# An entry that is damaged may be any that was asked for, and is not there otherwise.
	start_vmm 0 -uuid "$(uuid_of a)"
	region damaged 0 7 a:2 z:1
	flip damaged $((320 + 192 + 2 * 64 + 100)) 3
	export FAKE_INCOMING=$work/damaged
	run_fake 1 verify --json
	is_json
	has out '"errno": "EBADMSG"'
	run_fake 1 verify --tsv
	equal "$(tsv vms 5)" $'identical\nunreadable'
	has err 'entry in the record is damaged'
	run_fake 0 verify --tsv --id "$(uuid_of a)"
	equal "$(tsv vms 5)" identical
	run_fake 0 verify --tsv --pid "$vmm_pid"
	equal "$(tsv vms 5)" identical
	run_fake 1 verify --tsv --id "$(uuid_of z)"
	equal "$(tsv vms 5)" unreadable
	start_vmm 0 -uuid "$(uuid_of z)"
	run_fake 1 verify --tsv --pid "$vmm_pid"
	equal "$(tsv vms 5)" unreadable
	stop_vmm
	unset FAKE_INCOMING
	run_fake 3 verify
	unset FAKE_LIVE
}

case_finish() {
	run_fake 0 finish --tsv
	equal "$(tsv restored)" 1
	FAKE_ERROR='7:39:1 VM was not restored' run_fake 4 finish
	has err 'kvmclockctl finish: 1 VM was not restored; the record is kept'
	FAKE_ERROR='7:61:no record' run_fake 3 finish
}

# shellcheck disable=SC2016 # the dollar is meant
case_kexec_args() {
	local ours='memmap=1M$0x30000000 kvmclock_handover.region=0x30000000,1M tsc_early_khz=2596124 hpet=disable pmtmr=0'
	run_fake 0 kexec-args
	equal "$(cat "$work/out")" "$ours"
	run_fake 0 kexec-args --shell
	equal "$(cat "$work/out")" "'$ours'"
	run_fake 0 kexec-args --grub
	equal "$(cat "$work/out")" "${ours/\$/\\\\\\\$}"
	run_fake 0 kexec-args --json
	is_json
	run_fake 0 kexec-args --append --cmdline \
		'BOOT_IMAGE=/vmlinuz root=/dev/vda memmap=4K$0x1000,1M$0x30000000 kvmclock-handover.region=1,2 hpet=force tsc_early_khz=5 dyndbg="file a +p" quiet -- single'
	equal "$(cat "$work/out")" \
		"root=/dev/vda memmap=4K\$0x1000 dyndbg=\"file a +p\" quiet $ours -- single"
	# Twice is the same as once.
	run_fake 0 kexec-args --append --cmdline "root=/dev/vda $ours"
	equal "$(cat "$work/out")" "root=/dev/vda $ours"
	FAKE_TSC_SOURCE=1 run_fake 4 kexec-args
	has err 'still calibrating'
	equal "$(cat "$work/out")" ''
	FAKE_TSC_SOURCE=0 run_fake 0 kexec-args
	has err 'may still change'
	FAKE_BACKEND=0 run_fake 4 kexec-args
	FAKE_BACKEND=3 run_fake 0 kexec-args
	equal "$(cat "$work/out")" 'kho=on tsc_early_khz=2596124 hpet=disable pmtmr=0'
	FAKE_BACKEND=3 run_fake 0 kexec-args --append --cmdline 'kho=off quiet'
	equal "$(cat "$work/out")" 'quiet kho=on tsc_early_khz=2596124 hpet=disable pmtmr=0'
}

case_full_disk() {
	local status=0
	region r 0 7 web:2
	checks=$((checks + 1))
	"$tool" decode "$work/r" >/dev/full 2>"$work/err" || status=$?
	((status == 1)) || fault "status $status, expected 1"
	has err 'standard output'
}

# --- all of them ---------------------------------------------------------------------------

mapfile -t cases < <(compgen -A function case_ | sed 's/^case_//')
if (($#)); then
	cases=("$@")
fi
printf 'KTAP version 1\n1..%d\n' "${#cases[@]}"
for case in "${cases[@]}"; do
	checks=0 bad=0 skip=
	rm -f "$work"/*.out "$work/r"
	"case_$case"
	number=$((passed + failed + skipped + 1))
	if [[ $skip ]]; then
		printf 'ok %d %s # SKIP %s\n' "$number" "$case" "$skip"
		skipped=$((skipped + 1))
	elif ((checks > 0 && bad == 0)); then
		printf 'ok %d %s # %d checks\n' "$number" "$case" "$checks"
		passed=$((passed + 1))
	else
		printf 'not ok %d %s # %d of %d checks failed\n' "$number" "$case" "$bad" "$checks"
		failed=$((failed + 1))
	fi
done
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
((failed == 0 && passed > 0))
