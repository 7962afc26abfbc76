#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Counts steps, replays all inputs, runs a fixed number of changed ones, compares syzkaller's descriptions. Then
libFuzzer, first on readers that were broken on purpose, which must be found out.

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

TARGETS = ("record", "tool")
# In make test: of changed inputs, for each target.
FIXED_RUNS = {"record": 40000, "tool": 8000}
CONTROL_SECONDS = 60
RUNS_MIN = 1000
# The control: a reader that believes the size an entry claims, as long as it is consistent.
CONTROL = ("record.c", "if (vm->size > left || ", "if (")
DESCRIPTIONS = HERE / "kvmclock_handover.txt"
BUILD, SECONDS = Path(sys.argv[1]), int(sys.argv[2])


def run(limit: int, *command):
    """(what is wrong with how it ended, or nothing; its output)"""
    done = subprocess.run(["timeout", str(limit), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode and f"exit status {done.returncode}", done.stdout


def build(folder: Path, program: str, *variables: str):
    made = subprocess.run(["make", "-s", "-C", HERE, f"{folder}/{program}", f"BUILD={folder}", *variables], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return made.stdout if made.returncode else ""


def fuzz(folder: Path, target: str, seconds: int):
    """(whether it ended without a find, the end of its output, number of finds)"""
    finds, corpus = folder / "finds" / target, folder / "corpus" / target
    shutil.rmtree(finds, ignore_errors=True)
    for path in (corpus, finds):
        path.mkdir(parents=True, exist_ok=True)
    # -max_total_time is looked at between inputs; an input that hangs has its own limit. The tool talks.
    status, output = run(seconds + 120, folder / f"fuzz-{target}", f"-max_total_time={seconds}", "-timeout=10", "-max_len=16384",
                         "-use_value_profile=1", "-print_final_stats=1", "-close_fd_mask=3", "-rss_limit_mb=4096",
                         f"-artifact_prefix={finds}/", corpus, BUILD / "seeds" / target)
    return not status, "\n".join(output.splitlines()[-40:]), len(list(finds.iterdir()))


def run_all(report: ktap.Report) -> None:
    """What needs no fuzzer."""
    commands = {"steps": ["steps", BUILD / "steps.region"]}
    for target in TARGETS:
        (BUILD / "corpus" / target).mkdir(parents=True, exist_ok=True)
        seeds = BUILD / "seeds" / target
        commands[f"{target}: replay"] = [f"replay-{target}", seeds, BUILD / "corpus" / target]
        # Of the seeds alone: the corpus is of one machine.
        commands[f"{target}: changed"] = [f"replay-{target}", "-n", str(FIXED_RUNS[target]), seeds]
    for name, (program, *words) in commands.items():
        status, output = run(300, BUILD / program, *words)
        report.test(name, f"{output[-4000:]}\n{status}" if status else "",
                    "".join(re.findall("^# (.*)", output, re.M)[-1:]))
    for change, wanted in (("", ""), ("\tgeneration\t\tint64", "\tgeneration\t\tint32"), ("const[KCH_IOC_ADOPT]", "const[KCH_IOC_READ]")):
        copy = BUILD / DESCRIPTIONS.name
        for suffix in ("", ".const"):
            text = Path(f"{DESCRIPTIONS}{suffix}").read_text()
            Path(f"{copy}{suffix}").write_text(text.replace(change, wanted, 1) if change and not suffix else text)
        status, output = run(60, HERE / "check_descriptions.py", copy)
        bad = output or status or "" if not change else "" if status and output else f"{change} as {wanted} is not noticed"
        report.test(f"descriptions{change and ', spoiled: ' + change.strip().split()[0]}", bad)


def fuzz_all(report: ktap.Report) -> None:
    control, (file, old, new) = BUILD / "control", CONTROL
    shutil.rmtree(control, ignore_errors=True)
    shutil.copytree(HERE.parents[1] / "kernel/core", control / "sources")
    source = control / "sources" / file
    text = source.read_text()
    source.write_text(text.replace(old, new))
    for target in TARGETS:
        wrong = build(control, f"replay-{target}", f"SOURCES={control}/sources")
        status, output = run(300, control / f"replay-{target}", "-n", str(FIXED_RUNS[target]), BUILD / "seeds" / target)
        report.test(f"{target}: changed, control",
                    "" if old in text and not wrong and status and re.search("AddressSanitizer|broken promise", output) else f"{wrong or output[-4000:]}\nan unchecked size is not found",
                    f"an unchecked size is found in {FIXED_RUNS[target]} changed inputs")
        wrong = build(control, f"fuzz-{target}", f"SOURCES={control}/sources")
        good, output, finds = fuzz(control, target, CONTROL_SECONDS) if not wrong else (True, wrong, 0)
        report.test(f"{target}: control",
                    "" if old in text and not good and finds else f"{output}\nan unchecked size is not found",
                    f"an unchecked size is found: {finds} finds")
        wrong = build(BUILD, f"fuzz-{target}")
        good, output, _ = fuzz(BUILD, target, SECONDS) if not wrong else (False, wrong, 0)
        runs = int((re.findall(r"stat::number_of_executed_units: *(\d+)", output) or ["0"])[0])
        report.test(f"{target}: fuzz", "" if good and runs >= RUNS_MIN else output or "no output",
                    f"{runs} inputs in {SECONDS} s; finds are in {BUILD}/finds")


def main() -> int:
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")
    report = ktap.Report(8 + (3 * len(TARGETS) if SECONDS else 0))
    run_all(report)
    if SECONDS and not shutil.which(os.environ.get("CLANG", "clang")):
        report.test("fuzz", "no clang here: scripts/setup.sh --check installs it (make steps does without)")
    elif SECONDS:
        fuzz_all(report)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
