#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Debian packages of module (for DKMS), tool, library and development files, from a copy of the tree.

    scripts/packages.py [VERSION]      as root or with sudo, if something that debian/control names is missing

They are put into build/packages/. Another VERSION than that of the tree is for the test of an upgrade."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/nested"))
from common import BUILD, NOT_OURS, ROOT  # noqa: E402

PACKAGES = BUILD / "packages"
# Where the version stands; check_documents.py sees that it is the same everywhere.
VERSIONED = ("kernel/core/version.h", "kernel/dkms.conf", "userspace/Makefile", "debian/changelog")


def main() -> int:
    if not shutil.which("dpkg-buildpackage"):
        sys.exit("packages.py: no dpkg-buildpackage here: scripts/setup.sh --packages installs it")
    version = re.search('"(.*)"', (ROOT / VERSIONED[0]).read_text())[1]
    shutil.rmtree(PACKAGES, ignore_errors=True)
    tree = PACKAGES / "source"
    shutil.copytree(ROOT, tree, ignore=NOT_OURS)
    for name in VERSIONED if sys.argv[1:] else ():
        (tree / name).write_text((tree / name).read_text().replace(version, sys.argv[1]))
    # Without what a make that called this exports.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def run(command: str) -> int:
        with open(PACKAGES / "build.log", "a", encoding="utf-8") as log:
            return subprocess.run(command, shell=True, cwd=tree, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=environment, check=False).returncode

    def must(command: str, what: str) -> None:
        if run(command):
            said = (PACKAGES / "build.log").read_text().splitlines(True)[-40:]
            sys.exit(f"{''.join(said)}packages.py: {what}; all it said: {PACKAGES}/build.log")

    # What is needed stands in debian/control. Lists of apt that cannot be had anew may do.
    if run("dpkg-checkbuilddeps"):
        apt = f"{'sudo -n ' if os.getuid() else ''}env DEBIAN_FRONTEND=noninteractive apt-get -q -y"
        run(f"{apt} update")
        must(f"{apt} --no-install-recommends build-dep ./", "what debian/control names cannot be installed")
    must("dpkg-buildpackage -us -uc -tc", "not built")
    shutil.rmtree(tree)
    print("\n".join(sorted(str(path) for path in PACKAGES.glob("*.deb"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
