# SPDX-License-Identifier: GPL-2.0
"""Debian's chrony with what it needs to run in a guest that has nothing else, in build/chrony/: its programs, the
libraries in lib/, the dynamic linker as ld.so. Fetched once; remove it for a newer one."""

import tempfile
from pathlib import Path

import apt
import qemu_releases
from common import BUILD, locked, new_folder, run

CHRONY = BUILD / "chrony"
RELEASE = "trixie"
PROGRAMS = "usr/sbin/chronyd", "usr/bin/chronyc"


def ensure():
    with locked(BUILD / ".chrony.lock"):
        if not CHRONY.exists():
            with tempfile.TemporaryDirectory(dir=BUILD) as scratch, new_folder(CHRONY) as work:
                packages = Path(scratch, "packages")
                with apt.having("chrony", RELEASE) as (system, *_):
                    lines = system.lines
                run(["mmdebstrap", "--variant=extract", "--mode=chrootless", "--include=chrony", *apt.settings(),
                     RELEASE, packages, *lines], BUILD / "chrony.log", "fetching chrony")
                qemu_releases.take_needed(packages, Path(scratch, "libraries"), work, *PROGRAMS)
    return CHRONY
