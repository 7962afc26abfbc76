#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The documents' tables of the record's members, made of kernel/core/fields.c.

    scripts/record_tables.py    writes them into Documentation/

A table stands in a document between two comments, which stay. In reStructuredText:

    .. fields: STRUCTURE        .. flags: STRUCTURE
    .. end fields               .. end flags

in a manual page, of the members that kvmclockctl shows:

    .\\" fields: STRUCTURE
    .\\" end fields

check_documents.py asks whether they are up to date.
"""
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Dict, Iterator, List

DOCUMENTS = ["Documentation/region-abi.rst", "Documentation/man/kvmclockctl.8"]
# The library's structures of the record's members, and the prefix of their flags.
LIBRARY = "userspace/include/kvmclock-handover.h"
LIBRARY_STRUCTURES = {"kch_rec_vm": ("kch_vm_info", "KCH_VM_"), "kch_rec_vcpu": ("kch_vcpu_info", "KCH_VCPU_")}
# What print-fields.c prints.
COLUMNS = ["structure", "name", "offset", "size", "type", "unit", "since", "shown", "symbol", "mask", "meaning"]
TABLE_WIDTH = 100
MAN_WIDTH = 78

Row = Dict[str, str]


class Failed(Exception):
    """The tables cannot be made."""


def read_rows(root: Path) -> List[Row]:
    """The rows of all structures, as the compiler has them."""
    kernel = root / "kernel"
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / "print-fields"
        compiled = subprocess.run(["gcc", "-o", program, root / "scripts/print-fields.c", kernel / "core/fields.c",
                                   *(f"-I{kernel / folder}" for folder in ("core", "include", "include/uapi"))],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if compiled.returncode:
            raise Failed(compiled.stdout)
        text = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [dict(zip(COLUMNS, line.split("\t"))) for line in text.splitlines()]


def shown_names(rows: List[Row]) -> List[str]:
    """Those that show and decode have."""
    return [row["name"] for row in rows if row["shown"] == "1" and row["structure"] != "kch_kho_entry"]


def literal(text: str) -> str:
    """Marks what is a name: every word with an underscore."""
    return re.sub(r"[\w/]*_[\w*]+", r"``\g<0>``", text)


def rst_table(titles: List[str], rows: List[List[str]]) -> List[str]:
    """A simple table; the last column takes the width that is left."""
    widths = [max(len(row[i]) for row in [titles] + rows) for i in range(len(titles) - 1)]
    widths.append(TABLE_WIDTH - sum(widths) - len(widths))
    rule = " ".join("=" * width for width in widths)
    lines = ["", rule]
    for row in [titles] + rows:
        wrapped = textwrap.wrap(row[-1], widths[-1], break_long_words=False, break_on_hyphens=False) or [""]
        first = " ".join(cell.ljust(width) for cell, width in zip(row, widths[:-1]))
        lines.append(f"{first} {wrapped[0]}".rstrip())
        lines += [" " * len(first) + f" {more}" for more in wrapped[1:]]
        if row is titles:
            lines.append(rule)
    return lines + [rule, ""]


def rst_fields(rows: List[Row]) -> List[str]:
    return rst_table(["offset", "size", "type", "member", "unit", "since", "meaning"],
                     [[row["offset"], row["size"], row["type"], f"``{row['name']}``", row["unit"], row["since"],
                       literal(row["meaning"])] for row in rows if row["type"] != "flag"])


def rst_flags(rows: List[Row]) -> List[str]:
    return rst_table(["flag", "bit", "shown as", "since", "meaning"],
                     [[f"``{row['symbol']}``", row["mask"], f"``{row['name']}``", row["since"],
                       literal(row["meaning"])] for row in rows if row["type"] == "flag"])


def man_fields(rows: List[Row]) -> List[str]:
    lines = []
    for row in rows:
        if row["shown"] == "1":
            unit = f", {row['unit']}" if row["unit"] else ""
            lines += [f".It Va {row['name']}", *textwrap.wrap(row["meaning"] + unit, MAN_WIDTH)]
    return lines


MAKERS = {".. fields": rst_fields, ".. flags": rst_flags, '.\\" fields': man_fields}


def filled(text: str, rows: List[Row], name: str) -> str:
    """The document with every table made anew."""
    lines: List[str] = []
    until = None
    for line in text.splitlines():
        if until is None:
            lines.append(line)
            mark, _, structure = line.partition(": ")
            if mark in MAKERS:
                chosen = [row for row in rows if row["structure"] == structure]
                if not chosen:
                    raise Failed(f"{name}: no structure {structure}")
                lines += MAKERS[mark](chosen)
                until = mark.replace(" ", " end ", 1)
        elif line == until:
            lines.append(line)
            until = None
    if until is not None:
        raise Failed(f"{name}: no '{until}'")
    return "\n".join(lines) + "\n"


def faults(root: Path, rows: List[Row]) -> Iterator[str]:
    """Each table must be there, and as it would be made now."""
    texts = {name: (root / name).read_text() for name in DOCUMENTS}
    for name, text in texts.items():
        if filled(text, rows, name) != text:
            yield f"{name}: its tables are not those of kernel/core/fields.c: run scripts/record_tables.py"
    for structure in sorted({row["structure"] for row in rows}):
        if f"\n.. fields: {structure}\n" not in texts[DOCUMENTS[0]]:
            yield f"{DOCUMENTS[0]}: no table of struct {structure}"


def library_faults(root: Path, rows: List[Row]) -> Iterator[str]:
    """The library gives its callers every member that is shown, under its name, and every flag."""
    text = (root / LIBRARY).read_text()
    for structure, (name, prefix) in LIBRARY_STRUCTURES.items():
        body = re.search(rf"^struct {name} {{\n(.*?)^}};", text, re.M | re.S)
        members = set(re.findall(r"(\w+)(?:\[\w+\])?;", body[1] if body else "")) - {"sz"}
        flags = {flag: 1 << int(bit)
                 for flag, bit in re.findall(rf"^#define {prefix}INFO_(\w+)\s+\(1U << (\d+)\)", text, re.M)}
        shown = [row for row in rows if row["structure"] == structure and row["shown"] == "1"]
        for wrong in sorted(members ^ {row["name"] for row in shown if row["type"] != "flag"}):
            yield f"{LIBRARY}: struct {name} and struct {structure} differ in {wrong}"
        for row in shown:
            flag = row["symbol"][len(prefix):]
            if row["type"] == "flag" and flags.get(flag) != int(row["mask"], 0):
                yield f"{LIBRARY}: {prefix}INFO_{flag} is not {row['symbol']}"


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    try:
        rows = read_rows(root)
        texts = {name: filled((root / name).read_text(), rows, name) for name in DOCUMENTS}
    except Failed as error:
        sys.exit(f"record_tables.py: {error}")
    for name, text in texts.items():
        (root / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
