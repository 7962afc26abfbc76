# SPDX-License-Identifier: GPL-2.0
"""The module with one thing broken in a copy of its sources, for the controls of cases with module=NAME. It is
called kch_NAME, as the whole one is beside it; device and files are the same."""

import re
from pathlib import Path

import kernels
from common import BUILD, ROOT, Problem, lay_out, source_files

# What of the sources becomes what; each must be in one file. The module's own self-check would find the first
# of old-reference, and refuse all.
BROKEN = {
    "old-reference": (
        ("if (!kch_clock_advance(", "if (true || !kch_clock_advance("),
        ("if (off_ns <= (s64)bound_ns && off_ns >= -(s64)bound_ns)", "if (bound_ns)"),
    ),
    "not-kept": (
        ("schedule_delayed_work(&look_work, KEEP_INTERVAL);", "(void)0;"),
    ),
    # Who may is not asked: when the device is opened, at each ioctl, and when a file of debugfs that was left open is read.
    "open-to-all": (
        ("if (!capable(CAP_SYS_ADMIN))\n\t\treturn -EPERM;\n\tholder", "holder"),
    ),
    "calls-for-all": (
        ("return capable(CAP_SYS_ADMIN) ?\n\t       kch_ioctl_run", "return true ?\n\t       kch_ioctl_run"),
    ),
    "text-for-all": (
        ("return capable(CAP_SYS_ADMIN) ? seq_read", "return true ? seq_read"),
    ),
    "bytes-for-all": (
        ("if (!capable(CAP_SYS_ADMIN))\n\t\treturn -EPERM;\n\tmutex_lock", "mutex_lock"),
    ),
}


def build(name: str, line: str) -> None:
    if name not in BROKEN:
        raise Problem(f"module={name}: not known")
    module = "kch_" + name.replace("-", "_")
    sources = {file: (ROOT / "kernel" / file).read_text() for file in source_files(ROOT / "kernel")}
    for whole, broken in BROKEN[name]:
        where = [path for path, text in sources.items() if whole in text]
        if len(where) != 1:
            raise Problem(f"module={name}: to be broken in one file, not {len(where)}: {whole}")
        sources[where[0]] = sources[where[0]].replace(whole, broken)
    kbuild = Path("Kbuild")
    sources[kbuild] = re.sub(r"kvmclock_handover(-y|\.o)", rf"{module}\1", sources[kbuild])
    lay_out(BUILD / "nested/broken" / name, {path: text.encode() for path, text in sources.items()})
    kernels.build_module(line, BUILD / "nested/broken" / name, module)
