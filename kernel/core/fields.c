// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The members of the record, one row each, in the order of the structures.
 *
 *	MEMBER(offset, member, kind, unit, since, meaning)
 *	FLAG(member, bit, name, since, meaning)
 *
 * The offset is the published one: other kernels read the record by it.  A row
 * does not compile if the compiler has the member elsewhere; the unit tests
 * (test-fields.c) show that the rows cover each structure without a gap.
 *
 * scripts/record_tables.py makes the documents' tables of these rows.
 */
#include <linux/kvmclock_handover.h>
#include "fields.h"

#ifdef __KERNEL__
#include <linux/build_bug.h>
/* The kernel does not show these texts, and has none of them. */
#define FOR_DOCUMENTS(text)	(1 ? NULL : (text))
#else
#include <assert.h>
#define FOR_DOCUMENTS(text)	(text)
#endif

static_assert(sizeof(struct kch_rec_header) == KCH_REC_HEADER_SIZE);
static_assert(sizeof(struct kch_rec_vm) == KCH_REC_VM_SIZE);
static_assert(sizeof(struct kch_rec_vcpu) == KCH_REC_VCPU_SIZE);
static_assert(sizeof(struct kch_kho_entry) == 40);

/* The published offset; "negative array size": the member is elsewhere. */
#define PUBLISHED(at, member)						\
	((at) * sizeof(char[offsetof(struct STRUCTURE, member) == (at) ? 1 : -1]))

#define MEMBER(at, member, kind_, unit_, since_, meaning_)		\
	{								\
		.name = #member,					\
		.kind = KCH_FIELD_##kind_,				\
		.offset = PUBLISHED(at, member),			\
		.size = sizeof(((struct STRUCTURE *)0)->member),	\
		.unit = unit_,						\
		.since = FOR_DOCUMENTS(since_),			\
		.meaning = FOR_DOCUMENTS(meaning_),		\
	}

#define FLAG(member, bit, name_, since_, meaning_)			\
	{								\
		.name = name_,						\
		.kind = KCH_FIELD_FLAG,					\
		.offset = offsetof(struct STRUCTURE, member),		\
		.size = sizeof(((struct STRUCTURE *)0)->member),	\
		.mask = bit,						\
		.symbol = FOR_DOCUMENTS(#bit),			\
		.since = FOR_DOCUMENTS(since_),			\
		.meaning = FOR_DOCUMENTS(meaning_),		\
	}

#define STRUCTURE kch_rec_header
const struct kch_field kch_header_fields[] = {
	MEMBER(0, magic, MAGIC, NULL, "0.1.0", "KVMCLKHO, without a NUL"),
	MEMBER(8, header_size, DECIMAL, "bytes", "0.1.0",
	       "size of this structure, a multiple of 8; VM entries follow"),
	MEMBER(12, vm_size, DECIMAL, "bytes", "0.1.0",
	       "size of each VM structure, a multiple of 8"),
	MEMBER(16, vcpu_size, DECIMAL, "bytes", "0.1.0",
	       "size of each vCPU structure, a multiple of 8"),
	MEMBER(20, vm_count, DECIMAL, NULL, "0.1.0", "VM entries that follow"),
	MEMBER(24, compat, HEX, NULL, "0.1.0", "feature bits that a reader may ignore"),
	MEMBER(28, incompat, HEX, NULL, "0.1.0", "feature bits that a reader must know"),
	MEMBER(32, sequence, DECIMAL, NULL, "0.1.0",
	       "grows with every record written in this region, over kexecs too"),
	MEMBER(40, total_size, DECIMAL, "bytes", "0.1.0",
	       "size of the header and all VM entries"),
	MEMBER(48, generation, DECIMAL, NULL, "0.1.0",
	       "kexecs this chain of records has passed through"),
	MEMBER(56, flags, HEX, NULL, "0.1.0", "KCH_REC_* bits"),
	FLAG(flags, KCH_REC_SEALED, "sealed", "0.1.0",
	     "final: written by the kernel's reboot path"),
	MEMBER(60, tsc_khz, DECIMAL, "kHz", "0.1.0", "the writing kernel's TSC frequency"),
	MEMBER(64, kvm_tsc_khz, DECIMAL, "kHz", "0.1.0",
	       "the frequency its KVM computed guest clocks from; 0 unknown"),
	MEMBER(68, tsc_source, TSC_SOURCE, NULL, "0.1.0",
	       "how the writing kernel knew tsc_khz: enum kch_tsc_source, below"),
	MEMBER(72, host_tsc, DECIMAL, "cycles", "0.1.0",
	       "host TSC at the instant of the following four times"),
	MEMBER(80, realtime_ns, DECIMAL, "ns", "0.1.0", "CLOCK_REALTIME, since 1970"),
	MEMBER(88, tai_ns, DECIMAL, "ns", "0.1.0", "CLOCK_TAI"),
	MEMBER(96, boottime_ns, DECIMAL, "ns", "0.1.0", "CLOCK_BOOTTIME"),
	MEMBER(104, raw_ns, DECIMAL, "ns", "0.1.0", "CLOCK_MONOTONIC_RAW"),
	MEMBER(112, boot_id, UUID, NULL, "0.1.0",
	       "/proc/sys/kernel/random/boot_id of the writing kernel"),
	MEMBER(128, machine_id, UUID, NULL, "0.1.0",
	       "DMI product UUID; all zero if the machine has none"),
	MEMBER(144, cpu_signature, HEX, NULL, "0.1.0", "CPUID leaf 1 EAX of the boot CPU"),
	MEMBER(148, cpu_vendor, CHARS, NULL, "0.1.0",
	       "first four characters of the CPUID vendor string, without a NUL"),
	MEMBER(152, kernel_release, TEXT, NULL, "0.1.0", "uname -r of the writing kernel"),
	MEMBER(216, module_version, TEXT, NULL, "0.1.0",
	       "version of the module that wrote the record"),
	MEMBER(232, superseded, HEX, NULL, "0.2.0",
	       "KCH_RECORD_MARK once the sealing of the record after it has begun, else 0"),
	MEMBER(240, entries_crc32c, PROOF, NULL, "0.2.0",
	       "of every entry's crc32c, sequence and boot_id; if compat has KCH_COMPAT_BOUND"),
	MEMBER(244, wall_maxerror_us, DECIMAL, "us", "0.2.0",
	       "how far realtime_ns and tai_ns may be off; if compat has KCH_COMPAT_WALL"),
	MEMBER(248, wall_flags, HEX, NULL, "0.2.0",
	       "KCH_WALL_* bits; if compat has KCH_COMPAT_WALL"),
	FLAG(wall_flags, KCH_WALL_SYNCED, "wall_synced", "0.2.0",
	     "the wall clock was synchronised: wall_maxerror_us is a bound"),
	FLAG(wall_flags, KCH_WALL_TAI, "wall_tai", "0.2.0", "CLOCK_TAI was set: tai_ns is TAI"),
	MEMBER(252, reserved, ZERO, NULL, "0.1.0", ""),
	MEMBER(304, crc32c, PROOF, NULL, "0.1.0",
	       "of the header_size bytes of the header with crc32c, superseded and commit as zero"),
	MEMBER(308, reserved2, ZERO, NULL, "0.1.0", ""),
	MEMBER(312, commit, PROOF, NULL, "0.1.0",
	       "KCH_RECORD_COMMIT XOR sequence if the record is whole, else 0; it never moves"),
	{ }
};

#undef STRUCTURE

#define STRUCTURE kch_rec_vm
const struct kch_field kch_vm_fields[] = {
	MEMBER(0, size, PROOF, "bytes", "0.1.0", "size of this entry with all its vCPUs"),
	MEMBER(4, crc32c, PROOF, NULL, "0.1.0", "of these bytes with crc32c and used as zero"),
	MEMBER(8, uuid, UUID, NULL, "0.1.0",
	       "the VM's id, given by who preserved it; not all zero"),
	MEMBER(24, name, TEXT, NULL, "0.1.0", "for people; may be empty"),
	MEMBER(88, vcpu_count, DECIMAL, NULL, "0.1.0", "vCPUs that follow, ascending by vcpu_id"),
	MEMBER(92, flags, HEX, NULL, "0.1.0", "KCH_VM_* bits"),
	FLAG(flags, KCH_VM_MASTER_CLOCK, "master_clock", "0.1.0", "KVM's master clock was on"),
	FLAG(flags, KCH_VM_RUNNING, "running", "0.1.0",
	     "a vCPU was running or in an ioctl when this was read"),
	FLAG(flags, KCH_VM_AT_SEAL, "at_seal", "0.1.0",
	     "read again when the record was sealed by the reboot path"),
	FLAG(flags, KCH_VM_AT_END, "at_end", "0.1.0", "read again when the VM went away"),
	FLAG(flags, KCH_VM_STALE, "stale", "0.1.0",
	     "the VM may have had another clock since; instead of KCH_VM_MASTER_CLOCK"),
	MEMBER(96, master_cycle_now, DECIMAL, "cycles", "0.1.0",
	       "host TSC of KVM's master clock reference"),
	MEMBER(104, master_kernel_ns, SIGNED, "ns", "0.1.0",
	       "KVM's host clock at the reference"),
	MEMBER(112, kvmclock_offset, SIGNED, "ns", "0.1.0", "kvmclock minus KVM's host clock"),
	MEMBER(120, host_tsc, DECIMAL, "cycles", "0.1.0", "host TSC when this was read"),
	MEMBER(128, kvmclock_ns, DECIMAL, "ns", "0.1.0", "kvmclock of the first vCPU at host_tsc"),
	MEMBER(136, tsc_scaling_frac_bits, DECIMAL, NULL, "0.1.0",
	       "fraction bits of the VM's scaling ratios, at most 63: 1.0 is 1 << this"),
	MEMBER(137, reserved1, ZERO, NULL, "0.1.0", ""),
	MEMBER(140, pid, DECIMAL, NULL, "0.1.0", "the process that had the VM"),
	MEMBER(144, default_tsc_khz, DECIMAL, "kHz", "0.1.0",
	       "frequency that a new vCPU of this VM gets"),
	MEMBER(148, kvmclock_slack_ns, DECIMAL, "ns", "0.1.0",
	       "how far kvmclock_ns and the guest's pages are off at most; 0 not said, or exact"),
	MEMBER(152, used, HEX, NULL, "0.2.0",
	       "KCH_RECORD_MARK once the clock was given back, else 0"),
	MEMBER(160, reserved, ZERO, NULL, "0.1.0", ""),
	{ }
};

#undef STRUCTURE

#define STRUCTURE kch_rec_vcpu
const struct kch_field kch_vcpu_fields[] = {
	MEMBER(0, vcpu_id, DECIMAL, NULL, "0.1.0", "the id given to KVM_CREATE_VCPU"),
	MEMBER(4, flags, HEX, NULL, "0.1.0", "KCH_VCPU_* bits"),
	FLAG(flags, KCH_VCPU_PAIR_VALID, "pair_valid", "0.1.0",
	     "tsc_to_system_mul and tsc_shift are KVM's: the vCPU has run"),
	FLAG(flags, KCH_VCPU_PVCLOCK_ON, "pvclock_on", "0.1.0",
	     "the guest has enabled its pvclock page"),
	FLAG(flags, KCH_VCPU_CATCHUP, "catchup", "0.1.0", "KVM moves its TSC offset itself"),
	MEMBER(8, tsc_offset, SIGNED, "cycles", "0.1.0",
	       "guest TSC minus scaled host TSC, modulo 2^64"),
	MEMBER(16, tsc_scaling_ratio, HEX, NULL, "0.1.0",
	       "guest frequency over host frequency, fixed point with tsc_scaling_frac_bits"),
	MEMBER(24, ia32_tsc_adjust, SIGNED, "cycles", "0.1.0", "the guest's MSR_IA32_TSC_ADJUST"),
	MEMBER(32, pvclock_gpa, HEX, NULL, "0.1.0",
	       "guest physical address of its pvclock page; 0 if off"),
	MEMBER(40, virtual_tsc_khz, DECIMAL, "kHz", "0.1.0", "frequency the guest was promised"),
	MEMBER(44, hw_tsc_khz, DECIMAL, "kHz", "0.1.0",
	       "frequency that KVM computed the following two from"),
	MEMBER(48, tsc_to_system_mul, DECIMAL, NULL, "0.1.0",
	       "as in the pvclock page, its top bit is set; 0 if it has not run"),
	MEMBER(52, tsc_shift, SIGNED, NULL, "0.1.0", "as in the pvclock page, -12 to 20"),
	MEMBER(53, pvclock_flags, HEX, NULL, "0.1.0",
	       "flags byte of the page as KVM last computed it; 0 where the kernel keeps none"),
	MEMBER(54, reserved, ZERO, NULL, "0.1.0", ""),
	{ }
};

#undef STRUCTURE

#define STRUCTURE kch_kho_entry
const struct kch_field kch_kho_fields[] = {
	MEMBER(0, magic, MAGIC, NULL, "0.1.0", "KVMCLKPT, without a NUL"),
	MEMBER(8, version, DECIMAL, NULL, "0.1.0", "1; another one is refused"),
	MEMBER(12, reserved, ZERO, NULL, "0.1.0", ""),
	MEMBER(16, start, HEX, NULL, "0.1.0",
	       "physical address of the region, a multiple of its size"),
	MEMBER(24, bytes, DECIMAL, "bytes", "0.1.0",
	       "size of the region, a power of two: one folio preserved with KHO"),
	MEMBER(32, crc32c, PROOF, NULL, "0.1.0",
	       "of the bytes before it; at this offset in every version"),
	MEMBER(36, returned, DECIMAL, NULL, "0.1.0",
	       "not 0 once the kernel that found the region has freed it; for that kernel only"),
	{ }
};

#undef STRUCTURE

u64 kch_field_number(const struct kch_field *field, const void *structure)
{
	const u8 *at = (const u8 *)structure + field->offset;
	u64 value = 0;
	u32 i;

	for (i = field->size; i--; )
		value = value << 8 | at[i];
	if (field->kind == KCH_FIELD_FLAG)
		return !!(value & field->mask);
	if (field->kind == KCH_FIELD_SIGNED && field->size < sizeof(value)) {
		u64 sign = 1ULL << (8 * field->size - 1);

		value = (value ^ sign) - sign;
	}
	return value;
}

static void uuid_text(const u8 *uuid, char *text)
{
	u32 i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*text++ = '-';
		text += snprintf(text, 3, "%02x", uuid[i]);
	}
}

void kch_field_text(const struct kch_field *field, const void *structure,
		    char text[KCH_FIELD_TEXT_SIZE])
{
	const u8 *at = (const u8 *)structure + field->offset;
	unsigned long long number;

	switch (field->kind) {
	case KCH_FIELD_UUID:
		uuid_text(at, text);
		return;
	case KCH_FIELD_TEXT:
	case KCH_FIELD_CHARS:
	case KCH_FIELD_MAGIC:
		snprintf(text, KCH_FIELD_TEXT_SIZE, "%.*s", (int)field->size,
			 (const char *)at);
		return;
	case KCH_FIELD_ZERO:
		text[0] = '\0';
		return;
	default:
		break;
	}
	number = kch_field_number(field, structure);
	if (field->kind == KCH_FIELD_TSC_SOURCE)
		snprintf(text, KCH_FIELD_TEXT_SIZE, "%s", kch_tsc_source_name((u32)number));
	else if (field->kind == KCH_FIELD_SIGNED)
		snprintf(text, KCH_FIELD_TEXT_SIZE, "%lld", (long long)number);
	else if (field->kind == KCH_FIELD_HEX || field->kind == KCH_FIELD_PROOF)
		snprintf(text, KCH_FIELD_TEXT_SIZE, "%#llx", number);
	else
		snprintf(text, KCH_FIELD_TEXT_SIZE, "%llu", number);
}

const char *kch_tsc_source_name(u32 source)
{
	static const char * const names[] = {
		[KCH_TSC_UNKNOWN] = "unknown",
		[KCH_TSC_EARLY] = "early",
		[KCH_TSC_SETTLED] = "settled",
		[KCH_TSC_KNOWN] = "known",
		[KCH_TSC_OTHER] = "other",
	};

	return source <= KCH_TSC_OTHER ? names[source] : "invalid";
}
