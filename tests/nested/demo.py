#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""The two demonstrations, `make demo` and `make demo-qemu`.

    demo.py [-n]                   four VMs with the same guest live through the same host kexec, and each gets
                                   its clock back in another way
    demo.py --qemu [-n | --draw]   one Linux guest of Debian's QEMU, saved to a file, comes back from it in three
                                   ways; a table, and the picture Documentation/qemu-clock.svg

    -n: build nothing; --draw: from what the last run left"""

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from typing import Dict, List

import kernels
from cases import DEFAULT_LINE
from common import BUILD, LOGS, NESTED, ROOT, Problem, run_main, say
from judge import read_lines
from reports import in_units

PICTURE = ROOT / "Documentation/qemu-clock.svg"
METHODS = {
    "none": "nothing restored",
    "by-value": "by value (TSC MSR, KVM_SET_CLOCK)",
    "realtime": "offset, KVM_SET_CLOCK with REALTIME",
    "identical": "kvmclock-handover (identical)",
}
QEMU_METHODS = {
    "alone": "QEMU alone",
    "realtime": "TSC offset, KVM_CLOCK_REALTIME",
    "ours": "kvmclockctl restore --hold",
}
# The exact restore was rightly refused, as the emulated host mismeasured its TSC frequency.
MISMEASURED = ("ERANGE", "ENOTRECOVERABLE")
Values = Dict[str, Dict[str, str]]


def notes(case: str) -> Values:
    """Of each method what the case's VM reported: the last of each KEY=VALUE."""
    values: Values = defaultdict(lambda: defaultdict(str))
    for line in read_lines(LOGS / case / "verdict.log"):
        match = re.fullmatch(r"note=(\S+) ([^=]*)=(.*)", line)
        if match:
            values[match[1]][match[2]] = match[3]
    return values


def run_case(name: str, options: List[str], attempts: int) -> Values:
    """Runs it again only if the emulated host mismeasured its TSC frequency; on a busy machine it may."""
    for attempt in range(1, attempts + 1):
        (LOGS / name / "verdict.log").unlink(missing_ok=True)
        run = subprocess.run([NESTED / "run.py", *options, "-c", name], stdout=subprocess.PIPE, text=True, check=False)
        if not run.returncode:
            break
        if attempt == attempts or notes(name)["identical"]["refused_errno"] not in MISMEASURED:
            print(run.stdout, end="", file=sys.stderr)
            raise Problem("the demo failed")
        say("the emulated host mismeasured its TSC frequency, so that the restore was refused: again")
    return notes(name)


def demo(options: List[str]) -> None:
    say("booting an emulated host, running four guests on it, and replacing its kernel by kexec")
    # Both kernels measure their TSC frequency, as hosts do without a pin.
    values = run_case("demo", options, 3)
    ours = values["identical"]
    print(f"\nHost kexec {kernels.find(DEFAULT_LINE).release} to itself, guest of {ours['vcpus']} vCPUs, "
          f"not scheduled for {int(ours['blackout_ns']) / 1e9:.1f} s.\n"
          "Its kvmclock and TSC against what they would have been, at the same host TSC:\n")
    row = "  {:<38} {:>14} {:>14} {:>18} {:>9}  {}".format
    print(row("how the clock came back", "kvmclock now", "in an hour", "TSC, cycles", "rate, ppb",
              "function of the TSC"))
    for method, name in METHODS.items():
        value = values[method]
        print(row(name, in_units(int(value["error_now_ns"])), in_units(int(value["error_hour_ns"])),
                  value["tsc_error_cycles"], value["rate_ppb"], "same" if value["page_function"] == "1" else "another"))
    print(flush=True)
    say(f"all numbers: {os.path.relpath(LOGS, ROOT)}/demo/verdict.log")


def readable(text: str) -> str:
    """Of ns, less than a reading can tell is nothing."""
    return in_units(float(text)) if abs(float(text or 0)) >= 1000 else "0"


def qemu_table(values: Values) -> None:
    print("\nA Linux guest on QEMU, its host replaced by kexec. Read inside the guest:\n")
    row = "  {:<32} {:>12} {:>12} {:>14} {:>10} {:>8}  {}".format
    print(row("how it came back", "clock, host", "TSC, host", "clock, TSC", "rate, ppb", "page", "kernel log"))
    for method, name in QEMU_METHODS.items():
        value = values[method]
        rate, lines = value["raw_rate_ppb"], int(value["complaints"] or 0)
        print(row(name, *(readable(value[key]) for key in ("raw_error_ns", "tsc_error_ns", "raw_offset_ns")),
                  f"{float(rate):+.0f}" if re.fullmatch("[-+0-9.]+", rate) else "-",
                  "yes" if "1" in (value["page_identical"], value["page_function"]) else "no",
                  f"{lines} lines" if lines else "clean"))
    ours = values["ours"]
    print("\nclock, host: CLOCK_MONOTONIC_RAW against the time that passed by the host TSC (one reading).\n"
          "TSC, host: the guest TSC likewise. clock, TSC: the clock against the guest's own TSC; 0 is\n"
          f"+-{ours['raw_resolution_ns']} ns, rate +-{ours['raw_rate_resolution_ppb']} ppb: all that the readings "
          "can tell. page: pvclock is the\nsame function of the TSC as before.\n"
          f"CLOCK_BOOTTIME {ours['boottime_offset_ns']} ns, CLOCK_REALTIME {ours['realtime_offset_ns']} ns "
          f"with kvmclockctl; backward steps: {ours['backward_steps']}.", flush=True)


def draw(resolution: str) -> None:
    """The picture, anew from what was just measured."""
    points = BUILD / "demo-qemu"
    points.mkdir(parents=True, exist_ok=True)
    said = "\n".join(read_lines(LOGS / "qemu-demo/verdict.log"))
    for method in QEMU_METHODS:
        found = re.findall(f"^note={method} point=(.*)$", said, re.M)
        if not found:
            raise Problem(f"no points of {method} in the last run of the demo")
        (points / method).write_text("\n".join(found) + "\n")
    script = (NESTED / "qemu-clock.gnuplot").read_text().replace("@resolution@", resolution)
    drawn = subprocess.run(["gnuplot"], cwd=points, input=script, stdout=subprocess.PIPE, text=True, check=True).stdout
    # A licence, as every file has one, and no white space at the end of lines.
    lines = [line.rstrip() for line in drawn.splitlines()]
    PICTURE.write_text("\n".join([lines[0], "<!-- SPDX-License-Identifier: GPL-2.0 -->", *lines[1:], ""]))
    say(f"the picture: {PICTURE.relative_to(ROOT)}")


def demo_qemu(options: List[str]) -> None:
    if not shutil.which("gnuplot"):
        raise Problem("no gnuplot here: install the package gnuplot-nox")
    if "--draw" in options:
        values = notes("qemu-demo")
    else:
        say("booting an emulated host, a Linux guest on it, and replacing the host's kernel by kexec")
        values = run_case("qemu-demo", options, 1)
    if not set(QEMU_METHODS) <= set(values):
        raise Problem("no run of the demo is there")
    qemu_table(values)
    draw(values["ours"]["raw_resolution_ns"])


def main() -> None:
    options = sys.argv[1:]
    if set(options) - {"-n", "--qemu", "--draw"}:
        raise Problem(__doc__)
    if "--qemu" in options:
        demo_qemu([option for option in options if option != "--qemu"])
    else:
        demo(options)


if __name__ == "__main__":
    run_main(main)
