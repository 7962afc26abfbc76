#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""The documents' tables of the record's members, as print-fields.c prints them from kernel/core/fields.c.

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
import sys
import tempfile
from pathlib import Path
from typing import Dict

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests/nested"))
from common import Problem, output_of, run_main  # noqa: E402

DOCUMENTS = ["Documentation/region-abi.rst", "Documentation/man/kvmclockctl.8", "Documentation/man/kvmclockctl-decode.8"]
MARKS = r'^(\.\. |\.\\" )(fields|flags): \w+\n.*?^(\.\. |\.\\" )end \2$'


def print_fields(what: str) -> str:
    kernel = ROOT / "kernel"
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / "print-fields"
        output_of("gcc", "-o", program, ROOT / "scripts/print-fields.c", kernel / "core/fields.c",
                  *(f"-I{kernel / folder}" for folder in ("core", "include", "include/uapi")))
        return output_of(program, what)


def documents() -> Dict[Path, str]:
    """The documents with every table made anew; each table is in one of them."""
    tables = {table[0].partition("\n")[0]: table[0] for table in re.finditer(MARKS, print_fields("tables"), re.M | re.S)}
    used = set()

    def made(old) -> str:
        start = old[0].partition("\n")[0]
        used.add(start)
        return tables.get(start, "no such structure")

    texts = {ROOT / name: re.sub(MARKS, made, (ROOT / name).read_text(), flags=re.M | re.S) for name in DOCUMENTS}
    if used != set(tables):
        raise Problem(f"no document has, or there is no structure of: {', '.join(used ^ set(tables))}")
    return texts


def main() -> None:
    for path, text in documents().items():
        path.write_text(text)


if __name__ == "__main__":
    run_main(main)
