# SPDX-License-Identifier: GPL-2.0
"""How the kernels and what belongs to them are built: commands, locks, and how a result takes its place."""

import contextlib
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, Problem, say

# Of the kernel: gentle, it ends when we do, and does not see the options of a make that called us.
CLEAN_MAKE = ("env", "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "MAKELEVEL", "nice", "-n", "2",
              "setpriv", "--pdeathsig", "TERM", "make", f"-j{os.environ.get('KCH_JOBS', 2)}")

# What Kbuild leaves among the sources after `make` in kernel/, which is made for one kernel; and hidden files.
NO_SOURCE = re.compile(r"\.|kch_probed\.h|Module\.symvers$|modules\.order$|.*\.(o|ko|mod|mod\.c|cmd)$")


def output_of(*command, check=True):
    result = subprocess.run(command, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if check and result.returncode:
        raise Problem(f"exit status {result.returncode} of: {' '.join(map(str, command))}\n{result.stdout}".rstrip())
    return result.stdout


def run(command, log, progress, cwd=None):
    """Run what takes long, with its output in a log, the end of which is shown if it fails. Each quarter
    of a minute it is said how far it is: progress(), and the time."""
    begin = time.monotonic()
    with open(log, "w") as output, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                    break
                say(f"{progress()}: {time.monotonic() - begin:.0f} s")
        finally:
            process.terminate()
    if process.returncode:
        print(*text_of(log).splitlines()[-50:], sep="\n", file=sys.stderr)
        raise Problem(f"{progress()}: failed (all it said: {log})")


def text_of(file):
    """What a file says, '' if it is not there."""
    return file.read_text(errors="replace").rstrip("\n") if file.is_file() else ""


@contextlib.contextmanager
def locked(file, shared=False):
    """Hold a lock, which goes with the process, too. Yields what flock() takes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield lock


def remove(*paths):
    """With rm, which is fast for the source of a kernel."""
    output_of("rm", "-rf", "--", *paths)


@contextlib.contextmanager
def new_folder(dest):
    """Yields an empty folder, which takes the place of dest at the end, unless something fails."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{dest.name}.", dir=dest.parent))
    old = Path(f"{work}.old")
    try:
        yield work
        work.chmod(0o755)
        # The old one goes aside first: removed by half, it could still have the file that says it is whole.
        if os.path.lexists(dest):
            dest.rename(old)
        work.rename(dest)
    finally:
        remove(work, old)


def source_files(folder):
    """The files of a folder by their paths in it, without artefacts and hidden ones."""
    return sorted(file.relative_to(folder) for file in folder.rglob("*")
                  if file.is_file() and not NO_SOURCE.match(file.name))


def digest_of(*paths):
    """One number for the names and contents of files, and of all in folders."""
    digest = hashlib.sha256()
    for file in (path / name for path in paths for name in ([""] if path.is_file() else source_files(path))):
        digest.update(f"{file.relative_to(ROOT)} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()
