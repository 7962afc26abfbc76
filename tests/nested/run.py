#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Run the nested test bed: each case boots an emulated host under QEMU TCG or Bochs, kexecs it, and judges
what it said on its verdict port.

Output is KTAP. The exit status is 0 when at least one case ran, and none failed or was lost.
Logs are kept in build/nested/NAME/: console.log, verdict.log, qemu.log or bochs.log, status, command."""

import argparse
import contextlib
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Tuple

sys.path.append(str(Path(__file__).resolve().parents[1]))
import broken
import cases as table
import debian_host
import image
import kernels
import ktap
import secure_host
import two_hosts
from cases import Case
from common import L1, LOGS, NESTED, ROOT, Problem, locked, run_main, say
from judge import judge, read_lines
from machines import KINDS

KINDS.update(debian=debian_host.DebianHost, secure=secure_host.SecureHost, two=two_hosts.TwoHosts)
# Cases of which something could not be fetched or made, and why: these fail.
not_made: Dict[str, str] = {}

# Of a case that failed: of which logs, which lines, at most how many.
SHOWN = (("verdict", "^check=.* fail|^note=|^error=", 20), ("bochs", ">>PANIC<<", 5),
         ("qemu", "^(?!.*TCG doesn't support)", 5), ("console", "", 8))


def build_line(line: str) -> None:
    """The kernel, our module and those of the tests."""
    kernels.ensure(line)
    kernels.build_module(line)
    for source in (L1 / "modules").iterdir():
        kernels.build_module(line, source, source.name)


def attempt(cases: Iterable[Case], step: Callable[..., None], *arguments) -> None:
    """A step of what these cases need, if one of them can still be run."""
    cases = [case for case in cases if case.name not in not_made]
    try:
        if cases:
            step(*arguments)
    except (Problem, OSError) as problem:
        not_made.update((case.name, str(problem)) for case in cases)


def build(cases: List[Case]) -> None:
    """What the cases need. Each step says nothing when it has nothing to do."""
    for name, host in ("debian", debian_host), ("secure", secure_host):
        if not KINDS[name].unusable():
            attempt((case for case in cases if case.machine == name), host.build)
    cases = [case for case in cases if case.machine != "debian"]
    image.build_programs()
    for line in {line: None for case in cases for line in case.lines}:
        some = [case for case in cases if line in case.lines]
        attempt(some, build_line, line)
        # Ours with something broken.
        for name in {case.param("module"): None for case in some if case.param("module")}:
            attempt((case for case in some if case.param("module") == name), broken.build, name, line)
    for initramfs, case in {case.initramfs: case for case in cases}.items():
        attempt((case for case in cases if case.initramfs == initramfs), image.build, case)


def in_company(case: Case) -> Case:
    """Its time limit is for a machine that nobody else uses; by the load it has so much more."""
    return replace(case, limit=case.limit * max(1, round(os.getloadavg()[0] / (os.cpu_count() or 1))))


class Run:
    """One run over some cases."""

    def __init__(self, options: argparse.Namespace, logs: Path, planned: int):
        self.options, self.logs, self.report = options, logs, ktap.Report(planned)
        self.running: Dict[subprocess.Popen, Tuple[Case, float, contextlib.ExitStack]] = {}

    def start(self, case: Case) -> None:
        directory, case = self.logs / case.name, in_company(case)
        with contextlib.ExitStack() as held:
            # Until it is judged.
            held.enter_context(locked(self.logs / f".locks/{case.name}", "another run in this tree is at this case"))
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            machine = KINDS[case.machine](case.with_params(f"limit={case.limit}"), directory)
            self.running[machine.start()] = (case, time.monotonic(), held.pop_all())
        print(f"# {case.name}: started (limit {case.limit} s)", flush=True)

    def wait_one(self) -> None:
        ended: List[subprocess.Popen] = []
        while not ended:
            time.sleep(0.1)
            ended = [process for process in self.running if process.poll() is not None]
        case, started, held = self.running.pop(ended[0])
        with held:
            self.conclude(case, ended[0].returncode, time.monotonic() - started)

    def conclude(self, case: Case, status: int, seconds: float) -> None:
        directory = self.logs / case.name
        # As a shell says it.
        status = status if status >= 0 else 128 - status
        early = f" after {seconds:.0f} s" if status == 137 and seconds < case.limit else ""
        (directory / "status").write_text(f"{status}{early}\n")
        outcome, reason = judge(directory, case.expect, int(case.param("kexecs", "1")))
        said = f"{outcome}: {reason}"
        (directory / "outcome").write_text(f"{said}\n")
        # In the self-test a case is right when the judge said of it what the table says it must.
        good = fnmatch.fnmatchcase(said, case.outcome) if case.outcome else outcome in ("pass", "skip")
        note = f"{seconds:.0f} s, {said}"
        self.report.test(case.name, "" if good else self.evidence(directory, case.outcome),
                         f"SKIP {reason}" if outcome == "skip" and not case.outcome else note)
        if self.options.v:
            for key, value in re.findall("^(stage|note)=(.*)", "\n".join(read_lines(directory / "verdict.log")), re.M):
                print(f"# stage {value}" if key == "stage" else f"#   {value}")

    def evidence(self, directory: Path, wanted: str) -> str:
        shown = [f"wanted: {wanted}"] if wanted else []
        for name, pattern, last in SHOWN:
            lines = [line for line in read_lines(directory / f"{name}.log") if re.search(pattern, line)]
            shown += [f"{name}: {line[:160]}" for line in lines[-last:]]
        return "\n".join([*shown, f"logs: {os.path.relpath(directory, ROOT)}/"])

    def run(self, cases: List[Case]) -> int:
        try:
            for case in cases:
                # A case whose machine there is not, or not a right one.
                reason = KINDS[case.machine].unusable()
                if reason:
                    self.report.test(case.name, note=f"SKIP {reason}")
                    continue
                if case.name in not_made:
                    self.report.test(case.name, not_made[case.name])
                    continue
                while len(self.running) >= self.options.j:
                    self.wait_one()
                try:
                    self.start(case)
                except (Problem, OSError) as problem:
                    self.report.test(case.name, str(problem))
            while self.running:
                self.wait_one()
        finally:
            # The machines die with us anyway; this is for an orderly end.
            for process in self.running:
                process.terminate()
                process.wait()
        return self.report.end()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-c", metavar="PATTERN", nargs="+", action="append", default=[],
        help="only these cases, as 'age-*' (comma- or blank-separated, or repeated)")
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
        with locked(LOGS / ".build.lock"):
            for line in kernels.names(*options.build or ["released"]):
                say(f"building the modules for {line}")
                build_line(line)
            image.build_programs()
        return 0
    patterns = [text for group in options.c for text in group]
    file, logs = (NESTED / "selftest.tbl", LOGS / "self-test") if options.self_test else (options.t, LOGS)
    cases = table.select(table.read_table(file), options.full or options.self_test or options.l, patterns)
    if options.l:
        print(*cases, sep="\n")
        return 0
    if not options.n:
        with locked(LOGS / ".build.lock"):
            build(cases)
    return Run(options, logs, len(cases)).run(cases)


if __name__ == "__main__":
    run_main(main)
