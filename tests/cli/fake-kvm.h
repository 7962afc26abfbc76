/* SPDX-License-Identifier: GPL-2.0 */
/* What fake.c and fake-kvm.c have of each other. */
#ifndef KCH_TESTS_CLI_FAKE_KVM_H
#define KCH_TESTS_CLI_FAKE_KVM_H

#include "record.h"

/* Not for the tool that fake.so is loaded to. */
#pragma GCC visibility push(hidden)

int fake_vm_ioctl(unsigned long request, void *arg);
int fake_vcpu_ioctl(unsigned int index, unsigned long request, void *arg);

/* A word of the log. */
__printf(1, 2)
void note(const char *format, ...);

/* -1 with that errno, and the text in @message if that is not NULL. */
int fail(int err, char *message, const char *text);

#pragma GCC visibility pop

#endif /* KCH_TESTS_CLI_FAKE_KVM_H */
