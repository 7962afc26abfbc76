#!/usr/bin/env -S python3 -B
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
sys.path.append(str(ROOT / "tests/nested"))
from common import Problem, output_of, run_main, table  # noqa: E402

DOCUMENTS = ["Documentation/region-abi.rst", "Documentation/man/kvmclockctl.8"]
# What print-fields.c prints.
COLUMNS = ["structure", "name", "offset", "size", "type", "unit", "since", "shown", "symbol", "mask", "meaning"]
MAN_WIDTH = 78

Row = Dict[str, str]


def read_rows() -> List[Row]:
    """The rows of all structures, as the compiler has them."""
    kernel = ROOT / "kernel"
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / "print-fields"
        subprocess.run(["gcc", "-o", program, ROOT / "scripts/print-fields.c", kernel / "core/fields.c",
                        *(f"-I{kernel / folder}" for folder in ("core", "include", "include/uapi"))], check=True)
        return [dict(zip(COLUMNS, line.split("\t"))) for line in output_of(program).splitlines()]


def shown_names(rows: List[Row]) -> List[str]:
    """Those that show and decode have."""
    return [row["name"] for row in rows if row["shown"] == "1" and row["structure"] != "kch_kho_entry"]


def literal(text: str) -> str:
    """Marks what is a name: every word with an underscore."""
    return re.sub(r"[\w/]*_[\w*]+", r"``\g<0>``", text)


def rst_fields(rows: List[Row]) -> List[str]:
    return ["", *table(["offset", "size", "type", "member", "unit", "since", "meaning"],
                       [[row["offset"], row["size"], row["type"], f"``{row['name']}``", row["unit"], row["since"],
                         literal(row["meaning"])] for row in rows if row["type"] != "flag"], range(7)), ""]


def rst_flags(rows: List[Row]) -> List[str]:
    return ["", *table(["flag", "bit", "shown as", "since", "meaning"],
                       [[f"``{row['symbol']}``", row["mask"], f"``{row['name']}``", row["since"],
                         literal(row["meaning"])] for row in rows if row["type"] == "flag"], range(5)), ""]


def man_fields(rows: List[Row]) -> List[str]:
    return [line for row in rows if row["shown"] == "1" for line in (
        f".It Va {row['name']}", *textwrap.wrap(", ".join(filter(None, (row["meaning"], row["unit"]))), MAN_WIDTH))]


MAKERS = {".. fields": rst_fields, ".. flags": rst_flags, '.\\" fields': man_fields}


def documents() -> Dict[Path, str]:
    """The documents with every table made anew."""
    rows, made = read_rows(), []

    def make(match) -> str:
        start, mark, structure, end = match.groups()
        made.append((mark, structure))
        return "\n".join([start, *MAKERS[mark]([row for row in rows if row["structure"] == structure]), end])

    texts = {ROOT / name: re.sub(r'^((\.\. fields|\.\. flags|\.\\" fields): (\w+))\n.*?^(\S+ end (?:fields|flags)$)', make,
                                 (ROOT / name).read_text(), flags=re.M | re.S) for name in DOCUMENTS}
    for structure in {row["structure"] for row in rows}:
        if (".. fields", structure) not in made:
            raise Problem(f"{DOCUMENTS[0]}: no table of struct {structure}")
    return texts


def main() -> None:
    for path, text in documents().items():
        path.write_text(text)


if __name__ == "__main__":
    run_main(main)
