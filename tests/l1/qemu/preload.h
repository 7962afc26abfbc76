/* SPDX-License-Identifier: GPL-2.0 */
/* A library that is preloaded to QEMU, and stands before libc's ioctl(). */
#ifndef KCH_QEMU_PRELOAD_H
#define KCH_QEMU_PRELOAD_H

#include <stdint.h>

extern int (*real_ioctl)(int fd, unsigned long request, ...);

/* The library's own: what QEMU's call is to do. */
int qemu_ioctl(int fd, uint32_t request, void *arg);

#endif /* KCH_QEMU_PRELOAD_H */
