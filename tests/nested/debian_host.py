# SPDX-License-Identifier: GPL-2.0
"""The Debian host, machine=debian: Debian 13 on a disc that outlives the kexec, with systemd, libvirt, QEMU and kernels
of Debian's own, and with our packages, installed as anybody does. What runs in it is tests/l1/host. In build/host/:

  root.tar   the root without us, made once by mmdebstrap; remove it for newer packages
  disc.img   the same with our packages; each case has an overlay of its own, which goes with it
  vmlinuz-LINE initrd.img-LINE   of that disc, for the first boot
  recipe     a number for what the disc was made of
  case.tar   the second disc, as it is: what runs the case"""

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import List, Optional

import apt
import image
from cases import Case
from common import BUILD, L1, ROOT, digest_of, install, locked, make, output_of, run, say, text_of
from machines import REGION, Qemu

HOST = BUILD / "host"
RELEASE = "trixie"
VMCLOCK = sum(REGION)
LINES = "6.12", "7.3"
PACKAGES = ("apparmor", "dbus", "dkms", "e2fsprogs", "initramfs-tools", "kexec-tools", "kmod", "libjson-c5",
            "libpam-systemd", "libsmartcols1", "libvirt-clients", "libvirt-daemon-driver-qemu", "libvirt-daemon-system",
            "openssl", "procps", "qemu-system-x86", "systemd-sysv", "udev")
# For the case; the guest's initramfs is made.
PROGRAMS = "tests/qemu/kch-qemu-analyse", "tests/vmm/kch-host-tsc"
# With /proc and /dev of its own, which go with the last process; nothing is started.
ENTER = """mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"
printf '#!/bin/sh\\nexit 101\\n' >"$0/usr/sbin/policy-rc.d"; chmod +x "$0/usr/sbin/policy-rc.d"
chroot "$0" sh /kch/set-up.sh; rm "$0/usr/sbin/policy-rc.d" """


def make_root() -> None:
    say("making a root of Debian 13 with libvirt, QEMU and two kernels: some minutes, once")
    kernels = [f"linux-{what}-{line}.*+deb13-cloud-amd64" for line in LINES for what in ("image", "headers")]
    with apt.having(kernels[0], RELEASE, f"{RELEASE}-backports") as (system, *_):
        include = [*PACKAGES, *(system.newest(pattern)[0] for pattern in kernels), f"linux-base/{RELEASE}-backports"]
        new = HOST / "new.tar"
        run(["env", f"TMPDIR={HOST}", "mmdebstrap", "--variant=minbase", "--dpkgopt=force-unsafe-io", *apt.settings(),
             f"--include={','.join(include)}", RELEASE, new, *system.lines], HOST / "root.log", "mmdebstrap")
        new.rename(HOST / "root.tar")


def make_disc() -> None:
    run([ROOT / "scripts/packages.py"], HOST / "packages.log", "packages")
    with tempfile.TemporaryDirectory(dir=HOST, prefix=".root.") as folder:
        root = Path(folder)
        root.chmod(0o755)
        output_of("tar", "-C", root, "--exclude=./dev/*", "-xf", HOST / "root.tar")
        shutil.copytree(L1 / "host", root / "kch")
        for name in "kvmclock-handover", "kvmclock-handover-dkms", "kvmclock-guest":
            package, = (BUILD / "packages").glob(f"{name}_*.deb")
            shutil.copy(package, root / "kch")
        run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", ENTER, root], HOST / "set-up.log",
            "our packages, with DKMS for two kernels")
        for line in LINES:
            for name in "vmlinuz", "initrd.img":
                found, = root.glob(f"boot/{name}-{line}[.-]*")
                install(HOST / f"{name}-{line}", found.read_bytes())
        new = HOST / "new.img"
        new.unlink(missing_ok=True)
        run(["mkfs.ext4", "-q", "-d", root, new, "4G"], HOST / "mkfs.log", "mkfs.ext4")
        new.rename(HOST / "disc.img")


def make_case() -> None:
    make(L1 / "qemu")
    image.build_programs()
    with tempfile.TemporaryDirectory(dir=HOST) as folder:
        work, guest = Path(folder) / "kch", Path(folder) / "guest"
        shutil.copytree(L1 / "host", work)
        for file in L1 / "init-lib.sh", *(BUILD / name for name in PROGRAMS):
            shutil.copy(file, work)
        (guest / "dev").mkdir(parents=True)
        image.add_program(guest, "init", BUILD / "tests/qemu/guest", strip=True)
        (work / "guest.cpio").write_bytes(image.pack(guest))
        new = HOST / "new.tar"
        output_of("tar", "-C", work, "-cf", new, ".")
        # A host that runs keeps the old one.
        new.rename(HOST / "case.tar")


def build() -> None:
    """The discs. The large one only if it is not there, or what is in it has changed."""
    with locked(HOST / ".lock"):
        if not (HOST / "root.tar").exists():
            make_root()
        recipe = digest_of(*(ROOT / name for name in ("debian", "kernel", "userspace", "scripts/packages.py")),
                           Path(__file__), L1 / "host/set-up.sh", *L1.glob("host/*.service"))
        recipe += f" {(HOST / 'root.tar').stat().st_mtime_ns}"
        if text_of(HOST / "recipe") != recipe:
            (HOST / "recipe").unlink(missing_ok=True)
            make_disc()
            (HOST / "recipe").write_text(recipe)
        make_case()


class DebianHost(Qemu):
    """One CPU, as a Linux guest needs it, see qemu.sh."""

    def __init__(self, case: Case, directory: Path):
        self.case, self.dir, self.age_days = case, directory, ""
        (directory / "machine").write_text("qemu\n")

    @classmethod
    def unusable(cls) -> Optional[str]:
        missing = [tool for tool in ("mmdebstrap", "mkfs.ext4", "dpkg-buildpackage")
                   if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
        if missing:
            return f"no {missing[0]} here: run scripts/setup.sh"
        if os.getuid():
            return "a root is made only as root"
        mounts = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL, check=False)
        return "a root is made in namespaces, and there are none here" if mounts.returncode else None

    def cmdline(self) -> str:
        address, size = REGION
        words = ["root=/dev/vda", "rw", "console=ttyS0,115200", "nohz=off", "highres=off", "tsc=reliable",
                 "no_timer_check", "panic=-1", "panic_on_warn=1", f"memmap={size:#x}${address:#x}",
                 f"tsc_early_khz={self.tsc_khz}", "hpet=disable", "pmtmr=0", f"kch.tsc_khz={self.tsc_khz}",
                 f"kch.host={self.case.host}", f"kch.next={self.case.next}"]
        if self.case.param("vmclock"):
            words += [f"memmap=4K${VMCLOCK:#x}", f"kch.vmclock_addr={VMCLOCK:#x}"]
        if self.case.param("handover") != "no" and not self.case.param("options"):
            # On a busy machine the kexec of this one may take minutes.
            words += [f"kvmclock_handover.region={address:#x},{size:#x}", "kvmclock_handover.kexec_seconds_max=900"]
        return " ".join(words + [word[1:] if word[0] == "+" else f"kch.{word}" for word in self.case.params.split()])

    def vmclock(self) -> List[str]:
        """What a hypervisor with a vmclock page has: the page, which says nothing of time and is not disrupted, and an
        ACPI device that says where it is."""
        (self.dir / "vmclock").write_bytes(struct.pack("<4sIHBxIQ", b"VCLK", 4096, 1, 0xff, 0, 1).ljust(4096, b"\0"))
        # Scope (\_SB) { Device (VCLK) { Name (_HID, "AMZNC10C") Name (_CRS, ResourceTemplate () { Memory32Fixed }) } }
        (self.dir / "vmclock.aml").write_bytes(
            b"\x10\x33\\_SB_\x5b\x82\x2bVCLK\x08_HID\x0dAMZNC10C\0\x08_CRS\x11\x11\x0a\x0e\x86\x09\0\x01" +
            struct.pack("<II", VMCLOCK, 4096) + b"\x79\0")
        return ["-device", f"loader,file={self.dir}/vmclock,addr={VMCLOCK:#x},force-raw=on",
                "-acpitable", f"sig=SSDT,data={self.dir}/vmclock.aml"]

    def arguments(self) -> List[str]:
        line = self.case.host
        return ["env", f"TMPDIR={HOST}", "qemu-system-x86_64", "-accel", "tcg,thread=single", "-machine", "q35",
                "-cpu", self.cpu, "-smp", "1", "-m", self.case.param("mem", "3072"), "-nodefaults",
                "-no-user-config", "-no-reboot", "-display", "none", "-uuid", "6b636821-7465-4573-8174-6d616368696e",
                "-drive", f"file={HOST}/disc.img,if=virtio,format=raw,snapshot=on",
                "-drive", f"file={HOST}/case.tar,if=virtio,format=raw,readonly=on",
                "-kernel", f"{HOST}/vmlinuz-{line}", "-initrd", f"{HOST}/initrd.img-{line}",
                "-append", self.cmdline(), *(self.vmclock() if self.case.param("vmclock") else [])]
