#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Tests of the library and kvmclockctl as far as that goes without KVM: raw dumps, exit codes, messages,
finding VMs of other processes, the library's order of writes; against a simulated device (fake.c).

    tests/cli/test_tool.py [CASE...]

The cases of tool.tbl, and those that are more than a command and what it says.
"""
import contextlib
import fcntl
import json
import os
import re
import resource
import select
import shlex
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))
import ktap  # noqa: E402

PROGRAMS = ROOT / "build/tests/cli"
USERSPACE = ROOT / "build/userspace"
TOOL = USERSPACE / "kvmclockctl"
INSTALLED = ("sbin/kvmclockctl", "lib/libkvmclock-handover.a", "lib/libkvmclock-handover.so", "lib/libkvmclock-handover.so.0",
             "lib/pkgconfig/kvmclock-handover.pc", "include/kvmclock-handover.h", "include/kvmclock-handover-stock.h",
             "include/kvmclock-handover-vmclock.h", "include/linux/kvmclock_handover.h",
             "share/man/man8/kvmclockctl.8", "share/man/man3/libkvmclock-handover.3")
KVM_CREATE_VM = 0xAE01
OFFSET = -68719476736  # of the vCPUs that mk-region writes


def uuid(letter):
    return f"11111111-1111-1111-1111-1111111111{ord(letter):02x}"


def parse(data):
    """One JSON document, in UTF-8, in which no name is there twice, and no number is one of 64 bits: those are strings."""
    def unique(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError(f"a name is there twice: {pairs}")
        return dict(pairs)

    wrong = re.search(rb"[:,\[]\s*(-?\d{11,}|-?\d*\.\d*)", data)
    if wrong:
        raise ValueError(f"not exact for every reader: {wrong[1]}")
    return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=int)


def value(found, path):
    """Of a document the value of this name; "vms.name" is the list of the names of all `vms`."""
    for key in path.split("."):
        found = [row[key] for row in found] if isinstance(found, list) else found[key]
    return found


def variables(cell):
    return dict(word.split("=", 1) for word in shlex.split(cell))


def read_table():
    """(files: their commands; cases: what is behind the name, rows)"""
    files, cases = {}, {}
    for line in (HERE / "tool.tbl").read_text().splitlines():
        if line.startswith("["):
            name, _, setting = line[1:].partition("]")
            rows = []
            cases[name] = (setting, rows)
        elif re.match("[0-9]", line):
            cells = [cell.strip().replace("\\n", "\n") for cell in line.split("|")]
            rows.append(cells + [""] * (5 - len(cells)))
        elif line and not line.startswith("#"):
            name, commands = line.split(": ", 1)
            files[name] = commands.split("; ")
    return files, cases


def kvm_is_usable():
    """A machine may have the node, and a KVM that makes no VM."""
    try:
        with open("/dev/kvm", "rb") as kvm:
            os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
            return True
    except OSError:
        return False


FILES, CASES = read_table()
needs_kvm = unittest.skipUnless(kvm_is_usable(), "no usable /dev/kvm")


class Case(unittest.TestCase):
    maxDiff = None
    vmm = None
    inherited = ()  # descriptors of ours that the tool gets

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(self.stop_vmm)
        self.work = Path(folder.name)

    def run_program(self, *command, status=0, **options):
        """The output, if the status is this one."""
        options = {"stdin": subprocess.DEVNULL, "timeout": 120, **options}
        done = subprocess.run(command, capture_output=True, check=False, **options)
        self.assertEqual(done.returncode, status, f"{command}: {(done.stdout + done.stderr).decode(errors='replace')}")
        return done

    def file(self, name):
        path = self.work / name
        if name in FILES and not path.exists():
            vms, *commands = FILES[name]
            path.touch()
            for command in ([f"65536 0 7 {vms}"] if vms else []) + commands:
                if command.startswith("truncate"):
                    os.truncate(path, int(command.split()[1]))
                else:
                    self.run_program(PROGRAMS / "mk-region", path, *shlex.split(command))
        return str(path)

    def expand(self, text):
        def word(match):
            known = {"pid": self.vmm and str(self.vmm.pid), "self": str(os.getpid())}
            return known.get(match[1]) or (uuid(match[1]) if len(match[1]) == 1 else self.file(match[1]))
        return re.sub(r"\{([\w-]+)\}", word, text)

    def tool(self, status, command, expected="", err="", **fake):
        """Runs a row of the table. Returns the document, if `expected` is what it has as a dictionary."""
        arguments = shlex.split(self.expand(command))
        if isinstance(expected, dict) and "--json" not in arguments:
            arguments.append("--json")
        if self.vmm:
            fake.setdefault("PID", self.vmm.pid)
        environment = {key if key == "LC_ALL" else f"FAKE_{key}": self.file(word) if word in FILES else str(word)
                       for key, word in fake.items() if word}
        done = self.run_program(TOOL, *arguments, status=status, pass_fds=self.inherited,
                                env={**os.environ, **environment, "LD_PRELOAD": str(PROGRAMS / "fake.so"),
                                     "RUNTIME_DIRECTORY": str(self.work)})
        self.out, self.err = done.stdout.decode(), done.stderr.decode()
        self.assertIn(err, self.err, command)
        if isinstance(expected, dict):
            document = parse(done.stdout)
            self.assertEqual({path: value(document, path) for path in expected}, expected, command)
            return document
        if expected.startswith("="):
            self.assertEqual(self.out, expected[1:], command)
        self.assertIn(expected.lstrip("="), self.out, command)
        return None

    def start_vmm(self, numbers, *arguments):
        """A process that looks like it has the simulated VMs of these numbers."""
        self.stop_vmm()
        self.vmm = subprocess.Popen([PROGRAMS / "fake-vmm", numbers, *arguments], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
        ready, pages = self.vmm.stdout.readline().split()
        self.assertEqual(ready, b"ready")
        # Of the memory that a vmclock page can be in.
        self.pages = [int(pages) + number * 4096 for number in (1, 3, 5)]

    def stop_vmm(self):
        if self.vmm:
            self.vmm.kill()
            # Until it is gone it would be in the next case's list.
            self.vmm.communicate()
            self.vmm = None

    def listed(self, source, name, **fake):
        """Of what `list` has of this source this column; of those that run, the VMs of our process."""
        return [vm[name] for vm in self.tool(0, "list", {}, **fake)["vms"]
                if vm["source"] == source and (source != "live" or vm["pid"] == self.vmm.pid)]


class Tool(Case):
    """The cases of tool.tbl."""

    def rows(self, name):
        setting, rows = CASES[name]
        process, _, fake = setting.partition("|")
        if process.strip():
            self.start_vmm(*self.expand(process).split())
        for status, command, more, expected, err in rows:
            with self.subTest(command=command):
                expected = self.expand(expected)
                self.tool(int(status), command, json.loads(expected) if expected.startswith("{") else expected, err,
                          **variables(self.expand(f"{fake} {more}")))


for case_name in CASES:
    setattr(Tool, f"test_{case_name}", lambda self, name=case_name: self.rows(name))


class Usage(Case):
    def test_manual(self):
        """The manual and --help have the same commands, options and columns. Some commands have a page of their own."""
        manual = (ROOT / "Documentation/man/kvmclockctl.8").read_text()
        commands, output = (re.split(r"^\.Ss ", re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh)", manual, re.M | re.S)[1], flags=re.M)[1:]
                            for name in ("COMMANDS", "OUTPUT"))
        columns = {name: re.findall(r"^\.It Va (\S+)", part, re.M) for part in output for name in part.split("\n")[0].split(", ")}
        self.tool(0, "help")
        self.assertEqual(re.findall(r"^  ([a-z-]+)  ", self.out, re.M), [part.split()[0] for part in commands])
        common = re.findall(r"^\.It Fl -([a-z-]+)", manual[manual.index(".Ss Form of the output"):manual.index(".Sh COMMANDS")], re.M)
        for part in commands:
            name = part.split()[0]
            page = ROOT / f"Documentation/man/kvmclockctl-{name}.8"
            if page.exists():
                text = page.read_text()
                synopsis = re.sub(r"\s+", " ", text[text.index(".Cm "):text.index(".Sh DESCRIPTION")])
                part = f"{synopsis}\n" + text[text.index(".Sh OPTIONS"):text.index(".Sh OUTPUT")]
                columns[name] = re.findall(r"^\.It Va (\S+)", text[text.index(".Sh OUTPUT"):], re.M)[1:]
            self.tool(0, name + " --help")
            options = re.findall(r"^  --([a-z-]+)", self.out, re.M)
            own = re.findall(r"Fl -([a-z-]+)", part.split("\n")[0]) + re.findall(r"^\.It Fl -([a-z-]+)", part, re.M)
            self.assertEqual(sorted({*own, *common[:3], *(common[3:] if "\nColumns:" in self.out else [])}), sorted(options), name)
            found = [word.lower() for word in re.findall(r"^  ([A-Z_]+)", self.out, re.M)]
            self.assertEqual(found, columns.get(name, [])[:len(found)], name)

    def test_full_disk(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([TOOL, "decode", self.file("web")], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)


class Decode(Case):
    def test_input(self):
        with open(self.file("both"), "rb") as file:
            self.assertIn(b"newest_slot:           1\n", self.run_program(TOOL, "decode", "-", stdin=file).stdout)
        found = self.tool(0, "decode {both}", {})
        self.assertEqual(set(value(found, "vcpus.tsc_offset")), {str(OFFSET), str(OFFSET + 1)})

    def test_noise(self):
        (self.work / "noise").write_bytes(os.urandom(65536))
        (self.work / "shifted").write_bytes(bytes(4096) + Path(self.file("two-slots")).read_bytes())
        self.tool(1, "decode --json {noise}", "", "magic number")
        found = self.tool(1, "decode {shifted}", {"newest_slot": None}, "the newest record is not known")
        self.assertEqual(found["errors"][0]["errno"], "EMSGSIZE")

    def test_bits(self):
        """Of a wrong bit it is said where it is, and what is behind it can still be read; but not behind a wrong size of
        the header's, or a wrong number of vCPUs."""
        for byte, left in (*((byte, None) for byte in (0, 8, 73, 304, 319, 320)), (408, []),
                           *((byte, ["db"]) for byte in (324, 330, 344, 420, 520, 564))):
            with self.subTest(byte=byte):
                shutil.copy(self.file("two-vms"), self.work / "bad")
                self.run_program(PROGRAMS / "mk-region", self.work / "bad", "flip", str(byte), "5")
                found = self.tool(1, "decode {bad}", {"damage.where": ["header" if left is None else "VM entry 0"]})
                self.assertIn(left, (None, value(found, "vms.name")))
        self.assertIn("slot 0: VM entry 0: VM entry at byte 320: checksum", self.err)

    def test_large(self):
        """More than any region has is refused before it is kept."""
        done = self.run_program(TOOL, "decode", "/dev/zero", status=1,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (300000 << 10,) * 2))
        self.assertIn(b"/dev/zero: more than 67108864 bytes: no region is that large", done.stderr)

    def test_hostile_files(self):
        """Where others can write, a name may be anything. None makes the tool wait, and none is changed."""
        os.mkfifo(self.work / "fifo")
        (self.work / "link").symlink_to("fifo")
        (self.work / "loop").symlink_to("loop")
        for name, said in (("fifo", "too small for a region"), ("link", "too small for a region"),
                           ("loop", "Too many levels of symbolic links"), (".", "Is a directory"), ("none", "No such file")):
            self.assertIn(f"/{name}: ", self.run_program(TOOL, "decode", f"{self.work}/{name}", status=1, timeout=10).stderr.decode())
            self.assertIn(said, self.run_program(TOOL, "decode", f"{self.work}/{name}", status=1, timeout=10).stderr.decode())
        # Of a pipe to which somebody writes all is waited for.
        script = f'{TOOL} decode <(sleep 0.5; cat {self.file("two-vms")}; sleep 0.5) && sleep 0.5 | cat - {self.file("two-vms")} | {TOOL} decode -'
        self.assertEqual(self.run_program("bash", "-c", script).stdout.count(b"web"), 2)

    def test_hostile_text(self):
        self.run_program(PROGRAMS / "mk-region", self.work / "hostile", "65536", "0", "7", b'e"\\\xffx:1')
        self.tool(0, "decode {hostile}", {"vms.name": [r'e"\x5c\xffx'], "vms.pid": [4242]})
        self.tool(0, "decode {hostile}", r'e"\x5c\xffx')
        # What could be taken for commands to a terminal.
        self.run_program(PROGRAMS / "mk-region", self.work / "hostile", "65536", "0", "7", b"e\x1b[2J:1")
        self.tool(1, "decode {hostile}", {"vms": [], "damage.where": ["VM entry 0"]})
        self.assertIn("VM entry at byte 320: name has the control character 0x1b at byte 1: it is forged", self.err)
        self.assertNotIn("\x1b", self.out + self.err)


class Library(Case):
    def program(self, name, **environment):
        done = self.run_program(PROGRAMS / name, env={**os.environ, **environment})
        self.assertIn(b" fail:0 skip:0", done.stdout)

    def test_library(self):
        self.program("test-library", SAVED_REGION=self.file("saved"), LIVE_REGION=self.file("live-four"),
                     LARGE_REGION=self.file("large"))

    def test_stock(self):
        """Without the module. The bytes are a record: the tool shows them."""
        self.program("test-stock", STOCK_FILE=self.file("stock"))
        self.tool(0, "decode {stock}", {"vms.name": ["web1"], "damage": [], "vcpus.tsc_offset": [str(OFFSET)] * 2})

    def test_stock_vm(self):
        self.program("test-stock-vm")

    def test_carry(self):
        self.program("test-carry")

    @needs_kvm
    def test_stock_kvm(self):
        """With this machine's KVM, if it has one; the emulated host runs the same program."""
        self.program("stock-kvm", STOCK_CONTROL_IS_ELSEWHERE="1", STOCK_READINGS="800")

    def test_symbols(self):
        """Headers, symbol map and shared library name the same functions, all of them with a version."""
        library = self.run_program("nm", "-D", "--defined-only", USERSPACE / "libkvmclock-handover.so").stdout.decode()
        headers, mapped = ("".join(path.read_text() for path in (ROOT / "userspace").glob(pattern))
                           for pattern in ("include/*.h", "lib/*.map"))
        declared = sorted(re.findall(r"^KCH_API [^(]*\b(kch_[a-z_]*)\(", headers, re.M))
        self.assertIn("kch_list", declared)
        for pattern, text in ((r"^\t(kch_[a-z_]*);$", mapped), (r"^[0-9a-f]* T (.*)@@KCH_[0-9.]*$", library),
                              (r"^[0-9a-f]* [^A] ([^@\n]*)", library)):
            self.assertEqual(sorted(re.findall(pattern, text, re.M)), declared)

    def test_install(self):
        """Twice into one folder, with two prefixes, both other than the one it was built with: what is installed is where it
        says it is, and uninstall removes it. That a program can be built with it is what tests/packages.py shows."""
        dest, environment = self.work / "dest", {key: word for key, word in os.environ.items() if not re.match(
            "MAKE|MFLAGS|DESTDIR|PREFIX|prefix", key)}
        usr, opt = ("PREFIX=/usr", "libdir=/usr/lib/multiarch", "mandir=/usr/man"), ("PREFIX=/opt/kch",)

        def make(*arguments):
            self.run_program("make", "-s", "-C", ROOT / "userspace", f"DESTDIR={dest}", *arguments, env=environment)
            return {str(path.relative_to(dest)) for path in dest.rglob("*") if not path.is_dir()}

        make("PREFIX=/built/with/another")
        make(*usr, "install")
        files = make(*opt, "install")
        self.assertLessEqual({"usr/man/man8/kvmclockctl.8", *(f"opt/kch/{name}" for name in INSTALLED)}, files)
        for name in files:
            found = re.search(rb"/built/with/another|/usr/local|" + bytes(self.work), (dest / name).read_bytes())
            self.assertFalse(found, f"{name} has a path that it is not installed in")
        for folder in "/usr/lib/multiarch", "/opt/kch/lib":
            pkg = {"PKG_CONFIG_LIBDIR": f"{dest}{folder}/pkgconfig"}
            said = self.run_program("pkg-config", "--libs", "kvmclock-handover", env={**environment, **pkg}).stdout.decode()
            self.assertIn(f"-L{folder} ", said)
        self.assertIn(b"kvmclockctl ", self.run_program(dest / "opt/kch/sbin/kvmclockctl", "--version").stdout)
        # Of others, and so not to be removed.
        (dest / "usr/include/linux/other.h").touch()
        self.assertEqual(make(*usr, "uninstall"), {name for name in files if name.startswith("opt/")} | {"usr/include/linux/other.h"})
        self.assertEqual(make(*opt, "uninstall"), {"usr/include/linux/other.h"})


class Device(Case):
    def test_list(self):
        self.start_vmm("0", "-uuid", uuid("a"), "-name", "guest=web1,debug-threads=on")
        self.assertEqual([self.listed(source, "name", INCOMING="saved", LIVE="saved") for source in
                          ("incoming", "outgoing", "live")], [["a", "z"], [], ["web1"]])
        for name in ("incoming", "outgoing"):
            self.assertEqual(self.listed(name, "clock", INCOMING="clocks", OUTGOING="clocks"),
                             ["exact", "stale", "no master clock", "exact"])
        self.start_vmm("99,0", "-uuid", uuid("a"))
        self.assertEqual(self.listed("live", "uuid"), [uuid("a")])

    def test_save_all(self):
        """A failure is reported, and the next VM is done all the same."""
        self.start_vmm("0,1", "--uuid", uuid("a"), "-name", "web1")
        found = self.tool(1, "save --all", {}, "kvmclockctl save: web1: region full, 4096 bytes needed; its clock is not saved",
                          LIVE="live-two", ERROR="1:28:region full, 4096 bytes needed")
        self.assertEqual(set(value(found, "vms.result")), {"ENOSPC"})
        self.assertGreaterEqual(len(found["vms"]), 2)

    def test_identity(self):
        """Ids: QEMU's, from a name, from the process; always the same."""
        # An interface: FNV-1a of kvmclock-handover:name:db,1 and ...:db,1:1, as UUIDv8.
        ids = ["603cb51c-a96a-8b18-90c6-14711047ae30", "6699eba9-7965-87a9-a5e8-4ab631fa2ce9"]
        # Another option of the same kind takes nothing away, and is no name.
        for names in (["guest=db,,1,process=qemu"], ["db,,1,debug-threads=on"], ["debug-threads=on,guest=db,,1"],
                      ["process=q,,guest=z,guest=z,guest=db,,1"], ["db,,1", "process=qemu,debug-threads=on"]):
            self.start_vmm("0,1", *(word for name in names for word in ("-name", name)))
            self.assertEqual(sorted(self.listed("live", "uuid")), ids, names)
            self.assertEqual(self.listed("live", "name"), ["db,1", "db,1"])
        self.start_vmm("5")
        first, second = (self.listed("live", "uuid") for _ in range(2))
        self.assertEqual(first, second)
        self.assertRegex(first[0], "^........-....-8...-[89ab]...-............$")

    def test_report(self):
        """As verify, and both kernels; what restore noted; files that others read."""
        self.start_vmm("0", "-uuid", uuid("a"), "-name", 'web"1')
        kept, metrics = self.work / "var/reports", self.work / "kch.prom"
        command = f"report --save={kept} --prometheus {metrics}"
        self.tool(0, "restore --id {a}", INCOMING="saved")
        found = self.tool(5, command, {"saved_kernel": "6.12.0-test", "saved_tsc_khz": 2596124, "kernel": os.uname().release,
                                       "vms.verdict": ["identical", "not live"], "vms.ns": ["0", None],
                                       "vms.blackout_ns": ["1234567", None]}, "1 of 2 VMs of the record are not running",
                          INCOMING="saved", LIVE="live")
        self.assertEqual(found["vms"][0]["saved_clock_ns"], found["vms"][0]["live_clock_ns"])
        self.assertEqual([parse(path.read_bytes()) for path in kept.iterdir()], [found])
        text = metrics.read_text()
        labels = f'{{uuid="{uuid("a")}",name="a"}}'
        for line in ('vms{state="missing"} 1', f"vm_identical{labels} 1", f"vm_error_cycles{labels} 0",
                     f"vm_blackout_nanoseconds{labels} 1234567"):
            self.assertIn(f"kvmclock_handover_{line}\n", text)
        self.assertEqual(len(re.findall("^kvmclock_handover_vm_identical", text, re.M)), 2)
        for name, kind in re.findall("^# (?:TYPE|HELP) ([a-z_]+) (gauge)?", text, re.M):
            self.assertRegex(name + kind, "^kvmclock_handover_")
        # Entries that have lost their ids are counted; no series is there twice.
        self.tool(1, command, {"vms.verdict": ["identical", "unreadable", "unreadable"]}, INCOMING="damaged-two", LIVE="live")
        series = [line.split()[0] for line in metrics.read_text().splitlines() if not line.startswith("#")]
        self.assertEqual(sorted(set(series)), sorted(series))
        self.assertIn('kvmclock_handover_vms{state="different"} 2\n', metrics.read_text())
        self.start_vmm("1", "-uuid", uuid("a"))
        found = self.tool(1, command, {"vms.verdict": ["differs", "not live"], "vms.cycles": ["1", None]}, "vCPU 0 is off by",
                          INCOMING="saved", LIVE="live")
        saved, live = (int(found["vms"][0][name]) for name in ("saved_guest_tsc", "live_guest_tsc"))
        self.assertEqual(live - saved, 1)
        self.assertIn(f"vm_error_cycles{labels} 1\n", metrics.read_text())
        for number in range(110):
            (kept / f"2000{number:04}T000000Z-1.json").touch()
        theirs = "0.json", "20000101.json", "20000101T000000Z-1.json.json", "20000101T000000Z-.json"
        for name in theirs:
            (kept / name).touch()
        self.tool(1, command, "", INCOMING="saved", LIVE="live")
        left = [path.name for path in kept.iterdir() if path.name not in theirs]
        self.assertEqual((len(left), len(list(kept.iterdir()))), (100, 104))
        self.assertNotIn("20000000T000000Z-1.json", left)
        # What others have put there is replaced, and not written to; nothing is left beside it.
        (self.work / "theirs").write_text("theirs")
        for name, make in (("link", lambda at: at.symlink_to(self.work / "theirs")), ("hard", lambda at: os.link(self.work / "theirs", at)),
                           ("fifo", os.mkfifo), ("kch.prom.new", lambda at: at.symlink_to(self.work / "theirs"))):
            make(self.work / name)
            at = metrics if name == "kch.prom.new" else self.work / name
            self.tool(1, f"report --prometheus {at}", "", INCOMING="saved", LIVE="live")
            self.assertEqual([at.is_symlink(), at.read_text()[:7]], [False, "# HELP "])
        self.assertEqual((self.work / "theirs").read_text(), "theirs")
        self.assertEqual(stat.filemode(metrics.stat().st_mode), "-rw-r--r--")
        # But no device or socket, nor what leads to one as /dev/stdout does; those of the machine are not tried.
        bound = socket.socket(socket.AF_UNIX)
        self.addCleanup(bound.close)
        bound.bind(f"{self.work}/socket")
        (self.work / "stdout").symlink_to("/proc/self/fd/1")
        (self.work / "away").symlink_to("/dev/null")
        with contextlib.suppress(PermissionError):
            os.mknod(self.work / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        before = {path: path.lstat().st_ino for path in self.work.iterdir()}
        for name in "socket", "stdout", "away", *(["null"] if (self.work / "null").exists() else []):
            self.tool(1, f"report --prometheus {self.work}/{name}", "", f"{name}: Operation not supported; the report is not there",
                      INCOMING="saved", LIVE="live")
        self.tool(1, "report --prometheus -", "", "-: Operation not supported", INCOMING="saved", LIVE="live")
        self.assertEqual({path: path.lstat().st_ino for path in self.work.iterdir()}, before)
        (self.work / "folder").mkdir()
        self.tool(1, f"report --prometheus {self.work}/folder", "", "Is a directory", INCOMING="saved", LIVE="live")
        self.assertEqual([path for path in self.work.iterdir() if path.name.startswith(("folder.", "kch.prom."))],
                         [self.work / "kch.prom.new"])
        self.tool(3, "report --save=/proc/nowhere", "")
        self.tool(1, "report --save=/proc/nowhere", "", "the report is not there", INCOMING="saved", LIVE="live")
        self.tool(1, "report --prometheus /proc/nowhere", "", "the report is not there", INCOMING="saved", LIVE="live")

    def test_hold_in_background(self):
        """The tool has ended, its output too (or this would take too long), though the hold has not. Nor does the holder
        keep any other file of its caller, which may have a lock."""
        self.start_vmm("0", "-uuid", uuid("a"), "-name", "web1")
        end = os.pipe()
        self.inherited = end[1:]
        found = self.tool(0, "restore --pid {pid} --hold=9", {"result": "held"}, INCOMING="saved", WAIT=1)
        os.close(end[1])
        self.assertNotIn("mode", found)
        self.assertEqual(select.select(end[:1], [], [], 10)[0], [end[0]])
        os.close(end[0])
        os.kill(found["holder"], 15)

    def page(self, number, *fields, at=0):
        """The vmclock page in this one of the process's pages, and what it is made to say."""
        with open(f"/proc/{self.vmm.pid}/mem", "r+b", 0) as memory:
            if fields:
                memory.seek(self.pages[number] + at)
                memory.write(struct.pack("<" + ("IIHBBI7Q" if len(fields) > 3 else "I" + "Q" * (len(fields) - 1)), *fields))
            memory.seek(self.pages[number])
            return memory.read(4096)

    def test_vmclock(self):
        """What a VMM changes in a vmclock page when it loads its guest is put back, if that is all it changed."""
        folder = f"--vmclock={self.work}/kept"
        saved = (0x4b4c4356, 4096, 1, 0xff, 0, 4, 7, 0, 0, 0, 0, 0, 0)
        restore = f"restore --pid {{pid}} {folder}"

        def loaded(*wrong, sequence=6, marker=8):
            self.start_vmm("0", "-uuid", uuid("a"), "-name", "web1")
            self.page(0, *saved)
            # What looks like one in the guest's RAM.
            self.page(2, *saved)
            if (self.work / f"kept/vmclock-{uuid('a')}").exists():
                (self.work / f"kept/vmclock-{uuid('a')}").unlink()
            self.tool(0, f"save --pid {{pid}} {folder}")
            then = self.page(0)
            return then, self.page(0, *(wrong or (sequence, marker)), at=0 if wrong else 12)

        def restored(status, command, back, said="", **fake):
            found = self.tool(status, command, {}, said, INCOMING="saved", **fake)
            self.assertEqual(found.get("vmclock"), "put back" if back else None)
            self.assertEqual(self.page(0), then if back else bumped)

        then, bumped = loaded()
        restored(0, restore + " --check", False)
        restored(0, restore, True)
        # It was for one restore.
        bumped = self.page(0, 6, 8, at=12)
        restored(0, restore, False, "none was kept")
        then, bumped = loaded()
        restored(0, restore + " --hold=9 --wait", True)
        # The clock did not come back: the guest is told after all.
        then, bumped = loaded()
        restored(4, restore, False, ERROR="6:45:vCPU 0 has another offset")
        failed, hidden = {"ERROR": "10:62:its VMM did not resume it"}, {"HIDDEN": 5}
        for status, options, said, fake in ((4, " --hold=9 --wait", None, failed), (0, " --hold=9", "put back", failed),
                                            (0, " --hold=9 --wait", "told", hidden), (0, " --hold=9", "put back", hidden),
                                            (0, "", "told", hidden)):
            # Also where the VMM itself has changed nothing.
            for sequence, marker in ((6, 8), (4, 7)):
                loaded(sequence=sequence, marker=marker)
                found = self.tool(status, restore + options, {}, INCOMING="saved", **fake)
                self.assertEqual(found.get("vmclock"), said)
                for _ in range(50):
                    told = struct.unpack_from("<IQ", self.page(0), 12)
                    if told == (6, 8):
                        break
                    time.sleep(0.1)
                self.assertEqual(told, (6, 8), (options, marker))
        # The guest may read it meanwhile: the count is odd as long as the rest is not whole.
        loaded()
        self.tool(0, restore + " --hold=9 --wait", INCOMING="saved", HIDDEN=5, WRITES=self.work / "writes")
        writes = [line.split() for line in (self.work / "writes").read_text().splitlines()]
        self.assertEqual([line[:3 if line[0] == "12" else 2] for line in writes],
                         [["12", "4", "5"], ["16", "96"], ["12", "4", "4"], ["12", "4", "7"], ["16", "96"], ["12", "4", "6"]])
        # Nothing is guessed.
        then, bumped = loaded(*saved[:2], 2, *saved[3:])
        restored(0, restore, False, "version 2, expected 1")
        then, bumped = loaded(*saved[:7], 1, *saved[8:])
        restored(0, restore, False, "something else than when")
        then, bumped = loaded(0)
        restored(0, restore, False, "there is none")
        then, bumped = loaded()
        self.page(1, *saved)
        restored(0, restore, False, "there are several")
        self.tool(1, f"save --pid {{pid}} {folder}", "", "there are several")
        # None when it was saved, and none now: not a word.
        self.start_vmm("0", "-uuid", uuid("a"), "-name", "web1")
        self.tool(0, f"save --pid {{pid}} {folder}")
        self.tool(0, restore, INCOMING="saved")
        self.assertEqual(self.err, "")

    def test_descriptors(self):
        """Each VM takes a descriptor. The tool takes all that it may have; a VM for which there is none is said, and is not
        taken for another one, or for one that is gone."""
        self.start_vmm("0,1", "-uuid", uuid("a"))
        known = {"FAKE_PID": str(self.vmm.pid), "FAKE_LIVE": self.file("live-two"), "FAKE_INCOMING": self.file("saved")}

        def tool(hard, command):
            return subprocess.run([TOOL, *command.split()], capture_output=True, text=True, check=False,
                                  env={**os.environ, **known, "LD_PRELOAD": str(PROGRAMS / "fake.so")},
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (7, hard)))

        whole = set(tool(100, "list --raw --noheadings --output uuid,pid").stdout.splitlines())
        self.assertEqual(len(whole), 4)
        few = 0
        for hard in range(7, 20):
            with self.subTest(hard=hard):
                listed = tool(hard, "list --raw --noheadings --output uuid,pid")
                verify, doctor = (tool(hard, command) for command in ("verify", "doctor"))
                self.assertLessEqual(set(listed.stdout.splitlines()), whole)
                less = len(listed.stdout.splitlines()) < 4
                few += less
                self.assertEqual((listed.returncode, verify.returncode, "some could not be looked at" in doctor.stdout,
                                  doctor.returncode), (1, 1, True, 4) if less else (0, 5, False, 4))
                self.assertEqual("cannot be looked at" in listed.stderr, less)
        self.assertIn(few, range(2, 8))


class Selftest(Case):
    @needs_kvm
    def test_selftest(self):
        """Without the module, by this machine's KVM, if it has one."""
        saved = self.work / "selftest.json"
        done = self.run_program(TOOL, "selftest", "--json", "--device", "/nonexistent", "--save", saved)
        found = parse(done.stdout)
        self.assertEqual(found, parse(saved.read_bytes()))
        self.assertEqual(found["kernel"], os.uname().release)
        results = {row["test"]: row for row in found["tests"]}
        self.assertEqual(results["the module's check of itself"]["message"], "the module is not loaded")
        ran = [row for row in found["tests"] if row["result"] == "passed" and row["test"].startswith("save and restore")]
        self.assertGreaterEqual(len(ran), 4)
        for row in ran:
            self.assertEqual((row["cycles"], int(row["ns"]) <= int(row["bound_ns"])), ("0", True))
        with open("/dev/kvm", "rb") as kvm:
            self.run_program(TOOL, "selftest", "--kvm-fd", str(kvm.fileno()), pass_fds=[kvm.fileno()])
        self.run_program(TOOL, "selftest", "--kvm-fd", "0", status=1)


def loaded_image(root, line):
    """In the kernel's memory, a kernel that is loaded for a kexec: the image leads to a list of pages, with where they are
    to be, on two pages itself; of the last two the first is the boot parameters, and @line goes over both."""
    page, direct, destination, indirection, done, source = 4096, 0xffff888000000000, 1, 2, 4, 8
    at, low = 0x90ff8, 0x90000
    parameters = bytearray(2 * page)
    struct.pack_into("<4s8xH", parameters, 0x202, b"HdrS", 0x100)
    struct.pack_into("<I", parameters, 0x228, at if line else 0)
    for offset, text in ((0x300, "6.12.2-amd64 (somebody)"), (at - low, line)):
        parameters[offset:offset + len(text)] = text.encode()
    first = [0x100000 | destination, *[7 * page | source] * 510, 4 * page | indirection]
    second = [low | destination, 5 * page | source, 6 * page | source, done]
    lists = b"".join(struct.pack(f"<{len(entries)}Q", *entries).ljust(page, b"\0") for entries in (first, second))
    memory = b"".join([bytes(page), struct.pack("<Q", direct + 2 * page).ljust(page, b"\0"),
                       struct.pack("<Q", 3 * page | indirection).ljust(page, b"\0"), lists, parameters, bytes(page)])
    header = b"\x7fELF" + bytes(28) + struct.pack("<Q14xHH", 64, 56, 1)
    segment = struct.pack("<II6Q", 1, 0, page, direct, 0, len(memory), len(memory), page)
    (root / "proc/kcore").write_bytes((header.ljust(64, b"\0") + segment).ljust(page, b"\0") + memory)
    (root / "proc/kallsyms").write_text(f"{direct + page:x} D kexec_image\n")


class Doctor(Case):
    """doctor.tbl says what is in it."""

    def setUp(self):
        super().setUp()
        names, self.host, self.amiss = {}, [], []
        for line in (HERE / "doctor.tbl").read_text().splitlines():
            line = re.sub(r"\b[A-Z_]+\b", lambda word: names.get(word[0], word[0]), line)
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) == 2:
                self.host.append(cells[1])
            elif len(cells) == 5 and not line.startswith("#"):
                self.amiss.append(cells)
            elif re.match("[A-Z]", line):
                names.update([line.split(" = ", 1)])

    def doctor(self, changes, status):
        """The rows by the names of their checks, what is in them as one text."""
        root, fake, more = self.work / "root", {"LIVE": "live-two"}, ""
        shutil.rmtree(root, ignore_errors=True)
        for change in [*self.host, *filter(None, changes.split(" ; "))]:
            name, becomes, text = change.partition(" =")
            path = root / name.split()[0][1:]
            if change.startswith("command "):
                more = change[len("command "):]
            elif change.startswith("image"):
                loaded_image(root, change[len("image "):])
            elif not change.startswith("/"):
                fake.update([change.split("=")])
            elif becomes:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text[1:].encode().decode("unicode_escape").replace("{pid}", str(self.vmm.pid)))
                path.chmod(0o755)
            else:
                path.unlink()
        rows = {}
        for row in self.tool(int(status), f"doctor --sysroot {root} {more}", {}, **fake)["checks"]:
            text = "; ".join(str(row[key]) for key in ("found", "why", "remedy"))
            rows.setdefault(row["check"], []).append((row["verdict"], text))
        return rows

    def test_doctor(self):
        self.start_vmm("0", "-uuid", uuid("a"), "-name", "web1")
        self.assertEqual({verdict for rows in self.doctor("", 0).values() for verdict, _ in rows}, {"ready"})
        self.assertGreater(len(self.amiss), 40)
        for status, check, verdict, text, changes in self.amiss:
            with self.subTest(changes=changes):
                rows = self.doctor(changes, status).get(check, [])
                self.assertTrue([1 for found, said in rows if found == verdict and text in said], rows)

    def test_nameless(self):
        self.start_vmm("0")
        self.assertEqual(self.doctor("", 0)[f"vm {self.vmm.pid}"][0][0], "warning")


if __name__ == "__main__":
    for folder in (ROOT / "userspace", HERE):
        subprocess.run(["make", "-s", "-C", folder], check=True, stdout=sys.stderr)
    sys.exit(ktap.main())
