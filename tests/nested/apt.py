# SPDX-License-Identifier: GPL-2.0
"""apt with lists and a cache of our own, below build/apt: stale or absent lists of the system do not
matter, no root is needed, and nothing of the system's is changed. Sources, keys and proxies are the
system's."""

import contextlib
import fnmatch
import re
import shutil
import tempfile
from pathlib import Path

from common import BUILD, Problem, locked, output_of, run, say, text_of


class Apt:
    """apt-get and apt-cache with lists and cache in a folder."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.options = [f"-oDir::State::Lists={folder}/lists", f"-oDir::Cache={folder}/cache", "-q",
                        "-oAPT::Sandbox::User=", "-oAcquire::Languages=none", "-oAcquire::Retries=3", *options]
        for name in "lists/partial", "cache/archives/partial":
            (folder / name).mkdir(parents=True, exist_ok=True)

    def ask(self, program, *arguments):
        return output_of(program, *self.options, *arguments, check=False)

    def get(self, *arguments, cwd=None):
        run(["apt-get", *self.options, *arguments], self.folder / f"{arguments[0]}.log",
            " ".join(["apt-get", *arguments]), cwd)

    def candidate(self, package):
        """The version that would be taken, or ''."""
        found = re.search(r"^  Candidate: (?!\(none\))(\S+)", self.ask("apt-cache", "policy", package), re.M)
        return found[1] if found else ""

    def depends(self, package):
        return re.findall(r"Depends: (\S+)", self.ask("apt-cache", "depends", "--important", package))

    def newest(self, pattern):
        """The package with the highest numbers in its name, of those that match; and its version."""
        names = self.ask("apt-cache", "pkgnames", re.split(r"[\[*?]", pattern)[0]).split()
        names = sorted(fnmatch.filter(names, pattern), key=lambda name: [*map(int, re.findall(r"\d+", name))])
        return next(((name, self.candidate(name)) for name in reversed(names) if self.candidate(name)), ("", ""))

    def unpack(self, folder, *packages):
        """Their contents, without installing them."""
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            self.get("download", *packages, cwd=work)
            unpack(work, folder)


def unpack(packages, folder):
    for package in Path(packages).glob("*.deb"):
        output_of("dpkg-deb", "-x", package, folder)


@contextlib.contextmanager
def machine():
    """The suites of this machine. For one at a time: apt itself does not wait for its lists."""
    if not shutil.which("apt-get"):
        raise Problem("no apt here; give KERNEL= MODULES= KDIR= (see kernels.py --help)")
    with locked(BUILD / "apt/.lock"):
        apt = Apt(BUILD / "apt")
        try:
            apt.get("update")
        except Problem as error:
            # A third-party source that does not answer is no reason to stop: what matters is whether
            # the package is found later.
            say(error)
        yield apt


def suites(system, name, *of, options=()):
    """Suites that the system need not have, from the Debian mirror that it uses. The first is preferred."""
    folder = BUILD / "apt" / name
    mirror = re.search(r"^Debian/Debian (\S+)", system.ask(
        "apt-get", "indextargets", "--format", "$(ORIGIN)/$(LABEL) $(REPO_URI)", "Created-By: Packages"), re.M)
    if not mirror:
        raise Problem(f"none of this machine's apt sources is a Debian mirror: {of[0]} cannot be found")
    apt = Apt(folder, "-oDir::Etc::SourceList=/dev/null", f"-oDir::Etc::SourceParts={folder}/sources",
              "-oDir::Etc::Preferences=/dev/null", "-oDir::Etc::PreferencesParts=/dev/null",
              f"-oAPT::Default-Release={of[0]}", *options)
    # The keys of suites newer than the system come with its package of keys, which is updated for
    # that. The installed one may be old: what counts is the newest, vouched for by the system's own keys.
    keys = folder / "debian-archive-keyring.gpg"
    with tempfile.TemporaryDirectory(dir=folder) as work:
        system.unpack(work, "debian-archive-keyring")
        # The name is with .gpg or .pgp, and one may be a link to the other.
        keys.write_bytes(next(Path(work).rglob("debian-archive-keyring.[gp]*")).read_bytes())
    (folder / "sources").mkdir(exist_ok=True)
    for suite in of:
        (folder / f"sources/{suite}.sources").write_text(
            f"Types: deb\nURIs: {mirror[1]}\nSuites: {suite}\nComponents: main\nSigned-By: {keys}\n")
    apt.get("update")
    # A warning too: a list that cannot be verified is one, and an old one would be used.
    said = text_of(folder / "update.log")
    if re.search("^[WE]:", said, re.M):
        raise Problem(f"cannot read {' '.join(of)} from the mirror of this machine:\n{said}")
    return apt


@contextlib.contextmanager
def having(pattern, suite):
    """apt, and the newest package of a pattern with its version: of the machine's suites, or else of SUITE."""
    say(f"looking for {pattern}")
    with machine() as apt:
        package, version = apt.newest(pattern)
        if not package and suite:
            apt = suites(apt, suite, suite)
            package, version = apt.newest(pattern)
        if not package:
            raise Problem(f"no {pattern} in the suites of this machine{suite and ', nor in ' + suite}")
        yield apt, package, version
