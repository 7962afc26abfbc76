#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Are syzkaller's descriptions of our ioctls those of the user ABI's header?  A C file of static assertions is made
of them, and the compiler is the judge: each structure has these members, at these places, of these sizes, and no
other; each number is that of the .const file.  Each KCH_IOC_* is described.

    check_descriptions.py [--write] [FILE]    --write: the .const file anew, as syz-extract would
"""
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
UAPI = ROOT / "kernel/include/uapi/linux/kvmclock_handover.h"
BYTES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8}
# Types without a size of their own.
KNOWN = {"fd_kvmvm": 4, "fd_kch_clock": 4, "kch_id": 16}
COMPILE = ["gcc", "-w", f"-I{ROOT}/kernel/include/uapi", "-include", "stddef.h", "-include", "fcntl.h", "-include",
           str(UAPI), "-D_GNU_SOURCE", "-x", "c", "-"]


def number(text, consts):
    return consts[text] if text in consts else int(text, 0)


def size_of(kind, consts):
    """Bytes of a member's type; a structure of ours is asked of the compiler."""
    whole = re.fullmatch(r"array\[(.*), (\w+)\]", kind)
    if whole:
        return size_of(whole[1], consts) * number(whole[2], consts)
    text = re.fullmatch(r'string\[".*", (\w+)\]', kind)
    if text:
        return number(text[1], consts)
    if kind.startswith("ptr64["):
        return 8
    base = re.sub(r".*, (int\d+)\]$", r"\1", re.sub(r"\[\d+:\d+\]$", "", kind))
    return BYTES.get(base) or KNOWN.get(base) or f"sizeof(struct {base})"


def assertions(text, consts):
    for name, body in re.findall(r"^(kch_\w+) \{\n(.*?)^\}", text, re.M | re.S):
        end = "0"
        for member, kind in re.findall(r"^\t(\w+)\t+(.*?)(?:\t\(out\))?$", body, re.M):
            yield f"offsetof(struct {name}, {member}) == {end}"
            yield f"sizeof(((struct {name} *)0)->{member}) == {size_of(kind, consts)}"
            end += f" + {size_of(kind, consts)}"
        yield f"sizeof(struct {name}) == {end}"
    for name, value in consts.items():
        yield f"(unsigned long long){name} == {value}ULL"


def names(text):
    """The constants that the descriptions use, as syz-extract finds them."""
    used = re.sub(r"#.*|\$\w+", "", text)
    return sorted(set(re.findall(r"\b(?:KCH_[A-Z_]+|AT_FDCWD|O_RDWR)\b", used)))


def values(wanted):
    code = "".join(f'printf("{name} %llu\\n", (unsigned long long){name});' for name in wanted)
    program = f"#include <stdio.h>\nint main(void) {{ {code} }}\n"
    folder = ROOT / "build/tests/fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([*COMPILE, "-o", folder / "consts"], input=program.encode(), check=True)
    return dict(line.split() for line in subprocess.run([folder / "consts"], stdout=subprocess.PIPE, text=True,
                                                        check=True).stdout.splitlines())


def faults(file):
    text, consts_file = file.read_text(), Path(f"{file}.const")
    consts = {name: int(value) for name, value in re.findall(r"^(\w+) = (\d+)$", consts_file.read_text(), re.M)}
    missing = set(names(text)) ^ set(consts)
    if missing:
        yield f"{consts_file.name}: not of the names that are used: {' '.join(sorted(missing))}"
        return
    ioctls = set(re.findall(r"^#define (KCH_IOC_[A-Z_]+)\s+_IO\(", UAPI.read_text(), re.M))
    described = set(re.findall(r"cmd const\[(KCH_IOC_[A-Z_]+)\]", text))
    yield from (f"{name}: not described, or does not exist" for name in sorted(ioctls ^ described))
    structures = set(re.findall(r"^struct (kch_\w+) \{", UAPI.read_text(), re.M))
    found = set(re.findall(r"^(kch_\w+) \{", text, re.M))
    yield from (f"struct {name}: not described, or does not exist" for name in sorted(structures ^ found))
    code = "".join(f'_Static_assert({what}, "{what}");\n' for what in assertions(text, consts))
    result = subprocess.run([*COMPILE, "-fsyntax-only"], input=code, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    if result.returncode or code.count("\n") < 150:
        yield result.stdout or "hardly anything is described"


def main():
    write = sys.argv[1:2] == ["--write"]
    file = Path((sys.argv[1 + write:] or [HERE / "kvmclock_handover.txt"])[0])
    if write:
        lines = [f"{name} = {value}" for name, value in values(names(file.read_text())).items()]
        Path(f"{file}.const").write_text("# SPDX-License-Identifier: GPL-2.0\narches = amd64\n" + "\n".join(lines) + "\n")
    wrong = "\n".join(faults(file))
    print(wrong, end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
