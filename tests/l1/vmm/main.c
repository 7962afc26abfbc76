// SPDX-License-Identifier: GPL-2.0
/*
 * kch-vmm: a test VMM whose guest checks its clocks all the time and lives
 * through a kexec of the host.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy.h"
#include "report.h"
#include "service.h"
#include "session.h"

static const char usage_text[] =
"Usage: kch-vmm run    --mem [FILE@]START,SIZE --uuid UUID [OPTION...]\n"
"       kch-vmm resume --mem [FILE@]START,SIZE --method METHOD [OPTION...]\n"
"       kch-vmm service --uuid UUID [OPTION...]\n"
"\n"
"run makes a VM in that memory (of /dev/mem), lets it run, stops and saves it.\n"
"resume goes on with the VM that was saved there, and saves it again.\n"
"service is one of the two, by whether the service manager's file descriptor store\n"
"has the VM: its memory, a memfd, and its clock go there.\n"
"\n"
"  --mem [FILE@]START,SIZE   memory that survives the kexec; K, M and G are known\n"
"  --uuid UUID               the VM's id; QEMU calls it so too, and kvmclockctl\n"
"                            finds it on the command line of this process\n"
"  --name NAME               its name\n"
"  --vcpus N                 vCPUs of a new VM (1)\n"
"  --tsc-khz KHZ             the guest's TSC frequency (the host's; of a saved VM,\n"
"                            what was saved)\n"
"  --skew CYCLES             each vCPU's TSC is so much further than the last's\n"
"  --skew-khz KHZ            and was promised to be so much faster\n"
"  --method METHOD           none, by-value, realtime, recipe, converged or identical;\n"
"                            identical by a descriptor of the clock: descriptor; by\n"
"                            kvmclockctl restore: outside, or held with --hold\n"
"  --mode MODE               the weakest accepted, of identical and converged\n"
"  --reach MODE              the mode that must be reached (that of the method)\n"
"  --bound NS, --rounds N    of modes weaker than identical: bound_ns, rounds_max\n"
"  --policy POLICY           of the time that passed: continue, hide, limit:10s\n"
"  --passed POLICY           what must come of it (continue)\n"
"  --wall-maxerror US        the wall clock is synchronised, and off by this at most,\n"
"  --wall-error NS           is off by this,\n"
"  --wall-tai S              and has this TAI offset: of another host, for the methods\n"
"                            import and import-module, and of run, for the export\n"
"  --further CYCLES,SLACK    the TSC of the host of the export is ahead by so much\n"
"  --clock-fd N              restore from this descriptor, KCH_IOC_CLOCK_FD made it\n"
"  --no-clock                of service: the clock is not stored\n"
"  --seconds S               how long it runs (1); 0: until SIGTERM\n"
"  --iterations N            or until every vCPU has made so many\n"
"  --save-with module|none   put the clock into the handover record (none)\n"
"  --new-life                what is saved is not compared with what was saved before\n"
"  --hold stopped|running    stay in the background with the VM afterwards\n"
"  --hot-add N               add so many vCPUs half-way\n"
"  --adopt                   give them the others' clock (KCH_IOC_ADOPT)\n"
"  --clock-days N            a new VM's clock starts so far (0)\n"
"  --aged TSC,NS             the record was given this reference: kch-age-record\n"
"  --age-now KIND,...        what KVM says of the clock, right after the restore:\n"
"                            ask, set (it to that), add (a vCPU)\n"
"  --age-later KIND,...      the same when the VM has run\n"
"  --unsealed, --any-wall, --stale    KCH_RESTORE_UNSEALED, and so on\n"
"  --report FILE             where the report goes (standard output)\n"
"\n"
"Faults put in on purpose, after the restore:\n"
"  --on-vcpu I               where (0)\n"
"  --offset-error CYCLES     the guest moves its TSC offset by IA32_TSC_ADJUST\n"
"  --offset-ioctl CYCLES     the VMM moves it by KVM_VCPU_TSC_OFFSET\n"
"  --clock-error NS          the VMM sets the clock so far off, by KVM_SET_CLOCK\n"
"  --mul-bit BIT             that bit of mul is wrong in the page\n"
"  --ratio-bit BIT           that bit of the scaling ratio was saved wrong\n"
"\n"
"Exit status: 0 all checks hold, 1 some failed (failed=CHECK in the report),\n"
"2 usage, 4 the clock was refused.\n";

enum {
	OPT_ADOPT = 256, OPT_AGED, OPT_AGE_LATER, OPT_AGE_NOW, OPT_CLOCK_DAYS,
	OPT_CLOCK_FD, OPT_ANY_WALL, OPT_BOUND, OPT_CLOCK_ERROR,
	OPT_HOLD, OPT_HOT_ADD, OPT_ITERATIONS, OPT_MEM, OPT_METHOD, OPT_MODE,
	OPT_MUL_BIT, OPT_NAME, OPT_NEW_LIFE, OPT_NO_CLOCK, OPT_OFFSET_ERROR, OPT_OFFSET_IOCTL,
	OPT_ON_VCPU, OPT_PASSED, OPT_POLICY, OPT_RATIO_BIT, OPT_REACH, OPT_REPORT, OPT_ROUNDS,
	OPT_SAVE_WITH, OPT_SECONDS, OPT_SKEW, OPT_SKEW_KHZ, OPT_STALE, OPT_TSC_KHZ,
	OPT_UNSEALED, OPT_UUID, OPT_VCPUS, OPT_WALL_ERROR, OPT_WALL_MAXERROR, OPT_WALL_TAI,
	OPT_FURTHER, OPT_HELP,
};

static const struct option options[] = {
	{ "adopt", no_argument, NULL, OPT_ADOPT },
	{ "aged", required_argument, NULL, OPT_AGED },
	{ "age-later", required_argument, NULL, OPT_AGE_LATER },
	{ "age-now", required_argument, NULL, OPT_AGE_NOW },
	{ "any-wall", no_argument, NULL, OPT_ANY_WALL },
	{ "bound", required_argument, NULL, OPT_BOUND },
	{ "clock-days", required_argument, NULL, OPT_CLOCK_DAYS },
	{ "clock-error", required_argument, NULL, OPT_CLOCK_ERROR },
	{ "clock-fd", required_argument, NULL, OPT_CLOCK_FD },
	{ "further", required_argument, NULL, OPT_FURTHER },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "hold", required_argument, NULL, OPT_HOLD },
	{ "hot-add", required_argument, NULL, OPT_HOT_ADD },
	{ "id", required_argument, NULL, OPT_UUID },
	{ "iterations", required_argument, NULL, OPT_ITERATIONS },
	{ "mem", required_argument, NULL, OPT_MEM },
	{ "method", required_argument, NULL, OPT_METHOD },
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "mul-bit", required_argument, NULL, OPT_MUL_BIT },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "new-life", no_argument, NULL, OPT_NEW_LIFE },
	{ "no-clock", no_argument, NULL, OPT_NO_CLOCK },
	{ "offset-error", required_argument, NULL, OPT_OFFSET_ERROR },
	{ "offset-ioctl", required_argument, NULL, OPT_OFFSET_IOCTL },
	{ "on-vcpu", required_argument, NULL, OPT_ON_VCPU },
	{ "passed", required_argument, NULL, OPT_PASSED },
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "ratio-bit", required_argument, NULL, OPT_RATIO_BIT },
	{ "reach", required_argument, NULL, OPT_REACH },
	{ "report", required_argument, NULL, OPT_REPORT },
	{ "rounds", required_argument, NULL, OPT_ROUNDS },
	{ "save-with", required_argument, NULL, OPT_SAVE_WITH },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "tsc-khz", required_argument, NULL, OPT_TSC_KHZ },
	{ "uuid", required_argument, NULL, OPT_UUID },
	{ "skew", required_argument, NULL, OPT_SKEW },
	{ "skew-khz", required_argument, NULL, OPT_SKEW_KHZ },
	{ "stale", no_argument, NULL, OPT_STALE },
	{ "unsealed", no_argument, NULL, OPT_UNSEALED },
	{ "wall-error", required_argument, NULL, OPT_WALL_ERROR },
	{ "wall-maxerror", required_argument, NULL, OPT_WALL_MAXERROR },
	{ "wall-tai", required_argument, NULL, OPT_WALL_TAI },
	{ "vcpus", required_argument, NULL, OPT_VCPUS },
	{ NULL, 0, NULL, 0 },
};

static int done_pipe = -1;

static void __attribute__((__noreturn__)) usage(const char *wrong)
{
	if (wrong)
		fprintf(stderr, "kch-vmm: %s\n", wrong);
	fputs(usage_text, wrong ? stderr : stdout);
	exit(wrong ? EXIT_USAGE : EXIT_CHECKS_HOLD);
}

static long long in_range(const char *text, long long min, long long max)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 0);
	if (errno || end == text || *end || value < min || value > max)
		usage("a number is out of range");
	return value;
}

static uint32_t milliseconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 86400))
		usage("--seconds: not a time");
	return seconds * 1000;
}

static bool one_of(const char *text, const char *yes, const char *no)
{
	if (strcmp(text, yes) && strcmp(text, no))
		usage("an option has an unknown value");
	return !strcmp(text, yes);
}

static uint32_t goes_on_ms(const char *text)
{
	uint32_t ms;

	if (kch_policy_parse(text, &ms))
		usage("no such policy");
	return ms;
}

static uint32_t mode_of(const char *name)
{
	uint32_t mode;

	for (mode = KCH_MODE_REALTIME; mode <= KCH_MODE_IDENTICAL; mode++)
		if (!strcmp(kch_mode_name(mode), name))
			return mode;
	usage("no mode of that name");
}

static uint32_t age_of(char *words)
{
	uint32_t kinds = 0;
	char *word;

	for (word = strtok(words, ","); word; word = strtok(NULL, ",")) {
		if (!strcmp(word, "ask"))
			kinds |= AGE_ASK;
		else if (!strcmp(word, "set"))
			kinds |= AGE_SET;
		else if (!strcmp(word, "add"))
			kinds |= AGE_ADD;
		else
			usage("--age-now, --age-later: neither ask, set nor add");
	}
	return kinds;
}

static void parse(int argc, char **argv, struct session *s,
		  const char **report_file)
{
	uint32_t policy, limit_ms;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPT_ADOPT:
			s->adopt = true;
			break;
		case OPT_ANY_WALL:
			s->restore_flags |= KCH_RESTORE_ANY_WALL;
			break;
		case OPT_BOUND:
			handover_use_bound(in_range(optarg, 1, INT64_MAX), 0);
			break;
		case OPT_CLOCK_ERROR:
			s->sabotage.kind = SABOTAGE_CLOCK;
			s->sabotage.ns = in_range(optarg, INT64_MIN, INT64_MAX);
			break;
		case OPT_ROUNDS:
			handover_use_bound(0, in_range(optarg, 1, KCH_ROUNDS_MAX));
			break;
		case OPT_AGED:
			s->aged = sscanf(optarg, "%" SCNu64 ",%" SCNu64,
					 &s->aged_host, &s->aged_ns) == 2;
			if (!s->aged)
				usage("--aged: not TSC,NS");
			break;
		case OPT_AGE_LATER:
			s->age_later = age_of(optarg);
			break;
		case OPT_AGE_NOW:
			s->age_now = age_of(optarg);
			break;
		case OPT_CLOCK_DAYS:
			s->clock_days = in_range(optarg, 0, 100000);
			break;
		case OPT_CLOCK_FD:
			handover_use_clock(in_range(optarg, 1, INT32_MAX));
			break;
		case OPT_HELP:
			usage(NULL);
		case OPT_HOLD:
			s->hold = one_of(optarg, "stopped", "running") ?
				  HOLD_STOPPED : HOLD_RUNNING;
			break;
		case OPT_HOT_ADD:
			s->hot_add = in_range(optarg, 0, GUEST_VCPUS_MAX);
			break;
		case OPT_UUID:
			if (kch_uuid_parse(optarg, s->uuid))
				usage("--uuid: not a UUID");
			s->has_uuid = true;
			break;
		case OPT_ITERATIONS:
			s->iterations = in_range(optarg, 0, INT64_MAX);
			break;
		case OPT_MEM:
			s->mem = optarg;
			break;
		case OPT_METHOD:
			s->method = clock_method_find(optarg);
			if (!s->method)
				usage("--method: unknown");
			break;
		case OPT_MODE:
			handover_use_mode(mode_of(optarg));
			break;
		case OPT_REACH:
			s->reach = mode_of(optarg);
			break;
		case OPT_FURTHER:
			if (sscanf(optarg, "%" SCNd64 ",%" SCNu64, &s->import.further_cycles,
				   &s->import.further_slack_cycles) != 2)
				usage("--further: not CYCLES,SLACK");
			break;
		case OPT_WALL_ERROR:
			s->import.error_ns = in_range(optarg, INT64_MIN, INT64_MAX);
			break;
		case OPT_WALL_MAXERROR:
			s->import.used = true;
			s->import.maxerror_us = in_range(optarg, 0, 15000000);
			break;
		case OPT_WALL_TAI:
			s->import.tai = in_range(optarg, 0, 1000);
			break;
		case OPT_PASSED:
			s->passed.goes_on_ms = goes_on_ms(optarg);
			break;
		case OPT_POLICY:
			kch_policy_of(goes_on_ms(optarg), &policy, &limit_ms);
			handover_use_policy(policy, limit_ms);
			break;
		case OPT_MUL_BIT:
			s->sabotage.kind = SABOTAGE_MUL;
			s->sabotage.bit = in_range(optarg, 0, 31);
			break;
		case OPT_NAME:
			s->name = optarg;
			break;
		case OPT_OFFSET_ERROR:
			s->sabotage.kind = SABOTAGE_TSC_ADJUST;
			s->sabotage.cycles = in_range(optarg, INT64_MIN,
						      INT64_MAX);
			break;
		case OPT_OFFSET_IOCTL:
			s->sabotage.kind = SABOTAGE_TSC_OFFSET;
			s->sabotage.cycles = in_range(optarg, INT64_MIN,
						      INT64_MAX);
			break;
		case OPT_ON_VCPU:
			s->sabotage.vcpu = in_range(optarg, 0,
						    GUEST_VCPUS_MAX - 1);
			break;
		case OPT_RATIO_BIT:
			s->sabotage.kind = SABOTAGE_RATIO;
			s->sabotage.bit = in_range(optarg, 0, 63);
			break;
		case OPT_REPORT:
			*report_file = optarg;
			break;
		case OPT_NEW_LIFE:
			s->new_life = true;
			break;
		case OPT_NO_CLOCK:
			s->store_clock = false;
			break;
		case OPT_SAVE_WITH:
			s->save_with_module = one_of(optarg, "module", "none");
			break;
		case OPT_SECONDS:
			s->run_ms = milliseconds(optarg);
			break;
		case OPT_TSC_KHZ:
			s->tsc_khz = in_range(optarg, 1, INT32_MAX);
			break;
		case OPT_SKEW:
			s->skew_cycles = in_range(optarg, INT32_MIN, INT32_MAX);
			break;
		case OPT_SKEW_KHZ:
			s->skew_khz = in_range(optarg, -1000, 1000);
			break;
		case OPT_STALE:
			s->restore_flags |= KCH_RESTORE_STALE;
			break;
		case OPT_UNSEALED:
			s->restore_flags |= KCH_RESTORE_UNSEALED;
			break;
		case OPT_VCPUS:
			s->vcpu_count = in_range(optarg, 1, GUEST_VCPUS_MAX);
			break;
		default:
			usage("unknown option");
		}
	}
	if (optind != argc)
		usage("too many arguments");
	if (!s->mem == !s->service)
		usage("--mem is missing, or there is one for a service");
}

static void ignore_status(int status)
{
	(void)status;
}

static void send_status(int status)
{
	unsigned char byte = status;

	if (done_pipe < 0)
		return;
	if (write(done_pipe, &byte, 1) != 1)
		perror("kch-vmm");
	close(done_pipe);
	done_pipe = -1;
}

/*
 * A VM belongs to the process that made it: the child makes it and stays, the
 * parent brings the exit status of its report.
 */
static int run_in_background(const struct session *s)
{
	unsigned char status;
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid) {
		close(ends[1]);
		if (read(ends[0], &status, 1) != 1)
			die("the process in the background died");
		return status;
	}
	close(ends[0]);
	done_pipe = ends[1];
	report_at_exit(send_status);
	setsid();
	return session_run(s, send_status);
}

int main(int argc, char **argv)
{
	struct session s = { .name = "", .vcpu_count = 1, .run_ms = 1000, .store_clock = true,
			     .passed.goes_on_ms = KCH_GOES_ON };
	const char *report_file = NULL;
	bool is_resume;

	if (argc < 2 || !strcmp(argv[1], "--help"))
		usage(argc < 2 ? "a subcommand is missing" : NULL);
	is_resume = !strcmp(argv[1], "resume");
	s.service = !strcmp(argv[1], "service");
	if (!is_resume && !s.service && strcmp(argv[1], "run"))
		usage("unknown subcommand");
	parse(argc - 1, argv + 1, &s, &report_file);
	if (is_resume && !s.method)
		usage("resume needs --method");
	if (!is_resume && (s.method || !s.has_uuid))
		usage("run and service need --uuid, and have no --method");

	report_open(report_file);
	if (s.service)
		service_begin(&s);
	if (s.hold != HOLD_NO)
		return run_in_background(&s);
	return session_run(&s, ignore_status);
}
