# SPDX-License-Identifier: GPL-2.0
"""The initramfs of the emulated host: one uncompressed cpio for all the kernels of a case, with the modules and
the vmlinuz of each, so that each can kexec into each. It need not hold itself: QEMU puts it into a reserved range
of the emulated host's memory, where `initrdmem=` makes the first kernel and every later one find it."""

import gzip
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

import kernels
import kvm_selftests
import qemu_releases
from cases import Case
from common import BUILD, L1, ROOT, Problem, install, make

# Modules that the tests load, besides the handover module; what these depend on comes along.
# msr: for tests that read or write the TSC MSRs of the host.
MODULES = ("kvm_amd", "kvm_intel", "msr")

# Where programs are built, all but those of a part, and what of them.
PROGRAMS = (("userspace",), ("tests/l1/vmm",), ("tests/l1/luo",), ("tests/l1/bench",), ("tests/l1/outside",),
            ("tests/l1/errno", "program"), ("tests/cli", "stock-kvm"))
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


def build_programs() -> None:
    for directory, *targets in PROGRAMS:
        make(ROOT / directory, *targets)


def find_command(name: str) -> Path:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Problem(f"no {name} here: run scripts/setup.sh")
    return Path(found)


class Archive:
    """A cpio of the kind newc. Sorted, no owner, no time: an unchanged tree gives an unchanged file."""

    def __init__(self) -> None:
        self.entries: Dict[str, Tuple[int, bytes]] = {}

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        parent = os.path.dirname(name)
        if parent and parent not in self.entries:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.entries[name] = (mode, data)

    def link(self, name: str, target: str) -> None:
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self.add(name, stat.S_IFREG | mode, data)

    def copy(self, name: str, source: Path) -> None:
        """The file or link, or the folder with all that is in it."""
        if source.is_symlink():
            self.link(name, os.readlink(source))
        elif source.is_dir():
            for entry in source.iterdir():
                self.copy(f"{name}/{entry.name}", entry)
        else:
            self.file(name, source.read_bytes(), stat.S_IMODE(source.stat().st_mode))

    def libraries_of(self, program: Path) -> None:
        """The shared libraries it is linked to. A static program makes ldd fail, and brings nothing."""
        said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"/[^ ]+", said):
            # Ours are in the payload.
            if not library.startswith(f"{BUILD}/") and library[1:] not in self.entries:
                self.copy(library[1:], Path(library).resolve())

    def program(self, name: str, source: Path, strip: bool = False) -> None:
        with tempfile.NamedTemporaryFile() as stripped:
            if strip:
                subprocess.run(["strip", "-o", stripped.name, str(source)], check=True)
            self.file(name, Path(stripped.name if strip else source).read_bytes(), 0o755)
        self.libraries_of(source)

    def bytes(self) -> bytes:
        parts = []
        entries = [*sorted(self.entries.items()), ("TRAILER!!!", (0, b""))]
        for number, (name, (mode, data)) in enumerate(entries, 1):
            fields = (number, mode, 0, 0, 2 if stat.S_ISDIR(mode) else 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
            head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
            for part in (head, data):
                parts += [part, bytes(-len(part) % 4)]
        return b"".join(parts)


def add_base(archive: Archive) -> None:
    busybox = find_command("busybox")
    for folder in "bin sbin usr/bin usr/sbin usr/lib usr/libexec/kch proc sys dev run tmp boot kch/lines".split():
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.copy("bin/busybox", busybox)
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet not in ("busybox", "kexec"):
            archive.link(f"bin/{applet}", "busybox")
    archive.program("sbin/kexec", find_command("kexec"))
    for name, source in (("init", "init"), ("kch/lib.sh", "init-lib.sh"), ("kch/stage.sh", "init-stage.sh")):
        archive.copy(name, L1 / source)
    for folder, root, pattern in PAYLOAD:
        for file in root.glob(pattern):
            if file.is_file() and file.suffix not in (".o", ".d", ".a"):
                archive.copy(f"{folder}/{file.name}", file)
                if os.access(file, os.X_OK):
                    archive.libraries_of(file)


def unpacked(module: Path) -> bytes:
    """As is or decompressed: doing that in the emulated host is slow."""
    data = module.read_bytes()
    if module.suffix == ".zst":
        return subprocess.run(["zstd", "-qdc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return {".xz": lzma.decompress, ".gz": gzip.decompress}.get(module.suffix, bytes)(data)


def depends_of(module: bytes) -> List[str]:
    """What its .modinfo says."""
    found = set(re.findall(rb"(?<![!-~])depends=([!-~]*)\0", module))
    if len(found) != 1:
        raise Problem(f"a kernel module says {len(found)} times what it depends on")
    return [name.replace("-", "_") for name in found.pop().decode().split(",") if name]


def add_kernel(archive: Archive, line: str) -> None:
    """One flat folder of modules and a modules.dep of our own for busybox modprobe."""
    path, release = kernels.find(line).path, kernels.find(line).release
    if not release:
        raise Problem(f"{line}: not fetched yet")
    folder = f"lib/modules/{release}"
    if folder in archive.entries:
        raise Problem(f"{line}: another kernel of this initramfs calls itself {release}, too")
    ours = {file.stem: file for file in path.glob("*.ko")}
    files = {re.sub(r"\.ko.*", "", file.name).replace("-", "_"): file
             for file in (path / "modules/kernel").rglob("*.ko*")}
    files.update(ours)
    builtin = (path / "modules/modules.builtin").read_text().replace("-", "_")
    needs: Dict[str, List[str]] = {}

    def add(name: str) -> None:
        if name in needs or (name not in files and f"/{name}.ko" in builtin):
            return
        if name not in files:
            raise Problem(f"{line}: no module {name}")
        data = unpacked(files[name])
        archive.file(f"{folder}/{name}.ko", data)
        needs[name] = depends_of(data)
        for dependency in needs[name]:
            add(dependency)

    def all_needs(name: str) -> List[str]:
        """modprobe wants all of what a module needs on its line, the deepest last."""
        below = [dependency for dependency in needs[name] if dependency in needs]
        return [*below, *(deeper for dependency in below for deeper in all_needs(dependency))]

    for name in (*MODULES, *ours):
        add(name)
    depends = [f"{name}.ko: {' '.join(f'{below}.ko' for below in dict.fromkeys(all_needs(name)))}\n"
               for name in sorted(needs)]
    archive.file(f"{folder}/modules.dep", "".join(depends).encode())
    archive.copy(f"boot/vmlinuz-{line}", (path / "vmlinuz").resolve())
    archive.file(f"kch/lines/{line}", f"{release}\n".encode())


def empty_qcow2() -> bytes:
    """An image of version 3 with clusters of 64 KB, for snapshots. Of its 512 MB, all in one table, nothing is
    there: header, table of reference counts, counts, and the table of clusters."""
    header = b"QFI\xfb" + b"".join(value.to_bytes(size, "big") for value, size in (
        (3, 4), (0, 8), (0, 4), (16, 4), (512 << 20, 8), (0, 4), (1, 4), (0x30000, 8), (0x10000, 8), (1, 4),
        (0, 4), (0, 8), (0, 8), (0, 8), (0, 8), (4, 4), (104, 4)))
    return b"".join(part.ljust(0x10000, b"\0") for part in (
        header, (0x20000).to_bytes(8, "big"), b"\0\1" * 4, b""))


def add_qemu(archive: Archive, version: str) -> None:
    """QEMU with what it needs, an empty image, and the guest's initramfs. The guest's kernel is that of the host,
    in /boot. Without a version it is the machine's own."""
    make(L1 / "qemu")
    if version:
        qemu = qemu_releases.ensure(version)
        for name in ("run", "root"):
            archive.copy(f"usr/lib/qemu/{name}", qemu / name)
        archive.link("usr/bin/qemu-system-x86_64", "../lib/qemu/run")
    else:
        archive.program("usr/bin/qemu-system-x86_64", find_command("qemu-system-x86_64"), strip=True)
        for rom in FIRMWARE:
            archive.copy(f"usr/share/qemu/{rom}", (Path("/usr/share/qemu") / rom).resolve())
    archive.file("usr/share/qemu/empty.qcow2", empty_qcow2())
    guest = Archive()
    guest.add("dev", stat.S_IFDIR | 0o755)
    for program in (BUILD / "tests/qemu").iterdir():
        if program.name == "guest":
            guest.program("init", program, strip=True)
        elif program.is_file():
            archive.program(f"usr/libexec/kch/{program.name}", program)
    archive.file("boot/guest.cpio", guest.bytes())
    # kvmtool's program is no package of Debian's.
    lkvm = os.environ.get("KCH_LKVM") or shutil.which("lkvm")
    if lkvm:
        archive.program("usr/bin/lkvm", Path(lkvm), strip=True)


def add_selftests(archive: Archive, lines: List[str]) -> None:
    """The KVM selftests of the kernel's source, and ours, of the versions that the lines name."""
    for line in lines:
        version = kernels.find(line).version
        # Another has no library of its own here: it is a host to go to or to come from.
        if version not in kernels.names("selftests"):
            continue
        made = kvm_selftests.build(version)
        for program in [*(made / "kernel").iterdir(), *(made / "ours").iterdir()]:
            if os.access(program, os.X_OK):
                archive.program(f"usr/libexec/kch/selftests/{version}/{program.parent.name}/{program.name}", program)
    # What the C library looks for when a thread is cancelled.
    said = subprocess.run(["gcc", "-print-file-name=libgcc_s.so.1"], capture_output=True, text=True, check=True)
    archive.copy("usr/lib/libgcc_s.so.1", Path(said.stdout.strip()).resolve())


def build(case: Case) -> None:
    """The initramfs of the case, and of all that have the same kernels and part."""
    archive = Archive()
    add_base(archive)
    for line in case.lines:
        add_kernel(archive, line)
    part, _, version = case.param("part").partition("-")
    if part == "qemu":
        add_qemu(archive, version)
    elif part == "selftests":
        add_selftests(archive, case.lines)
    elif part:
        raise Problem(f"{case.name}: part={part}: neither qemu nor selftests")
    install(case.initramfs, archive.bytes())
