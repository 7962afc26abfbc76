# SPDX-License-Identifier: GPL-2.0
#
#   make demo       the main job on a real kexec, and its result as a table
#   make demo-qemu, demo-host    the same for a Linux guest of Debian's QEMU; for a libvirt guest of a Debian host
#   make test       unit tests, every errno, the short nested cases
#   make test-full  all nested cases, mutants, fuzzing
#   make test-newcomer   make demo in minimal roots of Debian 12 and 13
#   make cases CASE='age-* hold-*'   the nested cases of these names, and what they need
#   make soak       a hundred kexecs in a row, then the short nested cases 50 or TIMES= times; with CASE= only those
#   make bench      each way to restore a clock, over ten kexecs; what ours costs
#   make results    the tables in Documentation/ anew, from a run of the cases they are of
#   make check      style and static checks
#   make            module for the running kernel, or KDIR=; library, tool
#   make install    the same, below DESTDIR, in PREFIX; make uninstall removes it
#   make packages   Debian packages, into build/packages
#
# demo, bench, test, check and packages install what they need (Debian, as root or with sudo);
# the emulated hosts' kernels are fetched. All that is kept below build/.

# To make that is the end of a path: clean would delete others' folders. Each Makefile has this line.
$(if $(word 2,$(CURDIR)),$(error there is a blank in the path of this tree: $(CURDIR)))

KDIR ?= /lib/modules/$(shell uname -r)/build

all: userspace module

module:
	$(MAKE) -C kernel KDIR=$(KDIR)

userspace:
	$(MAKE) -C userspace

install: userspace
	$(MAKE) -C userspace install
	$(MAKE) -C kernel KDIR=$(KDIR) install

uninstall:
	$(MAKE) -C userspace uninstall
	$(MAKE) -C kernel KDIR=$(KDIR) uninstall

packages:
	@scripts/setup.sh --packages
	@scripts/packages.py

setup:
	@scripts/setup.sh

# What the nested tests run: the kernels, the module for each, the programs.
nested: setup
	@tests/nested/run.py --build

demo: setup
	@tests/nested/run.py --build default
	@tests/nested/reports.py demo

# The same for a Linux guest of Debian's QEMU, with a picture.
demo-qemu: setup
	@tests/nested/run.py --build demo-qemu
	@tests/nested/reports.py demo-qemu
	@cp build/results/qemu-clock.svg Documentation

# A libvirt guest of a real Debian 13 host.
demo-host: setup
	@tests/nested/reports.py demo-host

# What the code of the record costs is measured here, and goes to the logs of the cases.
build/nested/record-cost: nested
	@build/tests/bench/record-cost >$@

bench: build/nested/record-cost
	@tests/nested/reports.py benchmark blackout

# FROM_LOGS=1: from what the last run of the cases left.
results: $(if $(FROM_LOGS),nested,build/nested/record-cost)
	@tests/nested/reports.py $(if $(FROM_LOGS),--from-logs) matrix blackout selftests benchmark time-that-passed
	@cp $(addprefix build/results/,matrix.rst blackout.rst selftests.rst benchmark.rst benchmark.svg \
		time-that-passed.rst) Documentation

# The suites, each a command that prints KTAP. prove runs them, and says which failed; the last line has the sums.
# With that formatter each line is seen as it comes, into a pipe, too.
unit	:= $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test-*.c))
suites	:= $(unit:%=build/tests/unit/plain/%) $(unit:%=build/tests/unit/sanitized/%) tests/cli/test_tool.py \
	'make -s -C tests/lives run' 'make -s -C tests/lives work' 'make -s -C tests/fuzz steps' $(wildcard tests/nested/test_*.py)
# Of KTAP that went through a pipe into $(1): the sums. What had come before that pipe may have failed, too.
define sums
status=$${PIPESTATUS[0]}; awk -v bad=$$status '/^ok [0-9-].*# SKIP/ { skipped++; next } /^ok [0-9-]/ { passed++ } /^not ok / { failed++ } \
		END { if (bad && !failed) failed = 1; printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; \
		exit bad || !passed }' $(1)
endef
# Two at once would write one log.
alone	:= exec 9>build/.suites.lock; flock -n 9 || { echo "make: another run of the suites in this tree" >&2; exit 1; };
define run_suites
	@$(alone) prove --verbose --merge --nocolor --formatter TAP::Formatter::Console --exec 'sh -c' $(suites) $(1) | tee build/test.log; \
	$(call sums,build/test.log)
endef
test test-full soak: SHELL := bash

test: nested
	@$(MAKE) -s -C tests/unit
	$(call run_suites,tests/nested/run.py)

# The fuzzer and the checks on the checks need tools of their own.
test-full: nested
	@scripts/setup.sh --check
	@$(MAKE) -s -C tests/unit
	$(call run_suites,'tests/nested/run.py --self-test' tests/packages.py tests/newcomer.py 'scripts/check.py --control' \
		'make -s -C tests/unit mutants' 'make -s -C tests/fuzz run' 'tests/nested/run.py --full' \
		'tests/nested/run.py --full -t tests/nested/luo.tbl')

test-newcomer: setup
	@tests/newcomer.py

# What a case needs is built by the runner, which also says where there is no case of a name.
cases: setup
	$(if $(CASE),,$(error CASE= names the cases, as in CASE='age-*'; tests/nested/run.py -l lists them))
	@tests/nested/run.py -c '$(CASE)'

# Goes on after a failure, and fails at the end.
soak: nested
	@mkdir -p build/log; $(alone) { failed=0; \
	$(if $(CASE),,tests/nested/run.py -c soak-100 || failed=1;) for n in $$(seq $(or $(TIMES),50)); do \
		echo "# run $$n of $(or $(TIMES),50)"; tests/nested/run.py $(if $(CASE),-c '$(CASE)') || failed=1; \
	done; exit $$failed; } | tee build/log/soak.log; \
	$(call sums,build/log/soak.log)

check:
	@scripts/setup.sh --check
	@scripts/check.py

clean:
	rm -rf build/userspace build/tests build/module build/nested
	if [ -e $(KDIR)/Makefile ]; then $(MAKE) -C kernel KDIR=$(KDIR) clean; fi

# build/ first, as cleaning kernel/ may fail.
distclean:
	rm -rf build
	@$(MAKE) --no-print-directory clean

help:
	@sed -n '3,18s/^# \{0,1\}//p' Makefile

.PHONY: all module userspace install uninstall packages setup nested demo demo-qemu demo-host bench results test \
	test-full test-newcomer cases soak check clean distclean help
