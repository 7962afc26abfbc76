# SPDX-License-Identifier: GPL-2.0
"""Do the documents say what the sources say, and are they well-formed?  A part of check.py.

layout   offsets, sizes and numbers in tables between ".. layout: WHAT" and ".. end layout" are those of
         the headers: a C file of static assertions is made of them, and the compiler is the judge.
             struct NAME   rows "OFFSET SIZE TYPE ``MEMBER`` ...": every member, in order, without a gap
             constants     rows "``NAME`` VALUE ..."
             ioctls        rows "``KCH_IOC_NAME`` NUMBER ``struct NAME`` SIZE ..."
         the tables of the record's members are those that record_tables.py makes; the library has these members
names    every name that is part of an interface is documented, and no other; the tool's commands, options
         and columns are compared with what --help prints, by tests/cli
format   the documents format without a warning, what they name exists, their example compiles
"""
import re
import tempfile
from pathlib import Path
from typing import Callable, Iterator, List

import record_tables
from record_tables import ROOT, Problem

INCLUDES = ["-Ikernel/include/uapi", "-Ikernel/include", "-Iuserspace/include"]
# A document that lost its marks would pass without a word.
ASSERTIONS_MIN = 40
UAPI = "kernel/include/uapi/linux/kvmclock_handover.h"
ABI = "Documentation/user-abi.rst"


def sources(pattern: str) -> str:
    found = sorted(ROOT.glob(pattern))
    if not found:
        raise Problem(f"no {pattern}")
    return "".join(path.read_text() for path in found)


def between(text: str, start: str, end: str) -> str:
    """From a line that starts with `start` to one that matches `end`."""
    match = re.search(rf"^{start}.*?(?=^{end}|\Z)", text, re.M | re.S)
    return match[0] if match else ""


# ---- Layout

def assertions(name: str) -> Iterator[str]:
    """The static assertions of a document."""
    text = sources(name)
    for block in re.finditer(r"^\.\. layout: ([^\n]*)\n(.*?)(^\.\. end layout|^\.\. layout: |\Z)", text, re.M | re.S):
        kind, found, offset = block[1], [], 0
        for row in block[2].splitlines():
            cells = row.replace("``", "").split()
            if kind.startswith("struct ") and re.match("[0-9]", row):
                found += [f"offsetof({kind}, {cells[3]}) == {cells[0]}", f"{cells[0]} == {offset}",
                          f"sizeof((({kind} *)0)->{cells[3]}) == {cells[1]}"]
                offset += int(cells[1])
            elif not kind.startswith("struct ") and row.startswith("``"):
                found.append(f"{cells[0]} == {cells[1]}")
                if kind == "ioctls":
                    found.append(f"sizeof({cells[2]} {cells[3]}) == {cells[4]}")
        if not found or not block[3].startswith(".. end"):
            yield f'#error "{name}: {kind}: a block without a row, or without an end"'
        if offset:
            found.append(f"sizeof({kind}) == {offset}")
        yield from (f'_Static_assert({what}, "{name}: {kind}: {what}");' for what in found)


def layout_faults(run: Callable) -> Iterator[str]:
    for path, text in record_tables.documents().items():
        if path.read_text() != text:
            yield f"{path.name}: its tables are not those of kernel/core/fields.c: run scripts/record_tables.py"
    lines = [line for name in ("Documentation/region-abi.rst", ABI) for line in assertions(name)]
    if len(lines) < ASSERTIONS_MIN:
        yield f"only {len(lines)} assertions found in the documents"
    headers = ("stddef.h", "linux/kvmclock_handover.h", "linux/kvmclock_handover_record.h", "kvmclock-handover.h")
    code = [*(f"#include <{header}>" for header in headers), *lines, record_tables.print_fields("library")]
    result = run("gcc", "-fsyntax-only", *INCLUDES, "-x", "c", "-", input="\n".join(code) + "\n")
    if result.returncode:
        yield f"the documents and the headers differ:\n{result.stdout}"


# ---- Names

def differences(what: str, source: List[str], documented: List[str]) -> Iterator[str]:
    # Nothing found on one side is a fault of this file, or of the marks it looks for.
    if not source or not documented:
        yield f"{what}: nothing found in the {'sources' if not source else 'documentation'}"
        return
    yield from (f"{what}: not documented: {name}" for name in sorted({*source} - {*documented}))
    yield from (f"{what}: does not exist: {name}" for name in sorted({*documented} - {*source}))


def errnos(text: str) -> List[str]:
    """Those after "Errors:" up to an empty line, but for those in brackets."""
    match = re.search(r"Errors: (.*?)(\n[ *]*\n|\*/|\Z)", text, re.S)
    return re.findall(r"\bE[A-Z0-9]+\b", re.sub(r"\([^)]*\)", "", match[1])) if match else []


def errno_faults(abi: str) -> Iterator[str]:
    uapi = sources(UAPI)
    for kind, title, end in (("every", "Errors every ioctl", r" \*/| \* Errors of single"),
                             ("single", "Errors of single ioctls", r" \*/")):
        yield from differences(f"errnos of {kind} ioctl", re.findall(
            r"^ \* (E[A-Z0-9]+) ", between(uapi, rf" \* {title}", end), re.M),
            re.findall(r"^``([^`]*)``", between(abi, rf"\.\. errnos: {kind}$", r"\.\. end errnos"), re.M))
    for structure in re.findall(r"^ \* struct (kch_[a-z]+) - KCH_IOC_", uapi, re.M):
        name = structure.upper().replace("KCH_", "KCH_IOC_", 1)
        in_header = errnos(between(uapi, rf" \* struct {structure} - ", r" \*/"))
        in_document = errnos(between(abi, rf"{name}\n-", rf"(?!{name})KCH_IOC_[A-Z_]+\n|Errors\n"))
        if in_header or in_document:
            yield from differences(f"errnos of {name}", in_header, in_document)


def name_faults() -> Iterator[str]:
    for row in re.findall("^[^#].*", sources("scripts/names.tbl"), re.M):
        what, files, pattern, document, start, end, documented = row.split(" ; ")
        yield from differences(f"{what} in {document}", re.findall(pattern, sources(files), re.M),
                               re.findall(documented, between(sources(document), start, end), re.M))
    abi, cli = sources(ABI), sources("userspace/cli/*.c")
    yield from errno_faults(abi)
    yield from differences(
        "output fields of kvmclockctl",
        record_tables.print_fields("shown").split() + re.findall(r'^\t\{ "([a-z0-9_]+)", "', cli, re.M) +
        re.findall(r'(?:output_(?:number|u64|s64|hex|bool|string|uuid|table)|add_errno)\([^"(\n]*"([a-z0-9_]+)"', cli),
        re.findall(r"^\.It Va ([a-z0-9_]*)", "".join(between(page.read_text(), r"\.Sh OUTPUT", r"\.Sh ") for page in
                                                    ROOT.glob("Documentation/man/kvmclockctl*.8")), re.M))


def example_faults() -> Iterator[str]:
    for path in [ROOT / "README.md", *ROOT.glob("Documentation/**/*")]:
        if path.suffix != ".svg" and path.is_file() and re.search(r'--[a-z-]+="?\$\(kvmclockctl', path.read_text()):
            yield f"{path.name}: an empty command line if kvmclockctl fails: args=$(kvmclockctl ...) && kexec ..."


# ---- Format

def format_faults(run: Callable) -> Iterator[str]:
    documents, pages = sorted(ROOT.glob("Documentation/*.rst")), sorted(ROOT.glob("Documentation/man/*.[0-9]"))
    yield from run("mandoc", "-Tlint", "-Wwarning", *pages).stdout.splitlines()
    with tempfile.TemporaryDirectory() as work:
        for document in documents:
            yield from run("rst2html", "--strict", "--report=1", document, Path(work) / "html").stdout.splitlines()
    # Files that are named must be there, but for those with NAME in them. A name without a folder is a
    # document's own neighbour.
    text = "\n".join(path.read_text() for path in [*documents, *pages, ROOT / "README.md"])
    for path in sorted(set(re.findall(r"(?<![A-Za-z0-9_./])((?:kernel|userspace|scripts|tests|Documentation)"
                                      r"/[A-Za-z0-9_./-]*[A-Za-z0-9_]|[a-z-]+\.rst\b)", text))):
        if "NAME" not in path and not (ROOT / path).exists() and not (ROOT / "Documentation" / path).exists():
            yield f"no such file: {path}"
    # What stands between the marks of each example, without its indentation.
    page = sources("Documentation/vmm-integration.rst")
    examples = re.findall(r"^\.\. example: userspace(.*?)^\.\. end example", page, re.M | re.S)
    for number, example in enumerate(examples, 1):
        code = "\n".join(line[4:] for line in example.splitlines() if line.startswith("    "))
        result = run("gcc", *"-std=gnu11 -Wall -Wextra -Werror -fsyntax-only -x c".split(), *INCLUDES, "-", input=code + "\n")
        if result.returncode:
            yield f"vmm-integration.rst: example {number} does not compile: {result.stdout}"
    if "kch_vm_restore" not in "".join(examples):
        yield "vmm-integration.rst: no example restores a VM"


def faults(run: Callable) -> Iterator[str]:
    yield from layout_faults(run)
    yield from name_faults()
    yield from example_faults()
    yield from format_faults(run)
