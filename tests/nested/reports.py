#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""What is made from test runs: the tables and pictures in Documentation/, and the demonstrations.

    tests/nested/reports.py [--from-logs] REPORT...

    --from-logs  run no case; use what the last runs left in build/nested/

The reports are those of the table REPORTS. A report reads what its cases left in build/nested/CASE/ (outcome,
verdict.log), prints its sections, and writes document and pictures to build/results/; make copies them to
Documentation/. The prose of a document is written by hand: only what is between ".. begin SECTION" and
".. end SECTION" comes from here. A case that was not run, or did not pass, fails its report: the exit status is 1."""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from typing import Callable, Dict, List, Optional, Tuple

import cases
import kernels
from common import BUILD, NESTED, ROOT, Problem, run_main, say, table, text_of

# An emulated host on a busy machine may mismeasure its TSC frequency by so much that the exact restore is
# rightly refused. Only then is a case run again, at most so often.
ATTEMPTS = 3
TABLES = ("cases.tbl", "luo.tbl", "bench.tbl")
ROWS = {case.name: case for file in TABLES for case in cases.read_table(NESTED / file)}
OUT = BUILD / "results"

# reports.tbl: by kind, the fields of each row.
DATA: Dict[str, List[List[str]]] = defaultdict(list)
for kind, row in re.findall(r"^(\S+) \| (.*)", (NESTED / "reports.tbl").read_text(), re.M):
    DATA[kind].append([field.strip() for field in row.split("|")])

Sections = Dict[str, List[str]]


# ---- What the cases left

def lines_like(pattern: str, text: str) -> list:
    """The groups of each whole line that matches."""
    return re.findall(rf"^{pattern}$", text, re.M)


class Log:
    """Of a case that was run and passed: the releases of its kernels, and their notes, each a line."""

    def __init__(self, name: str):
        said = text_of(BUILD / "nested" / name / "outcome") or "not run"
        if not re.match(r"pass\b", said):
            raise Problem(f"case {name}: {said}")
        self.name, self.caught = name, sorted(set(said.partition("caught: ")[2].split()))
        stages = re.split("^stage=.*", text_of(BUILD / "nested" / name / "verdict.log"), flags=re.M)[1:]
        self.releases = [(lines_like("release=(.*)", stage) or ["?"])[-1] for stage in stages]
        self.stages = ["\n".join(lines_like("note=(.*)", stage)) for stage in stages]
        self.notes = "\n".join(self.stages)

    def numbers(self, pattern: str, stage: Optional[int] = None) -> List[int]:
        """Of the notes that match, in one stage or in all."""
        found = lines_like(pattern, self.notes if stage is None else self.stages[stage])
        if not found:
            raise Problem(f"case {self.name}: no note '{pattern}'")
        return list(map(int, found))

    def worst(self, key: str) -> int:
        """Of the VMs' notes "vmN KEY=NUMBER", the one furthest from zero."""
        return max(self.numbers(rf"vm\d+ {key}=(-?\d+)"), key=abs)


# ---- How it is written

def heading(text: str) -> List[str]:
    return [text, "-" * len(text), ""]


def in_units(ns: str) -> str:
    """Nanoseconds, with a sign, in the unit that suits."""
    value = float(ns)
    for limit, unit, digits in ((1e4, "ns", 0), (1e7, "us", 1), (1e10, "ms", 1)):
        if abs(value) < limit:
            return f"{value / limit * 1e4:+.{digits}f} {unit}" if value else "0 ns"
    return f"{value / 1e9:+.3f} s"


def count(text: str) -> str:
    number = int(text)
    return f"{number:+d}" if 0 < abs(number) < 1000000 else f"{number:+.3g}" if number else "0"


# Of a note's text, by the words of reports.tbl. Less than a reading can tell is nothing.
WRITTEN: Dict[str, Callable[[str], str]] = {
    "ns": in_units, "count": count, "distance": lambda ns: in_units(ns).lstrip("+"),
    "reading": lambda ns: in_units(ns) if abs(float(ns)) >= 1000 else "0", "rate": lambda ppb: f"{float(ppb):+.0f}",
    "yes": lambda true: "yes" if int(true) else "no", "lines": lambda number: f"{number} lines"}


def noted(notes: str) -> Dict[str, Dict[str, str]]:
    """By method, the last value of each note "METHOD KEY=VALUE"."""
    values: Dict[str, Dict[str, str]] = defaultdict(dict)
    for method, key, value in lines_like("(\\S+) ([^ =]+)=(.*)", notes):
        values[method][key] = value
    return values


def by_method(kind: str, values: Dict[str, Dict[str, str]], **words) -> List[str]:
    """A table with a row for each way to restore a clock."""
    rows = [[title, *(WRITTEN[how](values[method][key]) for _, key, how in DATA[kind])]
            for method, title, *_ in DATA[f"{kind}-method"] if method in values]
    return table(["how the clock is restored", *(title.format(**words) for title, *_ in DATA[kind])], rows,
                 [0, *(i for i, column in enumerate(DATA[kind], 1) if column[2] == "yes")])


def picture(name: str, files: Dict[str, List[str]], **variables: str) -> None:
    """What gnuplot draws of these files, with a licence, as every file has one, and no white space at the end of
    lines."""
    folder = OUT / f"{name}.points"
    folder.mkdir(parents=True, exist_ok=True)
    for file, lines in files.items():
        (folder / file).write_text("\n".join([*lines, ""]))
    settings = "".join(f"{key} = '{value}'; " for key, value in variables.items())
    drawn = subprocess.run(["gnuplot", "-e", settings, NESTED / f"{name}.gp"], cwd=folder, stdout=subprocess.PIPE,
                           text=True, check=True).stdout
    first, *lines = [line.rstrip() for line in drawn.splitlines()]
    (OUT / f"{name}.svg").write_text("\n".join([first, "<!-- SPDX-License-Identifier: GPL-2.0 -->", *lines, ""]))


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

CONTROLS = [name for name in ROWS if name.startswith("control-pair-")]


def matrix() -> Sections:
    order, body, releases, kinds, controls = list(kernels.LINES), [], {}, set(), []
    for old, new in kernels.pairs():
        log = Log(f"pair-{old}-{new}")
        khz, khz_last = (log.numbers(r"tsc_khz (\d+)", stage)[0] for stage in (0, -1))
        kind = "same" if old == new else "upgrade" if order.index(old) < order.index(new) else "rollback"
        same = all(log.numbers(r"vm\d+ page_function=(\d)", -1))
        body.append([f"{old} to {new}", kind, *(log.worst(key) for _, key in DATA["pair"]), "yes" if same else "no"])
        releases.update({old: log.releases[0], new: log.releases[-1]})
        shift, vcpus = khz_last - khz, log.numbers(r"vm\d+ vcpus=(\d+)", -1)
        kinds.add((len(vcpus), max(vcpus), shift, round(shift * 1e6 / khz)))
    if len(kinds) != 1:
        raise Problem(f"the pairs are not of one kind (VMs, vCPUs, kHz, ppm): {sorted(kinds)}")
    vms, vcpus, shift, ppm = kinds.pop()
    head = ["pair", "kind", *(title for title, _ in DATA["pair"]), "same function"]
    for name in CONTROLS:
        log = Log(name)
        controls.append(f"- {ROWS[name].host} to {ROWS[name].next}, kvmclock {log.worst('error_now_ns')} ns and TSC "
                        f"{log.worst('tsc_error_cycles')} cycles off: caught by "
                        + ", ".join(f"``{check}``" for check in log.caught))
    return {"pairs": [f"VMs: {vms}, each of {vcpus} vCPUs. TSC frequency that the second kernel is told: "
                      f"{shift:+d} kHz ({ppm:+d} ppm).", "", *table(head, body, (0, 1, 6))],
            "kernels": [f"- {line}: {release} ({(BUILD / 'kernels' / line / 'package').read_text().strip()})"
                        for line, release in releases.items()],
            "controls": controls}


# ---- How long a guest does not run

STEPS_BEGIN = "guest_last"
STEPS_HEAD = ("step", "ms", "share, %", "counted, ms", "share, %", "whose")
BLACKOUTS = [name for line in kernels.LINES for name in (line, f"{line}-pinned") if f"blackout-{name}-counted" in ROWS]


def durations(log: Log) -> List[tuple]:
    """(step, ms, per cent, whose); the last rows are the sums."""
    at, khz = dict(lines_like(r"at (\w+) (\d+)", log.notes)), log.numbers(r"tsc_khz (\d+)", -1)[0]
    start, steps = STEPS_BEGIN, []
    for step, end, whose in DATA["step"]:
        if start not in at or end not in at or int(at[end]) < int(at[start]):
            raise Problem(f"case {log.name}: no step, or one before the last: {step}")
        steps.append((step, (int(at[end]) - int(at[start])) / khz, whose))
        start = end
    whole = (int(at[start]) - int(at[STEPS_BEGIN])) / khz
    # The first of ours is the save.
    save, *restore = [ms for _, ms, whose in steps if whose]
    steps += [("all", whole, ""), ("ours: module and restore", sum(restore), "ours"),
              ("ours: with the save", sum([save, *restore]), "ours")]
    return [(step, f"{ms:.3f}", f"{100 * ms / whole:.3f}", whose) for step, ms, whose in steps]


def blackout() -> Sections:
    tables, shares, early = [], [], []
    for line in BLACKOUTS:
        log, counted = Log(f"blackout-{line}"), Log(f"blackout-{line}-counted")
        body = [(*plain[:3], *by_count[1:]) for plain, by_count in zip(durations(log), durations(counted))]
        release = log.releases[-1] + (", pinned" if line.endswith("-pinned") else "")
        tables += [*heading(release), *table(STEPS_HEAD, body, (0, 5)), ""]
        shares.append(f"- {release}: {body[-2][4]} %; the test demands less than {ROWS[counted.name].param('share')} %")
        early += [f"- {release}: {ms} ms" for ms in lines_like(r"early .* (-?\d+) ms .*", counted.notes)]
    return {"steps": tables[:-1], "shares": shares, "early": early}


# ---- KVM's selftests, and ours on their library

RESULTS = {"0": "pass", "4": "skip", "124": "time limit", "143": "time limit"}
# Our cases that run all guests, from one kernel to another; first those that stay on theirs.
OURS = sorted((row for row in ROWS.values() if row.script == "selftests"
               and not any(map(row.param, ("controls", "scenarios", "spoil")))),
              key=lambda row: (row.host != row.next, *map([*kernels.LINES].index, (row.host, row.next))))
KERNELS_OWN = [row for row in ROWS.values() if row.script == "selftests-kernel" and row.expect == "pass"]


def scenario_result(notes: str, test: str, guest: str) -> str:
    """What a guest came to in a test, by what is left of the test's own output: by its first line."""
    found = re.search(rf"^{test} (?:# {test}\.{guest}(?:: (\d+ checks)$| cannot (be) restored)|"
                      rf"ok \d+ # SKIP {test}\.{guest}: (.*))", notes, re.M)
    if not found:
        return ""
    checks, refused, skipped = found.groups()
    # What was skipped was not there to be restored, and the column for the capture says why; or Xen is missing.
    return checks or (refused and "refused") or ("no Xen" if "Requirement not met: KVM_XEN" in skipped else "..")


def kernel_selftests(row: cases.Case) -> List[str]:
    """The kernel's own tests; the notes are "TEST STATUS STATUS-WITH-THE-MODULE TEXT"."""
    log = Log(row.name)
    body = [[test, *(RESULTS.get(status, f"status {status}") for status in both),
             text.replace("Requirement not met: ", "", 1)]
            for test, *both, text in lines_like(r"(\S+(?<!-with)) (\d+) (\d+) ?(.*)", log.notes)]
    head = ["test", "without", "with", "tests in it, or what is not met"]
    return [*heading(row.host), *table(head, body, range(4)), "",
            f"Host {log.releases[0]}, tests of {(BUILD / 'selftests' / row.host / 'package').read_text().strip()}.", ""]


def selftests() -> Sections:
    kernel = [line for row in KERNELS_OWN for line in kernel_selftests(row)]
    captures, restores = [], []
    for row in OURS:
        notes = Log(row.name).notes
        if row.host == row.next:
            captures.append((f"captured, {row.host}", "capture", notes))
        restores.append((f"{row.host} to {row.next}", "restore", notes))
    guests = next(filter(None, (dict.fromkeys(re.findall(r"\bcapture\.([a-z0-9_]+)", notes))
                                for _, _, notes in captures)), ())
    columns = captures + restores
    body = [[guest, *(scenario_result(notes, test, guest) for _, test, notes in columns)] for guest in guests]
    Log("selftests-controls")
    return {"kernel": kernel[:-1],
            "guests": table(["guest", *(title for title, _, _ in columns)], body, range(len(columns) + 1))}


# ---- Ways to restore a clock, and what they cost

def comparison(log: Log) -> List[str]:
    after: Dict[str, List[Dict[str, str]]] = defaultdict(list)
    for notes in log.stages[1:]:
        for method, values in noted(notes).items():
            after[method].append(values)
    values = {}
    for method, (first, *_, last) in after.items():
        drift = int(first["error_hour_ns"]) - int(first["error_end_ns"])
        values[method] = {**first, "drift_hour_ns": str(drift), "last_ns": last["total_error_ns"],
                          "last_cycles": last["total_error_cycles"]}
    blocks = ["\n".join([f'"{title}"', *(f"{i} {one['total_error_ns']} 0x{color}"
                                         for i, one in enumerate(after[method], 1))])
              for method, title, color in DATA["compare-method"] if method in after]
    picture("benchmark", {"points": ["\n\n\n".join(blocks)]})
    exact, updates = values["identical"], len(log.stages) - 1
    return [f"Host kernel {log.releases[-1]}, {updates} updates by kexec; guests of {exact['vcpus']} vCPUs, not "
            f"scheduled for", f"{int(exact['blackout_ns']) / 1e9:.1f} s at the first of them.", "",
            *by_method("compare", values, updates=updates)]


def cost(log: Log) -> List[str]:
    """Notes "WHAT vcpus=N KEY=VALUE..." of one VM, "WHAT-fleet up_to_vm=N" of many, "... vms=N" of all."""
    lines, found = [], lines_like(r"(\S+) (vcpus|up_to_vm|vms)=(\d+)((?: \S+=\S+)+)", log.notes)
    for wanted, title, above in DATA["costs"]:
        cells: Dict[str, Dict[int, str]] = defaultdict(dict)
        for what, unit, number, words in found:
            if unit == wanted:
                values = dict(word.split("=") for word in words.split())
                ratio, low, high = (float(values[key]) for key in ("ratio", "ratio_low", "ratio_high"))
                cells[what][int(number)] = f"{ratio:.2f} ({low:.2f}-{high:.2f})"
        columns = sorted({number for row in cells.values() for number in row})
        body = [[name, *(cells[what].get(column, "") for column in columns)]
                for what, name in DATA["cost"] if what in cells]
        lines += [above.format(release=log.releases[-1], most=max(columns, default=0)), "",
                  *table([title, *columns], body, range(len(columns) + 1)), ""]
    return lines[:-1]


def record(text: str) -> List[str]:
    rows = [(what, dict(word.split("=") for word in words)) for what, *words in map(str.split, text.splitlines())]
    return table(["what", *(title for _, title in DATA["record"])],
                 [[what, *(values[key] for key, _ in DATA["record"])] for what, values in rows if what != "sizes"])


def benchmark() -> Sections:
    return {"comparison": comparison(Log("comparison")), "cost": cost(Log("cost-6.12")),
            "record": record(text_of(BUILD / "nested/record-cost"))}


# ---- What a Linux guest sees of a blackout

def warnings_of(values: Dict[str, str]) -> str:
    return ", ".join(f"{values[key]} {title}" for key, title, *_ in DATA["warning"] if int(values[key])) or "-"


def as_seen(values: Dict[str, str]) -> Dict[str, str]:
    """The cells of a row, by the names of reports.tbl. What the readings cannot tell from 0 is 0; with clocksource tsc the
    bound is that of its rate, too."""
    unseen = 0 if values["source"] == "tsc" else int(values["bound"])
    clocks = {clock: "0 ns" if abs(int(values[clock])) <= unseen else in_units(values[clock])
              for clock in ("tsc", "mono", "real", "boot")}
    # Reported when it was over; if it was not, by the end, only that is known.
    not_over = f"> {in_seconds(values['end'])}"
    waited = in_seconds(values["slack"]) if int(values["slack"]) else not_over
    behind = not_over if int(values["woke"]) else "-"
    return {**clocks, "warnings": warnings_of(values), "lost": values["lost"],
            "bound": f"+{int(values['maxerror_us']) / 1000:.1f} ms",
            "misread": f"{values['wrong']}, {in_units(values['worst'])}" if int(values["wrong"]) else "-",
            "ticks": values["ticks"] if int(values["ticks"]) else "-",
            "loop": f"{values['rounds']} in {in_seconds(values['took'])}" if int(values["rounds"]) else behind,
            "waits": "-" if int(values["fair"]) and not int(values["slack"]) else waited}


def in_seconds(ns: str) -> str:
    return f"{int(ns) / 1e9:.1f} s"


def came_back(name: str, columns: str, lasting: str = r"\d+") -> List[str]:
    """A table of a case: what its guest saw each time, or of the blackouts of so many seconds."""
    body, ways = [], dict(row[:2] for row in DATA["way"])
    for way, words in lines_like(rf"blackout (\S+) (?:{lasting}) (.*)", Log(name).notes):
        values = dict(word.split("=") for word in words.split())
        cells = as_seen(values)
        body.append([in_seconds(values["away"]), ways[way], *(cells[key] for key, _ in DATA[columns])])
    return table(["blackout", "clocks", *(title for _, title in DATA[columns])], body, range(2 + len(DATA[columns])))


def guest_of(name: str) -> Dict[str, str]:
    words = lines_like("guest (.*)", Log(name).notes)[0].split()
    return dict(zip(words[::2], words[1::2]))


def of_guests(names: List[str], columns: str) -> List[str]:
    """Their tables, each below a heading."""
    lines = []
    for name in names:
        guest = guest_of(name)
        what = "suspended" if ROWS[name].param("state") else guest["clocksource"]
        lines += [*heading(f"{guest['release']}, {what}"), *came_back(name, columns), ""]
    return lines[:-1]


def limits(names: List[str]) -> List[str]:
    """From where on a kernel reports, and what its clocksource can count."""
    body = []
    for guest in map(guest_of, names):
        idle_s = int(guest[guest["clocksource"]]) // 10**9
        body.append([guest["release"], f"{2 * int(guest['lockup_s'])} s", f"{guest['rcu_s']} s", f"{guest['hung_s']} s",
                     guest["clocksource"], f"{idle_s} s"])
    return table(["guest", "soft lockup", "RCU stall", "hung task", "clocksource", "max_idle_ns"], body, range(6))


def time_that_passed() -> Sections:
    blackouts, suspended = ([name for name in AWAY if name.startswith(kind)] for kind in ("blackout", "suspended"))
    return {"schools": came_back("blackout-guest-6.12", "schools", "60|0"), "limits": limits(blackouts),
            "blackout-guest": of_guests(blackouts, "blackout-guest"),
            "suspended-guest": of_guests(suspended, "suspended-guest")}


# ---- The demonstrations

def demo() -> Sections:
    log = Log("demo")
    values = noted(log.stages[-1])
    ours = values["identical"]
    return {"demo": [f"Host kexec {log.releases[-1]} to itself, guest of {ours['vcpus']} vCPUs, not scheduled for "
                     f"{int(ours['blackout_ns']) / 1e9:.1f} s.",
                     "Its kvmclock and TSC against what they would have been, at the same host TSC:", "",
                     *by_method("demo", values)]}


def seen_inside(title: str, values: Dict[str, Dict[str, str]], ours: str) -> List[str]:
    """What a Linux guest saw, by how it came back; what is below the table is of ours."""
    for value in values.values():
        # The page has the same bytes, or is the same function of the TSC.
        value["page"] = str(int("1" in (value.get("page_identical"), value.get("page_function"))))
    return [f"{title} Read inside the guest:", "", *by_method("qemu", values), "",
            *(line.format_map(values[ours]) for line, in DATA["qemu-text"])]


def demo_qemu() -> Sections:
    log = Log("qemu-demo")
    values = noted(log.notes)
    picture("qemu-clock", {method: lines_like(f"{method} point=(.*)", log.notes) for method in values},
            resolution=values["ours"]["raw_resolution_ns"])
    return {"qemu": seen_inside("A Linux guest on QEMU, its host replaced by kexec.", values, "ours")}


def demo_host() -> Sections:
    logs = {name: Log(name) for name in REPORTS["demo-host"][1]}
    title = f"A libvirt guest on Debian 13, {logs['host-libvirt'].releases[0]}, which replaced itself by systemctl kexec."
    return {"host": seen_inside(title, {name: noted(log.notes)["g1"] for name, log in logs.items()}, "host-libvirt")}


# ---- All of them

AWAY = [row.name for row in ROWS.values() if row.script == "blackout-guest" and row.expect == "pass"]

# What makes it, and of which cases.
REPORTS: Dict[str, Tuple[Callable[[], Sections], List[str]]] = {
    "matrix": (matrix, [f"pair-{old}-{new}" for old, new in kernels.pairs()] + CONTROLS),
    "blackout": (blackout, [f"blackout-{line}{end}" for line in BLACKOUTS for end in ("", "-counted")]),
    "selftests": (selftests, [row.name for row in KERNELS_OWN + OURS] + ["selftests-controls"]),
    "benchmark": (benchmark, ["comparison", "cost-6.12"]),
    "time-that-passed": (time_that_passed, AWAY),
    "demo": (demo, ["demo"]),
    "demo-qemu": (demo_qemu, ["qemu-demo"]),
    "demo-host": (demo_host, ["host-alone", "host-libvirt"]),
}


def mismeasured(case: str) -> bool:
    return bool(re.search(r"^note=identical refused_errno=(ERANGE|ENOTRECOVERABLE)",
                          text_of(BUILD / "nested" / case / "verdict.log"), re.M))


def run_cases(names: List[str]) -> None:
    """One at a time, as some measure times. Whether they pass is seen when they are read."""
    for name in names:
        # What an earlier run left must not be taken for this one's.
        (BUILD / "nested" / name / "outcome").unlink(missing_ok=True)
    for _ in range(ATTEMPTS):
        for file in TABLES:
            some = [case.name for case in cases.read_table(NESTED / file) if case.name in names]
            if some:
                subprocess.run([NESTED / "run.py", "-j1", "-t", NESTED / file, "-c", *some], stdout=sys.stderr,
                               check=False)
        names = [name for name in names if mismeasured(name)]


def make_report(name: str) -> str:
    """Writes the document, if there is one of it, and its pictures; returns the sections as text."""
    OUT.mkdir(parents=True, exist_ok=True)
    sections, document = REPORTS[name][0](), f"{name}.rst"
    if (ROOT / "Documentation" / document).exists():
        (OUT / document).write_text(fill((ROOT / "Documentation" / document).read_text(), sections))
    return "\n\n".join("\n".join(lines) for lines in sections.values())


def main() -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--from-logs", action="store_true")
    parser.add_argument("report", nargs="+", choices=REPORTS)
    arguments, failed = parser.parse_args(), 0
    for name in arguments.report:
        try:
            if not arguments.from_logs:
                run_cases(REPORTS[name][1])
            print(make_report(name), end="\n\n")
        except (Problem, KeyError, ValueError, OSError, subprocess.CalledProcessError) as error:
            say(f"{name}: {error if isinstance(error, Problem) else repr(error)}")
            failed = 1
    return failed


if __name__ == "__main__":
    run_main(main)
