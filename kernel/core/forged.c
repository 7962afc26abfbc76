// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What no kernel writes, though every checksum is right. */
#include "clock.h"
#include "fields.h"
#include "forged.h"

/* A host's TSC: no CPU has one that is slower or faster, nor has an emulated one. */
#define KHZ_MIN		1000U
#define KHZ_MAX		100000000U

__printf(2, 3)
static int forged(struct kch_message *message, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message->text, sizeof(message->text), format, args);
	va_end(args);
	return -EBADMSG;
}

/* A writer of a later version says so: it may have more members, and more flags. */
static bool is_newer(const struct kch_rec_header *header)
{
	return le32_to_cpu(header->compat) & ~KCH_COMPAT_KNOWN;
}

size_t kch_printable(const char *text, size_t size)
{
	const u8 *at = (const u8 *)text;
	size_t i;

	for (i = 0; i < size; i++) {
		if (at[i] < 0x20 || at[i] == 0x7f)
			break;
		/* U+0080 to U+009f, in UTF-8. */
		if (at[i] == 0xc2 && i + 1 < size && at[i + 1] >= 0x80 && at[i + 1] < 0xa0)
			break;
	}
	return i;
}

static int check_text(const struct kch_field *field, const u8 *at, struct kch_message *message)
{
	size_t end = kch_printable((const char *)at, field->size), i;

	if (end == field->size && field->kind == KCH_FIELD_TEXT)
		return forged(message, "%s has no end within its %zu bytes", field->name, end);
	if (end < field->size && at[end])
		return forged(message, "%s has the control character %#x at byte %zu",
			      field->name, at[end], end);
	for (i = end; i < field->size; i++)
		if (at[i])
			return forged(message, "%s has %#x behind its end, at byte %zu",
				      field->name, at[i], i);
	return 0;
}

/* Of a member whose flags are the rows behind it; 0: it has none. */
static u32 known_flags(const struct kch_field *field)
{
	u32 known = 0;

	for (field++; field->name && field->kind == KCH_FIELD_FLAG; field++)
		known |= field->mask;
	return known;
}

static int check_flags(const struct kch_field *field, const void *structure,
		       struct kch_message *message)
{
	u32 value = (u32)kch_field_number(field, structure), known = known_flags(field);

	if (!known || !(value & ~known))
		return 0;
	return forged(message, "%s %#x, known are %#x", field->name, value, known);
}

static int check_members(const struct kch_field *field, const void *structure, bool newer,
			 struct kch_message *message)
{
	int err = 0;
	u32 i;

	for (; field->name && !err; field++) {
		const u8 *at = (const u8 *)structure + field->offset;

		if (field->kind == KCH_FIELD_TEXT || field->kind == KCH_FIELD_CHARS)
			err = check_text(field, at, message);
		else if (!newer && field->kind == KCH_FIELD_HEX)
			err = check_flags(field, structure, message);
		for (i = 0; !newer && field->kind == KCH_FIELD_ZERO && i < field->size; i++)
			if (at[i])
				return forged(message, "%s has %#x at byte %u, where nothing is",
					      field->name, at[i], i);
	}
	return err;
}

static void forget(const struct kch_field *field, void *structure)
{
	u32 known;

	for (; field->name; field++) {
		void *at = (u8 *)structure + field->offset;

		known = field->kind == KCH_FIELD_HEX ? known_flags(field) : 0;
		if (field->kind == KCH_FIELD_ZERO)
			memset(at, 0, field->size);
		else if (known)
			*(__le32 *)at &= cpu_to_le32(known);
	}
}

void kch_entry_forget_newer(struct kch_rec_vm *entry)
{
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(entry + 1);
	u32 n;

	forget(kch_vm_fields, entry);
	for (n = le32_to_cpu(entry->vcpu_count); n; n--, vcpu++)
		forget(kch_vcpu_fields, vcpu);
}

static int check_khz(const char *name, u32 khz, struct kch_message *message)
{
	if (khz >= KHZ_MIN && khz <= KHZ_MAX)
		return 0;
	return forged(message, "%s %u, a host's is %u to %u", name, khz, KHZ_MIN, KHZ_MAX);
}

int kch_header_forged(const struct kch_rec_header *header, struct kch_message *message)
{
	u64 sequence = le64_to_cpu(header->sequence), generation = le64_to_cpu(header->generation);
	u32 kvm_khz = le32_to_cpu(header->kvm_tsc_khz);

	if (!is_newer(header) && !(le32_to_cpu(header->compat) & KCH_COMPAT_WALL) &&
	    (header->wall_maxerror_us || header->wall_flags))
		return forged(message, "wall_maxerror_us %u and wall_flags %#x, which compat does not announce",
			      le32_to_cpu(header->wall_maxerror_us),
			      le32_to_cpu(header->wall_flags));
	/* A kexec has a record of its own at least. */
	if (generation > sequence)
		return forged(message, "generation %llu is more than there were records, %llu",
			      (unsigned long long)generation, (unsigned long long)sequence);
	if (le32_to_cpu(header->tsc_source) > KCH_TSC_OTHER)
		return forged(message, "tsc_source %u, the last one is %u",
			      le32_to_cpu(header->tsc_source), KCH_TSC_OTHER);
	return check_members(kch_header_fields, header, is_newer(header), message) ?:
	       check_khz("tsc_khz", le32_to_cpu(header->tsc_khz), message) ?:
	       (kvm_khz ? check_khz("kvm_tsc_khz", kvm_khz, message) : 0);
}

static int check_pair(const struct kch_rec_vcpu *vcpu, struct kch_message *message)
{
	u32 mul = le32_to_cpu(vcpu->tsc_to_system_mul), khz = le32_to_cpu(vcpu->hw_tsc_khz);

	if (!(le32_to_cpu(vcpu->flags) & KCH_VCPU_PAIR_VALID)) {
		if (!mul && !vcpu->tsc_shift && !khz)
			return 0;
		return forged(message, "it has not run, but has tsc_to_system_mul %u and tsc_shift %d of %u kHz",
			      mul, vcpu->tsc_shift, khz);
	}
	if (mul < KCH_MUL_MIN)
		return forged(message, "tsc_to_system_mul %u, KVM's are %u at least",
			      mul, KCH_MUL_MIN);
	if (vcpu->tsc_shift < KCH_SHIFT_MIN || vcpu->tsc_shift > KCH_SHIFT_MAX)
		return forged(message, "tsc_shift %d, KVM's are %d to %d", vcpu->tsc_shift,
			      KCH_SHIFT_MIN, KCH_SHIFT_MAX);
	return 0;
}

/*
 * KVM computed the ratio from it and from the host's frequency, as that kernel, or one
 * before it, had found that: no two are an eighth apart.  Of a vCPU that is not scaled it may
 * be anything, as KVM keeps one that it could not give.
 */
static bool is_scaled_right(const struct kch_record_vm *vm, const struct kch_rec_vcpu *vcpu,
			    u32 scaled_khz)
{
	u32 khz = le32_to_cpu(vcpu->virtual_tsc_khz);

	return le64_to_cpu(vcpu->tsc_scaling_ratio) == 1ULL << vm->vm.tsc_scaling_frac_bits ||
	       kch_magnitude((s64)khz - scaled_khz) <= scaled_khz / 8 + 1;
}

static int check_vcpu(const struct kch_record_vm *vm, const struct kch_rec_vcpu *vcpu,
		      struct kch_message *message)
{
	unsigned __int128 scaled;
	const struct kch_rec_header *header = &vm->record->header;
	u64 ratio = le64_to_cpu(vcpu->tsc_scaling_ratio);
	u32 flags = le32_to_cpu(vcpu->flags), khz = le32_to_cpu(header->tsc_khz);

	scaled = (unsigned __int128)khz * ratio >> vm->vm.tsc_scaling_frac_bits;
	if (!scaled || scaled > UINT_MAX)
		return forged(message, "tsc_scaling_ratio %#llx/2^%u makes no frequency of the host's %u kHz",
			      (unsigned long long)ratio, vm->vm.tsc_scaling_frac_bits, khz);
	if (!vcpu->virtual_tsc_khz)
		return forged(message, "virtual_tsc_khz 0");
	if (!is_scaled_right(vm, vcpu, (u32)scaled))
		return forged(message, "virtual_tsc_khz %u, tsc_scaling_ratio %#llx/2^%u makes %u of the host's %u",
			      le32_to_cpu(vcpu->virtual_tsc_khz), (unsigned long long)ratio,
			      vm->vm.tsc_scaling_frac_bits, (u32)scaled, khz);
	if (vcpu->pvclock_gpa && !(flags & KCH_VCPU_PVCLOCK_ON))
		return forged(message, "pvclock_gpa %#llx of a page that is off",
			      (unsigned long long)le64_to_cpu(vcpu->pvclock_gpa));
	return check_members(kch_vcpu_fields, vcpu, is_newer(header), message) ?:
	       check_pair(vcpu, message);
}

static int check_vcpus(const struct kch_record_vm *vm, struct kch_message *message)
{
	struct kch_message why;
	struct kch_rec_vcpu vcpu;
	u32 i, id, last = 0;

	for (i = 0; i < vm->vcpu_count; i++, last = id) {
		kch_record_vcpu(vm, i, &vcpu);
		id = le32_to_cpu(vcpu.vcpu_id);
		if (i && id <= last)
			return forged(message, "vCPU %u follows vCPU %u", id, last);
		if (check_vcpu(vm, &vcpu, &why))
			return forged(message, "vCPU %u: %.200s", id, why.text);
	}
	return 0;
}

/* One way to be read last excludes the others; of a stale one no master clock is known. */
static int check_read(u32 flags, struct kch_message *message)
{
	u32 when = flags & (KCH_VM_AT_SEAL | KCH_VM_AT_END | KCH_VM_STALE);

	if (!(when & (when - 1)) && !(flags & KCH_VM_STALE && flags & KCH_VM_MASTER_CLOCK))
		return 0;
	return forged(message, "flags %#x contradict each other", flags);
}

/*
 * Was it read after its reference, before the record was made, and are its numbers one
 * function's?  Where there is no master clock KVM goes by another one.
 */
static int check_reference(const struct kch_record_vm *vm, struct kch_message *message)
{
	u64 sealed = le64_to_cpu(vm->record->header.host_tsc);
	u64 read = le64_to_cpu(vm->vm.host_tsc), ns = le64_to_cpu(vm->vm.kvmclock_ns);
	struct kch_rec_vcpu vcpu;
	struct kch_clock clock;
	u64 expected;

	if (!(le32_to_cpu(vm->vm.flags) & (KCH_VM_MASTER_CLOCK | KCH_VM_STALE)) || !vm->vcpu_count)
		return 0;
	kch_record_vcpu(vm, 0, &vcpu);
	kch_clock_of(&vm->vm, &vcpu, &clock);
	if (read > sealed)
		return forged(message, "host_tsc %llu is after that of the record, %llu",
			      (unsigned long long)read, (unsigned long long)sealed);
	if (clock.reference_cycles > read)
		return forged(message, "master_cycle_now %llu is after host_tsc, %llu",
			      (unsigned long long)clock.reference_cycles,
			      (unsigned long long)read);
	expected = kch_clock_ns(&clock, read);
	/* One that had not run then, and was given a pair since. */
	if (ns == expected || ns == clock.system_time_ns)
		return 0;
	return forged(message, "kvmclock_ns %llu, by its own numbers it was %llu",
		      (unsigned long long)ns, (unsigned long long)expected);
}

int kch_entry_forged(const struct kch_record_vm *vm, struct kch_message *message)
{
	static const u8 no_id[KCH_UUID_SIZE];

	if (!memcmp(vm->vm.uuid, no_id, sizeof(no_id)))
		return forged(message, "uuid is all zero");
	if (vm->vm.tsc_scaling_frac_bits > 63)
		return forged(message, "tsc_scaling_frac_bits %u, at most 63",
			      vm->vm.tsc_scaling_frac_bits);
	return check_members(kch_vm_fields, &vm->vm, is_newer(&vm->record->header), message) ?:
	       check_read(le32_to_cpu(vm->vm.flags), message) ?:
	       check_vcpus(vm, message) ?:
	       check_reference(vm, message);
}
