// SPDX-License-Identifier: GPL-2.0
/*
 * ISA-L's CRC32C for the static tool, where Debian has no libisal.a.  One bit
 * at a time: a record of a hundred vCPUs takes well under a millisecond.
 */
#include <isa-l/crc.h>

#define CRC32C_POLYNOMIAL_REVERSED	0x82f63b78U

unsigned int crc32_iscsi(unsigned char *buffer, int len, unsigned int init_crc)
{
	unsigned int crc = init_crc;
	int i, bit;

	for (i = 0; i < len; i++) {
		crc ^= buffer[i];
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL_REVERSED : 0);
	}
	return crc;
}
