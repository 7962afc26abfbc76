# SPDX-License-Identifier: GPL-2.0
"""The emulated host with Secure Boot, machine=secure: OVMF, and shim, GRUB and the kernel of Debian's, signed as they are.
The firmware is as `mokutil --import` and the reboot after it leave it: a key made here is in its MOK list, unless
enrolled=no. With enrolled=ask, who sits at the console presses the keys that MokManager waits for. In build/secure-boot/:

  root/         the packages, unpacked
  mok.key mok.der, other.key other.der     two keys, as DKMS makes its own, and their certificates"""

import contextlib
import json
import re
import struct
import subprocess
import threading
import time
import uuid
from pathlib import Path
from typing import List

import apt
import kernels
from common import BUILD, locked, output_of, remove, run, text_of
from machines import Qemu

FOLDER = BUILD / "secure-boot"
ROOT = FOLDER / "root"
PACKAGES = "shim-signed", "shim-helpers-amd64-signed", "ovmf", "grub-efi-amd64-signed"
FIRMWARE = ROOT / "usr/share/OVMF"
# Where a firmware and Debian's GRUB look for them on the disc.
DISC = {"EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
        "EFI/BOOT/mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
        "EFI/BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"}
# What MokManager says on the console, and the keys that are then pressed.
MOK_PASSWORD = "12345678"
MOK_KEYS = (("Press any key to perform MOK management", ["ret"]), ("Enroll MOK", ["down", "ret"]),
            ("View key 0", ["down", "ret"]), ("Enroll the key", ["down", "ret"]), ("Password:", [*MOK_PASSWORD, "ret"]),
            ("Reboot", ["ret"]))
# It draws, with these of the terminal.
MOVES = re.compile("\x1b\\[[0-9;]*[A-Za-z]")
# Of UEFI's "X.509 certificate" in a signature list; of shim's variables.
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
SHIM = uuid.UUID("605dab50-e046-4300-abb6-3dd810dd8b23").bytes_le
# A variable of OVMF's: it is valid; it stays, and is for the time before the kernel.
VARIABLE = struct.Struct("<HBBIQ16sIII16s")
VALID, ATTRIBUTES = 0x3f, 3


def build() -> None:
    """What is not there yet."""
    with locked(FOLDER / ".lock"):
        if not all((ROOT / file).exists() for file in DISC.values()):
            with apt.having(PACKAGES[0], kernels.find("6.1").suite) as (system, *_):
                system.unpack(FOLDER / "new", *PACKAGES)
            remove(ROOT)
            (FOLDER / "new").rename(ROOT)
        for name in "mok", "other":
            if not (FOLDER / f"{name}.der").exists():
                run(["openssl", "req", "-new", "-x509", "-nodes", "-days", "36500", "-newkey", "rsa:2048",
                     "-subj", f"/CN=kvmclock-handover test key {name}", "-keyout", FOLDER / f"{name}.key",
                     "-outform", "DER", "-out", FOLDER / f"{name}.der"], FOLDER / "openssl.log", "making a key")


def sign(line: str, module: Path, key: str) -> None:
    """As DKMS does it, with the program that is in the headers of Debian's kernels."""
    output_of(kernels.find(line).path / "headers/scripts/sign-file", "sha256", FOLDER / f"{key}.key",
              FOLDER / f"{key}.der", module)


def with_mok(store: bytes, certificate: bytes) -> bytes:
    """A variable store of OVMF's, with shim's list of keys that the machine's owner trusts added."""
    name = "MokList\0".encode("utf-16-le")
    entry = SHIM + certificate
    data = X509 + struct.pack("<III", 28 + len(entry), 0, len(entry)) + entry
    new = VARIABLE.pack(0x55aa, VALID, 0, ATTRIBUTES, 0, bytes(16), 0, len(name), len(data), SHIM) + name + data
    # Behind the headers of the volume and of the store, and behind the last that is there.
    at = struct.unpack_from("<H", store, 48)[0] + 28
    while store[at:at + 2] == b"\xaa\x55":
        at += VARIABLE.size + sum(VARIABLE.unpack_from(store, at)[7:9]) + 3 & ~3
    return store[:at] + new + store[at + len(new):]


class SecureHost(Qemu):
    """The guests' memory is persistent memory to the kernel: it has /dev/pmem0 of it, for it gives nobody /dev/mem."""

    def cmdline(self) -> str:
        address, size = self.guest
        return super().cmdline().replace(f"memmap={size:#x}${address:#x}", f"memmap={size:#x}!{address:#x}")

    def boot(self) -> List[str]:
        disc = self.dir / "esp"
        for name, source in {**{name: ROOT / file for name, file in DISC.items()}, "vmlinuz": self.kernel}.items():
            (disc / name).parent.mkdir(parents=True, exist_ok=True)
            (disc / name).write_bytes(source.read_bytes())
        (disc / "EFI/debian").mkdir()
        words = " ".join(f"'{word}'" for word in self.cmdline().split())
        (disc / "EFI/debian/grub.cfg").write_text(f"linux /vmlinuz {words}\nboot\n")
        store = (FIRMWARE / "OVMF_VARS_4M.ms.fd").read_bytes()
        if self.case.param("enrolled", "yes") == "yes":
            store = with_mok(store, (FOLDER / "mok.der").read_bytes())
        (self.dir / "vars.fd").write_bytes(store)
        return ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
                "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.secboot.fd",
                "-drive", f"if=pflash,format=raw,unit=1,file={self.dir}/vars.fd",
                "-drive", f"file=fat:{disc},format=raw,if=virtio,readonly=on"]

    def start(self) -> subprocess.Popen:
        process = super().start()
        if self.case.param("enrolled") == "ask":
            threading.Thread(target=self.press_keys, args=(process,), daemon=True).start()
        return process

    def press_keys(self, process: subprocess.Popen) -> None:
        at = 0
        for said, keys in MOK_KEYS:
            text = ""
            while process.poll() is None and said not in text[at:]:
                time.sleep(0.2)
                text = MOVES.sub("", text_of(self.dir / "console.log"))
            at = text.find(said, at) + len(said)
            for key in keys:
                time.sleep(0.5)
                command = {"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": key}]}}
                # The machine may have ended.
                with contextlib.suppress(OSError):
                    process.stdin.write(json.dumps(command).encode() + b"\n")
