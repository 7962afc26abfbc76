# SPDX-License-Identifier: GPL-2.0
"""apt with lists and a cache of our own, below build/apt: stale or absent lists of the system do not matter, no root
is needed, and nothing of the system's is changed. Sources, keys and proxies are the system's; to its suites come
others that it need not have, from the same mirror."""

import contextlib
import fnmatch
import re
import shutil
import tempfile
from pathlib import Path

from common import BUILD, Problem, locked, output_of, run, say, text_of

SYSTEM = Path("/etc/apt")
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def plain(mirror):
    """A mirror as other roots can use it: of a list of mirrors, which only this machine has, the first."""
    listed = re.match("mirror[+]file:/*(/.*[^/])", mirror)
    return re.search(r"^[^#\s]+", Path(listed[1]).read_text(), re.M)[0].rstrip("/") + "/" if listed else mirror


def settings():
    """For mmdebstrap, whose apt reads nothing of this machine's: how mirrors are reached, and how old lists may be."""
    said = output_of("apt-config", "dump", "Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until")
    return [f"--aptopt={line}" for line in said.splitlines()]


class Apt:
    """apt-get and apt-cache with the machine's suites and these. `lines` is these, as in a sources.list."""

    def __init__(self, *suites):
        self.folder, self.suites = BUILD / "apt" / suites[0], suites
        sources = self.folder / "sources"
        self.options = [f"-oDir::State::Lists={self.folder}/lists", f"-oDir::Cache={self.folder}/cache", "-q",
                        "-oAPT::Sandbox::User=", "-oAcquire::Languages=none", "-oAcquire::Retries=3",
                        f"-oDir::Etc::SourceParts={sources}", "-oDir::Etc::PreferencesParts=/dev/null"]
        shutil.rmtree(sources, ignore_errors=True)
        for name in "lists/partial", "cache/archives/partial", "sources":
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for file in (SYSTEM / "sources.list.d").iterdir():
            shutil.copy(file, sources)
        # A source that does not answer is no reason to stop: what matters is whether the package is found later.
        self.get("update")
        said = self.ask("apt-get", "indextargets", "--format", "$(ORIGIN)/$(LABEL) $(REPO_URI)", "Created-By: Packages")
        found = re.search(r"^Debian/Debian (\S+)", said, re.M)
        if not found:
            raise Problem("none of this machine's apt sources is a Debian mirror, or it could not be reached:\n"
                          + "\n".join(text_of(self.folder / "update.log").splitlines()[-5:]))
        mirror, line = found[1], f"deb [signed-by={KEYS}] {{}} {{}} main"
        self.lines = [line.format(plain(mirror), suite) for suite in suites]
        # Those that a source names, fetched or not, are not named again: with other options apt would read no source at all.
        named = self.ask("apt-get", "update", "--print-uris")
        missing = [line.format(mirror, suite) for suite in suites if f"'{mirror}dists/{suite}/InRelease'" not in named]
        if missing:
            (sources / "other.list").write_text("\n".join([*missing, ""]))
            self.get("update")

    def ask(self, program, *arguments):
        return output_of(program, *self.options, *arguments, check=False)

    def get(self, *arguments, cwd=None):
        with contextlib.suppress(Problem if arguments == ("update",) else ()):
            run(["apt-get", *self.options, *arguments], self.folder / f"{arguments[0]}.log",
                " ".join(["apt-get", *arguments]), cwd)

    def depends(self, package):
        return re.findall(r"Depends: (\S+)", self.ask("apt-cache", "depends", "--important", package))

    def newest(self, pattern):
        """The package with the highest numbers in its name, of those that match; and its version."""
        names = self.ask("apt-cache", "pkgnames", re.split(r"[\[*?]", pattern)[0]).split()
        for name in sorted(fnmatch.filter(names, pattern), reverse=True,
                           key=lambda name: [*map(int, re.findall(r"\d+", name))]):
            candidate = re.search(r"^  Candidate: (?!\(none\))(\S+)", self.ask("apt-cache", "policy", name), re.M)
            if candidate:
                return name, candidate[1]
        raise Problem(f"no {pattern} in {self.suites} and the suites of this machine; {self.folder}/update.log")

    def unpack(self, folder, *packages):
        """Their contents, without installing them."""
        with tempfile.TemporaryDirectory(dir=self.folder) as work:
            self.get("download", *packages, cwd=work)
            for package in Path(work).glob("*.deb"):
                output_of("dpkg-deb", "-x", package, folder)


@contextlib.contextmanager
def having(pattern, *suites):
    """apt, and the newest package of a pattern with its version. For one at a time: apt does not wait for its lists."""
    say(f"looking for {pattern}")
    with locked(BUILD / "apt/.lock"):
        apt = Apt(*suites)
        yield (apt, *apt.newest(pattern))
