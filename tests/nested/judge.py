# SPDX-License-Identifier: GPL-2.0
"""The outcome of a case, from what it left in its folder.

  console.log   first serial port: what the kernels said; looked at for a panic only
  verdict.log   second serial port: lines KEY=VALUE, below
  machine       qemu, bochs, secure or two
  qmp.log       how QEMU says the machine ended
  bochs.log     how Bochs says so, among other things
  status        exit status of the emulator, 124 or 137 at the time limit; `137 after N s`: killed before that

verdict.log, line by line; anything else in it makes the case lost:

  stage=N             one per stage, 0 to the number of kexecs, first line of its stage
  release=TEXT        uname -r
  check=NAME ok|fail
  note=KEY TEXT       evidence for people and for reports
  error=TEXT          the test bed or the script is at fault
  skip=TEXT
  taint=N             /proc/sys/kernel/tainted  \\ one each per stage, at its end
  warnings=N          splats in the kernel log  /
  kexec=LINE          last line of a stage that ends in a kexec
  verdict=pass|fail|skip    last line of all

Outcomes: pass, fail, skip, and lost: the machine did not come to its verdict by itself, so nothing is known
about the thing tested. Lost is not passed, and is no control being caught."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Tuple

Outcome = Tuple[str, str]
LINE = re.compile(r"(stage|taint|warnings)=[0-9]+|check=[A-Za-z0-9_.-]+ (ok|fail)|(release|note|error|skip|kexec)=.+|"
                  "verdict=(pass|fail|skip)")

# An out-of-tree (4096) module without a signature (8192) is what we are; every other taint is not.
# Under Bochs the kernel is told to leave out CPU features that are wrong there, which taints it (4).
# With Secure Boot it has one.
TAINT_ALLOWED = {"qemu": 4096 | 8192, "bochs": 4096 | 8192 | 4, "secure": 4096, "two": 4096 | 8192}


def read_lines(file: Path) -> List[str]:
    """Its lines, without carriage returns at their ends. A serial port may say any bytes."""
    lines = file.read_bytes().decode("latin-1").split("\n") if file.exists() else [""]
    if not lines[-1]:
        lines.pop()
    return [line[:-1] if line.endswith("\r") else line for line in lines]


def end_of_qemu(directory: Path, status: int) -> str:
    """How the machine ended, if it was not powered off; nothing if it was."""
    if status:
        return f"QEMU ended with status {status}"
    said = "\n".join(read_lines(directory / "qmp.log"))
    if re.search('"event": "SHUTDOWN".*"reason": "guest-shutdown"', said):
        return ""
    return "the machine was not powered off: " + "".join(re.findall('"reason": "[^"]*"', said)[:1])


def end_of_bochs(directory: Path, status: int) -> str:
    """To Bochs a machine that is powered off is a panic of its own, one of several, all with status 1."""
    if status != 1:
        return f"Bochs ended with status {status}"
    panics = re.findall(">>PANIC<< (.*)", "\n".join(read_lines(directory / "bochs.log")))
    if panics == ["ACPI control: soft power off"]:
        return ""
    return f"the machine was not powered off: {'; '.join(panics) or 'Bochs does not say why'}"


def lost(directory: Path, machine: str, said: Dict[str, List[str]]) -> str:
    """Why the machine did not get to its end by itself; nothing if it did. Puts the values of verdict.log into
    `said`, by their keys."""
    status, _, early = (directory / "status").read_text().strip().partition(" ")
    for line in read_lines(directory / "console.log"):
        # The first line of a panic says why; the console is read for nothing else.
        if "Kernel panic - not syncing" in line:
            return f"kernel panic: {line.split('Kernel panic - not syncing')[-1].lstrip(': ')}"
    if early:
        return f"killed from outside {early} (out of memory?)"
    if status in ("124", "137"):
        return "time limit"
    end = {"bochs": end_of_bochs}.get(machine, end_of_qemu)(directory, int(status))
    if end:
        return end
    lines = read_lines(directory / "verdict.log")
    # Before the kernel the firmware uses all serial ports, also after a reset.
    if machine == "secure" and "stage=0" in lines:
        lines = lines[-1 - lines[::-1].index("stage=0"):]
    for line in lines:
        if said["verdict"]:
            return f"not a verdict line: after the verdict: {line}"
        if not LINE.fullmatch(line):
            return f"not a verdict line: {line}"
        key, _, value = line.partition("=")
        said[key].append(value)
    return "" if said["verdict"] else "the machine ended without a verdict"


def fault(said: Dict[str, List[str]], allowed: int) -> str:
    """A fault that no expectation excuses; nothing if there is none."""
    taints = [taint for taint in said["taint"] if int(taint) & ~allowed]
    counts = [count for count in said["warnings"] if int(count)]
    if said["error"]:
        return said["error"][0]
    if taints:
        return f"kernel tainted: {taints[0]}"
    if counts:
        return f"kernel warnings: {counts[0]} (see console.log)"
    stages, kexecs, taints, warnings = (len(said[key]) for key in ("stage", "kexec", "taint", "warnings"))
    if [int(stage) for stage in said["stage"]] != list(range(stages)):
        return f"stages out of order: {' '.join(said['stage'])}"
    if not stages == kexecs + 1 == taints == warnings:
        return f"a stage is incomplete: {stages} stages, {kexecs} kexecs, {taints} taint and {warnings} warning counts"
    return ""


def judge_caught(failed: List[str], verdict: str, checks: List[str]) -> Outcome:
    missed = [check for check in checks if not check.endswith("?") and check not in failed]
    others = [check for check in failed if check not in checks and f"{check}?" not in checks]
    if missed:
        return "fail", f"control not caught by the check {missed[0]} (failed: {' '.join(failed) or 'none'})"
    if others:
        return "fail", f"control caught for another reason too: {others[0]}"
    if verdict != "fail":
        return "fail", f"verdict={verdict} in spite of failed checks"
    return "pass", f"caught: {' '.join(failed)}"


def judge(directory: Path, expect: str, kexecs: int) -> Outcome:
    """The outcome and its reason."""
    machine = (directory / "machine").read_text().strip()
    said: Dict[str, List[str]] = defaultdict(list)
    reason = lost(directory, machine, said)
    if reason:
        return "lost", reason
    reason = fault(said, TAINT_ALLOWED[machine])
    if reason:
        return "fail", reason
    verdict, skip, done = said["verdict"][0], said["skip"], len(said["kexec"])
    ok, failed = ([check.split()[0] for check in said["check"] if check.endswith(end)] for end in (" ok", " fail"))
    if skip and verdict == "skip" and not failed:
        return "skip", skip[-1]
    if skip or verdict == "skip":
        return "fail", "skipped without a reason, or after a failed check"
    if expect != "pass":
        return judge_caught(failed, verdict, expect[len("caught:"):].split(","))
    if failed:
        return "fail", f"failed checks: {' '.join(failed)}"
    if verdict != "pass":
        return "fail", f"verdict={verdict}"
    if done != kexecs:
        return "fail", f"{done} kexecs instead of {kexecs}"
    if not ok:
        return "fail", "nothing was checked"
    return "pass", f"{len(ok)} checks in {len(said['stage'])} stages"
