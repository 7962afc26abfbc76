#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Tests as KTAP, with the count at the end that tests/suites.py reads.

    ktap.main()                          of a Python program: its unittest cases, or those it is told
    tests/ktap.py PROGRAM... [-- CASE...]   programs that print KTAP themselves, each as one test
"""
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import List

# Seconds, for one program.
TIME_LIMIT = 300


class Report:
    """A line for each test; what is wrong with it is said above it. Its methods keep the count."""

    def __init__(self, planned: int):
        self.number = self.passed = self.failed = self.skipped = 0
        print(f"KTAP version 1\n1..{planned}")

    def line(self, name: str, wrong: str = "", note: str = "") -> None:
        self.number += 1
        print("".join(f"# {line}\n" for line in wrong.splitlines()) +
              f"{'not ' if wrong else ''}ok {self.number} {name}{note and ' # ' + note}", flush=True)

    def test(self, name: str, wrong: str = "", note: str = "") -> None:
        self.line(name, wrong, note)
        self.failed += bool(wrong)
        self.skipped += note.startswith("SKIP")
        self.passed += not wrong and not note.startswith("SKIP")

    def end(self) -> int:
        """The exit status: 0 only if something ran and nothing failed."""
        print(f"# {self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 0 if self.passed and not self.failed else 1


class Result(unittest.TestResult):
    def __init__(self, report: Report):
        super().__init__()
        self.say = report

    def addSuccess(self, test):
        self.say.test(test.id().split(".", 1)[-1])

    def addSkip(self, test, reason):
        self.say.test(test.id().split(".", 1)[-1], note=f"SKIP {reason}")

    def addError(self, test, err):
        self.say.test(test.id().split(".", 1)[-1], self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err:
            self.addError(subtest, err)


def main() -> int:
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*.test_{name}" for name in sys.argv[1:]] or None
    suite = loader.loadTestsFromModule(sys.modules["__main__"])
    report = Report(suite.countTestCases())
    suite.run(Result(report))
    return report.end()


def run(program: str, *cases: str):
    """(status, output); the status is what is wrong with it, or empty."""
    try:
        done = subprocess.run([program, *cases], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, errors="replace", timeout=TIME_LIMIT, check=False,
                              env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"})
        return f"exit status {done.returncode}" if done.returncode else "", done.stdout
    except subprocess.TimeoutExpired as expired:
        return f"longer than {TIME_LIMIT} s", (expired.stdout or b"").decode(errors="replace")


def run_programs(programs: List[str], cases: List[str]) -> int:
    """A program that dies, hangs, or runs fewer cases than it planned has failed."""
    # The names of cases are strings in the program.
    chosen = [program for program in programs if not cases or
              any(b"\0" + case.encode() + b"\0" in Path(program).read_bytes() for case in cases)]
    report = Report(len(chosen))
    for program in chosen:
        status, output = run(program, *cases)
        plan = re.search(r"^1\.\.(\d+)$", output, re.M)
        ran, bad, not_run = (len(re.findall(pattern, output, re.M)) for pattern in
                             ("^(not )?ok ", "^not ok ", "^ok .*# SKIP"))
        print("".join(f"    {line}\n" for line in output.splitlines()), end="")
        good = not status and not bad and ran > 0 and plan is not None and int(plan[1]) == ran
        wrong = "" if good else f"{status or 'ended'}, {plan[1] if plan else 'no'} cases planned, {ran} ran"
        report.line("/".join(Path(program).parts[-2:]), wrong)
        # What did not run because the program died counts as one.
        report.failed += 0 if good else bad or 1
        report.passed += ran - bad - not_run
        report.skipped += not_run
    return report.end()


if __name__ == "__main__":
    words = sys.argv[1:] + ["--"]
    end = words.index("--")
    sys.exit(run_programs(words[:end], words[end + 1:-1]))
