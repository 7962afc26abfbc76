# SPDX-License-Identifier: GPL-2.0
"""The emulated hosts: QEMU TCG, an AMD machine with two CPUs and no TSC scaling; and Bochs, an Intel machine
with one CPU, EPT and TSC scaling. What they share is the layout of the physical memory that outlives the
kexecs, the command line of the first kernel, and that each dies with the runner."""

import os
import re
import shlex
import shutil
import string
import struct
import subprocess
from pathlib import Path
from typing import List, Optional

import kernels
from cases import Case
from common import LOGS, NESTED, Problem, locked, make, output_of

REGION = (0x30000000, 0x100000)
MS_PER_DAY = 86400000
# Self tests of the kernel that take half a second of each boot under emulation and have nothing
# to do with clocks: the jitter entropy generator's, and checks of BPF type information.
INITCALLS_SKIPPED = "jent_mod_init,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init"


def dying(*command) -> List[str]:
    return ["setpriv", "--pdeathsig", "KILL", *map(str, command)]


def limited(seconds: int, *command) -> List[str]:
    """The command with a time limit, so that it dies with us however we die: the limit's process when this
    one does, the command when the limit's process does. Its status is 124 or 137 at the limit."""
    return ["setpriv", "--pdeathsig", "TERM", "timeout", "-k", "5", str(seconds), *dying(*command)]


class Machine:
    """The emulated host of one case. What it says goes to files in the case's folder: its first serial port to
    console.log, its second to verdict.log.

    Each kind has tsc_khz, the TSC frequency that it will have; words(), what its kernels need on their command
    line; command(), the emulator's, which also writes the files that it needs; and unusable(), why it cannot be
    used here, if it cannot."""

    # Where what the emulator itself says goes to, and what is said to it.
    output, errors, qmp = "screen.log", "screen.log", b""

    def __init__(self, case: Case, directory: Path):
        self.case, self.dir, self.age_days = case, directory, case.param("age")
        # The ranges for guest memory and for the initramfs, address and size, are hidden from every kernel by
        # memmap=. A kernel with KASLR keeps clear of four such ranges at most. mem_min is in MB. With part=, a
        # program as large as QEMU is in the initramfs, and a guest as large as Linux.
        self.guest, self.initramfs, self.mem_min = (
            ((0x40000000, 0x10000000), (0x50000000, 0x10000000), 2048) if case.param("part") else
            ((0x31000000, 0x4000000), (0x36000000, 0x4000000), 1024))
        if not case.initramfs.exists():
            raise Problem(f"{case.initramfs} is not there; run without -n")
        self.kernel = kernels.find(case.host).path / "vmlinuz"
        (directory / "machine").write_text(f"{case.machine}\n")

    @classmethod
    def unusable(cls) -> Optional[str]:
        return None

    def first_tsc(self) -> bytes:
        """What the TSC of a host that has been up for long starts with."""
        return struct.pack(">Q", (int(self.age_days) + 1) * MS_PER_DAY * self.tsc_khz)

    def cmdline(self) -> str:
        """The first kernel's. KEY=VALUE of the case goes there as kch.KEY=VALUE, +WORD as WORD."""
        case, off_khz = self.case, self.case.param("early_off_khz")
        # Told the frequency, and nothing to measure it with. Measured under emulation on a busy machine it
        # may be anything; a case that wants that says calibrate=yes. early_off_khz=N: told it wrong by
        # N kHz, which the refinement puts right.
        words = [f"tsc_early_khz={self.tsc_khz + int(off_khz or 0)}"]
        if not off_khz:
            words = [] if case.param("calibrate") == "yes" else [*words, "hpet=disable", "pmtmr=0"]
        # tsc=reliable: no watchdog that finds the emulated HPET at odds with the TSC.
        # no_timer_check: the kernel counts timer interrupts for some ms, of which an emulator on a busy
        # machine gives none, and panics.
        # panic=-1: a panic resets at once, which ends the machine. panic_on_warn: no verdict after a warning.
        words += ["console=ttyS0,115200", "tsc=reliable", "no_timer_check", "panic=-1", "panic_on_warn=1",
                  f"initcall_blacklist={INITCALLS_SKIPPED}"]
        for name, (address, size) in (("guest", self.guest), ("region", REGION)):
            words += [f"memmap={size:#x}${address:#x}", f"kch.{name}_addr={address:#x}", f"kch.{name}_size={size:#x}"]
        words += [f"kch.host={case.host}", f"kch.next={case.next}", f"kch.script={case.script}", "kch.stage=0"]
        params = case.params.split()
        return " ".join(words + self.words() + [word[1:] if word[0] == "+" else f"kch.{word}" for word in params])

    def start(self) -> subprocess.Popen:
        command = self.command()
        (self.dir / "command").write_text(shlex.join(command))
        with open(self.dir / self.output, "wb") as output, open(self.dir / self.errors, "ab") as errors:
            process = subprocess.Popen(limited(self.case.limit, *command), bufsize=0, stdout=output, stderr=errors,
                                       stdin=subprocess.PIPE if self.qmp else subprocess.DEVNULL)
        if self.qmp:
            # The pipe stays open: QEMU says no more once its input has ended.
            process.stdin.write(self.qmp)
        return process


class Qemu(Machine):
    # QMP for one thing only: whether the machine was powered off or reset at the end.
    output, errors, qmp = "qmp.log", "qemu.log", b'{"execute": "qmp_capabilities"}\n'
    # After CMPXCHG16B QEMU 7.2's TCG may have garbage in RFLAGS. Kernels that then get an interrupt crash, some at every
    # boot, as Debian's 6.12.95; without it they use something else.
    cpu = "EPYC,+svm,+npt,-cx16"

    @property
    def tsc_khz(self) -> int:
        """This machine's, which TCG hands to the emulated host as it is; or, with icount=, one cycle each ns."""
        if self.case.param("icount"):
            return 1000000
        with locked(LOGS / ".host-tsc-khz.lock"):
            make(LOGS, f"VPATH={NESTED}", "CFLAGS=-O2 -Wall -Wextra -Werror", "host-tsc-khz")
        return int(output_of(LOGS / "host-tsc-khz"))

    def words(self) -> List[str]:
        # nohz=off highres=off: a tick that comes by itself. QEMU 7.2's TCG now and then loses the request for
        # an interrupt when it is set while a nested guest is entered or left; with a timer that is armed once
        # and again the host would sleep forever (in its APIC the vector is pending, the CPU halted with
        # interrupts on), with a periodic one it wakes at the next tick.
        (address, range_size), size = self.initramfs, self.case.initramfs.stat().st_size
        if size > range_size:
            raise Problem(f"{self.case.initramfs}: larger than the range reserved for it")
        return ["nohz=off", "highres=off", f"initrdmem={address:#x},{size}", f"memmap={range_size:#x}${address:#x}"]

    def arguments(self) -> List[str]:
        """All but the serial ports and what monitors it."""
        case, mem = self.case, int(self.case.param("mem") or self.mem_min)
        if mem < self.mem_min:
            raise Problem(f"mem={mem}: less than the {self.mem_min} MB that the reserved ranges need")
        # thread=single: with thread=multi, live patching of the emulated kernel's code goes wrong.
        # The initramfs is put into memory by the loader device, not by -initrd, so that it stays.
        arguments = ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-machine", "q35",
                     "-cpu", case.param("cpu", self.cpu), "-smp", case.param("smp", "2"), "-m", str(mem),
                     "-nodefaults", "-no-user-config", "-display", "none",
                     *([] if case.param("resets") else ["-no-reboot"]),
                     "-uuid", "6b636821-7465-4573-8174-6d616368696e",
                     *self.boot(), "-device", f"loader,file={case.initramfs},addr={self.initramfs[0]:#x},force-raw=on"]
        # icount=N: time is made of instructions, 2^N ns each, and leaps to the next timer when the host
        # idles. So it is the same on every machine and under any load, and what the emulator does to
        # run an instruction for the first time takes none. Only with smp=1: with two CPUs nested
        # guests do not come on.
        if case.param("icount"):
            arguments += ["-rtc", "clock=vm", "-icount", f"shift={case.param('icount')},sleep=off"]
        return arguments

    def boot(self) -> List[str]:
        """What it is booted by."""
        # A minimal firmware, where the distribution has it: 2 s less.
        firmware = ["-bios", "qboot.rom"] if Path("/usr/share/qemu/qboot.rom").exists() else []
        return ["-kernel", str(self.kernel), "-append", self.cmdline(), *firmware]

    def make_older(self, arguments: List[str]) -> List[str]:
        """The emulated CPU ignores writes to its TSC, which starts at 0. So the state of a machine that has
        not run is written to a file, and there the number is another, and the machine is running; QEMU is
        then started with that."""
        file = self.dir / "state"
        with open(self.dir / "older.log", "wb") as log:
            quiet = [*arguments, "-serial", "null", "-serial", "null", "-S", "-monitor", "stdio"]
            subprocess.run(limited(60, *quiet), input=f'migrate "exec:cat >{file}"\nquit\n'.encode(),
                           stdout=log, stderr=log, check=False)
        state = file.read_bytes() if file.exists() else b""
        for pattern, skip, value in ((rb"\x05timer\x00{7}\x02\x00{24}", 14, self.first_tsc()),
                                     (rb"prelaunch\x00{22}", 0, b"running\x00\x00")):
            found = [match.start() + skip for match in re.finditer(pattern, state)]
            if len(found) != 1:
                raise Problem(f"QEMU's state of a machine is not understood: {pattern!r}; {self.dir}/older.log")
            state = state[:found[0]] + value + state[found[0] + len(value):]
        file.write_bytes(state)
        return [*arguments, "-incoming", f"exec:cat {shlex.quote(str(file))}"]

    def command(self) -> List[str]:
        arguments = self.make_older(self.arguments()) if self.age_days else self.arguments()
        return [*arguments, "-serial", f"file:{self.dir}/console.log", "-qmp", "stdio", "-serial",
                f"file:{self.dir}/verdict.log"]


class Bochs(Machine):
    """Time in it is counted in instructions, and leaps to the next timer when it idles: `sleep` costs
    nothing, and one run is like the other."""

    model = "corei7_icelake_u"
    # Instructions a ms, its own; also the TSC frequency. Few, so that a guest that runs for two
    # seconds is done soon; and not round, so that nothing in a clock is.
    tsc_khz = 51317
    # Versions known to emulate wrongly what the tests are about.
    wrong = {"3.1": "it divides wrongly, and clocks are made by that"}
    isolinux, ldlinux = "/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32"
    bios, vgabios = "/usr/share/bochs/BIOS-bochs-latest", "/usr/share/vgabios/vgabios.bin"

    @classmethod
    def unusable(cls) -> Optional[str]:
        missing = [tool for tool in ("bochs", "xorriso") if not shutil.which(tool)]
        missing += [file for file in (cls.isolinux, cls.ldlinux, cls.bios, cls.vgabios) if not os.access(file, os.R_OK)]
        if missing:
            return f"no {missing[0]} here: run scripts/setup.sh"
        about = subprocess.run(["bochs", "--help"], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, check=False).stdout
        version = re.search(r"Bochs x86 Emulator ([0-9.]+)", about)
        if not version:
            return "bochs does not say its version"
        return f"Bochs {version[1]}: {cls.wrong[version[1]]}" if version[1] in cls.wrong else None

    def words(self) -> List[str]:
        # clearcpuid: 2.7 has XSAVEC and XSAVES wrong, and says of itself that it has eight cores.
        # reboot=t: a reset by a triple fault is one that ends Bochs; after another it would boot again.
        # quiet: a character on the console takes as long as one of 115200 baud.
        # retain_initrd: the initramfs is handed on by kexec.
        # tsc_adjust: a kernel that sees it undoes what was done to the TSC before. notscdeadline: Bochs takes
        # a deadline for one of a TSC that started at 0. enable_apicv=0: 3.0 does not enter a VM that has KVM's APIC and
        # posted interrupts.
        hidden = "clearcpuid=xsaves,xsavec,ht"
        aged = [f"{hidden},tsc_adjust", "lapic=notscdeadline"] if self.age_days else [hidden]
        return [*aged, "reboot=t", "quiet", "retain_initrd", "kch.smp=1", "kvm_intel.enable_apicv=0"]

    def make_disc(self) -> None:
        (self.dir / "isolinux.cfg").write_text("DEFAULT l1\nPROMPT 0\nLABEL l1\nKERNEL /vmlinuz\nINITRD /initrd\n"
                                               f"APPEND {self.cmdline()}\n")
        log = self.dir / "xorriso.log"
        with open(log, "wb") as errors:
            made = subprocess.run(
                ["xorriso", "-as", "mkisofs", "-quiet", "-o", self.dir / "boot.iso", "-graft-points",
                 "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat",
                 "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
                 f"isolinux/isolinux.bin={self.isolinux}", f"isolinux/ldlinux.c32={self.ldlinux}",
                 f"isolinux/isolinux.cfg={self.dir}/isolinux.cfg", f"vmlinuz={self.kernel}",
                 f"initrd={self.case.initramfs}"], stderr=errors, check=False)
        if made.returncode:
            raise Problem(f"cannot make {self.dir}/boot.iso: {log.read_text()}")

    def older(self) -> List[str]:
        """What makes the debugger set the TSC before anything is booted: where the firmware enters the boot
        sector, at 07c0:0000, it is sent through code of our own, behind what was loaded."""
        tsc = self.first_tsc()[::-1]
        # push eax, ecx, edx; mov ecx, 0x10 (the TSC); mov eax, low; mov edx, high; wrmsr; pop edx, ecx, eax;
        # jmpf 0x07c0:0x0000
        code = (bytes.fromhex("66506651665266b91000000066b8") + tsc[:4] + b"\x66\xba" + tsc[4:] +
                bytes.fromhex("0f30665a66596658ea0000c007000000"))
        return ["pb 0x7c00", "c", *(f"setpmem {0x8c00 + at:#x} 1 {byte:#04x}" for at, byte in enumerate(code)),
                "d 1", "set rip=0x1000"]

    def command(self) -> List[str]:
        for key in filter(self.case.param, ("smp", "mem", "cpu", "part")):
            raise Problem(f"{key}={self.case.param(key)}: not for machine=bochs")
        self.make_disc()
        hardware = string.Template((NESTED / "bochsrc.in").read_text())
        (self.dir / "bochsrc").write_text(hardware.substitute(vars(Bochs), mem_min=self.mem_min, dir=self.dir))
        # For the prompt of its debugger, which it starts with.
        (self.dir / "debugger").write_text("\n".join([*(self.older() if self.age_days else []), "c", ""]))
        # Bochs wants a terminal for its screen, which script has for it.
        bochs = dying("env", "TERM=linux", "bochs", "-f", self.dir / "bochsrc", "-rc", self.dir / "debugger")
        return ["script", "-qec", f"exec {shlex.join(bochs)}", "/dev/null"]


KINDS = {"qemu": Qemu, "bochs": Bochs}
