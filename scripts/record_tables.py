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
from typing import Dict, List

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["Documentation/region-abi.rst", "Documentation/man/kvmclockctl.8"]
# What print-fields.c prints.
COLUMNS = ["structure", "name", "offset", "size", "type", "unit", "since", "shown", "symbol", "mask", "meaning"]
TABLE_WIDTH = 100
MAN_WIDTH = 78

Row = Dict[str, str]


class Failed(Exception):
    """The tables cannot be made."""


def read_rows() -> List[Row]:
    """The rows of all structures, as the compiler has them."""
    kernel = ROOT / "kernel"
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / "print-fields"
        compiled = subprocess.run(["gcc", "-o", program, ROOT / "scripts/print-fields.c", kernel / "core/fields.c",
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
    rows = [titles, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(titles) - 1)]
    widths.append(TABLE_WIDTH - sum(widths) - len(widths))
    rule = " ".join("=" * width for width in widths)
    lines = ["", rule]
    for row in rows:
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
    return [line for row in rows if row["shown"] == "1" for line in (
        f".It Va {row['name']}", *textwrap.wrap(", ".join(filter(None, (row["meaning"], row["unit"]))), MAN_WIDTH))]


MAKERS = {".. fields": rst_fields, ".. flags": rst_flags, '.\\" fields': man_fields}


def filled(text: str, rows: List[Row], name: str) -> str:
    """The document with every table made anew."""
    def made(match) -> str:
        start, mark, structure, end = match.groups()
        chosen = [row for row in rows if row["structure"] == structure]
        if not chosen or end is None:
            raise Failed(f"{name}: '{start}': no such structure, or no end")
        return "\n".join([start, *MAKERS[mark](chosen), end])
    return re.sub(r'^((\.\. fields|\.\. flags|\.\\" fields): (\w+))\n(?:.*?^(\S+ end (?:fields|flags)$)|)', made, text,
                  flags=re.M | re.S)


def documents(rows: List[Row]) -> Dict[Path, str]:
    """The documents as they should be."""
    texts = {ROOT / name: filled((ROOT / name).read_text(), rows, name) for name in DOCUMENTS}
    for structure in {row["structure"] for row in rows}:
        if f"\n.. fields: {structure}\n" not in texts[ROOT / DOCUMENTS[0]]:
            raise Failed(f"{DOCUMENTS[0]}: no table of struct {structure}")
    return texts


if __name__ == "__main__":
    try:
        for path, text in documents(read_rows()).items():
            path.write_text(text)
    except Failed as error:
        sys.exit(f"record_tables.py: {error}")
