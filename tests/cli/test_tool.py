#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Tests of the library and kvmclockctl as far as that goes without KVM: raw dumps, exit codes, messages,
finding VMs of other processes, the library's order of writes; against a simulated device (fake.c).

    tests/cli/test_tool.py [CASE...]

A test runs a command, and compares its status, what it prints, and what it complains of. Values are
compared in the JSON document, by their names.
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
REGION_SIZE = 65536
OFFSET = -68719476736  # of the vCPUs that mk-region writes


def uuid(letter):
    """Of the VM that mk-region gives a name with this first letter."""
    return f"11111111-1111-1111-1111-1111111111{ord(letter):02x}"


def parse(data):
    """One JSON document, in UTF-8, in which no name is there twice, and no number is one of 64 bits: those are strings."""
    def unique(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError(f"a name is there twice: {pairs}")
        return dict(pairs)

    def refuse(constant):
        raise ValueError(f"not JSON: {constant}")

    def small(digits):
        if not -1 << 31 <= int(digits) < 1 << 32:
            raise ValueError(f"not exact for every reader: {digits}")
        return int(digits)
    return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse, parse_float=refuse,
                      parse_int=small)


def column(rows, *names):
    """Of a table's rows, the cells of these columns."""
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]


def listed(found, source):
    """Of what `list` says, the VMs that run ("live"), or those of a record."""
    return [vm for vm in found["vms"] if vm["source"] == source]


class Case(unittest.TestCase):
    maxDiff = None
    vmm = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(self.stop_vmm)
        self.work, self.fake = Path(folder.name), {}

    def run_program(self, *command, status=0, **options):
        """The output, if the status is this one."""
        options.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(command, capture_output=True, check=False, **options)
        self.assertEqual(done.returncode, status, f"{command}: {(done.stdout + done.stderr).decode(errors='replace')}")
        return done

    def tool(self, status, command, *more, out=(), err=(), device=True, **fake):
        """Runs the tool. Each of `out` and `err` must be in its output and errors. In the command, {} is the work
        folder. Variables of the simulated device are given without FAKE_. With --json, returns the document."""
        variables = {f"FAKE_{key}": str(value).replace("{}", str(self.work)) for key, value in {**self.fake, **fake}.items()}
        environment = {**os.environ, **variables, **({"LD_PRELOAD": str(PROGRAMS / "fake.so")} if device else {})}
        arguments = [*shlex.split(command.replace("{}", str(self.work))), *map(str, more)]
        done = self.run_program(TOOL, *arguments, status=status, env=environment, timeout=60)
        self.out, self.err = done.stdout.decode(), done.stderr.decode()
        for text, found in [(text, self.out) for text in ([out] if isinstance(out, str) else out)] + \
                [(text, self.err) for text in ([err] if isinstance(err, str) else err)]:
            self.assertIn(text, found, arguments)
        return parse(done.stdout) if "--json" in arguments else None

    def table(self, *rows, **options):
        """Rows (status, command, what it complains of)."""
        for status, command, err in rows:
            with self.subTest(command=command):
                self.tool(status, command, err=err, **options)

    def region(self, file, slot, sequence, *vms):
        self.run_program(PROGRAMS / "mk-region", self.work / file, str(REGION_SIZE), str(slot), str(sequence), *vms)

    def change(self, file, what, *numbers):
        """flip BYTE BIT, revoke SIZE SLOT, incompat SIZE SLOT"""
        self.run_program(PROGRAMS / "mk-region", self.work / file, what, *map(str, numbers))

    def start_vmm(self, numbers, *arguments):
        """A process that looks like it has the simulated VMs of these numbers; its pid."""
        self.stop_vmm()
        self.vmm = subprocess.Popen([PROGRAMS / "fake-vmm", numbers, *arguments], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
        self.assertEqual(self.vmm.stdout.readline(), b"ready\n")
        return self.vmm.pid

    def stop_vmm(self):
        if self.vmm:
            self.vmm.kill()
            # Until it is gone it would be in the next case's list.
            self.vmm.communicate()
            self.vmm = None

    def live(self, **fake):
        """Of the process that was started last, what `list` says."""
        return [vm for vm in listed(self.tool(0, "list --json", **fake), "live") if vm["pid"] == self.vmm.pid]


class Usage(Case):
    def test_usage(self):
        self.table(
            (2, "", ()), (2, "nonsense", "no command 'nonsense'"), (2, "save", "save: which VM?"), (2, "show", ()),
            (2, "restore", ()), (2, "unsave", ()), (2, "save --bogus", ()), (2, "save --id", "--id needs a value"),
            (2, "save --id 12", "not a UUID: 12"), (2, "save --id 00000000-0000-0000-0000-000000000000", ()),
            (2, "save --pid 0", ()), (2, "save --pid 1x", ()), (2, "save --fd 3 --all", "--fd needs --pid"),
            (2, "save --all --pid 1", ()), (2, "save --pid 1 --name " + "x" * 64, ()),
            (2, "status extra", "unexpected operand: extra"), (2, "status --all", ()), (2, "decode", ()),
            (2, "decode a b", ()), (2, "show --pid 1 --incoming", ()), (0, "--version", ()), (0, "-V", ()),
            # No beginnings of names, nothing twice, no opposites.
            (2, "status --js", "no option --js\n"), (2, "restore --pid 1 --hol=5", "no option --hol\n"),
            (2, "status -x", "no option -x\n"), (2, "status --json=5", "--json=5: the option takes no value"),
            (2, "save --pid 1 --pid 2", "--pid is given twice"),
            (2, f"show --id {uuid('a')} --incoming --outgoing", "--incoming and --outgoing do not go together"),
            (2, "verify --outgoing --incoming", "--outgoing and --incoming do not go together"),
            (2, "kexec-args --shell --grub", "--shell and --grub do not go together"),
            (2, "decode --record --size 4096 x", "--record and --size do not go together"),
            (2, "list -o UUID,NOPE", "no column NOPE"), (2, "list --json -o UUID", "does not go together"),
            (2, "status -o modes", "no option -o"), (2, "help list verify", ()), (2, "help nonsense", "no command 'nonsense'"),
            device=False)
        self.tool(0, "--help", out="kexec-args", device=False)
        for command in ("restore --help", "restore -h", "help restore"):
            self.tool(0, command, out=["Usage: kvmclockctl restore --pid PID", "--unsealed "], device=False)
        self.tool(0, "help", out="kexec-args", device=False)

    def test_errors_in_json(self):
        for command, message in (("save --json --id 12", "not a UUID: 12"), ("save --id 12 --json", "not a UUID: 12"),
                                 ("nonsense --json", "no command 'nonsense'")):
            self.assertEqual(self.tool(2, command, device=False)["errors"],
                             [{"error": "usage", "errno": None, "object": None, "message": message}])
        for command in ("list", "save --all", "verify", f"show --id {uuid('a')}"):
            found = self.tool(1, command + " --json --device /nonexistent", device=False)
            self.assertTrue(found["vcpus" if "show" in command else "vms"] == [] or command == "list")
            self.assertEqual(found["errors"], [{"error": "failed", "errno": "ENOENT", "object": "/nonexistent",
                                                "message": "No such file or directory"}])

    def test_manual(self):
        """The manual and --help have the same commands, options and columns."""
        manual = (ROOT / "Documentation/man/kvmclockctl.8").read_text()
        commands, output = (re.split(r"^\.Ss ", re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh)", manual, re.M | re.S)[1], flags=re.M)[1:]
                            for name in ("COMMANDS", "OUTPUT"))
        columns = {name: re.findall(r"^\.It Va (\S+)", part, re.M) for part in output for name in part.split("\n")[0].split(", ")}
        self.tool(0, "help", device=False)
        self.assertEqual(re.findall(r"^  ([a-z-]+)  ", self.out, re.M), [part.split()[0] for part in commands])
        common = re.findall(r"^\.It Fl -([a-z-]+)", manual[manual.index(".Ss Form of the output"):manual.index(".Sh COMMANDS")], re.M)
        for part in commands:
            name = part.split()[0]
            self.tool(0, name + " --help", device=False)
            options = re.findall(r"^  --([a-z-]+)", self.out, re.M)
            own = re.findall(r"Fl -([a-z-]+)", part.split("\n")[0]) + re.findall(r"^\.It Fl -([a-z-]+)", part, re.M)
            self.assertEqual(sorted({*own, *common[:3], *(common[3:] if "\nColumns:" in self.out else [])}), sorted(options), name)
            found = [word.lower() for word in re.findall(r"^  ([A-Z_]+)", self.out, re.M)]
            self.assertEqual(found, columns.get(name, [])[:len(found)], name)

    def test_no_device(self):
        self.table((1, "status --device /nonexistent", "kvmclockctl status: /nonexistent: No such file or directory\n"),
                   (1, "status --device /dev/null", "this is not the device of the module"),
                   (1, "list --device /nonexistent", ()), (1, "verify --device /nonexistent", ()), device=False)
        found = self.tool(1, "status --json --device /nonexistent", device=False)
        self.assertEqual(column(found["errors"], "errno"), ["ENOENT"])

    def test_full_disk(self):
        self.region("r", 0, 7, "web:2")
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([TOOL, "decode", self.work / "r"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)


class Decode(Case):
    def decode(self, status, file="r", **options):
        return self.tool(status, f"decode --json {{}}/{file}", device=False, **options)

    def test_region(self):
        self.region("r", 0, 7, "web:2", "db:1")
        self.region("r", 1, 8, "web:2:1", "db:1", "mail:4")
        found = self.decode(0)
        expected = {"kind": "region", "newest_slot": 1, "sequence": "8", "generation": "3", "sealed": True, "tsc_khz": 2596124,
                    "tsc_source": "settled", "realtime_ns": "1700000000123456789", "kernel_release": "6.12.0-test",
                    "boot_id": "b0b0b0b0-b0b0-b0b0-b0b0-b0b0b0b0b0b0", "damage": [], "errors": []}
        self.assertEqual({key: found[key] for key in expected}, expected)
        self.assertEqual(column(found["slots"], "state"), ["valid", "valid"])
        self.assertEqual(column(found["vms"], "name"), ["web", "db", "web", "db", "mail"])
        self.assertEqual((found["vms"][0]["uuid"], found["vms"][0]["kvmclock_offset"]), (uuid("w"), "-3000000000"))
        self.assertEqual((len(found["vcpus"]), set(column(found["vcpus"], "tsc_offset"))), (10, {str(OFFSET), str(OFFSET + 1)}))
        done = self.run_program(TOOL, "decode", "-", stdin=open(self.work / "r", "rb"))
        self.assertIn(b"newest_slot:           1\n", done.stdout)

    def test_empty(self):
        (self.work / "zero").write_bytes(bytes(REGION_SIZE))
        found = self.decode(3, "zero", err="there is no record in it")
        self.assertEqual((column(found["slots"], "state"), found["newest_slot"]), (["empty", "empty"], None))
        self.region("r", 0, 7, "web:1")
        self.change("r", "revoke", REGION_SIZE, 0)
        self.decode(3, out="taken back")
        (self.work / "short").write_bytes(bytes(100))
        (self.work / "nothing").touch()
        self.table((1, "decode {}/nonexistent", "No such file"), (1, "decode {}/short", "too small"),
                   (1, "decode {}/nothing", ()), device=False)

    def test_record(self):
        self.region("r", 0, 7, "web:2")
        data = (self.work / "r").read_bytes()
        (self.work / "record").write_bytes(data[:320 + 192 + 2 * 64])
        found = self.decode(0, "record")
        self.assertEqual((found["kind"], column(found["vms"], "name")), ("record", ["web"]))
        found = self.tool(0, "decode --json --record {}/r")
        self.assertEqual((found["kind"], len(found["vcpus"])), ("record", 2))
        # One that lost its end is a damaged region, or with --record a damaged record.
        (self.work / "cut").write_bytes(data[:600])
        self.table((1, "decode --record {}/cut", ()), (1, "decode {}/cut", ()), device=False)

    def test_wrong_size(self):
        """Of a dump that was cut or padded, the first slot's record is not taken for the newest."""
        self.region("r", 0, 7, "web:1")
        self.region("r", 1, 8, "web:1")
        data = (self.work / "r").read_bytes()
        for name, content in (("cut", data[:49152]), ("odd", data[:-1]), ("padded", data + bytes(4096)),
                              ("shifted", bytes(4096) + data)):
            (self.work / name).write_bytes(content)
            found = self.decode(1, name, err="the newest record is not known")
            self.assertEqual((found["newest_slot"], found["errors"][0]["errno"]), (None, "EMSGSIZE"), name)
        found = self.tool(0, f"decode --json --size {REGION_SIZE} {{}}/padded")
        self.assertEqual((found["newest_slot"], found["errors"]), (1, []))
        self.tool(1, f"decode --size {REGION_SIZE} {{}}/cut", err="the dump was cut", device=False)
        # All of the second slot is gone: nothing shows that, so it is said.
        (self.work / "half").write_bytes(data[:32768])
        found = self.decode(0, "half", err="a newer record may be missing if the dump was cut")
        self.assertEqual(column(found["errors"], "error"), ["warning"])

    def test_newer(self):
        """A newer record that this tool cannot read: the older one is out of date."""
        self.region("r", 0, 7, "web:1")
        self.region("r", 1, 8, "web:1")
        self.change("r", "incompat", REGION_SIZE, 1)
        found = self.decode(4, err="incompatible features")
        self.assertEqual((column(found["slots"], "state"), found["newest_slot"]), (["valid", "newer"], None))

    def test_bits(self):
        """Every bit of a record: it is said where one is wrong, and what is behind it can still be read."""
        self.region("r", 0, 7, "web:1", "db:1")
        self.assertEqual(self.decode(0)["damage"], [])
        # magic, header_size, vm_size, sequence, host_tsc, crc32c, reserved2, commit
        header = (0, 8, 13, 33, 73, 304, 308, 312, 319)
        # size, size, crc32c, uuid, name, vcpu_count, vcpu_count, master_cycle_now; of vCPU 0 tsc_offset,
        # tsc_to_system_mul, tsc_shift
        entry = (320, 321, 324, 330, 344, 408, 409, 420, 520, 560, 564)
        for byte in header + entry:
            for bit in (0, 5, 7):
                with self.subTest(byte=byte, bit=bit):
                    shutil.copy(self.work / "r", self.work / "bad")
                    self.change("bad", "flip", byte, bit)
                    found = self.decode(1, "bad")
                    self.assertEqual(column(found["damage"], "where"), ["header" if byte in header else "VM entry 0"])
                    # Of a wrong size or number of vCPUs, where the next one begins is not known.
                    left = [] if byte in (320, 321, 408, 409) else ["db"]
                    self.assertTrue(byte in header or column(found["vms"], "name") == left)
        self.assertIn("slot 0: VM entry 0: VM entry at byte 320: checksum", self.err)

    def test_damaged(self):
        self.region("r", 0, 7, "web:1", "db:1")
        self.change("r", "flip", 330, 1)
        self.change("r", "flip", 340, 1)
        found = self.decode(1)
        self.assertEqual((column(found["damage"], "where"), column(found["vms"], "name")), (["VM entry 0"], ["db"]))
        # The older record is whole: it is shown, the newer one's damage too.
        (self.work / "r").unlink()
        self.region("r", 0, 7, "web:1")
        self.region("r", 1, 8, "web:1")
        self.change("r", "flip", 32768 + 72, 3)
        found = self.decode(1)
        self.assertEqual((found["newest_slot"], column(found["slots"], "state")), (0, ["valid", "damaged"]))
        self.assertEqual(column(found["damage"], "slot", "where"), [(1, "header")])
        # Something else altogether
        (self.work / "noise").write_bytes(os.urandom(REGION_SIZE))
        self.decode(1, "noise", err="magic number")

    def test_large(self):
        """More than any region has is refused before it is kept."""
        done = subprocess.run([TOOL, "decode", "/dev/zero"], capture_output=True, check=False, timeout=60,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (300000 << 10,) * 2))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"/dev/zero: more than 67108864 bytes: no region is that large", done.stderr)
        for size, status, err in ((67108864, 3, ()), (67108865, 1, "no region is that large")):
            with open(self.work / "large", "wb") as file:
                file.truncate(size)
            self.tool(status, "decode {}/large", err=err, device=False)

    def test_hostile_text(self):
        self.region("r", 0, 7, b'e\x1b[2J"\\\t\xffx:1')
        self.tool(0, "decode {}/r", out=r'e\x1b[2J"\x5c\x09\xffx', device=False)
        self.assertNotIn("\x1b", self.out)
        self.assertEqual(column(self.decode(0)["vms"], "name", "pid"), [(r'e\x1b[2J"\x5c\x09\xffx', 4242)])


class Library(Case):
    def program(self, name, passed, **environment):
        """The number of cases is checked, so that none is lost."""
        done = self.run_program(PROGRAMS / name, env={**os.environ, **environment})
        self.assertIn(f"# Totals: pass:{passed} fail:0 skip:0", done.stdout.decode())

    def test_library(self):
        self.region("saved", 0, 7, "a:2", "z:1")
        self.region("live", 0, 7, "a:2", "b:2:1", "c:2:0:1", "d:1")
        self.region("large", 0, 7, "a:100")
        self.program("test-library", 19, **{f"{name.upper()}_REGION": str(self.work / name)
                                            for name in ("saved", "live", "large")})

    def test_stock(self):
        """Without the module. The bytes are a record: the tool shows them."""
        self.program("test-stock", 16, STOCK_FILE=str(self.work / "stock"))
        found = self.tool(0, "decode --json {}/stock", device=False)
        self.assertEqual((column(found["vms"], "name"), found["damage"]), (["web1"], []))
        self.assertEqual(set(column(found["vcpus"], "tsc_offset")), {str(OFFSET)})

    def test_stock_vm(self):
        self.program("test-stock-vm", 4)

    def test_stock_kvm(self):
        """With this machine's KVM, if it has one; the emulated host runs the same program."""
        environment = {**os.environ, "STOCK_CONTROL_IS_ELSEWHERE": "1", "STOCK_READINGS": "800"}
        done = subprocess.run([PROGRAMS / "stock-kvm"], env=environment, capture_output=True, text=True, check=False)
        if re.search("^1..0 # SKIP", done.stdout, re.M):
            self.skipTest("no usable /dev/kvm")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("# Totals: pass:3 fail:0 skip:0", done.stdout)

    def symbols(self, headers):
        """Headers, symbol map and shared library name the same functions, all of them with a version."""
        library = self.run_program("nm", "-D", "--defined-only", USERSPACE / "libkvmclock-handover.so").stdout.decode()
        text = "".join((ROOT / "userspace/lib" / name.name).read_text() for name in (ROOT / "userspace/lib").glob("*.map"))
        return [sorted(re.findall(r"^KCH_API [^(]*\b(kch_[a-z_]*)\(", headers, re.M)),
                sorted(re.findall(r"^\t(kch_[a-z_]*);$", text, re.M)),
                sorted(re.findall(r"^[0-9a-f]* T (.*)@@KCH_[0-9.]*$", library, re.M)),
                sorted(re.findall(r"^[0-9a-f]* [^A] ([^@\n]*)", library, re.M))]

    def test_symbols(self):
        headers = "".join(path.read_text() for path in (ROOT / "userspace/include").glob("*.h"))
        declared, *others = self.symbols(headers)
        self.assertTrue(declared)
        for other in others:
            self.assertEqual(declared, other)
        # Control: a function that the header does not have is seen.
        missing = self.symbols(headers.replace("KCH_API int kch_list(", "int kch_list("))[0]
        self.assertEqual(set(declared) - set(missing), {"kch_list"})

    def test_install(self):
        self.run_program(ROOT / "tests/cli/check-install.sh", ROOT / "userspace")


class Device(Case):
    def test_status(self):
        self.region("saved", 0, 7, "a:2", "z:1")
        found = self.tool(0, "status --json", INCOMING="{}/saved")
        expected = {"modes": "identical", "region_start": str(0x30000000), "incoming": True, "incoming_kernel": "6.12.0-test",
                    "incoming_error": None}
        self.assertEqual({key: found[key] for key in expected}, expected)
        found = self.tool(0, "status --json", out="no record was ever written here")
        self.assertEqual((found["incoming"], found["incoming_error"]), (False, "ENODATA"))
        self.tool(1, "status", ERROR="0:1:")

    def test_list(self):
        self.region("saved", 0, 7, "a:2", "z:1")
        pid = self.start_vmm("0", "-uuid", uuid("a"), "-name", "guest=web1,debug-threads=on")
        found = self.tool(0, "list --json", INCOMING="{}/saved", LIVE="{}/saved")
        self.assertEqual((column(listed(found, "incoming"), "name"), listed(found, "outgoing")), (["a", "z"], []))
        self.assertIn((pid, "web1"), column(listed(found, "live"), "pid", "name"))
        # Read again at the seal; out of date; without master clock; read when it went away.
        self.region("last", 0, 7, "a:2", "b:1:0:0::16", "c:1:0:0::4", "d:1:0:0::9")
        found = self.tool(0, "list --json", INCOMING="{}/last", OUTGOING="{}/last")
        for name in ("incoming", "outgoing"):
            self.assertEqual(column(listed(found, name), "clock"), ["exact", "stale", "no master clock", "exact"])
        for letter, expected in (("a", (True, False, False, True)), ("b", (False, False, True, False)),
                                 ("c", (True, False, False, False)), ("d", (False, True, False, True))):
            found = self.tool(0, f"show --json --id {uuid(letter)}", INCOMING="{}/last")
            self.assertEqual(tuple(found[key] for key in ("at_seal", "at_end", "stale", "master_clock")), expected, letter)
        self.start_vmm("99,0", "-uuid", uuid("a"))
        self.assertEqual(column(self.live(), "uuid"), [uuid("a")])
        # Of nothing it is a list, too.
        self.stop_vmm()
        self.tool(0, "list", NO_VMS=1)
        self.assertEqual(self.out.splitlines(), ["SOURCE UUID NAME PID VCPU_COUNT LIVE RESTORED CLOCK HOLD"])
        self.tool(0, "list --noheadings", NO_VMS=1)
        self.assertEqual(self.out, "")
        self.assertEqual(self.tool(0, "list --json", NO_VMS=1), {"vms": [], "errors": []})

    def test_columns(self):
        self.region("last", 0, 7, "a:2", "c 1:1:0:0::4")
        for options, expected in (("-o clock,NAME", ["CLOCK           NAME", "exact           a", "no master clock c 1"]),
                                  ("--output=BYTES --noheadings", ["  320", "  256"]),
                                  ("--raw --output NAME,HOLD", ["NAME HOLD", "a -", r"c\x201 -"])):
            self.tool(0, "list " + options, INCOMING="{}/last", NO_VMS=1)
            self.assertEqual(self.out.splitlines(), expected)

    def test_show(self):
        self.region("saved", 0, 7, "a:2", "z:1")
        pid = self.start_vmm("0", "-uuid", uuid("a"), "-name", "guest=web1,debug-threads=on")
        found = self.tool(0, f"show --json --id {uuid('a')}", INCOMING="{}/saved")
        self.assertEqual((found["source"], found["vcpu_count"]), ("incoming", 2))
        self.assertEqual(column(found["vcpus"], "tsc_shift"), [-1, -1])
        self.assertEqual(self.tool(0, f"show --json --id {uuid('a')}", OUTGOING="{}/saved")["source"], "outgoing")
        self.tool(3, f"show --incoming --id {uuid('a')}", OUTGOING="{}/saved")
        self.tool(3, f"show --id {uuid('q')}", INCOMING="{}/saved")
        found = self.tool(0, f"show --json --pid {pid}", LIVE="{}/saved")
        self.assertEqual((found["source"], found["uuid"], found["rebase_bound_ns"]), ("live", uuid("a"), "46"))
        self.tool(3, f"show --pid {os.getpid()}", LIVE="{}/saved", err="it has no such VM")
        # It ended between being looked at and being named; it closed one and has another file there.
        self.tool(3, f"show --pid {pid}", LIVE="{}/saved", ENDED="1", err="it has no such VM")

    def test_save(self):
        self.region("live", 0, 7, "a:2", "b:1")
        self.fake = {"LIVE": "{}/live"}
        pid = self.start_vmm("0,1", "--uuid", uuid("a"), "-name", "web1")
        found = self.tool(0, f"save --json --pid {pid} --fd 3")
        self.assertEqual(column(found["vms"], "uuid", "result"), [(uuid("a"), "saved")])
        self.table((2, f"save --pid {pid}", "it has several VMs"), (0, f"save --id {uuid('a')}", ()),
                   (3, f"save --id {uuid('q')}", ()))
        found = self.tool(0, f"save --json --pid {pid} --fd 3 --id {uuid('q')} --name Q")
        self.assertEqual(column(found["vms"], "uuid", "name"), [(uuid("q"), "Q")])
        found = self.tool(0, f"save --json --pid {pid} --fd 3", OUTGOING="{}/live")
        self.assertEqual(column(found["vms"], "result"), ["replaced"])
        # A failure is reported, and the next VM is done all the same.
        found = self.tool(1, "save --json --all", ERROR="1:28:region full, 4096 bytes needed",
                          err="kvmclockctl save: web1: region full, 4096 bytes needed; its clock is not saved")
        self.assertEqual(set(column(found["vms"], "result")), {"ENOSPC"})
        self.assertGreaterEqual(len(found["vms"]), 2)
        found = self.tool(4, f"save --id {uuid('a')} --json", ERROR="1:28:region full")
        self.assertEqual(column(found["errors"], "errno"), ["ENOSPC"])
        self.tool(1, f"save --id {uuid('a')}", ERROR="1:1:not permitted")

    def test_unsave(self):
        self.region("saved", 0, 7, "a:2", "z:1")
        self.assertEqual(column(self.tool(0, "unsave --all --json", OUTGOING="{}/saved")["vms"], "name"), ["a", "z"])
        self.tool(3, "unsave --all")
        self.tool(3, f"unsave --id {uuid('a')}", ERROR="2:2:no VM of that id", err="the record is unchanged")
        # One that is saved stays so.
        self.region("live", 0, 7, "a:2")
        self.start_vmm("0", "-uuid", uuid("a"))
        self.tool(4, f"save --id {uuid('a')}", LIVE="{}/live", ERROR="1:17:it is preserved already",
                  err="it is preserved already; what was saved stays\n")

    def test_identity(self):
        """Ids: QEMU's, from a name, from the process; always the same."""
        # An interface: FNV-1a of kvmclock-handover:name:db,1 and ...:db,1:1, as UUIDv8.
        ids = ["603cb51c-a96a-8b18-90c6-14711047ae30", "6699eba9-7965-87a9-a5e8-4ab631fa2ce9"]
        self.start_vmm("0,1", "-name", "guest=db,,1,process=qemu")
        self.assertEqual(column(self.live(), "name"), ["db,1", "db,1"])
        for names in (["guest=db,,1,process=qemu"], ["guest=db,,1"], ["db,,1,debug-threads=on"],
                      ["debug-threads=on,guest=db,,1"],
                      ["process=q,,guest=z,guest=z,guest=db,,1,debug-threads=on"],
                      # Another option of the same kind takes nothing away, and is no name.
                      ["db,,1", "process=qemu,debug-threads=on"]):
            self.start_vmm("0,1", *(word for name in names for word in ("-name", name)))
            self.assertEqual(sorted(column(self.live(), "uuid")), ids, names)
        self.start_vmm("5")
        first = column(self.live(), "uuid")
        self.assertEqual(column(self.live(), "uuid"), first)
        self.assertRegex(first[0], "^........-....-8...-[89ab]...-............$")

    def test_finish(self):
        self.assertEqual(self.tool(0, "finish --json")["restored"], 1)
        self.tool(4, "finish", ERROR="7:39:1 VM was not restored",
                  err="kvmclockctl finish: 1 VM was not restored; the record is kept")
        self.tool(3, "finish", ERROR="7:61:no record", err="kvmclockctl finish: no record\n")

    def test_kexec_args(self):
        ours = "memmap=1M$0x30000000 kvmclock_handover.region=0x30000000,1M tsc_early_khz=2596124 hpet=disable pmtmr=0"
        kho = "kho=on tsc_early_khz=2596124 hpet=disable pmtmr=0"
        theirs = 'BOOT_IMAGE=/vmlinuz root=/dev/vda memmap=4K$0x1000,1M$0x30000000 kvmclock-handover.region=1,2 hpet=force ' \
            'tsc_early_khz=5 dyndbg="file a +p" quiet -- single'
        for arguments, expected, fake in (
                ([], ours, {}), (["--shell"], f"'{ours}'", {}), (["--grub"], ours.replace("$", "\\\\\\$"), {}),
                (["--append", "--cmdline", theirs],
                 f'root=/dev/vda memmap=4K$0x1000 dyndbg="file a +p" quiet {ours} -- single', {}),
                # Twice is the same as once.
                (["--append", "--cmdline", f"root=/dev/vda {ours}"], f"root=/dev/vda {ours}", {}),
                ([], kho, {"BACKEND": 3}), (["--append", "--cmdline", "kho=off quiet"], f"quiet {kho}", {"BACKEND": 3})):
            self.tool(0, "kexec-args", *arguments, **fake)
            self.assertEqual(self.out, expected + "\n")
        self.assertEqual(self.tool(0, "kexec-args --json")["args"], ours)
        self.tool(4, "kexec-args", TSC_SOURCE=1, err="still calibrating")
        self.assertEqual(self.out, "")
        self.tool(0, "kexec-args", TSC_SOURCE=0, err="may still change")
        self.tool(4, "kexec-args", BACKEND=0)


class Restore(Case):
    def test_restore(self):
        self.region("saved", 0, 7, "a:2", "z:1")
        self.fake = {"INCOMING": "{}/saved"}
        pid = self.start_vmm("0", "-uuid", uuid("a"), "-name", "web1")
        found = self.tool(0, f"restore --json --id {uuid('a')}")
        self.assertEqual((found["mode"], found["blackout_ns"]), ("identical", "1234567"))
        self.tool(0, f"restore --json --pid {pid} --id {uuid('z')}")
        self.tool(3, f"restore --pid {pid} --id {uuid('q')}")
        behind = "host TSC is behind the saved one (12.3 s < 4021.9 s): the machine was reset"
        for error, said in ((f"6:62:{behind}", behind), ("6:45:vCPU 0 has another offset", "vCPU 0 has another offset"),
                            # A process that has ended is no VM that is not there.
                            ("6:3:the VM's process has ended", "the VM's process has ended")):
            self.tool(4, f"restore --pid {pid}", ERROR=error,
                      err=f"kvmclockctl restore: web1: {said}; guest clock not changed\n")
        self.region("stale", 0, 7, "a:2:0:0::16")
        self.tool(4, f"restore --pid {pid}", INCOMING="{}/stale",
                  err="it may have had another clock since; guest clock not changed")
        self.assertEqual(self.tool(0, f"restore --json --pid {pid} --stale", INCOMING="{}/stale")["mode"], "identical")
        # All its vCPUs were in the tool's hands, and nothing else of them.
        found = self.tool(0, f"restore --json --pid {pid}")
        self.assertEqual((found["error_cycles"], found["result"]), ("2", "restored"))
        # Saved under another id: found by its name, if that is one.
        pid = self.start_vmm("0", "-name", "web2")
        self.region("saved", 0, 7, "a:2", "web2:1")
        self.assertEqual(self.tool(0, f"restore --json --pid {pid}")["uuid"], uuid("w"))
        self.region("saved", 0, 7, "a:2", "web3:1")
        self.tool(3, f"restore --pid {pid}")

    def test_hold(self):
        self.region("saved", 0, 7, "a:2")
        self.fake = {"INCOMING": "{}/saved"}
        pid = self.start_vmm("0", "-uuid", uuid("a"), "-name", "web1")
        self.table((2, f"restore --pid {pid} --wait", "--wait needs --hold"),
                   *((2, f"restore --pid {pid} --hold={seconds}", f"--hold: not a number from 1 to 3600: {seconds}")
                     for seconds in ("0", "3601", "-1", "5s", "99999999999")))
        # In the foreground: what came of it.
        found = self.tool(0, f"restore --json --pid {pid} --hold --wait")
        self.assertEqual((found["mode"], found["host_tsc"]), ("identical", "60000"))
        self.assertEqual(self.tool(0, f"restore --json --pid {pid} --hold=3600 --wait")["host_tsc"], "3600000")
        self.tool(4, f"restore --pid {pid} --hold --wait", ERROR="10:110:its VMM did not resume within 60000 ms",
                  err="kvmclockctl restore: web1: its VMM did not resume within 60000 ms; "
                      "the guest's clock is as its VMM left it\n")
        self.tool(4, f"restore --pid {pid} --hold --wait", ERROR="10:3:the VM was closed")
        self.tool(4, f"restore --pid {pid} --hold", ERROR="6:16:vCPU 1 is running",
                  err="vCPU 1 is running; guest clock not changed")
        # Only asked: nobody is held.
        found = self.tool(0, f"restore --json --pid {pid} --hold --check")
        self.assertEqual((found["result"], found["blackout_ns"], found["errors"]), ("restorable", "1234567", []))
        # In the background: the tool has ended, its output too (or this would take too long), though the hold has not.
        found = self.tool(0, f"restore --json --pid {pid} --hold=9", WAIT=1)
        self.assertEqual((found["result"], "mode" in found), ("held", False))
        os.kill(found["holder"], 15)


class Verify(Case):
    def verdicts(self, status, more="", **options):
        found = self.tool(status, "verify --json " + more, **options)
        return column(found["vms"], "verdict"), found

    def test_verify(self):
        self.region("saved", 0, 7, "a:2", "z:1")
        # Live: VM 0 as saved, VM 1 one cycle off, VM 2 one of mul off.
        self.region("live", 0, 7, "a:2", "a:2:1", "a:2:0:1")
        self.fake = {"INCOMING": "{}/saved", "LIVE": "{}/live"}
        self.start_vmm("0", "-uuid", uuid("a"))
        verdicts, found = self.verdicts(5, err="kvmclockctl verify: 1 of 2 VMs of the record are not running\n")
        self.assertEqual((verdicts, found["vms"][0]["cycles"]), (["identical", "not live"], "0"))
        self.assertEqual(self.verdicts(0, f"--id {uuid('a')}")[0], ["identical"])
        self.assertEqual(column(found["vcpus"], "identical"), [True, True])
        self.tool(5, f"verify --id {uuid('z')}", err="1 of 1 VMs of the record are not running")
        self.tool(3, "verify --outgoing")
        for number, cycles in (("1", "1"), ("2", "0")):
            self.start_vmm(number, "-uuid", uuid("a"))
            verdicts, found = self.verdicts(1)
            self.assertEqual((verdicts, found["vms"][0]["cycles"]), (["differs", "not live"], cycles))
            if cycles == "1":
                self.assertIn("vCPU 0 is off by 0 ns, 1 cycles, 0 ppb", self.err)
        self.tool(3, f"verify --pid {self.vmm.pid} --id {uuid('q')}", err="the record has no VM of that id")
        self.start_vmm("1", "-uuid", uuid("q"))
        self.tool(5, "verify", err="2 of 2 VMs of the record are not running")
        self.tool(3, f"verify --pid {self.vmm.pid}", err="the record has no VM of that process")
        self.fake = {"LIVE": "{}/live"}
        self.tool(3, "verify")

    def test_lost_master_clock(self):
        """Its master clock was lost, and one vCPU's TSC moved: KVM's clock is compared."""
        self.region("saved", 0, 7, "a:2", "z:1")
        self.region("lost", 0, 7, "a:2:1:0:-2000")
        self.fake = {"INCOMING": "{}/saved", "LIVE": "{}/lost"}
        self.start_vmm("0", "-uuid", uuid("a"))
        found = self.verdicts(1, f"--id {uuid('a')}", err=(
            "KVM has no master clock for it any more (its vCPUs' TSCs do not match, or the host's TSC went backwards); "
            "vCPU 0 is off by -2000 ns give or take 7, 1 cycles, at an unknown rate"))[1]
        self.assertEqual(column(found["vms"], "verdict", "ns", "cycles", "rate_ppb", "slack_ns"),
                         [("differs", "-2000", "1", None, "7")])
        self.assertEqual(column(found["vcpus"], "identical", "ns", "cycles", "rate_ppb", "slack_ns"),
                         [(False, "-2000", "1", None, "7")] * 2)
        self.verdicts(1, f"--id {uuid('a')}", TSC_SOURCE=4, err="(the host's clocksource is not the TSC)")

    def test_which(self):
        """Told by the module, and by hand."""
        self.region("saved", 0, 7, "a:2", "z:1")
        self.region("live", 0, 7, "a:2", "a:2:1", "a:2:0:1")
        self.fake = {"INCOMING": "{}/saved", "LIVE": "{}/live"}
        pid = self.start_vmm("1,0", "-uuid", uuid("x"))
        self.assertEqual(self.verdicts(1, f"--id {uuid('a')}", KNOWN=1)[0], ["differs"])
        for status, more, err in ((1, "--fd 3", ()), (0, "--fd 5", ()), (3, "--fd 99", "it has no such VM"),
                                  (2, "", "it has several VMs: say which with --fd")):
            self.tool(status, f"verify --pid {pid} {more} --id {uuid('a')}", err=err)

    def test_stale(self):
        """The saved one, to the bit, but not known to be the last; and what cannot be compared."""
        self.region("live", 0, 7, "a:2", "a:2:1", "a:2:0:1")
        self.fake = {"INCOMING": "{}/last", "LIVE": "{}/live"}
        self.start_vmm("0", "-uuid", uuid("a"))
        self.region("last", 0, 7, "a:2:0:0::16")
        verdicts, found = self.verdicts(1, err="that may not be the last that it had")
        self.assertEqual((verdicts, found["vms"][0]["cycles"]), (["stale"], "0"))
        self.region("last", 0, 7, "a:2:0:0::4")
        self.assertEqual(self.verdicts(1, err="or did when it was read last")[0], ["differs"])

    def test_damaged_entry(self):
        """It may be any that was asked for, and is not there otherwise."""
        self.region("live", 0, 7, "a:2", "a:2:1", "a:2:0:1")
        self.region("damaged", 0, 7, "a:2", "z:1")
        self.change("damaged", "flip", 320 + 192 + 2 * 64 + 100, 3)
        self.fake = {"INCOMING": "{}/damaged", "LIVE": "{}/live"}
        pid = self.start_vmm("0", "-uuid", uuid("a"))
        verdicts, found = self.verdicts(1, err="entry in the record is damaged")
        self.assertEqual((verdicts, column(found["errors"], "errno")), (["identical", "unreadable"], ["EBADMSG"]))
        for status, more, expected in ((0, f"--id {uuid('a')}", "identical"), (0, f"--pid {pid}", "identical"),
                                       (1, f"--id {uuid('z')}", "unreadable")):
            self.assertEqual(self.verdicts(status, more)[0], [expected], more)
        pid = self.start_vmm("0", "-uuid", uuid("z"))
        self.assertEqual(self.verdicts(1, f"--pid {pid}")[0], ["unreadable"])


if __name__ == "__main__":
    for folder in (ROOT / "userspace", HERE):
        subprocess.run(["make", "-s", "-C", folder], check=True, stdout=sys.stderr)
    sys.exit(ktap.main())
