// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Before the kexec, without the module: a VM's clock from the guest's pvclock pages and
 * from KVM's ioctls, each compared with the other, written as a record of one VM.
 */
#include <stdlib.h>
#include <kvmclock-handover-stock.h>
#include "members.h"
#include "slots.h"
#include "stock.h"

#define MSR_IA32_TSC_ADJUST	0x3b

/* KVM's struct pvclock_vcpu_time_info */
struct page {
	__le32 version;			/* odd while it is being written */
	__le32 pad0;
	__le64 tsc_timestamp;		/* guest TSC of the reference, cycles */
	__le64 system_time;		/* kvmclock then, ns */
	__le32 tsc_to_system_mul;
	__s8 tsc_shift;
	__u8 flags;
	__u8 pad[2];
};

/* A vCPU that is being saved. */
struct source {
	struct kch_vcpu vcpu;
	struct page page;		/* all zero if it has none */
	uint64_t adjust;		/* MSR_IA32_TSC_ADJUST, cycles */
	uint64_t reference;		/* host TSC of the page's reference, cycles */
};

/* A VM that is being saved. */
struct saving {
	struct kch_members vm;
	struct source *vcpus;		/* in the order of the members */
};

static bool has_page(const struct source *s)
{
	return s->page.tsc_to_system_mul;
}

static bool is_scaled(const struct saving *s, const struct source *v)
{
	return v->vcpu.ratio != 1ULL << s->vm.frac_bits;
}

/* Copies the caller's page.  One that KVM never wrote counts as none. */
static int take_page(struct kch_handle *handle, struct source *v)
{
	const struct kch_stock_vcpu *given = v->vcpu.given;
	static const struct page never;
	uint32_t id = v->vcpu.vcpu_id;

	_Static_assert(sizeof(v->page) == KCH_PVCLOCK_SIZE, "KVM's layout");
	if (!given->pvclock)
		return 0;
	memcpy(&v->page, given->pvclock, sizeof(v->page));
	if (!memcmp(&v->page, &never, sizeof(never)))
		return 0;
	if (le32_to_cpu(v->page.version) & 1)
		return kch_fail(handle, -EBADMSG,
				"vCPU %u: its pvclock page has the odd version %u: it is being written",
				id, le32_to_cpu(v->page.version));
	if (le32_to_cpu(v->page.tsc_to_system_mul) < KCH_MUL_MIN ||
	    v->page.tsc_shift < KCH_SHIFT_MIN || v->page.tsc_shift > KCH_SHIFT_MAX)
		return kch_fail(handle, -EBADMSG,
				"vCPU %u: its pvclock page has mul %u and shift %d: it is none", id,
				le32_to_cpu(v->page.tsc_to_system_mul), v->page.tsc_shift);
	return 0;
}

static int read_vcpu(struct kch_handle *handle, const struct saving *s, struct source *v)
{
	int err = take_page(handle, v);

	if (err)
		return err;
	v->vcpu.ratio = kch_ratio(v->vcpu.khz, s->vm.host_khz, s->vm.frac_bits);
	if (!s->vm.frac_bits && !kch_khz_is_unscaled(v->vcpu.khz, s->vm.host_khz))
		return kch_fail(handle, -ENOTRECOVERABLE,
				"vCPU %u is in TSC catch-up: it was promised %u kHz, this host runs at %u kHz and cannot scale to it, so KVM moves its TSC offset itself",
				v->vcpu.vcpu_id, v->vcpu.khz, s->vm.host_khz);
	if (!kch_get_msr(v->vcpu.fd, MSR_IA32_TSC_ADJUST, &v->adjust))
		v->adjust = 0;
	if (has_page(v))
		v->reference = kch_unscale_tsc(le64_to_cpu(v->page.tsc_timestamp) - v->vcpu.offset,
					       v->vcpu.ratio, s->vm.frac_bits);
	return kch_check_tsc(handle, &v->vcpu, s->vm.frac_bits, s->vm.host_khz);
}

static int fail_page(struct kch_handle *handle, const struct source *v, int64_t apart_ns)
{
	return kch_fail(handle, -ESTALE,
			"vCPU %u: by its pvclock page kvmclock is %lld ns from what KVM says: it is another page, or KVM's clock was set and the vCPU has not run since",
			v->vcpu.vcpu_id, (long long)apart_ns);
}

/*
 * Is the page's reference KVM's?  KVM_GET_CLOCK evaluates the reference at the host's
 * present frequency, which need not be the one that the page's mul was made from.
 * Evaluated in the same way the page's reference must give KVM's clock.
 */
static int check_page(struct kch_handle *handle, const struct saving *s, const struct source *v)
{
	/*
	 * When the TSC is scaled KVM's own evaluation and the page's are rounded
	 * differently: by a cycle each in the reference, and by 1 ns each.
	 */
	uint64_t slack = is_scaled(s, v) ?
			 kch_cycles_to_ns(2, v->vcpu.khz) + 2 : 0;
	int64_t apart;
	uint32_t mul;
	int8_t shift;

	kch_pvclock_pair(s->vm.host_khz, &mul, &shift);
	apart = (int64_t)(kch_pvclock_ns(v->reference, le64_to_cpu(v->page.system_time), mul, shift,
					 s->vm.clock.host_tsc) - s->vm.clock.clock_ns);
	if (apart <= (int64_t)slack && apart >= -(int64_t)slack)
		return 0;
	return fail_page(handle, v, apart);
}

/*
 * Adds to @slack_ns how far the guest's clock is from KVM's, the largest of all pages.
 * Without a master clock KVM writes a page from a TSC and from its clock, read one
 * after the other.  What the guest reads is ahead by the time between, for which there
 * is no bound, so it is measured.  It is behind only by what the two clocks have
 * drifted apart since.
 */
static int measure_pages(struct kch_handle *handle, const struct saving *s, uint64_t *slack_ns)
{
	const uint64_t host_slack_ppb = kch_host_clock_slack_ppb();
	uint64_t largest = 0;
	uint32_t i;

	for (i = 0; i < s->vm.count; i++) {
		const struct source *v = &s->vcpus[i];
		struct kch_clock page = {
			.system_time_ns = le64_to_cpu(v->page.system_time),
			.tsc_offset = v->vcpu.offset,
			.tsc_scaling_ratio = v->vcpu.ratio,
			.tsc_scaling_frac_bits = s->vm.frac_bits,
			.tsc_to_system_mul = le32_to_cpu(v->page.tsc_to_system_mul),
			.tsc_shift = v->page.tsc_shift,
		};
		uint64_t age_ns, behind_ns, drift_ppb;
		int64_t ahead_ns;

		if (!has_page(v))
			continue;
		ahead_ns = (int64_t)(kch_pvclock_ns(le64_to_cpu(v->page.tsc_timestamp),
						    page.system_time_ns,
						    page.tsc_to_system_mul,
						    page.tsc_shift,
						    kch_clock_tsc(&page, s->vm.clock.host_tsc)) -
				     s->vm.clock.clock_ns);
		age_ns = kch_cycles_to_ns(s->vm.clock.host_tsc - v->reference, s->vm.host_khz);
		drift_ppb = kch_host_clock_ppb(&page, s->vm.host_khz) + host_slack_ppb;
		behind_ns = s->vm.clock.slack_ns + KCH_ROUNDING_NS +
			    (uint64_t)((unsigned __int128)age_ns * drift_ppb / 1000000000);
		if (v->reference > s->vm.clock.host_tsc || ahead_ns > UINT32_MAX ||
		    ahead_ns < -(int64_t)behind_ns)
			return fail_page(handle, v, ahead_ns);
		if (ahead_ns < 0)
			ahead_ns = -ahead_ns;
		if ((uint64_t)ahead_ns > largest)
			largest = (uint64_t)ahead_ns;
	}
	*slack_ns += largest;
	return 0;
}

/* The vCPU with the newest page, whose reference is KVM's; NULL: there are no pages. */
static const struct source *newest_page(const struct saving *s)
{
	const struct source *newest = NULL;
	uint32_t i;

	for (i = 0; i < s->vm.count; i++)
		if (has_page(&s->vcpus[i]) &&
		    (!newest || s->vcpus[i].reference > newest->reference))
			newest = &s->vcpus[i];
	return newest;
}

/*
 * The newest page has KVM's present reference, which vCPUs that have not run since get
 * when they do.
 */
static int fill_reference(struct kch_handle *handle, const struct saving *s,
			  struct kch_rec_vm *entry)
{
	const struct source *newest = newest_page(s);
	int err;

	entry->master_cycle_now = cpu_to_le64(s->vm.clock.host_tsc);
	entry->master_kernel_ns = cpu_to_le64(s->vm.clock.clock_ns);
	if (!s->vm.clock.at_once) {
		uint64_t slack_ns = s->vm.clock.slack_ns;

		err = measure_pages(handle, s, &slack_ns);
		if (err)
			return err;
		entry->kvmclock_slack_ns = cpu_to_le32((uint32_t)slack_ns);
		return slack_ns <= UINT32_MAX ? 0 :
		       kch_fail(handle, -EOVERFLOW,
				"kvmclock is known to within %llu ns, a record has room for %u",
				(unsigned long long)slack_ns, UINT32_MAX);
	}
	entry->flags = cpu_to_le32(KCH_VM_MASTER_CLOCK);
	if (!newest)
		return 0;
	err = check_page(handle, s, newest);
	if (err)
		return err;
	entry->master_cycle_now = cpu_to_le64(newest->reference);
	entry->master_kernel_ns = newest->page.system_time;
	return 0;
}

static void fill_vcpu(const struct saving *s, const struct source *v, struct kch_rec_vcpu *to)
{
	uint64_t ratio = v->vcpu.ratio;
	uint32_t khz = (uint32_t)kch_scale_tsc(s->vm.host_khz, ratio, s->vm.frac_bits);
	uint32_t mul;

	to->vcpu_id = cpu_to_le32(v->vcpu.vcpu_id);
	to->flags = cpu_to_le32(KCH_VCPU_PAIR_VALID);
	to->tsc_offset = cpu_to_le64(v->vcpu.offset);
	to->tsc_scaling_ratio = cpu_to_le64(ratio);
	to->ia32_tsc_adjust = cpu_to_le64(v->adjust);
	to->virtual_tsc_khz = cpu_to_le32(v->vcpu.khz);
	if (has_page(v)) {
		to->flags |= cpu_to_le32(KCH_VCPU_PVCLOCK_ON);
		to->tsc_to_system_mul = v->page.tsc_to_system_mul;
		to->tsc_shift = v->page.tsc_shift;
		to->pvclock_flags = v->page.flags;
		return;
	}
	/* The guest has not seen these yet: what KVM would give it. */
	kch_pvclock_pair(khz, &mul, &to->tsc_shift);
	to->tsc_to_system_mul = cpu_to_le32(mul);
	to->hw_tsc_khz = cpu_to_le32(khz);
}

static int write_record(struct kch_handle *handle, const struct saving *s,
			const uint8_t uuid[KCH_UUID_SIZE], const char name[KCH_NAME_SIZE],
			void *buffer, size_t size)
{
	size_t entry_size = kch_rec_entry_size(s->vm.count);
	struct kch_rec_vm *entry = calloc(1, entry_size);
	struct kch_rec_vcpu *vcpus;
	struct kch_rec_header header;
	struct kch_clock clock;
	uint32_t i;
	int err;

	if (!entry)
		return kch_fail(handle, -ENOMEM, "no memory for %zu bytes", entry_size);
	vcpus = (struct kch_rec_vcpu *)(entry + 1);
	memcpy(entry->uuid, uuid, sizeof(entry->uuid));
	memcpy(entry->name, name, sizeof(entry->name));
	entry->vcpu_count = cpu_to_le32(s->vm.count);
	entry->tsc_scaling_frac_bits = s->vm.frac_bits;
	entry->default_tsc_khz = cpu_to_le32(s->vcpus[0].vcpu.khz);
	err = fill_reference(handle, s, entry);
	if (err) {
		free(entry);
		return err;
	}
	for (i = 0; i < s->vm.count; i++)
		fill_vcpu(s, &s->vcpus[i], &vcpus[i]);
	kch_clock_of(entry, &vcpus[0], &clock);
	entry->host_tsc = cpu_to_le64(s->vm.clock.host_tsc);
	entry->kvmclock_ns = cpu_to_le64(kch_clock_ns(&clock, s->vm.clock.host_tsc));
	kch_rec_entry_close(entry);
	kch_fill_header(&header, s->vm.host_khz);
	err = kch_record_write(buffer, size, &header, entry, entry_size, 1);
	free(entry);
	return err ? kch_fail(handle, err, "%s", strerror(-err)) : 0;
}

int kch_stock_save(struct kch_handle *handle, int vm_fd, const struct kch_stock_vcpu *vcpus,
		   size_t count, const uint8_t uuid[KCH_UUID_SIZE], const char *name, void *buffer,
		   size_t *size)
{
	char name_bytes[KCH_NAME_SIZE];
	struct saving s = {};
	size_t room = *size;
	uint32_t i;
	int err;

	kch_start(handle);
	err = kch_check_uuid(handle, uuid);
	if (!err)
		err = kch_copy_name(handle, name_bytes, name);
	if (!err)
		err = kch_members_take(handle, vm_fd, vcpus, sizeof(*vcpus), count, &s.vm);
	if (err)
		return err;
	*size = sizeof(struct kch_rec_header) + kch_rec_entry_size(s.vm.count);
	s.vcpus = calloc(count, sizeof(s.vcpus[0]));
	if (room < *size)
		err = kch_fail(handle, -ENOBUFS, "%zu bytes, needed are %zu", room, *size);
	else if (!s.vcpus)
		err = kch_fail(handle, -ENOMEM, "no memory for %zu vCPUs", count);
	else
		err = kch_members_read(handle, &s.vm);
	for (i = 0; !err && i < s.vm.count; i++) {
		s.vcpus[i].vcpu = s.vm.vcpus[i];
		err = read_vcpu(handle, &s, &s.vcpus[i]);
	}
	if (!err)
		err = write_record(handle, &s, uuid, name_bytes, buffer, *size);
	free(s.vcpus);
	free(s.vm.vcpus);
	return err;
}
