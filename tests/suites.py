#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Run all test suites and add up what they counted. Each suite ends with a line "N passed, N failed, N skipped";
one that does not, or ran nothing, has failed.

    tests/suites.py [--full]

What each said is in build/log/."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = Path(os.environ.get("KCH_BUILD", ROOT / "build")) / "log"

RUN = "tests/nested/run.py"
# Name, whether only with --full (True) or only without it (False), and command.
SUITES = (
    ("unit", None, "make --no-print-directory -s -C tests/unit run"),
    ("cli", None, "tests/cli/test_tool.py"),
    ("steps", None, "make --no-print-directory -s -C tests/fuzz steps"),
    ("build", None, "tests/nested/test_kernels.py"),
    ("judge", None, "tests/nested/test_judge.py"),
    ("reports", None, "tests/nested/test_reports.py"),
    ("test-bed", True, f"{RUN} --self-test"),
    ("checks", True, "scripts/check_control.py"),
    ("mutants", True, "make --no-print-directory -s -C tests/unit mutants"),
    ("fuzz", True, "make --no-print-directory -s -C tests/fuzz run"),
    ("nested", True, f"{RUN} --full"),
    ("luo", True, f"{RUN} -t tests/nested/luo.tbl --full"),
    ("nested", False, RUN),
)
COUNTS = re.compile(r"(?:# )?(\d+) passed, (\d+) failed, (\d+) skipped")


def run_suite(name: str, command: str) -> list:
    """What it counted: passed, failed, skipped."""
    print(f"\n# {name}", flush=True)
    counts = None
    with open(LOGS / f"{name}.log", "w", encoding="utf-8", errors="replace") as log:
        with subprocess.Popen(command, shell=True, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace") as suite:
            for line in suite.stdout:
                print(line, end="", flush=True)
                log.write(line)
                match = COUNTS.fullmatch(line.rstrip("\n"))
                counts = [int(count) for count in match.groups()] if match else counts
    if counts is None:
        print(f"# {name}: ended with status {suite.returncode} and no count")
        return [0, 1, 0]
    passed, failed, skipped = counts
    if not failed and (suite.returncode or not passed):
        failed = 1
    return [passed, failed, skipped]


def main() -> int:
    full = sys.argv[1:] == ["--full"]
    if sys.argv[1:] and not full:
        print(__doc__, file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    counts = {name: run_suite(name, command) for name, when, command in SUITES if when in (None, full)}
    failed = [name for name, count in counts.items() if count[1]]
    print()
    if failed:
        print(f"# failed: {' '.join(failed)}")
    passed, failures, skipped = (sum(count) for count in zip(*counts.values()))
    print(f"{passed} passed, {failures} failed, {skipped} skipped")
    return 0 if passed and not failures else 1


if __name__ == "__main__":
    sys.exit(main())
