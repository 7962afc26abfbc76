// SPDX-License-Identifier: GPL-2.0
/* kvmclockctl doctor: the VMs that run; can each be restored, and who will do that? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/kvmclock_handover_record.h>
#include "doctor.h"

#define HOOK		"/etc/libvirt/hooks/qemu.d/kvmclock-handover"
#define GUESTS		"/etc/default/libvirt-guests"
#define WEAKER		"its VMM can restore it with the library, in a weaker mode"

/* In the record for the next kernel, and still there. */
static bool is_saved(const struct live_vm *vm, const struct kch_entry *entries, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (entries[i].flags & KCH_ENTRY_LIVE &&
		    !memcmp(entries[i].uuid, vm->uuid, KCH_UUID_SIZE))
			return true;
	return false;
}

static bool is_libvirts(const struct doctor *d, const struct live_vm *vm)
{
	char *path = xasprintf("/run/libvirt/qemu/%s.pid", vm->name);

	return vm->name[0] && !strchr(vm->name, '/') && atoi(doctor_read(d, path)) == vm->pid;
}

struct clock {
	struct kch_vm_info info;
	bool scaled, catchup;
};

static int read_clock(struct doctor *d, const struct live_vm *vm, struct clock *clock)
{
	struct kch_vcpu_info vcpu = { .sz = sizeof(vcpu) };
	struct kch_vm *read;
	uint32_t i;
	int err;

	*clock = (struct clock){ .info.sz = sizeof(clock->info) };
	err = kch_vm_read(d->tool->handle, vm->fd, &read, NULL);
	if (err)
		return err;
	kch_vm_info(read, &clock->info);
	for (i = 0; !kch_vm_vcpu(read, i, &vcpu); i++) {
		clock->catchup |= vcpu.flags & KCH_VCPU_INFO_CATCHUP;
		clock->scaled |= vcpu.tsc_scaling_ratio !=
				 1ULL << clock->info.tsc_scaling_frac_bits;
	}
	kch_vm_free(read);
	return 0;
}

/* Who gives it its clock, when it comes back. */
static void check_vmm(struct doctor *d, const struct live_vm *vm, const char *check,
		      const char *found)
{
	const char *shutdown = doctor_setting(d, GUESTS, "ON_SHUTDOWN");

	if (!is_libvirts(d, vm)) {
		if (vm->has_lasting_id)
			doctor_say(d, check, READY, xasprintf("%s; its VMM brings it back", found),
				   "it is restored by its VMM with the library, or held: kvmclockctl restore --pid PID --hold",
				   NULL);
		else
			doctor_say(d, check, WARNING,
				   xasprintf("%s; it has neither UUID nor name", found),
				   "after the kexec nobody can tell which VM it is",
				   xasprintf("kvmclockctl save --pid %d --id UUID, and the same id with restore",
					     vm->pid));
		return;
	}
	if (access(doctor_path(d, HOOK), X_OK))
		doctor_say(d, check, NOT_READY, xasprintf("%s; libvirt brings it back", found),
			   "libvirt resumes a guest at once: without the hook it runs on with a wrong clock",
			   "install kvmclock-handover, or make -C userspace/host install: " HOOK);
	else if (!shutdown || strcmp(shutdown, "suspend"))
		doctor_say(d, check, WARNING,
			   xasprintf("%s; libvirt and its hook bring it back", found),
			   "if libvirt-guests shuts it down it boots anew, with a clock of its own",
			   "ON_SHUTDOWN=suspend and ON_BOOT=start in " GUESTS
			   ", or virsh managedsave before the kexec");
	else
		doctor_say(d, check, READY,
			   xasprintf("%s; libvirt and its hook bring it back", found),
			   "the hook holds it until libvirt has resumed it", NULL);
}

static void check_vm(struct doctor *d, const struct live_vm *vm, bool saved)
{
	const char *why =
		"only a clock that KVM computes from the TSC alone can be given back exactly";
	char *check = xasprintf("vm %s", vm->name[0] ? vm->name : xasprintf("%d", vm->pid)), *found;
	struct clock clock;
	int err;

	if (!d->has_info) {
		doctor_say(d, check, UNKNOWN, "its clock is not read without the module", why,
			   "see the check of the module");
		return;
	}
	err = read_clock(d, vm, &clock);
	if (err) {
		doctor_say(d, check, err == -ECHILD ? WARNING : NOT_READY,
			   xasprintf("%s", kch_last_message(d->tool->handle)), why,
			   "see user-abi.rst for that error");
		return;
	}
	d->has_scaled |= clock.scaled;
	if (!saved)
		d->needed_bytes += d->info.rec_vm_size +
				   (uint64_t)clock.info.vcpu_count * d->info.rec_vcpu_size;
	found = xasprintf("%u vCPUs, %s%s", clock.info.vcpu_count,
			  clock.scaled ? "TSC scaled" : "TSC not scaled",
			  saved ? ", saved" : ", to be saved");
	if (!(clock.info.flags & KCH_VM_INFO_MASTER_CLOCK))
		doctor_say(d, check, NOT_READY, xasprintf("%s, no master clock", found), why,
			   "let the host's clocksource be the TSC, and the guest's TSCs match; or "
			   WEAKER);
	else if (clock.catchup)
		doctor_say(d, check, NOT_READY, xasprintf("%s, TSC catch-up", found),
			   "KVM moves its TSC itself, as it cannot give the frequency asked for",
			   "give it the host's TSC frequency");
	else
		check_vmm(d, vm, check, found);
}

void doctor_vms(struct doctor *d)
{
	struct kch_entry *entries = NULL;
	uint32_t count = 0;
	size_t i;

	if (d->has_info)
		kch_list(d->tool->handle, KCH_OUTGOING, sizeof(*entries), &entries, &count);
	d->needed_bytes = d->info.outgoing_used ? d->info.outgoing_used :
						  sizeof(struct kch_rec_header);
	for (i = 0; i < d->live.count; i++)
		check_vm(d, &d->live.vms[i], is_saved(&d->live.vms[i], entries, count));
	free(entries);
	if (d->live.code)
		doctor_say(d, "vms", NOT_READY, "some could not be looked at",
			   "their clocks cannot be saved either",
			   "run this as root; the complaints say which");
}
