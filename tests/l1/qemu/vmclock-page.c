// SPDX-License-Identifier: GPL-2.0
/*
 * Plays the part of a VMM that keeps the time in its guest's vmclock page, by writing to the
 * memory of a QEMU whose guest is stopped; QEMU's own page has no time.
 *
 *	kch-vmclock-page PID show | make TSC_KHZ PPB | hide NS | move NS |
 *		imported NS TSC_KHZ
 *
 * make: a page with a time, that of CLOCK_REALTIME now at the guest's TSC 0, which goes on by
 * so much faster than the TSC's frequency has it.  hide: as the
 * library does it after a restore that hid so much.  move: as wrong as can be, the same with
 * no word to the guest.  imported: as it does it after an import that made the guest's clocks
 * go on by so much too far; the page's time is then right again.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <kvmclock-handover-stock.h>
#include <kvmclock-handover-vmclock.h>
#include "../../../userspace/lib/vmclock_page.h"

static int memory;

static void die(const char *what)
{
	fprintf(stderr, "kch-vmclock-page: %s\n", what);
	exit(1);
}

/* QEMU has it in a mapping of its own. */
static off_t find(const char *pid, void *page)
{
	char line[512], path[64];
	uint64_t start, end;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	memory = open(path, O_RDWR);
	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	if (memory < 0 || !maps)
		die("no such process");
	while (fgets(line, sizeof(line), maps))
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " rw", &start, &end) == 2 &&
		    end - start == KCH_VMCLOCK_SIZE &&
		    pread(memory, page, KCH_VMCLOCK_SIZE, (off_t)start) == KCH_VMCLOCK_SIZE &&
		    !memcmp(page, "VCLK", 4))
			return (off_t)start;
	die("no vmclock page");
	return 0;
}

int main(int argc, char **argv)
{
	struct kch_vmclock_time time = { .sz = sizeof(time), .type = KCH_VMCLOCK_TAI,
					 .synchronized = 1, .maxerror_ns = 1000 };
	static char page[KCH_VMCLOCK_SIZE] __attribute__((aligned(8)));
	struct kch_vmclock_restore restore = { .sz = sizeof(restore), .mode = KCH_MODE_IDENTICAL };
	struct kch_handle *handle = kch_open_stock();
	struct vmclock_page *fields = (void *)page, old;
	struct timespec now;
	int err = 0;
	off_t at;

	if (argc < 3 || !handle)
		die("usage: PID show | make TSC_KHZ PPB | hide NS | move NS | imported NS TSC_KHZ");
	at = find(argv[1], page);
	old = *fields;
	if (!strcmp(argv[2], "imported") && argc == 5) {
		time.time_ns = le64toh(old.time_sec) * 1000000000 +
			       (le64toh(old.time_frac_sec) >> 32) * 1000000000 / (1ULL << 32) -
			       strtoull(argv[3], NULL, 10);
		time.guest_tsc = le64toh(old.counter_value);
		time.tsc_uhz = strtoull(argv[4], NULL, 10) * 1000000000;
		restore.flags = KCH_VMCLOCK_IMPORTED;
		restore.time = &time;
		err = kch_vmclock_restored(handle, page, &restore, NULL);
	} else if (!strcmp(argv[2], "make") && argc == 5) {
		clock_gettime(CLOCK_REALTIME, &now);
		time.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
		time.tsc_uhz = strtoull(argv[3], NULL, 10) *
			       (1000000000 - strtoull(argv[4], NULL, 10));
		err = kch_vmclock_make(handle, page, &time);
	} else if (strcmp(argv[2], "show")) {
		restore.hidden_ns = strtoull(argv[3], NULL, 10);
		err = kch_vmclock_restored(handle, page, &restore, NULL);
		if (!strcmp(argv[2], "move"))
			fields->disruption_marker = old.disruption_marker;
	}
	if (err)
		die(kch_last_message(handle));
	if (strcmp(argv[2], "show") &&
	    pwrite(memory, page, sizeof(page), at) != (ssize_t)sizeof(page))
		die("cannot write");
	printf("marker %llu sequence %u status %u generation %llu\n",
	       (unsigned long long)le64toh(fields->disruption_marker), le32toh(fields->seq_count),
	       fields->clock_status, (unsigned long long)le64toh(fields->vm_generation_counter));
	return 0;
}
