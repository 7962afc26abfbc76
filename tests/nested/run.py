#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Run the nested test bed: each case boots an emulated host under QEMU TCG or Bochs, kexecs it, and judges
what it said on its verdict port.

Output is KTAP. The exit status is 0 when at least one case ran, and none failed or was lost.
Logs are kept in build/nested/NAME/: console.log, verdict.log, qemu.log or bochs.log, status, command."""

import argparse
import fnmatch
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

import broken
import cases as table
import image
import kernels
from cases import Case
from common import L1, LOGS, NESTED, ROOT, Problem, run_main, say
from judge import judge, read_lines
from machines import KINDS

LEFT_BY_A_RUN = ("console.log", "verdict.log", "qemu.log", "qmp.log", "bochs.log", "screen.log", "status", "outcome")


# Of a case that failed: of which logs, which lines, at most how many.
SHOWN = (("verdict", "^check=.* fail|^note=|^error=", 20), ("bochs", ">>PANIC<<", 5),
         ("qemu", "^(?!.*TCG doesn't support)", 5), ("console", "", 8))


def build_line(line: str, modules: Iterable[str] = ()) -> None:
    """The kernel, our module and those of the tests; of these only some cases have the module of the errno tests,
    or ours with something broken."""
    kernels.ensure(line)
    kernels.build_module(line)
    for source in (L1 / "modules").iterdir():
        kernels.build_module(line, source, source.name)
    for name in modules:
        if name == "kch_fault":
            kernels.build_module(line, L1 / "errno/fault", name)
        else:
            broken.build(name, line)


def build(cases: List[Case]) -> None:
    """What the cases need. Each step says nothing when it has nothing to do."""
    image.build_programs()
    for line in {line: None for case in cases for line in case.lines}:
        some = [case for case in cases if line in case.lines]
        build_line(line, {"kch_fault" if case.script == "errno" else case.param("module") for case in some} - {""})
    for case in {case.initramfs: case for case in cases}.values():
        image.build(case)


def build_lines(lines: List[str]) -> None:
    """What all cases of these lines need."""
    if kernels.is_given():
        kernels.take_given(*lines)
    for line in lines:
        say(f"building the modules for {line}")
        build_line(line)
    say("building library, tool and test programs")
    image.build_programs()


class Run:
    """One run over some cases."""

    def __init__(self, options: argparse.Namespace, logs: Path):
        self.options, self.logs = options, logs
        self.running: Dict[subprocess.Popen, Tuple[Case, float]] = {}
        self.count = {"passed": 0, "failed": 0, "skipped": 0}

    def result(self, case: Case, kind: str, text: str) -> None:
        self.count[kind] += 1
        print(f"{'not ok' if kind == 'failed' else 'ok'} {sum(self.count.values())} {case.name} # "
              f"{'SKIP ' if kind == 'skipped' else ''}{text}", flush=True)

    def start(self, case: Case) -> None:
        directory = self.logs / case.name
        directory.mkdir(parents=True, exist_ok=True)
        for name in LEFT_BY_A_RUN:
            (directory / name).unlink(missing_ok=True)
        for name in ("console.log", "verdict.log"):
            (directory / name).touch()
        machine = KINDS[case.machine](case.with_params(f"limit={case.limit}"), directory)
        self.running[machine.start()] = (case, time.monotonic())
        print(f"# {case.name}: started (limit {case.limit} s)", flush=True)

    def wait_one(self) -> None:
        ended: List[subprocess.Popen] = []
        while not ended:
            time.sleep(0.1)
            ended = [process for process in self.running if process.poll() is not None]
        case, started = self.running.pop(ended[0])
        status = ended[0].returncode
        # As a shell says it.
        self.finish(case, status if status >= 0 else 128 - status, time.monotonic() - started)

    def finish(self, case: Case, status: int, seconds: float) -> None:
        directory = self.logs / case.name
        (directory / "status").write_text(f"{status}\n")
        outcome, reason = judge(directory, case.expect, int(case.param("kexecs", "1")))
        said = f"{outcome}: {reason}"
        (directory / "outcome").write_text(f"{said}\n")
        # In the self-test a case is right when the judge said of it what the table says it must.
        good = fnmatch.fnmatchcase(said, case.outcome) if case.outcome else outcome in ("pass", "skip")
        if outcome == "skip" and not case.outcome:
            self.result(case, "skipped", reason)
        else:
            self.result(case, "passed" if good else "failed", f"{seconds:.0f} s, {said}")
        if not good:
            self.show_failure(directory, case.outcome)
        if self.options.v:
            for key, value in re.findall("^(stage|note)=(.*)", "\n".join(read_lines(directory / "verdict.log")), re.M):
                print(f"# stage {value}" if key == "stage" else f"#   {value}")

    def show_failure(self, directory: Path, wanted: str) -> None:
        print(f"#   wanted: {wanted}\n" if wanted else "", f"#   logs: {os.path.relpath(directory, ROOT)}/", sep="")
        for name, pattern, last in SHOWN:
            lines = [line for line in read_lines(directory / f"{name}.log") if re.search(pattern, line)]
            print("".join(f"#   {name}: {line[:160]}\n" for line in lines[-last:]), end="")

    def run(self, cases: List[Case]) -> int:
        print(f"KTAP version 1\n1..{len(cases)}", flush=True)
        try:
            for case in cases:
                # A case whose machine there is not, or not a right one.
                reason = KINDS[case.machine].unusable()
                if reason:
                    self.result(case, "skipped", reason)
                    continue
                while len(self.running) >= self.options.j:
                    self.wait_one()
                self.start(case)
            while self.running:
                self.wait_one()
        finally:
            # The machines die with us anyway; this is for an orderly end.
            for process in self.running:
                process.terminate()
                process.wait()
        print("# {passed} passed, {failed} failed, {skipped} skipped".format(**self.count))
        ran = self.count["passed"] + self.count["failed"]
        print(end="" if ran else "# no case was run: that is a failure\n")
        return 0 if ran and not self.count["failed"] else 1


def enter(case: Case, directory: Path) -> int:
    reason = KINDS[case.machine].unusable()
    if reason:
        raise Problem(reason)
    directory.mkdir(parents=True, exist_ok=True)
    machine = KINDS[case.machine](case.with_params("shell=yes"), directory)
    say(f"{case.name}: verdict lines go to {directory}/verdict.log; leave with poweroff -f, or kill it "
        "(QEMU: Ctrl-A X)")
    return machine.interact()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-c", metavar="PATTERN", nargs="+", action="append", default=[],
        help="only these cases, as 'age-*' (comma- or blank-separated, or repeated)")
    add("-e", metavar="NAME", help="enter the case's emulated host: its console, a shell")
    add("-j", metavar="N", type=int, choices=(1, 2), default=min(2, os.cpu_count() or 1),
        help="emulated hosts at once, 1 or 2 (default 2, on one CPU 1)")
    add("-l", action="store_true", help="list the cases, or with -c those")
    add("-n", action="store_true", help="use kernels, modules and initramfs as they are; build nothing")
    add("-t", metavar="FILE", type=Path, default=table.TABLE, help="another case table than cases.tbl")
    add("-v", action="store_true", help="print the evidence (note=) of each case")
    add("--full", action="store_true", help="all cases, not the short ones only")
    add("--self-test", action="store_true", help="does the test bed see what it must see?")
    add("--build", metavar="LINE", nargs="*",
        help="only build what these kernel lines, or those of a set, need (default: released)")
    return parser.parse_args()


def main() -> int:
    options = parse_options()
    LOGS.mkdir(parents=True, exist_ok=True)
    if options.build is not None:
        build_lines(kernels.names(*options.build or ["released"]))
        return 0
    patterns = [options.e] if options.e else [text for group in options.c for text in group]
    file, logs = (NESTED / "selftest.tbl", LOGS / "self-test") if options.self_test else (options.t, LOGS)
    cases = table.select(table.read_table(file), options.full or options.self_test or options.l, patterns)
    if options.l:
        print(*cases, sep="\n")
        return 0
    if not options.n:
        build(cases)
    return enter(cases[0], logs / cases[0].name) if options.e else Run(options, logs).run(cases)


if __name__ == "__main__":
    run_main(main)
