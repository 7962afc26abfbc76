#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Are the unit tests any good? Breaks a copy of the code that they test, one way at a time (mutants.tbl),
and demands that the named cases fail. First the unbroken copy: it must pass.

    mutants.py [NAME...]      (make -C tests/unit mutants)
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))
import ktap  # noqa: E402

WORK = Path(os.environ.get("BUILD", ROOT / "build/tests/unit")) / "mutants"
# Of each case the program that has it.
PROGRAMS = {case: path.stem for path in HERE.glob("test-*.c")
            for case in re.findall(r'^\t\t\{ "(\w+)", ', path.read_text(), re.M)}


# Besides kernel/core.
OTHERS = "lib/vmclock.c", "guest/vmclock-watch.c"


def passes(folder: Path, case: str) -> bool:
    """Builds the program of the case from the sources in the folder, and runs the case."""
    path = folder / "plain" / PROGRAMS[case]
    subprocess.run(["make", "-s", "-C", HERE, f"SOURCES={folder}/sources", f"BUILD={folder}", "VARIANTS=plain",
                    "CFLAGS=-O1", path], stdout=sys.stderr, check=True)
    return not subprocess.run(["timeout", "300", path, case], stdout=subprocess.DEVNULL, check=False).returncode


def try_mutant(file: str, cases: str, change: str) -> str:
    """What is wrong with it, or nothing."""
    mutant = WORK / "mutant"
    shutil.rmtree(mutant, ignore_errors=True)
    # Objects that the mutation does not touch need not be made again.
    shutil.copytree(WORK / "unbroken", mutant)
    for depends in mutant.glob("plain/*.d"):
        depends.write_text(depends.read_text().replace(f"{WORK}/unbroken/", f"{mutant}/"))
    old, _, new = change.encode().decode("unicode_escape").partition(" => ")
    source = mutant / "sources" / file
    text = source.read_text()
    changed = re.sub(rf".*{re.escape(old)}.*\n", "", text) if new == "@delete" else \
        text.replace(old, "" if new == "@nothing" else new)
    if changed == text:
        return "changes nothing: the code has moved on, so must the mutant"
    source.write_text(changed)
    try:
        return " ".join(f"survived: {case} did not notice" for case in cases.split(",") if passes(mutant, case))
    except subprocess.CalledProcessError:
        return "does not compile"


def main() -> int:
    rows = [re.split(r"\s*\|\s*", line, 3) for line in (HERE / "mutants.tbl").read_text().splitlines()
            if line and not line.startswith("#")]
    rows = [row for row in rows if not sys.argv[1:] or row[0] in sys.argv[1:]]
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(ROOT / "kernel/core", WORK / "unbroken/sources")
    for name in OTHERS:
        shutil.copy(ROOT / "userspace" / name, WORK / "unbroken/sources")
    report = ktap.Report(1 + len(rows))
    named = {case for _, _, cases, _ in rows for case in cases.split(",")}
    report.test("unbroken", " ".join(f"{case} fails" for case in sorted(named) if not passes(WORK / "unbroken", case)))
    for name, file, cases, change in rows:
        report.test(name, try_mutant(file, cases, change), f"to be noticed by {cases}")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
