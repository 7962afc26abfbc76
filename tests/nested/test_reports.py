#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Does a report over given logs have the expected tables, and fail where a log is missing?"""
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import cases  # noqa: E402
import kernels  # noqa: E402
import ktap  # noqa: E402
import reports  # noqa: E402
from common import Problem  # noqa: E402

STEPS = ["guest_last", *(end for _, end, _ in reports.DATA["step"])]


def vm(number, **values):
    return [f"vm{number} {key}={value}" for key, value in values.items()]


class Reports(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.build, self.rows = Path(self.folder.name), {}
        self.out = self.build / "results"
        self.out.mkdir()

    def case(self, name, *stages, script="", outcome="pass: 6 checks", params="", lines=("6.1", "7.3")):
        """Each stage is a list of notes."""
        folder = self.build / "nested" / name
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"stage={n}\r\nrelease=rel{n}\r\n" + "".join(f"note={note}\r\n" for note in notes)
                       for n, notes in enumerate(stages))
        (folder / "verdict.log").write_text(text)
        (folder / "outcome").write_text(outcome + "\n")
        self.rows[name] = cases.Case(name, "full", *lines, script, params, "pass", 9)

    def file(self, name, text):
        path = self.build / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pair(self, old, new, ns=0, function=1, prefix="", **more):
        after = dict(vcpus=2, tsc_error_cycles=0, error_now_ns=ns, rate_ppb=0, error_hour_ns=0, page_function=function)
        self.case(f"{prefix}pair-{old}-{new}", ["tsc_khz 2000000"],
                  ["tsc_khz 2000030", *vm(0, **after), *vm(1, **dict(after, error_now_ns=0))],
                  lines=(old, new), **more)

    def report(self, name):
        """Its sections, for which the document has room."""
        found = reports.REPORTS[name].make(self.build, self.rows, self.out)
        self.assertIn(found[min(found)][-1], reports.fill((reports.ROOT / f"Documentation/{name}.rst").read_text(), found))
        return found

    def matrix(self):
        return self.report("matrix")

    def test_matrix(self):
        for line in kernels.LINES:
            self.file(f"kernels/{line}/package", f"linux {line}\n")
        for old, new in kernels.pairs():
            self.pair(old, new, ns=-7 if (old, new) == ("6.1", "6.12") else 0, function=int((old, new) != ("7.3", "6.1")))
        self.pair("6.1", "6.12", -99, 0, "control-", outcome="pass: caught: rate error_ns rate")
        found = self.matrix()
        self.assertEqual(found["pairs"][0], "VMs: 2, each of 2 vCPUs. TSC frequency that the second kernel is told: "
                                            "+30 kHz (+15 ppm).")
        body = [line.split() for line in found["pairs"][5:-1]]
        self.assertEqual(len(body), len(kernels.pairs()))
        for row in ("6.1 to 6.1 same 0 0 0 0 yes", "6.1 to 6.12 upgrade 0 -7 0 0 yes", "7.3 to 6.1 rollback 0 0 0 0 no"):
            self.assertIn(row.split(), body)
        self.assertEqual(found["kernels"][:2], ["- 6.1: rel1 (linux 6.1)", "- 6.12: rel1 (linux 6.12)"])
        self.assertEqual(found["controls"], ["- 6.1 to 6.12, kvmclock -99 ns and TSC 0 cycles off: caught by "
                                             "``error_ns``, ``rate``"])
        # One that failed, one that is not in the table, one that left nothing.
        self.pair("6.1", "6.12", outcome="fail: clocks")
        self.assertRaisesRegex(Problem, "case pair-6.1-6.12: fail: clocks", self.matrix)
        del self.rows["pair-6.1-6.12"]
        with self.assertRaisesRegex(Problem, "no case pair-6.1-6.12 in any table"):
            reports.make_report("matrix", self.build, self.rows, self.out)
        (self.build / "nested/pair-6.1-6.12/outcome").unlink()
        self.assertRaisesRegex(Problem, "case pair-6.1-6.12: not run", self.matrix)

    def test_blackout(self):
        notes = ["tsc_khz 1000", *(f"at {step} {i * 500}" for i, step in enumerate(STEPS))]
        self.case("blackout-7.3", notes)
        self.case("blackout-7.3-counted", notes, params="share=1")
        found = self.report("blackout")
        self.assertEqual(found["steps"][7].split(), "clock saved 0.500 7.143 0.500 7.143 ours".split())
        self.assertEqual(found["steps"][-2].split(), "ours: with the save 2.500 35.714 2.500 35.714 ours".split())
        self.assertEqual(found["shares"], ["- rel0: 28.571 %; the test demands less than 1 %"])
        self.case("blackout-7.3", [note for note in notes if "settled" not in note])
        with self.assertRaisesRegex(Problem, "no step, or one before the last: TSC frequency settles"):
            self.report("blackout")

    def test_selftests(self):
        self.case("selftests-kernel-7.3", ["one 0 0 4 tests", "two 4 4 Requirement not met: a CPU", "two-with x",
                                           "three 1 124 bad"], script="selftests-kernel", lines=("7.3", "7.3"))
        self.file("selftests/7.3/package", "linux-source\n")
        self.case("selftests", ["capture # capture.a: 7 checks", "capture ok 2 # SKIP capture.b: Requirement not met: "
                                "KVM_XEN_X", "capture # capture.c: 3 checks"],
                  ["restore # restore.a: 9 checks", "restore ok 2 # SKIP restore.b: cannot be saved",
                   "restore # restore.c cannot be restored: because", "restore # restore.c: 1 checks"],
                  script="selftests", lines=("7.3", "7.3"))
        with self.assertRaisesRegex(Problem, "selftests-controls: not run"):
            self.report("selftests")
        self.case("selftests-controls", [], script="selftests", params="controls=yes")
        found = self.report("selftests")
        self.assertEqual([line.split() for line in found["kernel"][6:9]], [
            "one pass pass 4 tests".split(), "two skip skip a CPU".split(), ["three", "status", "1", "time", "limit", "bad"]])
        self.assertEqual(found["kernel"][-1], "Host rel0, tests of linux-source.")
        self.assertEqual(found["guests"][1:6:2], ["guest  captured, 7.3  7.3 to 7.3", "a      7 checks       9 checks",
                                                  "c      3 checks       refused"])
        self.assertEqual(found["guests"][4], "b      no Xen         ..")

    def test_benchmark(self):
        numbers = dict(vcpus=2, blackout_ns=2500000000, error_now_ns=-11043882471, error_end_ns=10, error_hour_ns=10,
                       rate_ppb=-5007, tsc_error_cycles=-29011665852, peer_disagreement_max_ns=58388560, page_function=0,
                       total_error_ns=-99999, total_error_cycles=5)
        exact = dict.fromkeys(numbers, 0) | dict(vcpus=2, blackout_ns=2500000000, page_function=1)
        after = [f"{name} {key}={value}" for name, values in (("none", numbers), ("identical", exact))
                 for key, value in values.items()]
        self.case("comparison", [], after, after)
        ratio = "pairs=9 ratio=3.134 ratio_low=3.05 ratio_high=3.2"
        self.case("cost-6.12", [f"preserve vcpus=1 {ratio}", f"preserve vcpus=8 {ratio}", f"restore-fleet up_to_vm=10 {ratio}",
                                f"restore-fleet up_to_vm=200 {ratio}", f"restore-fleet vms=50 {ratio}"])
        self.file("bench/record", "sizes bytes_per_vm=192\nsealed vms=1 vcpus=2 us=3.1 ns_per_vcpu=4 limit_us=5 ratio=6\n")
        found = self.report("benchmark")
        self.assertEqual(found["comparison"][:2], ["Host kernel rel2, 2 updates by kexec; guests of 2 vCPUs, not scheduled for",
                                                   "2.5 s at the first of them."])
        self.assertEqual(found["comparison"][6].split()[2:], "-11.044 s 0 ns -5007 -2.9e+10 58.4 ms no -100.0 us +5".split())
        self.assertEqual(found["comparison"][7].split()[1:], "0 ns 0 ns 0 0 0 ns yes 0 ns 0".split())
        self.assertIn("KCH_IOC_PRESERVE  3.13 (3.05-3.20)  3.13 (3.05-3.20)", found["cost"])
        self.assertIn("200 VMs", "\n".join(found["cost"]))
        self.assertEqual(found["record"][-2].split(), "sealed 1 2 3.1 4 5 6".split())
        document = json.loads((self.out / "benchmark.json").read_text())
        self.assertEqual((document["updates"], document["methods"][0]["after"][1]["rate_ppb"]), (2, -5007))
        self.assertIn("SPDX-License-Identifier", (self.out / "benchmark.svg").read_text())

    def test_document(self):
        filled = reports.fill("a\n.. begin x\n\nold\n\n.. end x\nb\n", {"x": ["1", "2"]})
        self.assertEqual(filled, "a\n.. begin x\n\n1\n2\n\n.. end x\nb\n")
        self.assertRaisesRegex(Problem, "no section y", reports.fill, filled, {"y": []})
        # The documents that there are have the sections, and the tables the cases.
        rows = reports.read_rows()
        for name, report in reports.REPORTS.items():
            self.assertEqual([case for case in report.cases(rows) if case not in rows], [], name)


if __name__ == "__main__":
    sys.exit(ktap.main())
