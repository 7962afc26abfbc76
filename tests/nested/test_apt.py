#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Are packages found whatever a machine's apt sources are, and its own suites not named a second time? With apt's folders
and mirrors of our own, files below a temporary folder."""

import contextlib
import hashlib
import io
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = tempfile.TemporaryDirectory()
WORK = Path(FOLDER.name).resolve()
os.environ.update(KCH_BUILD=str(WORK / "build"), APT_CONFIG=str(WORK / "apt.conf"))
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import apt  # noqa: E402
import ktap  # noqa: E402
from common import Problem  # noqa: E402

MIRROR, LIST = f"file:{WORK}/debian", WORK / "etc/mirrors/debian.list"
# Nobody listens.
NOWHERE = "127.0.0.1:1"
# What the machine has, all but its security's.
BACKPORTS = "bookworm-backports"
SOURCES = {
    "one-line.list": f"deb {MIRROR} bookworm main\ndeb {MIRROR} {BACKPORTS} main\n",
    "other-key.list": f"deb {MIRROR} bookworm main\ndeb [signed-by=/another.gpg] {MIRROR} {BACKPORTS} main\n",
    "cloud.sources": f"Types: deb\nURIs: mirror+file://{LIST}\nSuites: bookworm {BACKPORTS}\nComponents: main\n",
    "without.list": f"deb {MIRROR} bookworm main\n",
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def serve(mirror, suite, name, number):
    """A suite of a mirror, which Debian calls so, with a package linux-NUMBER."""
    packages = f"Package: linux-{number}\nVersion: 1\nArchitecture: amd64\nFilename: a\nSize: 1\nSHA256: {'0' * 64}\n\n"
    write(WORK / mirror / f"dists/{suite}/main/binary-amd64/Packages", packages)
    origin = name if "Backports" in name else "Debian"
    digest = hashlib.sha256(packages.encode()).hexdigest()
    write(WORK / mirror / f"dists/{suite}/Release", f"Origin: {origin}\nLabel: {name}\nCodename: {suite}\nDate: Sat, 01 Nov "
          f"2025 00:00:00 UTC\nSHA256:\n {digest} {len(packages)} main/binary-amd64/Packages\n")


class Apt(unittest.TestCase):
    def setUp(self):
        shutil.rmtree(WORK)
        write(WORK / "apt.conf", f'Dir::Etc "{WORK}/etc"; Dir::State::status "/dev/null"; APT::Architecture "amd64"; '
              'Acquire::AllowInsecureRepositories "1"; Acquire::Retries::Delay "0";')
        for folder in "preferences.d", "apt.conf.d":
            (WORK / "etc" / folder).mkdir(parents=True)
        write(LIST, f"# Mirrors\n{MIRROR}\tpriority:1\n")
        serve("security", "bookworm-security", "Debian-Security", 1)
        serve("debian", "bookworm", "Debian", 2)
        apt.SYSTEM = WORK / "etc"

    def sources(self, name):
        shutil.rmtree(WORK / "etc/sources.list.d", ignore_errors=True)
        write(WORK / "etc/sources.list.d/0.list", f"deb file:{WORK}/security bookworm-security main\n")
        write(WORK / "etc/sources.list.d" / name, SOURCES[name])

    def test_suites(self):
        """One that the machine names, in whatever way, is taken from there, and one that it does not name, from its
        mirror. What other roots are told is a mirror that they have, too."""
        for suite, number in (BACKPORTS, 3), ("trixie-backports", 4):
            serve("debian", suite, "Debian Backports", number)
            for name in SOURCES:
                with self.subTest(f"{name}, {suite}"):
                    self.sources(name)
                    found = apt.Apt(suite, "bookworm")
                    self.assertEqual(found.newest("linux-[0-9]*"), (f"linux-{number}", "1"))
                    self.assertEqual(found.lines, [f"deb [signed-by={apt.KEYS}] {MIRROR}/ {one} main"
                                                   for one in (suite, "bookworm")])

    def test_not_there(self):
        """A suite that is named and does not answer leaves the others as they are."""
        for name in SOURCES:
            with self.subTest(name), contextlib.redirect_stderr(io.StringIO()):
                self.sources(name)
                self.assertEqual(apt.Apt(BACKPORTS).newest("linux-[0-9]*"), ("linux-2", "1"))

    def test_unreachable(self):
        """apt-get update calls it a success when nothing can be fetched."""
        write(WORK / "etc/sources.list.d/0.list", f"deb http://{NOWHERE}/debian bookworm main\n")
        self.assertRaisesRegex(Problem, "could not be reached:\n(.*\n)*.*" + NOWHERE, apt.Apt, BACKPORTS)

    def test_settings(self):
        """mmdebstrap is told of a proxy that is in apt's settings only."""
        proxy = f'Acquire::http::Proxy "http://{NOWHERE}";'
        write(WORK / "etc/apt.conf.d/proxy", f'{proxy} APT::Get::Show-Versions "1";')
        self.assertEqual(apt.settings()[-1], f"--aptopt={proxy}")


if __name__ == "__main__":
    sys.exit(ktap.main())
