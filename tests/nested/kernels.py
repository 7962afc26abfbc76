# SPDX-License-Identifier: GPL-2.0
"""The kernel lines, by the scripts that fetch and build them."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from common import BUILD, ROOT, Problem


@dataclass
class Line:
    """A kernel that the emulated host can run."""
    name: str

    @property
    def path(self) -> Path:
        return BUILD / "kernels" / self.name


LINES = {name: Line(name) for name in ("6.1", "6.12", "7.3", "7.3-debug", "7.3-intree", "7.3-intree-debug")}
RELEASED = ("6.1", "6.12", "7.3")


def pairs() -> list:
    return [(old, new) for old in RELEASED for new in RELEASED]


def script(name: str, *arguments: str, **environment: str) -> None:
    command = [str(ROOT / "scripts" / name), *arguments]
    if subprocess.run(command, env={**os.environ, **environment}, check=False).returncode:
        raise Problem(f"{' '.join(command)} failed")


def ensure(name: str) -> None:
    if "-intree" in name or not (LINES[name].path / "release").exists():
        script("fetch-kernel.sh", name)


def build_module(name: str, source: Path = ROOT / "kernel", module: str = "kvmclock_handover") -> None:
    script("build-module.sh", name, KCH_MODULE_SRC=str(source), KCH_MODULE=module)


def fetch_qemu(version: str) -> Path:
    script("fetch-qemu.sh", version)
    return BUILD / "qemu" / version


def build_selftests(version: str) -> Path:
    script("build-selftests.sh", version)
    return BUILD / "selftests" / version
