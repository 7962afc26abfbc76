# SPDX-License-Identifier: GPL-2.0
"""The initramfs of the emulated host: one uncompressed cpio for all the kernels of a case, with the modules and
the vmlinuz of each, so that each can kexec into each. It need not hold itself: QEMU puts it into a reserved range
of the emulated host's memory, where `initrdmem=` makes the first kernel and every later one find it."""

import lzma
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Iterable, List

import chrony
import kernels
import qemu_releases
import secure_host
import systemd_root
from cases import Case
from common import BUILD, L1, ROOT, Problem, install, locked, make, output_of, remove

# Modules that the tests load, besides the handover module; what these depend on comes along.
# msr: for tests that read or write the TSC MSRs of the host.
# nd_e820, nd_pmem: guest memory where there is no /dev/mem. efivarfs: for mokutil.
MODULES = ("kvm_amd", "kvm_intel", "msr")
MODULES_SECURE = ("nd_e820", "nd_pmem", "efivarfs")

# Where programs are built, all but those of a part, and what of them.
PROGRAMS = (("userspace",), ("tests/l1/vmm",), ("tests/l1/luo",), ("tests/l1/bench",), ("tests/l1/outside",),
            ("tests/l1/fuzz",), ("tests/l1/errno",), ("tests/cli", "stock-kvm"))
# What goes in besides busybox, kexec and the kernel modules, when it is there: folder, and where it is. Without a
# match a case that needs the program fails, or skips and says so.
PAYLOAD = (
    *(("usr/libexec/kch", BUILD / "tests", f"{folder}/*") for folder in ("vmm", "nested", "luo", "outside")),
    ("usr/libexec/kch", BUILD, "tests/cli/stock-kvm"),
    ("usr/sbin", BUILD, "userspace/kvmclockctl"),
    ("usr/lib", BUILD, "userspace/libkvmclock-handover.so*"),
    ("kch/cases", L1, "cases/*.sh"),
)
FIRMWARE = ("qboot.rom", "bios-microvm.bin", "kvmvapic.bin", "linuxboot_dma.bin")
# In Debian 13 SeaBIOS's are only where that has them.
FIRMWARE_FOLDERS = "/usr/share/qemu", "/usr/share/seabios"


def build_programs() -> None:
    for directory, *targets in PROGRAMS:
        make(ROOT / directory, *targets)


def find_command(name: str) -> Path:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Problem(f"no {name} here: run scripts/setup.sh")
    return Path(found)


def put(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def copy(source: Path, target: Path) -> None:
    """The file or link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target, follow_symlinks=False)


def add_libraries(root: Path, program: Path) -> None:
    """The shared libraries it is linked to. A static program makes ldd fail, and brings nothing."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for library in re.findall(r"/[^ ]+", said):
        # Ours are in the payload.
        if not library.startswith(f"{BUILD}/") and not (root / library[1:]).exists():
            copy(Path(library).resolve(), root / library[1:])


def add_program(root: Path, name: str, source: Path, strip: bool = False) -> None:
    copy(source.resolve(), root / name)
    if strip:
        output_of("strip", root / name)
    (root / name).chmod(0o755)
    add_libraries(root, source)


def pack(root: Path) -> bytes:
    """A cpio, sorted, without owners and times: an unchanged tree gives an unchanged file."""
    files = sorted(root.rglob("*"))
    for file in files:
        if file.is_dir() and not file.is_symlink():
            file.chmod(0o755)
        os.utime(file, (0, 0), follow_symlinks=False)
    names = b"\0".join(bytes(file.relative_to(root)) for file in files)
    return subprocess.run(["cpio", "--quiet", "-0o", "-H", "newc", "--reproducible", "-R", "0:0"], cwd=root,
                          input=names, stdout=subprocess.PIPE, check=True).stdout


def add_base(root: Path) -> None:
    busybox = find_command("busybox")
    for folder in "bin sbin usr/bin usr/sbin usr/lib usr/libexec/kch proc sys dev run tmp boot kch/lines".split():
        (root / folder).mkdir(parents=True)
    copy(busybox, root / "bin/busybox")
    for applet in set(output_of(busybox, "--list").split()) - {"busybox", "kexec"}:
        (root / "bin" / applet).symlink_to("busybox")
    add_program(root, "sbin/kexec", find_command("kexec"))
    copy(L1 / "init", root / "init")


def add_tests(root: Path) -> None:
    for name, source in (("kch/lib.sh", "init-lib.sh"), ("kch/stage.sh", "init-stage.sh")):
        copy(L1 / source, root / name)
    for folder, base, pattern in PAYLOAD:
        for file in base.glob(pattern):
            if file.is_file() and file.suffix not in (".o", ".d", ".a"):
                copy(file, root / folder / file.name)
                if os.access(file, os.X_OK):
                    add_libraries(root, file)


def add_kernel(root: Path, line: str, more: Iterable[str] = ()) -> None:
    """One flat folder of modules: ours, those that are loaded, and what these depend on."""
    path, release = kernels.find(line).path, kernels.find(line).release
    if not release:
        raise Problem(f"{line}: not fetched yet")
    folder, modules = root / "lib/modules" / release, (path / "modules").resolve()
    if folder.exists():
        raise Problem(f"{line}: another kernel of this initramfs calls itself {release}, too")
    if not (modules / "modules.dep").exists():
        output_of(find_command("depmod"), "-b", modules.parents[2], release)
    for name in (*MODULES, *more):
        shown = output_of(find_command("modprobe"), "-C", "/dev/null", "-d", modules.parents[2], "-S", release,
                          "--show-depends", name)
        for file in map(Path, re.findall(r"^insmod (\S+)", shown, re.M)):
            # Decompressing is slow in the emulated host.
            data = file.read_bytes()
            put(folder / f"{file.name.partition('.')[0].replace('-', '_')}.ko",
                lzma.decompress(data) if file.suffix == ".xz" else data)
    for file in path.glob("*.ko"):
        copy(file, folder / file.name)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (folder / name).touch()
    output_of(find_command("depmod"), "-b", root, release)
    # The emulated host's modprobe needs no other: busybox's the first, kmod's the second.
    remove(*(set(folder.glob("modules.*")) - {folder / "modules.dep", folder / "modules.dep.bin"}))
    copy((path / "vmlinuz").resolve(), root / f"boot/vmlinuz-{line}")
    put(root / "kch/lines" / line, f"{release}\n".encode())


def add_qemu(root: Path, version: str, line: str) -> None:
    """QEMU with what it needs, an empty image, and the guest's initramfs. The guest's kernel, if it is not that of the
    host, goes to /boot, too. Without a version it is the machine's own QEMU."""
    make(L1 / "qemu")
    if line:
        kernels.ensure(line)
        copy((kernels.find(line).path / "vmlinuz").resolve(), root / f"boot/vmlinuz-{line}")
    if version:
        qemu = qemu_releases.ensure(version)
        copy(qemu / "run", root / "usr/lib/qemu/run")
        shutil.copytree(qemu / "root", root / "usr/lib/qemu/root", symlinks=True)
        (root / "usr/bin/qemu-system-x86_64").symlink_to("../lib/qemu/run")
    else:
        add_program(root, "usr/bin/qemu-system-x86_64", find_command("qemu-system-x86_64"), strip=True)
        for rom in FIRMWARE:
            found = next(filter(Path.exists, (Path(folder) / rom for folder in FIRMWARE_FOLDERS)), Path(rom))
            copy(found.resolve(), root / "usr/share/qemu" / rom)
    with tempfile.TemporaryDirectory(prefix=".initramfs.", dir=BUILD) as folder:
        guest = Path(folder)
        (guest / "dev").mkdir()
        for program in (BUILD / "tests/qemu").iterdir():
            if program.name.startswith("guest"):
                # The kernel's first program, if it is told no other (rdinit=).
                add_program(guest, "init" if program.name == "guest" else program.name, program, strip=True)
            elif program.name == "empty.qcow2":
                copy(program, root / "usr/share/qemu" / program.name)
            elif program.is_file():
                add_program(root, f"usr/libexec/kch/{program.name}", program)
        put(root / "boot/guest.cpio", pack(guest))
    # kvmtool's program is no package of Debian's.
    lkvm = os.environ.get("KCH_LKVM") or shutil.which("lkvm")
    if lkvm:
        add_program(root, "usr/bin/lkvm", Path(lkvm), strip=True)


def add_chrony(root: Path, line: str) -> None:
    """The initramfs of a guest with chrony, and what watches its vmclock page."""
    make(ROOT / "userspace/guest")
    programs, modules = chrony.ensure(), (kernels.find(line).path / "modules").resolve()
    with tempfile.TemporaryDirectory(prefix=".initramfs.", dir=BUILD) as folder:
        guest = Path(folder)
        copy(L1 / "qemu/chrony-init", guest / "init")
        copy(find_command("busybox"), guest / "bin/busybox")
        (guest / "bin/sh").symlink_to("busybox")
        for name in chrony.PROGRAMS:
            copy(programs / name, guest / name)
        shutil.copytree(programs / "lib", guest / "lib")
        copy(programs / "ld.so", guest / "lib64/ld-linux-x86-64.so.2")
        # With chrony's C library.
        copy(BUILD / "guest/kvmclock-guest-watch", guest / "usr/sbin/kvmclock-guest-watch")
        copy(BUILD / "tests/qemu/kch-phc", guest / "usr/sbin/kch-phc")
        put(guest / "etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        put(guest / "ptp_vmclock.ko", lzma.decompress((modules / "kernel/drivers/ptp/ptp_vmclock.ko.xz").read_bytes()))
        (guest / "dev").mkdir()
        put(root / "boot/chrony.cpio", pack(guest))


def add_selftests(root: Path, lines: List[str]) -> None:
    """The KVM selftests of the kernel's source, and ours, of the versions that the lines name."""
    # Another line has no library of its own here: it is a host to go to or to come from.
    for line in (kernels.find(name) for name in lines if kernels.find(name).version in kernels.names("selftests")):
        made = BUILD / "selftests" / line.version
        with locked(BUILD / f"selftests/.{line.version}.lock"):
            make(L1 / "selftests", f"TREE={kernels.source(line)}", f"LIBRARY={made}")
        for program in [*(made / "kernel").iterdir(), *(made / "ours").iterdir()]:
            folder = f"usr/libexec/kch/selftests/{line.version}/{program.parent.name}"
            add_program(root, f"{folder}/{program.name}", program)
    # What the C library looks for when a thread is cancelled.
    copy(Path(output_of("gcc", "-print-file-name=libgcc_s.so.1").strip()).resolve(), root / "usr/lib/libgcc_s.so.1")


def add_signed(root: Path, line: str) -> None:
    """Our module, signed with the key that the machine trusts, or is to trust; kch_unsigned; kch_other_key, signed with
    another. mokutil, and the key's certificate."""
    add_program(root, "usr/bin/mokutil", find_command("mokutil"))
    copy(secure_host.FOLDER / "mok.der", root / "kch/mok.der")
    module = next(root.glob(f"lib/modules/*/{kernels.MODULE}.ko"))
    for name, key in (("kch_unsigned", ""), ("kch_other_key", "other"), (kernels.MODULE, "mok")):
        copy_of = module.with_name(f"{name}.ko")
        if copy_of != module:
            copy(module, copy_of)
        if key:
            secure_host.sign(line, copy_of, key)


def build(case: Case) -> None:
    """The initramfs of the case, and of all that have the same kernels and part."""
    part, _, version = case.param("part").partition("-")
    with tempfile.TemporaryDirectory(prefix=".initramfs.", dir=BUILD) as folder:
        root = Path(folder)
        if part == "systemd":
            systemd_root.unpack(root)
        else:
            add_base(root)
        add_tests(root)
        for line in case.lines:
            add_kernel(root, line, MODULES_SECURE if part == "secure" else ())
        if part in ("qemu", "chrony"):
            add_qemu(root, version, case.param("guest"))
        if part == "chrony":
            add_chrony(root, case.param("guest"))
        elif part == "selftests":
            add_selftests(root, case.lines)
        elif part == "secure":
            add_signed(root, case.host)
        install(case.initramfs, pack(root))
