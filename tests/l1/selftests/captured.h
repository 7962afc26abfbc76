/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VM's clock as the module has it: of a live VM, or out of a record.  What it
 * says of TSC, kvmclock and the pages made from it, at any host TSC.
 *
 * No type of the selftests' library here: it has its own <linux/types.h>.
 */
#ifndef KCH_SELFTESTS_CAPTURED_H
#define KCH_SELFTESTS_CAPTURED_H

#include <stdbool.h>
#include <stdint.h>

struct kch_handle;
struct kch_vm;
struct captured;

/* Of a live VM; 0 or a negative errno. */
int captured_read(struct kch_handle *handle, int vm_fd, struct captured **captured);

/* Out of the record from before the kexec. */
int captured_get(struct kch_handle *handle, const uint8_t uuid[16],
		 struct captured **captured);
void captured_free(struct captured *captured);

/*
 * Something about every vCPU is made wrong: "cycle", "jump", "second", "ns",
 * "mul", "flag", "adjust".  False if it is none of these.
 */
bool captured_spoil(struct captured *captured, const char *what);

bool captured_master_clock(const struct captured *captured);
uint32_t captured_vcpus(const struct captured *captured);

/**
 * struct captured_page - what a pvclock page made from it has
 * @tsc_timestamp: cycles
 * @system_time: ns
 * @mul: tsc_to_system_mul
 * @shift: tsc_shift
 * @flags: flags
 */
struct captured_page {
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags;
};

void captured_page(const struct captured *captured, uint32_t index,
		   struct captured_page *page);

/*
 * Is it the page that is made from it?  On a host whose frequency gives another
 * mul and shift it may have a later reference, if it is the same at every TSC.
 */
bool captured_is_page(const struct captured *captured, uint32_t index,
		      const struct captured_page *page, uint32_t host_khz);
uint64_t captured_offset(const struct captured *captured, uint32_t index);
uint64_t captured_adjust(const struct captured *captured, uint32_t index);

/* The vCPU's TSC and kvmclock when the host's TSC is @host_tsc. */
uint64_t captured_tsc(const struct captured *captured, uint32_t index,
		      uint64_t host_tsc);
uint64_t captured_ns(const struct captured *captured, uint32_t index,
		     uint64_t host_tsc);

/* kvmclock when the vCPU's TSC is @tsc. */
uint64_t captured_ns_at(const struct captured *captured, uint32_t index,
			uint64_t tsc);

/* Scale and offset of the Hyper-V reference TSC page, as the TLFS defines them. */
void captured_hyperv(const struct captured *captured, uint32_t index,
		     uint64_t *scale, int64_t *offset);

/* Both are the same functions. */
bool captured_identical(const struct captured *saved, const struct captured *live);

#endif /* KCH_SELFTESTS_CAPTURED_H */
