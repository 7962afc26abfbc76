# SPDX-License-Identifier: GPL-2.0
"""Where the things of the test bed are, and what all its files need."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("KCH_BUILD", ROOT / "build"))
NESTED = ROOT / "tests/nested"
L1 = ROOT / "tests/l1"
LOGS = BUILD / "nested"


class Problem(Exception):
    """What the user has to be told, without a traceback."""


def say(text: str) -> None:
    print(f"{Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def make(directory: Path, *targets: str) -> None:
    command = ["make", "--no-print-directory", "-s", "-j2", "-C", str(directory), *targets]
    if subprocess.run(command, check=False).returncode:
        raise Problem(f"make failed in {directory}")


def install(path: Path, data: bytes) -> None:
    """The file is the old one or the whole new one, also with two builds at the same time. One that has these
    bytes already keeps its time, so that nothing is built again."""
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(data)
    new.replace(path)


def run_main(main) -> None:
    """Runs main() of a program, with the exit status that it returns. Ended by SIGTERM, it tidies up."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        sys.exit(main())
    except (Problem, OSError) as problem:
        say(str(problem))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
