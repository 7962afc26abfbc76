// SPDX-License-Identifier: LGPL-2.1-or-later
/* Structures that grow: their first member is the size the caller knows. */
#include "internal.h"

int kch_options(const void *from, size_t min, void *to, size_t size)
{
	const uint8_t *bytes = from;
	size_t from_size, i;

	memset(to, 0, size);
	if (!from)
		return 0;
	memcpy(&from_size, from, sizeof(from_size));
	if (from_size < min)
		return kch_error(-EINVAL);
	for (i = size; i < from_size; i++)
		if (bytes[i])
			return kch_error(-E2BIG);
	memcpy(to, from, from_size < size ? from_size : size);
	return 0;
}

int kch_output(void *to, size_t min, const void *from, size_t size)
{
	size_t to_size;

	memcpy(&to_size, to, sizeof(to_size));
	if (to_size < min)
		return kch_error(-EINVAL);
	memset(to, 0, to_size);
	memcpy(to, from, to_size < size ? to_size : size);
	memcpy(to, &to_size, sizeof(to_size));
	return 0;
}
