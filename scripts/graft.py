#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Put the driver into a kernel's source tree, as part of KVM, or write it as patches for `git am`.

  scripts/graft.py [-l] TREE                 into the tree; -l: the tree has patches/*.patch, or what they do
  scripts/graft.py --patches FOLDER TREE     as two series of patches; the tree is only read

The driver goes to arch/x86/kvm/handover/, its public headers to include/, and it gets its lines in
Kconfig, Makefile and MAINTAINERS. What KVM and the TSC code have to offer it is in patches/. Files are
replaced, never written to: the tree may share them with another by hard links. Doing it again brings the
driver up to date.

FOLDER/tsc/ hands the frequency of the TSC over and needs nothing of ours; FOLDER/kvm/ is for KVM, and has
the driver. TREE is then without the driver, and need not be a git repository. The patches are signed off
by git's user.name and user.email.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KERNEL = ROOT / "kernel"
DRIVER = "arch/x86/kvm/handover"


def output_of(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def patches_of(series):
    return sorted((ROOT / "patches").glob(f"{series}-*.patch"))


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


def graft(tree):
    for file in driver_files():
        # Without what is for user space only.
        text = re.sub(r"^#ifdef __KERNEL__\n\n?(.*?)^#else /\* user space \*/\n.*?^#endif /\* __KERNEL__ \*/\n",
                      r"\1", file.read_text(), flags=re.M | re.S)
        replace(tree / DRIVER / file.relative_to(KERNEL), text)
    replace(tree / DRIVER / "Makefile", (KERNEL / "Kbuild").read_text())
    replace(tree / DRIVER / "Kconfig", (KERNEL / "intree/Kconfig").read_text())
    for header in (KERNEL / "include").rglob("*.h"):
        replace(tree / header.relative_to(KERNEL), header.read_text())
    edit(tree / "arch/x86/kvm/Makefile", "CONFIG_KVMCLOCK_HANDOVER", r"^obj-\$\(CONFIG_KVM_AMD\).*\n",
         "\\g<0>obj-$(CONFIG_KVMCLOCK_HANDOVER)\t+= handover/\n")
    edit(tree / "arch/x86/kvm/Kconfig", "kvm/handover/Kconfig", "^endif # VIRTUALIZATION",
         f'source "{DRIVER}/Kconfig"\n\n\\g<0>')
    # In its alphabetical place.
    entry = (KERNEL / "intree/MAINTAINERS").read_text().rstrip()
    edit(tree / "MAINTAINERS", "^KVM CLOCK HANDOVER", "^KVM ", lambda line: f"{entry}\n\n{line.group(0)}")


def emit(tree, output, work):
    """In a git repository with only what is touched: a whole kernel takes git minutes."""
    name, email = re.match("(.*) <(.*)> ", output_of("git", "var", "GIT_COMMITTER_IDENT")).groups()

    def git(*command, **options):
        return output_of("git", "-C", work, "-c", "commit.gpgsign=false", "-c", "core.autocrlf=false",
                         "-c", f"user.name={name}", "-c", f"user.email={email}", *command, **options)

    def commit(message):
        git("add", "-A")
        git("commit", "-q", "-F", "-", input=message.replace("@SIGNER@", f"{name} <{email}>"))

    touched = {"MAINTAINERS", *(f"arch/x86/kvm/{file}" for file in ("Kconfig", "Makefile", "x86.c"))}
    for patch in patches_of("*"):
        touched.update(re.findall(r"^\+\+\+ b/(.*)", patch.read_text(), re.M))
    for file in filter(Path.exists, map(tree.joinpath, touched)):
        (work / file.relative_to(tree)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, work / file.relative_to(tree))
    git("init", "-q")
    commit("base")
    git("tag", "base")
    for series in "tsc", "kvm":
        folder = output / series
        folder.mkdir(parents=True, exist_ok=True)
        for patch in folder.glob("[0-9][0-9][0-9][0-9]-*.patch"):
            patch.unlink()
        git("checkout", "-q", "-b", series, "base")
        for patch in patches_of(series):
            apply(work, patch)
            commit(patch.read_text().split("\n---\n")[0])
        if series == "kvm":
            graft(work)
            commit((KERNEL / "intree/message").read_text())
        print(git("format-patch", "-o", folder, "base"), end="")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-l", action="store_true")
    parser.add_argument("--patches", type=Path)
    parser.add_argument("tree", type=Path)
    args = parser.parse_args()
    tree = args.tree.resolve()
    if not (tree / "arch/x86/kvm/x86.c").exists():
        sys.exit(f"graft.py: {tree}: not a kernel source tree")
    if not args.patches:
        for patch in [] if args.l else patches_of("*"):
            apply(tree, patch)
        graft(tree)
    elif (tree / DRIVER).exists():
        sys.exit(f"graft.py: {tree}: has the driver already")
    else:
        with tempfile.TemporaryDirectory() as work:
            emit(tree, args.patches.resolve(), Path(work))


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"graft.py: {error}")
