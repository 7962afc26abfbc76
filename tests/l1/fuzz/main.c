// SPDX-License-Identifier: GPL-2.0
/*
 * kch-fuzz: random calls of all ioctls of /dev/kvmclock_handover and of clocks' descriptors,
 * by several threads, in the emulated host.
 *
 *	kch-fuzz [-s SEED] [-r ROUNDS | -d SECONDS] [-n STEPS] [-t THREADS] START SIZE
 *
 * A round: a record "from before the kexec" is put into the region, the module loaded, and
 * each thread makes STEPS steps; meanwhile they get signals.  The module is unloaded while
 * they let go, and then it must still give a new VM its clock, exactly.  Every fourth record
 * is damaged.
 *
 * Status 0 if nothing was wrong: each ioctl succeeded, each errno is documented of its ioctl,
 * nothing was written where it must not be, no descriptor is left, the module could be unloaded.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "clock.h"
#include "device.h"
#include "forge.h"
#include "tally.h"
#include "things.h"
#include "worker.h"

#define THREADS_MAX	8
#define FRESH_ID	0x99
#define UNLOAD_SECONDS	20

static struct worker workers[THREADS_MAX];
static struct forged record;

static void on_signal(int signal)
{
	(void)signal;
}

/* Every VM of the record, in the shape that the workers' VMs have. */
static void make_record(void)
{
	struct vm vm;
	uint32_t id;

	forge_begin(&record);
	for (id = 1; id <= FUZZ_IDS; id++) {
		vm_create_ready(&vm, call_vcpus_of(id), FUZZ_OFFSET);
		forge_add(&record, &vm, id);
		vm_destroy(&vm);
	}
}

static void put_record(struct forged *forged, struct random *damage)
{
	region_clear();
	forge_make(forged);
	if (damage)
		random_damage(damage, forged->image, sizeof(forged->header) + forged->size);
	forge_put(forged, 0);
}

/* If none of these is the cause, the kernel's side is. */
static void print_holders(void)
{
	char path[32], target[64];
	ssize_t length;
	int fd;

	for (fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		length = readlink(path, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = 0;
		if (strstr(target, "kvmclock"))
			printf("descriptor %d is %s\n", fd, target);
	}
}

/* Until all who hold it have let go; they are about to. */
static bool unload_in_the_end(void)
{
	time_t until = time(NULL) + UNLOAD_SECONDS;

	while (syscall(SYS_delete_module, module_name(), O_NONBLOCK)) {
		if (errno != EAGAIN || time(NULL) > until) {
			wrong("the module cannot be unloaded: %s", errno_name(errno));
			print_holders();
			return false;
		}
		usleep(1000);
	}
	return true;
}

static bool all_done(unsigned int threads)
{
	unsigned int i;

	for (i = 0; i < threads; i++)
		if (!workers[i].done)
			return false;
	return true;
}

static bool play(struct random *r, unsigned int threads, unsigned int steps)
{
	unsigned int i;
	bool unloaded;

	for (i = 0; i < threads; i++) {
		workers[i].caller.record = record.image;
		workers[i].caller.record_bytes = sizeof(record.header) + record.size;
		worker_start(&workers[i], random_next(r), steps);
	}
	while (!all_done(threads)) {
		usleep(500 + random_below(r, 8000));
		i = random_below(r, threads);
		/* A thread is there until it is joined. */
		pthread_kill(workers[i].thread, WORKER_SIGNAL);
	}
	unloaded = unload_in_the_end();
	for (i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	return unloaded;
}

/* The main job, after all that. */
static void check_restore(void)
{
	static struct forged forged;
	uint8_t bytes[1024] __attribute__((aligned(8)));
	struct kch_rec_vm *live = (void *)bytes, *saved;
	struct kch_clock_error error;
	struct kch_clock was, is;
	struct kch_restore arg;
	struct vm vm;
	int err;

	vm_create_ready(&vm, 1, FUZZ_OFFSET);
	module_load();
	forge_begin(&forged);
	saved = forge_add(&forged, &vm, FRESH_ID);
	module_unload();
	vm_destroy(&vm);
	put_record(&forged, NULL);
	module_load();
	vm_create_ready(&vm, 1, FUZZ_OFFSET + 1);
	err = restore(&vm, FRESH_ID, 0, &arg) ?: read_entry(&vm, live, sizeof(bytes));
	if (err) {
		wrong("a new VM is not given its clock: %s: %s", errno_name(err), arg.message);
	} else {
		kch_clock_of(saved, (const void *)(saved + 1), &was);
		kch_clock_of(live, (const void *)(live + 1), &is);
		kch_clock_compare(&was, &is, le64_to_cpu(live->host_tsc), &error);
		if (!error.identical)
			wrong("a new VM is given a clock %lld ns, %lld cycles, %lld ppb off",
			      (long long)error.ns, (long long)error.cycles,
			      (long long)error.rate_ppb);
	}
	module_unload();
	vm_destroy(&vm);
}

static void round_once(struct random *r, unsigned int number, unsigned int threads,
		       unsigned int steps)
{
	unsigned int before, after;
	bool unloaded;

	put_record(&record, number % 4 == 3 ? r : NULL);
	module_load_only();
	before = descriptors_open();
	unloaded = play(r, threads, steps);
	after = descriptors_open();
	if (after != before)
		wrong("%u descriptors before the round, %u after it", before, after);
	if (!unloaded)
		exit(tally_print() != 0);
	/* What the round has left in the region is no hindrance. */
	module_load();
	module_unload();
	check_restore();
	progress("round %u is over, %u things wrong so far", number, wrong_so_far());
}

static unsigned int number_of(const char *text)
{
	return strtoul(text, NULL, 0);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	unsigned int rounds = 4, steps = 200, threads = 3, seconds = 0, i, wrongs;
	struct random r = { .state = 1 };
	time_t begin = time(NULL);
	int option;

	while ((option = getopt(argc, argv, "s:r:d:n:t:")) != -1) {
		switch (option) {
		case 's':
			r.state = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			rounds = number_of(optarg);
			break;
		case 'd':
			seconds = number_of(optarg);
			break;
		case 'n':
			steps = number_of(optarg);
			break;
		case 't':
			threads = number_of(optarg);
			break;
		default:
			die("usage: as the first lines of this program's source say");
		}
	}
	if (argc - optind != 2 || !rounds || !steps || !threads || threads > THREADS_MAX)
		die("usage: kch-fuzz [-s SEED] [-r ROUNDS | -d SECONDS] [-n STEPS] [-t 1..%u] START SIZE",
		    THREADS_MAX);
	region_start = strtoull(argv[optind], NULL, 0);
	region_size = strtoull(argv[optind + 1], NULL, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %llu, rounds of %u steps by %u threads\n", (unsigned long long)r.state, steps,
	       threads);
	sigaction(WORKER_SIGNAL, &action, NULL);
	things_open();
	for (i = 0; i < threads; i++)
		worker_init(&workers[i], i);
	module_load();
	make_record();
	module_unload();
	for (i = 0; seconds ? time(NULL) - begin < seconds : i < rounds; i++)
		round_once(&r, i, threads, steps);
	wrongs = tally_print();
	printf("%u steps in %u rounds, %llu s, %u things wrong\n", i * steps * threads, i,
	       (unsigned long long)(time(NULL) - begin), wrongs);
	return wrongs != 0;
}
