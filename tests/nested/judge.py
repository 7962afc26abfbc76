# SPDX-License-Identifier: GPL-2.0
"""The outcome of a case, from what it left in its folder.

  console.log   first serial port: what the kernels said; looked at for a panic only
  verdict.log   second serial port: lines KEY=VALUE, below
  machine       qemu or bochs
  qmp.log       how QEMU says the machine ended
  bochs.log     how Bochs says so, among other things
  status        exit status of the emulator, 124 or 137 at the time limit

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Tuple

Outcome = Tuple[str, str]

LINE = re.compile(r"(stage|taint|warnings)=([0-9]+)|check=([A-Za-z0-9_.-]+) (ok|fail)|"
                  r"(release|note|error|skip|kexec)=(.+)|verdict=(pass|fail|skip)")

# An out-of-tree (4096) module without a signature (8192) is what we are; every other taint is not.
# Under Bochs the kernel is told to leave out CPU features that are wrong there, which taints it (4).
TAINT_ALLOWED = {"qemu": 4096 | 8192, "bochs": 4096 | 8192 | 4}


@dataclass
class Verdict:
    """What verdict.log says."""
    numbers: dict = field(default_factory=lambda: {"stage": [], "taint": [], "warnings": []})
    texts: dict = field(default_factory=lambda: {"release": [], "note": [], "error": [], "skip": [], "kexec": []})
    ok: List[str] = field(default_factory=list)
    failed: List[str] = field(default_factory=list)
    verdict: str = ""
    bad: Optional[str] = None

    def read(self, lines: List[str]) -> None:
        """Up to the first line that is not of the language above, which is then in bad."""
        for line in lines:
            match = LINE.fullmatch(line)
            if self.verdict:
                self.bad = f"after the verdict: {line}"
            elif not match:
                self.bad = line
            if self.bad is not None:
                return
            number, value, check, result, text, rest, verdict = match.groups()
            if number:
                self.numbers[number].append(int(value))
            elif check:
                (self.ok if result == "ok" else self.failed).append(check)
            elif text:
                self.texts[text].append(rest)
            else:
                self.verdict = verdict


def read_lines(file: Path) -> List[str]:
    """Its lines, without carriage returns at their ends. A serial port may say any bytes."""
    if not file.exists():
        return []
    lines = file.read_bytes().decode("latin-1").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line[:-1] if line.endswith("\r") else line for line in lines]


def end_of_qemu(directory: Path, status: int) -> str:
    """How the machine ended, if it was not powered off; nothing if it was."""
    if status:
        return f"QEMU ended with status {status}"
    said = read_lines(directory / "qmp.log")
    if any(re.search('"event": "SHUTDOWN".*"reason": "guest-shutdown"', line) for line in said):
        return ""
    reasons = re.findall('"reason": "[^"]*"', "\n".join(said))
    return f"the machine was not powered off: {reasons[0] if reasons else ''}"


def end_of_bochs(directory: Path, status: int) -> str:
    """To Bochs a machine that is powered off is a panic of its own, one of several, all with status 1."""
    if status != 1:
        return f"Bochs ended with status {status}"
    panics = "".join(f"{line.split('>>PANIC<< ')[-1]};" for line in read_lines(directory / "bochs.log")
                     if ">>PANIC<< " in line)
    if panics == "ACPI control: soft power off;":
        return ""
    return f"the machine was not powered off: {panics or 'Bochs does not say why'}"


def lost(directory: Path, machine: str, verdict: Verdict) -> str:
    """Why the machine did not get to its end by itself; nothing if it did. Reads the verdict."""
    status = int((directory / "status").read_text())
    for line in read_lines(directory / "console.log"):
        # The first line of a panic says why; the console is read for nothing else.
        if "Kernel panic - not syncing" in line:
            return f"kernel panic: {line.split('Kernel panic - not syncing')[-1].lstrip(': ')}"
    if status in (124, 137):
        return "time limit"
    end = {"qemu": end_of_qemu, "bochs": end_of_bochs}[machine](directory, status)
    if end:
        return end
    verdict.read(read_lines(directory / "verdict.log"))
    if verdict.bad is not None:
        return f"not a verdict line: {verdict.bad}"
    return "" if verdict.verdict else "the machine ended without a verdict"


def fault(verdict: Verdict, machine: str) -> str:
    """A fault that no expectation excuses; nothing if there is none."""
    stages, taints, warnings = (verdict.numbers[key] for key in ("stage", "taint", "warnings"))
    kexecs = len(verdict.texts["kexec"])
    if verdict.texts["error"]:
        return verdict.texts["error"][0]
    for taint in taints:
        if taint & ~TAINT_ALLOWED[machine]:
            return f"kernel tainted: {taint}"
    for count in warnings:
        if count:
            return f"kernel warnings: {count} (see console.log)"
    if stages != list(range(len(stages))):
        return f"stages out of order: {' '.join(map(str, stages))}"
    if not len(stages) == kexecs + 1 == len(taints) == len(warnings):
        return (f"a stage is incomplete: {len(stages)} stages, {kexecs} kexecs, "
                f"{len(taints)} taint and {len(warnings)} warning counts")
    return ""


def judge_pass(verdict: Verdict, kexecs: int) -> Outcome:
    done = len(verdict.texts["kexec"])
    if verdict.failed:
        return "fail", f"failed checks: {' '.join(verdict.failed)}"
    if verdict.verdict != "pass":
        return "fail", f"verdict={verdict.verdict}"
    if done != kexecs:
        return "fail", f"{done} kexecs instead of {kexecs}"
    if not verdict.ok:
        return "fail", "nothing was checked"
    return "pass", f"{len(verdict.ok)} checks in {len(verdict.numbers['stage'])} stages"


def judge_caught(verdict: Verdict, checks: str) -> Outcome:
    wanted = checks.split(",")
    for check in wanted:
        if not check.endswith("?") and check not in verdict.failed:
            return "fail", (f"control not caught by the check {check} "
                            f"(failed: {' '.join(verdict.failed) or 'none'})")
    for check in verdict.failed:
        if check not in (name.rstrip("?") for name in wanted):
            return "fail", f"control caught for another reason too: {check}"
    if verdict.verdict != "fail":
        return "fail", f"verdict={verdict.verdict} in spite of failed checks"
    return "pass", f"caught: {' '.join(verdict.failed)}"


def judge(directory: Path, expect: str, kexecs: int) -> Outcome:
    """The outcome and its reason."""
    machine = (directory / "machine").read_text().strip()
    verdict = Verdict()
    reason = lost(directory, machine, verdict)
    if reason:
        return "lost", reason
    reason = fault(verdict, machine)
    if reason:
        return "fail", reason
    skip = verdict.texts["skip"]
    if skip and verdict.verdict == "skip" and not verdict.failed:
        return "skip", skip[-1]
    if skip or verdict.verdict == "skip":
        return "fail", "skipped without a reason, or after a failed check"
    if expect == "pass":
        return judge_pass(verdict, kexecs)
    return judge_caught(verdict, expect[len("caught:"):])
