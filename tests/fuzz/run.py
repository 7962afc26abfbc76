#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Fuzzes: first a reader that was broken on purpose, which must be found out, then the true one.

    run.py BUILD SECONDS
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import ktap  # noqa: E402

CONTROL_SECONDS = 60
RUNS_MIN = 1000
# The control: a reader that believes the size an entry claims, as long as it is consistent.
CONTROL = ("record.c", "if (vm->size > left || ", "if (")
BUILD, SECONDS = Path(sys.argv[1]), int(sys.argv[2])


def fuzz(build: Path, seconds: int, *variables: str):
    """(whether it ended without a find, the end of its output, number of finds)"""
    made = subprocess.run(["make", "-s", "-C", HERE, "fuzzer", f"BUILD={build}", *variables], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if made.returncode:
        return False, made.stdout, 0
    shutil.rmtree(build / "finds", ignore_errors=True)
    for folder in ("corpus", "finds"):
        (build / folder).mkdir(parents=True, exist_ok=True)
    # -max_total_time is looked at between inputs; an input that hangs has its own limit.
    done = subprocess.run(["timeout", str(seconds + 60), build / "fuzz-record", f"-max_total_time={seconds}",
                           "-timeout=10", "-max_len=16384", "-use_value_profile=1", "-print_final_stats=1",
                           f"-artifact_prefix={build}/finds/", build / "corpus", BUILD / "seeds"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return not done.returncode, "\n".join(done.stdout.splitlines()[-40:]), len(list((build / "finds").iterdir()))


def main() -> int:
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")
    report = ktap.Report(2)
    control, (file, old, new) = BUILD / "control", CONTROL
    shutil.rmtree(control, ignore_errors=True)
    shutil.copytree(HERE.parents[1] / "kernel/core", control / "sources")
    text = (control / "sources" / file).read_text()
    (control / "sources" / file).write_text(text.replace(old, new))
    good, output, finds = fuzz(control, CONTROL_SECONDS, f"SOURCES={control}/sources")
    report.test("control", "" if old in text and not good and finds else f"{output}\nan unchecked size is not found",
                f"an unchecked size is found: {finds} finds")
    good, output, _ = fuzz(BUILD, SECONDS)
    runs = int((re.findall(r"stat::number_of_executed_units: *(\d+)", output) or ["0"])[0])
    report.test("fuzz", "" if good and runs >= RUNS_MIN else output or "no output",
                f"{runs} inputs in {SECONDS} s; finds are in {BUILD}/finds")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
