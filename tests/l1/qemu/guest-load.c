// SPDX-License-Identifier: GPL-2.0
/*
 * First and only program of a Linux guest that is away for long: timers, sleepers and busy
 * processes, each of which says on /dev/ttyS0 what it sees of that.  cases/blackout-guest.sh
 * makes a row of a table of it.  With a word state=STATE on the kernel's command line it has
 * no load, and goes to that state of /sys/power/state when it reads a byte from there, and
 * wakes up by another.  Times are the guest's TSC, or ns; lines:
 *
 *	G key value		once: what this guest is
 *	R tsc width mono real boot maxerror_us status first second wrong worst_ns back_ns lost
 *				each second: a reading of the clocks, taken between tsc and
 *				tsc + width; what NTP's state says; how far each of two busy
 *				processes came that share the first vCPU; readings of
 *				CLOCK_MONOTONIC on the second vCPU that do not fit its TSC, by
 *				how much at most, and the largest step back; expirations of a
 *				timerfd of 10 ms that are missing, or less than 0: too many
 *	J from to mono real boot	nothing was read there between the two; the first
 *				readings after that
 *	T count tsc		a timerfd of 10 ms had expired so often when it was read
 *	L count late_ns took_ns	a loop that sleeps until the next 100 ms, and leaves none out, was
 *				so late, and had made up for it after count rounds
 *	W late_ns tsc		a process that sleeps for a second at a time woke so late
 *	S gap_ns slack_ns	no process ran on the first vCPU for gap_ns; then one of the two
 *				waited for slack_ns more
 *	Z tsc mono real boot	it goes to that state
 *	A tsc mono real boot	it is back from it
 *	K text			a line of the kernel's log
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "report.h"

#define NS_PER_MS	1000000LL
#define NS_PER_S	1000000000LL
#define TRIES		8
#define TICK_NS		(10 * NS_PER_MS)
#define LOOP_NS		(100 * NS_PER_MS)
/* What is longer is a blackout, not a busy machine. */
#define LONG_NS		(NS_PER_S / 2)
/* Readings of a clock that are off by more do not fit the TSC. */
#define WRONG_NS	(20 * NS_PER_MS)

/* Of two busy processes: how far each is, and when it last ran. */
struct busy {
	volatile uint64_t spins;
	volatile uint64_t ran;
};

static struct busy *busy;
static volatile uint64_t wrong, back_ns;
static volatile int64_t worst_ns;
static double ns_per_cycle;
static int port;

static int64_t read_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* The narrowest reading of several: where nothing came in between. */
static uint64_t sample(int64_t *ns)
{
	uint64_t before, width, least = UINT64_MAX, at = 0;
	int64_t read;
	int i;

	for (i = 0; i < 100; i++) {
		before = tsc();
		read = read_ns(CLOCK_MONOTONIC);
		width = tsc() - before;
		if (width >= least)
			continue;
		least = width;
		at = before;
		*ns = read;
	}
	return at;
}

static void sleep_until(int64_t due)
{
	struct timespec until = { .tv_sec = due / NS_PER_S, .tv_nsec = due % NS_PER_S };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		abort();
}

static void put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		line("G no %s", file);
	close(fd);
}

/* Its two spinners share the first vCPU; the other one says who had to wait. */
static void spin(int self)
{
	struct busy *own = &busy[self], *other = &busy[!self];
	uint64_t last = tsc(), now, gone = 0, from = 0;

	run_on(0);
	while (1) {
		own->spins++;
		now = tsc();
		/*
		 * Neither of them ran: this one is the first.  If the other one waits already,
		 * that counts which was longer.
		 */
		if ((now - last) * ns_per_cycle > (from ? gone * ns_per_cycle : LONG_NS) &&
		    (now - other->ran) * ns_per_cycle > LONG_NS) {
			gone = now - last;
			from = now;
		}
		own->ran = now;
		last = now;
		if (from && other->ran > from) {
			line("S %.0f %.0f", gone * ns_per_cycle,
			     (other->ran - from) * ns_per_cycle);
			from = 0;
		}
	}
}

static void start_process(void (*function)(int argument), int argument)
{
	if (!fork()) {
		function(argument);
		_exit(0);
	}
}

/* From now on this task runs even if nobody else gets to. */
static void be_first(void)
{
	struct sched_param real_time = { .sched_priority = 1 };

	if (sched_setscheduler(0, SCHED_FIFO, &real_time))
		abort();
}

static void sleep_seconds(int unused)
{
	int64_t due;

	(void)unused;
	be_first();
	while (1) {
		due = read_ns(CLOCK_MONOTONIC) + NS_PER_S;
		sleep_until(due);
		due = read_ns(CLOCK_MONOTONIC) - due;
		if (due > LONG_NS)
			line("W %lld %llu", (long long)due, (unsigned long long)tsc());
	}
}

/*
 * Two read one open file: one of them waits for a line of the log, the other for the
 * lock of the file's position.
 */
static void read_log(int fd)
{
	char text[256];

	while (read(fd, text, sizeof(text)) >= 0)
		;
	line("G no /proc/kmsg");
}

static void *grace_periods(void *unused)
{
	(void)unused;
	while (!syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		;
	line("G no membarrier");
	return NULL;
}

static void *ticks(void *unused)
{
	struct itimerspec spec = { .it_value.tv_nsec = TICK_NS, .it_interval.tv_nsec = TICK_NS };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t count;

	(void)unused;
	be_first();
	if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL))
		abort();
	while (read(fd, &count, sizeof(count)) == sizeof(count))
		if (count * TICK_NS > LONG_NS)
			line("T %llu %llu", (unsigned long long)count,
			     (unsigned long long)tsc());
	abort();
}

static void *loop(void *unused)
{
	int64_t due = read_ns(CLOCK_MONOTONIC), late, most = 0, began = 0;
	uint64_t rounds = 0;

	(void)unused;
	while (1) {
		due += LOOP_NS;
		sleep_until(due);
		late = read_ns(CLOCK_MONOTONIC) - due;
		/* Also when it had not made up for what came before. */
		if (late > most + LONG_NS) {
			most = late;
			began = due + late;
			rounds = 0;
		}
		rounds++;
		if (most && late < LOOP_NS) {
			line("L %llu %lld %lld", (unsigned long long)rounds, (long long)most,
			     (long long)(due + late - began));
			most = 0;
		}
	}
	return NULL;
}

/* The readings of a vCPU that does not wait: each must fit its TSC. */
static void *watch_clock(void *unused)
{
	uint64_t base_tsc, before, after, last_tsc;
	int64_t base_ns, ns, last_ns = 0, low, high;

	(void)unused;
	base_tsc = sample(&base_ns);
	last_tsc = base_tsc;
	while (1) {
		before = tsc();
		ns = read_ns(CLOCK_MONOTONIC);
		after = tsc();
		if ((after - last_tsc) * ns_per_cycle > LONG_NS)
			line("J %llu %llu %lld %lld %lld", (unsigned long long)last_tsc,
			     (unsigned long long)after, (long long)ns,
			     (long long)read_ns(CLOCK_REALTIME),
			     (long long)read_ns(CLOCK_BOOTTIME));
		last_tsc = after;
		if (ns < last_ns && (uint64_t)(last_ns - ns) > back_ns)
			back_ns = last_ns - ns;
		last_ns = ns;
		low = ns - base_ns - (int64_t)((before - base_tsc) * ns_per_cycle);
		high = ns - base_ns - (int64_t)((after - base_tsc) * ns_per_cycle);
		if (low > -WRONG_NS && high < WRONG_NS)
			continue;
		wrong++;
		low = low < 0 ? low : high;
		if (llabs(low) > llabs(worst_ns))
			worst_ns = low;
	}
	return NULL;
}

static void clocks(const char *key)
{
	line("%s %llu %lld %lld %lld", key, (unsigned long long)tsc(),
	     (long long)read_ns(CLOCK_MONOTONIC), (long long)read_ns(CLOCK_REALTIME),
	     (long long)read_ns(CLOCK_BOOTTIME));
}

static void *sleep_when_told(void *state)
{
	char byte;

	put("/sys/class/tty/ttyS0/power/wakeup", "enabled");
	while (read(port, &byte, 1) == 1) {
		clocks("Z");
		put("/sys/power/state", state);
		clocks("A");
		/* What woke it is no order to sleep. */
		tcflush(port, TCIFLUSH);
	}
	abort();
}

/* Of a timer that expires at @first, and each TICK_NS after: how often it did not. */
static int64_t lost(int fd, int64_t first)
{
	static int64_t total;
	int64_t least = (read_ns(CLOCK_MONOTONIC) - first) / TICK_NS + 1, most;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		abort();
	total += (int64_t)count;
	most = (read_ns(CLOCK_MONOTONIC) - first) / TICK_NS + 1;
	return total < least ? least - total : total > most ? most - total : 0;
}

static void report(int timer, int64_t first)
{
	static const clockid_t ids[] = { CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME };
	uint64_t best_tsc = 0, width, least = UINT64_MAX;
	int64_t ns[3], best[3] = {};
	struct timex ntp = {};
	int i, c;

	for (i = 0; i < TRIES; i++) {
		uint64_t before = tsc();

		for (c = 0; c < 3; c++)
			ns[c] = read_ns(ids[c]);
		width = tsc() - before;
		if (width >= least)
			continue;
		least = width;
		best_tsc = before;
		memcpy(best, ns, sizeof(best));
	}
	adjtimex(&ntp);
	line("R %llu %llu %lld %lld %lld %ld %d %llu %llu %llu %lld %llu %lld",
	     (unsigned long long)best_tsc, (unsigned long long)least,
	     (long long)best[0], (long long)best[1], (long long)best[2],
	     ntp.maxerror, ntp.status, (unsigned long long)busy[0].spins,
	     (unsigned long long)busy[1].spins, (unsigned long long)wrong, (long long)worst_ns,
	     (unsigned long long)back_ns, (long long)lost(timer, first));
}

static void *log_lines(void *unused)
{
	char record[LOG_RECORD_SIZE];
	int fd = log_open();
	const char *text;

	(void)unused;
	while (1) {
		text = log_next(fd, record);
		/* A backtrace is long, and the line slow. */
		if (text != record && text[0] != ' ' && strchr("01234", record[0]) &&
		    record[1] == ',')
			line("K %s", text);
	}
	return NULL;
}

/* How long a clocksource may not be read, as the log says when it is registered. */
static void tell_max_idle(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char record[LOG_RECORD_SIZE], name[32], ns[32];
	const char *text;
	ssize_t length;

	if (fd < 0)
		abort();
	while ((length = read(fd, record, sizeof(record) - 1)) > 0) {
		record[length] = '\0';
		text = strchr(record, ';');
		if (text && sscanf(text, ";clocksource: %31[^:]: mask: %*s max_cycles: %*s max_idle_ns: %31[0-9]",
				   name, ns) == 2)
			line("G %s %s", name, ns);
	}
	close(fd);
}

static void set_up(void)
{
	port = report_begin();
	tell_max_idle();
	tell("lockup_s", "/proc/sys/kernel/watchdog_thresh");
	tell("rcu_s", "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout");
	tell("hung_s", "/proc/sys/kernel/hung_task_timeout_secs");
	/* It looks every hung_s; what it finds would depend on when it last looked. */
	put("/proc/sys/kernel/hung_task_check_interval_secs", "1");
}

/* The rate of this guest's clock. */
static void calibrate(void)
{
	int64_t from_ns, ns;
	uint64_t from = sample(&from_ns), to;

	sleep_until(from_ns + 3 * NS_PER_S);
	to = sample(&ns);
	ns_per_cycle = (double)(ns - from_ns) / (double)(to - from);
}

static void start(void *(*function)(void *argument), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, argument))
		abort();
}

static void start_load(void)
{
	int log = open("/proc/kmsg", O_RDONLY);

	if (log < 0)
		abort();
	start_process(spin, 0);
	start_process(spin, 1);
	/* All others share the second vCPU with one that is busy. */
	run_on(1);
	start_process(sleep_seconds, 0);
	start_process(read_log, log);
	start_process(read_log, log);
	start(grace_periods, NULL);
	start(ticks, NULL);
	start(loop, NULL);
	start(watch_clock, NULL);
}

static int start_timer(int64_t first)
{
	struct itimerspec spec = {
		.it_value = { .tv_sec = first / NS_PER_S, .tv_nsec = first % NS_PER_S },
		.it_interval.tv_nsec = TICK_NS,
	};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL))
		abort();
	return fd;
}

int main(void)
{
	struct timex synchronised = { .modes = ADJ_STATUS | ADJ_MAXERROR };
	char *state = getenv("state");
	int64_t first, due;
	int timer;

	set_up();
	calibrate();
	adjtimex(&synchronised);
	busy = mmap(NULL, 2 * sizeof(*busy), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (busy == MAP_FAILED)
		abort();
	if (state)
		start(sleep_when_told, state);
	else
		start_load();
	be_first();
	start(log_lines, NULL);
	first = read_ns(CLOCK_MONOTONIC) + TICK_NS;
	timer = start_timer(first);
	line("G ready 1");
	due = read_ns(CLOCK_MONOTONIC);
	while (1) {
		report(timer, first);
		due += NS_PER_S;
		if (due < read_ns(CLOCK_MONOTONIC))
			due = read_ns(CLOCK_MONOTONIC) + NS_PER_S;
		sleep_until(due);
	}
}
