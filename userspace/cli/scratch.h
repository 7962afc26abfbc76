/* SPDX-License-Identifier: GPL-2.0 */
/* Scratch VMs: vCPUs that halt at their first instruction, so that KVM computes their clocks. */
#ifndef KCH_CLI_SCRATCH_H
#define KCH_CLI_SCRATCH_H

#include <stdbool.h>
#include <stdint.h>

#define SCRATCH_VCPUS_MAX	8

struct scratch {
	int vm, vcpus[SCRATCH_VCPUS_MAX];
	void *runs[SCRATCH_VCPUS_MAX];
	unsigned int count;
	int run_bytes;
	uint8_t *memory;
	const char *failed;	/* what did, with errno; or NULL */
};

/* A VM without vCPUs. */
bool scratch_make(struct scratch *s, int kvm);
/* Its vCPUs, each with a pvclock page. */
bool scratch_add(struct scratch *s, int kvm, unsigned int count);
/* Each of them enters the guest, and halts. */
bool scratch_run(struct scratch *s);
/* What KVM wrote into the page of one. */
void *scratch_page(const struct scratch *s, unsigned int vcpu);
void scratch_free(struct scratch *s);

#endif /* KCH_CLI_SCRATCH_H */
