#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The tables in Documentation/ that are made from test runs.

    tests/nested/reports.py [--from-logs] [--publish] [REPORT...]

    --from-logs  run no case; use what the last runs left in build/nested/
    --publish    also copy the documents to Documentation/

The reports are matrix, blackout, selftests and benchmark; without a name, all of them are made.
A report reads what its cases left in build/nested/CASE/ (outcome, verdict.log), and writes its
document to build/results/. The prose of a document is written by hand: only what is between
".. begin SECTION" and ".. end SECTION" comes from here.

A case that was not run, or did not pass, fails its report. The exit status is 1 when a report
failed, and then nothing is published.
"""
import argparse
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Sequence

import cases

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
# An emulated host on a busy machine may mismeasure its TSC frequency by so much that the exact
# restore is rightly refused. Only then is the comparison run again, at most so often.
COMPARISON_ATTEMPTS = 3
MISMEASURED = re.compile(r"^note=identical refused_errno=(ERANGE|ENOTRECOVERABLE)", re.M)


class ReportError(Exception):
    """A report cannot be made; the text says why."""


# ---- What there is: the table of cases, and what the cases left

@dataclasses.dataclass
class Row:
    """A row of a case table."""
    name: str
    host: str
    next: str
    script: str
    params: Dict[str, str]
    table: Path


def read_tables(folder: Path = ROOT / "tests/nested") -> Dict[str, Row]:
    """The cases of all tables, but for those that test the test bed."""
    rows = {}
    for path in sorted(folder.glob("*.tbl")):
        for case in cases.read_table(path):
            if not case.outcome:
                params = dict(word.split("=", 1) for word in case.params.split() if "=" in word)
                rows[case.name] = Row(case.name, case.host, case.next, case.script, params, path)
    return rows


@dataclasses.dataclass
class Stage:
    """What one kernel said: its release, and its notes in order."""
    release: str = "?"
    notes: List[str] = dataclasses.field(default_factory=list)

    def values(self, key: str) -> List[int]:
        """The numbers of all VMs' notes "vmN KEY=NUMBER"."""
        found = [re.fullmatch(rf"vm\d+ {key}=(-?\d+)", note) for note in self.notes]
        return [int(match[1]) for match in found if match]

    def value(self, key: str) -> int:
        """The number of the note "KEY NUMBER"."""
        for note in self.notes:
            if note.startswith(key + " "):
                return int(note[len(key) + 1:])
        raise ReportError(f"no note '{key}'")


class Case:
    """A case that was run and passed."""

    def __init__(self, build: Path, name: str):
        folder = build / "nested" / name
        outcome = folder / "outcome"
        said = outcome.read_text().strip() if outcome.exists() else "not run"
        if not re.match(r"pass\b", said):
            raise ReportError(f"case {name}: {said}")
        self.name = name
        self.caught = sorted(set(said.partition("caught: ")[2].split()))
        self.stages: List[Stage] = []
        for line in (folder / "verdict.log").read_text(errors="replace").splitlines():
            key, _, text = line.partition("=")
            if key == "stage":
                self.stages.append(Stage())
            elif key == "release" and self.stages:
                self.stages[-1].release = text
            elif key == "note" and self.stages:
                self.stages[-1].notes.append(text)
        if not self.stages:
            raise ReportError(f"case {name}: its verdict.log has no stage")

    def notes(self) -> List[str]:
        return [note for stage in self.stages for note in stage.notes]

    def worst(self, key: str) -> int:
        """Of the VMs' numbers, the one furthest from zero."""
        values = [value for stage in self.stages for value in stage.values(key)]
        if not values:
            raise ReportError(f"case {self.name}: no note '{key}'")
        return max(values, key=abs)


def text_of(path: Path) -> str:
    if not path.exists():
        raise ReportError(f"{path} is not there")
    return path.read_text().strip()


def by_version(line: str) -> List:
    return [int(part) if part.isdigit() else part for part in re.split(r"[.-]", line)]


# ---- How it is written

def table(head: Sequence[str], rows: Iterable[Sequence], left: Sequence[int] = (0,)) -> List[str]:
    """A simple table of reStructuredText; the columns in `left` are aligned to the left."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    if len(cells) == 1:
        raise ReportError(f"nothing for the table of {head[0]}")
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells]
    rule = "  ".join("=" * max(width, 1) for width in widths)
    return [rule, lines[0], rule, *lines[1:], rule]


def in_units(ns: float) -> str:
    """Nanoseconds, with a sign, in the unit that suits."""
    for limit, unit, digits in ((1e4, "ns", 0), (1e7, "us", 1), (1e10, "ms", 1)):
        if abs(ns) < limit:
            return f"{ns / limit * 1e4:+.{digits}f} {unit}" if ns else "0 ns"
    return f"{ns / 1e9:+.3f} s"


def count(number: int) -> str:
    if number == 0:
        return "0"
    return f"{number:+d}" if abs(number) < 1000000 else f"{number:+.3g}"


Sections = Dict[str, List[str]]


def fill(document: str, sections: Sections) -> str:
    """The document with new sections."""
    for name, lines in sections.items():
        begin, end = f".. begin {name}\n", f".. end {name}\n"
        if document.count(begin) != 1 or document.count(end) != 1:
            raise ReportError(f"the document has no section {name}")
        before, _, rest = document.partition(begin)
        after = rest.partition(end)[2]
        document = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after
    return document


# ---- From every kernel to every other

def pairs(rows: Dict[str, Row]) -> List[Row]:
    """A case for each pair of kernels; the kernels come from the case table."""
    found = [row for row in rows.values() if row.name == f"pair-{row.host}-{row.next}"]
    return sorted(found, key=lambda row: (by_version(row.host), by_version(row.next)))


def matrix_cases(rows: Dict[str, Row]) -> List[str]:
    lines = {row.host for row in pairs(rows)}
    wanted = [f"pair-{old}-{new}" for old in lines for new in lines]
    return wanted + [name for name in rows if name.startswith("control-pair-")]


def matrix(build: Path, rows: Dict[str, Row], _out: Path) -> Sections:
    head = ["pair", "kind", "TSC, cycles", "kvmclock, ns", "rate, ppb", "in an hour, ns", "same function"]
    keys = ["tsc_error_cycles", "error_now_ns", "rate_ppb", "error_hour_ns"]
    body, kernels, guests, shifts = [], {}, set(), set()
    for row in pairs(rows):
        case = Case(build, row.name)
        first, last = case.stages[0], case.stages[-1]
        old, new = by_version(row.host), by_version(row.next)
        kind = "same" if old == new else "upgrade" if old < new else "rollback"
        same = all(last.values("page_function")) and last.values("page_function")
        body.append([f"{row.host} to {row.next}", kind, *map(case.worst, keys), "yes" if same else "no"])
        kernels[row.host], kernels[row.next] = first.release, last.release
        guests.add((len(last.values("vcpus")), case.worst("vcpus")))
        khz = first.value("tsc_khz")
        shifts.add((last.value("tsc_khz") - khz, round((last.value("tsc_khz") - khz) * 1e6 / khz)))
    if len(guests) != 1 or len(shifts) != 1:
        raise ReportError(f"the pairs are not of one kind: {sorted(guests)} {sorted(shifts)}")
    (vms, vcpus), (khz, ppm) = guests.pop(), shifts.pop()
    controls = []
    for row in rows.values():
        if row.name.startswith("control-pair-"):
            case = Case(build, row.name)
            caught = ", ".join(f"``{check}``" for check in case.caught)
            controls.append(f"- {row.host} to {row.next}, kvmclock {case.worst('error_now_ns')} ns and TSC "
                            f"{case.worst('tsc_error_cycles')} cycles off: caught by {caught}")
    packages = {line: text_of(build / "kernels" / line / "package") for line in kernels}
    return {"pairs": [f"VMs: {vms}, each of {vcpus} vCPUs. TSC frequency that the second kernel is told: "
                      f"{khz:+d} kHz ({ppm:+d} ppm).", "", *table(head, body, (0, 1, 6))],
            "kernels": [f"- {line}: {kernels[line]} ({packages[line]})"
                        for line in sorted(kernels, key=by_version)],
            "controls": controls}


# ---- How long a guest does not run

# Step, from, to, whether it is ours.
STEPS = [
    ("VMM: vCPUs stopped, state saved", "guest_last", "state_saved", ""),
    ("clock saved", "state_saved", "clock_saved", "ours"),
    ("VMM ends; next kernel loaded (kexec -l)", "clock_saved", "kexec", ""),
    ("kexec; kernel boots, up to its first program", "kexec", "init", ""),
    ("init: file systems, shells", "init", "settling", ""),
    ("TSC frequency settles", "settling", "settled", ""),
    ("KVM loaded", "settled", "kvm", ""),
    ("a program starts that loads the module", "kvm", "loading", "ours"),
    ("module loaded", "loading", "module", "ours"),
    ("VMM starts: memory, KVM_CREATE_VM", "module", "vm_made", ""),
    ("self-check; saved TSC frequency set", "vm_made", "prepared", "ours"),
    ("VMM: vCPUs, their state", "prepared", "state_loaded", ""),
    ("clock restored, with its checks", "state_loaded", "restored", "ours"),
    ("vCPUs run: first reading of a clock", "restored", "guest_first", ""),
]


def blackout_lines(rows: Dict[str, Row]) -> List[str]:
    names = [name[len("blackout-"):-len("-counted")] for name in rows
             if re.fullmatch(r"blackout-.*-counted", name)]
    return sorted(names, key=by_version)


def blackout_cases(rows: Dict[str, Row]) -> List[str]:
    return [f"blackout-{line}{end}" for line in blackout_lines(rows) for end in ("", "-counted")]


def durations(case: Case) -> List[tuple]:
    """(step, ms, per cent, whose); the last rows are the sums."""
    at = {words[1]: int(words[2]) for words in map(str.split, case.notes()) if words[0] == "at"}
    khz = case.stages[-1].value("tsc_khz")
    steps = []
    for step, start, end, whose in STEPS:
        if start not in at or end not in at or at[end] < at[start]:
            raise ReportError(f"case {case.name}: no step, or one before the last: {step}")
        steps.append((step, (at[end] - at[start]) / khz, whose))
    whole = (at["guest_first"] - at["guest_last"]) / khz
    if abs(sum(ms for _, ms, _ in steps) - whole) > 0.001:
        raise ReportError(f"case {case.name}: the steps do not add up to {whole} ms")
    ours = [ms for _, ms, whose in steps if whose]
    steps += [("all", whole, ""), ("ours: module and restore", sum(ours[1:]), "ours"),
              ("ours: with the save", sum(ours), "ours")]
    return [(step, f"{ms:.3f}", f"{100 * ms / whole:.3f}", whose) for step, ms, whose in steps]


def blackout(build: Path, rows: Dict[str, Row], _out: Path) -> Sections:
    tables, shares = [], []
    for line in blackout_lines(rows):
        case, counted = Case(build, f"blackout-{line}"), Case(build, f"blackout-{line}-counted")
        release = case.stages[-1].release
        measured = list(zip(durations(case), durations(counted)))
        body = [(a[0], a[1], a[2], b[1], b[2], a[3]) for a, b in measured]
        tables += [release, "-" * len(release), "",
                   *table(["step", "ms", "share, %", "counted, ms", "share, %", "whose"], body, (0, 5)), ""]
        shares.append(f"- {release}: {measured[-2][1][2]} %; the test demands less than "
                      f"{rows[counted.name].params['share']} %")
    return {"steps": tables[:-1], "shares": shares}


# ---- KVM's selftests, and ours on their library

RESULTS = {"0": "pass", "4": "skip", "124": "time limit", "143": "time limit"}


def our_rows(rows: Dict[str, Row]) -> List[Row]:
    """Our cases that run all guests, from one kernel to another."""
    found = [row for row in rows.values() if row.script == "selftests"
             and not {"controls", "scenarios", "spoil"} & set(row.params)]
    return sorted(found, key=lambda row: (row.host != row.next, by_version(row.host), by_version(row.next)))


def selftests_cases(rows: Dict[str, Row]) -> List[str]:
    return ([name for name in rows if name.startswith("selftests-kernel-")] +
            [row.name for row in our_rows(rows)] + ["selftests-controls"])


def scenario_result(notes: List[str], test: str, guest: str) -> str:
    """What a guest came to in a test, by what is left of the test's own output."""
    for note in notes:
        match = re.fullmatch(rf"{test} # {test}\.{guest}: (\d+ checks)", note)
        if match:
            return match[1]
        if note.startswith(f"{test} # {test}.{guest} cannot be restored"):
            return "refused"
        if re.match(rf"{test} ok \d+ # SKIP {test}\.{guest}: ", note):
            # Else it was not there to be restored; the column for the capture says why.
            return "no Xen" if "Requirement not met: KVM_XEN" in note else ".."
    return ""


def kernel_selftests(build: Path, row: Row) -> List[str]:
    """The kernel's own tests; the notes are "TEST STATUS STATUS-WITH-THE-MODULE TEXT"."""
    case, body = Case(build, row.name), []
    for note in case.notes():
        test, without, with_it, text = [*note.split(" ", 3), "", "", ""][:4]
        if not test.endswith("-with") and without.isdigit():
            body.append([test, *(RESULTS.get(status, f"status {status}") for status in (without, with_it)),
                         text.replace("Requirement not met: ", "", 1)])
    return [row.host, "-" * len(row.host), "",
            *table(["test", "without", "with", "tests in it, or what is not met"], body, range(4)), "",
            f"Host {case.stages[0].release}, tests of {text_of(build / 'selftests' / row.host / 'package')}.", ""]


def selftests(build: Path, rows: Dict[str, Row], _out: Path) -> Sections:
    kernel = [line for name in rows if name.startswith("selftests-kernel-")
              for line in kernel_selftests(build, rows[name])]
    captures, restores, guests = [], [], []
    for row in our_rows(rows):
        notes = Case(build, row.name).notes()
        if row.host == row.next:
            captures.append((f"captured, {row.host}", "capture", notes))
            guests = guests or list(dict.fromkeys(re.findall(r"\bcapture\.([a-z0-9_]+)", "\n".join(notes))))
        restores.append((f"{row.host} to {row.next}", "restore", notes))
    columns = captures + restores
    body = [[guest, *(scenario_result(notes, test, guest) for _, test, notes in columns)] for guest in guests]
    Case(build, "selftests-controls")
    return {"kernel": kernel[:-1],
            "guests": table(["guest", *(column[0] for column in columns)], body, range(len(columns) + 1))}


# ---- The benchmark

METHODS = {
    "none": ("nothing restored", "#808080"),
    "by-value": ("by value: TSC MSR, KVM_SET_CLOCK", "#c03020"),
    "realtime": ("offset, KVM_SET_CLOCK with REALTIME", "#d09000"),
    "recipe": ("the recipe that KVM documents", "#8040a0"),
    "converged": ("converged: no module", "#2060c0"),
    "identical": ("identical", "#207040"),
}
JSON_KEYS = ["error_now_ns", "error_end_ns", "error_hour_ns", "rate_ppb", "tsc_error_cycles",
             "peer_disagreement_max_ns", "page_function", "total_error_ns", "total_error_hour_ns",
             "total_error_cycles", "blackout_ns", "tsc_khz", "tsc_khz_saved"]
COSTS = {
    "preserve": "KCH_IOC_PRESERVE",
    "preserve-entry": "an ioctl of ours, refused at once",
    "preserve-read": "KCH_IOC_READ: found and read",
    "restore": "KCH_IOC_RESTORE",
    "restore-check": "... with KCH_RESTORE_CHECK",
    "restore-names": "the vCPUs' names in /proc",
    "restore-library": "kch_vm_restore(), all of it",
}


def benchmark_cases(_rows: Dict[str, Row]) -> List[str]:
    return ["comparison", "cost-6.12"]


def compared(case: Case) -> Dict[str, List[Dict[str, int]]]:
    """By method, the numbers after each update."""
    numbers: Dict[str, List[Dict[str, int]]] = {}
    for stage in case.stages[1:]:
        for method in METHODS:
            found = dict(re.findall(rf"^{method} ([a-z_]+)=(-?\d+)$", "\n".join(stage.notes), re.M))
            if found:
                numbers.setdefault(method, []).append({key: int(value) for key, value in found.items()})
    if "identical" not in numbers:
        raise ReportError(f"case {case.name}: no numbers of the method 'identical'")
    return numbers


def comparison(case: Case, out: Path) -> List[str]:
    numbers, release = compared(case), case.stages[-1].release
    updates, exact = len(case.stages) - 1, numbers["identical"][0]
    rows = []
    for method, after in numbers.items():
        first, last = after[0], after[-1]
        rows.append([METHODS[method][0], in_units(first["error_now_ns"]),
                     in_units(first["error_hour_ns"] - first["error_end_ns"]), count(first["rate_ppb"]),
                     count(first["tsc_error_cycles"]), in_units(first["peer_disagreement_max_ns"]).lstrip("+"),
                     "yes" if first["page_function"] else "no",
                     in_units(last["total_error_ns"]), count(last["total_error_cycles"])])
    methods = [{"name": method, "after": [{key: one.get(key) for key in JSON_KEYS} for one in after]}
               for method, after in numbers.items()]
    document = {"licence": "SPDX-License-Identifier: GPL-2.0", "kernel": release, "vcpus": exact["vcpus"],
                "updates": updates, "methods": methods}
    (out / "benchmark.json").write_text(json.dumps(document, indent=1) + "\n")
    picture(numbers, out)
    head = ["how the clock is restored", "kvmclock", "in an hour", "rate, ppb", "TSC, cycles", "between vCPUs",
            "same function", f"kvmclock, {updates}", f"TSC, {updates}"]
    return [f"Host kernel {release}, {updates} updates by kexec; guests of {exact['vcpus']} vCPUs, not scheduled "
            f"for", f"{exact['blackout_ns'] / 1e9:.1f} s at the first of them.", "", *table(head, rows, (0, 6))]


def picture(numbers: Dict[str, List[Dict[str, int]]], out: Path) -> None:
    plots, data = [], []
    for number, (method, after) in enumerate(numbers.items()):
        title, color = METHODS[method]
        points = "\n".join(f"{i} {one['total_error_ns']}" for i, one in enumerate(after, 1))
        data.append(f"$points{number} << EOD\n{points}\nEOD\n")
        plots.append(f'$points{number} using 1:(f($2)) with linespoints pointtype {number + 4} pointsize 0.8 '
                     f'linewidth 2 linecolor "{color}" title "{title}" noenhanced')
    svg = out / "benchmark.svg"
    script = "".join(data) + f'set output "{svg}"\nload "{Path(__file__).parent}/benchmark.gp"\nplot '
    subprocess.run(["gnuplot"], text=True, check=True, input=script + ", ".join(plots) + "\n")
    # A licence, as every file has one, and no white space at the end of lines.
    lines = [line.rstrip() for line in svg.read_text().splitlines()]
    lines.insert(1, "<!-- SPDX-License-Identifier: GPL-2.0 -->")
    svg.write_text("\n".join(lines) + "\n")


def cost(case: Case) -> List[str]:
    """Notes "WHAT vcpus=N KEY=VALUE..." of one VM, "WHAT-fleet upto=N" of many, "... vms=N" of all."""
    cells: Dict[str, Dict[str, Dict[int, str]]] = {}
    for note in case.notes():
        what, *words = note.split()
        if len(words) < 2 or not all("=" in word for word in words):
            continue
        unit, number = words[0].split("=")
        values = dict(word.split("=") for word in words)
        cells.setdefault(unit, {}).setdefault(what, {})[int(number)] = (
            f"{float(values['ratio']):.2f} ({float(values['ratio_low']):.2f}-{float(values['ratio_high']):.2f})")
    names = {**COSTS, "preserve-fleet": COSTS["preserve"], "restore-fleet": COSTS["restore"]}
    lines = [f"Host kernel {case.stages[-1].release}. One VM, by its number of vCPUs:"]
    fleet = next((unit for unit in cells if unit not in ("vcpus", "vms")), "")
    for unit, title in (("vcpus", "vCPUs"), (fleet, "up to the Nth"), ("vms", "N")):
        found = cells.get(unit, {})
        columns = sorted({number for row in found.values() for number in row})
        if unit == fleet and columns:
            lines += ["", f"{columns[-1]} VMs, a process each. A column has those after the column before it, up "
                      "to its Nth:"]
        elif unit == "vms":
            lines += ["", "All VMs of a record that has N:"]
        body = [[names.get(what, what), *(row.get(column, "") for column in columns)]
                for what, row in sorted(found.items(), key=lambda item: list(names).index(item[0]))]
        lines += ["", *table([title, *columns], body, range(len(columns) + 1))]
    return lines


def record(text: str) -> List[str]:
    rows = []
    for what, *words in map(str.split, text.splitlines()):
        values = dict(word.split("=") for word in words)
        if what != "sizes":
            rows.append([what] + [values[key] for key in ("vms", "vcpus", "us", "ns_per_vcpu", "limit_us", "ratio")])
    return table(["what", "VMs", "vCPUs", "us", "ns per vCPU", "bytes alone, us", "ratio"], rows)


def benchmark(build: Path, _rows: Dict[str, Row], out: Path) -> Sections:
    return {"comparison": comparison(Case(build, "comparison"), out), "cost": cost(Case(build, "cost-6.12")),
            "record": record(text_of(build / "bench" / "record"))}


# ---- All of them

@dataclasses.dataclass
class Report:
    """`alone`: the cases measure times, so only one runs at a time."""
    cases: Callable[[Dict[str, Row]], List[str]]
    make: Callable[[Path, Dict[str, Row], Path], Sections]
    alone: bool = False
    files: Sequence[str] = ()


REPORTS = {
    "matrix": Report(matrix_cases, matrix),
    "blackout": Report(blackout_cases, blackout, alone=True),
    "selftests": Report(selftests_cases, selftests),
    "benchmark": Report(benchmark_cases, benchmark, alone=True, files=("benchmark.json", "benchmark.svg")),
}


def run_cases(names: List[str], rows: Dict[str, Row], alone: bool) -> None:
    """Whether they pass is seen when they are read."""
    runner = Path(__file__).with_name("run.py")
    tables: Dict[Path, List[str]] = {}
    for name in names:
        if name not in rows:
            raise ReportError(f"no case {name} in any table")
        # What an earlier run left must not be taken for this one's.
        (BUILD / "nested" / name / "outcome").unlink(missing_ok=True)
        tables.setdefault(rows[name].table, []).append(name)
    for path, some in tables.items():
        subprocess.run([runner, *(["-j1"] if alone else []), "-t", path, "-c", *some],
                       stdout=sys.stderr, check=False)


def run_benchmark(rows: Dict[str, Row]) -> None:
    for _ in range(COMPARISON_ATTEMPTS):
        run_cases(["comparison"], rows, alone=True)
        log = BUILD / "nested/comparison/verdict.log"
        if not log.exists() or not MISMEASURED.search(log.read_text(errors="replace")):
            break
    run_cases(["cost-6.12"], rows, alone=True)
    (BUILD / "bench").mkdir(parents=True, exist_ok=True)
    with open(BUILD / "bench/record", "w", encoding="utf-8") as out:
        subprocess.run([BUILD / "tests/bench/record-cost"], stdout=out, check=True)


def make_report(name: str, build: Path, rows: Dict[str, Row], out: Path) -> str:
    """Writes the document and its pictures to `out`; returns the sections as text."""
    report = REPORTS[name]
    missing = [case for case in report.cases(rows) if case not in rows]
    if missing or not report.cases(rows):
        raise ReportError(f"no case {' '.join(missing) or 'at all'} in any table")
    out.mkdir(parents=True, exist_ok=True)
    sections = report.make(build, rows, out)
    document = fill((ROOT / f"Documentation/{name}.rst").read_text(), sections)
    (out / f"{name}.rst").write_text(document)
    return "\n\n".join("\n".join(lines) for lines in sections.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--from-logs", action="store_true")
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("report", nargs="*", metavar="REPORT", help=", ".join(REPORTS))
    arguments = parser.parse_args()
    names = arguments.report or list(REPORTS)
    for name in names:
        if name not in REPORTS:
            parser.error(f"no report {name}; there are {', '.join(REPORTS)}")
    rows, out, failed = read_tables(), BUILD / "results", []
    for name in names:
        try:
            if not arguments.from_logs and name == "benchmark":
                run_benchmark(rows)
            elif not arguments.from_logs:
                run_cases(REPORTS[name].cases(rows), rows, REPORTS[name].alone)
            print(make_report(name, BUILD, rows, out), end="\n\n")
        except (ReportError, KeyError, ValueError, OSError, subprocess.CalledProcessError) as error:
            print(f"reports.py: {name}: {error!r}" if isinstance(error, KeyError) else
                  f"reports.py: {name}: {error}", file=sys.stderr)
            failed.append(name)
    if failed:
        print(f"reports.py: failed, and nothing published: {' '.join(failed)}", file=sys.stderr)
        return 1
    for name in names if arguments.publish else []:
        for file in (f"{name}.rst", *REPORTS[name].files):
            shutil.copyfile(out / file, ROOT / "Documentation" / file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
