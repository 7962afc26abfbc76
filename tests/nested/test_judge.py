#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Is the judge strict? Gives it folders as emulated hosts would leave them, most with one thing wrong, and
compares its outcome with the wanted one. Asks whether a Bochs that is known to be wrong would be used, and
whether the case tables there are, and wrong ones, are taken. Needs no emulator. Prints KTAP."""

import fnmatch
import os
import stat
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Optional
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import ktap  # noqa: E402
import kernels  # noqa: E402
from cases import read_table, select  # noqa: E402
from common import NESTED, Problem  # noqa: E402
from judge import judge  # noqa: E402
from machines import Bochs  # noqa: E402

GOOD = """stage=0
release=6.12
check=a ok
taint=4096
warnings=0
kexec=6.12
stage=1
release=6.12
check=b ok
note=tsc_offset_cycles 0
taint=12288
warnings=0
verdict=pass"""
CAUGHT = GOOD.replace("check=b ok", "check=b fail").replace("verdict=pass", "verdict=fail")

OFF = '{"timestamp": {}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}'
RESET = OFF.replace("guest-shutdown", "guest-reset")
BOCHS_OFF = "00669p[ACPI  ] >>PANIC<< ACPI control: soft power off"
BOCHS_RESET = "00123p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution"
PANIC = "[ 1.0] Kernel panic - not syncing: "


def judged(verdict: str = GOOD, console: str = "[ 0.0] Linux", qmp: str = OFF, bochs: Optional[str] = None,
           status: Optional[int] = None, expect: str = "pass", kexecs: int = 1) -> str:
    """With `bochs` the machine is that, and ends with status 1, as it does whatever happens."""
    with tempfile.TemporaryDirectory() as name:
        machine = "qemu" if bochs is None else "bochs"
        if status is None:
            status = 0 if bochs is None else 1
        for file, text in (("verdict.log", verdict), ("console.log", console), ("qmp.log", qmp),
                           ("bochs.log", bochs or ""), ("machine", machine), ("status", str(status))):
            (Path(name) / file).write_bytes(text.encode() + b"\n")
        return ": ".join(judge(Path(name), expect, kexecs))


def without(line: str, text: str = GOOD) -> str:
    return "\n".join(other for other in text.split("\n") if not other.startswith(line))


def changed(old: str, new: str, text: str = GOOD) -> str:
    """The first time that it is there."""
    assert old in text
    return text.replace(old, new, 1)


# Name, the outcome wanted, and what is not as it is by default.
JUDGED = (
    ("good", "pass: 2 checks in 2 stages", {}),
    ("carriage-returns", "pass: *", {"verdict": GOOD.replace("\n", "\r\n")}),

    # Lost machines.
    ("time-limit", "lost: time limit", {"status": 124}),
    ("killed-at-the-limit", "lost: time limit", {"status": 137}),
    ("emulator-crashed", "lost: QEMU ended with status 139", {"status": 139}),
    ("panic-after-the-verdict", "lost: kernel panic: Fatal exception", {"console": PANIC + "Fatal exception\r"}),
    ("panic-says-more-than-the-limit", "lost: kernel panic: x", {"console": PANIC + "x", "status": 124}),
    ("reset-after-the-verdict", "lost: the machine was not powered off: *guest-reset*", {"qmp": RESET}),
    ("vanished", "lost: the machine was not powered off: *", {"qmp": ""}),
    ("silent", "lost: not a verdict line: ", {"verdict": ""}),
    ("no-verdict", "lost: the machine ended without a verdict", {"verdict": without("verdict=")}),
    ("cut-line", "lost: not a verdict line: check=b o", {"verdict": changed("check=b ok", "check=b o")}),
    ("mixed-lines", "lost: not a verdict line: *", {"verdict": changed("check=b ok", "che stage=1ck=b ok")}),
    ("line-after-the-verdict", "lost: not a verdict line: after the verdict: check=c fail",
     {"verdict": GOOD + "\ncheck=c fail"}),
    ("second-verdict", "lost: *", {"verdict": GOOD + "\nverdict=pass"}),
    ("empty-number", "lost: not a verdict line: taint=", {"verdict": changed("taint=4096", "taint=")}),

    # The same under Bochs.
    ("bochs-good", "pass: 2 checks in 2 stages", {"bochs": BOCHS_OFF}),
    ("bochs-told-to-leave-out-features", "pass: 2 checks in 2 stages",
     {"bochs": BOCHS_OFF, "verdict": changed("taint=4096", "taint=4100")}),
    ("bochs-warn-taint", "fail: kernel tainted: 12800",
     {"bochs": BOCHS_OFF, "verdict": changed("taint=12288", "taint=12800")}),
    ("bochs-other-status", "lost: Bochs ended with status 0", {"bochs": BOCHS_OFF, "status": 0}),
    ("bochs-time-limit", "lost: time limit", {"bochs": BOCHS_OFF, "status": 124}),
    ("bochs-reset", "lost: the machine was not powered off: exception()*", {"bochs": BOCHS_RESET}),
    ("bochs-off-and-reset", "lost: the machine was not powered off: *exception()*",
     {"bochs": f"{BOCHS_OFF}\n{BOCHS_RESET}"}),
    ("bochs-vanished", "lost: the machine was not powered off: Bochs does not say why", {"bochs": ""}),

    # Faults.
    ("features-left-out-under-qemu", "fail: kernel tainted: 4100", {"verdict": changed("taint=4096", "taint=4100")}),
    ("warn-taint", "fail: kernel tainted: 12800", {"verdict": changed("taint=12288", "taint=12800")}),
    ("die-taint-of-an-earlier-stage", "fail: kernel tainted: 4224", {"verdict": changed("taint=4096", "taint=4224")}),
    ("warnings-of-an-earlier-stage", "fail: kernel warnings: 3 *", {"verdict": changed("warnings=0", "warnings=3")}),
    ("error", "fail: no region", {"verdict": changed("check=b ok", "error=no region")}),
    ("stage-left-out", "fail: stages out of order: 0 2", {"verdict": changed("stage=1", "stage=2")}),
    ("stage-without-kexec", "fail: a stage is incomplete: *", {"verdict": without("kexec=")}),
    ("stage-without-its-end", "fail: a stage is incomplete: *", {"verdict": changed("warnings=0\nkexec", "kexec")}),
    ("too-few-kexecs", "fail: 1 kexecs instead of 2", {"kexecs": 2}),
    ("nothing-checked", "fail: nothing was checked", {"verdict": without("check")}),
    ("pass-in-spite-of-a-failed-check", "fail: failed checks: a", {"verdict": changed("check=a ok", "check=a fail")}),
    ("fail-without-a-failed-check", "fail: verdict=fail", {"verdict": changed("verdict=pass", "verdict=fail")}),
    ("skip-without-a-reason", "fail: skipped without a reason*", {"verdict": changed("verdict=pass", "verdict=skip")}),
    ("pass-in-spite-of-a-skip", "fail: skipped *",
     {"verdict": changed("verdict=pass", "skip=no KVM\nverdict=pass")}),
    ("skip", "skip: no KVM", {"verdict": changed("verdict=pass", "skip=no KVM\nverdict=skip")}),
    ("skip-after-a-failure", "fail: skipped *",
     {"verdict": changed("verdict=pass", "check=c fail\nskip=no KVM\nverdict=skip")}),

    # Controls.
    ("caught", "pass: caught: b", {"verdict": CAUGHT, "expect": "caught:b"}),
    ("caught-with-an-option", "pass: caught: b", {"verdict": CAUGHT, "expect": "caught:b,c?"}),
    ("caught-with-the-option-taken", "pass: caught: c b",
     {"verdict": changed("check=a ok", "check=c fail", CAUGHT), "expect": "caught:b,c?"}),
    ("not-caught", "fail: control not caught by the check b *", {"expect": "caught:b"}),
    ("caught-by-another-check", "fail: control not caught by the check a *",
     {"verdict": CAUGHT, "expect": "caught:a"}),
    ("half-caught", "fail: control not caught by the check c *", {"verdict": CAUGHT, "expect": "caught:b,c"}),
    ("caught-for-another-reason-too", "fail: control caught for another reason too: a",
     {"verdict": changed("check=a ok", "check=a fail", CAUGHT), "expect": "caught:b"}),
    ("caught-but-passed", "fail: verdict=pass in spite of failed checks",
     {"verdict": changed("verdict=fail", "verdict=pass", CAUGHT), "expect": "caught:b"}),
    ("caught-with-a-kernel-warning", "fail: kernel tainted: 4608",
     {"verdict": changed("taint=4096", "taint=4608", CAUGHT), "expect": "caught:b"}),
    ("caught-with-an-error", "fail: x",
     {"verdict": changed("check=a ok", "error=x", CAUGHT), "expect": "caught:b"}),
    ("caught-and-lost", "lost: kernel panic: x",
     {"verdict": CAUGHT, "expect": "caught:b", "console": PANIC + "x"}),
)

# Name, what `bochs` says its version is, and whether it would be used.
BOCHS = (
    ("bochs-2-7", " Bochs x86 Emulator 2.7", "usable"),
    ("bochs-3-0", " Bochs x86 Emulator 3.0", "usable"),
    ("bochs-3-1-is-wrong", " Bochs x86 Emulator 3.1", "Bochs 3.1: it divides wrongly*"),
    ("bochs-without-version", " Bochs x86 Emulator ", "bochs does not say its version"),
)


def bochs_with(version: str) -> str:
    """Whether one is used that says it is of this version, and knows the CPU, where all else is that it needs."""
    with tempfile.TemporaryDirectory() as name:
        for tool, text in (("bochs", f"echo '{version}'\necho {Bochs.model}"), ("xorriso", "")):
            file = Path(name) / tool
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(file.stat().st_mode | stat.S_IXUSR)
        path = f"{name}:{os.environ['PATH']}"
        files = {attribute: f"{name}/bochs" for attribute in ("isolinux", "ldlinux", "bios", "vgabios")}
        with mock.patch.dict(os.environ, {"PATH": path}), mock.patch.multiple(Bochs, **files):
            return Bochs.unusable() or "usable"


ROW = "{0} | short | 6.12 | 6.12 | smoke | a=b | pass | 60"
# Name, a row after a right one, what is said to it: nothing when it is right.
ROWS = (
    ("line-right", "case | short | 6.12 | 6.12 | smoke | machine=bochs | pass | 60", "taken"),
    ("line-machine", "case | short | 6.12 | 6.12 | smoke | machine=q35 | pass | 60", "*case: machine=q35: neither*"),
    ("line-fields", "case | short | 6.12 | 6.12 | smoke | pass | 60", "*7 fields instead of 8"),
    ("line-twice", ROW.format("good"), "*good is there twice"),
    ("line-set", "case | long | 6.12 | 6.12 | smoke | a=b | pass | 60", "*neither short nor full"),
    ("line-expect", "case | short | 6.12 | 6.12 | smoke | a=b | caught: | 60", "*neither pass nor caught:CHECK"),
    ("line-options", "case | short | 6.12 | 6.12 | smoke | a=b | caught:a?,b? | 60", "*no check that must fail"),
    ("line-name", "case | short | 6.12 | 6.12 | smoke | a=b | caught:NO_SUCH | 60", "*NO_SUCH: a name that is not in*"),
    ("line-kernel", "case | short | 6.12 | 5.0 | smoke | a=b | pass | 60", "*5.0: not a kernel line"),
    ("line-params", "case | short | 6.12 | 6.12 | smoke | a=b NO_SUCH | pass | 60", "*not all KEY=VALUE or +WORD"),
    ("line-limit", "case | short | 6.12 | 6.12 | smoke | a=b | pass | 0", "*0: no time limit"),
    ("line-outcome", "case | short | 6.12 | 6.12 | smoke | a=b | pass | 60 | pass", "*for some cases only"),
)


def taken(*rows: str, patterns: str = "") -> str:
    """What is said to a table, or `taken`; with patterns, the names that these select."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "table"
        file.write_text("".join(f"{row}\n" for row in rows))
        try:
            table = read_table(file)
            if patterns:
                return " ".join(case.name for case in select(table, True, [patterns]))
        except Problem as problem:
            return str(problem)
    return "taken"


# Name, patterns, and the cases of a-1 a-2 b-1 that these are.
PATTERNS = (
    ("pattern-name", "a-1", "a-1"),
    ("pattern-several", "a-*", "a-1 a-2"),
    ("pattern-two", "b-*,a-2", "b-1 a-2"),
    ("pattern-blank", "b-* a-1", "b-1 a-1"),
    ("pattern-once", "a-2 a-*", "a-2 a-1"),
    ("pattern-none", "a-* hold-*", "no case hold-[*]*"),
)

# Name, rows, and the rows that these stand for.
FAMILIES = (
    ("family-lines", ["x{-host} | short/full | 6.1,6.12 | = | s | a=b | pass | 1"],
     ["x-6.1 full 6.1 6.1", "x short 6.12 6.12"]),
    ("family-pairs", ["{host}-{next} | full | * | * | s | a=b | pass | 1"],
     [f"{old}-{new} full {old} {new}" for old, new in kernels.pairs()]),
    ("family-exception", ["x-{host} | full | 6.1,6.12 | = | s | a=b | pass | 1", ROW.format("x-6.12")],
     ["x-6.1 full 6.1 6.1", "x-6.12 short 6.12 6.12"]),
)


def rows_of(rows) -> list:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "table"
        file.write_text("\n".join(rows))
        return [f"{case.name} {case.set} {case.host} {case.next}" for case in read_table(file)]


def load_tests(*_) -> unittest.TestSuite:
    suite = unittest.TestSuite()

    def add(name: str, wanted, function, *arguments, **named) -> None:
        def test() -> None:
            said = function(*arguments, **named)
            if not (said == wanted if isinstance(wanted, list) else fnmatch.fnmatchcase(said, wanted)):
                raise AssertionError(f"said:   {said}\nwanted: {wanted}")
        test.__name__ = name
        suite.addTest(unittest.FunctionTestCase(test))

    for name, wanted, what in JUDGED:
        add(name, wanted, judged, **what)
    for name, version, wanted in BOCHS:
        add(name, wanted, bochs_with, version)
    for name, patterns, wanted in PATTERNS:
        add(name, wanted, taken, *map(ROW.format, ("a-1", "a-2", "b-1")), patterns=patterns)
    for name in ("cases", "luo", "bench", "selftest"):
        add(f"table-{name}", "taken", lambda name: read_table(NESTED / f"{name}.tbl") and "taken", name)
    for name, row, wanted in ROWS:
        add(name, wanted, taken, ROW.format("good"), row)
    for name, rows, wanted in FAMILIES:
        add(name, wanted, rows_of, rows)
    return suite


if __name__ == "__main__":
    sys.exit(ktap.main())
