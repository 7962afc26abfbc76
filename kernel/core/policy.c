// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What of the time that passed a guest's clocks go on by: its name, and what is hidden. */
#include "policy.h"

#define LIMIT		"limit:"
#define NS_PER_MS	1000000ULL

int kch_policy_ms(u32 policy, u32 limit_ms, u32 otherwise_ms, u32 *goes_on_ms,
		  struct kch_message *message)
{
	bool limit = policy == KCH_POLICY_LIMIT;

	if (policy > KCH_POLICY_LIMIT) {
		kch_say(message, "policy %u, there are %u to %u", policy, KCH_POLICY_DEFAULT,
			KCH_POLICY_LIMIT);
		return -EINVAL;
	}
	if (limit ? !limit_ms || limit_ms == KCH_GOES_ON : limit_ms) {
		kch_say(message, "limit_ms is %u, expected %s", limit_ms,
			limit ? "1 to 4294967294" : "0 without KCH_POLICY_LIMIT");
		return -EINVAL;
	}
	*goes_on_ms = limit ? limit_ms :
		      policy == KCH_POLICY_HIDE ? 0 :
		      policy == KCH_POLICY_CONTINUE ? KCH_GOES_ON : otherwise_ms;
	return 0;
}

int kch_policy_allowed(u32 goes_on_ms, const struct kch_rec_header *header,
		       const struct kch_rec_vm *entry, struct kch_message *message)
{
	const char *why = entry->used ? "it was given back already" :
			  le32_to_cpu(entry->flags) & KCH_VM_STALE ? "stale" :
			  le32_to_cpu(header->flags) & KCH_REC_SEALED ? NULL : "not sealed";

	if (goes_on_ms == KCH_GOES_ON || !why)
		return 0;
	kch_say(message, "time is to be hidden from the guest, but what is saved may not be its last clock (%s): its clocks would be put back",
		why);
	return -EBADRQC;
}

void kch_policy_of(u32 goes_on_ms, u32 *policy, u32 *limit_ms)
{
	*policy = goes_on_ms == KCH_GOES_ON ? KCH_POLICY_CONTINUE :
		  goes_on_ms ? KCH_POLICY_LIMIT : KCH_POLICY_HIDE;
	*limit_ms = *policy == KCH_POLICY_LIMIT ? goes_on_ms : 0;
}

/* The ms of what @text names; 0: no unit. */
static u32 unit_ms(const char *text)
{
	static const struct {
		const char *name;
		u32 ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "", 0 } };
	int i;

	for (i = 0; units[i].ms && strcmp(text, units[i].name); i++)
		;
	return units[i].ms;
}

int kch_policy_parse(const char *text, u32 *goes_on_ms)
{
	u64 number = 0;

	*goes_on_ms = strcmp(text, "hide") ? KCH_GOES_ON : 0;
	if (!*goes_on_ms || !strcmp(text, "continue"))
		return 0;
	if (strncmp(text, LIMIT, strlen(LIMIT)))
		return -EINVAL;
	for (text += strlen(LIMIT); *text >= '0' && *text <= '9' && number < KCH_GOES_ON; text++)
		number = number * 10 + (u64)(*text - '0');
	number *= unit_ms(text);
	if (!number || number >= KCH_GOES_ON)
		return -EINVAL;
	*goes_on_ms = (u32)number;
	return 0;
}

void kch_policy_text(u32 policy, u32 limit_ms, char text[KCH_POLICY_TEXT_SIZE])
{
	bool seconds = !(limit_ms % 1000);

	if (policy == KCH_POLICY_LIMIT)
		snprintf(text, KCH_POLICY_TEXT_SIZE, LIMIT "%u%s",
			 seconds ? limit_ms / 1000 : limit_ms, seconds ? "s" : "ms");
	else
		snprintf(text, KCH_POLICY_TEXT_SIZE, "%s",
			 policy == KCH_POLICY_HIDE ? "hide" : "continue");
}

u64 kch_policy_hidden_cycles(u32 goes_on_ms, u64 passed_cycles, u32 khz)
{
	/* kHz are cycles per ms. */
	u64 goes_on_cycles = (u64)goes_on_ms * khz;

	return goes_on_ms == KCH_GOES_ON || passed_cycles <= goes_on_cycles ? 0 :
	       passed_cycles - goes_on_cycles;
}

u64 kch_policy_hidden_ns(u32 goes_on_ms, u64 passed_ns)
{
	u64 goes_on_ns = goes_on_ms * NS_PER_MS;

	return goes_on_ms == KCH_GOES_ON || passed_ns <= goes_on_ns ? 0 : passed_ns - goes_on_ns;
}
