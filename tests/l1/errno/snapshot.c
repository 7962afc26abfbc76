// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include "clock.h"
#include "record.h"

#include "calls.h"
#include "snapshot.h"

#define WATCHED_MAX	24
#define ENTRY_MAX	(sizeof(struct kch_rec_vm) + \
			 VM_VCPUS_MAX * sizeof(struct kch_rec_vcpu))
#define RECORD_VMS_MAX	16

/**
 * struct seen_vm - one VM's clock
 * @error: of KCH_IOC_READ
 * @entry: what that gave, without what changes by itself
 * @offset: each vCPU's, as KVM says
 * @kvm_agrees: KVM_GET_CLOCK is the clock read, at KVM's own host TSC
 */
struct seen_vm {
	int error;
	uint8_t entry[ENTRY_MAX];
	uint64_t offset[VM_VCPUS_MAX];
	bool kvm_agrees;
};

/**
 * struct seen_record - one record, as the device gives it
 * @error: of KCH_IOC_LIST
 * @header_error: of KCH_IOC_GET for the header
 * @count: VMs in it
 * @header: its header
 * @entries: from KCH_IOC_LIST
 * @bytes: from KCH_IOC_GET
 */
struct seen_record {
	int error;
	int header_error;
	uint32_t count;
	struct kch_rec_header header;
	struct kch_entry entries[RECORD_VMS_MAX];
	uint8_t bytes[RECORD_VMS_MAX][ENTRY_MAX];
};

struct snapshot {
	struct kch_info info;
	unsigned int vms;
	struct seen_vm vm[WATCHED_MAX];
	struct seen_record record[2];
	char *region;
	size_t region_size;
	char *evidence;
	size_t evidence_size;
};

static const struct vm *watched[WATCHED_MAX];
static unsigned int watched_count;

void snapshot_watch(const struct vm *vm)
{
	if (watched_count == WATCHED_MAX)
		die("too many VMs under watch");
	watched[watched_count++] = vm;
}

void snapshot_watch_none(void)
{
	watched_count = 0;
}

/* KVM's own clock, against the function that was read, at KVM's own instant. */
static bool kvm_agrees(const struct vm *vm, const struct kch_rec_vm *entry,
		       uint32_t kvm_khz)
{
	struct kvm_clock_data says = { 0 };
	struct kch_clock clock;

	if (ioctl(vm->fd, KVM_GET_CLOCK, &says))
		return false;
	if (!(says.flags & KVM_CLOCK_HOST_TSC))
		return true;
	kch_clock_of(entry, (const void *)(entry + 1), &clock);
	clock.tsc_offset = 0;
	kch_pvclock_pair(kvm_khz, &clock.tsc_to_system_mul, &clock.tsc_shift);
	return kch_clock_ns(&clock, says.host_tsc) == says.clock;
}

static void see_vm(struct seen_vm *seen, const struct vm *vm, uint32_t kvm_khz)
{
	struct kch_rec_vm *entry = (void *)seen->entry;
	uint32_t i;

	seen->error = read_entry(vm, entry, ENTRY_MAX);
	if (seen->error)
		return;
	for (i = 0; !vm->running && i < vm->vcpus; i++)
		seen->offset[i] = vm_offset(vm, i);
	seen->kvm_agrees = kvm_agrees(vm, entry, kvm_khz);
	entry->host_tsc = 0;
	entry->kvmclock_ns = 0;
	entry->kvmclock_slack_ns = 0;
	entry->crc32c = 0;
	entry->flags &= cpu_to_le32(~KCH_VM_RUNNING);
}

static void see_record(struct seen_record *seen, uint32_t which)
{
	struct kch_list list = {
		.size = sizeof(list),
		.which = which,
		.entry_size = sizeof(struct kch_entry),
		.entries = (uintptr_t)seen->entries,
		.count = RECORD_VMS_MAX,
	};
	struct kch_get get = {
		.size = sizeof(get),
		.which = which,
		.buffer = (uintptr_t)&seen->header,
		.buffer_size = sizeof(seen->header),
	};
	uint32_t i;
	int err;

	seen->error = device_call(KCH_IOC_LIST, &list);
	if (seen->error)
		return;
	seen->count = list.count;
	seen->header_error = device_call(KCH_IOC_GET, &get);
	for (i = 0; i < seen->count; i++) {
		if (seen->entries[i].flags & KCH_ENTRY_DAMAGED)
			continue;
		get.buffer = (uintptr_t)seen->bytes[i];
		get.buffer_size = ENTRY_MAX;
		memcpy(get.uuid, seen->entries[i].uuid, sizeof(get.uuid));
		err = device_call(KCH_IOC_GET, &get);
		/* Two of one id are listed, but neither can be had. */
		if (err && err != EBADMSG)
			die("entry %u of record %u cannot be had: %s", i, which,
			    get.message);
	}
}

struct snapshot *snapshot_take(void)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	unsigned int i;

	if (!s)
		die("no memory");
	device_info(&s->info);
	/* How long ago it was is told there. */
	if (s->info.incoming_error == ETIME)
		memset(s->info.message, 0, sizeof(s->info.message));
	s->vms = watched_count;
	for (i = 0; i < watched_count; i++)
		see_vm(&s->vm[i], watched[i], s->info.kvm_tsc_khz);
	see_record(&s->record[KCH_OUTGOING], KCH_OUTGOING);
	see_record(&s->record[KCH_INCOMING], KCH_INCOMING);
	s->region = debugfs_read("region_raw", &s->region_size);
	s->evidence = debugfs_read("incoming_raw", &s->evidence_size);
	return s;
}

void snapshot_free(struct snapshot *s)
{
	free(s->region);
	free(s->evidence);
	free(s);
}

static const char *vm_difference(const struct seen_vm *a, const struct seen_vm *b)
{
	if (a->error != b->error)
		return "READ's errno";
	if (a->error)
		return NULL;
	if (memcmp(a->offset, b->offset, sizeof(a->offset)))
		return "a TSC offset, as KVM says";
	if (memcmp(a->entry, b->entry, sizeof(a->entry)))
		return "its clock";
	if (!a->kvm_agrees || !b->kvm_agrees)
		return "KVM_GET_CLOCK says otherwise";
	return NULL;
}

static const char *record_difference(const struct seen_record *a,
				     const struct seen_record *b)
{
	if (a->error != b->error)
		return "LIST's errno";
	if (a->count != b->count)
		return "number of VMs";
	if (a->header_error != b->header_error ||
	    memcmp(&a->header, &b->header, sizeof(a->header)))
		return "its header";
	if (memcmp(a->entries, b->entries, sizeof(a->entries)))
		return "what LIST gives";
	if (memcmp(a->bytes, b->bytes, sizeof(a->bytes)))
		return "an entry";
	return NULL;
}

static bool bytes_differ(const char *a, size_t a_size, const char *b,
			 size_t b_size)
{
	return a_size != b_size || memcmp(a, b, a_size);
}

const char *snapshot_difference(const struct snapshot *a,
				const struct snapshot *b)
{
	static char text[160];
	const char *what;
	unsigned int i;

	for (i = 0; i < a->vms; i++) {
		what = vm_difference(&a->vm[i], &b->vm[i]);
		if (what) {
			snprintf(text, sizeof(text), "clock of VM %u: %s", i, what);
			return text;
		}
	}
	for (i = 0; i < 2; i++) {
		what = record_difference(&a->record[i], &b->record[i]);
		if (what) {
			snprintf(text, sizeof(text), "%s record: %s",
				 i == KCH_OUTGOING ? "outgoing" : "incoming", what);
			return text;
		}
	}
	if (bytes_differ(a->region, a->region_size, b->region, b->region_size))
		return "bytes of the region";
	if (bytes_differ(a->evidence, a->evidence_size, b->evidence,
			 b->evidence_size))
		return "bytes of the evidence";
	if (memcmp(&a->info, &b->info, sizeof(a->info)))
		return "what INFO says";
	return NULL;
}
