# SPDX-License-Identifier: GPL-2.0
"""What all files of the test bed need: where things are, commands, locks, and how a result takes its place."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("KCH_BUILD", ROOT / "build"))
NESTED = ROOT / "tests/nested"
L1 = ROOT / "tests/l1"
LOGS = BUILD / "nested"

# Of the kernel: gentle, it ends when we do, and does not see the options of a make that called us.
CLEAN_MAKE = ("env", "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "MAKELEVEL", "nice", "-n", "2",
              "setpriv", "--pdeathsig", "TERM", "make", f"-j{os.environ.get('KCH_JOBS', 2)}")

# What Kbuild leaves among the sources after `make` in kernel/, which is made for one kernel; and hidden files.
NO_SOURCE = re.compile(r"\.|kch_probed\.h|Module\.symvers$|modules\.order$|.*\.(o|ko|mod|mod\.c|cmd)$")

# What a copy of the tree goes without; for copytree. git need not be here.
NOT_OURS = shutil.ignore_patterns(".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()
                                            if line[0] != "#"))


class Problem(Exception):
    """What the user has to be told, without a traceback."""


def say(text: object) -> None:
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def run_main(main) -> None:
    """Runs main() of a program, with the exit status that it returns. Ended by SIGTERM, it tidies up."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        sys.exit(main())
    except (Problem, OSError) as problem:
        say(problem)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def make(directory: Path, *targets: str) -> None:
    command = ["make", "--no-print-directory", "-s", "-j2", "-C", str(directory), *targets]
    if subprocess.run(command, check=False).returncode:
        raise Problem(f"make failed in {directory}")


def output_of(*command, check: bool = True) -> str:
    result = subprocess.run(command, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if check and result.returncode:
        raise Problem(f"exit status {result.returncode} of: {' '.join(map(str, command))}\n{result.stdout}".rstrip())
    return result.stdout


def run(command, log: Path, what: str, cwd=None) -> None:
    """Runs what takes long, with its output in a log, the end of which is shown if it fails."""
    with open(log, "w") as output:
        with subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT) as done:
            try:
                for seconds in itertools.count(15, 15):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        done.wait(15)
                        break
                    say(f"{what}: {seconds} s")
            except BaseException:
                done.terminate()
                raise
    if done.returncode:
        print(*text_of(log).splitlines()[-50:], sep="\n", file=sys.stderr)
        raise Problem(f"{what}: failed (all it said: {log})")


def text_of(file: Path) -> str:
    """What a file says, '' if it is not there."""
    return file.read_text(errors="replace").rstrip("\n") if file.is_file() else ""


@contextlib.contextmanager
def locked(file: Path, busy: str = ""):
    """Holds a lock, which goes with the process, too. If another has it: waits, or says `busy`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if busy:
                raise Problem(busy) from None
            say(f"waiting for another run, which has {file}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(path: Path, data: bytes) -> None:
    """The file is the old one or the whole new one, also with two builds at the same time. One that has these
    bytes already keeps its time, so that nothing is built again."""
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(data)
    new.replace(path)


@contextlib.contextmanager
def new_folder(dest: Path):
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


def remove(*paths: Path) -> None:
    """With rm, which is fast for the source of a kernel."""
    output_of("rm", "-rf", "--", *paths)


def source_files(folder: Path) -> list:
    """The files of a folder by their paths in it, without artefacts and hidden ones."""
    return sorted(file.relative_to(folder) for file in folder.rglob("*")
                  if file.is_file() and not NO_SOURCE.match(file.name))


def lay_out(folder: Path, sources: dict) -> None:
    """The folder has these files, by their paths in it, and what is made of them, but no other source: a header that
    is gone is not found any more."""
    for name in source_files(folder):
        if name not in sources:
            (folder / name).unlink()
    for name, data in sources.items():
        install(folder / name, data)


def digest_of(*paths: Path) -> str:
    """One number for the names and contents of files, and of all in folders."""
    digest = hashlib.sha256()
    for file in (path / name for path in paths for name in ([""] if path.is_file() else source_files(path))):
        digest.update(f"{file.relative_to(ROOT)} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def table(head, rows, left=(0,)) -> list:
    """A simple table of reStructuredText; the columns in `left` are aligned to the left."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    if len(cells) == 1:
        raise Problem(f"nothing for the table of {head[0]}")
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells]
    rule = "  ".join("=" * width for width in widths)
    return [rule, lines[0], rule, *lines[1:], rule]
