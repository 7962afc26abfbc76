// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"
#include "policy.h"
#include "report.h"
#include "service.h"
#include "session.h"
#include "state.h"

#define MS_PER_S		1000U
#define NS_PER_MS		1000000L
#define POLL_MS			20
#define OBSERVE_MS		30000	/* an emulated host may be slow */
#define SETTLE_MS		500	/* KVM has written all pages by then */
#define SECONDS_PER_HOUR	3600ULL
#define NS_PER_DAY		86400000000000ULL

static sigset_t end_signals;

/* When, by the host's TSC: the same axis before and after a kexec. */
static uint64_t stamp(const char *key)
{
	uint64_t tsc = __builtin_ia32_rdtsc();

	report(key, "%llu", (unsigned long long)tsc);
	return tsc;
}

/* Blocked before any thread exists: only wait_ms() takes them. */
static void block_signals(void)
{
	sigemptyset(&end_signals);
	sigaddset(&end_signals, SIGTERM);
	sigaddset(&end_signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &end_signals, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * (uint64_t)MS_PER_S + time.tv_nsec / NS_PER_MS;
}

/* True when told to end. */
static bool wait_ms(uint32_t ms)
{
	struct timespec time = {
		.tv_sec = ms / MS_PER_S,
		.tv_nsec = ms % MS_PER_S * NS_PER_MS,
	};

	uint64_t end = now_ms() + ms, now;
	bool told = sigtimedwait(&end_signals, NULL, &time) > 0;

	now = now_ms();
	if (!told && now > end)
		age_was_late((now - end) * NS_PER_MS);
	return told;
}

static void wait_observed(const struct vm *vm)
{
	uint64_t end = now_ms() + OBSERVE_MS;

	while (!measure_all_observed(vm) && now_ms() < end)
		if (wait_ms(POLL_MS))
			return;
}

/*
 * Until the time is over, the iterations are made, or it is told to end; but
 * not before everything has been checked once: of many vCPUs on few CPUs one
 * may wait long for the lock whose holder was preempted.
 */
static void let_run(const struct session *s, const struct vm *vm,
		    const struct baseline *base, uint32_t ms)
{
	uint64_t end = now_ms() + ms;
	uint64_t last = end + OBSERVE_MS;
	uint64_t now;

	do {
		if (wait_ms(POLL_MS))
			return;
		now = now_ms();
		if (s->iterations && measure_enough(vm, base, s->iterations))
			return;
	} while (!s->run_ms || now < end ||
		 (now < last && !measure_enough(vm, base, 1)));
}

/* A guest that has been up for so long. */
static void start_clock(const struct session *s, const struct vm *vm)
{
	struct kvm_clock_data data = { .clock = s->clock_days * NS_PER_DAY };

	if (s->clock_days && ioctl(vm->fd, KVM_SET_CLOCK, &data))
		die("KVM_SET_CLOCK: %s", strerror(errno));
}

static void start_new(const struct session *s, struct vm *vm,
		      struct guestmem *mem)
{
	uint32_t i;

	guestmem_load_guest(mem, s->vcpu_count);
	state_init(mem, s->uuid, s->name);
	mem->saved->asked_khz = s->tsc_khz;
	vm_create(vm, mem);
	if (s->tsc_khz)
		vm_set_tsc_khz(vm, s->tsc_khz);
	for (i = 0; i < s->vcpu_count; i++) {
		struct vcpu *vcpu = vm_add_vcpu(vm);

		vcpu_set_entry(vcpu);
		if (s->skew_khz)
			vcpu_set_tsc_khz(vcpu, vm_tsc_khz(vm) + i * s->skew_khz);
		if (s->skew_cycles)
			vcpu_set_tsc_offset(vcpu, vcpu_tsc_offset(vcpu) +
						  i * s->skew_cycles);
	}
	start_clock(s, vm);
}

static void report_refusal(const struct handover *h)
{
	report("refused_errno", "%s", strerrorname_np(-h->error));
	report("refused_vcpu", "%d", h->result.sz ? h->result.outcome.vcpu_id : -1);
	report("message", "%s", h->message);
	report_check(false, "refused");
}

/* False when the clock was refused: the VM must not run then. */
static bool resume(const struct session *s, struct vm *vm, struct guestmem *mem,
		   struct kch_restore_result *result, struct passed *passed,
		   struct import *import)
{
	struct handover h = { 0 };
	uint32_t flags = s->restore_flags, i;

	guestmem_check_saved(mem);
	/* The process before this one crashed: the VM that it had is gone, and had this clock. */
	if (s->service && !mem->saved->registers_valid)
		flags |= KCH_RESTORE_STALE;
	if (s->aged)
		age_saved(mem, s->aged_host, s->aged_ns);
	if (s->has_uuid &&
	    memcmp(s->uuid, mem->saved->uuid, sizeof(s->uuid)))
		die("the VM saved there has another id");
	report("method", "%s", s->method->name);
	report("saves", "%llu", (unsigned long long)mem->saved->saves);
	report("registers_restored", "%u", mem->saved->registers_valid);

	vm_create(vm, mem);
	stamp("at_vm_made");
	if (s->tsc_khz)
		vm_set_tsc_khz(vm, s->tsc_khz);
	else if (s->method->prepare)
		s->method->prepare(vm, &h);
	else if (mem->saved->asked_khz)
		vm_set_tsc_khz(vm, mem->saved->asked_khz);
	stamp("at_prepared");
	if (!h.error) {
		for (i = 0; i < mem->saved->vcpu_count; i++)
			vm_add_vcpu(vm);
		state_load(vm);
		passed->ready = stamp("at_state_loaded");
		if (import->used)
			import_prepare(import, mem->saved);
		s->method->restore(vm, flags, &h);
		passed->restored = stamp("at_restored");
	}
	if (h.error) {
		report_refusal(&h);
		return false;
	}
	if (h.result.sz) {
		report("mode", "%s", kch_mode_name(h.result.outcome.mode));
		report("restore_error_ns", "%lld",
		       (long long)h.result.outcome.error_ns);
		report("restore_error_cycles", "%lld",
		       (long long)h.result.outcome.error_cycles);
		report("restore_error_rate_ppb", "%lld",
		       (long long)h.result.outcome.error_rate_ppb);
		report("rebase_bound_ns", "%lld",
		       (long long)h.result.outcome.rebase_bound_ns);
		report("restore_blackout_ns", "%llu",
		       (unsigned long long)h.result.outcome.blackout_ns);
		report("restore_slack_ns", "%llu",
		       (unsigned long long)h.result.error_slack_ns);
		report("restore_growth_ppb", "%llu",
		       (unsigned long long)h.result.error_growth_ppb);
		report("restore_rounds", "%u", h.result.rounds);
		report("restore_tsc_rate_ppb", "%lld",
		       (long long)h.result.tsc_rate_ppb);
		report("restore_refusal", "%s", h.result.refusal ?
		       strerrorname_np(h.result.refusal) : "none");
		report_check(h.result.outcome.mode == (s->reach ? s->reach :
						s->method->mode), "mode");
		report_check(h.result.outcome.mode <= KCH_MODE_CONTINUOUS ||
			     (!h.result.outcome.error_cycles && !h.result.tsc_rate_ppb),
			     "mode");
		report_check(h.result.outcome.mode != KCH_MODE_IDENTICAL ||
			     (!h.result.outcome.error_ns && !h.result.outcome.error_rate_ppb),
			     "mode");
		*result = h.result;
	} else {
		report("mode", "stock");
	}
	return true;
}

static void report_frequencies(const struct vm *vm, uint32_t saved_khz)
{
	uint32_t khz = vm_tsc_khz(vm);

	if (saved_khz)
		report("tsc_khz_saved", "%u", saved_khz);
	report("tsc_khz", "%u", khz);
	/* An hour by the guest's own TSC, for what it computes itself. */
	vm->mem->shared->hour_cycles =
		(saved_khz ? saved_khz : khz) * 1000ULL * SECONDS_PER_HOUR;
}

static void adopt(const struct vm *vm)
{
	struct handover h = { 0 };

	handover_adopt(vm, &h);
	if (h.error) {
		report("adopt_errno", "%s", strerrorname_np(-h.error));
		report("adopt_message", "%s", h.message);
	}
	report_check(!h.error, "adopt");
}

/* The VM runs on; the vCPUs that were there are watched while others come. */
static void add_vcpus(const struct session *s, struct vm *vm)
{
	struct baseline base;
	uint32_t i;

	measure_start(vm, &base);
	vm_start(vm);
	wait_observed(vm);
	wait_ms(SETTLE_MS);
	for (i = 0; i < s->hot_add; i++) {
		struct vcpu *vcpu = vm_add_vcpu(vm);

		vm->mem->shared->vcpu[vcpu->id].arm = 1;
		__atomic_store_n(&vm->mem->shared->vcpu_count, vm->vcpu_count,
				 __ATOMIC_SEQ_CST);
		vcpu_set_entry(vcpu);
		if (s->adopt)
			adopt(vm);
		vcpu_start(vcpu);
	}
	wait_observed(vm);
	let_run(s, vm, &base, s->run_ms / 2);
	vm_stop(vm);
	measure_hot_add(vm, &base);
}

static void age_later(const struct session *s, struct vm *vm)
{
	struct saved_clock clock = vm->mem->saved->vcpu[0].clock;

	if (s->age_now & ~AGE_ASK)
		clock.page = guestmem_read_page(vm->mem, 0);
	age_check(vm, &clock, s->age_later, "later");
}

static void save(const struct session *s, struct vm *vm)
{
	struct handover h = { 0 };

	if (!s->method)
		import_prepare_source(&s->import);
	if (!s->method)
		vm->mem->saved->faults = measure_faults(vm);
	if (s->new_life)
		state_forget(vm->mem->saved);
	state_save(vm, s->hold != HOLD_RUNNING);
	if (s->save_with_module) {
		stamp("at_state_saved");
		handover_save(vm, &h);
		stamp("at_clock_saved");
		if (h.error) {
			report("save_errno", "%s", strerrorname_np(-h.error));
			report("save_message", "%s", h.message);
		}
		report_check(!h.error, "save");
	}
	report("saved", "%d", !h.error);
	/* With the rest of the state, for who comes back without the module. */
	handover_stock_save(vm, &h);
	if (h.error) {
		report("stock_errno", "%s", strerrorname_np(-h.error));
		report("stock_message", "%s", h.message);
	}
}

static void hold(const struct session *s, struct vm *vm)
{
	if (s->hold == HOLD_NO)
		return;
	if (s->hold == HOLD_RUNNING)
		vm_start(vm);
	while (!wait_ms(UINT32_MAX))
		;
	if (s->hold == HOLD_RUNNING) {
		vm_stop(vm);
		state_save(vm, true);
	}
}

static int finish(int status, void (*done)(int status))
{
	report_flush();
	done(status);
	return status;
}

int session_run(const struct session *s, void (*done)(int status))
{
	struct kch_restore_result result = { 0 };
	struct passed passed = s->passed;
	struct import import = s->import;
	uint32_t saved_khz = 0;
	struct baseline base;
	struct guestmem mem;
	struct vm vm;
	int status;

	block_signals();
	if (s->method)
		stamp("at_vmm");
	guestmem_map(&mem, s->mem);
	report("pid", "%d", getpid());
	if (s->method) {
		if (!resume(s, &vm, &mem, &result, &passed, &import)) {
			vm_destroy(&vm);
			return finish(EXIT_REFUSED, done);
		}
		saved_khz = mem.saved->tsc_khz;
	} else {
		start_new(s, &vm, &mem);
	}
	if (s->sabotage.kind && s->sabotage.vcpu >= vm.vcpu_count)
		die("--on-vcpu %u: there are %u", s->sabotage.vcpu,
		    vm.vcpu_count);
	report("vcpus", "%u", vm.vcpu_count);
	report_frequencies(&vm, saved_khz);

	if (s->age_now)
		age_check(&vm, &mem.saved->vcpu[0].clock, s->age_now, "now");
	sabotage_before_run(&s->sabotage, &vm);
	measure_start(&vm, &base);
	if (passed.goes_on_ms != KCH_GOES_ON)
		passed_check(&passed, &vm, &base, &result);
	sabotage_baseline(&s->sabotage, &base);
	vm_start(&vm);
	wait_observed(&vm);
	if (s->service)
		service_running(s, &vm);
	if (s->aged)
		measure_forget_changes(&vm, &base);
	if (s->sabotage.kind)
		wait_ms(SETTLE_MS);
	sabotage_while_running(&s->sabotage, &vm);
	let_run(s, &vm, &base, s->hot_add ? s->run_ms / 2 : s->run_ms);
	vm_stop(&vm);
	/* Of a clock that was set anew, or may have been, there is nothing to say. */
	if (!(s->age_now & ~AGE_ASK)) {
		if (s->method && import.used)
			import_check(&import, &vm, &base, &result, passed.restored);
		else
			measure_guest(&vm, &base);
		if (s->method && !import.used)
			measure_restored(&vm, &base, &result);
	}
	if (s->age_later)
		age_later(s, &vm);
	if (s->hot_add)
		add_vcpus(s, &vm);
	save(s, &vm);

	status = report_any_failed() ? EXIT_CHECKS_FAILED : EXIT_CHECKS_HOLD;
	finish(status, done);
	hold(s, &vm);
	vm_destroy(&vm);
	return status;
}
