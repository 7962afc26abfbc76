/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a VM is called when nobody said: neither with --id, nor when it was saved
 * or restored (then the module knows it, and says so).
 *
 * 1. QEMU's -uuid, for the first VM of a process that has one on its command
 *    line.  It is the same after the kexec.
 * 2. Otherwise, if QEMU's -name is there: a UUID made of
 *    "kvmclock-handover:name:NAME".  It is the same after the kexec too.
 * 3. Otherwise: a UUID made of
 *    "kvmclock-handover:process:BOOT_ID:PID:STARTTIME", the last from
 *    /proc/PID/stat.  It is the same until the kexec; after it the VM must be
 *    named with --id.
 *
 * For the second and further VMs of a process ":N" is appended to the text of
 * 2 and 3 (N is 1, 2...; in the order of their file descriptors).
 *
 * "A UUID made of" a text: its 128-bit FNV-1a hash in big-endian order, with
 * version 8 and variant 2 put in as RFC 9562 says.
 */
#ifndef KCH_CLI_IDENTITY_H
#define KCH_CLI_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>
#include <kvmclock-handover.h>

/*
 * @lasting: it is the same after the kexec.  Negative errno: what its process is called cannot
 * be read, so that its id would be another VM's.
 */
int identity_of(pid_t pid, unsigned int ordinal, uint8_t uuid[KCH_UUID_SIZE],
		char name[KCH_NAME_SIZE], bool *lasting);

#endif /* KCH_CLI_IDENTITY_H */
