#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Tests of the library and kvmclockctl as far as that goes without KVM: raw dumps, exit codes, messages,
finding VMs of other processes, the library's order of writes; against a simulated device (fake.c).

    tests/cli/test_tool.py [CASE...]

Most of a test is rows of what tool() takes: exit status, command, expected output, expected complaint, and
what the simulated device has. In a command {pid} is the process that start_vmm() started last, {a} the UUID
that mk-region gives a VM whose name starts with this letter, {NAME} a file.
"""
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))
import ktap  # noqa: E402

PROGRAMS = ROOT / "build/tests/cli"
USERSPACE = ROOT / "build/userspace"
TOOL = USERSPACE / "kvmclockctl"
OFFSET = -68719476736  # of the vCPUs that mk-region writes

# Files, and how mk-region makes them: VMs, in a record with the sequence 7 in slot 0; then other commands of it.
TWO_SLOTS = ["web:1", "65536 1 8 web:1"]
REGIONS = {
    "web": ["web:2"], "saved": ["a:2 z:1"], "large": ["a:100"], "live-two": ["a:2 b:1"], "live-four": ["a:2 b:2:1 c:2:0:1 d:1"],
    # VM 0 as saved, VM 1 one cycle off, VM 2 one of mul off.
    "live": ["a:2 a:2:1 a:2:0:1"],
    "lost": ["a:2:1:0:-2000"], "stale": ["a:2:0:0::16"], "no-master": ["a:2:0:0::4"],
    # Read again at the seal; out of date; without master clock; read when it went away.
    "clocks": ["a:2 b:1:0:0::16 c:1:0:0::4 d:1:0:0::9"],
    "blank": ["a:2 'c 1:1:0:0::4'"], "web2": ["a:2 web2:1"], "web3": ["a:2 web3:1"], "two-vms": ["web:1 db:1"],
    "both": ["web:2 db:1", "65536 1 8 web:2:1 db:1 mail:4"], "two-slots": TWO_SLOTS,
    "incompatible": [*TWO_SLOTS, "incompat 65536 1"], "newest-damaged": [*TWO_SLOTS, "flip 32840 3"],
    "entry-damaged": ["web:1 db:1", "flip 330 1", "flip 340 1"], "damaged": ["a:2 z:1", "flip 740 3"],
    "revoked": ["web:1", "revoke 65536 0"],
}


def uuid(letter):
    return f"11111111-1111-1111-1111-1111111111{ord(letter):02x}"


def parse(data):
    """One JSON document, in UTF-8, in which no name is there twice, and no number is one of 64 bits: those are strings."""
    def unique(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError(f"a name is there twice: {pairs}")
        return dict(pairs)

    def small(digits):
        if not -1 << 31 <= int(digits) < 1 << 32:
            raise ValueError(f"not exact for every reader: {digits}")
        return int(digits)
    # int() refuses what has a point, and NaN.
    return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=int, parse_float=int, parse_int=small)


def value(found, path):
    """Of a document the value of this name; "vms.name" is the list of the names of all `vms`."""
    for key in path.split("."):
        found = [row[key] for row in found] if isinstance(found, list) else found[key]
    return found


class Case(unittest.TestCase):
    maxDiff = None
    preload = True
    vmm = None

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
        if name in REGIONS and not (self.work / name).exists():
            for line in ["65536 0 7 " + REGIONS[name][0], *REGIONS[name][1:]]:
                self.run_program(PROGRAMS / "mk-region", self.work / name, *shlex.split(line))
        return str(self.work / name)

    def expand(self, match):
        name = match[1]
        return str(self.vmm.pid) if name == "pid" else uuid(name) if len(name) == 1 else self.file(name)

    def tool(self, status, command, expected="", err="", fake=None):
        """Runs the tool. `expected` is in its output; or if a dictionary, the document that it prints as JSON, and
        that is returned, has these values, by their path. `err` is in what it complains of."""
        arguments = shlex.split(re.sub(r"\{([\w-]+)\}", self.expand, command))
        if isinstance(expected, dict) and "--json" not in arguments:
            arguments.append("--json")
        environment = {f"FAKE_{key}": self.file(word) if word in REGIONS else str(word) for key, word in (fake or {}).items()}
        if self.preload:
            environment["LD_PRELOAD"] = str(PROGRAMS / "fake.so")
        done = self.run_program(TOOL, *arguments, status=status, env={**os.environ, **environment})
        self.out, self.err = done.stdout.decode(), done.stderr.decode()
        self.assertIn(err, self.err, command)
        if not isinstance(expected, dict):
            self.assertIn(expected, self.out, command)
            return None
        document = parse(done.stdout)
        self.assertEqual({path: value(document, path) for path in expected}, expected, command)
        return document

    def rows(self, *rows, **fake):
        """Each is what tool() takes; what the device has is for all of them, or of one alone."""
        for status, command, *more in rows:
            expected, err, own = more + ["", "", {}][len(more):]
            with self.subTest(command=command):
                self.tool(status, command, expected, err, {**fake, **own})

    def start_vmm(self, numbers, *arguments):
        """A process that looks like it has the simulated VMs of these numbers."""
        self.stop_vmm()
        self.vmm = subprocess.Popen([PROGRAMS / "fake-vmm", numbers, *arguments], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
        self.assertEqual(self.vmm.stdout.readline(), b"ready\n")

    def stop_vmm(self):
        if self.vmm:
            self.vmm.kill()
            # Until it is gone it would be in the next case's list.
            self.vmm.communicate()
            self.vmm = None

    def listed(self, source, name, **fake):
        """Of what `list` has of this source this column; of those that run, the VMs of our process."""
        return [vm[name] for vm in self.tool(0, "list", {}, fake=fake)["vms"]
                if vm["source"] == source and (source != "live" or vm["pid"] == self.vmm.pid)]


class Usage(Case):
    preload = False

    def test_usage(self):
        for command in ("", "show", "restore", "unsave", "save --bogus", "save --id 00000000-0000-0000-0000-000000000000",
                        "save --pid 0", "save --pid 1x", "save --all --pid 1", "save --pid 1 --name " + "x" * 64,
                        "status --all", "decode", "decode a b", "show --pid 1 --incoming", "help list verify"):
            self.tool(2, command)
        # No beginnings of names, nothing twice, no opposites.
        self.rows(*((2, command, "", message) for command, message in {
            "nonsense": "no command 'nonsense'", "help nonsense": "no command 'nonsense'", "save": "save: which VM?",
            "save --id": "--id needs a value", "save --id 12": "not a UUID: 12", "save --fd 3 --all": "--fd needs --pid",
            "status extra": "unexpected operand: extra", "status --js": "no option --js\n", "status -x": "no option -x\n",
            "restore --pid 1 --hol=5": "no option --hol\n", "status --json=5": "--json=5: the option takes no value",
            "save --pid 1 --pid 2": "--pid is given twice", "status -o modes": "no option -o",
            "show --id {a} --incoming --outgoing": "--incoming and --outgoing do not go together",
            "verify --outgoing --incoming": "--outgoing and --incoming do not go together",
            "kexec-args --shell --grub": "--shell and --grub do not go together",
            "decode --record --size 4096 x": "--record and --size do not go together",
            "list -o UUID,NOPE": "no column NOPE", "list --json -o UUID": "does not go together"}.items()))
        self.rows(*((0, command, "kexec-args") for command in ("--help", "help")),
                  *((0, command) for command in ("--version", "-V")),
                  *((0, command, text) for command in ("restore --help", "restore -h", "help restore")
                    for text in ("Usage: kvmclockctl restore --pid PID", "--unsealed ")))

    def test_errors_in_json(self):
        self.rows(*((2, command, {"errors": [{"error": "usage", "errno": None, "object": None, "message": message}]})
                    for command, message in (("save --json --id 12", "not a UUID: 12"), ("save --id 12 --json", "not a UUID: 12"),
                                             ("nonsense --json", "no command 'nonsense'"))))
        failed = {"errors": [{"error": "failed", "errno": "ENOENT", "object": "/nonexistent",
                              "message": "No such file or directory"}]}
        self.rows(*((1, command + " --device /nonexistent", {**failed, **empty}) for command, empty in (
            ("list", {}), ("status", {}), ("save --all", {"vms": []}), ("verify", {"vms": []}), ("show --id {a}", {"vcpus": []}))))

    def test_manual(self):
        """The manual and --help have the same commands, options and columns."""
        manual = (ROOT / "Documentation/man/kvmclockctl.8").read_text()
        commands, output = (re.split(r"^\.Ss ", re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh)", manual, re.M | re.S)[1], flags=re.M)[1:]
                            for name in ("COMMANDS", "OUTPUT"))
        columns = {name: re.findall(r"^\.It Va (\S+)", part, re.M) for part in output for name in part.split("\n")[0].split(", ")}
        self.tool(0, "help")
        self.assertEqual(re.findall(r"^  ([a-z-]+)  ", self.out, re.M), [part.split()[0] for part in commands])
        common = re.findall(r"^\.It Fl -([a-z-]+)", manual[manual.index(".Ss Form of the output"):manual.index(".Sh COMMANDS")], re.M)
        for part in commands:
            name = part.split()[0]
            self.tool(0, name + " --help")
            options = re.findall(r"^  --([a-z-]+)", self.out, re.M)
            own = re.findall(r"Fl -([a-z-]+)", part.split("\n")[0]) + re.findall(r"^\.It Fl -([a-z-]+)", part, re.M)
            self.assertEqual(sorted({*own, *common[:3], *(common[3:] if "\nColumns:" in self.out else [])}), sorted(options), name)
            found = [word.lower() for word in re.findall(r"^  ([A-Z_]+)", self.out, re.M)]
            self.assertEqual(found, columns.get(name, [])[:len(found)], name)

    def test_no_device(self):
        self.rows((1, "status --device /nonexistent", "", "kvmclockctl status: /nonexistent: No such file or directory\n"),
                  (1, "status --device /dev/null", "", "this is not the device of the module"),
                  (1, "list --device /nonexistent"), (1, "verify --device /nonexistent"))

    def test_full_disk(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([TOOL, "decode", self.file("web")], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)


class Decode(Case):
    preload = False

    def write(self, **contents):
        for name, data in contents.items():
            (self.work / name).write_bytes(data)

    def test_region(self):
        found = self.tool(0, "decode {both}", {
            "kind": "region", "newest_slot": 1, "sequence": "8", "generation": "3", "sealed": True, "tsc_khz": 2596124,
            "tsc_source": "settled", "realtime_ns": "1700000000123456789", "kernel_release": "6.12.0-test",
            "boot_id": "b0b0b0b0-b0b0-b0b0-b0b0-b0b0b0b0b0b0", "damage": [], "errors": [],
            "slots.state": ["valid", "valid"], "vms.name": ["web", "db", "web", "db", "mail"]})
        self.assertEqual((found["vms"][0]["uuid"], found["vms"][0]["kvmclock_offset"]), (uuid("w"), "-3000000000"))
        self.assertEqual((len(found["vcpus"]), set(value(found, "vcpus.tsc_offset"))), (10, {str(OFFSET), str(OFFSET + 1)}))
        with open(self.file("both"), "rb") as file:
            self.assertIn(b"newest_slot:           1\n", self.run_program(TOOL, "decode", "-", stdin=file).stdout)

    def test_empty(self):
        self.write(zero=bytes(65536), short=bytes(100), nothing=b"")
        self.rows((3, "decode {zero}", {"slots.state": ["empty", "empty"], "newest_slot": None}, "there is no record in it"),
                  (3, "decode --json {revoked}", "taken back"), (1, "decode {nonexistent}", "", "No such file"),
                  (1, "decode {short}", "", "too small"), (1, "decode {nothing}"))

    def test_record(self):
        data = Path(self.file("web")).read_bytes()
        # One that lost its end is a damaged region, or with --record a damaged record.
        self.write(record=data[:320 + 192 + 2 * 64], cut=data[:600])
        self.rows((0, "decode {record}", {"kind": "record", "vms.name": ["web"]}),
                  (0, "decode --record {web}", {"kind": "record", "vcpus.tsc_shift": [-1, -1]}),
                  (1, "decode --record {cut}"), (1, "decode {cut}"))

    def test_wrong_size(self):
        """Of a dump that was cut or padded, the first slot's record is not taken for the newest."""
        data = Path(self.file("two-slots")).read_bytes()
        self.write(cut=data[:49152], odd=data[:-1], padded=data + bytes(4096), shifted=bytes(4096) + data, half=data[:32768])
        for name in ("cut", "odd", "padded", "shifted"):
            found = self.tool(1, f"decode {{{name}}}", {"newest_slot": None}, "the newest record is not known")
            self.assertEqual(found["errors"][0]["errno"], "EMSGSIZE", name)
        self.rows((0, "decode --size 65536 {padded}", {"newest_slot": 1, "errors": []}),
                  (1, "decode --size 65536 {cut}", "", "the dump was cut"),
                  # All of the second slot is gone: nothing shows that, so it is said.
                  (0, "decode {half}", {"errors.error": ["warning"]}, "a newer record may be missing if the dump was cut"),
                  # A newer record that this tool cannot read: the older one is out of date.
                  (4, "decode {incompatible}", {"slots.state": ["valid", "newer"], "newest_slot": None}, "incompatible features"))

    def test_bits(self):
        """Every bit of a record: it is said where one is wrong, and what is behind it can still be read."""
        self.tool(0, "decode {two-vms}", {"damage": []})
        # magic, header_size, vm_size, sequence, host_tsc, crc32c, reserved2, commit
        header = (0, 8, 13, 33, 73, 304, 308, 312, 319)
        # size, size, crc32c, uuid, name, vcpu_count, vcpu_count, master_cycle_now; of vCPU 0 tsc_offset,
        # tsc_to_system_mul, tsc_shift
        entry = (320, 321, 324, 330, 344, 408, 409, 420, 520, 560, 564)
        for byte, bit in ((byte, bit) for byte in header + entry for bit in (0, 5, 7)):
            with self.subTest(byte=byte, bit=bit):
                shutil.copy(self.file("two-vms"), self.work / "bad")
                self.run_program(PROGRAMS / "mk-region", self.work / "bad", "flip", str(byte), str(bit))
                found = self.tool(1, "decode {bad}", {"damage.where": ["header" if byte in header else "VM entry 0"]})
                # Of a wrong size or number of vCPUs, where the next one begins is not known.
                left = [] if byte in (320, 321, 408, 409) else ["db"]
                self.assertTrue(byte in header or value(found, "vms.name") == left)
        self.assertIn("slot 0: VM entry 0: VM entry at byte 320: checksum", self.err)

    def test_damaged(self):
        self.write(noise=os.urandom(65536))
        self.rows((1, "decode {entry-damaged}", {"damage.where": ["VM entry 0"], "vms.name": ["db"]}),
                  # The older record is whole: it is shown, the newer one's damage too.
                  (1, "decode {newest-damaged}", {"newest_slot": 0, "slots.state": ["valid", "damaged"],
                                                  "damage.slot": [1], "damage.where": ["header"]}),
                  (1, "decode --json {noise}", "", "magic number"))

    def test_large(self):
        """More than any region has is refused before it is kept."""
        done = self.run_program(TOOL, "decode", "/dev/zero", status=1,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (300000 << 10,) * 2))
        self.assertIn(b"/dev/zero: more than 67108864 bytes: no region is that large", done.stderr)
        for size, status, err in ((67108864, 3, ""), (67108865, 1, "no region is that large")):
            with open(self.work / "sparse", "wb") as file:
                file.truncate(size)
            self.tool(status, "decode {sparse}", "", err)

    def test_hostile_text(self):
        self.run_program(PROGRAMS / "mk-region", self.work / "hostile", "65536", "0", "7", b'e\x1b[2J"\\\t\xffx:1')
        self.rows((0, "decode {hostile}", r'e\x1b[2J"\x5c\x09\xffx'),
                  (0, "decode {hostile}", {"vms.name": [r'e\x1b[2J"\x5c\x09\xffx'], "vms.pid": [4242]}))
        self.tool(0, "decode {hostile}")
        self.assertNotIn("\x1b", self.out)


class Library(Case):
    def program(self, name, passed, **environment):
        """The number of cases is checked, so that none is lost."""
        done = subprocess.run([PROGRAMS / name], env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        if re.search("^1..0 # SKIP", done.stdout, re.M):
            self.skipTest("no usable /dev/kvm")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"# Totals: pass:{passed} fail:0 skip:0", done.stdout)

    def test_library(self):
        self.program("test-library", 19, SAVED_REGION=self.file("saved"), LIVE_REGION=self.file("live-four"),
                     LARGE_REGION=self.file("large"))

    def test_stock(self):
        """Without the module. The bytes are a record: the tool shows them."""
        self.program("test-stock", 16, STOCK_FILE=self.file("stock"))
        self.tool(0, "decode {stock}", {"vms.name": ["web1"], "damage": [], "vcpus.tsc_offset": [str(OFFSET)] * 2})

    def test_stock_vm(self):
        self.program("test-stock-vm", 4)

    def test_stock_kvm(self):
        """With this machine's KVM, if it has one; the emulated host runs the same program."""
        self.program("stock-kvm", 3, STOCK_CONTROL_IS_ELSEWHERE="1", STOCK_READINGS="800")

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
        self.run_program(HERE / "check-install.sh", ROOT / "userspace", timeout=600)


class Device(Case):
    def test_status(self):
        self.rows((0, "status", {"modes": "identical", "region_start": str(0x30000000), "incoming": True,
                                 "incoming_kernel": "6.12.0-test", "incoming_error": None}, "", {"INCOMING": "saved"}),
                  (0, "status", {"incoming": False, "incoming_error": "ENODATA"}),
                  (0, "status --json", "no record was ever written here"), (1, "status", "", "", {"ERROR": "0:1:"}))

    def test_list(self):
        self.start_vmm("0", "-uuid", uuid("a"), "-name", "guest=web1,debug-threads=on")
        both = {"INCOMING": "saved", "LIVE": "saved"}
        self.assertEqual([self.listed(source, "name", **both) for source in ("incoming", "outgoing", "live")],
                         [["a", "z"], [], ["web1"]])
        for name in ("incoming", "outgoing"):
            self.assertEqual(self.listed(name, "clock", INCOMING="clocks", OUTGOING="clocks"),
                             ["exact", "stale", "no master clock", "exact"])
        names = ("at_seal", "at_end", "stale", "master_clock")
        self.rows(*((0, f"show --id {{{letter}}}", dict(zip(names, expected))) for letter, expected in (
            ("a", (True, False, False, True)), ("b", (False, False, True, False)), ("c", (True, False, False, False)),
            ("d", (False, True, False, True)))), INCOMING="clocks")
        self.start_vmm("99,0", "-uuid", uuid("a"))
        self.assertEqual(self.listed("live", "uuid"), [uuid("a")])

    def test_columns(self):
        for options, fake, expected in (
                ("-o clock,NAME", "blank", ["CLOCK           NAME", "exact           a", "no master clock c 1"]),
                ("--output=BYTES --noheadings", "blank", ["  320", "  256"]),
                ("--raw --output NAME,HOLD", "blank", ["NAME HOLD", "a -", r"c\x201 -"]),
                # Of nothing it is a list, too.
                ("", "", ["SOURCE UUID NAME PID VCPU_COUNT LIVE RESTORED CLOCK HOLD"]), ("--noheadings", "", [])):
            self.tool(0, "list " + options, fake={"NO_VMS": 1, **({"INCOMING": fake} if fake else {})})
            self.assertEqual(self.out.splitlines(), expected)
        self.assertEqual(self.tool(0, "list", {}, fake={"NO_VMS": 1}), {"vms": [], "errors": []})

    def test_show(self):
        self.start_vmm("0", "-uuid", uuid("a"), "-name", "guest=web1,debug-threads=on")
        self.rows((0, "show --id {a}", {"source": "incoming", "vcpu_count": 2, "vcpus.tsc_shift": [-1, -1]}),
                  (3, "show --id {q}"), INCOMING="saved")
        self.rows((0, "show --id {a}", {"source": "outgoing"}), (3, "show --incoming --id {a}"), OUTGOING="saved")
        self.rows((0, "show --pid {pid}", {"source": "live", "uuid": uuid("a"), "rebase_bound_ns": "46"}),
                  (3, f"show --pid {os.getpid()}", "", "it has no such VM"),
                  # It ended between being looked at and being named; it closed one and has another file there.
                  (3, "show --pid {pid}", "", "it has no such VM", {"ENDED": 1}), LIVE="saved")

    def test_save(self):
        self.start_vmm("0,1", "--uuid", uuid("a"), "-name", "web1")
        saved, full = "save --pid {pid} --fd 3", {"ERROR": "1:28:region full, 4096 bytes needed"}
        self.rows((0, saved, {"vms.uuid": [uuid("a")], "vms.result": ["saved"]}),
                  (2, "save --pid {pid}", "", "it has several VMs"), (0, "save --id {a}"), (3, "save --id {q}"),
                  (0, saved + " --id {q} --name Q", {"vms.uuid": [uuid("q")], "vms.name": ["Q"]}),
                  (0, saved, {"vms.result": ["replaced"]}, "", {"OUTGOING": "live-two"}),
                  (4, "save --id {a}", {"errors.errno": ["ENOSPC"]}, "", full),
                  (1, "save --id {a}", "", "", {"ERROR": "1:1:not permitted"}),
                  # One that is saved stays so.
                  (4, "save --id {a}", "", "it is preserved already; what was saved stays\n",
                   {"ERROR": "1:17:it is preserved already"}), LIVE="live-two")
        # A failure is reported, and the next VM is done all the same.
        found = self.tool(1, "save --all", {}, "kvmclockctl save: web1: region full, 4096 bytes needed; its clock is not saved",
                          {"LIVE": "live-two", **full})
        self.assertEqual(set(value(found, "vms.result")), {"ENOSPC"})
        self.assertGreaterEqual(len(found["vms"]), 2)

    def test_unsave(self):
        self.rows((0, "unsave --all", {"vms.name": ["a", "z"]}, "", {"OUTGOING": "saved"}), (3, "unsave --all"),
                  (3, "unsave --id {a}", "", "the record is unchanged", {"ERROR": "2:2:no VM of that id"}))

    def test_identity(self):
        """Ids: QEMU's, from a name, from the process; always the same."""
        # An interface: FNV-1a of kvmclock-handover:name:db,1 and ...:db,1:1, as UUIDv8.
        ids = ["603cb51c-a96a-8b18-90c6-14711047ae30", "6699eba9-7965-87a9-a5e8-4ab631fa2ce9"]
        for names in (["guest=db,,1,process=qemu"], ["guest=db,,1"], ["db,,1,debug-threads=on"],
                      ["debug-threads=on,guest=db,,1"],
                      ["process=q,,guest=z,guest=z,guest=db,,1,debug-threads=on"],
                      # Another option of the same kind takes nothing away, and is no name.
                      ["db,,1", "process=qemu,debug-threads=on"]):
            self.start_vmm("0,1", *(word for name in names for word in ("-name", name)))
            self.assertEqual(sorted(self.listed("live", "uuid")), ids, names)
            self.assertEqual(self.listed("live", "name"), ["db,1", "db,1"])
        self.start_vmm("5")
        first, second = (self.listed("live", "uuid") for _ in range(2))
        self.assertEqual(first, second)
        self.assertRegex(first[0], "^........-....-8...-[89ab]...-............$")

    def test_finish(self):
        self.rows((0, "finish", {"restored": 1}),
                  (4, "finish", "", "kvmclockctl finish: 1 VM was not restored; the record is kept",
                   {"ERROR": "7:39:1 VM was not restored"}),
                  (3, "finish", "", "kvmclockctl finish: no record\n", {"ERROR": "7:61:no record"}))

    def test_kexec_args(self):
        ours = "memmap=1M$0x30000000 kvmclock_handover.region=0x30000000,1M tsc_early_khz=2596124 hpet=disable pmtmr=0"
        kho = "kho=on tsc_early_khz=2596124 hpet=disable pmtmr=0"
        theirs = 'BOOT_IMAGE=/vmlinuz root=/dev/vda memmap=4K$0x1000,1M$0x30000000 kvmclock-handover.region=1,2 hpet=force ' \
            'tsc_early_khz=5 dyndbg="file a +p" quiet -- single'
        for options, cmdline, expected, fake in (
                ("", "", ours, {}), ("--shell", "", f"'{ours}'", {}), ("--grub", "", ours.replace("$", "\\\\\\$"), {}),
                ("--append --cmdline", theirs, f'root=/dev/vda memmap=4K$0x1000 dyndbg="file a +p" quiet {ours} -- single', {}),
                # Twice is the same as once.
                ("--append --cmdline", f"root=/dev/vda {ours}", f"root=/dev/vda {ours}", {}),
                ("", "", kho, {"BACKEND": 3}), ("--append --cmdline", "kho=off quiet", f"quiet {kho}", {"BACKEND": 3})):
            self.tool(0, f"kexec-args {options} {cmdline and shlex.quote(cmdline)}", fake=fake)
            self.assertEqual(self.out, expected + "\n")
        self.rows((0, "kexec-args", {"args": ours}), (0, "kexec-args", "", "may still change", {"TSC_SOURCE": 0}),
                  (4, "kexec-args", "", "", {"BACKEND": 0}), (4, "kexec-args", "", "still calibrating", {"TSC_SOURCE": 1}))
        self.tool(4, "kexec-args", fake={"TSC_SOURCE": 1})
        self.assertEqual(self.out, "")


class Restore(Case):
    def setUp(self):
        super().setUp()
        self.start_vmm("0", "-uuid", uuid("a"), "-name", "web1")

    def test_restore(self):
        behind = "host TSC is behind the saved one (12.3 s < 4021.9 s): the machine was reset"
        self.rows((0, "restore --id {a}", {"mode": "identical", "blackout_ns": "1234567"}),
                  (0, "restore --pid {pid} --id {z}", {}), (3, "restore --pid {pid} --id {q}"),
                  # A process that has ended is no VM that is not there.
                  *((4, "restore --pid {pid}", "", f"kvmclockctl restore: web1: {said}; guest clock not changed\n",
                     {"ERROR": f"6:{errno}:{said}"}) for errno, said in (
                         (62, behind), (45, "vCPU 0 has another offset"), (3, "the VM's process has ended"))),
                  (4, "restore --pid {pid}", "", "it may have had another clock since; guest clock not changed", {"INCOMING": "stale"}),
                  (0, "restore --pid {pid} --stale", {"mode": "identical"}, "", {"INCOMING": "stale"}),
                  # All its vCPUs were in the tool's hands, and nothing else of them.
                  (0, "restore --pid {pid}", {"error_cycles": "2", "result": "restored"}), INCOMING="saved")
        # Saved under another id: found by its name, if that is one.
        self.start_vmm("0", "-name", "web2")
        self.rows((0, "restore --pid {pid}", {"uuid": uuid("w")}, "", {"INCOMING": "web2"}),
                  (3, "restore --pid {pid}", "", "", {"INCOMING": "web3"}))

    def test_hold(self):
        hold = "restore --pid {pid} --hold"
        self.rows((2, "restore --pid {pid} --wait", "", "--wait needs --hold"),
                  *((2, f"{hold}={seconds}", "", f"--hold: not a number from 1 to 3600: {seconds}")
                    for seconds in ("0", "3601", "-1", "5s", "99999999999")),
                  # In the foreground: what came of it.
                  (0, hold + " --wait", {"mode": "identical", "host_tsc": "60000"}),
                  (0, hold + "=3600 --wait", {"host_tsc": "3600000"}),
                  (4, hold + " --wait", "", "kvmclockctl restore: web1: its VMM did not resume within 60000 ms; "
                   "the guest's clock is as its VMM left it\n", {"ERROR": "10:110:its VMM did not resume within 60000 ms"}),
                  (4, hold + " --wait", "", "", {"ERROR": "10:3:the VM was closed"}),
                  (4, hold, "", "vCPU 1 is running; guest clock not changed", {"ERROR": "6:16:vCPU 1 is running"}),
                  # Only asked: nobody is held.
                  (0, hold + " --check", {"result": "restorable", "blackout_ns": "1234567", "errors": []}), INCOMING="saved")
        # In the background: the tool has ended, its output too (or this would take too long), though the hold has not.
        found = self.tool(0, hold + "=9", {"result": "held"}, fake={"INCOMING": "saved", "WAIT": 1})
        self.assertNotIn("mode", found)
        os.kill(found["holder"], 15)


class Verify(Case):
    fake = {"INCOMING": "saved", "LIVE": "live"}

    def verify(self, numbers, name, *rows, **fake):
        """Rows (status, options, verdicts or None, complaint, what else is expected), of the process that has these VMs."""
        self.start_vmm(numbers, "-uuid", uuid(name))
        for status, options, verdicts, *more in rows:
            err, expected = more + ["", {}][len(more):]
            self.rows((status, "verify " + options, {**expected, **({} if verdicts is None else {"vms.verdict": verdicts})}, err),
                      **{**self.fake, **fake})

    def test_verify(self):
        self.verify("0", "a", (5, "", ["identical", "not live"], "kvmclockctl verify: 1 of 2 VMs of the record are not running\n",
                               {"vms.cycles": ["0", None], "vcpus.identical": [True, True]}),
                    (0, "--id {a}", ["identical"]), (3, "--outgoing", None),
                    (5, "--id {z}", None, "1 of 1 VMs of the record are not running"))
        self.verify("1", "a", (1, "", ["differs", "not live"], "vCPU 0 is off by 0 ns, 1 cycles, 0 ppb", {"vms.cycles": ["1", None]}))
        self.verify("2", "a", (1, "", ["differs", "not live"], "", {"vms.cycles": ["0", None]}),
                    (3, "--pid {pid} --id {q}", None, "the record has no VM of that id"))
        self.verify("1", "q", (5, "", None, "2 of 2 VMs of the record are not running"),
                    (3, "--pid {pid}", None, "the record has no VM of that process"))
        self.tool(3, "verify", fake={"LIVE": "live"})

    def test_lost_master_clock(self):
        """Its master clock was lost, and one vCPU's TSC moved: KVM's clock is compared."""
        self.verify("0", "a", (1, "--id {a}", ["differs"], (
            "KVM has no master clock for it any more (its vCPUs' TSCs do not match, or the host's TSC went backwards); "
            "vCPU 0 is off by -2000 ns give or take 7, 1 cycles, at an unknown rate"), {
                "vms.ns": ["-2000"], "vms.cycles": ["1"], "vms.rate_ppb": [None], "vms.slack_ns": ["7"],
                "vcpus.identical": [False] * 2, "vcpus.ns": ["-2000"] * 2, "vcpus.cycles": ["1"] * 2,
                "vcpus.rate_ppb": [None] * 2, "vcpus.slack_ns": ["7"] * 2}), LIVE="lost")
        self.verify("0", "a", (1, "--id {a}", None, "(the host's clocksource is not the TSC)"), LIVE="lost", TSC_SOURCE=4)

    def test_which(self):
        """Told by the module, and by hand."""
        self.verify("1,0", "x", (1, "--id {a}", ["differs"]), KNOWN=1)
        self.verify("1,0", "x", (1, "--pid {pid} --fd 3 --id {a}", None), (0, "--pid {pid} --fd 5 --id {a}", None),
                    (3, "--pid {pid} --fd 99 --id {a}", None, "it has no such VM"),
                    (2, "--pid {pid} --id {a}", None, "it has several VMs: say which with --fd"))

    def test_stale(self):
        """The saved one, to the bit, but not known to be the last; and what cannot be compared."""
        self.verify("0", "a", (1, "", ["stale"], "that may not be the last that it had", {"vms.cycles": ["0"]}), INCOMING="stale")
        self.verify("0", "a", (1, "", ["differs"], "or did when it was read last"), INCOMING="no-master")

    def test_damaged_entry(self):
        """It may be any that was asked for, and is not there otherwise."""
        self.verify("0", "a", (1, "", ["identical", "unreadable"], "entry in the record is damaged", {"errors.errno": ["EBADMSG"]}),
                    (0, "--id {a}", ["identical"]), (0, "--pid {pid}", ["identical"]), (1, "--id {z}", ["unreadable"]),
                    INCOMING="damaged")
        self.verify("0", "z", (1, "--pid {pid}", ["unreadable"]), INCOMING="damaged")


if __name__ == "__main__":
    for folder in (ROOT / "userspace", HERE):
        subprocess.run(["make", "-s", "-C", folder], check=True, stdout=sys.stderr)
    sys.exit(ktap.main())
