# SPDX-License-Identifier: GPL-2.0
"""Tests in Python as KTAP, which prove adds up: Report for those that are rows of a table, main() for unittest's."""
import signal
import sys
import traceback
import unittest


class Report:
    """A line for each test; what is wrong with it is said above it."""

    def __init__(self, planned: int):
        self.passed = self.failed = self.skipped = 0
        print(f"KTAP version 1\n1..{planned}", flush=True)

    def test(self, name: str, wrong: str = "", note: str = "") -> None:
        skipped = note.startswith("SKIP")
        self.failed += bool(wrong)
        self.skipped += skipped
        self.passed += not wrong and not skipped
        print("".join(f"# {line}\n" for line in wrong.splitlines()) + ("not ok" if wrong else "ok"),
              self.passed + self.failed + self.skipped, name + (note and f" # {note}"), flush=True)

    def end(self) -> int:
        """The exit status: 0 only if something ran and nothing failed."""
        print(f"# {self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 0 if self.passed and not self.failed else 1


class Result(unittest.TestResult):
    def __init__(self, report: Report):
        super().__init__()
        self.report = report

    def startTest(self, test):
        self.wrong = self.note = ""

    def addSkip(self, test, reason):
        self.note = f"SKIP {reason}"

    def addError(self, test, err):
        self.wrong += "".join(traceback.format_exception(*err))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err:
            self.wrong += f"{subtest}\n{err[1]}\n"

    def stopTest(self, test):
        self.report.test(test.id().split(".", 1)[-1], self.wrong, self.note)


def main() -> int:
    """The tests of the program, or those it is told."""
    # As by the keyboard: what they made in /tmp goes, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*.test_{name}" for name in sys.argv[1:]] or None
    suite = loader.loadTestsFromModule(sys.modules["__main__"])
    report = Report(suite.countTestCases())
    suite.run(Result(report))
    return report.end()
