# SPDX-License-Identifier: GPL-2.0
"""The case tables: one case a line, fields divided by |, # starts a comment line. cases.tbl says what is in
which field."""

import fnmatch
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Sequence

import kernels
from common import LOGS, NESTED, Problem

TABLE = NESTED / "cases.tbl"
SETS = NESTED / "sets.tbl"
DEFAULT_LINE, = kernels.names("default")
MACHINES = ("qemu", "bochs", "debian", "secure", "two")


@dataclass(frozen=True)
class Case:
    name: str
    set: str
    host: str
    next: str
    script: str
    params: str
    expect: str
    limit: int
    outcome: str = ""

    def param(self, key: str, default: str = "") -> str:
        """Of several the last counts."""
        words = [word[len(key) + 1:] for word in self.params.split() if word.startswith(f"{key}=")]
        return words[-1] if words else default

    def with_params(self, *words: str) -> "Case":
        return replace(self, params=" ".join([self.params, *words]))

    @property
    def machine(self) -> str:
        return self.param("machine", "qemu")

    @property
    def lines(self) -> List[str]:
        """The kernel lines it needs, each once, the oldest first."""
        return sorted({self.host, self.next}, key=list(kernels.LINES).index)

    @property
    def initramfs(self) -> Path:
        return LOGS / f"initramfs-{'-'.join(filter(None, ('+'.join(self.lines), *map(self.param, ('part', 'guest')))))}.cpio"

    def __str__(self) -> str:
        return (f"{self.name:<28} {self.set:<6} {self.host:<6} {self.next:<6} {self.expect:<14} "
                f"{self.script} {self.params}")


def expand(text: str, separator: str, sets: Dict[str, str]) -> str:
    return separator.join(sets.get(word, word) for word in text.split(separator))


def make_case(fields: Sequence[str], sets: Dict[str, str]) -> Case:
    """A case of a row's fields, or Problem with what is wrong in it."""
    name, which, host, following, script, params, expect, limit, *outcome = fields
    kind, _, listed = expect.partition(":")
    params, listed = expand(params, " ", sets), expand(listed, ",", sets)
    checks = [check for check in listed.split(",") if check]
    case = Case(name, which, host, following, script, params, f"{kind}:{listed}" if listed else kind,
                int(limit) if limit.isdecimal() else 0, *outcome)
    for wrong, text in (
            (not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name), f"bad name: {name}"),
            (which not in ("short", "full"), f"{which}: neither short nor full"),
            (host not in kernels.LINES, f"{host}: not a kernel line"),
            (following not in kernels.LINES, f"{following}: not a kernel line"),
            (not re.fullmatch(r"((\+\S+|\S+=\S*)(\s+|$))*", params), f"{params}: not all KEY=VALUE or +WORD"),
            (case.machine not in MACHINES, f"{name}: machine={case.machine}: not one of {', '.join(MACHINES)}"),
            (expect != "pass" and not (kind == "caught" and checks), f"{expect}: neither pass nor caught:CHECK"),
            (any(check.isupper() for check in checks), f"{listed}: a name that is not in {SETS.name}"),
            (checks and all(check.endswith("?") for check in checks), f"{expect}: no check that must fail"),
            (not case.limit, f"{limit}: no time limit")):
        if wrong:
            raise Problem(text)
    return case


def family(fields: Sequence[str]) -> List[List[str]]:
    """The rows of a row with several lines; of any other, the row itself."""
    name, which, hosts, following = fields[:4]
    released = list(dict.fromkeys(old for old, new in kernels.pairs()))
    rows = []
    for host in released if hosts == "*" else hosts.split(","):
        for line in {"*": released, "=": [host]}.get(following, [following]):
            default, _, others = which.partition("/")
            suffix = "" if host == DEFAULT_LINE else f"-{host}"
            rows.append([name.replace("{host}", host).replace("{-host}", suffix).replace("{next}", line),
                         default if host == DEFAULT_LINE else others or default, host, line, *fields[4:]])
    return rows


def read_table(path: Path = TABLE) -> List[Case]:
    sets: Dict[str, str] = {}
    names: List[str] = []
    families: Dict[str, Case] = {}
    written: Dict[str, Case] = {}
    lines = [(file, number, line.strip()) for file in (SETS, path)
             for number, line in enumerate(file.read_text().splitlines(), 1) if line.strip() and line.strip()[0] != "#"]
    for file, number, line in lines:
        definition = re.fullmatch(r"([A-Z][A-Z_]*) = (.+)", line)
        if definition:
            sets[definition[1]] = definition[2]
            continue
        try:
            fields = [field.strip() for field in line.split("|")]
            # The ninth field is that of the self-test: the outcome wanted of the judge.
            if len(fields) not in (8, 9):
                raise Problem(f"{len(fields)} fields instead of 8")
            cases = families if "{" in fields[0] else written
            for row in family(fields):
                if row[0] in cases:
                    raise Problem(f"{row[0]} is there twice")
                cases[row[0]] = make_case(row, sets)
                names.append(row[0])
        except Problem as problem:
            raise Problem(f"{file}:{number}: {problem}") from None
    table = [{**families, **written}[name] for name in dict.fromkeys(names)]
    if len({bool(case.outcome) for case in table}) > 1:
        raise Problem(f"{path}: a wanted outcome for some cases only")
    return table


def select(cases: Sequence[Case], full: bool, patterns: Sequence[str]) -> List[Case]:
    """Of each pattern, as the shell knows them, there must be a case; one of several is taken once. A text may have
    several patterns, with commas or blanks."""
    chosen: Dict[str, Case] = {}
    for pattern in re.findall("[^, ]+", " ".join(patterns)):
        found = [case for case in cases if fnmatch.fnmatchcase(case.name, pattern)]
        if not found:
            raise Problem(f"no case {pattern}; tests/nested/run.py -l lists them")
        chosen.update((case.name, case) for case in found)
    return list(chosen.values()) if patterns else [case for case in cases if full or case.set == "short"]
