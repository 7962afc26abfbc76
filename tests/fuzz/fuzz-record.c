// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target: whatever bytes a region holds, reading it neither reads outside
 * of it nor does anything undefined, and what comes out is as record.h says.
 *
 * The first byte of an input says how it is to be taken; see enum take.  A
 * fuzzer does not find a checksum by itself, so most inputs get right ones.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "fields.h"
#include "forged.h"
#include "place.h"
#include "slots.h"
#include "fuzz.h"
#include "seal.h"

/* A promise of the headers was broken: the fuzzer takes an abort as a find. */
#define promise(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, \
			__LINE__, #condition); \
		abort(); \
	} \
} while (0)

/* So that the compiler cannot leave out what is computed. */
static volatile u64 sink;

/*
 * A copy that ends where memory does: the checksum is in assembly, which the
 * sanitizers do not see into.
 */
static u8 *copy_to_the_end(const u8 *data, size_t size)
{
	static u8 *end;

	if (!end) {
		size_t page = (size_t)sysconf(_SC_PAGESIZE);
		u8 *map = mmap(NULL, INPUT_MAX + page, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		promise(map != MAP_FAILED);
		promise(!mprotect(map + INPUT_MAX, page, PROT_NONE));
		end = map + INPUT_MAX;
	}
	return memcpy(end - size, data, size);
}

static void check_message(const struct kch_message *message, bool wanted)
{
	promise(memchr(message->text, 0, sizeof(message->text)));
	promise(!wanted || message->text[0]);
}

/* Whatever is in it, it can be shown. */
static void check_shown(const struct kch_field *field, const void *structure)
{
	char text[KCH_FIELD_TEXT_SIZE];

	for (; field->name; field++) {
		memset(text, 'x', sizeof(text));
		kch_field_text(field, structure, text);
		promise(memchr(text, 0, sizeof(text)));
	}
}

static void check_clock(const struct kch_record *record,
			const struct kch_record_vm *vm, u32 index,
			struct kch_clock *last)
{
	u64 now = le64_to_cpu(record->header.host_tsc);
	struct kch_clock_error error;
	struct kch_rec_vcpu vcpu;
	struct kch_clock clock;

	kch_record_vcpu(vm, index, &vcpu);
	promise(vcpu.tsc_shift >= KCH_SHIFT_MIN && vcpu.tsc_shift <= KCH_SHIFT_MAX);
	promise(!vcpu.tsc_to_system_mul || le32_to_cpu(vcpu.tsc_to_system_mul) >= KCH_MUL_MIN);
	promise(vcpu.tsc_scaling_ratio && vcpu.virtual_tsc_khz);
	check_shown(kch_vcpu_fields, &vcpu);
	kch_clock_of(&vm->vm, &vcpu, &clock);
	sink = kch_clock_tsc(&clock, now) + kch_clock_ns(&clock, now);
	sink = kch_clock_ns(&clock, 0) + kch_clock_ns(&clock, U64_MAX);
	promise(kch_clock_ns(&clock, clock.reference_cycles) == clock.system_time_ns);
	kch_clock_compare(&clock, &clock, now, &error);
	promise(error.identical && !error.ns && !error.cycles && !error.rate_ppb);
	if (last->tsc_scaling_frac_bits || last->reference_cycles) {
		kch_clock_compare(last, &clock, now, &error);
		promise(!error.identical || (!error.ns && !error.cycles && !error.rate_ppb));
	}
	if (le32_to_cpu(vcpu.hw_tsc_khz))
		sink = kch_cycles_to_ns(now, le32_to_cpu(vcpu.hw_tsc_khz));
	*last = clock;
}

/* What was read and is written again reads the same. */
static void check_rewrite(const struct kch_record *record,
			  const struct kch_record_vm *vm)
{
	static u8 slot[INPUT_MAX] __attribute__((aligned(64)));
	static u8 entry[INPUT_MAX] __attribute__((aligned(64)));
	struct kch_rec_header header = record->header;
	struct kch_record_vm again;
	struct kch_record copy;
	size_t offset = 0;

	if (record->header_size != KCH_REC_HEADER_SIZE ||
	    vm->size > sizeof(slot) - KCH_REC_HEADER_SIZE)
		return;
	memcpy(entry, vm->vcpus - record->vm_size, vm->size);
	promise(!kch_record_write(slot, sizeof(slot), &header, entry, vm->size, 1));
	promise(!kch_record_open(slot, sizeof(slot), &copy, NULL));
	promise(copy.vm_count == 1 && copy.sequence == record->sequence);
	promise(!kch_record_next(&copy, &offset, &again, NULL));
	promise(!memcmp(&again.vm, &vm->vm, sizeof(vm->vm)));
	promise(kch_record_next(&copy, &offset, &again, NULL) == -ENODATA);
	kch_record_revoke(slot);
	promise(kch_record_open(slot, sizeof(slot), &copy, NULL) == -ENODATA);
}

/* kvmclock at a TSC of the guest's, by a vCPU's page; false: KVM's own arithmetic overflows. */
static bool page_ns(const struct kch_clock *clock, u64 guest_tsc, u64 *ns)
{
	u64 delta = guest_tsc - kch_clock_tsc(clock, clock->reference_cycles);
	int shift = clock->tsc_shift;

	if (shift > 0 && delta >> (64 - shift))
		return false;
	delta = shift > 0 ? delta << shift : delta >> -shift;
	*ns = clock->system_time_ns +
	      (u64)(((unsigned __int128)delta * clock->tsc_to_system_mul) >> 32);
	return true;
}

/* Whatever clock it is: on another host it is the same function of the guest's TSC, or refused. */
static void check_place(const struct kch_record *record, const struct kch_record_vm *vm)
{
	size_t size = kch_rec_entry_size(vm->vcpu_count);
	struct kch_rec_vm *was = calloc(1, size), *is = calloc(1, size);
	struct kch_place place = {
		.here = was,
		.host_tsc = le64_to_cpu(record->header.realtime_ns),
		.elapsed_ns = le64_to_cpu(record->header.tai_ns),
	};
	u64 then = le64_to_cpu(record->header.host_tsc), was_ns, is_ns, tsc;
	struct kch_message message = { "" };
	struct kch_clock before, after;
	s64 error_ns;
	u32 i;
	int err;

	promise(was && is);
	kch_record_copy(vm, was);
	memcpy(is, was, size);
	kch_entry_hide(is, place.host_tsc);
	memcpy(is, was, size);
	err = kch_entry_place(is, then, &place, &error_ns, &message);
	promise(!err || err == -ELNRNG || err == -ERANGE || err == -EAGAIN);
	check_message(&message, err);
	for (i = 0; !err && i < vm->vcpu_count; i++) {
		kch_clock_of(was, (struct kch_rec_vcpu *)(was + 1) + i, &before);
		kch_clock_of(is, (struct kch_rec_vcpu *)(is + 1) + i, &after);
		promise(after.reference_cycles <= place.host_tsc);
		promise(i || kch_clock_ns(&after, place.host_tsc) ==
			kch_clock_ns(&before, then) + place.elapsed_ns + (u64)error_ns);
		tsc = kch_clock_tsc(&after, place.host_tsc);
		if (page_ns(&before, tsc, &was_ns) && page_ns(&after, tsc, &is_ns))
			promise(was_ns == is_ns);
	}
	free(was);
	free(is);
}

static void check_record(const struct kch_record *record, const u8 *slot,
			 size_t slot_size)
{
	struct kch_clock last = { 0 };
	struct kch_message message;
	struct kch_record_vm vm, found;
	size_t offset = 0, before;
	u32 i;
	int err, two;

	promise(record->data == slot && record->total_size <= slot_size);
	promise(!record->header.kernel_release[63] && !record->header.module_version[15]);
	promise(record->sequence <= KCH_REC_SEQUENCE_MAX && record->header.tsc_khz);
	check_shown(kch_header_fields, &record->header);
	do {
		before = offset;
		memset(&message, 0, sizeof(message));
		err = kch_record_next(record, &offset, &vm, &message);
		promise(err == 0 || err == -ENODATA || err == -EBADMSG || err == -EBADE);
		promise(offset <= record->total_size);
		promise(err == -ENODATA || offset > before);
		check_message(&message, err && err != -ENODATA);
		if (err)
			continue;
		promise(vm.vcpus + (u64)vm.vcpu_count * record->vcpu_size <=
			slot + record->total_size);
		promise(vm.vm.tsc_scaling_frac_bits <= 63);
		promise(!vm.vm.name[kch_printable(vm.vm.name, sizeof(vm.vm.name) - 1)]);
		check_shown(kch_vm_fields, &vm.vm);
		for (i = 0; i < vm.vcpu_count; i++)
			check_clock(record, &vm, i, &last);
		/* Another one of that id: neither is it. */
		two = kch_record_find(record, vm.vm.uuid, &found, NULL);
		promise(two == -EBADMSG || (!two && !memcmp(found.vm.uuid, vm.vm.uuid, 16)));
		check_rewrite(record, &vm);
		check_place(record, &vm);
	} while (err != -ENODATA);
	err = kch_record_find(record, (const u8 *)"\xff no such VM \xff\xff", &vm, &message);
	promise(err == 0 || err == -ENOENT || err == -EBADMSG);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct kch_message message;
	struct kch_record record;
	unsigned int slot = 9;
	size_t slot_size;
	u8 take, *bytes;
	int err;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	take = *data++;
	bytes = copy_to_the_end(data, --size);
	memset(&message, 0, sizeof(message));
	if (take & TAKE_REGION) {
		slot_size = kch_slot_size(size);
		fuzz_seal(bytes, slot_size, take);
		if (!(take & TAKE_ONE_SLOT_RAW))
			fuzz_seal(bytes + slot_size, slot_size, take);
		err = kch_region_open(bytes, size, &record, &slot, &message);
		promise(err != -EINVAL || slot_size < 320);
		promise(err || slot < 2);
		if (!err)
			check_record(&record, bytes + slot * slot_size, slot_size);
	} else {
		fuzz_seal(bytes, size, take);
		err = kch_record_open(bytes, size, &record, &message);
		promise(err != -EINVAL);
		if (!err)
			check_record(&record, bytes, size);
	}
	promise(err == 0 || err == -ENODATA || err == -EBADMSG || err == -EINVAL ||
		err == -EPROTONOSUPPORT);
	check_message(&message, err);
	return 0;
}
