#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Are the unit tests any good? Breaks a copy of clock.c, record.c, slots.c, machine.c or fields.c, one way at a
# time, and demands that the tests fail.
#
#   mutants.sh [NAME...]      (make -C tests/unit mutants)
#
# Each mutant is one sed command that must change the file, and the result must
# compile. First the unbroken copy: the tests must pass on it.

set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
root=$(cd -- "$here/../.." && pwd -P)
work=${BUILD:-$root/build/tests/unit}/mutants

# name | file | sed command
MUTANTS='
scale-truncates          | clock.c  | s/(((unsigned __int128)host_cycles \* ratio) >> frac_bits)/((host_cycles * ratio) >> frac_bits)/
scale-no-offset          | clock.c  | s/tsc_scaling_frac_bits) + clock->tsc_offset;/tsc_scaling_frac_bits);/
scale-minus-offset       | clock.c  | s/tsc_scaling_frac_bits) + clock->tsc_offset;/tsc_scaling_frac_bits) - clock->tsc_offset;/
pvclock-shift-direction  | clock.c  | s/delta >>= -shift;/delta <<= -shift;/
pvclock-product-64-bit   | clock.c  | s/(((unsigned __int128)delta \* mul) >> 32)/((delta * mul) >> 32)/
pvclock-shift-late       | clock.c  | s/(((unsigned __int128)delta \* mul) >> 32)/(((unsigned __int128)delta * mul) >> 31 >> 1 << 1)/
pvclock-signed-delta     | clock.c  | s/delta >>= -shift;/delta = (u64)((s64)delta >> -shift);/
pvclock-rounds           | clock.c  | s/(((unsigned __int128)delta \* mul) >> 32)/(((unsigned __int128)delta * mul + 0x80000000) >> 32)/
clock-host-timestamp     | clock.c  | s/kch_pvclock_ns(kch_clock_tsc(clock, clock->reference_cycles),/kch_pvclock_ns(clock->reference_cycles,/
pair-halves-too-late     | clock.c  | s/while (hz > 2 \* NS_PER_S)/while (hz > 2 * NS_PER_S + 1)/
pair-no-double-at-1-ghz  | clock.c  | s/while (hz <= NS_PER_S)/while (hz < NS_PER_S)/
pair-rounds-mul          | clock.c  | s/((NS_PER_S << 32) \/ hz)/(((NS_PER_S << 32) + hz \/ 2) \/ hz)/
pair-khz-32-bit          | clock.c  | s/? khz \* 1000 : 1000;/? (u32)khz * 1000U : 1000;/
ppb-rounds-down          | clock.c  | s/(s64)(quotient + !exact)/(s64)quotient/
ppb-swaps-sides          | clock.c  | s/(int)shift_b - shift_a;/(int)shift_a - shift_b;/
ppb-no-saturation        | clock.c  | s/return quotient > S64_MAX ? S64_MAX : (s64)quotient;/return (s64)quotient;/
ppb-stopped-clock        | clock.c  | s/return mul_b ? S64_MAX : 0;/return 0;/
scaling-ignores-bits     | clock.c  | s/bits_a < bits_b \&\& !(a >> 63)/0/
compare-ns-sign          | clock.c  | s/(s64)(kch_clock_ns(live, host_cycles) -/(s64)-(kch_clock_ns(live, host_cycles) -/
compare-cycles-sign      | clock.c  | s/(s64)(kch_clock_tsc(live, host_cycles) -/(s64)-(kch_clock_tsc(live, host_cycles) -/
compare-no-rate-of-ratio | clock.c  | s/saturating_add(pair_ppb, scaling_ppb);/pair_ppb;/
compare-adds-unsaturated | clock.c  | s/return a > 0 ? S64_MAX : S64_MIN;/return sum;/
same-no-offset           | clock.c  | s/a->tsc_offset != b->tsc_offset ||//
same-no-ratio            | clock.c  | s/a->tsc_scaling_ratio != b->tsc_scaling_ratio ||//
same-no-frac-bits        | clock.c  | s/a->tsc_scaling_frac_bits != b->tsc_scaling_frac_bits ||//
same-no-mul              | clock.c  | s/a->tsc_to_system_mul != b->tsc_to_system_mul ||//
same-no-shift            | clock.c  | s/a->tsc_shift != b->tsc_shift)/0)/
same-no-order            | clock.c  | s/if (a->reference_cycles > b->reference_cycles) {/if (0) {/
same-shifted-out         | clock.c  | s/if (delta \& ((1ULL << -a->tsc_shift) - 1))/if (0)/
same-no-fraction         | clock.c  | s/return !((u64)product \& 0xffffffff) \&\&/return/
same-any-system-time     | clock.c  | s/later->system_time_ns - first->system_time_ns ==/(u64)(product >> 32) ==/
same-page-always         | clock.c  | s/saved->reference_cycles == live->reference_cycles;/true;/
advance-unchecked        | clock.c  | s/if (!kch_clock_same(clock, \&moved) ||/if (/
advance-no-hyperv        | clock.c  | s/(hyperv \&\& hyperv_offset(clock) != hyperv_offset(\&moved))/0/
advance-backwards        | clock.c  | s/moved.reference_cycles <= clock->reference_cycles)/0)/
advance-half-steps       | clock.c  | s/int bits = 32 - clock->tsc_shift;/int bits = 31 - clock->tsc_shift;/
advance-one-try          | clock.c  | s/^#define ADVANCE_TRIES.*/#define ADVANCE_TRIES 16/
hyperv-no-page           | clock.c  | s/(32 + clock->tsc_shift)) >> 64 >= 100)/(32 + clock->tsc_shift)) >> 64 >= U64_MAX)/
hyperv-any-offset        | clock.c  | s/return clock->system_time_ns \/ 100 -/return 0 */
entry-advance-first-only | clock.c  | s/if (!kch_clock_same(\&before, \&other))/if (0)/
entry-advance-kvm-offset | clock.c  | s/cpu_to_le64(moved.system_time_ns -/cpu_to_le64(moved.system_time_ns - 0 */
entry-offset-moves-clock | clock.c  | s/cpu_to_le64(system_time_ns - offset);/cpu_to_le64(system_time_ns);/
entry-step-sign          | clock.c  | s/return (s64)(kvm_ns + le64_to_cpu/return -(s64)(kvm_ns + le64_to_cpu/
entry-vcpu-first         | clock.c  | s/return \&vcpus\[middle\];/return \&vcpus[0];/
rate-coarse              | clock.c  | s/^#define RATE_CYCLES.*/#define RATE_CYCLES (1ULL << 20)/
bound-every-step         | clock.c  | s/^\tif (gap <= one)$/\tif (1)/
bound-no-semiconvergent  | clock.c  | s/return turn ? p + ((gap - one - 1) \/ turn + 2) \* q : q;/return q;/
bound-hyperv-every-step  | clock.c  | s/steps \*= 100;/steps *= 2;/
bound-no-interval        | clock.c  | s/step + 2 \* KCH_KEEP_INTERVAL_NS;/step;/
bound-exact-drifts       | clock.c  | s/answer_ns = 0;/answer_ns = drift_ns(age_ns, 0);/
bound-forgets-the-age    | clock.c  | s/age_ns = moved_ns > age_ns ? moved_ns : age_ns;/age_ns = moved_ns;/
bound-raw-clock-exact    | clock.c  | s/^#define RAW_CLOCK_PPB.*/#define RAW_CLOCK_PPB 0/
bound-no-slack           | clock.c  | s/reference_ns = KCH_KEEP_NS +/reference_ns =/
drift-traps              | clock.c  | s/if (((unsigned __int128)ns \* ppb) >> 64 >= NS_PER_S)/if (0)/
unscale-rounds-down      | clock.c  | s/< wanted ? host_cycles + 1 :/< wanted ? host_cycles :/
unscale-no-saturation    | clock.c  | s/if ((unsigned __int128)U64_MAX \* ratio < wanted)/if (0)/
clock-of-no-kvm-offset   | clock.c  | /le64_to_cpu(vm->kvmclock_offset);/s/le64_to_cpu(vm->kvmclock_offset)/0/
cycles-to-ns-wraps       | clock.c  | s/return U64_MAX;/return 0;/
cycles-to-ns-limit       | clock.c  | s/1000000) >> 64 >= khz/1000000) >> 64 > khz + 1/
rederive-no-offset       | clock.c  | s/return kch_clock_tsc(saved, host_cycles) -/return kch_clock_tsc(saved, host_cycles) - saved->tsc_offset -/
rederive-old-ratio       | clock.c  | s/kch_scale_tsc(host_cycles, ratio, frac_bits);$/kch_scale_tsc(host_cycles, saved->tsc_scaling_ratio, frac_bits);/
machine-any-id           | machine.c | s/if (memcmp(now->id, header->machine_id, sizeof(now->id))) {/if (0) {/
machine-any-cpu          | machine.c | s/!= now->cpu_signature ||/!= now->cpu_signature \&\&/
machine-tsc-back         | machine.c | s/if (now->host_tsc < then) {/if (0) {/
machine-no-frequency     | machine.c | s/if (!khz) {/if (0) {/
machine-wall-ignored     | machine.c | s/if (!any_wall \&\& apart_ns/if (0 \&\& apart_ns/
machine-wall-always      | machine.c | s/if (!any_wall \&\& apart_ns/if (apart_ns/
machine-wall-slack       | machine.c | s/(2 \* NS_PER_S)/(3 * NS_PER_S)/
machine-wall-ppm         | machine.c | s/WALL_SLACK_PPM.1000$/WALL_SLACK_PPM 999/
machine-wall-back        | machine.c | s/by_tsc_ns + wall_ns;/by_tsc_ns - wall_ns;/
machine-wall-wraps       | machine.c | s/by_tsc_ns > U64_MAX - wall_ns ? U64_MAX :/0 ? U64_MAX :/
header-crc-unchecked     | record.c | s/if (crc != le32_to_cpu(header->crc32c)) {/if (0) {/
entry-crc-unchecked      | record.c | s/if (crc != le32_to_cpu(vm->vm.crc32c)) {/if (0) {/
crc-skips-reserved2      | record.c | s/const size_t commit = offsetof(struct kch_rec_header, commit);/const size_t commit = offsetof(struct kch_rec_header, reserved2);/
crc-not-inverted         | record.c | s/return ~crc_with_hole(~0U, entry/return crc_with_hole(~0U, entry/
magic-unchecked          | record.c | s/if (memcmp(header->magic, KCH_RECORD_MAGIC, sizeof(header->magic))) {/if (0) {/
commit-unchecked         | record.c | s/if (commit != (KCH_RECORD_COMMIT ^ sequence)) {/if (commit == 0) {/
commit-any-record        | record.c | s/(KCH_RECORD_COMMIT ^ sequence)/KCH_RECORD_COMMIT/
taken-back-is-damage     | record.c | s/if (commit == 0) {/if (0) {/
incompat-ignored         | record.c | s/if (le32_to_cpu(header->incompat) \& ~KCH_INCOMPAT_KNOWN) {/if (0) {/
incompat-is-compat       | record.c | s/if (le32_to_cpu(header->incompat) \& ~KCH/if (le32_to_cpu(header->compat) \& ~KCH/
total-beyond-slot        | record.c | s/ || total > size) {/) {/
total-below-header       | record.c | s/total < record->header_size || //
vms-unlimited            | record.c | s/record->vm_count > KCH_REC_VMS_MAX ||//
sizes-unaligned          | record.c | s/ \&\& size % 8 == 0 \&\&/ \&\&/
sizes-unlimited          | record.c | s/ \&\& size <= KCH_REC_SIZE_MAX \&\&/ \&\&/
sizes-below-version-1    | record.c | s/return size >= min \&\&/return/
header-beyond-slot       | record.c | s/!structure_size_ok(record->header_size, KCH_REC_HEADER_SIZE, size)/!structure_size_ok(record->header_size, KCH_REC_HEADER_SIZE, 4096)/
newer-vm-misread         | record.c | s/vm->vcpus = entry + record->vm_size;/vm->vcpus = entry + sizeof(vm->vm);/
newer-vcpu-misread       | record.c | s/(size_t)index \* vm->record->vcpu_size/(size_t)index * sizeof(*vcpu)/
newer-header-misread     | record.c | s/\*offset = record->header_size;/*offset = KCH_REC_HEADER_SIZE;/
entry-beyond-record      | record.c | s/if (vm->size > left || /if (/
entry-cut-unseen         | record.c | s/if (left < record->vm_size)/if (left < 8)/
vcpus-unlimited          | record.c | s/vm->vcpu_count > KCH_REC_VCPUS_MAX ||//
vcpus-one-too-few        | record.c | s/vm->vcpu_count > KCH_REC_VCPUS_MAX/vm->vcpu_count >= KCH_REC_VCPUS_MAX/
damage-ends-the-walk     | record.c | s/\*offset += vm->size;/*offset = record->total_size;/
lost-not-stopped         | record.c | s/^\t\*offset = record->total_size;/\t*offset += 8;/
frac-bits-unchecked      | record.c | s/if (vm->vm.tsc_scaling_frac_bits > 63) {/if (0) {/
shift-unchecked          | record.c | s/if (vcpu->tsc_shift > 31 || vcpu->tsc_shift < -31) {/if (0) {/
shift-32-passes          | record.c | s/vcpu->tsc_shift > 31 ||/vcpu->tsc_shift > 32 ||/
name-not-terminated      | record.c | /vm->vm.name\[sizeof/d
release-not-terminated   | record.c | /header->kernel_release\[sizeof/d
copy-all-from-the-first  | record.c | s/kch_record_vcpu(vm, i, \&vcpus\[i\]);/kch_record_vcpu(vm, 0, \&vcpus[i]);/
fill-ignores-siblings    | clock.c  | s/if (n < siblings) {/if (0) {/
fill-ignores-the-ratio   | clock.c  | s/vcpus\[n\].tsc_scaling_ratio == to->tsc_scaling_ratio)/1)/
fill-overwrites          | clock.c  | s/if (le32_to_cpu(to->flags) \& KCH_VCPU_PAIR_VALID)/if (0)/
fill-frequency-unscaled  | clock.c  | s/u64 khz = kch_scale_tsc(kvm_khz,/u64 khz = kvm_khz + 0 * kch_scale_tsc(kvm_khz,/
fill-frequency-0         | clock.c  | s/if (khz == 0 || khz > UINT_MAX)/if (khz > UINT_MAX)/
fill-frequency-wraps     | clock.c  | s/if (khz == 0 || khz > UINT_MAX)/if (khz == 0)/
fill-unknown             | clock.c  | s/} else if (!kvm_khz) {/} else if (0) {/
pair-no-frequency        | clock.c  | s/khz \&\& khz <= UINT_MAX ? khz/khz ? khz/
find-damage-is-absence   | record.c | s/damaged = true;/damaged = false;/
find-forgets-the-id      | record.c | s/!memcmp(vm->vm.uuid, wanted, sizeof(wanted))/!memcmp(vm->vm.uuid, uuid, sizeof(wanted))/
slot-older-wins          | slots.c  | s/header.sequence) >$/header.sequence) </
slot-first-wins          | slots.c  | s/return worth(err) == WHOLE \&\&/return 0 \&\&/
slot-damage-wins         | slots.c  | s/return worth(err) > worth(found->error);/return worth(err) < worth(found->error);/
slot-passes-newer-over   | slots.c  | s/if (err == 0 || err == -EPROTONOSUPPORT)/if (err == 0)/
slot-damage-unsaid       | slots.c  | s/if (found.error || worth(found.errors\[said\]) == DAMAGED)/if (found.error)/
slot-unaligned           | slots.c  | s/return region_size \/ 2 \/ KCH_RECORD_ALIGN \* KCH_RECORD_ALIGN;/return region_size \/ 2;/
write-no-revoke          | slots.c  | s/^\tkch_record_revoke(slot);//
write-no-last-barrier    | slots.c  | /the marker must not reach memory/d
write-no-revoke-barrier  | slots.c  | /nothing of a new record before/d
write-marker-first       | slots.c  | s/^\tkch_rec_header_close(header);/\tkch_rec_header_close(header); header->commit = cpu_to_le64(KCH_RECORD_COMMIT ^ le64_to_cpu(header->sequence));/
write-marker-wrong       | slots.c  | s/header->commit = cpu_to_le64(KCH_RECORD_COMMIT ^/header->commit = cpu_to_le64(1 ^/
write-no-space-check     | slots.c  | s/entries_size > slot_size - sizeof(\*header) - kept)/0)/
write-space-sum-wraps    | slots.c  | s/entries_size > slot_size - sizeof(\*header) - kept)/entries_size + sizeof(*header) > slot_size)/
extend-kept-unchecked    | slots.c  | s/kept > slot_size - sizeof(\*header) ||/0 ||/
extend-over-what-is-kept | slots.c  | s/memcpy((u8 \*)(at + 1) + kept, entries, entries_size);/memcpy(at + 1, entries, entries_size);/
extend-forgets-the-kept  | slots.c  | s/cpu_to_le64(sizeof(\*header) + kept + entries_size)/cpu_to_le64(sizeof(*header) + entries_size)/
revoke-no-store          | slots.c  | s/^\tWRITE_ONCE(at->commit, 0);//
own-is-another-boot      | slots.c  | s/own = !err \&\& is_of_boot(\&record, boot_id);/own = !err;/
own-boot-unknown         | slots.c  | s/memcmp(boot_id, unknown, sizeof(unknown)) \&\&/1 \&\&/
own-older-wins           | slots.c  | s/record->sequence <= found->own.sequence)/record->sequence >= found->own.sequence)/
generation-of-own        | slots.c  | s/header.generation) + !own;/header.generation) + 1;/
sequence-of-damaged      | slots.c  | s/if (worth(err) == WHOLE \&\& sequence > found->sequence)/if (sequence > found->sequence)/
begin-keeps-elsewhere    | slots.c  | s/bool keep = shared \&\& found/bool keep = found/
begin-over-what-came     | slots.c  | s/slots->next = !found->came_slot;/slots->next = found->came_slot;/
begin-over-own           | slots.c  | s/slots->next = !found->own_slot;/slots->next = 0;/
changed-grows            | slots.c  | s/if (slots->written\[i\] > at)/if (1)/
next-stays               | slots.c  | s/if (slots->came < 0)/if (0)/
next-over-what-came      | slots.c  | s/if (slots->came < 0)/if (1)/
unwritten-is-kept        | slots.c  | s/^\tslots->written\[slots->next\] = 0;//
show-takes-always        | slots.c  | /^void kch_slots_show_came/,/^}/s/if (slots->came >= 0)/if (1)/
supersede-the-unreadable | slots.c  | s/slots->came >= 0 \&\& slots->usable/slots->came >= 0/
clear-another-s          | slots.c  | s/^\tif (memcmp(slot_at(slots, 0), KCH_RECORD_MAGIC, KCH_RECORD_MAGIC_SIZE) \&\&/\tif (0 \&\&/
clear-what-is-ours       | slots.c  | s/!memcmp(found.header.boot_id, boot_id, 16))/0)/
clear-keeps-what-came    | slots.c  | s/if (slot != came \&\&/if (/
clear-damage-stays       | slots.c  | s/^\t\tmemset(at, 0, sizeof(struct kch_rec_header));//
release-again            | slots.c  | /^void kch_slots_release/,/^}/s/if (slots->came >= 0)/if (1)/
revoke-clears-header     | slots.c  | s/^\tWRITE_ONCE(at->commit, 0);/\tmemset(at, 0, sizeof(*at));/
fields-row-missing       | fields.c | /MEMBER(144, default_tsc_khz/,+1d
fields-rows-swapped      | fields.c | /MEMBER(96, boottime_ns/{h;d};/MEMBER(104, raw_ns/G
fields-flag-missing      | fields.c | /FLAG(flags, KCH_VCPU_CATCHUP/d
fields-flag-twice        | fields.c | s/KCH_VM_AT_END, "at_end"/KCH_VM_AT_SEAL, "at_end"/
fields-name-twice        | fields.c | s/"at_end"/"at_seal"/
fields-unit-wrong        | fields.c | /MEMBER(80, realtime_ns/s/"ns"/"kHz"/
fields-sign-lost         | fields.c | s/value = (value ^ sign) - sign;/value = value + sign - sign;/
fields-sign-of-all       | fields.c | s/if (field->kind == KCH_FIELD_SIGNED \&\& /if (/
fields-flag-any-bit      | fields.c | s/return !!(value \& field->mask);/return !!value;/
fields-flag-as-mask      | fields.c | s/return !!(value \& field->mask);/return value \& field->mask;/
fields-big-endian        | fields.c | s/for (i = field->size; i--; )/for (i = 0; i < field->size; i++)/
fields-text-beyond       | fields.c | s/"%.\*s", (int)field->size,/"%.*s", (int)field->size + 1,/
fields-hex-as-decimal    | fields.c | s/"%#llx"/"%llu"/
fields-source-beyond     | fields.c | s/source <= KCH_TSC_OTHER/source < KCH_TSC_OTHER/
'

trim() {
	sed -E 's/^[[:space:]]+|[[:space:]]+$//g' <<<"$1"
}

# 0 the tests passed, 1 they failed, 2 the mutant does not compile. One program after the other, and
# the quick ones first: one that fails is enough.
try() { # SOURCES BUILD PROGRAM...
	local program status
	for program in "${@:3}"; do
		make -s -C "$here" SOURCES="$1" BUILD="$2" VARIANTS=plain CFLAGS='-O1 -Wno-error' \
			"$2/plain/$program" >>"$2.log" 2>&1 || return 2
		status=0
		# In a group, so that bash's word on a crash goes to the log, too.
		{ timeout 150 "$2/plain/$program" </dev/null || status=$?; } >>"$2.log" 2>&1
		((status == 0)) || return 1
	done
	return 0
}

# The programs that a file is in.
declare -A programs=(
	[clock.c]='test-sample test-clock test-pair test-move'
	[machine.c]=test-machine
	[fields.c]=test-fields
	[record.c]='test-sample test-record test-slots test-write'
	[slots.c]='test-sample test-record test-slots test-write'
)

rm -rf -- "$work"
mkdir -p "$work"
passed=0 failed=0
cp -- "$root"/kernel/core/{clock,record,slots,machine,fields}.c "$work/"
status=0
# Unquoted: lists of names.
# shellcheck disable=SC2086
try "$work" "$work/unbroken" ${programs[clock.c]} ${programs[record.c]} ${programs[machine.c]} \
	${programs[fields.c]} || status=$?
if ((status)); then
	echo "not ok - unbroken: the tests must pass before they are tested (see $work/unbroken.log)"
	echo "# 0 passed, 1 failed, 0 skipped"
	exit 1
fi

while IFS='|' read -r name file command; do
	name=$(trim "$name") file=$(trim "$file") command=$(trim "$command")
	[[ $name ]] || continue
	(($# == 0)) || [[ " $* " == *" $name "* ]] || continue
	mkdir -p "$work/$name.src"
	cp -- "$root"/kernel/core/{clock,record,slots,machine,fields}.c "$work/$name.src/"
	sed -i -- "$command" "$work/$name.src/$file"
	# Objects that the mutation does not touch need not be made again.
	cp -a -- "$work/unbroken" "$work/$name"
	sed -i "s|$work/|$work/$name.src/|g; s|$work/$name.src/unbroken/|$work/$name/|g" "$work/$name"/plain/*.d
	verdict='' status=0
	if cmp -s -- "$root/kernel/core/$file" "$work/$name.src/$file"; then
		verdict="changes nothing: the code has moved on, so must the mutant"
	else
		# shellcheck disable=SC2086
		try "$work/$name.src" "$work/$name" ${programs[$file]} || status=$?
		case $status in
		0) verdict="survived: no test noticed" ;;
		2) verdict="does not compile (see $work/$name.log)" ;;
		esac
	fi
	if [[ $verdict ]]; then
		failed=$((failed + 1))
		echo "not ok - $name: $verdict"
	else
		passed=$((passed + 1))
		caught=$(sed -n 's/^not ok [0-9]* //p' "$work/$name.log" | paste -sd ' ')
		echo "ok - $name # caught by ${caught:-a crash}"
		rm -rf -- "${work:?}/$name" "$work/$name.src" "$work/$name.log"
	fi
done <<<"$MUTANTS"

echo "# $passed passed, $failed failed, 0 skipped"
((failed == 0 && passed > 0))
