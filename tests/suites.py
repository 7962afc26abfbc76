#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Run all test suites, `tests/suites.py [--full]`, and add up what they counted. Each suite ends with a line
"N passed, N failed, N skipped"; one that does not, or ran nothing, has failed. What each said is in build/log/."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOGS = Path(os.environ.get("KCH_BUILD", ROOT / "build")) / "log"
RUN = "tests/nested/run.py"
MAKE = "make --no-print-directory -s -C"
COUNTS = re.compile(r"(?:# )?(\d+) passed, (\d+) failed, (\d+) skipped")

ALWAYS = {
    "unit": f"{MAKE} tests/unit run",
    "cli": "tests/cli/test_tool.py",
    "lives": f"{MAKE} tests/lives run",
    "steps": f"{MAKE} tests/fuzz steps",
    "build": "tests/nested/test_kernels.py",
    "judge": "tests/nested/test_judge.py",
    "reports": "tests/nested/test_reports.py",
}
SHORT = {"nested": RUN}
FULL = {
    "test-bed": f"{RUN} --self-test",
    "packages": "tests/packages.py",
    "checks": "scripts/check.py --control",
    "mutants": f"{MAKE} tests/unit mutants",
    "fuzz": f"{MAKE} tests/fuzz run",
    "nested": f"{RUN} --full",
    "luo": f"{RUN} -t tests/nested/luo.tbl --full",
}


def run_suite(name: str, command: str) -> list:
    """What it counted: passed, failed, skipped."""
    print(f"\n# {name}", flush=True)
    counts = None
    with open(LOGS / f"{name}.log", "w", errors="replace") as log, subprocess.Popen(
            command, shell=True, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace") as suite:
        for line in suite.stdout:
            print(line, end="", flush=True)
            log.write(line)
            counts = COUNTS.fullmatch(line.rstrip("\n")) or counts
    if not counts:
        print(f"# {name}: ended with status {suite.returncode} and no count")
        return [0, 1, 0]
    passed, failed, skipped = map(int, counts.groups())
    return [passed, failed or int(suite.returncode != 0 or not passed), skipped]


def main() -> int:
    if sys.argv[1:] not in ([], ["--full"]):
        print(__doc__, file=sys.stderr)
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    suites = {**ALWAYS, **(FULL if sys.argv[1:] else SHORT)}
    counts = {name: run_suite(name, command) for name, command in suites.items()}
    bad = [name for name, count in counts.items() if count[1]]
    passed, failed, skipped = map(sum, zip(*counts.values()))
    print(f"\n# failed: {' '.join(bad)}" if bad else "")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
