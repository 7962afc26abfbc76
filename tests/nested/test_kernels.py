#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Does what builds kernels and modules do as it says, after a `make` among the sources and after a build that was
interrupted? In a copy of the tree, with a kernel that consists of a Makefile."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import kernels  # noqa: E402
import ktap  # noqa: E402
from common import BUILD, NESTED, ROOT, source_files, text_of  # noqa: E402

LEFT_BY_MAKE = "kch_probed.h", "kvmclock_handover.mod.c", "Module.symvers", "modules.order", "core/record.o"

# A kernel's source, and headers.
FAKE_KERNEL = {
    "Module.symvers": "", "arch/x86/kvm/x86.c": "", "MAINTAINERS": "KVM FOR EVERYBODY\n", "planted": "one\ntwo\n",
    "Documentation/virt/kvm/x86/index.rst": ".. toctree::\n\n   hypercalls\n   mmu\n",
    "arch/x86/kvm/Kconfig": "endif # VIRTUALIZATION\n", "arch/x86/kvm/Makefile": "obj-$(CONFIG_KVM_AMD) += kvm-amd.o\n",
    "Makefile": (NESTED / "fake-kernel.mk").read_text(), ".package": "linux-source-7.3 1\n",
}
PATCH = "--- a/planted\n+++ b/planted\n@@ -1,2 +1,2 @@\n-one\n-two\n+three\n+four\n"


class Kernels(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.copy = Path(folder.name).resolve() / "tree"
        shutil.copytree(ROOT, self.copy, symlinks=True, ignore=lambda where, names: {"build", ".git"} & {*names})
        for name in LEFT_BY_MAKE:
            (self.copy / "kernel" / name).write_text("made\n")
        self.build, self.log = self.copy / "build", self.copy / "build/log"

    def call(self, *command, status=0, **environment):
        # Without the options of a make that called this.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "INSTALL"))}
        done = subprocess.run([str(word) for word in command], cwd=self.copy, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env={**own, "KCH_BUILD": str(self.build), "FAKE_LOG": str(self.log), **environment})
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def logged(self, text):
        """That, and nothing else since the last time."""
        self.assertEqual(text_of(self.log), text)
        self.log.unlink(missing_ok=True)

    def call_kernels(self, function, **options):
        code = f"import sys; sys.path.insert(0, 'tests/nested'); import kernels; kernels.{function}"
        self.call(sys.executable, "-Bc", code, **options)

    def ensure(self, logs, **options):
        self.call_kernels("ensure('7.3-intree')", **options)
        self.logged(logs)

    def fake_kernel(self, name):
        for file, text in FAKE_KERNEL.items():
            (self.build / name / file).parent.mkdir(parents=True, exist_ok=True)
            (self.build / name / file).write_text(text)
        return self.build / name

    def build_intree(self):
        for patch in (self.copy / "patches").glob("*"):
            patch.unlink()
        self.patch = self.copy / "patches/0-planted.patch"
        self.patch.write_text(PATCH)
        self.source = self.fake_kernel("source/linux-7.3")
        self.ensure("build")
        self.ensure("")

    def test_artefacts(self):
        """What make leaves in kernel/ is no source of ours: not of a module, which does not write to it either, nor
        of a patch."""
        self.fake_kernel("kernels/6.1/headers")
        self.call_kernels("build_module('6.1')")
        self.assertEqual(text_of(self.build / "module/6.1/kch_probed.h"), "another")
        self.assertEqual({text_of(self.copy / "kernel" / name) for name in LEFT_BY_MAKE}, {"made"})
        tree = self.fake_kernel("tree")
        self.call("scripts/graft.py", "-l", tree)
        driver = {file.name for file in (tree / "arch/x86/kvm/handover").rglob("*")}
        self.assertLessEqual({"main.c", "record.c", "intree.c", "Kconfig", "Makefile", "probe.sh"}, driver)
        texts = "".join(text_of(file) for file in tree.rglob("*") if file.is_file())
        pages = {*re.findall(r"(?<![a-z/])Documentation/[a-z/0-9_-]*\.rst", texts)}
        self.assertEqual([], [page for page in pages if not (tree / page).exists()])
        self.assertFalse(driver & {*map(os.path.basename, LEFT_BY_MAKE), "stock.c", "stock_write.c"})
        # And what a real Kbuild leaves.
        for line in kernels.names("default"):
            self.assertEqual(source_files(BUILD / "module" / line), source_files(ROOT / "kernel"))

    def test_inputs(self):
        """A kernel with the driver is built anew when one of them has changed, and only then."""
        self.build_intree()
        for name in "kernel/main.c", "kernel/core/record.c", "scripts/graft.py", "scripts/kernel-config/host":
            file = self.copy / name
            file.write_text(file.read_text() + ("CONFIG_PLANTED=y\n" if "config" in name else "\n"))
            self.ensure("build")
        file.write_text("# A remark.\n" + file.read_text())
        (self.copy / "kernel/main.o").write_text("made\n")
        self.ensure("")
        (self.source / ".package").write_text("linux-source-7.3 2\n")
        self.ensure("build")

    def test_half_a_patch(self):
        self.build_intree()
        planted = self.build / "source/linux-7.3-intree/planted"
        # One of which half can be applied; and then what the tree was made from before, or another.
        for text in PATCH, "It is said what for.\n" + PATCH:
            self.patch.write_text(PATCH + PATCH.replace("planted", "MAINTAINERS"))
            self.ensure("", status=1)
            self.assertEqual(planted.read_text(), "three\nfour\n")
            planted.write_text("half\n")
            self.patch.write_text(text)
            self.ensure("build")
            self.assertEqual(planted.read_text(), "three\nfour\n")

    def test_half_a_build(self):
        """The objects are not those of the old kernel any more, also when the inputs are as they were again."""
        self.build_intree()
        for name in "kernel/main.c", "scripts/kernel-config/host":
            file, old = self.copy / name, (self.copy / name).read_text()
            file.write_text(old + "CONFIG_PLANTED=y\n")
            self.ensure("", status=1, FAKE_FAILURE="yes")
            file.write_text(old)
            self.ensure("build")

    def test_make(self):
        fake = self.fake_kernel("given")
        for path, arguments in (("/below", ["DESTDIR=/below"]), ("", []),
                                ("/modules", ["DESTDIR=/below", "INSTALL_MOD_PATH=/modules"])):
            self.call("make", "-C", "kernel", f"KDIR={fake}", "install", *arguments)
            self.logged(f"below '{path}'")
        updates = self.build / "below/lib/modules/9.9.0/updates"
        updates.mkdir(parents=True)
        for name in ("kvmclock_handover.ko.xz", "other.ko"):
            (updates / name).touch()
        self.call("make", "-C", "kernel", "KDIR=/nowhere", "uninstall", f"DESTDIR={self.build}/below", status=2)
        self.call("make", "-C", "kernel", f"KDIR={fake}", "uninstall", f"DESTDIR={self.build}/below")
        self.assertEqual([file.name for file in updates.iterdir()], ["other.ko"])
        self.call("make", "clean", "KDIR=/nowhere")
        self.logged("")
        self.call("make", "clean", f"KDIR={fake}")
        self.logged("clean")

    def test_blank(self):
        """make takes a path with a blank for two: nothing is installed, made or deleted there."""
        self.copy = self.copy.rename(self.copy.with_name("a tree"))
        makefiles = list(self.copy.rglob("Makefile"))
        self.assertGreater(len(makefiles), 10)
        for command in ["scripts/setup.sh"], *(["make", "-n", "-C", file.parent, "clean"] for file in makefiles):
            said = self.call(*command, status=1 if len(command) == 1 else 2)
            self.assertIn(f"there is a blank in the path of this tree: {self.copy}", said)


if __name__ == "__main__":
    sys.exit(ktap.main())
