// SPDX-License-Identifier: GPL-2.0
/*
 * First and only program of the Linux guest: looks at its clocks and writes
 * what it sees to /dev/ttyS0, for analyse.c to judge.  It has no idea of what
 * happens to the host.  Lines, all numbers decimal:
 *
 *	G key value		once: the guest's kernel, clocksource, vCPUs
 *	S cpu (tsc width ns)*3	a reading of each clock in CLOCKS, bracketed by
 *				the TSC: taken between tsc and tsc + width
 *	B cpu checks count max_ns	readings compared with the one before and
 *				the last of any vCPU; how many were below, by
 *				how much
 *	V tsc_timestamp system_time mul shift flags
 *				the first vCPU's pvclock page, as the vDSO has
 *				it mapped into every process
 *	W number due_ns tsc	a process that slept until CLOCK_MONOTONIC was
 *				due_ns woke at tsc
 *	T number due_ns tsc	the same of a timerfd
 *	P count due_ns tsc	a periodic timerfd, which expired count times
 *	K text			a line of the kernel log, after the start
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "report.h"

#define NS_PER_S	1000000000ULL
#define TRIES		16
#define SAMPLE_NS	(NS_PER_S / 4)
#define SPIN_READS	200
#define SLEEPERS	20
#define SLEEP_STEP_S	4
/* Of a host with many guests the first has been there for minutes. */
#define TIMERS		60
#define TIMER_STEP_S	8
#define PERIOD_NS	(NS_PER_S / 5)

static const clockid_t CLOCKS[] = {
	CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME,
};

#define CLOCKS_COUNT (sizeof(CLOCKS) / sizeof(CLOCKS[0]))

static uint64_t read_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct timespec to_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
				  .tv_nsec = (long)(ns % NS_PER_S) };
}

/* The narrowest bracket of several: where nothing came in between. */
static void sample(clockid_t id, uint64_t *best_tsc, uint64_t *best_width,
		   uint64_t *best_ns)
{
	int i;

	*best_width = UINT64_MAX;
	for (i = 0; i < TRIES; i++) {
		uint64_t before = tsc();
		uint64_t ns = read_ns(id);
		uint64_t width = tsc() - before;

		if (width < *best_width) {
			*best_tsc = before;
			*best_width = width;
			*best_ns = ns;
		}
	}
}

/* The last reading of any vCPU; a lock orders the readings. */
static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_of_any;

static void look_back(uint64_t *own, uint64_t *count, uint64_t *max_ns)
{
	uint64_t now, last;

	pthread_mutex_lock(&last_lock);
	now = read_ns(CLOCK_MONOTONIC_RAW);
	last = last_of_any > *own ? last_of_any : *own;
	if (now > last_of_any)
		last_of_any = now;
	pthread_mutex_unlock(&last_lock);
	if (now < last) {
		(*count)++;
		if (last - now > *max_ns)
			*max_ns = last - now;
	}
	*own = now;
}

/* The layout is KVM's ABI. */
struct pvclock {
	uint32_t version;
	uint32_t pad;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad_end[2];
};

static const volatile struct pvclock *pvclock;

/* The second page of the kernel's data for the vDSO, from 4.5 to 6.12. */
static void find_pvclock(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char text[256];

	while (maps && fgets(text, sizeof(text), maps))
		if (strstr(text, "[vvar]"))
			pvclock = (const void *)(strtoul(text, NULL, 16) + 4096);
	if (!pvclock)
		abort();
	fclose(maps);
}

static void show_pvclock(void)
{
	struct pvclock now;

	do {
		now.version = pvclock->version;
		__sync_synchronize();
		now.tsc_timestamp = pvclock->tsc_timestamp;
		now.system_time = pvclock->system_time;
		now.tsc_to_system_mul = pvclock->tsc_to_system_mul;
		now.tsc_shift = pvclock->tsc_shift;
		now.flags = pvclock->flags;
		__sync_synchronize();
	} while ((now.version & 1) || now.version != pvclock->version);
	line("V %llu %llu %u %d %u", (unsigned long long)now.tsc_timestamp,
	     (unsigned long long)now.system_time, now.tsc_to_system_mul,
	     now.tsc_shift, now.flags);
}

static void *vcpu_thread(void *arg)
{
	uint64_t own = 0, count = 0, max_ns = 0, checks = 0, due;
	int cpu = (int)(intptr_t)arg, i, round = 0;
	uint64_t at[3], width[3], ns[3];
	struct timespec next;
	cpu_set_t set;
	size_t c;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		abort();
	due = read_ns(CLOCK_MONOTONIC);
	while (true) {
		for (c = 0; c < CLOCKS_COUNT; c++)
			sample(CLOCKS[c], &at[c], &width[c], &ns[c]);
		line("S %d %llu %llu %llu %llu %llu %llu %llu %llu %llu", cpu,
		     (unsigned long long)at[0], (unsigned long long)width[0],
		     (unsigned long long)ns[0], (unsigned long long)at[1],
		     (unsigned long long)width[1], (unsigned long long)ns[1],
		     (unsigned long long)at[2], (unsigned long long)width[2],
		     (unsigned long long)ns[2]);
		for (i = 0; i < SPIN_READS; i++)
			look_back(&own, &count, &max_ns);
		checks += SPIN_READS;
		if (cpu == 0 && round % 4 == 0)
			show_pvclock();
		if (++round % 4 == 0)
			line("B %d %llu %llu %llu", cpu, (unsigned long long)checks,
			     (unsigned long long)count, (unsigned long long)max_ns);
		due += SAMPLE_NS;
		/* Not to make up for what was missed. */
		if (due < read_ns(CLOCK_MONOTONIC))
			due = read_ns(CLOCK_MONOTONIC) + SAMPLE_NS;
		next = to_timespec(due);
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return NULL;
}

/* One process each, so that each is in the kernel's hands alone. */
static void start_sleepers(uint64_t start)
{
	int i;

	for (i = 1; i <= SLEEPERS; i++) {
		uint64_t due = start + (uint64_t)i * SLEEP_STEP_S * NS_PER_S;
		struct timespec until = to_timespec(due);

		if (fork())
			continue;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		line("W %d %llu %llu", i, (unsigned long long)due,
		     (unsigned long long)tsc());
		_exit(0);
	}
}

static int timer(uint64_t due, uint64_t period)
{
	struct itimerspec spec = { .it_value = to_timespec(due),
				   .it_interval = to_timespec(period) };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL))
		abort();
	return fd;
}

static void *timer_thread(void *arg)
{
	uint64_t start = *(uint64_t *)arg, due[TIMERS + 1], count, at;
	struct pollfd fds[TIMERS + 1];
	int i, printed = 0;

	for (i = 0; i <= TIMERS; i++) {
		/* Between the sleepers' times. */
		due[i] = start + ((uint64_t)i * TIMER_STEP_S + 2) * NS_PER_S;
		fds[i].fd = timer(due[i], i == 0 ? PERIOD_NS : 0);
		fds[i].events = POLLIN;
	}
	while (true) {
		if (poll(fds, TIMERS + 1, -1) < 0)
			abort();
		for (i = 0; i <= TIMERS; i++) {
			if (!(fds[i].revents & POLLIN) ||
			    read(fds[i].fd, &count, sizeof(count)) != sizeof(count))
				continue;
			/* After all that were counted: a line may take long. */
			at = tsc();
			if (i) {
				line("T %d %llu %llu", i,
				     (unsigned long long)due[i],
				     (unsigned long long)at);
				continue;
			}
			due[0] += count * PERIOD_NS;
			if (count != 1 || printed++ % 5 == 0)
				line("P %llu %llu %llu", (unsigned long long)count,
				     (unsigned long long)(due[0] - PERIOD_NS),
				     (unsigned long long)at);
		}
	}
	return NULL;
}

static void *log_thread(void *arg)
{
	char record[LOG_RECORD_SIZE];
	int fd = log_open();

	(void)arg;
	while (true)
		line("K %s", log_next(fd, record));
	return NULL;
}

static void start(void *(*function)(void *arg), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, arg))
		abort();
}

int main(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), cpu;
	static uint64_t begin;

	report_begin();
	find_pvclock();
	line("G vcpus %ld", cpus);
	begin = read_ns(CLOCK_MONOTONIC);
	start_sleepers(begin);
	start(timer_thread, &begin);
	start(log_thread, NULL);
	for (cpu = 0; cpu < cpus; cpu++)
		start(vcpu_thread, (void *)(intptr_t)cpu);
	line("G ready 1");
	while (true)
		pause();
}
