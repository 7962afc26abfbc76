#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Control of check.py: in a copy of the tree each kind of fault is planted once, and every check must
find what is meant for it."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("KCH_BUILD", ROOT / "build"))
# In pieces, so that no check takes it for this file's own.
SPDX = "SPDX-License-" + "Identifier: GPL-2.0"
C = f"// {SPDX}\n"

# Check, file, its text or (with +) what is added to it, what the check must say.
PLANTED = [
    ("licences", "planted-licences.txt", "# no licence\n", "planted-licences"),
    ("text", "planted-text.txt", f"# {SPDX}\nwhite space \n", "planted-text.txt:2: white space"),
    ("text", "planted/Makefile", f"# {SPDX}\nCFLAGS = -Werror\n", "planted/Makefile: -Werror"),
    ("places", "planted-places.txt", f"# {SPDX}\nsee http:/" "/planted-places.example.org/\n", "planted-places"),
    ("modes", "planted-modes.sh", f"#!/bin/sh\n# {SPDX}\nexit\n", "planted-modes"),
    ("shellcheck", "planted-shellcheck.sh", f"#!/bin/sh\n# {SPDX}\nls $1\n", "planted-shellcheck"),
    ("python", "planted-python.py", f"# {SPDX}\nimport os\n", "planted-python"),
    ("checkpatch", "userspace/planted-checkpatch.c", C + "int planted;;\n", "planted-checkpatch"),
    ("sparse", "+kernel/{clock}", "u32 planted(__le32 n);\nu32 planted(__le32 n)\n{\n\treturn n;\n}\n", "kernel/{clock}"),
    ("cppcheck", "userspace/planted-cppcheck.c",
     C + "int planted(void)\n{\n\tint n[2] = { 0 };\n\n\treturn n[2];\n}\n", "planted-cppcheck"),
    ("headers", "userspace/include/planted-headers.h", f"/* {SPDX} */\nint planted(int new);\n", "planted-headers"),
    ("builds", "userspace/lib/planted-builds.c", C + "int planted(void)\n{\n\tint n;\n\n\treturn n;\n}\n", "gcc: .*planted-builds"),
    ("builds", "userspace/lib/planted-builds.c", "", "clang: .*planted-builds"),
    ("kernel_doc", "kernel/planted-kernel_doc.h", f"/* {SPDX} */\n/**\n * struct planted - a thing\n * @one: a number\n"
     " */\nstruct planted {\n\tint one;\n\tint two;\n};\n", "planted-kernel_doc"),
    ("floors", "kernel/core/planted.c", C + '#include "../main/planted.h"\n', "kernel/core/planted.c: .* higher floor"),
    ("floors", "kernel/main/planted.h", "int planted_floors(void);\n", "main/planted.h: planted_floors.* kernel/main/o.c"),
    ("floors", "kernel/main/o.c", "int planted_floors(void)\n{\n}\n", ""),
    ("floors", "kernel/core/planted1.h", '#include "planted2.h"\n', "a circle: .*planted2.h"),
    ("floors", "kernel/core/planted2.h", '#include "planted1.h"\n', ""),
    ("floors", "kernel/planted-floors.c", C, "planted-floors is on no floor"),
    ("floors", "userspace/planted-floors.c", C + '#include "main/planted.h"\n', "main/planted.h is not for user space"),
    ("floors", "userspace/lib/planted-floors.h", "int kch_members_take(void);\n", "planted-floors.h: kch_members_take.*members.c"),
    ("documents", "Documentation/man/planted-documents.8", f'.\\" {SPDX}\n.TH planted 8\n.SH NAME\n.NOSUCHMACRO\n',
     "planted-documents"),
]
# Check, file, pattern, replacement, what the check must say.
CHANGED = [
    ("documents", "Documentation/user-abi.rst", r"^..KCH_IOC_ADOPT..  .*\n", "", "not documented: KCH_IOC_ADOPT"),
    ("documents", "Documentation/region-abi.rst", r"^(\d+ +)8( +\w+ +``host_tsc``)", r"\g<1>4\2",
     "region-abi.rst: its tables are not those of"),
    ("documents", "kernel/core/fields.c", "KVM moves its TSC offset itself", "planted",
     "kvmclockctl.8: its tables are not those of"),
    ("documents", "userspace/include/kvmclock-handover.h", r"^\tint64_t ia32_tsc_adjust;\n", "",
     "struct kch_vcpu_info and struct kch_rec_vcpu differ in ia32_tsc_adjust"),
    ("documents", "Documentation/operating.rst", r"^    args=.*\n.*\"\$args\"$", "    kexec -l k --append=\"$(kvmclockctl kexec-args)\"",
     "operating.rst: an empty command line"),
    ("documents", "debian/changelog", r"\(.*\)", "(0.0.1)", "version in debian/changelog"),
    # An example that does not compile.
    ("documents", "Documentation/vmm-integration.rst", r"= kch_open\(NULL\);", "= planted_open(NULL);",
     "vmm-integration.rst: the example does not compile"),
]


def main() -> int:
    # Not below the tree: git would be asked there, and there it is ignored.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=lambda where, names: {"build", ".git"} if Path(where) == ROOT else set())
        clock = min(str(path.relative_to(copy / "kernel")) for path in (copy / "kernel").rglob("clock.c"))
        (copy / "build/check").mkdir(parents=True)
        for shared in ("kernels", "source"):
            if (BUILD / shared).exists():
                (copy / "build" / shared).symlink_to((BUILD / shared).resolve())
        wanted = []
        for check, name, text, mark in PLANTED:
            path = copy / name.lstrip("+").replace("{clock}", clock)
            path.parent.mkdir(parents=True, exist_ok=True)
            if text:
                path.write_text((path.read_text() if name.startswith("+") else "") + text)
            wanted.append((check, mark.replace("{clock}", clock)))
        for check, name, pattern, replacement, mark in CHANGED:
            text = (copy / name).read_text()
            changed, count = re.subn(pattern, replacement, text, flags=re.M)
            if not count:
                sys.exit(f"check_control.py: {name} has moved on: no {pattern}")
            (copy / name).write_text(changed)
            wanted.append((check, mark))
        environment = dict(os.environ, KCH_BUILD=str(copy / "build"))
        checks = subprocess.run([copy / "scripts/check.py", "--list"], text=True, capture_output=True, check=True)
        output = subprocess.run([copy / "scripts/check.py"], text=True, capture_output=True, check=False, env=environment)
        failed = 0
        for check in checks.stdout.split():
            log = (copy / f"build/check/{check}.log").read_text()
            marks = [mark for name, mark in wanted if name == check and mark]
            missing = [mark for mark in marks if not re.search(mark, log)]
            if missing or not marks or f"not ok - {check}\n" not in output.stdout:
                failed += 1
                print("".join(f"# {line}\n" for line in log.splitlines()), end="")
                print(f"not ok - {check}: what was planted for it was not found: {missing or 'nothing planted'}")
            else:
                print(f"ok - {check} # {len(marks)} planted and found")
        print(f"# {len(checks.stdout.split()) - failed} passed, {failed} failed, 0 skipped")
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
