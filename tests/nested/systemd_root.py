# SPDX-License-Identifier: GPL-2.0
"""The root of a host with a systemd that knows of live updates, part=systemd: a minimal Debian of the suite that has it,
in memory. What runs in it is tests/l1/systemd. build/host/systemd.tar is made once; remove it for newer packages."""

import shutil
from pathlib import Path

import apt
from common import BUILD, L1, ROOT, Problem, locked, output_of, remove, run, say

TAR = BUILD / "host/systemd.tar"
SUITE, PACKAGES = "forky", ("dbus", "kexec-tools", "kmod", "systemd-sysv", "udev")
# What no program of a case reads; each boot unpacks the rest.
LEFT_OUT = ("usr/share/doc", "usr/share/i18n", "usr/share/info", "usr/share/locale", "usr/share/man", "usr/share/perl5",
            "usr/share/zoneinfo", "usr/lib/udev/hwdb.bin", "usr/lib/udev/hwdb.d", "usr/lib/x86_64-linux-gnu/gconv",
            "usr/lib/x86_64-linux-gnu/perl-base", "var/cache", "var/lib/apt", "var/lib/dpkg")
# What takes seconds of each boot, and does nothing here.
MASKED = ("getty@.service", "modprobe@.service", "serial-getty@.service", "systemd-logind.service",
          "systemd-logind-varlink.socket", "systemd-udev-trigger.service")


def make_tar() -> None:
    say(f"making a minimal root of Debian {SUITE}: a minute, once")
    new = TAR.with_name("systemd.new.tar")
    with apt.having("systemd", SUITE) as (system, _, version):
        # Not in a home, where the users of a namespace, which a user who is not root makes it in, may not go.
        run(["env", "TMPDIR=/var/tmp", "mmdebstrap", "--variant=minbase", "--dpkgopt=force-unsafe-io", *apt.settings(),
             f"--include={','.join(PACKAGES)}", SUITE, new, *system.lines], TAR.parent / "systemd.log", "mmdebstrap")
        new.rename(TAR)
    say(f"took systemd {version}")


def unpack(root: Path) -> None:
    """With the units of the case, which start by themselves."""
    if not shutil.which("mmdebstrap"):
        raise Problem("no mmdebstrap here: run scripts/setup.sh")
    with locked(TAR.parent / ".systemd.lock"):
        if not TAR.exists():
            make_tar()
    output_of("tar", "-C", root, "--exclude=./dev/*", "-xf", TAR)
    remove(*(root / name for name in LEFT_OUT))
    shutil.copytree(L1 / "systemd", root / "kch/systemd")
    units = root / "etc/systemd/system"
    shutil.copy(ROOT / "userspace/host/vmm.service", units)
    for unit in (root / "kch/systemd").glob("*.service"):
        unit.rename(units / unit.name)
    (units / "vmm.service.d").mkdir()
    (root / "kch/systemd/vmm.conf").rename(units / "vmm.service.d/kch.conf")
    (root / "etc/systemd/system-generators").mkdir(exist_ok=True)
    (root / "etc/systemd/system-generators/kch").symlink_to("/kch/systemd/generator.sh")
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for name in "kch-agent", "kch-case", "kch-stopped", "vmm":
        (wants / f"{name}.service").symlink_to(f"../{name}.service")
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    (root / "etc/fstab").write_text("")
    (root / "etc/hostname").write_text("host\n")
