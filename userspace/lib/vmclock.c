// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The vmclock page of a guest: made, kept, and after a restore changed if there is
 * something to tell.  All that is written is prepared before the first byte is.
 */
#include <kvmclock-handover-vmclock.h>
#include "handle.h"
#include "vmclock_page.h"

#define NS_PER_S	1000000000ULL
#define UHZ_PER_HZ	1000000ULL
#define UHZ_MIN		(1000000ULL * UHZ_PER_HZ)
#define UHZ_MAX		(100000000000ULL * UHZ_PER_HZ)

#define TIME_FLAGS	(VMCLOCK_PAGE_PERIOD_ESTERROR | VMCLOCK_PAGE_PERIOD_MAXERROR | \
			 VMCLOCK_PAGE_TIME_ESTERROR | VMCLOCK_PAGE_TIME_MAXERROR)
#define RESTORE_FLAGS	(KCH_VMCLOCK_IMPORTED | KCH_VMCLOCK_COPY)

_Static_assert(sizeof(struct vmclock_page) == 112, "the published layout");
_Static_assert(offsetof(struct vmclock_page, counter_value) == 40, "the published layout");

/* Whether it is a page that this understands, and takes it as it is. */
static int read_page(struct kch_handle *handle, const void *memory, struct vmclock_page *page)
{
	uint32_t size;

	memcpy(page, memory, sizeof(*page));
	size = le32_to_cpu(page->size);
	if (le32_to_cpu(page->magic) != VMCLOCK_PAGE_MAGIC)
		return kch_fail(handle, -EBADMSG,
				"no vmclock page: it begins with 0x%08x, expected 0x%08x; page not changed",
				le32_to_cpu(page->magic), VMCLOCK_PAGE_MAGIC);
	if (le16_to_cpu(page->version) != VMCLOCK_PAGE_VERSION)
		return kch_fail(handle, -EPROTONOSUPPORT,
				"vmclock page of version %u, expected %d; page not changed",
				le16_to_cpu(page->version), VMCLOCK_PAGE_VERSION);
	if (size < sizeof(*page) || size > KCH_VMCLOCK_SIZE)
		return kch_fail(handle, -EMSGSIZE,
				"vmclock page of %u bytes, expected %zu to %d; page not changed",
				size, sizeof(*page), KCH_VMCLOCK_SIZE);
	if (page->counter_id != VMCLOCK_PAGE_COUNTER_TSC &&
	    page->counter_id != VMCLOCK_PAGE_COUNTER_NONE)
		return kch_fail(handle, -ECHRNG,
				"vmclock page of counter %u, expected %d, the TSC; page not changed",
				page->counter_id, VMCLOCK_PAGE_COUNTER_TSC);
	if (le32_to_cpu(page->seq_count) & 1)
		return kch_fail(handle, -EBUSY,
				"vmclock page with the odd sequence count %u: an update of it has not ended; page not changed",
				le32_to_cpu(page->seq_count));
	return 0;
}

/* Everything behind the sequence count, with that odd meanwhile. */
static void write_page(void *memory, const struct vmclock_page *page)
{
	const size_t from = offsetofend(struct vmclock_page, seq_count);
	struct vmclock_page *to = memory;
	const uint32_t seq = le32_to_cpu(to->seq_count);

	__atomic_store_n(&to->seq_count, cpu_to_le32(seq + 1), __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy((char *)to + from, (const char *)page + from, sizeof(*page) - from);
	__atomic_store_n(&to->seq_count, cpu_to_le32(seq + 2), __ATOMIC_RELEASE);
}

static void set_error(struct vmclock_page *page, uint64_t flag, __le64 *member, uint64_t value)
{
	const uint64_t flags = le64_to_cpu(page->flags);

	*member = cpu_to_le64(value);
	page->flags = cpu_to_le64(value ? flags | flag : flags & ~flag);
}

/* The time is seconds and 2^-64 s; rounded down, by less than 1e-19 s. */
static void set_ns(struct vmclock_page *page, uint64_t ns)
{
	page->time_sec = cpu_to_le64(ns / NS_PER_S);
	page->time_frac_sec = cpu_to_le64((uint64_t)(((unsigned __int128)(ns % NS_PER_S) << 64) /
						     NS_PER_S));
}

/* The caller's description of the time, in the page's units. */
static int take_time(struct kch_handle *handle, const struct kch_vmclock_time *from,
		     struct vmclock_page *page)
{
	unsigned __int128 period;
	struct kch_vmclock_time time;
	unsigned int shift = 0;
	int err;

	err = kch_options(handle, "struct kch_vmclock_time", from,
			  offsetofend(struct kch_vmclock_time, maxerror_ppb), &time, sizeof(time));
	if (err)
		return err;
	if (time.type > KCH_VMCLOCK_MONOTONIC || time.synchronized > 1)
		return kch_fail(handle, -EINVAL,
				"time of type %u, synchronized %u, expected at most %d and 1; page not changed",
				time.type, time.synchronized, KCH_VMCLOCK_MONOTONIC);
	if (time.tsc_uhz < UHZ_MIN || time.tsc_uhz > UHZ_MAX)
		return kch_fail(handle, -EINVAL,
				"TSC of %llu uHz, expected %llu to %llu; page not changed",
				(unsigned long long)time.tsc_uhz, UHZ_MIN, UHZ_MAX);
	if (time.esterror_ppb > NS_PER_S || time.maxerror_ppb > NS_PER_S)
		return kch_fail(handle, -EINVAL,
				"errors of %u and %u ppb, expected at most %llu; page not changed",
				time.esterror_ppb, time.maxerror_ppb, NS_PER_S);
	/* As many bits of the period as there is place for. */
	period = ((unsigned __int128)UHZ_PER_HZ << 64) / time.tsc_uhz;
	while (period >> (63 - shift) == 0)
		shift++;
	period = ((unsigned __int128)UHZ_PER_HZ << (64 + shift)) / time.tsc_uhz;
	page->time_type = (uint8_t)time.type;
	page->clock_status = time.synchronized ? VMCLOCK_PAGE_STATUS_SYNCHRONIZED :
						 VMCLOCK_PAGE_STATUS_FREERUNNING;
	page->counter_period_shift = (uint8_t)shift;
	page->counter_period_frac_sec = cpu_to_le64((uint64_t)period);
	page->counter_value = cpu_to_le64(time.guest_tsc);
	set_ns(page, time.time_ns);
	set_error(page, VMCLOCK_PAGE_TIME_ESTERROR, &page->time_esterror_nanosec, time.esterror_ns);
	set_error(page, VMCLOCK_PAGE_TIME_MAXERROR, &page->time_maxerror_nanosec, time.maxerror_ns);
	set_error(page, VMCLOCK_PAGE_PERIOD_ESTERROR, &page->counter_period_esterror_rate_frac_sec,
		  (uint64_t)(period * time.esterror_ppb / NS_PER_S));
	set_error(page, VMCLOCK_PAGE_PERIOD_MAXERROR, &page->counter_period_maxerror_rate_frac_sec,
		  (uint64_t)((period * time.maxerror_ppb + NS_PER_S - 1) / NS_PER_S));
	return 0;
}

int kch_vmclock_make(struct kch_handle *handle, void *page, const struct kch_vmclock_time *time)
{
	struct vmclock_page new = {
		.magic = cpu_to_le32(VMCLOCK_PAGE_MAGIC),
		.size = cpu_to_le32(KCH_VMCLOCK_SIZE),
		.version = cpu_to_le16(VMCLOCK_PAGE_VERSION),
		.counter_id = time ? VMCLOCK_PAGE_COUNTER_TSC : VMCLOCK_PAGE_COUNTER_NONE,
		.clock_status = VMCLOCK_PAGE_STATUS_UNKNOWN,
		.flags = cpu_to_le64(VMCLOCK_PAGE_GENERATION),
	};
	int err;

	kch_start(handle);
	err = time ? take_time(handle, time, &new) : 0;
	if (err)
		return err;
	memset(page, 0, KCH_VMCLOCK_SIZE);
	memcpy(page, &new, sizeof(new));
	return 0;
}

static int new_time(struct kch_handle *handle, const struct kch_vmclock_time *time,
		    struct vmclock_page *page)
{
	if (page->counter_id == VMCLOCK_PAGE_COUNTER_NONE)
		return kch_fail(handle, -ENODATA,
				"vmclock page without time, and there is one to be set; page not changed");
	return take_time(handle, time, page);
}

int kch_vmclock_set_time(struct kch_handle *handle, void *page,
			 const struct kch_vmclock_time *time)
{
	struct vmclock_page new;
	int err;

	kch_start(handle);
	if (!time)
		return kch_fail(handle, -EINVAL, "no time; page not changed");
	err = read_page(handle, page, &new);
	if (!err)
		err = new_time(handle, time, &new);
	if (!err)
		write_page(page, &new);
	return err;
}

/* The page's own time, after a blackout of which a part was hidden. */
static int move_time(struct kch_handle *handle, const struct kch_vmclock_restore *restore,
		     struct vmclock_page *page)
{
	const uint64_t old_ns = (uint64_t)(((unsigned __int128)le64_to_cpu(page->time_frac_sec) *
					    NS_PER_S) >> 64);
	uint64_t sec = le64_to_cpu(page->time_sec), maxerror_ns, ns;
	struct vmclock_page moved = *page;

	/* Less than a second of the one, and all of the other, in ns. */
	if (__builtin_add_overflow(old_ns, restore->hidden_ns, &ns) ||
	    __builtin_add_overflow(sec, ns / NS_PER_S, &sec) ||
	    __builtin_add_overflow(le64_to_cpu(page->time_maxerror_nanosec), restore->maxerror_ns,
				   &maxerror_ns))
		return kch_fail(handle, -EOVERFLOW,
				"%llu ns hidden and an error of %llu ns, added to the page's, exceed 64 bits; page not changed",
				(unsigned long long)restore->hidden_ns,
				(unsigned long long)restore->maxerror_ns);
	set_ns(&moved, ns % NS_PER_S);
	moved.time_sec = cpu_to_le64(sec);
	if (le64_to_cpu(page->flags) & VMCLOCK_PAGE_TIME_MAXERROR)
		moved.time_maxerror_nanosec = cpu_to_le64(maxerror_ns);
	moved.clock_status = VMCLOCK_PAGE_STATUS_FREERUNNING;
	*page = moved;
	return 0;
}

/* What the page says of time from now on. */
static int restored_time(struct kch_handle *handle, const struct kch_vmclock_restore *restore,
			 struct vmclock_page *page)
{
	if (restore->time)
		return new_time(handle, restore->time, page);
	if (page->counter_id == VMCLOCK_PAGE_COUNTER_NONE)
		return 0;
	if (!(restore->flags & KCH_VMCLOCK_IMPORTED) && restore->mode >= KCH_MODE_CONVERGED)
		return move_time(handle, restore, page);
	page->clock_status = VMCLOCK_PAGE_STATUS_UNRELIABLE;
	page->flags &= cpu_to_le64(~(uint64_t)TIME_FLAGS);
	return 0;
}

int kch_vmclock_restored(struct kch_handle *handle, void *page,
			 const struct kch_vmclock_restore *restore, uint32_t *told)
{
	struct kch_vmclock_restore done;
	struct vmclock_page new;
	bool tell;
	int err;

	kch_start(handle);
	if (!restore)
		return kch_fail(handle, -EINVAL, "nothing is said of the restore; page not changed");
	err = kch_options(handle, "struct kch_vmclock_restore", restore,
			  offsetofend(struct kch_vmclock_restore, time), &done, sizeof(done));
	if (err)
		return err;
	if (done.flags & ~RESTORE_FLAGS || done.reserved || done.mode > KCH_MODE_IDENTICAL)
		return kch_fail(handle, -EINVAL,
				"flags 0x%x, mode %u, reserved %u: not all are known; page not changed",
				done.flags, done.mode, done.reserved);
	err = read_page(handle, page, &new);
	if (err)
		return err;
	tell = done.mode != KCH_MODE_IDENTICAL || done.hidden_ns || done.flags;
	if (told && !tell)
		*told = 0;
	if (!tell)
		return 0;
	if (done.flags & KCH_VMCLOCK_COPY && !(le64_to_cpu(new.flags) & VMCLOCK_PAGE_GENERATION))
		return kch_fail(handle, -EOPNOTSUPP,
				"vmclock page without a VM generation counter: a guest that may run twice cannot be told; page not changed");
	err = restored_time(handle, &done, &new);
	if (err)
		return err;
	new.disruption_marker = cpu_to_le64(le64_to_cpu(new.disruption_marker) + 1);
	if (done.flags & KCH_VMCLOCK_COPY)
		new.vm_generation_counter = cpu_to_le64(le64_to_cpu(new.vm_generation_counter) + 1);
	write_page(page, &new);
	if (told)
		*told = 1;
	return 0;
}
