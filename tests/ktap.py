# SPDX-License-Identifier: GPL-2.0
"""Runs unittest's test cases as KTAP, with the count that scripts/test.sh reads at the end."""
import sys
import unittest


class Result(unittest.TestResult):
    """A line for each test; what failed is said above it."""

    def report(self, word: str, test: unittest.TestCase, note: str = "") -> None:
        name = str(test.id()).split(".", 1)[-1]
        print(f"{word} {self.testsRun} {name}{note and ' # ' + note}", flush=True)

    def addSuccess(self, test):
        self.report("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.report("ok", test, f"SKIP {reason}")

    def addError(self, test, err):
        super().addError(test, err)
        print("# " + self.errors[-1][1].rstrip().replace("\n", "\n# "))
        self.report("not ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print("# " + self.failures[-1][1].rstrip().replace("\n", "\n# "))
        self.report("not ok", test)


def main() -> int:
    """Of the calling program, all tests, or those named (CASE or CLASS.CASE)."""
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*.{name}" if "*" in name or "." in name else f"*.test_{name.removeprefix('test_')}"
                               for name in sys.argv[1:]] or None
    suite = loader.loadTestsFromModule(sys.modules["__main__"])
    print(f"KTAP version 1\n1..{suite.countTestCases()}")
    result = suite.run(Result())
    failed, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    passed = result.testsRun - failed - skipped
    print(f"# {passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed > 0 and failed == 0 else 1
