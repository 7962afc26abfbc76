# SPDX-License-Identifier: GPL-2.0
"""QEMU of other Debian releases, with all it needs to run anywhere, without installing it. Taken with apt.py. Result,
in build/qemu/VERSION/, which works from any place: the initramfs of the cases with part=qemu-VERSION has it.

  package    the package and its version
  run        starts it, with the C library and the dynamic linker it was built for
  root/      what is needed of its packages"""

import re
import shutil
import tempfile
from pathlib import Path

import apt
from common import BUILD, Problem, locked, new_folder, output_of, remove, say, text_of

QEMU = BUILD / "qemu"
PROGRAM = "usr/bin/qemu-system-x86_64"

# The suites that have it; the first is the one it is taken from.
SUITES = {"10.0": ["trixie"], "11.1": ["trixie-backports", "trixie"]}

# Of its firmware, what x86 guests without display and network need.
FIRMWARE = "bios*.bin", "qboot.rom", "kvmvapic.bin", "linuxboot*.bin", "multiboot*.bin"

RUN = """#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
here=$(dirname "$(readlink -f "$0")")
exec "$here/root/ld.so" --library-path "$here/root/lib" --argv0 qemu-system-x86_64 \\
	"$here/root/usr/bin/qemu-system-x86_64" -L "$here/root/share" "$@"
"""


def ensure(version):
    """The folder of a version, fetched if it is not there."""
    if version not in SUITES:
        raise Problem(f"part=qemu-{version}: there are {', '.join(SUITES)}")
    dest = QEMU / version
    with locked(QEMU / f".{version}.lock"):
        if not text_of(dest / "package"):
            say(f"{version}: fetching qemu-system-x86 of {SUITES[version][0]} and what it needs")
            with apt.machine() as system:
                fetch(system, version, dest)
    return dest


def fetch(system, version, dest):
    # The suites together, as if on a machine on which nothing is installed: so the packages that it
    # depends on are complete, down to the C library.
    own = apt.suites(system, f"qemu-{version}", *SUITES[version],
                     options=("-oDir::State::status=/dev/null", "-oAPT::Install-Recommends=false"))
    latest = own.candidate("qemu-system-x86")
    if not re.match(rf"(\d+:)?{re.escape(version)}\.", latest):
        raise Problem(f"{version}: {SUITES[version][0]} has {latest or 'none'}")
    own.get("install", "-y", "--download-only", "qemu-system-x86")
    with tempfile.TemporaryDirectory(dir=QEMU) as scratch, new_folder(dest) as work:
        apt.unpack(own.folder / "cache/archives", f"{scratch}/packages")
        take_needed(Path(scratch, "packages"), Path(scratch, "libraries"), work / "root")
        (work / "run").write_text(RUN)
        (work / "run").chmod(0o755)
        said = output_of(work / "run", "--version")
        if f"version {version}." not in said:
            raise Problem(f"{version}: it does not run here: {said}")
        (work / "package").write_text(f"qemu-system-x86 {latest}\n")
    remove(own.folder / "cache/archives")
    say(f"{version}: took qemu-system-x86 {latest}")


def take_needed(packages, libraries, root):
    """QEMU's program, the libraries that it names, and those that these name, by the linker it comes with."""
    for folder in libraries, (root / PROGRAM).parent, root / "lib", root / "share":
        folder.mkdir(parents=True)
    # All in one folder, for them to be found by that and by nothing else.
    for file in filter(Path.exists, packages.rglob("*.so.*")):
        parts = file.relative_to(packages).parts
        if "x86_64-linux-gnu" in parts and "qemu" not in parts and not (libraries / file.name).exists():
            (libraries / file.name).symlink_to(file.resolve())
    linker = next(file for file in packages.rglob("ld-linux-x86-64.so.2") if not file.is_symlink())
    shutil.copy(linker, root / "ld.so")
    listed = output_of(root / "ld.so", "--library-path", libraries, "--list", packages / PROGRAM)
    if "not found" in listed:
        raise Problem(f"some of QEMU's libraries are missing:\n{listed}")
    for library in re.findall(rf"=> {libraries}/(\S+)", listed):
        output_of("strip", "-o", root / "lib" / library, libraries / library)
    output_of("strip", "-o", root / PROGRAM, packages / PROGRAM)
    for pattern in FIRMWARE:
        for file in filter(Path.exists, (packages / "usr/share").rglob(pattern)):
            shutil.copy(file, root / "share")
