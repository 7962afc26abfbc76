#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Does a report over given logs have the expected tables, and fail where a log is missing?"""
import os
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = tempfile.TemporaryDirectory()
os.environ["KCH_BUILD"] = FOLDER.name
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import kernels  # noqa: E402
import ktap  # noqa: E402
import reports  # noqa: E402
from common import BUILD, Problem  # noqa: E402


def write(name, text):
    path = BUILD / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def case(name, *stages, outcome="pass: 6 checks"):
    """Each stage is a list of notes."""
    write(f"nested/{name}/outcome", outcome + "\n")
    write(f"nested/{name}/verdict.log", "".join(f"stage={n}\r\nrelease=rel{n}\r\n" + "".join(
        f"note={note}\r\n" for note in notes) for n, notes in enumerate(stages)))


def pair(name, ns=0, function=1, **more):
    after = dict(vcpus=2, tsc_error_cycles=0, error_now_ns=ns, rate_ppb=0, error_hour_ns=0, page_function=function)
    case(name, ["tsc_khz 2000000"], ["tsc_khz 2000030", *(f"vm{vm} {key}={value}" for vm in (0, 1)
                                                          for key, value in {**after, "error_now_ns": ns * vm}.items())], **more)


class Reports(unittest.TestCase):
    def has(self, name, *rows):
        """These rows, by their words; and its document has room for the sections."""
        said = [line.split() for line in reports.make_report(name).splitlines()]
        for row in rows:
            self.assertIn(row.split(), said)

    def test_matrix(self):
        for line in kernels.LINES:
            write(f"kernels/{line}/package", f"linux {line}\n")
        for old, new in kernels.pairs():
            pair(f"pair-{old}-{new}", ns=-7 if (old, new) == ("6.1", "6.12") else 0, function=int((old, new) != ("7.3", "6.1")))
        for name in reports.CONTROLS:
            pair(name, -99, 0, outcome="pass: caught: rate error_ns rate")
        self.has("matrix", "6.1 to 6.1 same 0 0 0 0 yes", "6.1 to 6.12 upgrade 0 -7 0 0 yes", "7.3 to 6.1 rollback 0 0 0 0 no",
                 "VMs: 2, each of 2 vCPUs. TSC frequency that the second kernel is told: +30 kHz (+15 ppm).",
                 "- 6.1: rel1 (linux 6.1)",
                 "- 6.12 to 7.3, kvmclock -99 ns and TSC 0 cycles off: caught by ``error_ns``, ``rate``")
        for outcome, said in ("fail: clocks", "fail: clocks"), ("", "not run"):
            pair("pair-6.1-6.12", outcome=outcome)
            self.assertRaisesRegex(Problem, f"case pair-6.1-6.12: {said}", reports.make_report, "matrix")

    def test_blackout(self):
        ends = ["guest_last", *(end for _, end, _ in reports.DATA["step"])]
        notes = ["tsc_khz 1000", "early by 905 ms before", *(f"at {end} {i * 500}" for i, end in enumerate(ends))]
        for name in reports.REPORTS["blackout"][1]:
            case(name, notes)
        self.has("blackout", "clock saved 0.500 7.143 0.500 7.143 ours", "ours: with the save 2.500 35.714 2.500 35.714 ours",
                 "- rel0: 28.571 %; the test demands less than 1 %", "- rel0, pinned: 905 ms")
        case(name, [note for note in notes if "settled" not in note])
        self.assertRaisesRegex(Problem, "before the last: TSC frequency settles", reports.make_report, "blackout")

    def test_benchmark(self):
        numbers = dict(vcpus=2, blackout_ns=2500000000, error_now_ns=-11043882471, error_end_ns=10, error_hour_ns=10,
                       rate_ppb=-5007, tsc_error_cycles=-29011665852, peer_disagreement_max_ns=58388560, page_function=0,
                       total_error_ns=-99999, total_error_cycles=5)
        exact = {**dict.fromkeys(numbers, 0), "vcpus": 2, "blackout_ns": 2500000000, "page_function": 1}
        after = [f"{name} {key}={value}" for name, values in (("none", numbers), ("identical", exact))
                 for key, value in values.items()]
        case("comparison", [], after, after)
        case("cost-6.12", [f"{what} ratio=3.134 ratio_low=3.05 ratio_high=3.2" for what in (
            "preserve vcpus=1", "preserve vcpus=8", "restore-fleet up_to_vm=200", "restore-fleet vms=50")])
        write("nested/record-cost", "sizes bytes_per_vm=192\nsealed vms=1 vcpus=2 us=3.1 ns_per_vcpu=4 limit_us=5 ratio=6\n")
        self.has("benchmark", "nothing restored -11.044 s 0 ns -5007 -2.9e+10 58.4 ms no -100.0 us +5",
                 "identical 0 ns 0 ns 0 0 0 ns yes 0 ns 0", "KCH_IOC_PRESERVE 3.13 (3.05-3.20) 3.13 (3.05-3.20)",
                 "sealed 1 2 3.1 4 5 6")
        self.assertIn("SPDX-License-Identifier", (reports.OUT / "benchmark.svg").read_text())

    def test_time_that_passed(self):
        values = dict(bound=9, away=3.6e12, maxerror_us=1800000, tsc=0, mono=-10, real=9, boot=0, lost=0, ticks=360000,
                      rounds=36000, took=2.5e9, woke=3.6e12, slack=0, fair=0, end=12e9, wrong=7, worst=-1e6, soft=1, rcu=0, hung=2,
                      clock=0, wq=0, other=0)
        words = "source=kvm-clock " + " ".join(f"{key}={value:.0f}" for key, value in values.items())
        for name in reports.AWAY:
            case(name, ["guest release 6.x clocksource tsc tsc 440795269835 lockup_s 10 rcu_s 21 hung_s 120 ready 1 "],
                 [f"blackout untold 3600 {words} ", f"blackout hide 60 {words} ", f"blackout realtime 0 {words} "])
        self.has("time-that-passed", "6.x 20 s 21 s 120 s tsc 440 s",
                 "3600.0 s go on, not told -10 ns 0 ns 7, -1000.0 us 360000 36000 in 2.5 s > 12.0 s 1 soft lockup, 2 hung task",
                 "3600.0 s stand still 0 ns -10 ns 0 ns +1800.0 ms 7, -1000.0 us 360000 > 12.0 s 1 soft lockup, 2 hung task",
                 "3600.0 s by the wall clock -10 ns 0 ns 0 ns 0 1 soft lockup, 2 hung task")
        case(name, outcome="fail: same")
        self.assertRaisesRegex(Problem, f"case {name}: fail: same", reports.make_report, "time-that-passed")

    def test_cases(self):
        for name, (_, cases) in reports.REPORTS.items():
            self.assertEqual({*cases} - {*reports.ROWS}, set(), name)


if __name__ == "__main__":
    sys.exit(ktap.main())
