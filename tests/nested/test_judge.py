#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Is the judge strict? Gives it folders as emulated hosts would leave them, those of judge.tbl, most with one thing
wrong. Asks what is read of rows of a case table, and whether wrong ones are refused (rows.tbl). And can each module be
broken as broken.tbl says, for a case? Needs no emulator."""

import fnmatch
import re
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterable, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import broken  # noqa: E402
import ktap  # noqa: E402
from cases import Case, read_table, select  # noqa: E402
from common import NESTED, Problem  # noqa: E402
from judge import judge  # noqa: E402

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
    left.setdefault("machine", "bochs" if "bochs" in left else "qemu")
    status = "1" if "bochs" in left else "0"
    for file, text in {"status": status, **left}.items():
        name = f"{file}.log" if file in ("verdict", "console", "qmp", "bochs") else file
        (folder / name).write_bytes(text.encode() + b"\n" * (not text.endswith("\n")))
    return ": ".join(judge(folder, left["expect"], int(left["kexecs"])))


# Patterns, and the cases of a-1 a-2 b-1 that these are.
PATTERNS = {"a-1": "a-1", "a-*": "a-1 a-2", "b-*,a-2": "b-1 a-2", "b-* a-1": "b-1 a-1", "a-2 a-*": "a-2 a-1",
            "a-* hold-*": "no case hold-[*]*"}
ROW = "{} | short | 6.12 | 6.12 | smoke | a=b | pass | 60"


def read(rows: Iterable[str], folder: Path) -> List[Case]:
    (folder / "table").write_text("\n".join(rows))
    return read_table(folder / "table")


def rows_of(row: str, folder: Path) -> str:
    cases = read([ROW.format("good-6.12"), row], folder)
    return ", ".join(f"{case.name} {case.set} {case.host} {case.next}" for case in cases)


def selected(patterns: str, folder: Path) -> str:
    cases = read(map(ROW.format, ("a-1", "a-2", "b-1")), folder)
    return " ".join(case.name for case in select(cases, True, [patterns]))


def lines_of(name: str) -> List[str]:
    return [line for line in (NESTED / name).read_text().splitlines() if line and line[0] != "#"]


MODULES = {case.param("module") for table in ("cases", "selftest", "luo")
           for case in read_table(NESTED / f"{table}.tbl")} - {""}


def can_be_made(name: str, folder: Path) -> str:
    broken.sources_of(name)
    return "is made for a case" if name in MODULES else "no case has it"


NAMES: Dict[str, str] = {}
TESTS = [
    *((f"broken {name}", "is made for a case", can_be_made, name)
      for name in sorted({*MODULES, *(line.split(" | ")[0] for line in lines_of("broken.tbl"))})),
    *((f"pattern {patterns}", wanted, selected, patterns) for patterns, wanted in PATTERNS.items()),
    *((f"row {row}", wanted, rows_of, row)
      for row, wanted in (line.rsplit(" => ", 1) for line in lines_of("rows.tbl"))),
]
for line in lines_of("judge.tbl"):
    line = re.sub("[A-Z][A-Z_]+", lambda word: NAMES.get(word[0], word[0]), line)
    if " = " in line:
        NAMES.update([line.split(" = ")])
    else:
        name, wanted, changes, *_ = [*map(str.strip, line.split("|")), ""]
        TESTS.append((f"judge {name}", wanted, judged, changes))


def main() -> int:
    report = ktap.Report(len(TESTS))
    for name, wanted, function, given in TESTS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                said = function(given, Path(folder))
            except Problem as problem:
                said = str(problem)
        good = fnmatch.fnmatchcase(said, wanted)
        report.test(name, "" if good else f"said:   {said}\nwanted: {wanted}")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
