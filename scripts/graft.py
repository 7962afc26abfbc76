#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Put the driver into a kernel's source tree, as part of KVM.

  scripts/graft.py [-l] TREE    -l: the tree has patches/*.patch, or what they do

The driver goes to arch/x86/kvm/handover/, its public headers to include/, its ABI to Documentation/, and it gets its
lines in Kconfig, Makefile and MAINTAINERS. What KVM and the TSC code have to offer it is in patches/. Files are
replaced, never written to: the tree may share them with another by hard links. Doing it again brings the
driver up to date.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNEL = ROOT / "kernel"
DRIVER = "arch/x86/kvm/handover"
# What has its ABI, and where that goes.
PAGES = "user-abi", "region-abi"
PAGE = "Documentation/virt/kvm/x86/kvmclock-handover-"


def apply(tree, patch):
    # One that can be taken back is there already.
    command = ["patch", "-d", tree, "-p1", "-s", "-i", patch]
    if subprocess.run([*command, "-R", "-f", "--dry-run"], check=False, stdout=subprocess.DEVNULL).returncode:
        print(f"graft.py: {patch.name}", file=sys.stderr, flush=True)
        subprocess.run([*command, "--no-backup-if-mismatch"], check=True, stdout=sys.stderr)


def replace(file, text):
    """The old file stays as it is, whoever else has it; and keeps its time when nothing changes."""
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(file.name + ".new")
        new.write_text(text)
        new.replace(file)


def edit(file, has, pattern, text):
    r"""Put a text in the place of a line, \g<0>, unless the file has what it is to have."""
    old = file.read_text()
    if not re.search(has, old, re.M):
        new, count = re.subn(pattern, text, old, count=1, flags=re.M)
        if not count:
            sys.exit(f"graft.py: {file}: no line {pattern}, where ours is to go")
        replace(file, new)


def driver_files():
    """What the driver is made of within the kernel: not what is only for the module outside, nor what make left."""
    return [file for file in KERNEL.rglob("*") if file.suffix in (".c", ".h", ".sh")
            and not re.match(r"include/|intree/|kvm/stock|kch_probed\.h|.*\.mod\.c", str(file.relative_to(KERNEL)))]


def source(file):
    """With the names that our pages have there."""
    return re.sub(rf"Documentation/(?=({'|'.join(PAGES)})\.rst)", PAGE, file.read_text())


def graft(tree):
    for file in driver_files():
        # Without what is for user space only.
        text = re.sub(r"^#ifdef __KERNEL__\n\n?(.*?)^#else /\* user space \*/\n.*?^#endif /\* __KERNEL__ \*/\n",
                      r"\1", source(file), flags=re.M | re.S)
        replace(tree / DRIVER / file.relative_to(KERNEL), text)
    for page in PAGES:
        replace(tree / f"{PAGE}{page}.rst", (ROOT / f"Documentation/{page}.rst").read_text())
    edit(tree / "Documentation/virt/kvm/x86/index.rst", "kvmclock-handover", "^   mmu$",
         "".join(f"   {Path(PAGE).name}{page}\n" for page in sorted(PAGES)) + "\\g<0>")
    replace(tree / DRIVER / "Makefile", (KERNEL / "Kbuild").read_text())
    replace(tree / DRIVER / "Kconfig", (KERNEL / "intree/Kconfig").read_text())
    for header in (KERNEL / "include").rglob("*.h"):
        replace(tree / header.relative_to(KERNEL), source(header))
    edit(tree / "arch/x86/kvm/Makefile", "CONFIG_KVMCLOCK_HANDOVER", r"^obj-\$\(CONFIG_KVM_AMD\).*\n",
         "\\g<0>obj-$(CONFIG_KVMCLOCK_HANDOVER)\t+= handover/\n")
    edit(tree / "arch/x86/kvm/Kconfig", "kvm/handover/Kconfig", "^endif # VIRTUALIZATION",
         f'source "{DRIVER}/Kconfig"\n\n\\g<0>')
    # In its alphabetical place.
    entry = (KERNEL / "intree/MAINTAINERS").read_text().rstrip()
    edit(tree / "MAINTAINERS", "^KVM CLOCK HANDOVER", "^KVM ", lambda line: f"{entry}\n\n{line.group(0)}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-l", action="store_true")
    parser.add_argument("tree", type=Path)
    args = parser.parse_args()
    tree = args.tree.resolve()
    if not (tree / "arch/x86/kvm/x86.c").exists():
        sys.exit(f"graft.py: {tree}: not a kernel source tree")
    for patch in [] if args.l else sorted((ROOT / "patches").glob("*.patch")):
        apply(tree, patch)
    graft(tree)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"graft.py: {error}")
