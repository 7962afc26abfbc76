// SPDX-License-Identifier: GPL-2.0
/*
 * Is the standard input one valid JSON text (RFC 8259), in UTF-8, and nothing
 * else?  Status 0 if so; else 1, with the place of the first fault.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static unsigned char text[1 << 20];
static const unsigned char *at = text;

static bool value(int depth);

static void space(void)
{
	while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
		at++;
}

static bool digits(void)
{
	const unsigned char *start = at;

	while (*at >= '0' && *at <= '9')
		at++;
	return at > start;
}

static bool number(void)
{
	at += *at == '-';
	if (*at == '0')
		at++;
	else if (!digits())
		return false;
	if (*at == '.') {
		at++;
		if (!digits())
			return false;
	}
	if (*at == 'e' || *at == 'E') {
		at++;
		at += *at == '+' || *at == '-';
		return digits();
	}
	return true;
}

static bool utf8(void)
{
	int more = *at < 0x80 ? 0 : *at < 0xc2 ? -1 : *at < 0xe0 ? 1 :
		   *at < 0xf0 ? 2 : *at < 0xf5 ? 3 : -1;

	if (more < 0)
		return false;
	if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
	    (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
		return false;
	for (at++; more; more--, at++)
		if ((*at & 0xc0) != 0x80)
			return false;
	return true;
}

static bool string(void)
{
	if (*at++ != '"')
		return false;
	while (*at != '"') {
		if (*at < 0x20)
			return false;
		if (*at == '\\') {
			if (!at[1] || !strchr("\"\\/bfnrtu", at[1]))
				return false;
			if (at[1] == 'u' &&
			    strspn((const char *)at + 2,
				   "0123456789abcdefABCDEF") < 4)
				return false;
			at += at[1] == 'u' ? 6 : 2;
		} else if (!utf8()) {
			return false;
		}
	}
	at++;
	return true;
}

static bool members(int depth, bool named, char end)
{
	at++;
	space();
	if (*at == end) {
		at++;
		return true;
	}
	while (true) {
		space();
		if (named) {
			if (!string())
				return false;
			space();
			if (*at++ != ':')
				return false;
		}
		if (!value(depth + 1))
			return false;
		if (*at == end) {
			at++;
			return true;
		}
		if (*at++ != ',')
			return false;
	}
}

static bool word(const char *expected)
{
	if (strncmp((const char *)at, expected, strlen(expected)))
		return false;
	at += strlen(expected);
	return true;
}

static bool value(int depth)
{
	bool ok;

	if (depth > 32)
		return false;
	space();
	switch (*at) {
	case '{':
		ok = members(depth, true, '}');
		break;
	case '[':
		ok = members(depth, false, ']');
		break;
	case '"':
		ok = string();
		break;
	case 't':
		ok = word("true");
		break;
	case 'f':
		ok = word("false");
		break;
	case 'n':
		ok = word("null");
		break;
	default:
		ok = number();
	}
	space();
	return ok;
}

int main(void)
{
	size_t size = fread(text, 1, sizeof(text) - 1, stdin);

	if (value(0) && at == text + size)
		return 0;
	printf("not valid JSON at byte %zu: %.40s\n", (size_t)(at - text), at);
	return 1;
}
