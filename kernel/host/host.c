// SPDX-License-Identifier: GPL-2.0
/* This host: what its kernel tells of its TSC, its clocks at one instant, its ids. */
#include <linux/dmi.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/utsname.h>
#include <linux/uuid.h>
#include <linux/workqueue.h>
#include <asm/cpufeature.h>
#include <asm/hpet.h>
#include <asm/processor.h>
#include <asm/tsc.h>

#include "host/host.h"
#include "kch_probed.h"
#include "core/machine.h"
#include "core/version.h"

#ifdef KCH_HAVE_ASM_CPUID_API
#include <asm/cpuid/api.h>
#endif

#define CLOCKSOURCE_FILE "devices/system/clocksource/clocksource0/current_clocksource"
#define BOOT_ID_FILE	"sys/kernel/random/boot_id"
#define CMDLINE_FILE	"cmdline"
#define CMDLINE_BYTES	4096

struct reading {
	struct work_struct work;
	const char *fs, *name;
	char *line;
	size_t size;
};

static void read_by_worker(struct work_struct *work)
{
	struct reading *r = container_of(work, struct reading, work);
	struct vfsmount *mount;
	struct file *file;
	loff_t pos = 0;
	ssize_t n;

	mount = vfs_kern_mount(get_fs_type(r->fs), SB_KERNMOUNT, r->fs, NULL);
	if (IS_ERR(mount))
		return;
	file = file_open_root_mnt(mount, r->name, O_RDONLY, 0);
	mntput(mount);
	if (IS_ERR(file))
		return;
	n = kernel_read(file, r->line, r->size - 1, &pos);
	fput(file);
	r->line[max_t(ssize_t, n, 0)] = '\0';
}

/*
 * Reads a file of sysfs or procfs that is user ABI, for what the kernel has no function for:
 * by a mount of the module's own, and in a kernel thread.  A caller's root may have a FIFO
 * there, or a file that says something else; and a kernel thread's may have nothing.
 * Returns the length without the newline, 0 if it cannot be read.
 */
static size_t read_line(const char *fs, const char *name, char *line, size_t size)
{
	struct reading r = { .fs = fs, .name = name, .line = line, .size = size };

	line[0] = '\0';
	INIT_WORK_ONSTACK(&r.work, read_by_worker);
	schedule_work(&r.work);
	flush_work(&r.work);
	destroy_work_on_stack(&r.work);
	return strlen(strim(line));
}

/* Wall clock, raw clock and counter of one instant. */
#ifdef KCH_HAVE_SNAPSHOT_ID
static void snapshot(struct system_time_snapshot *snap)
{
	ktime_get_snapshot_id(CLOCK_REALTIME, snap);
}

#define snapshot_real(snap)	((snap)->systime)
#define snapshot_raw(snap)	((snap)->monoraw)
#else
static void snapshot(struct system_time_snapshot *snap)
{
	ktime_get_snapshot(snap);
}

#define snapshot_real(snap)	((snap)->real)
#define snapshot_raw(snap)	((snap)->raw)
#endif

/*
 * "tsc" is registered when refinement has ended, with or without a result;
 * until then the TSC goes by another name.
 */
#ifdef KCH_HAVE_CSID_X86_TSC
static enum kch_tsc_source clocksource(void)
{
	struct system_time_snapshot snap;

	snapshot(&snap);
	if (snap.cs_id == CSID_X86_TSC)
		return KCH_TSC_SETTLED;
	if (snap.cs_id == CSID_X86_TSC_EARLY)
		return KCH_TSC_EARLY;
	return KCH_TSC_OTHER;
}
#else
static enum kch_tsc_source clocksource(void)
{
	char name[32];

	if (!read_line("sysfs", CLOCKSOURCE_FILE, name, sizeof(name)))
		return KCH_TSC_UNKNOWN;
	if (!strcmp(name, "tsc"))
		return KCH_TSC_SETTLED;
	if (!strcmp(name, "tsc-early"))
		return KCH_TSC_EARLY;
	return KCH_TSC_OTHER;
}
#endif

/* The function is not exported: only for a driver that is part of the kernel. */
#if defined(KCH_HAVE_TSC_KHZ_IS_SETTLED) && !defined(MODULE)
#define khz_is_settled()	tsc_khz_is_settled()
#else
#define khz_is_settled()	false
#endif

/*
 * Refinement measures against HPET or PM timer.  Without them it waits a second as well, and
 * leaves the frequency alone.  That there is no PM timer only the command line says.
 */
static bool nothing_to_refine_with(void)
{
	char *line = is_hpet_enabled() ? NULL : kmalloc(CMDLINE_BYTES, GFP_KERNEL);
	char *rest = line, *word;
	bool none = false;

	if (!line)
		return false;
	read_line("proc", CMDLINE_FILE, line, CMDLINE_BYTES);
	while ((word = strsep(&rest, " "))) {
		if (strstarts(word, "pmtmr="))
			none = !strcmp(word, "pmtmr=0");
	}
	kfree(line);
	return none;
}

enum kch_tsc_source kch_host_tsc_source(void)
{
	enum kch_tsc_source source;

	/* Then KVM moves TSC offsets by itself, whatever the clocksource is yet. */
	if (check_tsc_unstable())
		return KCH_TSC_OTHER;
	source = clocksource();
	if ((source == KCH_TSC_EARLY || source == KCH_TSC_SETTLED) &&
	    boot_cpu_has(X86_FEATURE_TSC_KNOWN_FREQ))
		return KCH_TSC_KNOWN;
	/* One that was taken over from the kernel before a kexec, or that is pinned. */
	if (source == KCH_TSC_EARLY && (khz_is_settled() || nothing_to_refine_with()))
		return KCH_TSC_SETTLED;
	return source;
}

bool kch_host_tsc_is_clocksource(void)
{
	enum kch_tsc_source source = kch_host_tsc_source();

	return source != KCH_TSC_UNKNOWN && source != KCH_TSC_OTHER;
}

int kch_host_tsc_used(struct kch_message *message)
{
	char name[32];

	if (kch_host_tsc_source() != KCH_TSC_OTHER)
		return 0;
	if (!read_line("sysfs", CLOCKSOURCE_FILE, name, sizeof(name)))
		strscpy(name, "another one", sizeof(name));
	if (check_tsc_unstable())
		kch_say(message, "the host's clocksource is %s, not the TSC, which the kernel found unstable (its log says why): KVM has no master clock, and no clock can be saved or restored exactly; boot with tsc=reliable only if that was wrong",
			name);
	else
		kch_say(message, "the host's clocksource is %s, not the TSC: KVM has no master clock, and no clock can be saved or restored exactly until tsc is made the current_clocksource again",
			name);
	return -EPFNOSUPPORT;
}

int kch_host_tsc_settled(struct kch_message *message)
{
	switch (kch_host_tsc_source()) {
	case KCH_TSC_KNOWN:
	case KCH_TSC_SETTLED:
		return 0;
	case KCH_TSC_EARLY:
		kch_say(message, "the host's TSC frequency is still being calibrated (%u kHz so far): a clock restored now would change its rate when that ends; wait about a second, or pin it (kvmclockctl kexec-args)",
			tsc_khz);
		return -EAGAIN;
	case KCH_TSC_OTHER:
		return kch_host_tsc_used(message);
	default:
		kch_say(message, "it cannot be told whether the host's clocksource is the TSC: the kernel's /sys/%s cannot be read",
			CLOCKSOURCE_FILE);
		return -EPFNOSUPPORT;
	}
}

void kch_host_boot_id(u8 id[16])
{
	static u8 known[16];
	char line[64];
	uuid_t uuid;

	/* Built in, the module is there before the file. */
	if (!memchr_inv(known, 0, sizeof(known)) &&
	    read_line("proc", BOOT_ID_FILE, line, sizeof(line)) &&
	    !uuid_parse(line, &uuid))
		export_uuid(known, &uuid);
	memcpy(id, known, sizeof(known));
}

static void machine_id(u8 id[16])
{
	const char *text = dmi_get_system_info(DMI_PRODUCT_UUID);
	uuid_t uuid;

	memset(id, 0, 16);
	if (text && !uuid_parse(text, &uuid))
		export_uuid(id, &uuid);
}

void kch_host_instant(struct kch_instant *now)
{
	struct system_time_snapshot snap;
	unsigned int seq;
	u64 before, after;

	/*
	 * The snapshot's times are one instant's.  The offsets between clocks
	 * belong to it unless one of them was set meanwhile.
	 */
	do {
		u64 mono_ns;

		before = rdtsc_ordered();
		snapshot(&snap);
		after = rdtsc_ordered();
		seq = snap.clock_was_set_seq;
		mono_ns = ktime_to_ns(ktime_sub(snapshot_real(&snap), ktime_mono_to_real(0)));
		now->host_tsc = snap.cycles;
		now->realtime_ns = ktime_to_ns(snapshot_real(&snap));
		now->raw_ns = ktime_to_ns(snapshot_raw(&snap));
		now->tai_ns = mono_ns + ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_TAI));
		now->boottime_ns = mono_ns + ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
		now->kvm_ns = now->raw_ns + ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
		snapshot(&snap);
	} while (seq != snap.clock_was_set_seq);

	/* Another clocksource's cycles are not the TSC's; it was read between these. */
	now->slack_cycles = 0;
	if (now->host_tsc - before > after - before) {
		now->slack_cycles = (after - before + 1) / 2;
		now->host_tsc = before + now->slack_cycles;
	}
}

u64 kch_host_started_tsc(void)
{
	struct kch_instant now;

	kch_host_instant(&now);
	return now.host_tsc - mul_u64_u64_div_u64(now.kvm_ns, tsc_khz, NSEC_PER_MSEC);
}

void kch_host_describe(struct kch_rec_header *header, u32 kvm_khz)
{
	struct kch_instant now;

	kch_host_instant(&now);
	header->tsc_khz = cpu_to_le32(tsc_khz);
	header->kvm_tsc_khz = cpu_to_le32(kvm_khz);
	header->tsc_source = cpu_to_le32(kch_host_tsc_source());
	header->host_tsc = cpu_to_le64(now.host_tsc);
	header->realtime_ns = cpu_to_le64(now.realtime_ns);
	header->tai_ns = cpu_to_le64(now.tai_ns);
	header->boottime_ns = cpu_to_le64(now.boottime_ns);
	header->raw_ns = cpu_to_le64(now.raw_ns);
	kch_host_boot_id(header->boot_id);
	machine_id(header->machine_id);
	header->cpu_signature = cpu_to_le32(cpuid_eax(1));
	memcpy(header->cpu_vendor, boot_cpu_data.x86_vendor_id, sizeof(header->cpu_vendor));
	strscpy(header->kernel_release, init_utsname()->release, sizeof(header->kernel_release));
	strscpy(header->module_version, KCH_MODULE_VERSION, sizeof(header->module_version));
}

int kch_host_same_machine(const struct kch_rec_header *header, bool any_wall,
			  struct kch_outcome *outcome,
			  struct kch_message *message)
{
	struct kch_machine machine = { .cpu_signature = cpuid_eax(1) };
	struct kch_instant now;

	machine_id(machine.id);
	memcpy(machine.cpu_vendor, boot_cpu_data.x86_vendor_id, sizeof(machine.cpu_vendor));
	kch_host_instant(&now);
	machine.host_tsc = now.host_tsc;
	machine.realtime_ns = now.realtime_ns;
	return kch_machine_same(header, &machine, any_wall, outcome, message);
}
