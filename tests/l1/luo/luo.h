/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of kch-luo need of each other. */
#ifndef KCH_LUO_TEST_H
#define KCH_LUO_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

__attribute__((__noreturn__, __format__(printf, 1, 2)))
void die(const char *format, ...);

/* vm.c: starts kch-vmm, whose report then is in @report; its exit status. */
int vm_start(char *const arguments[], const char *report, pid_t *pid);
/* Ends it, and waits until it is gone. */
void vm_end(pid_t pid);
/* The clock's descriptor of the VM that process has. */
int vm_clock_fd(pid_t pid, const uint8_t uuid[16]);

/* forge.c: changes the record of that VM in preserved memory. */
void forge(const char *what, const uint8_t uuid[16]);

#endif /* KCH_LUO_TEST_H */
