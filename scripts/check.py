#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Style and static checks of the whole tree; `make check` calls it.

    scripts/check.py [--control] [NAME...]   all checks, or those named

With --control the faults of check.tbl are planted in a copy of the tree, and each must be found.

A check whose tool or input is missing has failed: it says what to install or fetch. Style of C is what
checkpatch says; clang-format is not asked, because it re-flows what the kernel's own style aligns by hand.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator, List

import check_documents
import check_floors
from record_tables import ROOT

sys.path.append(str(ROOT / "tests"))
import kernels  # noqa: E402
import ktap  # noqa: E402
from common import BUILD, NOT_OURS, Problem, run_main  # noqa: E402

FAULTS = (ROOT / "scripts/check.tbl").read_text().splitlines()
WORK = BUILD / "check"
# A kernel that the module builds for with gcc, and whose kernel-doc is a Perl script.
LINE, = kernels.names("check")
HEADERS = kernels.find(LINE).path / "headers"
LINES_MAX = 800
JOBS = f"-j{os.cpu_count()}"


def run(*command, input="") -> subprocess.CompletedProcess:
    """The output is in .stdout. What a calling make exports is kept from a make called here."""
    environment = {key: value for key, value in os.environ.items() if not re.match("MAKE|MFLAGS|CFLAGS", key)}
    if not shutil.which(str(command[0])) and not (ROOT / command[0]).exists():
        raise Problem(f"no {command[0]} here: scripts/setup.sh --check installs it")
    return subprocess.run(list(map(str, command)), text=True, errors="replace", cwd=ROOT, env=environment, input=input,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def must(*command) -> str:
    result = run(*command)
    if result.returncode:
        raise Problem(f"{result.stdout}\nstatus {result.returncode}: {shlex.join(map(str, command))}")
    return result.stdout


def tree_files() -> List[str]:
    """The tree's own files: all that .gitignore does not name."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        ignored = NOT_OURS(folder, folders + names)
        folders[:] = set(folders) - ignored
        found += [Path(folder, name) for name in set(names) - ignored]
    return sorted(str(path.relative_to(ROOT)) for path in found if not path.is_symlink())


def copy_tree(folder: Path) -> None:
    shutil.copytree(ROOT, folder, ignore=NOT_OURS, dirs_exist_ok=True)


FILES: List[str] = []


def files(pattern: str) -> List[str]:
    return [name for name in FILES if re.search(pattern, name)]


def text_files() -> Iterator[tuple]:
    """(name, text) of what somebody wrote: a picture or a licence is not."""
    for name in files(r"^(?!COPYING$|LICENSES/).*(?<!\.bin)(?<!\.svg)$"):
        yield name, (ROOT / name).read_text(errors="replace")


def scripts(suffix: str, program: str) -> List[str]:
    return [name for name, text in text_files() if name.endswith(suffix) or re.match(f"#!.*{program}\n", text)]


# ---- Text

# The licence of a file follows from what it is built into; the first pattern decides.
LICENCES = [
    # A patch is of the files it changes; the others become part of one.
    (r"^COPYING$|^LICENSES/|^debian/(changelog|copyright|source/format)$|\.(bin|svg|patch)$|^kernel/intree/(MAINTAINERS|message)$", None),
    (r"^kernel/include/uapi/", "GPL-2.0 WITH Linux-syscall-note"),
    # Built into the module, the library and the tests.
    (r"^kernel/(include/linux|core)/", "GPL-2.0 OR BSD-2-Clause"),
    (r"^userspace/(lib|include)/", "LGPL-2.1-or-later"),
    (r"\.md$|^Documentation/", ".*"),
    ("", "GPL-2.0"),
]


def check_licences() -> Iterator[str]:
    for name in FILES:
        wanted = next(licence for pattern, licence in LICENCES if re.search(pattern, name))
        head = "\n".join((ROOT / name).read_text(errors="replace").split("\n")[:3])
        if wanted and not re.search(rf"SPDX-License-Identifier: *{wanted} *(\*/|-->|\",)?$", head, re.M):
            yield f"{name}: its licence, in the first three lines, is not '{wanted}'"


def check_text() -> Iterator[str]:
    for name, text in text_files():
        # In a patch an empty line of context is a blank.
        if not name.endswith(".patch") and re.search(r"[ \t]$|[^\n]\Z", text, re.M):
            yield f"{name}: white space at the end of a line, or no line at the end"
        if text.count("\n") > LINES_MAX and not name.endswith(".patch"):
            yield f"{name}: more than {LINES_MAX} lines: what is in it that has a name of its own?"
        if re.search(r"(^|/)(Makefile|Kbuild)$|\.mk$", name) and "-Werror" in text:
            yield f"{name}: -Werror: only checks treat warnings as errors, a newer compiler has more of them"


HOSTS = r"www\.kernel\.org|docs\.kernel\.org|lore\.kernel\.org|git\.kernel\.org|www\.gnu\.org|spdx\.org" \
    r"|github\.com|www\.debian\.org|www\.apache\.org|json-schema\.org|en\.wikipedia\.org"
# The brackets keep the pattern from finding itself.
PLACES = r"(^|[^A-Za-z0-9_.])/(w[o]rk|h[o]me/[a-z]+)/|/t[m]p/k(ch)?/"


def check_places() -> Iterator[str]:
    """Nothing of one machine: no mirror or registry, no path that only its author has."""
    for name, text in text_files():
        for host in re.findall(rf"(?:https?|ftp)://(?!(?:{HOSTS})(?![A-Za-z0-9.-]))([A-Za-z0-9.-]+)", text):
            yield f"{name}: the project has no business with the host {host}"
        for place in re.finditer(PLACES, text, re.M):
            yield f"{name}: a path of somebody's machine: {place[0]}"


def check_shellcheck() -> Iterator[str]:
    # All together, so that each sees what it sources; -x follows.
    yield from run("shellcheck", "-x", *scripts(".sh", "[/ ](ba|da)?sh")).stdout.splitlines()


def check_python() -> Iterator[str]:
    yield from run("pyflakes3", *scripts(".py", "python3.*")).stdout.splitlines()


# ---- C

# In user space, what it prefers does not exist, or the C library's name is the name.
# An argv is an array that is written to.
IGNORED_USER = "PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,PREFER_FALLTHROUGH,CAMELCASE,ARRAY_SIZE," \
    "STRCPY,VOLATILE,MEMORY_BARRIER,AVOID_EXTERNS,SPLIT_STRING,ENOSYS,STATIC_CONST_CHAR_ARRAY"


def check_checkpatch() -> Iterator[str]:
    # Debian ships it only in the kernel's source: that which an emulated host's kernel is built from.
    if not list(BUILD.glob("source/linux-*/scripts/checkpatch.pl")):
        kernels.source(kernels.find(*kernels.names("checkpatch")))
    checkpatch = min(BUILD.glob("source/linux-*/scripts/checkpatch.pl"))
    # .checkpatch.conf has the other options.
    for pattern, *options in ((r"^kernel/(?!.*portable\.h).*\.[chS]$",),
                              (r"^(?!kernel/).*\.[chS]$|/portable\.h$", f"--ignore={IGNORED_USER}")):
        yield from run("perl", checkpatch, *options, "-f", *files(pattern)).stdout.splitlines()
    # It keeps notes where it is called.
    for notes in ROOT.glob(".checkpatch-camelcase.*"):
        notes.unlink()


def kernel_headers() -> Path:
    if not HEADERS.exists():
        kernels.ensure(LINE)
    return HEADERS


def check_sparse() -> Iterator[str]:
    """Also compiles the module with -Werror."""
    # In a copy: objects must not come to lie next to the sources, and C=2 checks each file.
    copy = WORK / "sparse"
    must("sparse", "--version")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "kernel", copy, ignore=shutil.ignore_patterns("*.o", ".*.cmd"))
    log = must("make", "-C", kernel_headers(), f"M={copy}", "C=2", "CHECK=sparse", "CC=gcc", "KCFLAGS=-Werror",
               JOBS, "modules")
    # Or a change in Kbuild would make this check nothing. Some files are for other kernels.
    compiled = [path for path in copy.rglob("*.o")
                if not path.name.endswith(".mod.o") and path.name not in ("kvmclock_handover.o", ".module-common.o")]
    checked = len(re.findall(r"^  CHECK ", log, re.M))
    if len(compiled) < 10 or checked < len(compiled):
        yield f"{log}\nonly {checked} of {len(compiled)} compiled files were checked"
    yield from (line.replace(f"{copy}/", "kernel/") for line in log.splitlines() if re.search("warning:|error:", line))


def check_cppcheck() -> Iterator[str]:
    folders = {str(Path(name).parent) for name in files(r"^(kernel|userspace|tests)/.*\.h$")}
    yield from run("cppcheck", "-q", JOBS, "--std=c11", "--language=c", "--platform=unix64", "--inline-suppr",
                   "--enable=warning,performance,portability", "--suppressions-list=scripts/cppcheck-wrong.txt",
                   "--template={file}:{line}: {severity}: {message} [{id}]", *(f"-I{folder}" for folder in folders),
                   "-Ikernel/include", "-Ikernel/include/uapi", "kernel/core", "userspace", "tests").stdout.splitlines()


def check_headers() -> Iterator[str]:
    """Each header that others include, alone and twice, as C and as C++, by a compiler in a pedantic mood."""
    for header in files(r"^(kernel/include/(uapi/)?linux|userspace/include)/[^/]*\.h$") or ["none"]:
        for mode in ("gcc -x c -std=c99", "clang -x c -std=c99", "clang -x c++ -std=c++11"):
            result = run(*mode.split(), *"-pedantic -Wall -Wextra -Wundef -Werror -fsyntax-only -I.".split(),
                         *check_documents.INCLUDES, "-", input=f'#include "{header}"\n' * 2)
            if result.returncode:
                yield f"{header}: {mode}: {result.stdout}"


# What the kernel's ABI needs (struct kvm_msrs in another), and _Static_assert as the kernel writes it.
COMPILERS = {"gcc": "", "clang": "-Wno-gnu-variable-sized-type-not-at-end -Wno-c2x-extensions"}


def check_builds() -> Iterator[str]:
    """Do gcc and clang have nothing to say about userspace and its tests? In a copy of the tree."""
    for compiler, flags in COMPILERS.items():
        must(compiler, "--version")
        with tempfile.TemporaryDirectory() as copy:
            copy_tree(Path(copy))
            # The KVM selftests' library has warnings of its own.
            for makefile in files(r"^userspace/(guest/)?Makefile$") + files(r"^tests/(?!.*selftests).*/Makefile$"):
                result = run("make", "-s", JOBS, "-C", copy / Path(makefile).parent, f"CC={compiler} -Werror {flags}",
                             "programs" if "tests/unit" in makefile else "all")
                if result.returncode:
                    yield f"{makefile}: {compiler}: {result.stdout}".replace(f"{copy}/", "")


def check_kernel_doc() -> Iterator[str]:
    """The comments of structures and functions name every member and no other."""
    found = run("perl", kernel_headers() / "scripts/kernel-doc", "-none", *files(r"\.h$")).stdout
    yield from (line for line in found.splitlines() if not re.search("No structured comments|^[0-9]+ ", line))


CHECKS = {check.__name__[len("check_"):]: check for check in (
    check_licences, check_text, check_places, check_shellcheck, check_python, check_checkpatch, check_sparse,
    check_cppcheck, check_headers, check_builds, check_kernel_doc)}
CHECKS.update(floors=lambda: check_floors.faults(ROOT), documents=lambda: check_documents.faults(run))


def plant(path: Path, fault: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    old = path.read_text() if path.exists() else ""
    pattern, becomes, text = fault.partition(" =>")
    new = re.sub(pattern, text[1:], old, flags=re.M) if becomes else \
        old + fault.encode().decode("unicode_escape").replace("LICENCE", FAULTS[0][2:])
    if new == old:
        raise Problem(f"{path} has moved on: no {pattern}")
    path.write_text(new)


def control(names: List[str]) -> int:
    """Plants the faults of check.tbl, and demands that each is found."""
    rows = [row for row in (re.split(r" *\| ?", line, 3) for line in FAULTS) if row[0] in names]
    report = ktap.Report(len(names))
    # Not below the tree: there git ignores it.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        copy_tree(copy)
        (copy / "build").mkdir()
        for shared in ("kernels", "source"):
            if (BUILD / shared).exists():
                (copy / "build" / shared).symlink_to((BUILD / shared).resolve())
        for _, name, _, fault in rows:
            plant(copy / name, fault)
        subprocess.run([copy / "scripts/check.py", *names], stdout=subprocess.DEVNULL, check=False,
                       env=dict(os.environ, KCH_BUILD=str(copy / "build")))
        for check in names:
            log = (copy / f"build/check/{check}.log").read_text()
            wanted = [said for name, _, said, _ in rows if name == check]
            missing = [said for said in wanted if not re.search(said, log)]
            report.test(check, f"{log}not found: {missing}" if missing else "" if wanted else "no fault in check.tbl")
    return report.end()


def main() -> int:
    names = [name for name in sys.argv[1:] if name != "--control"] or list(CHECKS)
    if not CHECKS.keys() >= set(names):
        sys.exit(f"check.py: no check {' '.join(set(names) - CHECKS.keys())}; there are {' '.join(CHECKS)}")
    if "--control" in sys.argv[1:]:
        return control(names)
    WORK.mkdir(parents=True, exist_ok=True)
    FILES.extend(tree_files())
    report = ktap.Report(len(names))
    for name in names:
        try:
            faults = list(CHECKS[name]())
        except Problem as error:
            faults = [str(error)]
        said = "".join(f"{fault.rstrip()}\n" for fault in faults)
        (WORK / f"{name}.log").write_text(said)
        report.test(name, said)
    return report.end()


if __name__ == "__main__":
    run_main(main)
