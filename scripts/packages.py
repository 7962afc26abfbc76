#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Debian packages of module (for DKMS), tool, library and development files, from a copy of the tree.

    scripts/packages.py [VERSION]

They are put into build/packages/. Another VERSION than that of the tree is for the test of an upgrade."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = Path(os.environ.get("KCH_BUILD", ROOT / "build")) / "packages"
# Where the version stands; check_documents.py sees that it is the same everywhere.
VERSIONED = ("kernel/core/version.h", "kernel/dkms.conf", "userspace/Makefile", "debian/changelog")


def main() -> int:
    if not shutil.which("dpkg-buildpackage"):
        sys.exit("packages.py: no dpkg-buildpackage here: apt-get install build-essential")
    version = re.search('"(.*)"', (ROOT / VERSIONED[0]).read_text())[1]
    shutil.rmtree(PACKAGES, ignore_errors=True)
    tree = PACKAGES / "source"
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line[0] != "#"]
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", *ignored))
    for name in VERSIONED if sys.argv[1:] else ():
        (tree / name).write_text((tree / name).read_text().replace(version, sys.argv[1]))
    # Without what a make that called this exports.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def run(command: str) -> int:
        with open(PACKAGES / "build.log", "a", encoding="utf-8") as log:
            return subprocess.run(command, shell=True, cwd=tree, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=environment, check=False).returncode

    # What is needed stands in debian/control.
    if run("dpkg-checkbuilddeps"):
        if run("DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends build-dep ./"):
            sys.exit(f"packages.py: something is missing; as root: apt-get build-dep {ROOT}")
    if run("dpkg-buildpackage -us -uc -tc"):
        sys.exit("".join((PACKAGES / "build.log").read_text().splitlines(True)[-40:]) + "packages.py: not built")
    shutil.rmtree(tree)
    print("\n".join(sorted(str(path) for path in PACKAGES.glob("*.deb"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
