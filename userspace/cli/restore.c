// SPDX-License-Identifier: GPL-2.0
/*
 * kvmclockctl restore and import: give a stopped VM its saved clock, or one that another host
 * exported, from outside, and hold it.
 */
#include <errno.h>
#include <fcntl.h>
#include <kvmclock-handover-stock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <syslog.h>
#include <unistd.h>
#include "blackout.h"
#include "commands.h"
#include "live.h"
#include "policy.h"
#include "vmclock.h"

/* Long enough for any VMM that is told to resume by the next line of a script. */
#define HOLD_S_DEFAULT	60
#define HOLD_S_MAX	(KCH_HOLD_MS_MAX / 1000)

#define UNCHANGED	"guest clock not changed"
#define AS_ITS_VMM	"the guest's clock is as its VMM left it"

static const char *why(const struct kch_restore *result, int err)
{
	return result->message[0] ? result->message : strerror(-err);
}

static int refused(struct tool *tool, const struct live_vm *vm, int err,
		   const struct kch_restore *result, const char *consequence)
{
	const char *message = why(result, err);
	/* There was a VM, and it is gone: not the same as that there is none. */
	int code = err == -ESRCH ? EXIT_REFUSED : exit_code(err);

	/* The module may have said so itself. */
	if (strstr(message, "its VMM left it") || strstr(message, "counts as given back"))
		return complain_code(tool, code, live_label(vm), err, "%s", message);
	return complain_code(tool, code, live_label(vm), err, "%s; %s", message, consequence);
}

/* What is restored, and by which descriptor: the device, or an exported clock's. */
struct job {
	struct kch_restore restore;
	int device;
	/* The VM's vmclock page, and where it was kept; NULL: it is left alone. */
	const char *vmclock_folder;
	struct vmclock vmclock;
	/* Of an import: the bytes, and what came of them. */
	const char *bytes;
	size_t size;
	struct kch_restore_opts opts;
	struct kch_restore_result imported;
};

static void add_imported(struct json_object *out, const struct kch_restore_result *imported)
{
	output_u64(out, "elapsed_ns", imported->elapsed_ns);
	if (imported->wall_bound_ns != UINT64_MAX)
		output_u64(out, "wall_bound_ns", imported->wall_bound_ns);
	output_bool(out, "by_tai", imported->by_tai);
}

static void add_result(struct json_object *out, const struct live_vm *vm, bool held,
		       const struct job *job)
{
	const struct kch_restore *result = &job->restore;
	const bool checked = result->flags & KCH_RESTORE_CHECK;
	const struct kch_outcome *outcome = &result->outcome;
	char policy[KCH_POLICY_TEXT_SIZE];

	output_uuid(out, "uuid", result->uuid);
	output_string(out, "name", vm->name);
	output_number(out, "pid", vm->pid);
	output_string(out, "result", checked ? "restorable" : held ? "held" : "restored");
	if (job->bytes)
		add_imported(out, &job->imported);
	/* Of a hold that has only begun, all the following is still to come. */
	if (held)
		return;
	if (!checked) {
		output_string(out, "mode", kch_mode_name(outcome->mode));
		output_s64(out, "error_ns", outcome->error_ns);
		output_s64(out, "error_cycles", outcome->error_cycles);
		output_s64(out, "error_rate_ppb", outcome->error_rate_ppb);
		output_u64(out, "host_tsc", outcome->host_tsc);
	}
	output_u64(out, "rebase_bound_ns", outcome->rebase_bound_ns);
	output_u64(out, "blackout_ns", outcome->blackout_ns);
	kch_policy_text(job->bytes ? job->imported.policy : result->policy,
			job->bytes ? job->imported.limit_ms : result->limit_ms, policy);
	output_string(out, "policy", policy);
	output_u64(out, "hidden_ns", job->bytes ? job->imported.hidden_ns : result->hidden_ns);
}

/*
 * The id of a VM's saved clock: as it was given, or as save gives ids; or that of the only
 * saved clock with the VM's name, which somebody saved under an id of their own.
 */
static void choose_id(struct tool *tool, const struct vm_choice *choice,
		      const struct live_vm *vm, uint8_t uuid[KCH_UUID_SIZE])
{
	struct kch_entry *entries = NULL, *named = NULL;
	bool is_there = false, is_one = true;
	uint32_t count = 0, i;

	memcpy(uuid, choice->has_id ? choice->id : vm->uuid, KCH_UUID_SIZE);
	if (choice->has_id || !vm->name[0] ||
	    kch_list(tool->handle, KCH_INCOMING, sizeof(*entries), &entries, &count))
		return;
	for (i = 0; i < count; i++) {
		if (entries[i].flags & KCH_ENTRY_DAMAGED)
			continue;
		if (!memcmp(entries[i].uuid, uuid, KCH_UUID_SIZE))
			is_there = true;
		if (strncmp(entries[i].name, vm->name, sizeof(entries[i].name)))
			continue;
		is_one = !named;
		named = &entries[i];
	}
	if (!is_there && named && is_one)
		memcpy(uuid, named->uuid, KCH_UUID_SIZE);
	free(entries);
}

/* With all the VM's vCPUs in this process's table, where the module takes them from. */
static int ask_module(struct job *job, const struct live_vm *vm)
{
	struct kch_restore *result = &job->restore;
	struct live_vcpus vcpus;
	int err;

	result->vm_fd = vm->fd;
	err = live_take_vcpus(vm, &vcpus, result->message, sizeof(result->message));
	if (!err && ioctl(job->device, KCH_IOC_RESTORE, result))
		err = -errno;
	live_close_vcpus(&vcpus);
	return err;
}

/* Until the hold has ended; 0 or the errno (negative), as @result says. */
static int wait_for_end(struct job *job)
{
	struct kch_restore *result = &job->restore, wait;
	int err;

	do {
		wait = (struct kch_restore){ .size = sizeof(wait) };
		err = ioctl(job->device, KCH_IOC_WAIT, &wait) ? -errno : 0;
	} while (err == -EINTR);
	memcpy(wait.uuid, result->uuid, sizeof(wait.uuid));
	*result = wait;
	return err;
}

static void log_outcome(struct tool *tool, const struct live_vm *vm, struct job *job,
			unsigned int hold_s)
{
	struct kch_restore *result = &job->restore;
	const struct kch_outcome *outcome = &result->outcome;
	const char *label = printable(live_label(vm));
	int err;

	openlog("kvmclockctl", LOG_PID, LOG_DAEMON);
	syslog(LOG_INFO, "%s is held until its VMM resumes it, %u s at most", label, hold_s);
	err = wait_for_end(job);
	if (err) {
		vmclock_tell(tool, &job->vmclock, 0);
		syslog(LOG_ERR, "%s: %s (%s); " AS_ITS_VMM, label,
		       printable(why(result, err)), strerrorname_np(-err));
		return;
	}
	blackout_note(result->uuid, outcome->blackout_ns);
	syslog(LOG_INFO, "%s: clock restored: %s, %lld ns, %lld cycles, %lld ppb", label,
	       kch_mode_name(outcome->mode), (long long)outcome->error_ns,
	       (long long)outcome->error_cycles, (long long)outcome->error_rate_ppb);
	if (!result->hidden_ns)
		return;
	syslog(LOG_INFO, "%s: %llu ns of the time that passed are hidden from it", label,
	       (unsigned long long)result->hidden_ns);
	vmclock_tell(tool, &job->vmclock, result->hidden_ns);
}

/*
 * Leaves that to a process in the background, which has no file of the caller's open, and
 * says in the system's log what came of it.
 */
static int wait_in_background(struct tool *tool, const struct live_vm *vm, struct job *job,
			      unsigned int hold_s)
{
	const int last = STDERR_FILENO + 1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Not where the standard files are to be. */
	int device = null < 0 ? -1 : fcntl(job->device, F_DUPFD_CLOEXEC, last);
	pid_t pid = device < 0 ? -1 : fork();

	if (pid < 0)
		return complain(tool, NULL, -errno, "%s; " AS_ITS_VMM, strerror(errno));
	if (pid) {
		output_number(tool->out.document, "holder", pid);
		return EXIT_DONE;
	}
	setsid();
	/* A script waits for the end of what it reads, or for a lock; a terminal may go. */
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0 || dup2(device, last) < 0 ||
	    close_range((unsigned int)last + 1, ~0U, 0) || chdir("/"))
		_exit(EXIT_FAILED);
	job->device = last;
	log_outcome(tool, vm, job, hold_s);
	_exit(EXIT_DONE);
}

/* The exported clock becomes one of this host, with a descriptor of its own. */
static int import_bytes(struct tool *tool, const struct live_vm *vm, struct job *job)
{
	struct kch_vm_info info = { .sz = sizeof(info) };
	struct kch_restore *result = &job->restore;
	struct kch_vm *saved = NULL;
	int err;

	job->imported.sz = sizeof(job->imported);
	err = kch_stock_vm(tool->handle, job->bytes, job->size, &saved);
	if (!err)
		err = kch_vm_info(saved, &info);
	memcpy(result->uuid, info.uuid, sizeof(result->uuid));
	kch_vm_free(saved);
	if (!err)
		err = kch_import_fd(tool->handle, vm->fd, job->bytes, job->size, &job->opts,
				    &job->imported);
	job->device = err;
	if (err >= 0)
		return 0;
	snprintf(result->message, sizeof(result->message), "%.*s", KCH_MESSAGE_SIZE - 1,
		 kch_last_message(tool->handle));
	return err;
}

static int restore(struct tool *tool, const struct vm_choice *choice, struct job *job,
		   unsigned int hold_s, bool wait)
{
	struct kch_restore *result = &job->restore;
	bool held = hold_s && !(result->flags & KCH_RESTORE_CHECK);
	struct live_vm *chosen, vm = {};
	const char *page = NULL;
	struct live_vms live;
	int code, err = 0;

	live_find(tool, choice->pid, &live);
	chosen = live_choose(tool, choice, &live, &code);
	if (chosen) {
		vm = *chosen;
		if (job->bytes)
			err = import_bytes(tool, &vm, job);
		else
			choose_id(tool, choice, &vm, result->uuid);
		if (job->vmclock_folder && !(result->flags & KCH_RESTORE_CHECK))
			vmclock_find(tool, &vm, result->uuid, job->vmclock_folder,
				     &job->vmclock);
		err = err ? err : ask_module(job, &vm);
	}
	/* A descriptor kept would keep the VM. */
	live_close(&live);
	if (!chosen)
		return code;
	if (err)
		return refused(tool, &vm, err, result, UNCHANGED);
	/* Held or not, the guest does not run yet. */
	if ((held || !result->hidden_ns) && vmclock_put_back(tool, &job->vmclock))
		page = "put back";
	if (held && wait) {
		err = wait_for_end(job);
		if (err) {
			vmclock_tell(tool, &job->vmclock, 0);
			return refused(tool, &vm, err, result, AS_ITS_VMM);
		}
		held = false;
	}
	if (!held && result->hidden_ns && vmclock_tell(tool, &job->vmclock, result->hidden_ns))
		page = "told";
	if (page)
		output_string(tool->out.document, "vmclock", page);
	add_result(tool->out.document, &vm, held, job);
	if (held)
		return wait_in_background(tool, &vm, job, hold_s);
	if (!(result->flags & KCH_RESTORE_CHECK))
		blackout_note(result->uuid, result->outcome.blackout_ns);
	return EXIT_DONE;
}

/* A policy by its name, if one is given. */
static int take_policy(struct tool *tool, const char *text, uint32_t *policy, uint32_t *limit_ms)
{
	uint32_t goes_on_ms;

	if (!text)
		return 0;
	if (kch_policy_parse(text, &goes_on_ms))
		return bad_usage(tool,
				 "not continue, hide or limit:TIME, as in limit:10s or limit:500ms: %s",
				 text);
	kch_policy_of(goes_on_ms, policy, limit_ms);
	return 0;
}

#define OPTION_ROW_HOLD(hold_s) \
	{ "hold", "[=SECONDS]", "hold it until its VMM resumes it, and set its clock then; 60 s", \
	  OPTION_NUMBER, hold_s, HOLD_S_DEFAULT, 1, HOLD_S_MAX }
#define OPTION_ROW_WAIT(wait) \
	{ "wait", NULL, "with --hold: stay in the foreground until that has ended", \
	  OPTION_SET, wait, 1 }
#define OPTION_ROW_POLICY(policy) \
	{ "policy", "POLICY", \
	  "of the time that passed: continue, hide, limit:10s (and hide the rest)", \
	  OPTION_TEXT, policy }

int cmd_restore(struct tool *tool, int argc, char **argv)
{
	struct job job = { .restore.size = sizeof(job.restore),
			   .restore.mode = KCH_MODE_IDENTICAL };
	struct kch_restore *result = &job.restore;
	struct vm_choice choice = VM_CHOICE_NONE;
	int hold_s = 0, wait = 0, blackout_ms_max = 0, code;
	const char *policy = NULL;
	const struct option_row options[] = {
		OPTION_ROW_PID(&choice),
		OPTION_ROW_FD(&choice),
		OPTION_ROW_ID(&choice, "the VM of this id; with --pid: the id it was saved under"),
		OPTION_ROW_HOLD(&hold_s),
		OPTION_ROW_WAIT(&wait),
		{ "check", NULL, "check everything, write nothing", OPTION_BIT, &result->flags,
		  KCH_RESTORE_CHECK },
		{ "unsealed", NULL, "take a record that the kernel did not seal", OPTION_BIT,
		  &result->flags, KCH_RESTORE_UNSEALED },
		{ "any-wall", NULL, "do not judge the TSC by the wall clock, which was stepped",
		  OPTION_BIT, &result->flags, KCH_RESTORE_ANY_WALL },
		{ "stale", NULL, "take a clock that may not be the last that the VM had",
		  OPTION_BIT, &result->flags, KCH_RESTORE_STALE },
		{ "old", NULL, "take a record of an earlier kernel than the last one", OPTION_BIT,
		  &result->flags, KCH_RESTORE_OLD },
		{ "vmclock", "[=DIR]", "put back its vmclock page, kept in DIR; " VMCLOCK_FOLDER,
		  OPTION_TEXT, &job.vmclock_folder, .otherwise = VMCLOCK_FOLDER },
		{ "max-blackout", "MS", "refuse if more time has passed since the clock was read last",
		  OPTION_NUMBER, &blackout_ms_max, 0, 1, INT_MAX },
		OPTION_ROW_POLICY(&policy),
		{}
	};

	code = options_parse(tool, argc, argv, "--pid PID | --id UUID", options, NULL, NULL);
	if (!code && wait && !hold_s)
		code = bad_usage(tool, "--wait needs --hold");
	code = code ? code : take_policy(tool, policy, &result->policy, &result->limit_ms);
	code = code ? code : tool_open(tool);
	if (code)
		return code;
	if (hold_s)
		result->flags |= KCH_RESTORE_HOLD;
	job.device = kch_fd(tool->handle);
	result->blackout_ms_max = (unsigned int)blackout_ms_max;
	result->hold_ms = (unsigned int)hold_s * 1000;
	return restore(tool, &choice, &job, (unsigned int)hold_s, wait);
}

int cmd_import(struct tool *tool, int argc, char **argv)
{
	struct job job = { .restore.size = sizeof(job.restore),
			   .restore.mode = KCH_MODE_IDENTICAL,
			   .restore.policy = KCH_POLICY_CONTINUE, .opts.sz = sizeof(job.opts) };
	const char *policy = NULL, *path = NULL;
	struct vm_choice choice = VM_CHOICE_NONE;
	int hold_s = 0, wait = 0, code;
	const struct option_row options[] = {
		OPTION_ROW_PID(&choice),
		OPTION_ROW_FD(&choice),
		OPTION_ROW_ID(&choice, "the VM of this id"),
		OPTION_ROW_HOLD(&hold_s),
		OPTION_ROW_WAIT(&wait),
		{ "check", NULL, "check everything, write nothing", OPTION_BIT, &job.restore.flags,
		  KCH_RESTORE_CHECK },
		{ "any-wall", NULL, "take wall clocks that are not synchronised", OPTION_BIT,
		  &job.opts.flags, KCH_RESTORE_ANY_WALL },
		OPTION_ROW_POLICY(&policy),
		{}
	};

	code = options_parse(tool, argc, argv, "--pid PID | --id UUID FILE", options, NULL, &path);
	if (!code && wait && !hold_s)
		code = bad_usage(tool, "--wait needs --hold");
	code = code ? code : take_policy(tool, policy, &job.opts.policy, &job.opts.limit_ms);
	code = code ? code : tool_open(tool);
	if (code)
		return code;
	job.bytes = read_file(path, KCH_RECORD_BYTES_MAX, &job.size);
	if (!job.bytes)
		return complain_code(tool, EXIT_FAILED, path, -errno, "%s", strerror(errno));
	if (hold_s)
		job.restore.flags |= KCH_RESTORE_HOLD;
	job.restore.hold_ms = (unsigned int)hold_s * 1000;
	return restore(tool, &choice, &job, (unsigned int)hold_s, wait);
}
