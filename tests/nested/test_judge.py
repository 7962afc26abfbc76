#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Is the judge strict? Gives it folders as emulated hosts would leave them, those of judge.tbl, most with one thing
wrong. Asks whether a Bochs that is known to be wrong would be used, and whether the case tables there are, and wrong
ones, are taken. Needs no emulator. Prints KTAP."""

import fnmatch
import os
import re
import sys
import tempfile
import unittest
from pathlib import Path
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
verdict=pass
"""


def judged(changes: str, folder: Path) -> str:
    """Of a good case with these changes; judge.tbl says how they are written."""
    left = {"verdict": GOOD, "console": "[ 0.0] Linux", "qmp": NAMES["OFF"], "expect": "pass", "kexecs": "1"}
    for change in changes.replace(r"\n", "\n").replace(r"\r", "\r").split(" ; "):
        old, changed, new = change.partition(" -> ")
        key, _, value = change.partition("=")
        if changed:
            assert old in left["verdict"], old
            left["verdict"] = left["verdict"].replace(old, new, 1)
        elif change.startswith("without "):
            left["verdict"] = re.sub(f"^{change[8:]}.*\n", "", left["verdict"], flags=re.M)
        elif key == "ends":
            left["verdict"] = left["verdict"].replace("\n", value)
        elif change:
            left[key] = value
    left["machine"], status = ("bochs", "1") if "bochs" in left else ("qemu", "0")
    for file, text in {"status": status, **left}.items():
        name = f"{file}.log" if file in ("verdict", "console", "qmp", "bochs") else file
        (folder / name).write_bytes(text.encode() + b"\n" * (not text.endswith("\n")))
    return ": ".join(judge(folder, left["expect"], int(left["kexecs"])))


# What `bochs` says its version is, and whether it would be used.
BOCHS = {
    "2.7": "usable",
    "3.0": "usable",
    "3.1": "Bochs 3.1: it divides wrongly*",
    "": "bochs does not say its version",
}


def bochs_with(version: str, folder: Path) -> str:
    """Whether one is used that says it is of this version, and knows the CPU, where all else is that it needs."""
    for tool, text in (("bochs", f"echo ' Bochs x86 Emulator {version}'\necho {Bochs.model}"), ("xorriso", "")):
        (folder / tool).write_text(f"#!/bin/sh\n{text}\n")
        (folder / tool).chmod(0o755)
    files = dict.fromkeys(("isolinux", "ldlinux", "bios", "vgabios"), f"{folder}/bochs")
    with mock.patch.dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"), mock.patch.multiple(Bochs, **files):
        return Bochs.unusable() or "usable"


ROW = "{0} | short | 6.12 | 6.12 | smoke | a=b | pass | 60"
# A row after a right one named good, and what is said to it.
ROWS = {
    "case | short | 6.12 | 6.12 | smoke | machine=bochs | pass | 60": "taken",
    "case | short | 6.12 | 6.12 | smoke | machine=q35 | pass | 60": "*case: machine=q35: neither*",
    "case | short | 6.12 | 6.12 | smoke | pass | 60": "*7 fields instead of 8",
    ROW.format("good"): "*good is there twice",
    "case | long | 6.12 | 6.12 | smoke | a=b | pass | 60": "*neither short nor full",
    "case | short | 6.12 | 6.12 | smoke | a=b | caught: | 60": "*neither pass nor caught:CHECK",
    "case | short | 6.12 | 6.12 | smoke | a=b | caught:a?,b? | 60": "*no check that must fail",
    "case | short | 6.12 | 6.12 | smoke | a=b | caught:NO_SUCH | 60": "*NO_SUCH: a name that is not in*",
    "case | short | 6.12 | 5.0 | smoke | a=b | pass | 60": "*5.0: not a kernel line",
    "case | short | 6.12 | 6.12 | smoke | a=b NO_SUCH | pass | 60": "*not all KEY=VALUE or +WORD",
    "case | short | 6.12 | 6.12 | smoke | a=b | pass | 0": "*0: no time limit",
    "case | short | 6.12 | 6.12 | smoke | a=b | pass | 60 | pass": "*for some cases only",
}
# Patterns, and the cases of a-1 a-2 b-1 that these are.
PATTERNS = {"a-1": "a-1", "a-*": "a-1 a-2", "b-*,a-2": "b-1 a-2", "b-* a-1": "b-1 a-1", "a-2 a-*": "a-2 a-1",
            "a-* hold-*": "no case hold-[*]*"}
# Rows, and the rows that these stand for.
FAMILIES = {
    "x{-host} | short/full | 6.1,6.12 | = | s | a=b | pass | 1": "x-6.1 full 6.1 6.1, x short 6.12 6.12",
    "{host}-{next} | full | * | * | s | a=b | pass | 1":
        ", ".join(f"{old}-{new} full {old} {new}" for old, new in kernels.pairs()),
    "x-{host} | full | 6.1,6.12 | = | s | a=b | pass | 1\n" + ROW.format("x-6.12"):
        "x-6.1 full 6.1 6.1, x-6.12 short 6.12 6.12",
}


def read(rows: str, folder: Path, patterns: str = "") -> list:
    (folder / "table").write_text(rows)
    table = read_table(folder / "table")
    return select(table, True, [patterns]) if patterns else table


def rows_of(rows: str, folder: Path) -> str:
    return ", ".join(f"{case.name} {case.set} {case.host} {case.next}" for case in read(rows, folder))


def selected(patterns: str, folder: Path) -> str:
    return " ".join(case.name for case in read("\n".join(map(ROW.format, ("a-1", "a-2", "b-1"))), folder, patterns))


def taken(rows: str, folder: Path) -> str:
    return read(rows, folder) and "taken"


NAMES, JUDGED = {}, []
for line in (NESTED / "judge.tbl").read_text().splitlines():
    if line and line[0] != "#":
        line = re.sub("[A-Z][A-Z_]+", lambda word: NAMES.get(word[0], word[0]), line)
        if " = " in line:
            NAMES.update([line.split(" = ")])
        else:
            JUDGED.append([*map(str.strip, line.split("|")), ""][:3])

TESTS = [
    *((f"judge {name}", wanted, judged, changes) for name, wanted, changes in JUDGED),
    *((f"bochs {version}", wanted, bochs_with, version) for version, wanted in BOCHS.items()),
    *((f"pattern {patterns}", wanted, selected, patterns) for patterns, wanted in PATTERNS.items()),
    *((f"table {name}", "taken", taken, (NESTED / f"{name}.tbl").read_text())
      for name in ("cases", "luo", "bench", "selftest")),
    *((f"row {row}", wanted, taken, f"{ROW.format('good')}\n{row}") for row, wanted in ROWS.items()),
    *((f"family {rows}", wanted, rows_of, rows) for rows, wanted in FAMILIES.items()),
]


def load_tests(*_) -> unittest.TestSuite:
    suite = unittest.TestSuite()

    def add(name: str, wanted: str, function, given: str) -> None:
        def test() -> None:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    said = function(given, Path(folder))
                except Problem as problem:
                    said = str(problem)
            assert fnmatch.fnmatchcase(said, wanted), f"{name}\nsaid:   {said}\nwanted: {wanted}"
        test.__name__ = re.sub("[^a-z0-9]+", "-", name.lower())
        suite.addTest(unittest.FunctionTestCase(test))

    for test in TESTS:
        add(*test)
    return suite


if __name__ == "__main__":
    sys.exit(ktap.main())
