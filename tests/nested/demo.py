#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""The two demonstrations, `make demo` and `make demo-qemu`.

    demo.py          four VMs with the same guest live through the same host kexec, and each gets its clock back
                     in another way
    demo.py --qemu   one Linux guest of Debian's QEMU, saved to a file, comes back from it in three ways; a table,
                     and the picture Documentation/qemu-clock.svg"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Dict, List

import kernels
from cases import DEFAULT_LINE
from common import LOGS, NESTED, ROOT, Problem, run_main, say
from judge import read_lines
from reports import in_units, mismeasured, picture

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
Values = Dict[str, Dict[str, List[str]]]


def run_case(name: str, attempts: int = 1) -> Values:
    """Of each method what its VM noted: all of each KEY=VALUE. Runs the case again only if the exact restore was
    rightly refused, as the emulated host mismeasured its TSC frequency; on a busy machine it may."""
    for left in range(attempts - 1, -1, -1):
        (LOGS / name / "verdict.log").unlink(missing_ok=True)
        run = subprocess.run([NESTED / "run.py", "-c", name], stdout=subprocess.PIPE, text=True, check=False)
        if not run.returncode:
            break
        if not left or not mismeasured(name):
            print(run.stdout, end="", file=sys.stderr)
            raise Problem("the demo failed")
        say("the emulated host mismeasured its TSC frequency, so that the restore was refused: again")
    values: Values = defaultdict(lambda: defaultdict(list))
    for line in read_lines(LOGS / name / "verdict.log"):
        match = re.fullmatch(r"note=(\S+) ([^=]*)=(.*)", line)
        if match:
            values[match[1]][match[2]].append(match[3])
    return values


def demo() -> None:
    say("booting an emulated host, running four guests on it, and replacing its kernel by kexec")
    # Both kernels measure their TSC frequency, as hosts do without a pin.
    found = run_case("demo", attempts=3)
    values = {method: {key: said[-1] for key, said in noted.items()} for method, noted in found.items()}
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


def demo_qemu() -> None:
    if not shutil.which("gnuplot"):
        raise Problem("no gnuplot here: install the package gnuplot-nox")
    say("booting an emulated host, a Linux guest on it, and replacing the host's kernel by kexec")
    values = run_case("qemu-demo")

    def last(method: str, key: str) -> str:
        return (values[method][key] or [""])[-1]

    def readable(ns: str) -> str:
        """Less than a reading can tell is nothing."""
        return in_units(float(ns)) if abs(float(ns or 0)) >= 1000 else "0"

    print("\nA Linux guest on QEMU, its host replaced by kexec. Read inside the guest:\n")
    row = "  {:<32} {:>12} {:>12} {:>14} {:>10} {:>8}  {}".format
    print(row("how it came back", "clock, host", "TSC, host", "clock, TSC", "rate, ppb", "page", "kernel log"))
    for method, name in QEMU_METHODS.items():
        rate, lines = last(method, "raw_rate_ppb"), int(last(method, "complaints") or 0)
        print(row(name, *(readable(last(method, key)) for key in ("raw_error_ns", "tsc_error_ns", "raw_offset_ns")),
                  f"{float(rate):+.0f}" if re.fullmatch("[-+0-9.]+", rate) else "-",
                  "yes" if "1" in (last(method, "page_identical"), last(method, "page_function")) else "no",
                  f"{lines} lines" if lines else "clean"))
    ours = defaultdict(str, {key: said[-1] for key, said in values["ours"].items()})
    print("""
clock, host: CLOCK_MONOTONIC_RAW against the time that passed by the host TSC (one reading).
TSC, host: the guest TSC likewise. clock, TSC: the clock against the guest's own TSC; 0 is
+-{raw_resolution_ns} ns, rate +-{raw_rate_resolution_ppb} ppb: all that the readings can tell. page: pvclock is the
same function of the TSC as before.
CLOCK_BOOTTIME {boottime_offset_ns} ns, CLOCK_REALTIME {realtime_offset_ns} ns with kvmclockctl; backward steps: \
{backward_steps}.""".format_map(ours), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for method in QEMU_METHODS:
            if not values[method]["point"]:
                raise Problem(f"no points of {method} in the run of the demo")
            Path(folder, method).write_text("\n".join([*values[method]["point"], ""]))
        script = (NESTED / "qemu-clock.gnuplot").read_text().replace("@resolution@", ours["raw_resolution_ns"])
        PICTURE.write_text(picture(script, Path(folder)))
    say(f"the picture: {PICTURE.relative_to(ROOT)}")


def main() -> None:
    if sys.argv[1:] not in ([], ["--qemu"]):
        raise Problem(__doc__)
    demo_qemu() if sys.argv[1:] else demo()


if __name__ == "__main__":
    run_main(main)
