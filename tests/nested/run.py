#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Run the nested test bed: each case boots an emulated host under QEMU TCG or Bochs, kexecs it, and judges
what it said on its verdict port.

Output is KTAP. The exit status is 0 when at least one case ran, and none failed or was lost.
Logs are kept in build/nested/NAME/: console.log, verdict.log, qemu.log or bochs.log, status, command."""

import argparse
import fnmatch
import functools
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

import broken
import cases as table
import image
import kernels
from cases import Case
from common import L1, LOGS, NESTED, ROOT, Problem, run_main, say
from judge import judge, read_lines
from machines import KINDS, machine_of

LEFT_BY_A_RUN = ("console.log", "verdict.log", "qemu.log", "qmp.log", "bochs.log", "screen.log", "status", "outcome")


@functools.lru_cache(maxsize=None)
def ensure_line(line: str) -> None:
    kernels.ensure(line)
    kernels.build_module(line, ROOT / "kernel", "kvmclock_handover")
    for source in (L1 / "modules").iterdir():
        kernels.build_module(line, source, source.name)


@functools.lru_cache(maxsize=None)
def ensure_module(line: str, name: str) -> None:
    """One that only some cases have: that of the errno tests, or ours with something broken."""
    if name == "kch_fault":
        kernels.build_module(line, L1 / "errno/fault", name)
    else:
        broken.build(name, line)


def prepare(cases: List[Case]) -> None:
    """Kernels, modules, programs and initramfs of the cases; each step says nothing when it has nothing to do."""
    image.build_programs()
    for case in cases:
        for line in case.lines:
            ensure_line(line)
            if case.script == "errno":
                ensure_module(line, "kch_fault")
            if case.param("module"):
                ensure_module(line, case.param("module"))
    for case in {case.initramfs: case for case in cases}.values():
        image.build(case)


def build(lines: List[str]) -> None:
    """What the emulated hosts of these lines need, whatever the case."""
    if kernels.is_given():
        kernels.take_given(*lines)
    for line in lines:
        say(f"building the module for {line}")
        ensure_line(line)
    say("building library, tool and test programs")
    image.build_programs()


def shown(lines: List[str], pattern: str, last: int, label: str) -> None:
    for line in [line for line in lines if re.search(pattern, line)][-last:]:
        print(f"#   {label}: {line[:160]}")


@dataclass
class Run:
    """One run over some cases, up to `jobs` machines at once."""
    cases: List[Case]
    logs: Path
    jobs: int
    verbose: bool
    self_test: bool

    def __post_init__(self) -> None:
        self.running: Dict[subprocess.Popen, Tuple[Case, float]] = {}
        self.count = {"passed": 0, "failed": 0, "skipped": 0}

    def result(self, case: Case, kind: str, text: str) -> None:
        self.count[kind] += 1
        ok = "not ok" if kind == "failed" else "ok"
        print(f"{ok} {sum(self.count.values())} {case.name} # {'SKIP ' if kind == 'skipped' else ''}{text}", flush=True)

    def start(self, case: Case) -> None:
        directory = self.logs / case.name
        directory.mkdir(parents=True, exist_ok=True)
        for name in LEFT_BY_A_RUN:
            (directory / name).unlink(missing_ok=True)
        for name in ("console.log", "verdict.log"):
            (directory / name).touch()
        process = machine_of(case.with_params(f"limit={case.limit}"), directory).start()
        self.running[process] = (case, time.monotonic())
        print(f"# {case.name}: started (limit {case.limit} s)", flush=True)

    def wait_one(self) -> None:
        while True:
            for process, (case, started) in self.running.items():
                status = process.poll()
                if status is not None:
                    del self.running[process]
                    # As a shell says it.
                    self.finish(case, status if status >= 0 else 128 - status, time.monotonic() - started)
                    return
            time.sleep(0.1)

    def finish(self, case: Case, status: int, seconds: float) -> None:
        directory = self.logs / case.name
        (directory / "status").write_text(f"{status}\n")
        outcome, reason = judge(directory, case.expect, int(case.param("kexecs", "1")))
        said = f"{outcome}: {reason}"
        (directory / "outcome").write_text(f"{said}\n")
        if self.self_test:
            # Here a case is right when the judge said of it what the table says it must.
            good = fnmatch.fnmatchcase(said, case.outcome)
        else:
            good = outcome in ("pass", "skip")
        if good and outcome == "skip" and not self.self_test:
            self.result(case, "skipped", reason)
        else:
            self.result(case, "passed" if good else "failed", f"{seconds:.0f} s, {said}")
        if not good:
            if self.self_test:
                print(f"#   wanted: {case.outcome}")
            self.show_failure(directory)
        if self.verbose:
            for line in read_lines(directory / "verdict.log"):
                key, _, value = line.partition("=")
                if key in ("stage", "note"):
                    print(f"# stage {value}" if key == "stage" else f"#   {value}")

    def show_failure(self, directory: Path) -> None:
        print(f"#   logs: {os.path.relpath(directory, ROOT)}/")
        shown(read_lines(directory / "verdict.log"), "^check=.* fail|^note=|^error=", 20, "verdict")
        shown(read_lines(directory / "qemu.log"), "^(?!.*TCG doesn't support)", 5, "qemu")
        shown(read_lines(directory / "bochs.log"), ">>PANIC<<", 5, "bochs")
        shown(read_lines(directory / "console.log"), "", 8, "console")

    def stop(self) -> None:
        """The machines die with us anyway; this is for an orderly end."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()

    def run(self) -> int:
        print(f"KTAP version 1\n1..{len(self.cases)}", flush=True)
        try:
            for case in self.cases:
                # A case whose machine there is not, or not a right one.
                reason = KINDS[case.machine].unusable()
                if reason:
                    self.result(case, "skipped", reason)
                    continue
                while len(self.running) >= self.jobs:
                    self.wait_one()
                self.start(case)
            while self.running:
                self.wait_one()
        finally:
            self.stop()
        print("# {passed} passed, {failed} failed, {skipped} skipped".format(**self.count))
        if not self.count["passed"] + self.count["failed"]:
            print("# no case was run: that is a failure")
            return 1
        return 1 if self.count["failed"] else 0


def enter(case: Case, directory: Path) -> int:
    reason = KINDS[case.machine].unusable()
    if reason:
        raise Problem(reason)
    directory.mkdir(parents=True, exist_ok=True)
    machine = machine_of(case.with_params("shell=yes"), directory)
    say(f"{case.name}: verdict lines go to {directory}/verdict.log; leave with poweroff -f, or kill it "
        "(QEMU: Ctrl-A X)")
    return machine.interact()


def check_judge() -> None:
    """The judge alone first: it takes no time, and without it nothing else means anything."""
    checked = subprocess.run([sys.executable, NESTED / "test_judge.py"], stdout=subprocess.PIPE, text=True, check=False)
    print("".join(f"# judge: {line}\n" for line in checked.stdout.splitlines()), end="", flush=True)
    if checked.returncode:
        raise Problem("the judge is wrong")


def parse_options() -> argparse.Namespace:
    cpus = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", metavar="PATTERN", nargs="+", action="append", default=[],
                        help="only these cases, as 'age-*' (comma- or blank-separated, or repeated)")
    parser.add_argument("-e", metavar="NAME", help="enter the case's emulated host: its console, a shell")
    parser.add_argument("-j", metavar="N", type=int, choices=(1, 2), default=min(2, cpus),
                        help="emulated hosts at once, 1 or 2 (default 2, on one CPU 1)")
    parser.add_argument("-l", action="store_true", help="list the cases, or with -c those")
    parser.add_argument("-n", action="store_true", help="use kernels, modules and initramfs as they are; build nothing")
    parser.add_argument("-t", metavar="FILE", type=Path, default=table.TABLE, help="another case table than cases.tbl")
    parser.add_argument("-v", action="store_true", help="print the evidence (note=) of each case")
    parser.add_argument("--full", action="store_true", help="all cases, not the short ones only")
    parser.add_argument("--self-test", action="store_true", help="does the test bed see what it must see?")
    parser.add_argument("--build", metavar="LINE", nargs="*",
                        help="only build the programs, and what these kernel lines need, or a set of them (default: released)")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    LOGS.mkdir(parents=True, exist_ok=True)
    if options.build is not None:
        build(kernels.names(*options.build or ["released"]))
        return 0
    patterns = [options.e] if options.e else [text for group in options.c for text in group]
    file, logs = (NESTED / "selftest.tbl", LOGS / "self-test") if options.self_test else (options.t, LOGS)
    full = options.full or options.self_test or options.l
    cases = table.select(table.read_table(file), full, patterns)
    if options.l:
        print(*cases, sep="\n")
        return 0
    if options.self_test:
        check_judge()
    if not options.n:
        prepare(cases)
    if options.e:
        return enter(cases[0], logs / cases[0].name)
    return Run(cases, logs, options.j, options.v, options.self_test).run()


if __name__ == "__main__":
    run_main(main)
