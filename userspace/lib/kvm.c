// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * KVM's own ioctls: a vCPU's TSC offset, frequency and MSRs, a VM's kvmclock, the
 * frequency KVM believes in.  And what KVM computes from these: TSC scaling ratios
 * and the rate of its host clock.
 */
#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <math.h>
#include <unistd.h>
#include <x86intrin.h>
#include "kvm.h"

#define CLOCKSOURCE_FILE \
	"/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define TOLERANCE_FILE		"/sys/module/kvm/parameters/tsc_tolerance_ppm"
/* KVM's default of that parameter */
#define TOLERANCE_PPM		250

#define MSR_IA32_TSC		0x10
#define MSR_IA32_TSC_DEADLINE	0x6e0

/* KVM's own limits of the fraction: VMX has 48 bits of it, SVM 32, whoever made the CPU. */
#define VMX_FRAC_BITS		48
#define SVM_FRAC_BITS		32
#define CPUID_1_ECX_VMX		(1U << 5)

/* Of this many bracketed readings the one that took the shortest is used. */
#define BRACKETS		16

/*
 * The ACPI timer, of 3.579545 MHz, has the longest ticks of all clocksources other than
 * the TSC, except for jiffies, which only a machine without any other uses.
 */
#define OTHER_TICK_NS		280

/*
 * When vCPUs run for the first time KVM takes new references by its host clock,
 * CLOCK_MONOTONIC_RAW.  Its multiplier is rounded, by up to half of its last bit, and
 * has 23 bits, or 22 where the TSC has more than 3.66 GHz: clocks_calc_mult_shift()
 * leaves room for 600 s of cycles.
 */
#define HOST_CLOCK_PPB		239

/* The kernel discards a refined TSC frequency that is further off than this. */
#define REFINEMENT_PPB		10000000

static uint64_t ordered_tsc(void)
{
	_mm_lfence();
	return __rdtsc();
}

/* The errno and the message for what KVM answers when @fd is not what was expected. */
static int fail(struct kch_handle *handle, int err, const char *what, int fd, const char *kind)
{
	switch (err) {
	case -EBADF:
		return kch_fail(handle, err, "%s: %d is not an open file", what, fd);
	case -ENOTTY:
	case -EINVAL:
		return kch_fail(handle, -EBADFD, "%s: file descriptor %d is not a %s",
				what, fd, kind);
	case -EIO:
		return kch_fail(handle, err, "%s: the VM was not made by this process, or is dead",
				what);
	default:
		return kch_fail(handle, err, "%s cannot be read: %s", what, strerror(-err));
	}
}

/* --- vCPUs ---------------------------------------------------------------------------- */

static int tsc_offset(int vcpu_fd, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return kch_call(vcpu_fd, request, &attr) < 0 ? -errno : 0;
}

int kch_set_tsc_offset(int vcpu_fd, uint64_t offset)
{
	return tsc_offset(vcpu_fd, KVM_SET_DEVICE_ATTR, &offset);
}

int kch_read_vcpu(struct kch_handle *handle, struct kch_vcpu *vcpu)
{
	int err = tsc_offset(vcpu->fd, KVM_GET_DEVICE_ATTR, &vcpu->offset);
	char what[40];
	int khz;

	if (err == -ENXIO)
		return kch_fail(handle, -ENOSYS, "this kernel has no KVM_VCPU_TSC_OFFSET");
	snprintf(what, sizeof(what), "vCPU %u's TSC offset", vcpu->vcpu_id);
	if (err)
		return fail(handle, err, what, vcpu->fd, "vCPU");
	khz = kch_call(vcpu->fd, KVM_GET_TSC_KHZ, NULL);
	if (khz <= 0)
		return kch_fail(handle, khz < 0 ? -errno : -ERANGE,
				"vCPU %u: KVM_GET_TSC_KHZ says %d", vcpu->vcpu_id, khz);
	vcpu->khz = (uint32_t)khz;
	return 0;
}

/* KVM has no ioctl that tells a vCPU's id, but its file is named after it. */
int kch_vcpu_id_of(int fd)
{
	char path[64], target[64];
	ssize_t length;
	int id;

	snprintf(path, sizeof(path), KCH_FD_DIR "/%d", fd);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return -1;
	target[length] = '\0';
	return sscanf(target, "anon_inode:kvm-vcpu:%d", &id) == 1 ? id : -1;
}

/* How many KVM read or wrote: 1, or as ioctl(). */
static int call_msr(int vcpu_fd, unsigned long request, uint32_t index, uint64_t *value)
{
	union {
		struct kvm_msrs head;
		char room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} msr = { .room = {} };
	int done;

	msr.head.nmsrs = 1;
	msr.head.entries[0].index = index;
	msr.head.entries[0].data = *value;
	done = kch_call(vcpu_fd, request, &msr);
	*value = msr.head.entries[0].data;
	return done;
}

bool kch_get_msr(int vcpu_fd, uint32_t index, uint64_t *value)
{
	*value = 0;
	return call_msr(vcpu_fd, KVM_GET_MSRS, index, value) == 1;
}

int kch_rearm_deadline(int vcpu_fd)
{
	uint64_t deadline;
	int done;

	/* A vCPU without the MSR has no deadline. */
	if (!kch_get_msr(vcpu_fd, MSR_IA32_TSC_DEADLINE, &deadline) || !deadline)
		return 0;
	done = call_msr(vcpu_fd, KVM_SET_MSRS, MSR_IA32_TSC_DEADLINE, &deadline);
	return done == 1 ? 0 : done < 0 ? -errno : -EIO;
}

int kch_check_tsc(struct kch_handle *handle, const struct kch_vcpu *vcpu,
		  uint8_t frac_bits, uint32_t host_khz)
{
	uint64_t before, after, tsc;

	before = kch_scale_tsc(ordered_tsc(), vcpu->ratio, frac_bits) + vcpu->offset;
	if (!kch_get_msr(vcpu->fd, MSR_IA32_TSC, &tsc))
		return kch_fail(handle, -EBADFD, "vCPU %u: MSR_IA32_TSC cannot be read",
				vcpu->vcpu_id);
	after = kch_scale_tsc(ordered_tsc(), vcpu->ratio, frac_bits) + vcpu->offset;
	if (tsc - before <= after - before)
		return 0;
	return kch_fail(handle, -ELIBBAD,
			"vCPU %u: KVM has a TSC of %llu, by its offset and %u kHz on a host of %u kHz it is %llu to %llu",
			vcpu->vcpu_id, (unsigned long long)tsc, vcpu->khz, host_khz,
			(unsigned long long)before, (unsigned long long)after);
}

bool kch_read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, line, size - 1);

	if (fd >= 0)
		close(fd);
	line[length < 0 ? 0 : length] = '\0';
	return length > 0;
}

/* --- the host's clock ----------------------------------------------------------------- */

/*
 * Whether the kernel will not change its TSC frequency any more.  The clocksource "tsc"
 * is registered when refinement has ended, with or without a result; before that the
 * name is another, and so it is if the TSC is not the clocksource.
 */
static bool tsc_is_settled(void)
{
	char name[8];

	return kch_read_line(CLOCKSOURCE_FILE, name, sizeof(name)) && !strcmp(name, "tsc\n");
}

uint64_t kch_host_clock_slack_ppb(void)
{
	return HOST_CLOCK_PPB + (tsc_is_settled() ? 0 : REFINEMENT_PPB);
}

/*
 * Not kch_clock_rate_ppb(), which is rounded toward zero: a bound must be rounded up.
 * Nor the rate of a scaled guest's page, which KVM makes from whole kHz of the guest's.
 */
uint64_t kch_host_clock_ppb(const struct kch_clock *clock, uint32_t host_khz)
{
	/* ns per host cycle; a ratio may be anything, so rates cannot be added. */
	long double host_ns = 1e6L / host_khz;
	long double clock_ns = ldexpl(clock->tsc_to_system_mul, clock->tsc_shift - 32) *
			       ldexpl(clock->tsc_scaling_ratio, -clock->tsc_scaling_frac_bits);
	long double ppb = fabsl((host_ns / clock_ns - 1) * 1e9L);

	return ppb < INT32_MAX ? (uint64_t)ppb + (ppb > (uint64_t)ppb) : INT32_MAX;
}

/* A VM for which no frequency was set has the one KVM uses itself. */
static uint32_t ask_new_vm(int given)
{
	int kvm, vm, khz = -1;

	kvm = given < 0 ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : given;
	if (kvm < 0)
		return 0;
	vm = kch_call(kvm, KVM_CREATE_VM, NULL);
	if (vm >= 0) {
		khz = kch_call(vm, KVM_GET_TSC_KHZ, NULL);
		close(vm);
	}
	if (given < 0)
		close(kvm);
	return khz > 0 ? (uint32_t)khz : 0;
}

int kch_use_kvm(struct kch_handle *handle, int kvm_fd)
{
	kch_start(handle);
	if (kvm_fd >= 0 && kch_call(kvm_fd, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION)
		return errno == EBADF ?
		       kch_fail(handle, -EBADF, "%d is not an open file", kvm_fd) :
		       kch_fail(handle, -EBADFD, "file descriptor %d is not /dev/kvm", kvm_fd);
	handle->kvm_fd = kvm_fd;
	return 0;
}

int kch_kvm_khz(struct kch_handle *handle, uint32_t *khz)
{
	struct kch_info info = { .size = sizeof(info) };
	int err;

	*khz = 0;
	if (handle->fd >= 0) {
		err = kch_info(handle, &info);
		if (err)
			return err;
		*khz = info.kvm_tsc_khz;
	}
	if (!*khz)
		*khz = ask_new_vm(handle->kvm_fd);
	if (!*khz)
		return kch_fail(handle, -ENXIO,
				"the frequency KVM computes clocks from cannot be asked: no VM can be made with /dev/kvm");
	return 0;
}

/* --- VMs ------------------------------------------------------------------------------ */

/*
 * Without a master clock KVM gives no host TSC with its clock: the reading was at
 * some instant between two of ours.
 */
static int read_between(int vm_fd, uint32_t host_khz, struct kch_reading *reading)
{
	uint64_t narrowest = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < BRACKETS; i++) {
		struct kvm_clock_data clock = {};
		uint64_t before = ordered_tsc(), after;

		if (kch_call(vm_fd, KVM_GET_CLOCK, &clock) < 0)
			return -errno;
		after = ordered_tsc();
		if (after - before >= narrowest)
			continue;
		narrowest = after - before;
		reading->host_tsc = before + narrowest / 2;
		reading->clock_ns = clock.clock;
	}
	/*
	 * Half of the interval to either side, and what the halving and this round off.
	 * And KVM's clock stands still between two ticks of the clocksource.
	 */
	reading->slack_ns = kch_cycles_to_ns(narrowest / 2 + 1, host_khz) + 1 +
			    (tsc_is_settled() ? 0 : OTHER_TICK_NS);
	return 0;
}

int kch_read_clock(struct kch_handle *handle, int vm_fd, uint32_t host_khz,
		   struct kch_reading *reading)
{
	const uint32_t needed = KVM_CLOCK_HOST_TSC | KVM_CLOCK_REALTIME;
	struct kvm_clock_data clock = {};
	int err = 0;

	*reading = (struct kch_reading){};
	if (kch_call(vm_fd, KVM_GET_CLOCK, &clock) < 0)
		err = -errno;
	if (!err && (clock.flags & needed) == needed) {
		reading->clock_ns = clock.clock;
		reading->host_tsc = clock.host_tsc;
		reading->realtime_ns = clock.realtime;
		reading->at_once = true;
		return 0;
	}
	if (!err)
		err = read_between(vm_fd, host_khz, reading);
	return err ? fail(handle, err, "the VM's clock", vm_fd, "KVM virtual machine") : 0;
}

int kch_set_khz(struct kch_handle *handle, int vm_fd, uint32_t khz, uint32_t host_khz)
{
	int now_khz = kch_call(vm_fd, KVM_GET_TSC_KHZ, NULL);

	if (now_khz < 0 && errno != ENOTTY && errno != EINVAL)
		return fail(handle, -errno, "the VM's TSC frequency", vm_fd, "VM");
	if (now_khz >= 0 && (uint32_t)now_khz == khz)
		return 0;

	/*
	 * The capability is about scaling.  Without it KVM still accepts the number, and
	 * keeps the TSC unscaled within its tolerance.
	 */
	if (kch_call(vm_fd, KVM_CHECK_EXTENSION,
		     (void *)KVM_CAP_VM_TSC_CONTROL) <= 0 &&
	    !kch_khz_is_unscaled(khz, host_khz))
		return kch_fail(handle, -ERANGE,
				"TSC of %u kHz saved, the host has %u kHz and this CPU no TSC scaling: KVM would emulate it by moving the guest's TSC",
				khz, host_khz);
	if (kch_call(vm_fd, KVM_SET_TSC_KHZ, (void *)(uintptr_t)khz) < 0)
		return kch_fail(handle, errno == ENOTTY ? -ERANGE : -errno,
				"KVM_SET_TSC_KHZ of %u kHz on the VM, which has %d kHz: %s",
				khz, now_khz, strerror(errno));
	return 0;
}

/* --- TSC scaling ---------------------------------------------------------------------- */

static uint32_t tolerance_ppm(void)
{
	char line[16];
	uint32_t ppm;

	return kch_read_line(TOLERANCE_FILE, line, sizeof(line)) &&
	       sscanf(line, "%u", &ppm) == 1 ? ppm : TOLERANCE_PPM;
}

bool kch_khz_is_unscaled(uint32_t khz, uint32_t host_khz)
{
	uint32_t ppm = tolerance_ppm();
	/* As KVM's adjust_tsc_khz(), so that the limits are the same. */
	uint64_t low = (uint64_t)host_khz * (1000000 - ppm) / 1000000;
	uint64_t high = (uint64_t)host_khz * (1000000 + ppm) / 1000000;

	return khz >= low && khz <= high;
}

uint8_t kch_frac_bits(int vm_fd)
{
	unsigned int a, b, c, d;

	if (kch_call(vm_fd, KVM_CHECK_EXTENSION, (void *)KVM_CAP_TSC_CONTROL) <= 0)
		return 0;
	__cpuid(1, a, b, c, d);
	return c & CPUID_1_ECX_VMX ? VMX_FRAC_BITS : SVM_FRAC_BITS;
}

uint64_t kch_ratio(uint32_t khz, uint32_t host_khz, uint8_t frac_bits)
{
	uint64_t one = 1ULL << frac_bits;

	if (!frac_bits || kch_khz_is_unscaled(khz, host_khz))
		return one;
	return kch_mul_div(one, khz, host_khz);
}
