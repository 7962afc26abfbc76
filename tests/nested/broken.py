# SPDX-License-Identifier: GPL-2.0
"""The module with one thing of broken.tbl broken in a copy of its sources. It is called kch_NAME, as the whole one is
beside it; device and files are the same."""

import re
from pathlib import Path
from typing import Dict

import kernels
from common import BUILD, NESTED, ROOT, Problem, lay_out, source_files


def module_of(name: str) -> str:
    return "kch_" + name.replace("-", "_")


def sources_of(name: str) -> Dict[Path, str]:
    changes = re.findall(rf"^{name} \| (.*) => (.*)$", (NESTED / "broken.tbl").read_text(), re.M)
    sources = {file: (ROOT / "kernel" / file).read_text() for file in source_files(ROOT / "kernel")}
    if not changes:
        raise Problem(f"module={name}: not in broken.tbl")
    for change in changes:
        whole, broken = (text.encode().decode("unicode_escape") for text in change)
        where = [path for path, text in sources.items() if whole in text]
        if len(where) != 1:
            raise Problem(f"module={name}: to be broken in one file, not {len(where)}: {whole}")
        sources[where[0]] = sources[where[0]].replace(whole, broken)
    kbuild = Path("Kbuild")
    sources[kbuild] = re.sub(r"kvmclock_handover(-y|\.o)", rf"{module_of(name)}\1", sources[kbuild])
    return sources


def build(name: str, line: str) -> None:
    lay_out(BUILD / "nested/broken" / name, {path: text.encode() for path, text in sources_of(name).items()})
    kernels.build_module(line, BUILD / "nested/broken" / name, module_of(name))
