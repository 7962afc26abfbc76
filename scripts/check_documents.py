# SPDX-License-Identifier: GPL-2.0
"""Do the documents say what the sources say, and are they well-formed?  A part of check.py.

layout   offsets, sizes and numbers in tables between ".. layout: WHAT" and ".. end layout" are those of
         the headers: a C file of static assertions is made of them, and the compiler is the judge.
             struct NAME   rows "OFFSET SIZE TYPE ``MEMBER`` ...": every member, in order, without a gap
             constants     rows "``NAME`` VALUE ..."
             ioctls        rows "``KCH_IOC_NAME`` NUMBER ``struct NAME`` SIZE ..."
         the tables of the record's members are those that record_tables.py makes
names    every name that is part of an interface is documented, and no other: debugfs keys and files, ioctls,
         errnos (also of each ioctl), module parameters, library functions, subcommands, options, and the
         names of what kvmclockctl prints
format   the documents format without a warning, what they name exists, their examples compile
"""
import re
import tempfile
from pathlib import Path
from typing import Callable, Iterable, Iterator, List

import record_tables
from record_tables import Failed

INCLUDES = ["-Ikernel/include/uapi", "-Ikernel/include", "-Iuserspace/include"]
# A document that lost its marks would pass without a word.
ASSERTIONS_MIN = 40


def sources(root: Path, pattern: str) -> str:
    found = sorted(root.glob(pattern))
    if not found:
        raise Failed(f"no {pattern}")
    return "".join(path.read_text() for path in found)


def between(text: str, start: str, end: str) -> str:
    """From a line that starts with `start` to one that matches `end`."""
    match = re.search(rf"^{start}.*?(?=^{end}|\Z)", text, re.M | re.S)
    return match[0] if match else ""


# ---- Layout

def assertions(name: str, text: str) -> Iterator[str]:
    """The static assertions of a document."""
    for block in re.finditer(r"^\.\. layout: ([^\n]*)\n(.*?)(^\.\. end layout|^\.\. layout: |\Z)", text, re.M | re.S):
        kind, rows, end = block[1], block[2].replace("``", ""), block[3]
        first = text[:block.start()].count("\n") + 2
        found, offset = [], 0
        for number, row in enumerate(rows.splitlines(), first):
            marked = text.splitlines()[number - 1].startswith("``")
            cells = row.split()
            if kind.startswith("struct ") and re.match("[0-9]", row):
                found += [(number, f"offsetof({kind}, {cells[3]}) == {cells[0]}"),
                          (number, f"sizeof((({kind} *)0)->{cells[3]}) == {cells[1]}")]
                if int(cells[0]) != offset:
                    yield f'#error "{name} line {number}: a gap before {cells[3]}"'
                offset = int(cells[0]) + int(cells[1])
            elif kind == "constants" and marked:
                found.append((number, f"{cells[0]} == {cells[1]}"))
            elif kind == "ioctls" and marked:
                found += [(number, f"{cells[0]} == {cells[1]}"), (number, f"sizeof({cells[2]} {cells[3]}) == {cells[4]}")]
        if not found or not end.startswith(".. end"):
            yield f'#error "{name} line {first}: a block without a row, or without an end"'
        if kind.startswith("struct "):
            found.append((first, f"sizeof({kind}) == {offset}"))
        yield from (f'_Static_assert({what}, "{name} line {number}: {what}");' for number, what in found)


def layout_faults(root: Path, run: Callable) -> Iterator[str]:
    lines = [line for name in ("region-abi.rst", "user-abi.rst")
             for line in assertions(name, sources(root, f"Documentation/{name}"))]
    count = sum(line.startswith("_Static") for line in lines)
    if count < ASSERTIONS_MIN:
        yield f"only {count} assertions found in the documents"
    rows = record_tables.read_rows(root)
    yield from record_tables.faults(root, rows)
    yield from record_tables.library_faults(root, rows)
    code = ["#include <stddef.h>", "#include <linux/kvmclock_handover.h>",
            "#include <linux/kvmclock_handover_record.h>", *lines]
    result = run("gcc", "-fsyntax-only", *INCLUDES, "-x", "c", "-", input="\n".join(code) + "\n")
    if result.returncode:
        yield f"the documents and the headers differ:\n{result.stdout}"


# ---- Names

def differences(what: str, source: Iterable[str], documented: Iterable[str]) -> Iterator[str]:
    source, documented = set(source), set(documented)
    # Nothing found on one side is a fault of this file, or of the marks it looks for.
    if not source or not documented:
        yield f"{what}: nothing found in the {'sources' if not source else 'documentation'}"
        return
    yield from (f"{what}: not documented: {name}" for name in sorted(source - documented))
    yield from (f"{what}: does not exist: {name}" for name in sorted(documented - source))


def debugfs_faults(root: Path, abi: str, man4: str) -> Iterator[str]:
    debugfs = sources(root, "kernel/**/debugfs*.c")
    keys = {}
    for function, body in re.findall(r"^static [^;{}]*?\b(\w*show\w*)\([^;{}]*\)\n(\{.*?^\})", debugfs, re.M | re.S):
        found = re.findall(r'"(?:\\n|%s)?([a-z][a-z0-9_]*): ', body)
        if found: # else it only calls others
            keys[function] = found
    yield from differences("functions with debugfs keys", keys, re.findall(r"^\.\. keys: (.*)", abi, re.M))
    for function, found in keys.items():
        yield from differences(f"debugfs keys of {function}()", found, marked(abi, "keys", function))
    files = re.findall(r'debugfs_create_file\("([a-z_]+)"', debugfs)
    yield from differences("debugfs files in user-abi.rst", files,
                           re.findall(r"^``([a-z_]*)``", between(abi, "debugfs$", "The module$"), re.M))
    yield from differences("debugfs files in kvmclock_handover.4", files,
                           re.findall(r"^\.It Pa (.*)", between(man4, r"\.Sh DEBUGFS", r"\.Sh (?!DEB)"), re.M))


def marked(text: str, kind: str, name: str) -> List[str]:
    """What stands in front of each row between ".. KIND: NAME" and its end."""
    return re.findall(r"^``([^`]*)``", between(text, rf"\.\. {kind}: {name}$", rf"\.\. end {kind}"), re.M)


def errnos(text: str) -> List[str]:
    """Those after "Errors:" up to an empty line, but for those in brackets."""
    match = re.search(r"Errors: (.*?)(\n[ *]*\n|\*/|\Z)", text, re.S)
    return re.findall(r"\bE[A-Z0-9]+\b", re.sub(r"\([^)]*\)", "", match[1])) if match else []


def ioctl_faults(root: Path, abi: str, man4: str) -> Iterator[str]:
    uapi = sources(root, "kernel/include/uapi/linux/kvmclock_handover.h")
    ioctls = re.findall(r"^#define (KCH_IOC_[A-Z_]+)\s+_IO\(", uapi, re.M)
    yield from differences("ioctls in user-abi.rst", ioctls, re.findall(
        r"^``(KCH_IOC_[A-Z_]+)`` +0x", between(abi, r"\.\. layout: ioctls", r"\.\. end layout"), re.M))
    yield from differences("ioctls in kvmclock_handover.4", ioctls, re.findall(
        r"^\.It Dv (.*)", between(man4, r"\.Sh DEVICE", r"\.Sh (?!DEV)"), re.M))
    for kind, title in (("every", "Errors every ioctl"), ("single", "Errors of single ioctls")):
        comment = between(uapi, rf" \* {title}", r" \*/| \* Errors of single" if kind == "every" else r" \*/")
        yield from differences(f"errnos of {kind} ioctl", re.findall(r"^ \* (E[A-Z0-9]+) ", comment, re.M),
                               marked(abi, "errnos", kind))
    for structure in re.findall(r"^ \* struct (kch_[a-z]+) - KCH_IOC_", uapi, re.M):
        name = structure.upper().replace("KCH_", "KCH_IOC_", 1)
        in_header = errnos(between(uapi, rf" \* struct {structure} - ", r" \*/"))
        in_document = errnos(between(abi, rf"{name}\n-", r"(?!" + name + r")KCH_IOC_[A-Z_]+\n|Errors\n"))
        if in_header or in_document:
            yield from differences(f"errnos of {name}", in_header, in_document)


def name_faults(root: Path) -> Iterator[str]:
    abi, man4 = sources(root, "Documentation/user-abi.rst"), sources(root, "Documentation/man/kvmclock_handover.4")
    man8, man3 = sources(root, "Documentation/man/kvmclockctl.8"), sources(root, "Documentation/man/*.3")
    cli = sources(root, "userspace/cli/*.c")
    yield from debugfs_faults(root, abi, man4)
    yield from ioctl_faults(root, abi, man4)
    yield from differences(
        "module parameters", [name for _, name in re.findall(r"^module_param(_hw)?\((\w+),",
                                                             sources(root, "kernel/**/main.c"), re.M)],
        re.findall(r"^\.It Cm (\w*)", between(man4, r"\.Sh MODULE PARAMETERS", r"\.Sh (?!MOD)"), re.M))
    yield from differences("library functions", re.findall(r"\bkch_[a-z_]+", sources(root, "userspace/lib/*.map")),
                           re.findall(r'^\.F[no] "?([a-z_]+)"?', man3, re.M))
    yield from differences("subcommands", re.findall(r'^\t\{ "([a-z-]+)", cmd_', cli, re.M), re.findall(
        r"^\.Ss ([a-z-]*)", between(man8, r"\.Sh COMMANDS", r"\.Sh (?!COM)"), re.M))
    # Its options are compared with what --help prints, by tests/cli.
    yield from differences(
        "output fields of kvmclockctl",
        record_tables.shown_names(record_tables.read_rows(root)) +
        re.findall(r'^\t\{ "([a-z0-9_]+)", "', cli, re.M) +
        re.findall(r'(?:output_(?:number|u64|s64|hex|bool|string|uuid|table)|add_errno)\([^"(\n]*"([a-z0-9_]+)"', cli),
        re.findall(r"^\.It Va ([a-z0-9_]*)", between(man8, r"\.Sh OUTPUT", r"\.Sh (?!OUT)"), re.M))


# ---- What stands in several files

def version_faults(root: Path) -> Iterator[str]:
    """The version is that of version.h."""
    version = re.search('"(.*)"', sources(root, "kernel/core/version.h"))[1]
    for name, pattern in (("debian/changelog", r"\A\S+ \((.*?)\)"), ("kernel/dkms.conf", 'PACKAGE_VERSION="(.*)"'),
                          ("userspace/Makefile", r"^VERSION +:= (.*)")):
        yield from differences(f"version in {name}", [version], re.findall(pattern, sources(root, name), re.M))


def example_faults(root: Path) -> Iterator[str]:
    for path in [root / "README.md", *root.glob("Documentation/**/*")]:
        if path.suffix != ".svg" and path.is_file() and re.search(r'--[a-z-]+="?\$\(kvmclockctl', path.read_text()):
            yield f"{path.name}: an empty command line if kvmclockctl fails: args=$(kvmclockctl ...) && kexec ..."


# ---- Format

def format_faults(root: Path, run: Callable) -> Iterator[str]:
    documents, pages = sorted(root.glob("Documentation/*.rst")), sorted(root.glob("Documentation/man/*.[0-9]"))
    with tempfile.TemporaryDirectory() as work:
        for page in pages:
            result = run("groff", "-mandoc", "-ww", "-z", "-Tutf8", page)
            if result.returncode or result.stdout:
                yield f"{page.name}: {result.stdout}"
        yield from run("mandoc", "-Tlint", "-Wwarning", *pages).stdout.splitlines()
        for document in documents:
            result = run("rst2html", "--strict", "--report=1", document, Path(work) / "html")
            if result.returncode or result.stdout:
                yield f"{document.name}: {result.stdout}"
    # Files that are named must be there, but for those with NAME in them. A name without a folder is a
    # document's own neighbour.
    text = "\n".join(path.read_text() for path in [*documents, *pages, root / "README.md"])
    for path in sorted(set(re.findall(r"(?<![A-Za-z0-9_./])((?:kernel|userspace|scripts|tests|Documentation)"
                                      r"/[A-Za-z0-9_./-]*[A-Za-z0-9_]|[a-z-]+\.rst\b)", text))):
        if "NAME" not in path and not (root / path).exists() and not (root / "Documentation" / path).exists():
            yield f"no such file: {path}"
    # What stands between the marks of an example, without its indentation.
    for document in ("vmm-integration.rst",):
        example = between(sources(root, f"Documentation/{document}"), r"\.\. example: userspace", r"\.\. end example")
        code = "\n".join(line[4:] for line in example.splitlines() if line.startswith("    "))
        if "kch_vm_restore" not in code:
            yield f"{document}: no example found"
        result = run("gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *INCLUDES, "-x", "c", "-",
                     input=code + "\n")
        if result.returncode:
            yield f"{document}: the example does not compile: {result.stdout}"


def faults(root: Path, run: Callable) -> Iterator[str]:
    yield from layout_faults(root, run)
    yield from name_faults(root)
    yield from version_faults(root)
    yield from example_faults(root)
    yield from format_faults(root, run)
