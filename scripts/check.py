#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Style and static checks of the whole tree; `make check` calls it.

    scripts/check.py [NAME...]     all checks, or those named; --list lists them

check_control.py plants a fault for each, and demands that it is found. A check whose tool or input
is missing has failed: it says what to install or fetch. Style of C is what checkpatch says;
clang-format is not asked, because it re-flows what the kernel's own style aligns by hand.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import check_documents
import check_floors

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests/nested"))
import kernels  # noqa: E402

BUILD = Path(os.environ.get("KCH_BUILD", ROOT / "build"))
WORK = BUILD / "check"
# A kernel that the module builds for with gcc, and whose kernel-doc is a Perl script.
LINE, = kernels.names("check")
HEADERS = kernels.find(LINE).path / "headers"
LINES_MAX = 800
COLUMNS_MAX = 100
JOBS = f"-j{os.cpu_count()}"


class Failed(Exception):
    """A check cannot be made, or something outside said what is wrong."""


def run(*command, input="") -> subprocess.CompletedProcess:
    """The output is in .stdout. What a calling make exports is kept from a make called here."""
    environment = {key: value for key, value in os.environ.items() if not re.match("MAKE|MFLAGS|CFLAGS", key)}
    if not shutil.which(str(command[0])) and not (ROOT / command[0]).exists():
        raise Failed(f"no {command[0]} here: scripts/setup.sh --check installs it")
    return subprocess.run(list(map(str, command)), text=True, errors="replace", cwd=ROOT, env=environment, input=input,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def must(*command) -> str:
    result = run(*command)
    if result.returncode:
        raise Failed(f"{result.stdout}\nstatus {result.returncode}: {shlex.join(map(str, command))}")
    return result.stdout


def tree_files() -> List[str]:
    """The tree's own files: what git tracks or would; in an unpacked archive, all but build/."""
    found = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if found.returncode == 0:
        names = set(found.stdout.split("\0"))
    else:
        names = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.relative_to(ROOT).parts[0] != "build"
                 and not re.search(r"\.(o|ko|mod|mod\.c|cmd|pyc)$|kch_probed\.h|/(Module\.symvers|modules\.order)$",
                                   str(path))}
    # A file that is removed but not yet committed is still listed.
    return sorted(name for name in names if name and (ROOT / name).is_file() and not (ROOT / name).is_symlink())


FILES: List[str] = []


def files(pattern: str) -> List[str]:
    return [name for name in FILES if re.search(pattern, name)]


def text_files() -> Iterator[tuple]:
    """(name, lines) of what somebody wrote: a picture or a licence is not."""
    for name in FILES:
        if not re.search(r"\.(bin|svg)$|^COPYING$|^LICENSES/", name):
            yield name, (ROOT / name).read_text(errors="replace").split("\n")


# ---- Text

# The licence of a file follows from what it is built into; the first pattern decides.
LICENCES = [
    # A patch is of the files it changes; the others become part of one.
    (r"^COPYING$|^LICENSES/|^debian/(changelog|copyright|source/format)$|\.(bin|svg|patch)$|^kernel/intree/(MAINTAINERS|message)$", None),
    (r"^kernel/include/uapi/", "GPL-2.0 WITH Linux-syscall-note"),
    # Built into the module, the library and the tests.
    (r"^kernel/(include/linux|core)/|^kernel/(portable\.h|clock\.[ch]|record\.[ch]|machine\.[ch])$",
     "GPL-2.0 OR BSD-2-Clause"),
    (r"^userspace/(lib|include)/", "LGPL-2.1-or-later"),
    (r"\.md$|^Documentation/", "any"),
    ("", "GPL-2.0"),
]


def check_licences() -> Iterator[str]:
    for name in FILES:
        wanted = next(licence for pattern, licence in LICENCES if re.search(pattern, name))
        if wanted is None:
            continue
        head = "\n".join((ROOT / name).read_text(errors="replace").split("\n")[:3])
        found = re.search(r"SPDX-License-Identifier: *([^\n]*?) *(\*/|-->|\",)?$", head, re.M)
        if not found or wanted not in ("any", found[1]):
            yield f"{name}: licence '{found[1] if found else 'none'}', expected '{wanted}', in the first three lines"


def check_text() -> Iterator[str]:
    for name, lines in text_files():
        # In a patch an empty line of context is a blank.
        if name.endswith(".patch"):
            continue
        if len(lines) > LINES_MAX + 1:
            yield f"{name}: {len(lines) - 1} lines, at most {LINES_MAX}: what is in it that has a name of its own?"
        if lines[-1]:
            yield f"{name}: does not end with a line"
        for number, line in enumerate(lines, 1):
            if line != line.rstrip():
                yield f"{name}:{number}: white space at the end of a line"
        if re.search(r"(^|/)(Makefile|Kbuild)$|\.mk$", name) and "-Werror" in "\n".join(lines):
            yield f"{name}: -Werror: only checks treat warnings as errors, a newer compiler has more of them"


HOSTS = r"www\.kernel\.org|docs\.kernel\.org|lore\.kernel\.org|git\.kernel\.org|www\.gnu\.org|spdx\.org" \
    r"|github\.com|www\.debian\.org|www\.apache\.org|json-schema\.org|en\.wikipedia\.org"
# The brackets keep the pattern from finding itself.
PLACES = r"(^|[^A-Za-z0-9_.])/(w[o]rk|h[o]me/[a-z]+)/|/t[m]p/k(ch)?/"


def check_places() -> Iterator[str]:
    """Nothing of one machine: no mirror or registry, no path that only its author has."""
    for name, lines in text_files():
        for number, line in enumerate(lines, 1):
            for host in re.findall(r"(?:https?|ftp)://([A-Za-z0-9.-]+)", line):
                if not re.fullmatch(HOSTS, host):
                    yield f"{name}:{number}: the project has no business with the host {host}"
            if re.search(PLACES, line):
                yield f"{name}:{number}: a path of somebody's machine"


def check_modes() -> Iterator[str]:
    for name, lines in text_files():
        script, executable = lines[0].startswith("#!"), os.access(ROOT / name, os.X_OK)
        if script != executable:
            yield f"{name}: " + ("starts with #! but is not executable" if script else
                                 "executable, but does not start with #!")


# ---- Scripts

def check_shellcheck() -> Iterator[str]:
    scripts = [name for name, lines in text_files()
               if name.endswith(".sh") or re.match(r"#!.*[/ ](ba|da)?sh$", lines[0])]
    # All together, so that each sees what it sources; -x follows.
    yield from run("shellcheck", "-x", *scripts).stdout.splitlines()


def check_python() -> Iterator[str]:
    scripts = [name for name, lines in text_files() if name.endswith(".py") or re.match("#!.*python", lines[0])]
    for name in scripts:
        try:
            compile((ROOT / name).read_text(), name, "exec")
        except SyntaxError as error:
            yield f"{name}: {error}"
    yield from run("pyflakes3", *scripts).stdout.splitlines()


# ---- C

# LONG_LINE_STRING      a message is one piece, so that it can be searched for
# BIT_MACRO             the headers with flags are for user space, too
# UNSPECIFIED_INT       takes `unsigned __int128` for a bare `unsigned`
# ALLOC_WITH_SIZEOF     the helpers it prefers are newer than the oldest kernel we build for
# MACRO_ARG_REUSE, MACRO_ARG_PRECEDENCE   the arguments are member names
IGNORED = "LONG_LINE_STRING,BIT_MACRO,UNSPECIFIED_INT,ALLOC_WITH_SIZEOF,MACRO_ARG_REUSE,MACRO_ARG_PRECEDENCE"
# In user space, what it prefers does not exist, or the C library's name is the name.
# An argv is an array that is written to.
IGNORED_USER = "PREFER_KERNEL_TYPES,PREFER_DEFINED_ATTRIBUTE_MACRO,PREFER_FALLTHROUGH,CAMELCASE,ARRAY_SIZE," \
    "STRCPY,VOLATILE,MEMORY_BARRIER,AVOID_EXTERNS,SPLIT_STRING,ENOSYS,STATIC_CONST_CHAR_ARRAY"


def check_checkpatch() -> Iterator[str]:
    # Debian ships it only in the kernel's source: that which an emulated host's kernel is built from.
    if not list(BUILD.glob("source/linux-*/scripts/checkpatch.pl")):
        must("tests/nested/kernels.py", "source", "checkpatch")
    checkpatch = min(BUILD.glob("source/linux-*/scripts/checkpatch.pl"))
    for pattern, ignored in ((r"^kernel/(?!.*portable\.h).*\.[chS]$", IGNORED),
                             (r"^(?!kernel/).*\.[chS]$|/portable\.h$", f"{IGNORED},{IGNORED_USER}")):
        yield from run("perl", checkpatch, "--no-tree", "--strict", "--terse", "--show-types", "--no-summary",
                       f"--max-line-length={COLUMNS_MAX}", "--ignore", ignored, "-f",
                       *files(pattern)).stdout.splitlines()
    # It keeps notes where it is called.
    for notes in ROOT.glob(".checkpatch-camelcase.*"):
        notes.unlink()


def kernel_headers() -> Path:
    if not HEADERS.exists():
        must("tests/nested/kernels.py", "ensure", LINE)
    return HEADERS


def check_sparse() -> Iterator[str]:
    """Also compiles the module with -Werror."""
    # In a copy: objects must not come to lie next to the sources, and C=2 checks each file.
    copy = WORK / "sparse"
    run("sparse", "--version")
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
    for line in log.splitlines():
        if re.search("warning:|error:", line):
            yield line.replace(f"{copy}/", "kernel/")


# It follows neither what a system call writes through an address in a structure, nor that symbols of the
# linker's script bound one object, nor that one test has record.c in it compiled in a way of its own.
CPPCHECK_WRONG = ["missingIncludeSystem", "missingInclude", "uninitvar:*vmm/vm.c", "comparePointers:*vmm/guestmem.c",
                  "comparePointers:*outside/wait.c", "ctunullpointer:*unit/test-write.c",
                  "ctuPointerArith:*unit/test-write.c"]


def check_cppcheck() -> Iterator[str]:
    folders = {str(Path(name).parent) for name in files(r"^(kernel|userspace|tests)/.*\.h$")}
    shared = files(r"^kernel/(core/.*|record|clock|machine)\.c$")
    yield from run("cppcheck", "-q", JOBS, "--std=c11", "--language=c", "--platform=unix64", "--inline-suppr",
                   "--enable=warning,performance,portability", *(f"--suppress={wrong}" for wrong in CPPCHECK_WRONG),
                   "--template={file}:{line}: {severity}: {message} [{id}]", *(f"-I{folder}" for folder in folders),
                   "-Ikernel/include", "-Ikernel/include/uapi", *shared, "userspace", "tests").stdout.splitlines()


def check_headers() -> Iterator[str]:
    """Each header that others include, alone and twice, as C and as C++, by a compiler in a pedantic mood."""
    headers = files(r"^(kernel/include/(uapi/)?linux|userspace/include)/[^/]*\.h$")
    if not headers:
        raise Failed("no header found")
    for header in headers:
        for mode in ("gcc -x c -std=c99", "clang -x c -std=c99", "clang -x c++ -std=c++11"):
            result = run(*mode.split(), *"-pedantic -Wall -Wextra -Wundef -Werror -fsyntax-only -I.".split(),
                         "-Ikernel/include/uapi", "-Ikernel/include", "-Iuserspace/include", "-",
                         input=f'#include "{header}"\n' * 2)
            if result.returncode:
                yield f"{header}: {mode}: {result.stdout}"


# What the kernel's ABI needs (struct kvm_msrs in another), and _Static_assert as the kernel writes it.
COMPILERS = {"gcc": "", "clang": "-Wno-gnu-variable-sized-type-not-at-end -Wno-c2x-extensions"}


def check_builds() -> Iterator[str]:
    """Do gcc and clang have nothing to say about userspace and its tests? In a copy of the tree."""
    copy = WORK / "builds"
    shutil.rmtree(copy, ignore_errors=True)
    for name in FILES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    for compiler, flags in COMPILERS.items():
        run(compiler, "--version")
        # The KVM selftests' library has warnings of its own.
        for makefile in ["userspace/Makefile", *files(r"^tests/(?!.*selftests).*/Makefile$")]:
            target = "programs" if "tests/unit" in makefile else "all"
            result = run("make", "-s", JOBS, "-C", copy / Path(makefile).parent, f"CC={compiler} -Werror {flags}",
                         target)
            if result.returncode:
                yield f"{makefile}: {compiler}: {result.stdout}".replace(f"{copy}/", "")
        shutil.rmtree(copy / "build", ignore_errors=True)
    shutil.rmtree(copy)


def check_kernel_doc() -> Iterator[str]:
    """The comments of structures and functions name every member and no other."""
    kernel_doc = kernel_headers() / "scripts/kernel-doc"
    for line in run("perl", kernel_doc, "-none", *files(r"\.h$")).stdout.splitlines():
        if not re.search("No structured comments|^[0-9]+ ", line):
            yield line


CHECKS = {"licences": check_licences, "text": check_text, "places": check_places, "modes": check_modes,
          "shellcheck": check_shellcheck, "python": check_python, "checkpatch": check_checkpatch,
          "sparse": check_sparse, "cppcheck": check_cppcheck, "headers": check_headers, "builds": check_builds,
          "kernel_doc": check_kernel_doc, "floors": lambda: check_floors.faults(ROOT),
          "documents": lambda: check_documents.faults(ROOT, run)}


def main() -> int:
    names = sys.argv[1:] or list(CHECKS)
    if names == ["--list"]:
        print("\n".join(CHECKS))
        return 0
    for name in names:
        if name not in CHECKS:
            sys.exit(f"check.py: no check {name} (see --list)")
    WORK.mkdir(parents=True, exist_ok=True)
    FILES.extend(tree_files())
    failed = 0
    for name in names:
        try:
            faults = list(CHECKS[name]())
        except (Failed, check_documents.Failed) as error:
            faults = str(error).splitlines()
        (WORK / f"{name}.log").write_text("".join(f"{fault}\n" for fault in faults))
        failed += bool(faults)
        print("".join(f"# {line}\n" for fault in faults for line in fault.splitlines()), end="")
        print(f"{'not ' if faults else ''}ok - {name}", flush=True)
    print(f"# {len(names) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
