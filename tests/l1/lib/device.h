/* SPDX-License-Identifier: GPL-2.0 */
/* The module, its device, its region and what it shows in debugfs. */
#ifndef KCH_TESTS_DEVICE_H
#define KCH_TESTS_DEVICE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/kvmclock_handover.h>

#define KCH_DEBUGFS	"/sys/kernel/debug/kvmclock_handover/"

/* Room for any structure of the device, and a longer one of the future. */
union kch_any {
	__u32 size;
	struct kch_info info;
	struct kch_preserve preserve;
	struct kch_unpreserve unpreserve;
	struct kch_list list;
	struct kch_get get;
	struct kch_read read;
	struct kch_restore restore;
	struct kch_finish finish;
	struct kch_adopt adopt;
	struct kch_clock_fd clock_fd;
	char bytes[512];
};

/**
 * struct kch_call - what is common to all ioctls
 * @name: for people
 * @cmd: KCH_IOC_*
 * @size: bytes of its structure
 * @flags: byte at which its flags are
 * @flags_known: bits that may be set there
 * @message: byte at which its message is
 */
struct kch_call {
	const char *name;
	unsigned int cmd;
	size_t size;
	size_t flags;
	uint32_t flags_known;
	size_t message;
};

#define KCH_CALLS	11
extern const struct kch_call kch_calls[KCH_CALLS];
const struct kch_call *kch_call_of(unsigned int cmd);

/* The test itself cannot go on; the exit status is not that of a failure. */
void die(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

/* EBADFD rather than "File descriptor in bad state". */
const char *errno_name(int err);

/* The range to keep records in: part of the one the test bed reserved. */
extern uint64_t region_start;
extern size_t region_size;

/* /lib/modules/.../NAME.ko with parameters; 0 or an errno. */
int module_insert(const char *name, const char *parameters);
int module_remove(const char *name);

/* Ours, or one with something broken: KCH_MODULE. */
const char *module_name(void);

/* With the region and opens the device; dies if that does not work. */
void module_load(void);
void module_load_with(const char *parameters);
/* Does not open the device. */
void module_load_only(void);
/* Closes the device. */
void module_unload(void);

/* The open device, -1 if the module is not loaded. */
extern int device;

/* 0 or an errno. */
int device_call(unsigned int cmd, void *arg);

void device_info(struct kch_info *info);

/* Physical memory, while no module claims it. */
void region_write(const void *data, size_t size, size_t offset);
void region_read(void *data, size_t size, size_t offset);
void region_clear(void);

/* A whole file of debugfs; the caller frees it.  Dies if it cannot be read. */
char *debugfs_read(const char *name, size_t *size);

/* A line on the console of the emulated host: how far a long test has come. */
void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the kernel said since the last call that has TEXT in it: lines. */
unsigned int kernel_said(const char *text);

/* By jiffies, by which the module looks at VMs: an emulated host may lose ticks. */
void sleep_jiffies(unsigned int seconds);

/* How many descriptors the process has. */
unsigned int descriptors_open(void);

#endif /* KCH_TESTS_DEVICE_H */
