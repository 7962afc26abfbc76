#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Does the runner give every case a result, whatever goes wrong with others? With a machine that is a shell script, and
nothing that is built."""

import argparse
import contextlib
import functools
import io
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

FOLDER = tempfile.TemporaryDirectory()
os.environ["KCH_BUILD"] = FOLDER.name
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import ktap  # noqa: E402
import run  # noqa: E402
from cases import make_case  # noqa: E402
from common import LOGS, Problem  # noqa: E402
from machines import limited  # noqa: E402

GOOD = """echo "stage=0\ncheck=a ok\ntaint=0\nwarnings=0\nverdict=pass" >verdict.log
echo '"event": "SHUTDOWN", "reason": "guest-shutdown"' >qmp.log"""


class Shell:
    """Says what a good machine says, or does what the case's `do` is in DO."""
    DO = {"": GOOD, "slow": f"sleep 1; {GOOD}", "killed": "kill -KILL $$", "exit": "exit 3", "limit": "trap '' TERM; sleep 1; sleep 9"}

    def __init__(self, case, directory):
        self.case, self.dir = case, directory
        (directory / "machine").write_text("qemu")

    @staticmethod
    def unusable():
        return None

    def start(self):
        if self.case.param("do") == "no-start":
            raise Problem("no disc")
        return subprocess.Popen(limited(self.case.limit, "sh", "-c", self.DO[self.case.param("do")]), cwd=self.dir)


def case(name, params="", line="6.12", limit=20):
    return make_case([name, "short", line, line, "smoke", f"kexecs=0 {params}", "pass", str(limit)], {})


STEPS = "kernels.ensure", "kernels.build_module", "broken.build", "image.build", "image.build_programs", "secure_host.build"


class Run(unittest.TestCase):
    def setUp(self):
        kinds = mock.patch.dict(run.KINDS, dict.fromkeys(run.KINDS, Shell))
        kinds.start()
        self.addCleanup(kinds.stop)

    def wrong(self, cases, step="", argument=""):
        """What is wrong with each case, when the step cannot be done that has this as its first argument."""
        def made(*arguments, failing=False):
            if failing and argument in (*arguments, "")[:1]:
                raise Problem("not to be had")

        said = {}
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(mock.patch.dict(run.not_made, clear=True))
            for name in STEPS:
                stack.enter_context(mock.patch(f"run.{name}", functools.partial(made, failing=name == step)))
            run.build(cases)
            one = run.Run(argparse.Namespace(j=2, v=False), LOGS, len(cases))
            one.report.test = lambda name, wrong="", note="": said.update({name: wrong or note})
            one.run(cases)
        return said

    def test_not_made(self):
        """What cannot be fetched, built or started fails the cases that need it, and no other."""
        cases = [case("good"), case("line", line="6.1"), case("part", "part=qemu-10.0"), case("module", "module=x"),
                 case("start", "do=no-start"), case("exit", "do=exit"), case("secure", "machine=secure")]
        for name, step, argument in (("", "", ""), ("line", "kernels.ensure", "6.1"), ("module", "broken.build", "x"),
                                     ("part", "image.build", cases[2]), ("secure", "secure_host.build", "")):
            with self.subTest(step):
                said = self.wrong(cases, step, argument)
                self.assertRegex(said.pop("exit"), "logs: ")
                self.assertEqual(said.pop("start"), "no disc")
                self.assertEqual(said.pop(name, "not to be had"), "not to be had")
                self.assertRegex(" ".join(said.values()), f"^([0-9]+ s, pass: 1 checks in 1 stages ?){{{len(said)}}}$")

    def test_killed(self):
        """Only who is killed at the time limit has reached it."""
        self.wrong([case("killed", "do=killed"), case("limit", "do=limit", limit=1)])
        self.assertRegex((LOGS / "killed/outcome").read_text(), "^lost: killed from outside after [0-9]+ s")
        self.assertEqual((LOGS / "limit/outcome").read_text(), "lost: time limit\n")

    def test_load(self):
        """On a machine of which others take two thirds a case has three times as long."""
        for load, limit in (0, 20), (2.9, 20), (5.8, 60):
            with mock.patch("os.getloadavg", return_value=(load, 0, 0)), mock.patch("os.cpu_count", return_value=2):
                self.assertEqual(run.in_company(case("any")).limit, limit)

    def test_two_runs(self):
        """A second run leaves alone what the first one has under way."""
        busy = case("busy", "do=slow")
        with contextlib.redirect_stdout(io.StringIO()):
            first = run.Run(argparse.Namespace(j=1, v=False), LOGS, 0)
            first.start(busy)
        said = self.wrong([busy, case("free")])
        self.assertRegex(said["busy"], "another run")
        self.assertRegex(said["free"], "pass: ")
        with contextlib.redirect_stdout(io.StringIO()):
            first.wait_one()
        self.assertRegex((LOGS / "busy/outcome").read_text(), "^pass: ")
        self.assertRegex(self.wrong([busy])["busy"], "pass: ")


if __name__ == "__main__":
    sys.exit(ktap.main())
