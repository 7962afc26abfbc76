#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Does what builds kernels and modules do as it says, after a `make` among the sources and after a build that was
interrupted? In a copy of the tree, with a kernel that consists of a Makefile. Only what Kbuild leaves is seen
with a real kernel, that of the default line."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import kernels  # noqa: E402
import ktap  # noqa: E402
import common  # noqa: E402
from common import NESTED, ROOT, text_of  # noqa: E402

KERNELS = "tests/nested/kernels.py"
LEFT_BY_MAKE = "kch_probed.h", "kvmclock_handover.mod.c", "kvmclock_handover.mod", "Module.symvers", "modules.order"

# A kernel's source, and headers.
FAKE_KERNEL = {
    "Module.symvers": "", "arch/x86/kvm/x86.c": "", "MAINTAINERS": "KVM FOR EVERYBODY\n", "planted": "one\ntwo\n",
    "arch/x86/kvm/Kconfig": "endif # VIRTUALIZATION\n", "arch/x86/kvm/Makefile": "obj-$(CONFIG_KVM_AMD) += kvm-amd.o\n",
    "Makefile": (NESTED / "fake-kernel.mk").read_text(),
}


class Kernels(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.copy = Path(folder.name).resolve() / "tree"
        shutil.copytree(ROOT, self.copy, symlinks=True,
                        ignore=lambda where, names: {"build", ".git"} if Path(where) == ROOT else
                        {name for name in names if name.endswith((".o", ".ko", ".cmd"))})
        for name in LEFT_BY_MAKE:
            (self.copy / "kernel" / name).unlink(missing_ok=True)
        self.build, self.bin, self.log = (self.copy / name for name in ("build", "build/bin", "build/log"))
        self.bin.mkdir(parents=True)
        self.kernel = self.build / "kernels/7.3-intree"
        # Without the options of a make that called this.
        self.environment = {name: value for name, value in os.environ.items() if name not in (
            "KERNEL", "MODULES", "KDIR", "DESTDIR", "INSTALL_MOD_PATH", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        self.environment.update(KCH_BUILD=str(self.build), FAKE_LOG=str(self.log))

    def call(self, *command, status=0, **environment):
        done = subprocess.run([str(word) for word in command], cwd=self.copy, env={**self.environment, **environment},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def ensure(self, *arguments, **options):
        return self.call(KERNELS, "ensure", *(arguments or ["7.3-intree"]), **options)

    def logged(self, text):
        """That, and nothing else since the last time."""
        self.assertEqual(text_of(self.log), text)
        self.log.unlink(missing_ok=True)

    def fake_kernel(self, folder):
        for name, text in FAKE_KERNEL.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    def fake_commands(self, **commands):
        """The environment in which these are other programs."""
        for name, text in commands.items():
            file = self.bin / name.replace("_", "-")
            file.write_text(f"#!/bin/bash\n{text}\n")
            file.chmod(0o755)
        return {"PATH": f"{self.bin}:{os.environ['PATH']}"}

    def ensure_logs(self, text):
        said = self.ensure()
        self.logged(text)
        return said

    @contextlib.contextmanager
    def changed(self, file, more):
        """It has more in it, for a while."""
        old = file.read_text()
        file.write_text(old + more)
        yield
        file.write_text(old)

    def build_intree(self):
        for patch in (self.copy / "patches").glob("*"):
            patch.unlink()
        self.patch = self.copy / "patches/0-planted.patch"
        self.patch.write_text("--- a/planted\n+++ b/planted\n@@ -1,2 +1,2 @@\n-one\n-two\n+three\n+four\n")
        source = self.fake_kernel(self.build / "source/linux-7.3")
        (source / ".package").write_text("linux-source-7.3 1\n")
        self.ensure_logs("build")
        self.assertEqual(self.ensure_logs(""), "")

    # ---- what `make` leaves in kernel/

    def test_artefacts(self):
        """They are no sources of ours: not of a module, which does not write to them either, nor of a patch."""
        headers = kernels.find(*kernels.names("default")).path.resolve() / "headers"
        self.assertTrue((headers / "Module.symvers").exists(), f"fetch it first: {KERNELS} ensure default")
        here = self.copy / "kernel"
        sources = common.source_files(here)
        self.assertEqual(sources, sorted(file.relative_to(here) for file in here.rglob("*") if file.is_file()))
        self.call("make", "-C", here, f"KDIR={headers}", "-j2",
                  *([] if shutil.which("x86_64-linux-gnu-gcc-12") else ["CC=gcc"]))
        self.assertEqual(common.source_files(here), sources)
        left = {name: (here / name).read_bytes() for name in (*LEFT_BY_MAKE, "kvmclock_handover.ko")}
        self.fake_kernel(self.build / "kernels/9.9/headers")
        probed = self.build / "module/9.9/kch_probed.h"
        self.call(KERNELS, "module", "9.9")
        # As it was left by a script that did not know better.
        probed.unlink()
        probed.symlink_to(here / "kch_probed.h")
        self.call(KERNELS, "module", "9.9")
        self.assertEqual(text_of(probed), "another")
        self.assertEqual(left, {name: (here / name).read_bytes() for name in left})
        tree = self.fake_kernel(self.build / "tree")
        self.call("scripts/graft.py", "-l", tree)
        driver = {file.name for file in (tree / "arch/x86/kvm/handover").rglob("*")}
        self.assertLessEqual({"main.c", "record.c", "intree.c", "Kconfig", "Makefile", "probe.sh"}, driver)
        self.assertFalse(driver & {*left, "stock.c", "stock_write.c"})

    def test_artefacts_build_no_kernel(self):
        self.build_intree()
        for name in (*LEFT_BY_MAKE, "main.o", "core/record.o", ".main.o.cmd"):
            (self.copy / "kernel" / name).write_text("made\n")
        self.ensure_logs("")

    # ---- a kernel that has the driver

    def test_inputs(self):
        """It is built anew when one of them has changed, and only then."""
        self.build_intree()
        for name in "kernel/main.c", "kernel/core/record.c", "scripts/graft.py", "scripts/kernel-config/host":
            file = self.copy / name
            file.write_text(file.read_text() + ("CONFIG_PLANTED=y\n" if "config" in name else "\n"))
            self.ensure_logs("build")
        (self.copy / "scripts/kernel-config/host").write_text("# A remark.\n" + file.read_text())
        self.ensure_logs("")
        (self.build / "source/linux-7.3/.package").write_text("linux-source-7.3 2\n")
        self.ensure_logs("build")

    def test_half_a_patch(self):
        self.build_intree()
        planted = self.build / "source/linux-7.3-intree/planted"
        fakes = self.fake_commands(patch=f"sed -i s/one/three/ '{planted}'; exit 1")
        # Another patch, so that the tree is made anew; and then what it was made from before.
        old = self.patch.read_text()
        for text in old, "It is said what for.\n" + old:
            self.patch.write_text("And who.\n" + text)
            self.ensure(status=1, **fakes)
            self.assertEqual(planted.read_text(), "three\ntwo\n")
            self.patch.write_text(text)
            self.ensure()
            self.assertEqual(planted.read_text(), "three\nfour\n")
            self.logged("build")

    def test_half_a_folder(self):
        self.build_intree()
        # Of the folder of a kernel, that goes first.
        fakes = self.fake_commands(rm='for at; do [[ ! -e $at/vmlinuz ]] || { /bin/rm -f "$at/vmlinuz"; exit 1; }; done\n'
                                      'exec /bin/rm "$@"')
        with self.changed(self.copy / "kernel/main.c", "/* changed */\n"):
            self.ensure(status=1, **fakes)
        # Now it is again what the old folder was made from.
        self.ensure()
        self.assertTrue((self.kernel / "vmlinuz").exists())

    def test_half_a_build(self):
        """The objects are not those of the old kernel any more, also when the inputs are as they were again."""
        self.build_intree()
        for name in "kernel/main.c", "scripts/kernel-config/host":
            with self.changed(self.copy / name, "CONFIG_PLANTED=y\n"):
                self.ensure(status=1, **self.fake_commands(nice='[[ $* == *allnoconfig* ]] && exec "${@:3}"; exit 1'))
            self.ensure_logs("build")

    # ---- a kernel that is given

    def test_given(self):
        self.build_intree()
        self.ensure(KDIR="/nowhere")
        self.logged("")
        (self.build / "modules/kernel").mkdir(parents=True)
        (self.copy / "vmlinuz").write_text("")
        given = {"KERNEL": f"{self.copy}/vmlinuz", "MODULES": f"{self.build}/modules", "KDIR": f"{self.build}/given"}
        self.assertIn("Module.symvers", self.ensure(status=1, **given))
        self.fake_kernel(self.build / "given")
        for environment in given, {}:
            self.ensure(**environment)
            self.assertEqual(text_of(self.kernel / "package"), f"given: {self.copy}/vmlinuz")
            self.assertEqual(text_of(self.kernel / "release"), "9.9.0")
        # A mirror that has what is here.
        self.ensure("--update", "7.3-intree", **self.fake_commands(
            apt_get="", apt_cache='case $* in *pkgnames*) echo linux-source-7.3 ;; *) echo "  Candidate: 1" ;; esac'))
        self.assertEqual(text_of(self.kernel / "package"), "linux-source-7.3 1")
        self.logged("build")
        self.assertIn("KERNEL= is one kernel", self.call("tests/nested/run.py", "--build", status=1, **given))
        self.assertFalse((self.build / "kernels/6.1/package").exists())

    # ---- make install, make clean

    def test_make(self):
        fake = self.fake_kernel(self.build / "given")
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
        self.call("make", "clean", f"KDIR={fake}")
        self.logged("clean")
        self.call("make", "clean", "KDIR=/nowhere")
        self.logged("")


if __name__ == "__main__":
    sys.exit(ktap.main())
