// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "condition.h"
#include "forge.h"
#include "groups.h"
#include "scene.h"
#include "snapshot.h"

/**
 * struct kind - a kind of record that can be found in the region
 * @name: what is special about it
 * @entry: changes header or entry before the record is put together
 * @image: changes its bytes afterwards
 * @header_error: errno that all have from the record as a whole, 0 if it is
 *	one that can be looked at
 * @error: of RESTORE
 * @whole: INFO has it as incoming_error, too: it is of the record, not of the entry
 * @message: in its message
 * @finish_error: of FINISH without KCH_FINISH_DISCARD
 * @flag: of RESTORE, with which it is accepted nevertheless
 */
struct kind {
	const char *name;
	void (*entry)(struct forged *f);
	void (*image)(struct forged *f);
	int header_error;
	int error;
	bool whole;
	const char *message;
	int finish_error;
	uint32_t flag;
};

#define HEADER(name, statement)						\
static void name(struct forged *f)					\
{									\
	struct kch_rec_header *header = &f->header;			\
									\
	statement;							\
}

/* Of a header that is otherwise whole; made up after the record was written. */
#define SEALED(name, statement)						\
static void name(struct forged *f)					\
{									\
	struct kch_rec_header *header = (void *)f->image;		\
									\
	statement;							\
	forge_seal(f);							\
}

#define ENTRY(name, statement)						\
static void name(struct forged *f)					\
{									\
	struct kch_rec_vm *entry = forge_entry(f);			\
	struct kch_rec_vcpu *vcpu = forge_vcpu(f, 1);			\
									\
	(void)entry;							\
	(void)vcpu;							\
	statement;							\
	forge_close(f);							\
}

#define RAW(name, statement)						\
static void name(struct forged *f)					\
{									\
	struct kch_rec_header *header = (void *)f->image;		\
	struct kch_rec_vm *entry = (void *)(header + 1);		\
									\
	(void)entry;							\
	statement;							\
}

/* What no kernel writes: otherwise the entry is as one does. */
#define FORGED(name, statement)						\
static void name(struct forged *f)					\
{									\
	struct kch_rec_header *header = (void *)f->image;		\
	struct kch_rec_vm *entry = (void *)(header + 1);		\
	struct kch_rec_vcpu *vcpu = (struct kch_rec_vcpu *)(entry + 1) + 1; \
									\
	(void)vcpu;							\
	statement;							\
	kch_rec_entry_close(entry);					\
	forge_seal(f);							\
}

#define HOUR_NS		3600000000000ULL

static uint64_t header_khz(const struct forged *f)
{
	return f->header.tsc_khz;
}

RAW(nothing, memset(f->image, 0, sizeof(f->image)))
RAW(taken_back, header->commit = 0)
RAW(magic, header->magic[7] ^= 0x20)
RAW(commit, header->commit ^= 1ULL << 40)
RAW(header_bit, header->tsc_khz ^= 0x100)
RAW(header_reserved, header->reserved[sizeof(header->reserved) - 1] = 1)
RAW(header_size_small, header->header_size = 8)
RAW(header_size_huge, header->header_size = ~0U)
RAW(entry_bit, entry->kvmclock_offset ^= 0x100)
RAW(vcpu_bit, ((struct kch_rec_vcpu *)(entry + 1))->tsc_to_system_mul ^= 1)
SEALED(entry_size, ((struct kch_rec_vm *)(header + 1))->size = ~0U)
SEALED(entry_size_small, ((struct kch_rec_vm *)(header + 1))->size = 8)
RAW(entry_size_bound, entry->size = 8)
RAW(used_mark, entry->used = 1)
RAW(superseded_mark, header->superseded = 1)
RAW(superseded, header->superseded = KCH_RECORD_MARK)
RAW(entry_vcpus, entry->vcpu_count = ~0U)
SEALED(vm_size_small, header->vm_size = 8)
SEALED(vm_size_huge, header->vm_size = 0xfffffff8)
SEALED(vcpu_size_odd, header->vcpu_size = 65)
SEALED(vcpu_size_none, header->vcpu_size = 0)
SEALED(vms_huge, header->vm_count = ~0U)
SEALED(total_huge, header->total_size = 1ULL << 60)
SEALED(total_small, header->total_size = 8)
SEALED(cut_in_entry, header->total_size -= 8)
SEALED(cut_to_header, header->total_size = sizeof(*header))
HEADER(incompatible, header->incompat = 1U << 31)
HEADER(compatible, header->compat = 1U << 31)
HEADER(not_sealed, header->flags = 0)
HEADER(machine, header->machine_id[0] ^= 1)
HEADER(cpu, header->cpu_signature ^= 0x10)
HEADER(vendor, memcpy(header->cpu_vendor, "Cent", 4))
HEADER(tsc_ahead, header->host_tsc += 1ULL << 50)
/* With an unknown boot, as they are of now: else ANY_WALL would have another reason. */
HEADER(tsc_stopped, header->realtime_ns -= HOUR_NS; memset(header->boot_id, 0, 16))
HEADER(wall_back, header->realtime_ns += HOUR_NS; memset(header->boot_id, 0, 16))
HEADER(wall_slack, header->realtime_ns += 1500000000)
SEALED(no_khz, header->tsc_khz = 0)
SEALED(khz_absurd, header->tsc_khz = ~0U)
SEALED(sequence_end, header->sequence = ~0ULL)
SEALED(source, header->tsc_source = 9)
SEALED(header_flag, header->flags |= 2)
SEALED(header_set, header->reserved[sizeof(header->reserved) - 1] = 1)
SEALED(release_endless, memset(header->kernel_release, 'r', sizeof(header->kernel_release)))
SEALED(vendor_control, header->cpu_vendor[3] = 7)
SEALED(vms_more, header->vm_count = 2)
FORGED(fraction_bits, entry->tsc_scaling_frac_bits = 64)
FORGED(mul_small, vcpu->tsc_to_system_mul = 0x7fffffff)
FORGED(shift, vcpu->tsc_shift = 100)
FORGED(ratio_none, vcpu->tsc_scaling_ratio = 0)
FORGED(vcpu_khz, vcpu->virtual_tsc_khz = 0)
FORGED(ratio_twice, vcpu->tsc_scaling_ratio *= 2)
FORGED(vcpu_twice, vcpu->vcpu_id = 0)
FORGED(vcpu_flag, vcpu->flags |= 1U << 31)
FORGED(vcpu_set, vcpu->reserved[9] = 1)
FORGED(entry_flag, entry->flags |= 1U << 31)
FORGED(entry_flags, entry->flags |= KCH_VM_AT_SEAL | KCH_VM_AT_END)
FORGED(entry_set, entry->reserved[31] = 1)
FORGED(no_id, memset(entry->uuid, 0, sizeof(entry->uuid)))
FORGED(reference, entry->master_cycle_now = entry->host_tsc + 1)
FORGED(read_late, entry->host_tsc = header->host_tsc + 1)
FORGED(another_ns, entry->kvmclock_ns++)
FORGED(name_endless, memset(entry->name, 'n', sizeof(entry->name)))
FORGED(name_control, entry->name[2] = 0x1b)
FORGED(name_behind, entry->name[63] = 'n')
ENTRY(other_id, set_uuid(entry->uuid, ID_UNKNOWN))
ENTRY(no_master_clock, entry->flags = 0)
ENTRY(stale, entry->flags = KCH_VM_STALE; entry->host_tsc -= 10ULL * header_khz(f) * 1000;
	      entry->master_cycle_now = entry->host_tsc)
ENTRY(catchup, vcpu->flags |= KCH_VCPU_CATCHUP)
ENTRY(ratio, vcpu->tsc_scaling_ratio++)
ENTRY(fraction_bits_less, entry->tsc_scaling_frac_bits--; vcpu->tsc_scaling_ratio /= 2;
	      forge_vcpu(f, 0)->tsc_scaling_ratio /= 2)
ENTRY(khz, vcpu->virtual_tsc_khz++)
ENTRY(offset, vcpu->tsc_offset--)
ENTRY(vcpu_id, vcpu->vcpu_id = 3)
ENTRY(no_pair, vcpu->flags &= ~KCH_VCPU_PAIR_VALID; vcpu->tsc_to_system_mul = 0;
	       vcpu->tsc_shift = 0; vcpu->hw_tsc_khz = 0)
ENTRY(no_pairs, no_pair(f); *forge_vcpu(f, 0) = *vcpu; forge_vcpu(f, 0)->vcpu_id = 0)

static void two_of_one_id(struct forged *f)
{
	memcpy(f->entries + f->size, f->entries, f->size);
	f->size *= 2;
	f->count = 2;
}

static void no_rate(struct forged *f)
{
	f->header.kvm_tsc_khz = 0;
	no_pairs(f);
}

/* Each by its own reason. */
#define FORGED_HEADER(what, change, reason)				\
	{ what, .image = change, .header_error = EBADMSG, .error = EBADMSG, \
	  .message = reason, .finish_error = EBADMSG }
#define FORGED_ENTRY(what, change, reason)				\
	{ what, .image = change, .error = EBADMSG, .message = reason,	\
	  .finish_error = ENOTEMPTY }

static const struct kind kinds[] = {
	{ "empty region", .image = nothing, .header_error = ENODATA,
	  .error = ENODATA, .message = "no record came", .finish_error = ENODATA },
	{ "taken back", .image = taken_back, .header_error = ENODATA,
	  .error = ENODATA, .message = "no record came", .finish_error = ENODATA },
	{ "wrong magic number", .image = magic, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "magic number", .finish_error = EBADMSG },
	{ "wrong commit marker", .image = commit, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "commit marker", .finish_error = EBADMSG },
	{ "bit of the header", .image = header_bit, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "header checksum", .finish_error = EBADMSG },
	{ "reserved byte of the header", .image = header_reserved,
	  .header_error = EBADMSG, .error = EBADMSG,
	  .message = "header checksum", .finish_error = EBADMSG },
	{ "header of 8 bytes", .image = header_size_small, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "header of 8 bytes", .finish_error = EBADMSG },
	{ "header of 4 GiB", .image = header_size_huge, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "header of 4294967295 bytes",
	  .finish_error = EBADMSG },
	{ "VMs of 8 bytes", .image = vm_size_small, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "VMs of 8", .finish_error = EBADMSG },
	{ "VMs of 4 GiB", .image = vm_size_huge, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "VMs of 4294967288", .finish_error = EBADMSG },
	{ "vCPUs of 65 bytes", .image = vcpu_size_odd, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "vCPUs of 65 bytes", .finish_error = EBADMSG },
	{ "vCPUs of no bytes", .image = vcpu_size_none, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "vCPUs of 0 bytes", .finish_error = EBADMSG },
	{ "four billion VMs", .image = vms_huge, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "with 4294967295 VMs", .finish_error = EBADMSG },
	{ "larger than its slot", .image = total_huge, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "1152921504606846976 bytes",
	  .finish_error = EBADMSG },
	{ "smaller than its header", .image = total_small, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "8 bytes with 1 VMs", .finish_error = EBADMSG },
	{ "incompatible feature", .entry = incompatible,
	  .header_error = EPROTONOSUPPORT, .error = EPROTONOSUPPORT,
	  .message = "incompatible features 0x80000000, known are 0",
	  .finish_error = EPROTONOSUPPORT },

	{ "bit of the entry", .image = entry_bit, .error = EBADMSG,
	  .message = "1 of the record's 1 are damaged", .finish_error = ENOTEMPTY },
	{ "bit of a vCPU", .image = vcpu_bit, .error = EBADMSG,
	  .message = "1 of the record's 1 are damaged", .finish_error = ENOTEMPTY },
	{ "entry of 4 GiB", .image = entry_size, .error = EBADMSG,
	  .message = "damaged", .finish_error = ENOTEMPTY },
	{ "entry of 8 bytes", .image = entry_size_small, .error = EBADMSG,
	  .message = "damaged", .finish_error = ENOTEMPTY },
	{ "entry of 8 bytes, bound", .image = entry_size_bound, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "are not those that the header", .finish_error = EBADMSG },
	{ "no mark of use", .image = used_mark, .error = EBADMSG,
	  .message = "damaged", .finish_error = ENOTEMPTY },
	{ "no mark of a successor", .image = superseded_mark, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "superseded mark", .finish_error = EBADMSG },
	{ "four billion vCPUs", .image = entry_vcpus, .error = EBADMSG,
	  .message = "damaged", .finish_error = ENOTEMPTY },
	{ "cut short", .image = cut_in_entry, .error = EBADMSG,
	  .message = "damaged", .finish_error = ENOTEMPTY },
	{ "cut short before its VM", .image = cut_to_header, .header_error = EBADMSG,
	  .error = EBADMSG, .message = "do not make a record", .finish_error = EBADMSG },

	FORGED_HEADER("no TSC frequency", no_khz, "tsc_khz 0, a host's is 1000"),
	FORGED_HEADER("TSC of 4 THz", khz_absurd, "tsc_khz 4294967295, a host's is"),
	FORGED_HEADER("last sequence number", sequence_end,
		      "sequence 18446744073709551615, the last"),
	FORGED_HEADER("source of no TSC", source, "tsc_source 9, the last one is 4"),
	FORGED_HEADER("unknown flag", header_flag, "flags 0x3, known are 0x1"),
	FORGED_HEADER("set reserved byte", header_set, "reserved has 0x1 at byte 51"),
	FORGED_HEADER("release without end", release_endless, "kernel_release has no end"),
	FORGED_HEADER("control character in the CPU's maker", vendor_control,
		      "cpu_vendor has the control character 0x7"),
	FORGED_HEADER("more VMs than there are", vms_more, "VMs"),
	FORGED_ENTRY("64 fraction bits", fraction_bits, "tsc_scaling_frac_bits 64, at most 63"),
	FORGED_ENTRY("mul below 2^31", mul_small, "vCPU 1: tsc_to_system_mul 2147483647, KVM's"),
	FORGED_ENTRY("shift out of range", shift, "vCPU 1: tsc_shift 100, KVM's are -12 to 20"),
	FORGED_ENTRY("no scaling ratio", ratio_none, "vCPU 1: tsc_scaling_ratio 0"),
	FORGED_ENTRY("no frequency", vcpu_khz, "vCPU 1: virtual_tsc_khz 0"),
	FORGED_ENTRY("frequency that its ratio does not make", ratio_twice,
		     "vCPU 1: virtual_tsc_khz "),
	FORGED_ENTRY("vCPU twice", vcpu_twice, "vCPU 0 follows vCPU 0"),
	FORGED_ENTRY("unknown flag of a vCPU", vcpu_flag, "vCPU 1: flags 0x8000000"),
	FORGED_ENTRY("set reserved byte of a vCPU", vcpu_set, "vCPU 1: reserved has 0x1 at byte 9"),
	FORGED_ENTRY("unknown flag of the VM", entry_flag, ": flags 0x8000000"),
	FORGED_ENTRY("read at two ends", entry_flags, "contradict each other"),
	FORGED_ENTRY("set reserved byte of the VM", entry_set, "reserved has 0x1 at byte 31"),
	FORGED_ENTRY("no id", no_id, "uuid is all zero"),
	FORGED_ENTRY("reference after it was read", reference, "is after host_tsc"),
	FORGED_ENTRY("read after the seal", read_late, "is after that of the record"),
	FORGED_ENTRY("not its function's value", another_ns, "by its own numbers it was"),
	FORGED_ENTRY("name without end", name_endless, "name has no end within its 64 bytes"),
	FORGED_ENTRY("control character in the name", name_control,
		     "name has the control character 0x1b at byte 2"),
	FORGED_ENTRY("name behind its end", name_behind, "name has 0x6e behind its end"),

	{ "two of one id", .entry = two_of_one_id, .error = EBADMSG,
	  .message = "two entries have id", .finish_error = ENOTEMPTY },
	{ "no rate, nor what it comes from", .entry = no_rate, .error = EBADMSG,
	  .message = "neither the rate", .finish_error = ENOTEMPTY },
	{ "saved without master clock", .entry = no_master_clock,
	  .error = EOPNOTSUPP, .message = "no master clock",
	  .finish_error = ENOTEMPTY },
	{ "saved in TSC catch-up", .entry = catchup,
	  .error = ENOTRECOVERABLE, .message = "vCPU 1 is in TSC catch-up",
	  .finish_error = ENOTEMPTY },

	{ "perhaps not the last clock", .entry = stale, .error = ESTALE,
	  .message = "s before the record was made", .finish_error = ENOTEMPTY,
	  .flag = KCH_RESTORE_STALE },
	{ "its successor began to be sealed", .image = superseded, .whole = true,
	  .error = EKEYEXPIRED, .message = "whose own record was not finished",
	  .finish_error = ENOTEMPTY, .flag = KCH_RESTORE_OLD },
	{ "other id", .entry = other_id, .error = ENOENT,
	  .message = "among the 1 in the record", .finish_error = ENOTEMPTY },
	{ "not sealed", .entry = not_sealed, .whole = true, .error = EINPROGRESS,
	  .message = "never sealed: kernel 0.0-forged", .finish_error = ENOTEMPTY,
	  .flag = KCH_RESTORE_UNSEALED },
	{ "other machine", .entry = machine, .whole = true, .error = EREMCHG,
	  .message = "the record is from machine", .finish_error = ENOTEMPTY },
	{ "other model of CPU", .entry = cpu, .whole = true, .error = EREMCHG,
	  .message = "the record is from a CPU", .finish_error = ENOTEMPTY },
	{ "other maker of CPU", .entry = vendor, .whole = true, .error = EREMCHG,
	  .message = "the record is from a CPU Cent", .finish_error = ENOTEMPTY },
	{ "TSC behind", .entry = tsc_ahead, .whole = true, .error = ETIME,
	  .message = "host TSC is behind the saved one", .finish_error = ENOTEMPTY },
	{ "wall clock an hour ahead of the TSC", .entry = tsc_stopped,
	  .whole = true, .error = ETIME, .message = " s by the wall clock",
	  .finish_error = ENOTEMPTY, .flag = KCH_RESTORE_ANY_WALL },
	{ "wall clock an hour behind the TSC", .entry = wall_back,
	  .whole = true, .error = ETIME, .message = "but -3", .finish_error = ENOTEMPTY,
	  .flag = KCH_RESTORE_ANY_WALL },
	{ "other scaling ratio", .entry = ratio, .error = ERANGE,
	  .message = "vCPU 1 has TSC scaling ratio", .finish_error = ENOTEMPTY },
	{ "other fraction bits", .entry = fraction_bits_less, .error = ERANGE,
	  .message = "vCPU 0 has TSC scaling ratio", .finish_error = ENOTEMPTY },
	{ "other frequency of one vCPU", .entry = khz, .error = EOPNOTSUPP,
	  .message = "vCPUs' saved TSCs do not match", .finish_error = ENOTEMPTY },
	{ "other TSC offset of one vCPU", .entry = offset, .error = EOPNOTSUPP,
	  .message = "vCPUs' saved TSCs do not match", .finish_error = ENOTEMPTY },
	{ "other vCPU", .entry = vcpu_id, .error = ELNRNG,
	  .message = "vCPU 1 where vCPU 3 was saved", .finish_error = ENOTEMPTY },

	{ "good", .finish_error = ENOTEMPTY },
	{ "compatible feature", .entry = compatible, .finish_error = ENOTEMPTY },
	{ "wall clock 1.5 s behind the TSC", .entry = wall_slack,
	  .finish_error = ENOTEMPTY },
	{ "vCPU that never ran", .entry = no_pair, .finish_error = ENOTEMPTY },
};

static struct kind now;

static void flag_check(struct attempt *a)
{
	a->arg.restore.flags = now.flag | KCH_RESTORE_CHECK;
}

static void no_discard(struct attempt *a)
{
	a->arg.finish.flags = 0;
}

static void clock_of_record(struct attempt *a)
{
	a->arg.clock_fd.vm_fd = -1;
	set_uuid(a->arg.clock_fd.uuid, ID_SAVED);
}

static void incoming(struct attempt *a)
{
	if (a->cmd == KCH_IOC_LIST)
		a->arg.list.which = KCH_INCOMING;
	else
		a->arg.get.which = KCH_INCOMING;
	if (a->cmd == KCH_IOC_GET)
		set_uuid(a->arg.get.uuid, 0);
}

/* What is shown of it, before anything is asked of it. */
static void check_shown(const struct forged *forged)
{
	struct kch_info info;
	char *evidence;
	size_t size;

	device_info(&info);
	check(info.flags & KCH_INFO_EVIDENCE &&
	      !(info.flags & KCH_INFO_INCOMING) == !!now.header_error,
	      "%s: INFO: flags %#x", now.name, info.flags);
	if (now.header_error) {
		check(info.incoming_error == now.header_error &&
		      strstr(info.message, now.message),
		      "%s: INFO: %s, %s", now.name,
		      errno_name(info.incoming_error), info.message);
	} else {
		check(info.incoming_vms == forged->count,
		      "%s: INFO: %u VMs", now.name, info.incoming_vms);
		check(info.incoming_error == (now.whole ? now.error : 0),
		      "%s: INFO: %s", now.name, errno_name(info.incoming_error));
	}
	evidence = debugfs_read("incoming_raw", &size);
	check(size == region_size &&
	      !memcmp(evidence, forged->image,
		      sizeof(forged->header) + forged->size),
	      "%s: the evidence is not what was found", now.name);
	free(evidence);
}

static void one_kind(struct forged *forged)
{
	const char *message = now.message ?: "";
	const struct condition looks[] = {
		{ KCH_IOC_LIST, now.name, incoming, .expected = now.header_error,
		  .message = now.header_error ? message : "" },
		{ KCH_IOC_GET, now.name, incoming, .expected = now.header_error,
		  .message = now.header_error ? message : "" },
		/* Whatever the record, a check says what the restore would. */
		{ KCH_IOC_RESTORE, now.name, SET(kch_restore, flags, KCH_RESTORE_CHECK),
		  .expected = now.error, .message = message },
		{ KCH_IOC_RESTORE, now.name,
		  SET(kch_restore, flags, now.error ? 0 : KCH_RESTORE_CHECK),
		  .expected = now.error, .message = message },
		{ KCH_IOC_FINISH, now.name, no_discard,
		  .expected = now.finish_error, .message = "" },
	};
	const struct condition clock = {
		KCH_IOC_CLOCK_FD, now.name, clock_of_record, .expected = now.header_error,
		.message = message,
	}, allowed = {
		KCH_IOC_RESTORE, now.name, flag_check, .message = "",
	};
	struct kch_entry entry;
	struct kch_finish finished;
	struct kch_restore arg;
	struct kch_info info;
	uint32_t count = 1;

	condition_base = scene_base;
	check_shown(forged);
	conditions_run(looks, sizeof(looks) / sizeof(looks[0]));
	if (now.header_error)
		condition_run(&clock);
	if (now.error == EBADMSG && !now.header_error &&
	    !list(KCH_INCOMING, &entry, &count) && !now.entry)
		check(entry.flags == KCH_ENTRY_DAMAGED, "%s: LIST: flags %#x",
		      now.name, entry.flags);
	if (!now.error || now.flag) {
		condition_run(&allowed);
		check(!restore(&scene.vm, ID_SAVED, now.flag, &arg) &&
		      arg.outcome.mode == KCH_MODE_IDENTICAL && !arg.outcome.error_ns,
		      "%s: RESTORE: %s, %lld ns", now.name, arg.message,
		      arg.outcome.error_ns);
		/* For the next kind. */
		vm_set_clock(&scene.vm, 1000000000);
	}
	/* Given up on purpose, it does not come back. */
	if (now.header_error != ENODATA) {
		check(!finish(KCH_FINISH_DISCARD, &finished),
		      "%s: FINISH: %s", now.name, finished.message);
		module_unload();
		module_load();
		device_info(&info);
		/* What does not even start as a record does was not touched. */
		check(info.incoming_error == (now.image == magic ? EBADMSG : ENODATA),
		      "%s: after FINISH: %s (%s)", now.name,
		      errno_name(info.incoming_error), info.message);
	}
}

void test_incoming(void)
{
	static const uint8_t none[sizeof(((struct kch_rec_header *)0)->machine_id)];
	static struct forged forged;
	unsigned int i;

	/* The VM and this host's header are those of the scene. */
	scene_begin();
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		now = kinds[i];
		forge_begin(&forged);
		forge_add(&forged, &scene.vm, ID_SAVED);
		/* A host without an id, as Bochs is, takes no record for another one's. */
		if (now.entry == machine &&
		    !memcmp(forged.header.machine_id, none, sizeof(none)))
			now = (struct kind){ now.name, .entry = machine,
					     .finish_error = ENOTEMPTY };
		if (now.entry)
			now.entry(&forged);
		forge_make(&forged);
		if (now.image)
			now.image(&forged);
		module_unload();
		region_clear();
		forge_put(&forged, 0);
		module_load();
		one_kind(&forged);
	}
	scene_end();
}

/**
 * struct pair - what is in the two slots
 * @name: for people
 * @entry: of the one with the larger sequence number
 * @image: of it, too
 * @error: of RESTORE
 * @message: of RESTORE
 */
static const struct pair {
	const char *name;
	void (*entry)(struct forged *f);
	void (*image)(struct forged *f);
	int error;
	const char *message;
} pairs[] = {
	{ "the newer one is taken", .entry = other_id, .error = ENOENT,
	  .message = "among the 1" },
	{ "the newer one is incompatible", .entry = incompatible,
	  .error = EPROTONOSUPPORT, .message = "incompatible features" },
	/* Its writing was cut short: the one before it counts. */
	{ "the newer one was not completed", .image = taken_back, .message = "" },
	/* Which of them was the newer cannot be told from damaged bytes. */
	{ "the newer one is damaged", .image = header_bit, .message = "" },
};

void test_two_records(void)
{
	static struct forged older, newer;
	struct condition one = { .cmd = KCH_IOC_RESTORE };
	struct kch_preserve preserved;
	struct kch_info info;
	struct kch_rec_header header;
	unsigned int i, slot;
	uint32_t size;

	scene_begin();
	for (i = 0; i < 2 * sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct pair *pair = &pairs[i / 2];

		slot = i % 2;
		forge_begin(&older);
		forge_add(&older, &scene.vm, ID_SAVED);
		newer = older;
		newer.header.sequence = cpu_to_le64(2000);
		if (pair->entry)
			pair->entry(&newer);
		forge_make(&older);
		forge_make(&newer);
		if (pair->image)
			pair->image(&newer);
		module_unload();
		region_clear();
		forge_put(&older, !slot);
		forge_put(&newer, slot);
		module_load();
		one.name = pair->name;
		one.expected = pair->error;
		one.message = pair->message;
		one.spoil = pair->error ? NULL : flag_check;
		now.flag = 0;
		condition_run(&one);

		/* What is preserved now must be the newest, and spare the record. */
		check(!preserve(&scene.spare, ID_NEW, &preserved), "%s: %s",
		      pair->name, preserved.message);
		size = sizeof(header);
		check(!get(KCH_OUTGOING, 0, &header, &size) &&
		      (header.sequence > 2000 || pair->image),
		      "%s: sequence %llu", pair->name, header.sequence);
		module_unload();
		module_load();
		device_info(&info);
		check(info.incoming_error == pair->error ||
		      (pair->error == ENOENT && !info.incoming_error),
		      "%s, loaded again: %s (%s)", pair->name,
		      errno_name(info.incoming_error), info.message);
		check(info.outgoing_vms == 1, "%s, loaded again: %u outgoing",
		      pair->name, info.outgoing_vms);
	}
	scene_end();
}
