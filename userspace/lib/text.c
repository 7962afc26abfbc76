// SPDX-License-Identifier: LGPL-2.1-or-later
/* UUIDs and modes as text. */
#include "handle.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int kch_uuid_parse(const char *text, uint8_t uuid[KCH_UUID_SIZE])
{
	bool hyphens = strlen(text) == KCH_UUID_TEXT_SIZE - 1;
	uint8_t bytes[KCH_UUID_SIZE] = {}, any = 0;
	size_t i;

	for (i = 0; i < 2 * KCH_UUID_SIZE; i++) {
		int digit;

		if (hyphens && (i == 8 || i == 12 || i == 16 || i == 20) && *text++ != '-')
			return kch_error(-EINVAL);
		digit = hex_digit(*text++);
		if (digit < 0)
			return kch_error(-EINVAL);
		bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | digit);
		any |= bytes[i / 2];
	}
	if (*text || !any)
		return kch_error(-EINVAL);
	memcpy(uuid, bytes, sizeof(bytes));
	return 0;
}

void kch_uuid_format(const uint8_t uuid[KCH_UUID_SIZE], char text[KCH_UUID_TEXT_SIZE])
{
	size_t i;

	for (i = 0; i < KCH_UUID_SIZE; i++)
		text += sprintf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				uuid[i]);
}

const char *kch_mode_name(uint32_t mode)
{
	static const char *const names[] = {
		[KCH_MODE_NONE] = "none",
		[KCH_MODE_REALTIME] = "realtime",
		[KCH_MODE_CONTINUOUS] = "continuous",
		[KCH_MODE_CONVERGED] = "converged",
		[KCH_MODE_IDENTICAL] = "identical",
	};

	return mode <= KCH_MODE_IDENTICAL && names[mode] ? names[mode] : "unknown";
}
