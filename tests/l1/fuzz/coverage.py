#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""What of the module was reached in cases with module=counted on 7.3-kcsan, by gcov: of each source file the lines that
were run of those there are, then all, then the functions that no case has entered.

    coverage.py CASE..."""

import base64
import io
import json
import re
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Dict

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/nested"))
from common import BUILD, LOGS, Problem, new_folder, run_main  # noqa: E402
from judge import read_lines  # noqa: E402


def counts_of(case: str):
    """What gcov says of each file of the module: the emulated host's counts beside the compiler's notes."""
    text = "".join(re.findall("^gcda: (.*?)\r?$", "\n".join(read_lines(LOGS / case / "console.log")), re.M))
    if not text:
        raise Problem(f"{case}: no counts in its console.log: was it run with module=counted, on 7.3-kcsan?")
    with new_folder(BUILD / "tests/coverage") as work:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as tar:
            tar.extractall(work)
        for counts in work.rglob("*.gcda"):
            notes = counts.with_suffix(".gcno")
            notes.symlink_to("/" / notes.relative_to(work))
            said = subprocess.run(["gcov", "-j", "-t", counts], check=True, stdout=subprocess.PIPE, cwd=work).stdout
            yield from json.loads(said)["files"]


def main() -> int:
    lines: Dict[str, Dict[int, int]] = defaultdict(lambda: defaultdict(int))
    functions: Dict[str, Dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for case in sys.argv[1:]:
        for file in counts_of(case):
            name = file["file"].rpartition("kch_counted/")[2]
            # What is in headers is not counted.
            if not name.endswith(".c"):
                continue
            for line in file["lines"]:
                lines[name][line["line_number"]] += line["count"]
            for function in file["functions"]:
                functions[name][function["name"]] += function["execution_count"]
    rows = [(name, sum(1 for count in found.values() if count), len(found)) for name, found in sorted(lines.items())]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    for name, reached, there in rows:
        print(f"{name:<24} {reached:5} of {there:5} lines, {100 * reached / there:3.0f} %")
    print("not entered:", ", ".join(f"{function}()" for found in functions.values() for function, count in found.items() if not count))
    return 0


if __name__ == "__main__":
    run_main(main)
