# SPDX-License-Identifier: GPL-2.0
"""QEMU of other Debian releases, with all it needs to run anywhere, without installing it. Result, in
build/qemu/VERSION/, which works from any place: the initramfs of the cases with part=qemu-VERSION has it.

  package    what it says of itself
  run        starts it, with the C library and the dynamic linker it was built for
  root/      what is needed of its packages"""

import re
import shutil
import tempfile
from pathlib import Path

import apt
from common import BUILD, L1, Problem, locked, new_folder, output_of, run, say, text_of

QEMU = BUILD / "qemu"
PROGRAM = "usr/bin/qemu-system-x86_64"

# The suites that have it; the first is the one it is taken from.
SUITES = {"10.0": ["trixie"], "11.1": ["trixie-backports", "trixie"]}

# Of its firmware, what x86 guests without display and network need.
FIRMWARE = "bios*.bin", "qboot.rom", "kvmvapic.bin", "linuxboot*.bin", "multiboot*.bin"

def ensure(version):
    """The folder of a version, fetched if it is not there."""
    if version not in SUITES:
        raise Problem(f"part=qemu-{version}: there are {', '.join(SUITES)}")
    with locked(QEMU / f".{version}.lock"):
        if not text_of(QEMU / version / "package"):
            fetch(version, SUITES[version])
    return QEMU / version


def fetch(version, suites):
    """As if on a machine on which nothing is installed: so the packages it depends on are complete, down to the C
    library."""
    with tempfile.TemporaryDirectory(dir=QEMU) as scratch, new_folder(QEMU / version) as work:
        packages = Path(scratch, "packages")
        with apt.having("qemu-system-x86", *suites) as (system, *_):
            lines = system.lines
        run(["mmdebstrap", "--variant=extract", "--mode=chrootless", "--include=qemu-system-x86", *apt.settings(),
             f'--aptopt=APT::Default-Release "{suites[0]}"', suites[-1], packages, *lines], QEMU / f"{version}.log",
            f"fetching QEMU {version}")
        take_needed(packages, Path(scratch, "libraries"), work / "root", PROGRAM)
        (work / "root/share").mkdir()
        for pattern in FIRMWARE:
            for file in filter(Path.exists, (packages / "usr/share").rglob(pattern)):
                shutil.copy(file, work / "root/share")
        shutil.copy(L1 / "qemu/run-release.sh", work / "run")
        said = output_of(work / "run", "--version")
        if f"version {version}." not in said:
            raise Problem(f"{version}: it does not run here, or {suites[0]} has another: {said}")
        (work / "package").write_text(said)
    say(said.partition("\n")[0])


def take_needed(packages, libraries, root, *programs):
    """Programs, the libraries that they name, and those that these name, by the linker they come with."""
    for folder in libraries, root / "lib":
        folder.mkdir(parents=True)
    # All in one folder, for them to be found by that and by nothing else.
    for file in filter(Path.exists, packages.rglob("*.so.*")):
        parts = file.relative_to(packages).parts
        if "x86_64-linux-gnu" in parts and "qemu" not in parts and not (libraries / file.name).exists():
            (libraries / file.name).symlink_to(file.resolve())
    linker = next(file for file in packages.rglob("ld-linux-x86-64.so.2") if not file.is_symlink())
    shutil.copy(linker, root / "ld.so")
    for program in programs:
        listed = output_of(root / "ld.so", "--library-path", libraries, "--list", packages / program)
        if "not found" in listed:
            raise Problem(f"some of the libraries of {program} are missing:\n{listed}")
        for library in re.findall(rf"=> {libraries}/(\S+)", listed):
            output_of("strip", "-o", root / "lib" / library, libraries / library)
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        output_of("strip", "-o", root / program, packages / program)
