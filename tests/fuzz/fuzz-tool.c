// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target: whatever a dump, a saved clock, a command line or a process's words are, the
 * tool and the library read them to the end, within their bounds, and the tool ends with one
 * of its exit codes.
 */
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <kvmclock-handover-stock.h>

#include "cli/commands.h"
#include "cli/identity.h"
#include "cli/live.h"
#include "cli/tool.h"
#include "fuzz.h"
#include "seal.h"
#include "slots.h"
#include "track.h"

#define WORDS_MAX	32

/* A promise was broken: the fuzzer takes an abort as a find. */
#define promise(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition); \
		abort(); \
	} \
} while (0)

/* What any file has in it that is read now. */
static const char *file;
static size_t file_size;
static struct kch_info host;
/* Only kexec-args has one; of the other commands only their options are read. */
static bool has_device;

char *__wrap_read_file(const char *path, size_t max, size_t *size);
char *__wrap_read_file(const char *path, size_t max, size_t *size)
{
	char *data;

	if (!path || file_size > max)
		return NULL;
	/* Its end is where memory ends. */
	data = track_calloc(1, file_size + 1);
	memcpy(data, file, file_size);
	if (size)
		*size = file_size;
	return data;
}

int __wrap_tool_open(struct tool *tool);
int __wrap_tool_open(struct tool *tool)
{
	(void)tool;
	return has_device ? EXIT_DONE : EXIT_FAILED;
}

int __wrap_kch_info(struct kch_handle *handle, struct kch_info *info);
int __wrap_kch_info(struct kch_handle *handle, struct kch_info *info)
{
	(void)handle;
	*info = host;
	return 0;
}

void __wrap_live_find(struct tool *tool, pid_t pid, struct live_vms *live);
void __wrap_live_find(struct tool *tool, pid_t pid, struct live_vms *live)
{
	(void)tool;
	(void)pid;
	*live = (struct live_vms){ };
}

static int run(int (*fn)(struct tool *tool, int argc, char **argv), int argc, char **argv)
{
	struct tool tool = { .command = argv[0], .description = "fuzz" };
	unsigned int i;
	int code;

	optind = 0;
	output_begin(&tool.out);
	for (i = 1; i < (unsigned int)argc; i++)
		tool.out.json |= !strcmp(argv[i], "--json");
	code = fn(&tool, argc, argv);
	promise(code >= -1 && code <= EXIT_MISSING);
	output_end(&tool.out);
	/* As text it is left to the end of the program. */
	for (i = 0; !tool.out.json && i < tool.out.table_count; i++)
		json_object_put(tool.out.tables[i].rows);
	if (!tool.out.json)
		json_object_put(tool.out.errors);
	track_free_all();
	return code;
}

static void decode(enum tool_part part, const uint8_t *data, size_t size)
{
	char number[16];
	char *argv[] = { "decode", "dump", NULL, NULL, NULL };
	int argc = 2;

	if (part == TOOL_DECODE_JSON) {
		argv[argc++] = "--json";
	} else if (part == TOOL_DECODE_RECORD) {
		argv[argc++] = "--record";
	} else if (part == TOOL_DECODE_SIZE) {
		snprintf(number, sizeof(number), "%zu", size ? data[0] * (size_t)257 : 0);
		argv[argc++] = "--size";
		argv[argc++] = number;
	}
	run(cmd_decode, argc, argv);
}

static void stock(const void *data, size_t size)
{
	struct kch_restore_result result = { .sz = sizeof(result) };
	struct kch_handle *handle = kch_open_stock();
	struct kch_vm *vm = NULL;
	int err;

	promise(handle);
	err = kch_stock_vm(handle, data, size, &vm);
	promise(!err == !!vm);
	promise(!err || kch_last_message(handle)[0]);
	kch_vm_free(vm);
	/* Of another machine, most likely; and the VM is none. */
	if (!err)
		promise(kch_stock_restore(handle, -1, NULL, 0, data, size, NULL, &result));
	kch_close(handle);
}

/* Words that end with NUL; the last one, too. */
static void options(uint8_t command, char *words, size_t size)
{
	static int (*const commands[])(struct tool *tool, int argc, char **argv) = {
		cmd_decode, cmd_restore, cmd_save, cmd_list, cmd_verify, cmd_kexec_args, cmd_show,
		cmd_status, cmd_unsave, cmd_finish,
	};
	const size_t count = sizeof(commands) / sizeof(commands[0]);
	char *argv[WORDS_MAX + 2] = { "command" };
	size_t at;
	int argc;

	for (at = 0, argc = 1; at < size && argc < WORDS_MAX; at += strlen(words + at) + 1)
		argv[argc++] = words + at;
	has_device = false;
	run(commands[command % count], argc, argv);
}

static void kexec_args(const char *line, size_t size)
{
	static char *const ways[] = { "--append", "--shell", "--grub", "--json" };
	char *argv[] = { "kexec-args", "--cmdline", (char *)line, NULL, NULL, NULL };
	int argc = 3;

	memset(&host, 0, sizeof(host));
	if (size < 2)
		return;
	host.backend = (uint8_t)line[0];
	host.tsc_source = KCH_TSC_SETTLED;
	host.tsc_khz = 2600000;
	host.region_start = 0x30000000;
	host.region_size = 1U << (line[1] >> 2 & 31);
	has_device = true;
	argv[2] += 2;
	argv[argc++] = ways[line[1] & 3];
	run(cmd_kexec_args, argc, argv);
}

static void identity(void)
{
	uint8_t uuid[KCH_UUID_SIZE];
	char name[KCH_NAME_SIZE];
	bool lasting;

	memset(name, 'x', sizeof(name));
	promise(identity_of(1, file_size & 1, uuid, name, &lasting) <= 0);
	promise(memchr(name, '\0', sizeof(name)));
	track_free_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char bytes[INPUT_MAX + 1] __attribute__((aligned(64)));
	uint8_t take;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	take = data[1];
	/* What is no character of the locale is printed otherwise. */
	setlocale(LC_CTYPE, take & TAKE_UTF8 ? "C.UTF-8" : "C");
	size -= 2;
	memcpy(bytes, data + 2, size);
	bytes[size] = '\0';
	file = bytes;
	file_size = size;
	switch (data[0] % TOOL_PARTS) {
	case TOOL_OPTIONS:
		options(take, bytes, size);
		break;
	case TOOL_KEXEC_ARGS:
		kexec_args(bytes, size);
		break;
	case TOOL_IDENTITY:
		identity();
		break;
	default:
		fuzz_seal((u8 *)bytes, take & TAKE_REGION ? kch_slot_size(size) : size, take);
		if (take & TAKE_REGION && !(take & TAKE_ONE_SLOT_RAW))
			fuzz_seal((u8 *)bytes + kch_slot_size(size), kch_slot_size(size), take);
		if (data[0] % TOOL_PARTS == TOOL_STOCK)
			stock(bytes, size);
		else
			decode(data[0] % TOOL_PARTS, (uint8_t *)bytes, size);
	}
	return 0;
}
