#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""The tables in Documentation/ that are made from test runs.

    tests/nested/reports.py [--from-logs] [--publish] [REPORT...]

    --from-logs  run no case; use what the last runs left in build/nested/
    --publish    also copy the documents to Documentation/

The reports are matrix, blackout, selftests and benchmark; without a name, all of them are made. A report
reads what its cases left in build/nested/CASE/ (outcome, verdict.log), and writes its document to
build/results/. The prose of a document is written by hand: only what is between ".. begin SECTION" and
".. end SECTION" comes from here. A case that was not run, or did not pass, fails its report. The exit
status is 1 when a report failed, and then nothing is published."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Iterable, List, NamedTuple, Sequence

import cases
import kernels
from common import BUILD, NESTED, ROOT, Problem, run_main, say

# An emulated host on a busy machine may mismeasure its TSC frequency by so much that the exact restore is
# rightly refused. Only then is the comparison run again, at most so often.
COMPARISON_ATTEMPTS = 3
MISMEASURED = re.compile(r"^note=identical refused_errno=(ERANGE|ENOTRECOVERABLE)", re.M)
TABLES = ("cases.tbl", "luo.tbl", "bench.tbl")

Rows = Dict[str, cases.Case]
Sections = Dict[str, List[str]]


# ---- What the cases left

class Stage:
    """What one kernel said: its release, and its notes in order."""

    def __init__(self) -> None:
        self.release, self.notes = "?", []

    def values(self, key: str) -> List[int]:
        """The numbers of all VMs' notes "vmN KEY=NUMBER"."""
        return [int(value) for value in re.findall(rf"^vm\d+ {key}=(-?\d+)$", "\n".join(self.notes), re.M)]

    def value(self, key: str) -> int:
        """The number of the note "KEY NUMBER"."""
        found = re.search(rf"^{key} (\d+)$", "\n".join(self.notes), re.M)
        if not found:
            raise Problem(f"no note '{key}'")
        return int(found[1])


class Log:
    """Of a case that was run and passed."""

    def __init__(self, build: Path, name: str):
        folder = build / "nested" / name
        outcome = folder / "outcome"
        said = outcome.read_text().strip() if outcome.exists() else "not run"
        if not re.match(r"pass\b", said):
            raise Problem(f"case {name}: {said}")
        self.name, self.stages = name, []
        self.caught = sorted(set(said.partition("caught: ")[2].split()))
        for line in (folder / "verdict.log").read_text(errors="replace").splitlines():
            key, _, text = line.partition("=")
            if key == "stage":
                self.stages.append(Stage())
            elif key == "release" and self.stages:
                self.stages[-1].release = text
            elif key == "note" and self.stages:
                self.stages[-1].notes.append(text)
        if not self.stages:
            raise Problem(f"case {name}: its verdict.log has no stage")

    def notes(self) -> List[str]:
        return [note for stage in self.stages for note in stage.notes]

    def worst(self, key: str) -> int:
        """Of the VMs' numbers, the one furthest from zero."""
        values = [value for stage in self.stages for value in stage.values(key)]
        if not values:
            raise Problem(f"case {self.name}: no note '{key}'")
        return max(values, key=abs)


def text_of(path: Path) -> str:
    if not path.exists():
        raise Problem(f"{path} is not there")
    return path.read_text().strip()


# ---- How it is written

def table(head: Sequence[str], rows: Iterable[Sequence], left: Sequence[int] = (0,)) -> List[str]:
    """A simple table of reStructuredText; the columns in `left` are aligned to the left."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    if len(cells) == 1:
        raise Problem(f"nothing for the table of {head[0]}")
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells]
    rule = "  ".join("=" * width for width in widths)
    return [rule, lines[0], rule, *lines[1:], rule]


def heading(text: str) -> List[str]:
    return [text, "-" * len(text), ""]


def in_units(ns: float) -> str:
    """Nanoseconds, with a sign, in the unit that suits."""
    for limit, unit, digits in ((1e4, "ns", 0), (1e7, "us", 1), (1e10, "ms", 1)):
        if abs(ns) < limit:
            return f"{ns / limit * 1e4:+.{digits}f} {unit}" if ns else "0 ns"
    return f"{ns / 1e9:+.3f} s"


def count(number: int) -> str:
    return f"{number:+d}" if 0 < abs(number) < 1000000 else f"{number:+.3g}" if number else "0"


def fill(document: str, sections: Sections) -> str:
    """The document with new sections."""
    for name, lines in sections.items():
        text = "\n".join([f".. begin {name}", "", *lines, "", f".. end {name}"])
        document, found = re.subn(rf"^\.\. begin {name}\n.*?^\.\. end {name}$", lambda _: text, document,
                                  flags=re.M | re.S)
        if found != 1:
            raise Problem(f"the document has no section {name}")
    return document


# ---- From every kernel to every other

def matrix_cases(rows: Rows) -> List[str]:
    return [f"pair-{old}-{new}" for old, new in kernels.pairs()] + [name for name in rows if name.startswith("control-pair-")]


def matrix(build: Path, rows: Rows, _out: Path) -> Sections:
    head = ["pair", "kind", "TSC, cycles", "kvmclock, ns", "rate, ppb", "in an hour, ns", "same function"]
    keys = ["tsc_error_cycles", "error_now_ns", "rate_ppb", "error_hour_ns"]
    order, body, releases, guests, shifts = list(kernels.LINES), [], {}, set(), set()
    for old, new in kernels.pairs():
        log = Log(build, f"pair-{old}-{new}")
        first, last = log.stages[0], log.stages[-1]
        kind = "same" if old == new else "upgrade" if order.index(old) < order.index(new) else "rollback"
        same = last.values("page_function")
        body.append([f"{old} to {new}", kind, *map(log.worst, keys), "yes" if same and all(same) else "no"])
        releases.update({old: first.release, new: last.release})
        guests.add((len(last.values("vcpus")), log.worst("vcpus")))
        khz, shift = first.value("tsc_khz"), last.value("tsc_khz") - first.value("tsc_khz")
        shifts.add((shift, round(shift * 1e6 / khz)))
    if len(guests) != 1 or len(shifts) != 1:
        raise Problem(f"the pairs are not of one kind: {sorted(guests)} {sorted(shifts)}")
    (vms, vcpus), (khz, ppm) = guests.pop(), shifts.pop()
    controls = []
    for name in (name for name in rows if name.startswith("control-pair-")):
        log = Log(build, name)
        controls.append(f"- {rows[name].host} to {rows[name].next}, kvmclock {log.worst('error_now_ns')} ns and TSC "
                        f"{log.worst('tsc_error_cycles')} cycles off: caught by "
                        + ", ".join(f"``{check}``" for check in log.caught))
    return {"pairs": [f"VMs: {vms}, each of {vcpus} vCPUs. TSC frequency that the second kernel is told: "
                      f"{khz:+d} kHz ({ppm:+d} ppm).", "", *table(head, body, (0, 1, 6))],
            "kernels": [f"- {line}: {release} ({text_of(build / 'kernels' / line / 'package')})"
                        for line, release in releases.items()],
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


def blackout_lines(rows: Rows) -> List[str]:
    return [line for line in kernels.LINES if f"blackout-{line}-counted" in rows]


def blackout_cases(rows: Rows) -> List[str]:
    return [f"blackout-{line}{end}" for line in blackout_lines(rows) for end in ("", "-counted")]


def durations(log: Log) -> List[tuple]:
    """(step, ms, per cent, whose); the last rows are the sums."""
    at = {key: int(value) for key, value in re.findall(r"^at (\w+) (\d+)$", "\n".join(log.notes()), re.M)}
    khz, steps = log.stages[-1].value("tsc_khz"), []
    for step, start, end, whose in STEPS:
        if start not in at or end not in at or at[end] < at[start]:
            raise Problem(f"case {log.name}: no step, or one before the last: {step}")
        steps.append((step, (at[end] - at[start]) / khz, whose))
    # All of the steps follow one another, so that this is their sum.
    whole, ours = (at[STEPS[-1][2]] - at[STEPS[0][1]]) / khz, [ms for _, ms, whose in steps if whose]
    # The first of ours is the save.
    steps += [("all", whole, ""), ("ours: module and restore", sum(ours[1:]), "ours"),
              ("ours: with the save", sum(ours), "ours")]
    return [(step, f"{ms:.3f}", f"{100 * ms / whole:.3f}", whose) for step, ms, whose in steps]


def blackout(build: Path, rows: Rows, _out: Path) -> Sections:
    tables, shares = [], []
    for line in blackout_lines(rows):
        log, counted = Log(build, f"blackout-{line}"), Log(build, f"blackout-{line}-counted")
        measured = list(zip(durations(log), durations(counted)))
        body = [(*plain[:3], *by_count[1:]) for plain, by_count in measured]
        release = log.stages[-1].release
        tables += heading(release) + table(["step", "ms", "share, %", "counted, ms", "share, %", "whose"], body, (0, 5)) + [""]
        shares.append(f"- {release}: {measured[-2][1][2]} %; the test demands less than "
                      f"{rows[counted.name].param('share')} %")
    return {"steps": tables[:-1], "shares": shares}


# ---- KVM's selftests, and ours on their library

RESULTS = {"0": "pass", "4": "skip", "124": "time limit", "143": "time limit"}


def our_rows(rows: Rows) -> List[cases.Case]:
    """Our cases that run all guests, from one kernel to another; first those that stay on theirs."""
    found = [row for row in rows.values() if row.script == "selftests"
             and not any(row.param(key) for key in ("controls", "scenarios", "spoil"))]
    order = list(kernels.LINES).index
    return sorted(found, key=lambda row: (row.host != row.next, order(row.host), order(row.next)))


def selftests_cases(rows: Rows) -> List[str]:
    return ([row.name for row in rows.values() if row.script == "selftests-kernel" and row.expect == "pass"] +
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


def kernel_selftests(build: Path, row: cases.Case) -> List[str]:
    """The kernel's own tests; the notes are "TEST STATUS STATUS-WITH-THE-MODULE TEXT"."""
    log, body = Log(build, row.name), []
    for test, without, with_it, text in re.findall(r"^(\S+(?<!-with)) (\d+) (\d+) ?(.*)$", "\n".join(log.notes()), re.M):
        body.append([test, *(RESULTS.get(status, f"status {status}") for status in (without, with_it)),
                     text.replace("Requirement not met: ", "", 1)])
    return [*heading(row.host), *table(["test", "without", "with", "tests in it, or what is not met"], body, range(4)), "",
            f"Host {log.stages[0].release}, tests of {text_of(build / 'selftests' / row.host / 'package')}.", ""]


def selftests(build: Path, rows: Rows, _out: Path) -> Sections:
    kernel = [line for row in rows.values() if row.script == "selftests-kernel" and row.expect == "pass"
              for line in kernel_selftests(build, row)]
    captures, restores, guests = [], [], []
    for row in our_rows(rows):
        notes = Log(build, row.name).notes()
        if row.host == row.next:
            captures.append((f"captured, {row.host}", "capture", notes))
            guests = guests or list(dict.fromkeys(re.findall(r"\bcapture\.([a-z0-9_]+)", "\n".join(notes))))
        restores.append((f"{row.host} to {row.next}", "restore", notes))
    columns = captures + restores
    body = [[guest, *(scenario_result(notes, test, guest) for _, test, notes in columns)] for guest in guests]
    Log(build, "selftests-controls")
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


def benchmark_cases(_rows: Rows) -> List[str]:
    return ["comparison", "cost-6.12"]


def compared(log: Log) -> Dict[str, List[Dict[str, int]]]:
    """By method, the numbers after each update."""
    numbers: Dict[str, List[Dict[str, int]]] = {}
    for stage in log.stages[1:]:
        for method in METHODS:
            found = dict(re.findall(rf"^{method} ([a-z_]+)=(-?\d+)$", "\n".join(stage.notes), re.M))
            if found:
                numbers.setdefault(method, []).append({key: int(value) for key, value in found.items()})
    if "identical" not in numbers:
        raise Problem(f"case {log.name}: no numbers of the method 'identical'")
    return numbers


def comparison(log: Log, out: Path) -> List[str]:
    numbers, release = compared(log), log.stages[-1].release
    updates, exact = len(log.stages) - 1, numbers["identical"][0]
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


def cost(log: Log) -> List[str]:
    """Notes "WHAT vcpus=N KEY=VALUE..." of one VM, "WHAT-fleet upto=N" of many, "... vms=N" of all."""
    cells: Dict[str, Dict[str, Dict[int, str]]] = {}
    for note in log.notes():
        what, *words = note.split()
        if len(words) < 2 or not all("=" in word for word in words):
            continue
        unit, number = words[0].split("=")
        values = dict(word.split("=") for word in words)
        cells.setdefault(unit, {}).setdefault(what, {})[int(number)] = (
            f"{float(values['ratio']):.2f} ({float(values['ratio_low']):.2f}-{float(values['ratio_high']):.2f})")
    names = {**COSTS, "preserve-fleet": COSTS["preserve"], "restore-fleet": COSTS["restore"]}
    lines = [f"Host kernel {log.stages[-1].release}. One VM, by its number of vCPUs:"]
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


def benchmark(build: Path, _rows: Rows, out: Path) -> Sections:
    return {"comparison": comparison(Log(build, "comparison"), out), "cost": cost(Log(build, "cost-6.12")),
            "record": record(text_of(build / "bench" / "record"))}


# ---- All of them

class Report(NamedTuple):
    """`alone`: the cases measure times, so only one runs at a time."""
    cases: Callable[[Rows], List[str]]
    make: Callable[[Path, Rows, Path], Sections]
    alone: bool = False
    files: Sequence[str] = ()


REPORTS = {
    "matrix": Report(matrix_cases, matrix),
    "blackout": Report(blackout_cases, blackout, alone=True),
    "selftests": Report(selftests_cases, selftests),
    "benchmark": Report(benchmark_cases, benchmark, alone=True, files=("benchmark.json", "benchmark.svg")),
}


def run_cases(names: List[str], alone: bool) -> None:
    """Whether they pass is seen when they are read."""
    for file in TABLES:
        some = [case.name for case in cases.read_table(NESTED / file) if case.name in names]
        for name in some:
            # What an earlier run left must not be taken for this one's.
            (BUILD / "nested" / name / "outcome").unlink(missing_ok=True)
        if some:
            subprocess.run([NESTED / "run.py", *(["-j1"] if alone else []), "-t", NESTED / file, "-c", *some],
                           stdout=sys.stderr, check=False)


def run_benchmark() -> None:
    for _ in range(COMPARISON_ATTEMPTS):
        run_cases(["comparison"], alone=True)
        log = BUILD / "nested/comparison/verdict.log"
        if not log.exists() or not MISMEASURED.search(log.read_text(errors="replace")):
            break
    run_cases(["cost-6.12"], alone=True)
    (BUILD / "bench").mkdir(parents=True, exist_ok=True)
    with open(BUILD / "bench/record", "w", encoding="utf-8") as out:
        subprocess.run([BUILD / "tests/bench/record-cost"], stdout=out, check=True)


def make_report(name: str, build: Path, rows: Rows, out: Path) -> str:
    """Writes the document and its pictures to `out`; returns the sections as text."""
    missing = [case for case in REPORTS[name].cases(rows) if case not in rows]
    if missing:
        raise Problem(f"no case {' '.join(missing)} in any table")
    out.mkdir(parents=True, exist_ok=True)
    sections = REPORTS[name].make(build, rows, out)
    (out / f"{name}.rst").write_text(fill((ROOT / f"Documentation/{name}.rst").read_text(), sections))
    return "\n\n".join("\n".join(lines) for lines in sections.values())


def read_rows() -> Rows:
    return {case.name: case for file in TABLES for case in cases.read_table(NESTED / file)}


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--from-logs", action="store_true")
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("report", nargs="*", metavar="REPORT")
    arguments = parser.parse_args()
    names, rows, out, failed = arguments.report or list(REPORTS), read_rows(), BUILD / "results", []
    for name in names:
        if name not in REPORTS:
            parser.error(f"no report {name}; there are {', '.join(REPORTS)}")
    for name in names:
        try:
            if not arguments.from_logs and name == "benchmark":
                run_benchmark()
            elif not arguments.from_logs:
                run_cases(REPORTS[name].cases(rows), REPORTS[name].alone)
            print(make_report(name, BUILD, rows, out), end="\n\n")
        except (Problem, KeyError, ValueError, OSError, subprocess.CalledProcessError) as error:
            say(f"{name}: {error if isinstance(error, Problem) else repr(error)}")
            failed.append(name)
    if failed:
        raise Problem(f"failed, and nothing published: {' '.join(failed)}")
    for name in names if arguments.publish else []:
        for file in (f"{name}.rst", *REPORTS[name].files):
            shutil.copyfile(out / file, ROOT / "Documentation" / file)
    return 0


if __name__ == "__main__":
    run_main(main)
