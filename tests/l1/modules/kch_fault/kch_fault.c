// SPDX-License-Identifier: GPL-2.0
/*
 * What goes wrong in a host and cannot be brought about from outside.  The
 * module under test is the real one; this one plays a KVM that is broken, or
 * a driver that had the memory first.  It does what its parameters say:
 *
 *	dead=FD, bugged=FD	marks a VM of the loading process, and is not loaded
 *	ratio=FD		the TSC of its last vCPU is scaled, a little
 *	adjust=FD		its last vCPU is to move its TSC offset, as after a suspend
 *	update=FD		KVM is to take a new reference when its last vCPU runs
 *	backwards=FD		and a host TSC was seen going backwards
 *	protect=FD		the CPU protects the TSC of its last vCPU
 *	claim=START,SIZE	claims that memory
 *	khz_lie=1		KVM_GET_TSC_KHZ answers one kHz too much
 *	vcpus=N			a VM that the module reads seems to have N vCPUs
 *	lost_write=1		a clock just written is one ns off when read back
 *	seal=1			the record is sealed, as before a kexec; is not loaded
 *	seal=2			that, while a process asks the module what needs KVM; it
 *				waits for the end
 *	seal=3			that, while an ioctl of the module's does not come to its end
 *	no_memory=1		there is none for that: every allocation fails, and there is to
 *				be none (-ENOMEM), where clocksources have numbers
 *	deny=SYMBOL		while the module asks KVM whether it reads it right, that
 *				function is not done, and returns ...
 *	deny_error=E		... -E, a pointer NULL where that is 0, ...
 *	deny_from=N		... from its call N on, counted from 0, ...
 *	deny_count=N		... that many times; denied is how many it were
 *	lockdown=1		as if the kernel were locked down for parameters of modules
 *	clocksource=1		the clocksource is the TSC, still being calibrated by an HPET
 *	clocksource=2		the clocksource is another one, and there is an HPET
 *	clocksource=3		which it is cannot be read, where clocksources have no numbers
 *	clocksource=4		as 1, without an HPET
 *	khz=N			the TSC's frequency was found to be N kHz more
 *	kvm_went=1		a KVM module was unloaded, it seems; is not loaded
 *	thread_nth=N		the Nth fault of a thread that restores is provoked, as by fail-nth;
 *				thread_left is what is left of N at its end
 *	late_ms=N		a loading process that waited for a completion goes on late, ...
 *	late=SYMBOL		... or whoever calls that function comes to it: at the latest then,
 *				or when late_ms is set to 0; came is 1 from when it waits, ...
 *	break_off=1		... and is to be broken off by then
 *	ahead=FD		that VM was last on a CPU whose TSC is ahead of all; is not loaded
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ioport.h>
#include <linux/kprobes.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/reboot.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>
#include <asm/msr.h>
#include <asm/tsc.h>

/* As tests/l1/errno/fault.h has it. */
#define FAULT_AHEAD_CYCLES	1000000000ULL

static int dead = -1;
module_param(dead, int, 0);
static int bugged = -1;
module_param(bugged, int, 0);
static int ratio = -1;
module_param(ratio, int, 0);
static int ahead = -1;
module_param(ahead, int, 0);
static int adjust = -1;
module_param(adjust, int, 0);
static int update = -1;
module_param(update, int, 0);
static int backwards = -1;
module_param(backwards, int, 0);
static int protect = -1;
module_param(protect, int, 0);
static unsigned long claim[2];
module_param_array(claim, ulong, NULL, 0);
static bool khz_lie;
module_param(khz_lie, bool, 0);
static int vcpus;
module_param(vcpus, int, 0);
static bool lost_write;
module_param(lost_write, bool, 0);
static int clocksource;
module_param(clocksource, int, 0);
static int khz;
module_param(khz, int, 0);
static bool kvm_went;
module_param(kvm_went, bool, 0);
static int seal;
module_param(seal, int, 0);
static bool no_memory;
module_param(no_memory, bool, 0);
static char *deny;
module_param(deny, charp, 0);
static int deny_error;
module_param(deny_error, int, 0);
static int deny_from;
module_param(deny_from, int, 0);
static int deny_count = 1;
module_param(deny_count, int, 0);
static int denied;
module_param(denied, int, 0444);
static bool lockdown;
module_param(lockdown, bool, 0);

static int late_ms;
module_param(late_ms, int, 0200);
static char *late;
module_param(late, charp, 0);
static int came;
module_param(came, int, 0444);
static bool break_off;
module_param(break_off, bool, 0);

static int thread_nth;
module_param(thread_nth, int, 0);
static int thread_left = -1;
module_param(thread_left, int, 0444);

static int mark_vm(void)
{
	struct file *file = fget(dead >= 0 ? dead : bugged >= 0 ? bugged :
				 ratio >= 0 ? ratio : ahead);
	struct kvm *kvm;
	int n;

	if (!file)
		return -EBADF;
	kvm = file->private_data;
	if (ratio >= 0) {
		n = atomic_read(&kvm->online_vcpus);
		kvm_get_vcpu(kvm, n - 1)->arch.l1_tsc_scaling_ratio++;
		fput(file);
		return -ECANCELED;
	}
	if (ahead >= 0) {
		kvm_get_vcpu(kvm, 0)->arch.last_host_tsc =
			rdtsc_ordered() + FAULT_AHEAD_CYCLES;
		fput(file);
		return -ECANCELED;
	}
	/* As kvm_vm_dead() and kvm_vm_bugged() do; the latter without a splat. */
	kvm->vm_dead = true;
	if (bugged >= 0)
		kvm->vm_bugged = true;
	fput(file);
	return -ECANCELED;
}

/* What KVM has still to do when the VM runs. */
static int mark_vcpu(int fd)
{
	struct file *file = fget(fd);
	struct kvm_vcpu *vcpu;
	struct kvm *kvm;
	int err = -ECANCELED;

	if (!file)
		return -EBADF;
	kvm = file->private_data;
	vcpu = kvm_get_vcpu(kvm, atomic_read(&kvm->online_vcpus) - 1);
	if (adjust >= 0)
		vcpu->arch.tsc_offset_adjustment = 12345;
	if (backwards >= 0)
		kvm->arch.backwards_tsc_observed = true;
	if (update >= 0 || backwards >= 0)
		kvm_make_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
	if (protect >= 0) {
#ifdef KCH_HAVE_GUEST_TSC_PROTECTED
		vcpu->arch.guest_tsc_protected = true;
#else
		err = -EOPNOTSUPP;
#endif
	}
	fput(file);
	return err;
}

/* kvm_arch_vcpu_ioctl(filp, ioctl, arg) */
static int note_ioctl(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	return regs->si == KVM_GET_TSC_KHZ ? 0 : 1;
}

static int lie(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	regs->ax++;
	return 0;
}

static struct kretprobe khz_probe = {
	.kp.symbol_name = "kvm_arch_vcpu_ioctl",
	.entry_handler = note_ioctl,
	.handler = lie,
};

struct vcpu_count {
	struct kvm *kvm;
	int count;
};

/* kch_kvm_read_to(kvm, ...) */
static int forge_count(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct vcpu_count *was = (void *)probe->data;

	was->kvm = (struct kvm *)regs->di;
	was->count = atomic_read(&was->kvm->online_vcpus);
	atomic_set(&was->kvm->online_vcpus, vcpus);
	return 0;
}

static int true_count(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct vcpu_count *was = (void *)probe->data;

	atomic_set(&was->kvm->online_vcpus, was->count);
	return 0;
}

static struct kretprobe count_probe = {
	.kp.symbol_name = "kch_kvm_read_to",
	.data_size = sizeof(struct vcpu_count),
	.entry_handler = forge_count,
	.handler = true_count,
};

/*
 * kch_kvm_read_to(kvm, ...): a reference that is far in the
 * past is one that was just restored, and this is its reading back.
 */
#define LONG_AGO_CYCLES	(1ULL << 34)

static int spoil(struct kprobe *probe, struct pt_regs *regs)
{
	struct kvm *kvm = (struct kvm *)regs->di;

	if (rdtsc() - kvm->arch.master_cycle_now > LONG_AGO_CYCLES)
		kvm->arch.kvmclock_offset++;
	return 0;
}

static struct kprobe read_probe = {
	.symbol_name = "kch_kvm_read_to",
	.pre_handler = spoil,
};

/* Who is in kch_kvm_ask(), one at a time. */
static struct task_struct *asking;

static int ask_begin(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	asking = current;
	return 0;
}

static int ask_end(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	asking = NULL;
	return 0;
}

static struct kretprobe ask_probe = {
	.kp.symbol_name = "kch_kvm_ask",
	.entry_handler = ask_begin,
	.handler = ask_end,
};

/* Where a function goes on that is not done: at its end, with its result set. */
static noinline notrace void return_at_once(void)
{
}

static int deny_call(struct kprobe *probe, struct pt_regs *regs)
{
	static int calls;
	int call;

	if (asking != current || !in_task())
		return 0;
	call = calls++;
	if (call < deny_from || call - deny_from >= deny_count)
		return 0;
	denied++;
	regs->ax = -deny_error;
	regs->ip = (unsigned long)return_at_once;
	return 1;
}

/* One that has this, too, may change where the function goes on. */
static void deny_nothing(struct kprobe *probe, struct pt_regs *regs,
			 unsigned long flags)
{
}

static struct kprobe deny_probe = {
	.pre_handler = deny_call,
	.post_handler = deny_nothing,
};

static int begin_to_deny(void)
{
	int err = register_kretprobe(&ask_probe);

	if (err)
		return err;
	deny_probe.symbol_name = deny;
	err = register_kprobe(&deny_probe);
	if (err)
		unregister_kretprobe(&ask_probe);
	return err;
}

/*
 * ktime_get_snapshot(snapshot), later ktime_get_snapshot_id(clock, snapshot); before, that of
 * sysfs: current_clocksource_show(device, attribute, text).
 */
static bool by_id;

static int note_told(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	*(unsigned long *)probe->data = !HAVE_CSID ? regs->dx : by_id ? regs->si : regs->di;
	return 0;
}

static int change_clocksource(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	bool early = clocksource == 1 || clocksource == 4;
	unsigned long told = *(unsigned long *)probe->data;
#if HAVE_CSID
	struct system_time_snapshot *snapshot = (void *)told;

	if (snapshot->cs_id == CSID_X86_TSC)
		snapshot->cs_id = early ? CSID_X86_TSC_EARLY : CSID_GENERIC;
#else
	regs->ax = clocksource == 3 ? 0 : sprintf((char *)told, early ? "tsc-early\n" : "hpet\n");
#endif
	return 0;
}

static struct kretprobe told_probe = {
	.kp.symbol_name = HAVE_CSID ? "ktime_get_snapshot" : "current_clocksource_show",
	.data_size = sizeof(unsigned long),
	.entry_handler = note_told,
	.handler = change_clocksource,
};

static int say_yes(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	regs->ax = clocksource != 4;
	return 0;
}

static struct kretprobe hpet_probe = {
	.kp.symbol_name = "is_hpet_enabled",
	.handler = say_yes,
};

static int begin_to_tell(void)
{
	int err = HAVE_CSID && clocksource == 3 ? -EOPNOTSUPP : register_kretprobe(&told_probe);

	by_id = err == -ENOENT;
	if (by_id) {
		told_probe.kp.symbol_name = "ktime_get_snapshot_id";
		told_probe.kp.addr = NULL;
		err = register_kretprobe(&told_probe);
	}
	if (err)
		return err;
	err = register_kretprobe(&hpet_probe);
	if (err)
		unregister_kretprobe(&told_probe);
	return err;
}

/* security_locked_down(what) */
static int note_lockdown(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	return regs->di == LOCKDOWN_MODULE_PARAMETERS ? 0 : 1;
}

static int lock_down(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	regs->ax = -EPERM;
	return 0;
}

static struct kretprobe lockdown_probe = {
	.kp.symbol_name = "security_locked_down",
	.entry_handler = note_lockdown,
	.handler = lock_down,
};

/* All that memory comes from; one name or another of each is there in every kernel. */
static const char * const allocators[] = {
	"__kmalloc", "__kmalloc_noprof", "__kmalloc_node", "__kmalloc_node_noprof",
	"kmalloc_trace", "__kmalloc_cache_noprof", "kmalloc_node_trace",
	"__kmalloc_cache_node_noprof", "kmalloc_large", "__kmalloc_large_noprof",
	"kmem_cache_alloc", "kmem_cache_alloc_noprof", "kmem_cache_alloc_node",
	"kmem_cache_alloc_node_noprof", "kvmalloc_node", "__kvmalloc_node_noprof",
	"__vmalloc_node_range", "__vmalloc_node_range_noprof",
	"__alloc_pages", "__alloc_pages_noprof", "__alloc_frozen_pages_noprof",
};

static struct task_struct *starved;

static int refuse_memory(struct kprobe *probe, struct pt_regs *regs)
{
	if (starved != current || !in_task())
		return 0;
	denied++;
	regs->ax = 0;
	regs->ip = (unsigned long)return_at_once;
	return 1;
}

/* Seals with no memory to be had. */
static int tell_and_starve(notifier_fn_t notifier)
{
	static struct kprobe probes[ARRAY_SIZE(allocators)];
	unsigned int i;
	void *control;

	for (i = 0; i < ARRAY_SIZE(probes); i++) {
		probes[i].symbol_name = allocators[i];
		probes[i].pre_handler = refuse_memory;
		probes[i].post_handler = deny_nothing;
		if (register_kprobe(&probes[i]))
			probes[i].addr = NULL;
	}
	starved = current;
	control = kmalloc(64, GFP_KERNEL);
	kfree(control);
	denied = 0;
	notifier(NULL, SYS_RESTART, "kexec reboot");
	starved = NULL;
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		if (probes[i].addr)
			unregister_kprobe(&probes[i]);
	if (control)
		return -EDOM;
	return denied && HAVE_CSID ? -ENOMEM : -ECANCELED;
}

/* kch_restoring_run(job), in the thread that restores */
static int set_nth(struct kretprobe_instance *probe, struct pt_regs *regs)
{
#ifdef CONFIG_FAULT_INJECTION
	current->fail_nth = thread_nth;
#endif
	return 0;
}

static int clear_nth(struct kretprobe_instance *probe, struct pt_regs *regs)
{
#ifdef CONFIG_FAULT_INJECTION
	thread_left = current->fail_nth;
	current->fail_nth = 0;
#endif
	return 0;
}

static struct kretprobe thread_probe = {
	.kp.symbol_name = "kch_restoring_run",
	.entry_handler = set_nth,
	.handler = clear_nth,
};

/* wait_for_completion_killable(completion) */
static pid_t loader;

static int is_loader(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	return current->tgid == loader ? 0 : 1;
}

static int be_late(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	mdelay(late_ms);
	return 0;
}

static struct kretprobe late_probe = {
	.kp.symbol_name = "wait_for_completion_killable",
	.entry_handler = is_loader,
	.handler = be_late,
};

static int come_late(struct kprobe *probe, struct pt_regs *regs)
{
	int ms;

	WRITE_ONCE(came, 1);
	for (ms = 0; ms < READ_ONCE(late_ms); ms++)
		mdelay(1);
	if (break_off)
		send_sig(SIGKILL, current, 1);
	return 0;
}

static struct kprobe come_probe = {
	.pre_handler = come_late,
};

/* What the kernel tells the module, and nobody else is to hear. */
static notifier_fn_t notifier;

static void *find_function(const char *name)
{
	struct kprobe probe = { .symbol_name = name };

	if (register_kprobe(&probe))
		return NULL;
	unregister_kprobe(&probe);
	return probe.addr;
}

static int tell_of_kexec(void)
{
	if (no_memory)
		return tell_and_starve(notifier);
	notifier(NULL, SYS_RESTART, "kexec reboot");
	return -ECANCELED;
}

/* As such an ioctl has it. */
static int tell_while_locked(void)
{
	unsigned long (*lookup)(const char *name) = find_function("kallsyms_lookup_name");
	struct mutex *lock = lookup ? (struct mutex *)lookup("kch_lock") : NULL;
	int err;

	if (!lock)
		return -ENOENT;
	mutex_lock(lock);
	err = tell_of_kexec();
	mutex_unlock(lock);
	return err;
}

static bool told;

static void tell(struct work_struct *work)
{
	tell_of_kexec();
	WRITE_ONCE(told, true);
}

static DECLARE_WORK(tell_work, tell);

/* kch_kvm_ask(facts, message), the first */
static int tell_meanwhile(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	int cpu = cpumask_any_but(cpu_online_mask, smp_processor_id());
	unsigned int tries = 10000;

	if (READ_ONCE(told) || cpu >= nr_cpu_ids || !schedule_work_on(cpu, &tell_work))
		return 1;
	/* This CPU does nothing else until then. */
	while (!READ_ONCE(told) && tries--)
		mdelay(1);
	return 1;
}

static struct kretprobe tell_probe = {
	.kp.symbol_name = "kch_kvm_ask",
	.entry_handler = tell_meanwhile,
};

static int __init fault_init(void)
{
	int err = 0;

	loader = current->tgid;
	come_probe.symbol_name = late;
	if (seal) {
		notifier = find_function("kch_seal");
		if (!notifier)
			return -ENOENT;
		return seal == 1 ? tell_of_kexec() :
		       seal == 3 ? tell_while_locked() : register_kretprobe(&tell_probe);
	}
	if (kvm_went) {
		/* By its name; who listens is told that it goes when this fails. */
		memcpy(THIS_MODULE->name, "kvm_", 4);
		return -ECANCELED;
	}
	if (adjust >= 0 || update >= 0 || backwards >= 0 || protect >= 0)
		return mark_vcpu(max(max(adjust, update), max(backwards, protect)));
	if (dead >= 0 || bugged >= 0 || ratio >= 0 || ahead >= 0)
		return mark_vm();
	if (claim[1] && !request_mem_region(claim[0], claim[1], "kch_fault"))
		return -EBUSY;
	if (khz_lie)
		err = register_kretprobe(&khz_probe);
	else if (vcpus)
		err = register_kretprobe(&count_probe);
	else if (lost_write)
		err = register_kprobe(&read_probe);
	else if (deny)
		err = begin_to_deny();
	else if (lockdown)
		err = register_kretprobe(&lockdown_probe);
	else if (thread_nth)
		err = register_kretprobe(&thread_probe);
	else if (late_ms)
		err = late ? register_kprobe(&come_probe) : register_kretprobe(&late_probe);
	else if (clocksource)
		err = begin_to_tell();
	tsc_khz += khz;
	if (err && claim[1])
		release_mem_region(claim[0], claim[1]);
	return err;
}
module_init(fault_init);

static void __exit fault_exit(void)
{
	if (seal) {
		unregister_kretprobe(&tell_probe);
		flush_work(&tell_work);
	}
	if (khz_lie)
		unregister_kretprobe(&khz_probe);
	if (vcpus)
		unregister_kretprobe(&count_probe);
	if (lost_write)
		unregister_kprobe(&read_probe);
	if (deny) {
		unregister_kprobe(&deny_probe);
		unregister_kretprobe(&ask_probe);
	}
	if (lockdown)
		unregister_kretprobe(&lockdown_probe);
	if (thread_nth)
		unregister_kretprobe(&thread_probe);
	if (late)
		unregister_kprobe(&come_probe);
	else if (late_ms)
		unregister_kretprobe(&late_probe);
	if (clocksource) {
		unregister_kretprobe(&hpet_probe);
		unregister_kretprobe(&told_probe);
	}
	tsc_khz -= khz;
	if (claim[1])
		release_mem_region(claim[0], claim[1]);
}
module_exit(fault_exit);

MODULE_DESCRIPTION("Faults for the tests of kvmclock_handover");
MODULE_LICENSE("GPL");
