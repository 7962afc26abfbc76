#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Counts steps, replays all inputs, then fuzzes: first a reader that was broken on purpose, which must be
found out, then the true one.

    run.py BUILD SECONDS      SECONDS 0: no fuzzing
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
results = []


def verdict(good: bool, name: str, note: str, output: str = "") -> None:
    results.append(good)
    if not good:
        print("".join(f"# {line}\n" for line in output.splitlines()[-40:]), end="")
    print(f"{'' if good else 'not '}ok {len(results)} {name} # {note}", flush=True)


def program(*command) -> None:
    status, output = ktap.run(*map(str, command))
    notes = re.findall("^# (.*)", output, re.M) or [""]
    verdict(not status, Path(command[0]).name, notes[-1], output)


def fuzz(build: Path, seconds: int, *variables: str):
    """(whether it ended without a find, output, number of finds)"""
    made = subprocess.run(["make", "-s", "-C", HERE, "fuzzer", f"BUILD={build}", *variables], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if made.returncode:
        return False, made.stdout, 0
    shutil.rmtree(build / "finds", ignore_errors=True)
    for folder in ("corpus", "finds"):
        (build / folder).mkdir(parents=True, exist_ok=True)
    with open(build / "log", "w", encoding="utf-8") as log:
        try:
            # -max_total_time is looked at between inputs; an input that hangs has its own limit.
            done = subprocess.run([build / "fuzz-record", f"-max_total_time={seconds}", "-timeout=10", "-max_len=16384",
                                   "-use_value_profile=1", "-print_final_stats=1", f"-artifact_prefix={build}/finds/",
                                   build / "corpus", BUILD / "seeds"], stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, timeout=seconds + 60, check=False).returncode
        except subprocess.TimeoutExpired:
            done = -1
    return done == 0, (build / "log").read_text(errors="replace"), len(list((build / "finds").iterdir()))


def main() -> int:
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")
    print(f"KTAP version 1\n1..{4 if SECONDS else 2}")
    program(BUILD / "steps", BUILD / "steps.region")
    (BUILD / "corpus").mkdir(parents=True, exist_ok=True)
    program(BUILD / "replay", BUILD / "seeds", BUILD / "corpus")
    if SECONDS and not shutil.which(os.environ.get("CLANG", "clang")):
        verdict(False, "fuzz", "no clang here: scripts/setup.sh --check installs it (make replay does without)")
    elif SECONDS:
        control, (file, old, new) = BUILD / "control", CONTROL
        shutil.rmtree(control, ignore_errors=True)
        shutil.copytree(HERE.parents[1] / "kernel/core", control / "sources")
        source = min((control / "sources").rglob(file))
        text = source.read_text()
        source.write_text(text.replace(old, new))
        good, output, finds = fuzz(control, CONTROL_SECONDS, f"SOURCES={control}/sources")
        verdict(old in text and not good and finds > 0, "control", f"an unchecked size is found: {finds} finds", output)
        good, output, finds = fuzz(BUILD, SECONDS)
        runs = int((re.findall(r"stat::number_of_executed_units: *(\d+)", output) or ["0"])[0])
        verdict(good and runs >= RUNS_MIN, "fuzz", f"{runs} inputs in {SECONDS} s; finds are in {BUILD}/finds", output)
    return ktap.count(sum(results), len(results) - sum(results), 0)


if __name__ == "__main__":
    sys.exit(main())
