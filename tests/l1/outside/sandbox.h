/* SPDX-License-Identifier: GPL-2.0 */
/* What a VMM that is confined gives up, in the manner of Firecracker's jailer. */
#ifndef KCH_OUTSIDE_SANDBOX_H
#define KCH_OUTSIDE_SANDBOX_H

#include <stdbool.h>

/*
 * Root becomes nobody, without capability, in user, mount, network, PID, IPC and UTS
 * namespaces of its own unless @namespaces is false, with @dir as its root directory, in
 * which dev/kvm is made.
 * Returns in the process that is the first of its PID namespace; the caller prints
 * "pid=", waits for that, and ends with its status.
 */
void sandbox_enter(const char *dir, bool namespaces);

/*
 * From now on only the system calls, and the ioctls of KVM, that such a VMM needs when its
 * files are open; any other kills it.  KVM_SET_DEVICE_ATTR, which could set a TSC
 * offset, only if @may_set_offset.
 */
void sandbox_filter(bool may_set_offset);

#endif /* KCH_OUTSIDE_SANDBOX_H */
