// SPDX-License-Identifier: GPL-2.0
/*
 * The self-check of the stock way: a VM with one vCPU is made in the calling process, if that
 * has CAP_SYS_ADMIN; whoever has not goes by what was found before.
 * What this module reads of its offset, frequency, kvmclock, mul and shift is compared
 * with KVM's own answers; a made-up clock is restored to it, and KVM must keep and use it.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <asm/cpufeature.h>
#include <asm/tsc.h>

#include "kvm/calls.h"
#include "kvm/common.h"
#include "kvm/facts.h"
#include "kvm/stock.h"

/* Numbers that no VM has by chance, so that small differences show. */
#define TEST_OFFSET	0x123456789abULL
#define TEST_CLOCK_NS	777777777777ULL

/* What came of a question. */
struct answer {
	int result;		/* -ENODATA: not known */
	unsigned int for_khz;	/* tsc_khz when it was found */
	int for_kvm;		/* kvm_changes then */
	struct kch_kvm_facts facts;
	struct kch_message message;
};

/* The last one; nobody waits for this lock while KVM is asked. */
static DEFINE_SPINLOCK(known_lock);
static struct answer known = { .result = -ENODATA };

/* Held while KVM is asked; taken before any of KVM's. */
static DEFINE_MUTEX(asking);

/* How often a KVM module came or went. */
static atomic_t kvm_changes = ATOMIC_INIT(0);

/* A VM of our own in the calling process. */
struct scratch_vm {
	struct file *vm;
	struct file *vcpu;
	void __user *user;	/* a page in the process, for arguments */
	const char *step;	/* what is being done, for the message if that fails */
};

/*
 * The error of a question that came to nothing.  Only KVM's own answer tells
 * that this module misreads it; that it gave none tells nothing, and the next
 * who wants to know asks again.
 */
static int not_asked(int err)
{
	switch (err) {
	case -ENOMEM:
		return -ENOMEM;
	case -EINTR:
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		return -EINTR;
	default:
		return -ENXIO;
	}
}

/*
 * The same for what this module itself reads of, and writes to, the VM of its
 * own.  That VM is as it was made: an error that says otherwise is a misreading,
 * unless the host lost its stable TSC just now.
 */
static int misread(int err)
{
	switch (err) {
	case 0:
	case -ENOMEM:
	case -EINTR:
	case -EOPNOTSUPP:
	case -ENOTRECOVERABLE:
		return err;
	default:
		return -ELIBBAD;
	}
}

/* An ioctl that returns a new descriptor, of which only the file is kept. */
static int call_for_file(struct file *file, unsigned int cmd, enum kch_kvm_file kind,
			 struct file **made)
{
	long fd = kch_kvm_ioctl(file, cmd, 0);

	if (fd < 0)
		return fd;
	*made = fget(fd);
	close_fd(fd);
	if (!*made)
		return -EBADF;
	/* Another thread may have put another file at the descriptor. */
	return kch_kvm_file_kind(*made) == kind ? 0 : -ENODEV;
}

static int scratch_create(struct scratch_vm *s)
{
	unsigned long page;
	struct file *dev;
	int err;

	memset(s, 0, sizeof(*s));
	s->step = "opening /dev/kvm";
	/* A VM belongs to a process; in a kernel thread there is none. */
	if (!current->mm || current->flags & PF_KTHREAD)
		return -ESRCH;
	dev = filp_open("/dev/kvm", O_RDWR, 0);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	if (kch_kvm_file_kind(dev) != KCH_KVM_FILE_DEV) {
		err = -ENODEV;
		goto close;
	}
	s->step = "mapping a page";
	page = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(page)) {
		err = page;
		goto close;
	}
	s->user = (void __user *)page;
	s->step = "KVM_CREATE_VM";
	err = call_for_file(dev, KVM_CREATE_VM, KCH_KVM_FILE_VM, &s->vm);
	if (err)
		goto close;
	s->step = "KVM_CREATE_VCPU";
	err = call_for_file(s->vm, KVM_CREATE_VCPU, KCH_KVM_FILE_VCPU, &s->vcpu);
close:
	filp_close(dev, NULL);
	return err;
}

/*
 * The files of the last scratch VM.  To destroy one, KVM waits for grace periods
 * of RCU, 20 ms and more; who asked would do so on the return to user space, and
 * a guest with it.  On an old Intel CPU without unrestricted guests, a page that
 * KVM mapped into the process stays there.
 */
static struct file *doomed[2];

static void put_doomed(struct work_struct *work)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(doomed); i++)
		if (doomed[i])
			fput(doomed[i]);
}

static DECLARE_WORK(doomed_work, put_doomed);

static void scratch_destroy(struct scratch_vm *s)
{
	flush_work(&doomed_work);
	doomed[0] = s->vcpu;
	doomed[1] = s->vm;
	schedule_work(&doomed_work);
	if (s->user)
		vm_munmap((unsigned long)s->user, PAGE_SIZE);
}

static int get_clock(struct file *vm, struct kvm_clock_data *clock, void __user *user)
{
	long err = kch_kvm_ioctl(vm, KVM_GET_CLOCK, (unsigned long)user);

	if (!err && copy_from_user(clock, user, sizeof(*clock)))
		return -EFAULT;
	return err;
}

/*
 * Enters the guest once.  It has no memory, so KVM returns at once with an
 * exit of some kind; on the way in it has computed the vCPU's clock.  The first
 * time KVM may make a thread, which it does not with a signal pending, nor where
 * the process may have no more of them.
 */
static int run_once(struct scratch_vm *s)
{
	int err;

	s->step = "KVM_RUN";
	err = kch_kvm_ioctl(s->vcpu, KVM_RUN, 0);
	/* Without its TDP MMU, KVM has no page tables for no memory: then, too. */
	if (err == -ENOSPC)
		err = 0;
	if (!err)
		s->step = "asking for its clock";
	return err;
}

static int compare(struct kch_message *message, const char *what, u64 found, u64 expected)
{
	if (found == expected)
		return 0;
	kch_say(message, "%s: this module reads %#llx, KVM says %#llx: it was built for another KVM; nothing is written to any VM",
		what, found, expected);
	return -ELIBBAD;
}

/*
 * Does KVM's clock of a VM agree with the functions we read?  KVM_GET_CLOCK is
 * always computed from the host's frequency, whatever pair a vCPU has.
 */
static int check_clock(struct file *vm_file, u32 kvm_khz, void __user *user,
		       struct kch_message *message)
{
	static const struct kch_rec_vcpu unscaled = {
		.tsc_scaling_ratio = cpu_to_le64(1),
	};
	struct kvm *kvm = kch_kvm_of(vm_file);
	struct kch_rec_vm before = { }, after = { };
	struct kvm_clock_data says;
	struct kch_clock clock;
	int err, tries = 0;

	/* A running VM may take a new reference between the two readings. */
	do {
		kch_kvm_read_reference(kvm, &before);
		err = get_clock(vm_file, &says, user);
		if (err)
			return err;
		kch_kvm_read_reference(kvm, &after);
	} while ((before.master_cycle_now != after.master_cycle_now ||
		  before.kvmclock_offset != after.kvmclock_offset ||
		  before.flags != after.flags) &&
		 tries++ < 8);

	err = compare(message, "master clock in use",
		      !!(le32_to_cpu(after.flags) & KCH_VM_MASTER_CLOCK),
		      !!(says.flags & KVM_CLOCK_TSC_STABLE));
	if (err || !(says.flags & KVM_CLOCK_HOST_TSC))
		return err;
	kch_clock_of(&after, &unscaled, &clock);
	kch_pvclock_pair(kvm_khz, &clock.tsc_to_system_mul, &clock.tsc_shift);
	return compare(message, "kvmclock in ns", kch_clock_ns(&clock, says.host_tsc), says.clock);
}

/* Does KVM agree with the page of the clock that was restored? */
static int check_agreement(struct scratch_vm *s, const struct kch_rec_vm *live,
			   const struct kch_kvm_facts *facts,
			   struct kch_message *message)
{
	struct kvm_clock_data says;
	struct kch_clock clock;
	u64 bound_ns;
	s64 off_ns;
	int err;

	err = get_clock(s->vm, &says, s->user);
	if (err || !(says.flags & KVM_CLOCK_HOST_TSC))
		return err;
	kch_clock_of(live, (const struct kch_rec_vcpu *)(live + 1), &clock);
	off_ns = says.clock - kch_clock_ns(&clock, says.host_tsc);
	bound_ns = kch_entry_bound_ns(live, facts->kvm_khz, tsc_khz, says.host_tsc, false);
	if (off_ns <= (s64)bound_ns && off_ns >= -(s64)bound_ns)
		return 0;
	kch_say(message, "after a clock was restored to a test VM, KVM_GET_CLOCK is %lld ns off the guest's, expected below %llu ns: nothing is written to any VM",
		off_ns, bound_ns);
	return -ELIBBAD;
}

/* Restores a made-up clock, and sees whether it is still there after KVM_RUN. */
static int check_restore(struct scratch_vm *s, const struct kch_kvm_facts *facts,
			 struct kch_message *message)
{
	struct kvm *kvm = kch_kvm_of(s->vm);
	struct kch_kvm_restore restore = {
		.facts = *facts,
	};
	struct kch_rec_vm *saved, *live = NULL;
	struct kch_clock_error error;
	struct kch_clock want, have;
	struct kch_rec_vcpu *vcpu;
	int err;

	err = misread(kch_kvm_read(kvm, facts->frac_bits, &saved, message));
	if (err)
		return err;
	/* A far older reference, another time, and a rate KVM would not compute. */
	vcpu = (struct kch_rec_vcpu *)(saved + 1);
	saved->master_cycle_now = cpu_to_le64(le64_to_cpu(saved->master_cycle_now) / 2);
	le64_add_cpu(&saved->kvmclock_offset, TEST_CLOCK_NS);
	vcpu->tsc_to_system_mul ^= cpu_to_le32(0x5555);
	restore.saved = saved;

	err = misread(kch_kvm_restore(kvm, &restore, message));
	kch_kvm_unbar(kvm);
	err = err ?:
	      run_once(s) ?:
	      check_clock(s->vm, facts->kvm_khz, s->user, message) ?:
	      misread(kch_kvm_read(kvm, facts->frac_bits, &live, message)) ?:
	      kch_entry_exact(live, NULL);
	if (err)
		goto out;
	kch_clock_of(saved, vcpu, &want);
	kch_clock_of(live, (struct kch_rec_vcpu *)(live + 1), &have);
	kch_clock_compare(&want, &have, rdtsc_ordered(), &error);
	if (!error.identical) {
		kch_say(message, "a clock restored to a test VM was %lld ns, %lld cycles, %lld ppb off after the vCPU ran: this KVM does not keep it; nothing is written to any VM",
			error.ns, error.cycles, error.rate_ppb);
		err = -ELIBBAD;
		goto out;
	}
	err = check_agreement(s, live, facts, message);
out:
	kvfree(saved);
	kvfree(live);
	return err;
}

static int check_scratch(struct scratch_vm *s, struct kch_kvm_facts *facts,
			 struct kch_message *message)
{
	struct kch_rec_vm *entry = NULL;
	struct kch_rec_vcpu *vcpu;
	u64 offset = 0, ratio;
	u32 hw_khz, mul;
	long khz;
	bool moves, near;
	s8 shift;
	int err;

	s->step = "setting its offset and clock";
	err = kch_kvm_set_offset(s->vcpu, TEST_OFFSET, s->user) ?:
	      kch_kvm_set_clock(s->vm, TEST_CLOCK_NS, s->user) ?:
	      run_once(s) ?:
	      kch_kvm_offset(s->vcpu, KVM_GET_DEVICE_ATTR, &offset, s->user);
	if (err)
		return err;
	khz = kch_kvm_ioctl(s->vcpu, KVM_GET_TSC_KHZ, 0);
	if (khz < 0)
		return khz;
	err = misread(kch_kvm_read(kch_kvm_of(s->vm), 0, &entry, message));
	if (err)
		return err;
	vcpu = (struct kch_rec_vcpu *)(entry + 1);
	hw_khz = le32_to_cpu(vcpu->hw_tsc_khz);
	ratio = le64_to_cpu(vcpu->tsc_scaling_ratio);

	/* Where the TSC is not stable, KVM moves the offset at every ioctl. */
	moves = le32_to_cpu(vcpu->flags) & KCH_VCPU_CATCHUP || check_tsc_unstable();
	if (!moves)
		err = compare(message, "TSC offset", le64_to_cpu(vcpu->tsc_offset),
			      offset) ?:
		      compare(message, "TSC offset as it was set", offset, TEST_OFFSET);
	/* Early calibration may be some percent off, but not a third. */
	near = hw_khz >= tsc_khz / 3 * 2 && hw_khz <= tsc_khz / 2 * 3;
	kch_pvclock_pair(hw_khz, &mul, &shift);
	err = err ?:
	      compare(message, "guest's frequency in kHz",
		      le32_to_cpu(vcpu->virtual_tsc_khz), khz) ?:
	      compare(message, "scaling ratio of an unscaled vCPU", ratio,
		      is_power_of_2(ratio) ? ratio : 1) ?:
	      compare(message, "frequency of kvmclock in kHz", hw_khz,
		      near ? hw_khz : tsc_khz) ?:
	      compare(message, "tsc_to_system_mul",
		      le32_to_cpu(vcpu->tsc_to_system_mul), mul) ?:
	      compare(message, "tsc_shift", vcpu->tsc_shift, shift);
	if (!err) {
		facts->kvm_khz = hw_khz;
		facts->frac_bits = ilog2(ratio);
		err = check_clock(s->vm, hw_khz, s->user, message);
	}
	/* Where this host cannot restore at all, the restore says why. */
	if (!err && !kch_entry_exact(entry, NULL))
		err = check_restore(s, facts, message);
	kvfree(entry);
	return err;
}

/* With @asking; not held back is only what ends the process. */
static int ask(struct kch_kvm_facts *facts, struct kch_message *message)
{
	struct answer found;
	struct scratch_vm scratch;
	sigset_t held, before;
	int err;

	/*
	 * With a signal pending KVM makes no VM and no thread, and a timer's next
	 * signal may come sooner than it has made them.
	 */
	siginitsetinv(&held, sigmask(SIGKILL));
	sigprocmask(SIG_BLOCK, &held, &before);
	/* Again if the host's frequency was calibrated meanwhile. */
	do {
		memset(&found, 0, sizeof(found));
		found.for_khz = READ_ONCE(tsc_khz);
		found.for_kvm = atomic_read(&kvm_changes);
		err = scratch_create(&scratch) ?:
		      check_scratch(&scratch, &found.facts, &found.message);
		scratch_destroy(&scratch);
	} while (found.for_khz != READ_ONCE(tsc_khz));
	sigprocmask(SIG_SETMASK, &before, NULL);

	if (err && err != -ELIBBAD) {
		kch_say(message, "KVM cannot be asked whether this module reads it right: %s for a VM of its own failed (error %d): /dev/kvm must be there, and a VM must be able to run; nothing was changed",
			scratch.step, err);
		return not_asked(err);
	}
	found.result = err;
	*facts = found.facts;
	if (err) {
		pr_err("%s\n", found.message.text);
		if (message)
			*message = found.message;
	}
	spin_lock(&known_lock);
	known = found;
	spin_unlock(&known_lock);
	return err;
}

/* @same_khz: tsc_khz is what it was then. */
static int last_answer(struct kch_kvm_facts *facts, bool *same_khz, struct kch_message *message)
{
	unsigned int khz = READ_ONCE(tsc_khz);
	int err;

	spin_lock(&known_lock);
	err = known.for_kvm == atomic_read(&kvm_changes) ? known.result : -ENODATA;
	*facts = known.facts;
	*same_khz = known.for_khz == khz;
	/* KVM computes from tsc_khz as it is, or, if the TSC is not constant, as it was once. */
	if (facts->kvm_khz == known.for_khz && boot_cpu_has(X86_FEATURE_CONSTANT_TSC))
		facts->kvm_khz = khz;
	if (err == -ELIBBAD && message)
		*message = known.message;
	spin_unlock(&known_lock);
	return err;
}

/*
 * The memory and the descriptors of a process are its threads' and tracers' to change while
 * KVM is asked in it: so they could have the answer come out wrong, or never.
 */
static bool may_ask(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

int kch_kvm_ask(struct kch_kvm_facts *facts, struct kch_message *message)
{
	bool same_khz;
	int err = last_answer(facts, &same_khz, message);

	if (err != -ENODATA && (same_khz || !may_ask()))
		return err;
	if (!may_ask()) {
		kch_say(message, "KVM was not asked yet whether this module reads it right, and in a process without CAP_SYS_ADMIN it is not: kvmclockctl status, as root, does so; nothing was changed");
		return -ENXIO;
	}
	if (mutex_lock_killable(&asking))
		return -EINTR;
	/* Somebody else may have asked meanwhile. */
	err = last_answer(facts, &same_khz, message);
	if (err == -ENODATA || !same_khz)
		err = ask(facts, message);
	mutex_unlock(&asking);
	return err;
}

int kch_kvm_known(struct kch_kvm_facts *facts, struct kch_message *message)
{
	bool same_khz;

	return last_answer(facts, &same_khz, message);
}

static int check_offsets(struct kvm *kvm, struct file **vcpus, u32 count,
			 u8 frac_bits, void __user *user,
			 struct kch_message *message)
{
	const struct kch_rec_vcpu *vcpu;
	struct kch_rec_vm *entry;
	u64 offset;
	int err;
	u32 i;

	err = kch_kvm_read(kvm, frac_bits, &entry, message);
	if (err)
		return err;
	for (i = 0; i < count && !err; i++) {
		vcpu = vcpus[i] ? kch_entry_vcpu(entry, kch_kvm_vcpu_file_id(vcpus[i], kvm)) :
				  NULL;
		if (!vcpu)
			continue;
		offset = 0;
		err = kch_kvm_offset(vcpus[i], KVM_GET_DEVICE_ATTR, &offset, user) ?:
		      compare(message, "TSC offset", le64_to_cpu(vcpu->tsc_offset), offset);
	}
	kvfree(entry);
	return err;
}

u32 kch_kvm_khz(struct kvm *kvm, const struct kch_kvm_facts *facts)
{
	return facts->kvm_khz;
}

int kch_kvm_check_vm(struct file *vm_file, struct file **vcpus, u32 count,
		     const struct kch_kvm_facts *facts, void __user *scratch,
		     struct kch_message *message)
{
	int err;

	BUILD_BUG_ON(sizeof(struct kvm_clock_data) > 64);
	BUILD_BUG_ON(sizeof(struct kvm_device_attr) + sizeof(u64) > 64);
	err = check_clock(vm_file, facts->kvm_khz, scratch, message) ?:
	      check_offsets(kch_kvm_of(vm_file), vcpus, count, facts->frac_bits, scratch, message);
	/* These say something of the VM, or of its memory. */
	if (!err || err == -ELIBBAD || err == -EIO || err == -ECHILD || err == -EFAULT)
		return err;
	return not_asked(err);
}

static int module_event(struct notifier_block *block, unsigned long event, void *data)
{
	const struct module *module = data;

	if ((event == MODULE_STATE_COMING || event == MODULE_STATE_GOING) &&
	    (!strcmp(module->name, "kvm") || !strncmp(module->name, "kvm_", 4))) {
		kch_kvm_forget_files();
		atomic_inc(&kvm_changes);
	}
	return NOTIFY_DONE;
}

static struct notifier_block module_block = { .notifier_call = module_event };

int kch_kvm_facts_init(void)
{
	return register_module_notifier(&module_block);
}

void kch_kvm_facts_exit(void)
{
	unregister_module_notifier(&module_block);
	flush_work(&doomed_work);
}
