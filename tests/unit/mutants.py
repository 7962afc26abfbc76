#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Are the unit tests any good? Breaks a copy of the code that they test, one way at a time (mutants.tbl),
and demands that the named case fails. First the unbroken copy: it must pass.

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


def build(sources: Path, folder: Path, program: str):
    """(what the compiler said if it failed, the program)"""
    path = folder / "plain" / program
    made = subprocess.run(["make", "-s", "-C", HERE, f"SOURCES={sources}", f"BUILD={folder}", "VARIANTS=plain", "CFLAGS=-O1",
                           path], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return made.stdout if made.returncode else "", path


def mutate(text: str, old: str, new: str) -> str:
    if new == "@delete":
        return "\n".join(line for line in text.split("\n") if old not in line)
    return text.replace(old, "" if new == "@nothing" else new)


def try_mutant(file: str, cases: str, old: str, new: str, programs: dict, name: str):
    """(what is wrong with it, or empty; what caught it)"""
    sources, folder = WORK / f"{name}.src", WORK / name
    shutil.copytree(WORK / "sources", sources)
    # Objects that the mutation does not touch need not be made again.
    shutil.copytree(WORK / "unbroken", folder)
    source = min(sources.rglob(file))
    text = source.read_text()
    source.write_text(mutate(text, old, new))
    if source.read_text() == text:
        return "changes nothing: the code has moved on, so must the mutant", ""
    for depends in folder.glob("plain/*.d"):
        depends.write_text(depends.read_text().replace(f"{WORK}/sources/", f"{sources}/")
                           .replace(f"{WORK}/unbroken/", f"{folder}/"))
    said = []
    for case in cases.split(","):
        wrong, program = build(sources, folder, programs[case])
        if wrong:
            return f"does not compile: {wrong}", ""
        status, output = ktap.run(str(program), case)
        if not status:
            return f"survived: {case} did not notice", ""
        said.append(case if f"not ok 1 {case}" in output else f"{case} ({status})")
    shutil.rmtree(sources)
    shutil.rmtree(folder)
    return "", " ".join(said)


def main() -> int:
    programs = {case: path.stem for path in HERE.glob("test-*.c")
                for case in re.findall(r'^\t\t\{ "(\w+)", ', path.read_text(), re.M)}
    rows = [re.split(r"\s*\|\s*", line, 3) for line in (HERE / "mutants.tbl").read_text().splitlines()
            if line and not line.startswith("#")]
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(ROOT / "kernel/core", WORK / "sources")
    rows = [row for row in rows if not sys.argv[1:] or row[0] in sys.argv[1:]]
    used = sorted({case for _, _, cases, _ in rows for case in cases.split(",")})
    for program in sorted({programs[case] for case in used}):
        wrong, path = build(WORK / "sources", WORK / "unbroken", program)
        status, output = ("does not compile", wrong) if wrong else \
            ktap.run(str(path), *(case for case in used if programs[case] == program))
        if status:
            print(f"{output}\nnot ok - unbroken: {program}: {status}: the tests must pass before they are tested")
            return ktap.count(0, 1, 0)
    passed = failed = 0
    for name, file, cases, change in rows:
        old, _, new = change.encode().decode("unicode_escape").partition(" => ")
        wrong, caught = try_mutant(file, cases, old, new, programs, name)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        print(f"not ok - {name}: {wrong}" if wrong else f"ok - {name} # caught by {caught}", flush=True)
    return ktap.count(passed, failed, 0)


if __name__ == "__main__":
    sys.exit(main())
