// SPDX-License-Identifier: GPL-2.0
/*
 * The guest: every vCPU reads its kvmclock over and over and checks it.  Flat
 * binary, 64-bit, no interrupts, no static data: all it keeps is in struct
 * guest_shared.  It computes kvmclock with code of its own, so that a fault in
 * the code under test is not in the test as well.
 */
#include "guest.h"

#define MSR_IA32_TSC_ADJUST		0x3b
#define MSR_KVM_SYSTEM_TIME_NEW		0x4b564d01

#define PEER_PERIOD			8	/* iterations, a power of two */

#define noinline	__attribute__((__noinline__))
#define READ_ONCE(x)	__atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)

static inline void barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

/*
 * One instruction: the VMM may stop us between any two, and must never see a
 * count that is later overwritten with an older one.
 */
static inline void count(__u64 *counter)
{
	__asm__ volatile("incq %0" : "+m"(*counter));
}

static inline __u64 rdmsr(__u32 msr)
{
	__u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (__u64)high << 32 | low;
}

static inline void wrmsr(__u32 msr, __u64 value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((__u32)value),
			 "d"((__u32)(value >> 32)) : "memory");
}

static inline __u64 rdtsc_ordered(void)
{
	__u32 low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) ::
			 "memory");
	return (__u64)high << 32 | low;
}

static inline void write_port(__u16 port, __u8 value)
{
	__asm__ volatile("outb %0, %1" :: "a"(value), "Nd"(port) : "memory");
}

static inline int try_lock(__u32 *lock)
{
	__u32 taken = 1;

	__asm__ volatile("xchgl %0, %1" : "+r"(taken), "+m"(*lock) :: "memory");
	return !taken;
}

static inline void unlock(__u32 *lock)
{
	barrier();
	WRITE_ONCE(*lock, 0);
}

static inline void raise_to(__u64 *max, __u64 value)
{
	if (value > *max)
		*max = value;
}

static inline __u64 magnitude(__s64 value)
{
	return value < 0 ? -(__u64)value : (__u64)value;
}

static struct guest_pvclock *page_of(const struct guest_vcpu *v)
{
	return (struct guest_pvclock *)(GUEST_PVCLOCK +
					(__u64)v->id * GUEST_PVCLOCK_SLOT);
}

/* The protocol of Documentation/virt/kvm/x86/msr.rst. */
static inline __u64 read_page(const struct guest_pvclock *live,
			      struct guest_pvclock *copy)
{
	__u64 tsc;

	do {
		copy->version = READ_ONCE(live->version) & ~1U;
		barrier();
		copy->pad0 = live->pad0;
		copy->tsc_timestamp = live->tsc_timestamp;
		copy->system_time = live->system_time;
		copy->tsc_to_system_mul = live->tsc_to_system_mul;
		copy->tsc_shift = live->tsc_shift;
		copy->flags = live->flags;
		copy->pad[0] = live->pad[0];
		copy->pad[1] = live->pad[1];
		tsc = rdtsc_ordered();
		barrier();
	} while (READ_ONCE(live->version) != copy->version);
	return tsc;
}

static inline int same_bytes(const struct guest_pvclock *a,
			     const struct guest_pvclock *b)
{
	return a->pad0 == b->pad0 && a->tsc_timestamp == b->tsc_timestamp &&
	       a->system_time == b->system_time &&
	       a->tsc_to_system_mul == b->tsc_to_system_mul &&
	       a->tsc_shift == b->tsc_shift && a->flags == b->flags &&
	       a->pad[0] == b->pad[0] && a->pad[1] == b->pad[1];
}

static inline __u64 scale(__u64 delta, const struct guest_pvclock *page)
{
	if (page->tsc_shift < 0)
		delta >>= -page->tsc_shift;
	else
		delta <<= page->tsc_shift;
	return (__u64)(((unsigned __int128)delta * page->tsc_to_system_mul) >>
		       32);
}

/* As Linux computes it. */
static inline __u64 clock_at(const struct guest_pvclock *page, __u64 tsc)
{
	return page->system_time + scale(tsc - page->tsc_timestamp, page);
}

/*
 * The same function, also before its reference, rounded down there, too: for a
 * page that is not the one to be used at this TSC, but is compared with it.
 */
static __u64 clock_around(const struct guest_pvclock *page, __u64 tsc)
{
	__s64 delta = (__s64)(tsc - page->tsc_timestamp);
	__int128 cycles = delta;

	if (delta >= 0)
		return clock_at(page, tsc);
	/* A shift to the right of what is negative rounds down. */
	if (page->tsc_shift < 0)
		cycles >>= -page->tsc_shift;
	else
		cycles *= (__int128)1 << page->tsc_shift;
	return page->system_time +
	       (__u64)((cycles * page->tsc_to_system_mul) >> 32);
}

static __u64 rate_change_ppb(const struct guest_pvclock *a,
			     const struct guest_pvclock *b)
{
	__s64 delta;

	if (a->tsc_shift != b->tsc_shift || !a->tsc_to_system_mul)
		return ~0ULL;
	delta = (__s64)b->tsc_to_system_mul - a->tsc_to_system_mul;
	return magnitude(delta) * 1000000000ULL / a->tsc_to_system_mul;
}

static noinline void
record_change(const struct guest_shared *g, struct guest_vcpu *v,
	      const struct guest_observation *now)
{
	struct guest_change *c =
		&v->changes[v->count.page_changes % GUEST_CHANGES];
	__u64 later = now->tsc + g->hour_cycles;

	c->tsc = now->tsc;
	c->old_page = v->last.page;
	c->new_page = now->page;
	c->old_ns = clock_around(&c->old_page, now->tsc);
	c->new_ns = now->clock_ns;
	c->step_ns = (__s64)(c->new_ns - c->old_ns);
	c->hour_ns = (__s64)(clock_at(&c->new_page, later) -
			     clock_around(&c->old_page, later));
	raise_to(&v->max.step_ns, magnitude(c->step_ns));
	raise_to(&v->max.hour_ns, magnitude(c->hour_ns));
	raise_to(&v->max.rate_ppb,
		 rate_change_ppb(&c->old_page, &c->new_page));
	count(&v->count.page_changes);
}

static inline void check_own(const struct guest_shared *g, struct guest_vcpu *v,
			     const struct guest_observation *now)
{
	if (now->tsc < v->last.tsc) {
		count(&v->count.tsc_back);
		raise_to(&v->max.tsc_back, v->last.tsc - now->tsc);
	}
	if (now->clock_ns < v->last.clock_ns) {
		count(&v->count.clock_back);
		raise_to(&v->max.clock_back_ns,
			 v->last.clock_ns - now->clock_ns);
	}
	if (!same_bytes(&now->page, &v->last.page))
		record_change(g, v, now);
}

/* Under the lock, which was taken before @now was read. */
static inline void check_global(struct guest_shared *g, struct guest_vcpu *v,
				const struct guest_observation *now)
{
	count(&v->count.global_checks);
	if (now->tsc < g->global_tsc) {
		count(&v->count.global_tsc_back);
		raise_to(&v->max.tsc_back, g->global_tsc - now->tsc);
	}
	if (now->clock_ns < g->global_clock_ns) {
		count(&v->count.global_clock_back);
		raise_to(&v->max.clock_back_ns,
			 g->global_clock_ns - now->clock_ns);
	}
	g->global_tsc = now->tsc;
	g->global_clock_ns = now->clock_ns;
}

/* Another vCPU's page must give the same time at the same TSC. */
static noinline void
check_peer(const struct guest_shared *g, struct guest_vcpu *v,
	   const struct guest_observation *now)
{
	__u32 n = READ_ONCE(g->vcpu_count);
	const struct guest_vcpu *peer;
	struct guest_pvclock page;
	__s64 difference;

	if (n < 2)
		return;
	peer = &g->vcpu[(v->id + 1 + v->count.iterations / PEER_PERIOD %
			 (n - 1)) % n];
	if (!READ_ONCE(peer->online))
		return;
	read_page(page_of(peer), &page);
	/* KVM may have changed both since: then the copies are of two times. */
	if (READ_ONCE(page_of(v)->version) != now->page.version)
		return;
	count(&v->count.peer_checks);
	difference = (__s64)(now->clock_ns - clock_around(&page, now->tsc));
	if (difference) {
		count(&v->count.peer_disagreements);
		raise_to(&v->max.peer_ns, magnitude(difference));
	}
}

static noinline void adjust_tsc(struct guest_vcpu *v)
{
	__s64 cycles = READ_ONCE(v->tsc_adjust);

	/* Cleared first: if the VMM stops us in between it is not done twice. */
	WRITE_ONCE(v->tsc_adjust, 0);
	wrmsr(MSR_IA32_TSC_ADJUST, rdmsr(MSR_IA32_TSC_ADJUST) + (__u64)cycles);
	count(&v->count.tsc_adjusts);
}

/*
 * The VMM reads the host's TSC at both exits.  An exit that is made again, as we
 * were stopped and saved in it, does no harm.
 */
static noinline void bracket_tsc(struct guest_vcpu *v)
{
	write_port(GUEST_BRACKET_PORT, 0);
	WRITE_ONCE(v->bracket_tsc, rdtsc_ordered());
	write_port(GUEST_BRACKET_PORT, 1);
	__asm__ volatile("decq %0" : "+m"(v->brackets));
}

static inline void iterate(struct guest_shared *g, struct guest_vcpu *v)
{
	struct guest_observation now;
	__u64 arm = READ_ONCE(v->arm);
	int locked = try_lock(&g->lock);

	now.tsc = read_page(page_of(v), &now.page);
	now.clock_ns = clock_at(&now.page, now.tsc);
	if (locked) {
		check_global(g, v, &now);
		unlock(&g->lock);
	} else {
		count(&v->count.lock_misses);
	}
	if (v->online) {
		check_own(g, v, &now);
		if (!(v->count.iterations & (PEER_PERIOD - 1)))
			check_peer(g, v, &now);
	}
	v->last = now;
	if (arm != v->armed) {
		v->first = now;
		barrier();
		WRITE_ONCE(v->armed, arm);
	}
	barrier();
	WRITE_ONCE(v->online, 1);
	count(&v->count.iterations);
	if (READ_ONCE(v->tsc_adjust))
		adjust_tsc(v);
	if (READ_ONCE(v->brackets))
		bracket_tsc(v);
}

/* Where every vCPU starts; one that is started again goes on comparing. */
__attribute__((__noreturn__, __section__(".text.start"))) void
guest_main(struct guest_shared *g, struct guest_vcpu *v)
{
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (__u64)page_of(v) | 1);
	for (;;)
		iterate(g, v);
}
