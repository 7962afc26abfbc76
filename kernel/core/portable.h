/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the other files of this folder take from their surroundings: the kernel, or
 * the C library.  The same files are part of the module, the library, the tool, the
 * tests and the fuzzer.
 */
#ifndef KCH_PORTABLE_H
#define KCH_PORTABLE_H

#ifdef __KERNEL__

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/stdarg.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/byteorder.h>
#include "kch_probed.h"

/*
 * Where there are two, the plain function, which is part of the kernel: crc32c()
 * is then in a module of its own, and loading that takes longer than a record's
 * checksum ever does.
 */
#ifdef KCH_HAVE_CRC32C_LE
#include <linux/crc32.h>

static inline u32 kch_crc32c(u32 crc, const void *data, size_t size)
{
	return __crc32c_le(crc, data, size);
}
#else
#include <linux/crc32c.h>

static inline u32 kch_crc32c(u32 crc, const void *data, size_t size)
{
	return crc32c(crc, data, size);
}
#endif

#define kch_mul_div(a, b, c)	mul_u64_u64_div_u64(a, b, c)

#else /* user space */

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/types.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int32_t s32;
typedef int64_t s64;

#ifndef U64_MAX
#define U64_MAX		UINT64_MAX
#define S64_MAX		INT64_MAX
#define S64_MIN		INT64_MIN
#endif

#define cpu_to_le16(x)	htole16(x)
#define cpu_to_le32(x)	htole32(x)
#define cpu_to_le64(x)	htole64(x)
#define le16_to_cpu(x)	le16toh(x)
#define le32_to_cpu(x)	le32toh(x)
#define le64_to_cpu(x)	le64toh(x)

/* A writer and a reader of the region are never on two CPUs in user space. */
#define wmb()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define READ_ONCE(x)	(*(volatile __typeof__(x) *)&(x))

#ifndef __printf
#define __printf(a, b)	__attribute__((format(printf, a, b)))
#endif

/*
 * CRC32C, four bits at a time: @table has what the polynomial, 0x82f63b78 when its bits
 * are reflected, leaves of each value that four shifts push out.  Neither the initial nor
 * the final inversion is done here, as in the kernel's function.
 */
static inline u32 kch_crc32c(u32 crc, const void *data, size_t size)
{
	static const u32 table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const u8 *byte = data;

	while (size--) {
		crc ^= *byte++;
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return crc;
}

static inline u64 kch_mul_div(u64 a, u64 b, u64 c)
{
	unsigned __int128 quotient = (unsigned __int128)a * b / c;

#ifdef KCH_MUL_DIV_TRAPS
	/* As the kernel does, where it is the CPU's own division. */
	if (quotient >> 64)
		__builtin_trap();
#endif
	return (u64)quotient;
}

#endif /* __KERNEL__ */

#endif /* KCH_PORTABLE_H */
