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


def count(passed: int, failed: int, skipped: int) -> int:
    """The exit status: 0 only if something ran and nothing failed."""
    print(f"# {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 0 if passed > 0 and failed == 0 else 1


class Result(unittest.TestResult):
    """A line for each test; what failed is said above it."""

    def report(self, test, err=None, note=""):
        if err:
            print("# " + self._exc_info_to_string(err, test).rstrip().replace("\n", "\n# "))
        name = str(test.id()).split(".", 1)[-1]
        print(f"{'not ' if err else ''}ok {self.testsRun} {name}{note and ' # ' + note}", flush=True)

    def addSuccess(self, test):
        self.report(test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.report(test, note=f"SKIP {reason}")

    def addError(self, test, err):
        super().addError(test, err)
        self.report(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.report(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.report(subtest, err)


def main() -> int:
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*.test_{name}" for name in sys.argv[1:]] or None
    suite = loader.loadTestsFromModule(sys.modules["__main__"])
    print(f"KTAP version 1\n1..{suite.countTestCases()}")
    result = suite.run(Result())
    failed, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    return count(result.testsRun - failed - skipped, failed, skipped)


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
    print(f"KTAP version 1\n1..{len(chosen)}")
    passed = failed = skipped = 0
    for number, program in enumerate(chosen, 1):
        status, output = run(program, *cases)
        plan = re.search(r"^1\.\.(\d+)$", output, re.M)
        ran, bad, not_run = (len(re.findall(pattern, output, re.M)) for pattern in
                             ("^(not )?ok ", "^not ok ", "^ok .*# SKIP"))
        print("".join(f"    {line}\n" for line in output.splitlines()), end="")
        good = not status and not bad and ran > 0 and plan is not None and int(plan[1]) == ran
        if not good:
            print(f"# {status or 'ended'}, {plan[1] if plan else 'no'} cases planned, {ran} ran")
        print(f"{'' if good else 'not '}ok {number} {'/'.join(Path(program).parts[-2:])}", flush=True)
        # What did not run because the program died counts as one.
        failed += 0 if good else bad or 1
        passed, skipped = passed + ran - bad - not_run, skipped + not_run
    return count(passed, failed, skipped)


if __name__ == "__main__":
    words = sys.argv[1:] + ["--"]
    end = words.index("--")
    sys.exit(run_programs(words[:end], words[end + 1:-1]))
