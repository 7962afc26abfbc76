/* SPDX-License-Identifier: GPL-2.0 */
/* One call of an ioctl: arguments it takes, spoiled or not, and what must be true of the answer. */
#ifndef KCH_FUZZ_CALL_H
#define KCH_FUZZ_CALL_H

#include "device.h"
#include "place.h"
#include "random.h"
#include "vm.h"

#define FUZZ_IDS	8	/* VMs of the incoming record: ids 1 to this */
#define FUZZ_OFFSET	(-123456789012345ULL)
#define CALLER_VMS	3
#define CALLER_CLOCKS	4
#define CALLER_BUFFER	8192

/* A clock's descriptor, and what it was opened for. */
struct caller_clock {
	int fd;
	uint32_t id;
	bool of_entry;
};

/**
 * struct caller - who makes calls, one at a time
 * @random: what it does is of these numbers
 * @place: where its structures are
 * @device: its open device, or -1
 * @vms: its VMs; only it closes them
 * @clocks: its descriptors of clocks
 * @late: the incoming record may be finished
 * @buffer: of CALLER_BUFFER bytes, for answers
 * @record: that the module was loaded with, of @record_bytes
 * @record_bytes: with its entries
 */
struct caller {
	struct random random;
	struct place place;
	int device;
	struct vm vms[CALLER_VMS];
	struct caller_clock clocks[CALLER_CLOCKS];
	bool late;
	char *buffer;
	const void *record;
	size_t record_bytes;
};

/* How many vCPUs the VM of that id has. */
uint32_t call_vcpus_of(uint32_t id);

/* An id of the incoming record whose VM has as many as @vm. */
uint32_t call_id_for(struct random *r, const struct vm *vm);

/* Makes it of that, keeps the descriptor of a clock, and says what was wrong. */
void call_any(struct caller *c);

/* With arguments that are made already.  Returns 0 or the errno. */
int call_on(int fd, bool on_clock, unsigned int cmd, union kch_any *arg);

#endif /* KCH_FUZZ_CALL_H */
