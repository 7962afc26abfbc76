// SPDX-License-Identifier: GPL-2.0
/* The guest of waiter.h: a flat binary without static data, as tests/l1/vmm/guest.c is. */
#include "waiter.h"

#define MSR_IA32_TSC_DEADLINE		0x6e0
#define MSR_KVM_SYSTEM_TIME_NEW		0x4b564d01
#define MSR_IA32_APICBASE		0x1b
#define APICBASE_X2APIC			(1U << 10)
#define X2APIC_EOI			0x80b
#define X2APIC_SPIV			0x80f
#define X2APIC_LVT_TIMER		0x832
#define SPIV_ENABLE			(1U << 8)
#define LVT_TSC_DEADLINE		(2U << 17)

#define VECTOR				0x40
#define VECTOR_SPURIOUS			0xff

struct gate {
	__u16 offset_low;
	__u16 selector;
	__u8  ist;
	__u8  type;
	__u16 offset_middle;
	__u32 offset_high;
	__u32 reserved;
};

struct table {
	__u16 limit;
	__u64 base;
} __attribute__((__packed__));

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

static struct waiter_area *area(void)
{
	return (struct waiter_area *)WAITER_AREA;
}

struct frame;

__attribute__((__interrupt__)) static void fire(struct frame *frame)
{
	struct waiter_area *w = area();
	struct waiter_shot *shot = &w->shots[w->count % WAITER_SHOTS];

	(void)frame;
	shot->fired = rdtsc_ordered();
	shot->deadline = w->deadline;
	__atomic_store_n(&w->count, w->count + 1, __ATOMIC_RELEASE);
	wrmsr(X2APIC_EOI, 0);
}

static void set_gate(unsigned int vector, __u64 handler)
{
	struct gate *gate = (struct gate *)WAITER_IDT + vector;

	gate->offset_low = (__u16)handler;
	gate->offset_middle = (__u16)(handler >> 16);
	gate->offset_high = (__u32)(handler >> 32);
	gate->ist = 0;
	gate->type = 0x8e;	/* present, 64-bit interrupt gate */
	gate->reserved = 0;
	__asm__ volatile("movw %%cs, %0" : "=m"(gate->selector));
}

/* The descriptor that a 64-bit interrupt loads its code segment from. */
static void load_tables(void)
{
	__u64 *gdt = (__u64 *)(WAITER_IDT + 0x800);
	struct table idt = { 0x7ff, WAITER_IDT };
	struct table gdtr = { 4 * sizeof(*gdt) - 1, (__u64)gdt };

	gdt[0] = 0;
	gdt[1] = 0x00af9b000000ffff;	/* 0x08: code, as the VMM sets it */
	gdt[2] = 0x00cf93000000ffff;	/* 0x10: data */
	gdt[3] = 0;
	__asm__ volatile("lgdt %0; lidt %1" :: "m"(gdtr), "m"(idt));
}

__attribute__((__noreturn__, __section__(".text.start"))) void
guest_main(struct guest_shared *g, struct guest_vcpu *v)
{
	struct waiter_area *w = area();
	__u64 armed_count = ~0ULL;

	(void)g;
	__asm__ volatile("cli");
	load_tables();
	set_gate(VECTOR, (__u64)fire);
	set_gate(VECTOR_SPURIOUS, (__u64)fire);
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW,
	      (GUEST_PVCLOCK + (__u64)v->id * GUEST_PVCLOCK_SLOT) | 1);
	wrmsr(MSR_IA32_APICBASE, rdmsr(MSR_IA32_APICBASE) | APICBASE_X2APIC);
	wrmsr(X2APIC_SPIV, SPIV_ENABLE | VECTOR_SPURIOUS);
	wrmsr(X2APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR);
	for (;;) {
		if (armed_count != w->count) {
			armed_count = w->count;
			w->deadline = rdtsc_ordered() + w->interval;
			wrmsr(MSR_IA32_TSC_DEADLINE, w->deadline);
		}
		if (w->spin)
			__asm__ volatile("sti; pause; cli" ::: "memory");
		else
			__asm__ volatile("sti; hlt; cli" ::: "memory");
	}
}
