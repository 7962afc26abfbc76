#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""README's first command on a new machine: in minimal roots of Debian 12 and 13 with this tree and `make`, and nothing
else that was installed by hand.

    tests/newcomer.py [RELEASE [COMMAND]]      each of both, `make demo`; needs what tests/packages.py needs

The roots are build/newcomer/RELEASE/. Without COMMAND they are made anew, with it one that is there is used again."""
import shutil
import sys

import ktap
import packages

WORK = packages.WORK.parent / "newcomer"


def newcomer(name: str, command: str) -> str:
    """What is wrong."""
    root, tree = WORK / name, WORK / name / "kvmclock-handover"
    try:
        if not command or not tree.exists():
            shutil.rmtree(root, ignore_errors=True)
            packages.Release(name, packages.mirror()).make_root(root, name)
            packages.inside(root, "apt install make")
        packages.put_tree(tree)
        with open(root / "said", "w", encoding="utf-8") as said:
            packages.inside(root, f"cd /{tree.name}; {command or 'make demo'}", said)
        return "" if command or "kvmclock-handover (identical)                0 ns" in (root / "said").read_text() else \
            f"no such line in its table: {root}/said"
    except packages.Problem as error:
        return f"{error}\nall it said: {root}/said"


def main() -> int:
    names = sys.argv[1:2] or [*packages.KERNELS]
    report, skip = ktap.Report(len(names)), packages.why_not()
    for name in names:
        report.test(name, "" if skip else newcomer(name, "".join(sys.argv[2:3])), skip and f"SKIP {skip}")
    status = report.end()
    # Skipped as a whole, as tests/packages.py, is no failure of make test-full.
    return 0 if skip else status


if __name__ == "__main__":
    packages.run_main(main)
