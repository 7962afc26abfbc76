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
from pathlib import Path
from typing import Dict

import kernels
from cases import DEFAULT_LINE
from common import BUILD, LOGS, NESTED, ROOT, Problem, run_main, say
from judge import read_lines

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


def run_case(name: str, *options: str) -> subprocess.CompletedProcess:
    (LOGS / name / "verdict.log").unlink(missing_ok=True)
    return subprocess.run([NESTED / "run.py", *options, "-c", name], stdout=subprocess.PIPE, text=True, check=False)


def failed(run: subprocess.CompletedProcess) -> Problem:
    print(run.stdout, end="", file=sys.stderr)
    return Problem("the demo failed")


def notes(log: Path) -> Dict[str, Dict[str, str]]:
    """Of each method what it reported: the last of each KEY=VALUE."""
    values: Dict[str, Dict[str, str]] = {}
    for line in read_lines(log):
        match = re.fullmatch(r"note=(\S+) ([^=]*)=(.*)", line)
        if match:
            values.setdefault(match[1], {})[match[2]] = match[3]
    return values


def duration(text: str, least: int = 10 ** 4) -> str:
    """As a number of ns when it is below `least`, else in the unit in which it has few digits."""
    value = float(text)
    for times, unit, digits in ((1, "ns", 0), (10 ** 3, "us", 1), (10 ** 6, "ms", 1)):
        if abs(value) < least * times:
            return f"{value / times:+.{digits}f} {unit}" if value else "0 ns"
    return f"{value / 1e9:+.3f} s"


def demo(options: list) -> None:
    say("booting an emulated host, running four guests on it, and replacing its kernel by kexec")
    # Both kernels measure their TSC frequency, as hosts do without a pin; on a busy machine the emulated one can
    # be out by so much that the exact restore is rightly refused. Only then is it done again.
    log = LOGS / "demo/verdict.log"
    for attempt in (1, 2, 3):
        run = run_case("demo", *options)
        values = notes(log)
        if not run.returncode:
            break
        refused = values.get("identical", {}).get("refused_errno")
        if attempt == 3 or refused not in ("ERANGE", "ENOTRECOVERABLE"):
            raise failed(run)
        say("the emulated host mismeasured its TSC frequency, so that the restore was refused: again")
    ours = values["identical"]
    release = kernels.find(DEFAULT_LINE).release
    print(f"\nHost kexec {release} to itself, guest of {ours['vcpus']} vCPUs, not scheduled for "
          f"{int(ours['blackout_ns']) / 1e9:.1f} s.\n"
          "Its kvmclock and TSC against what they would have been, at the same host TSC:\n")
    row = "  {:<38} {:>14} {:>14} {:>18} {:>9}  {}".format
    print(row("how the clock came back", "kvmclock now", "in an hour", "TSC, cycles", "rate, ppb",
              "function of the TSC"))
    for method, name in METHODS.items():
        value = values[method]
        print(row(name, duration(value["error_now_ns"]), duration(value["error_hour_ns"]), value["tsc_error_cycles"],
                  value["rate_ppb"], "same" if int(value["page_function"]) else "another"))
    print(flush=True)
    say(f"all numbers: {os.path.relpath(log, ROOT)}")


def qemu_duration(text: str) -> str:
    """Less than a reading can tell is nothing."""
    return duration(text, 10 ** 3) if abs(float(text or 0)) >= 10 ** 3 else "0"


def qemu_table(values: Dict[str, Dict[str, str]]) -> None:
    print("\nA Linux guest on QEMU, its host replaced by kexec. Read inside the guest:\n")
    row = "  {:<32} {:>12} {:>12} {:>14} {:>10} {:>8}  {}".format
    print(row("how it came back", "clock, host", "TSC, host", "clock, TSC", "rate, ppb", "page", "kernel log"))
    for method, name in QEMU_METHODS.items():
        value = values[method]
        rate = value.get("raw_rate_ppb", "")
        same = any(int(value.get(key) or 0) for key in ("page_identical", "page_function"))
        lines = int(value.get("complaints") or 0)
        print(row(name, *(qemu_duration(value.get(key, "")) for key in ("raw_error_ns", "tsc_error_ns", "raw_offset_ns")),
                  f"{float(rate):+.0f}" if re.fullmatch("[-+0-9.]+", rate) else "-", "yes" if same else "no",
                  f"{lines} lines" if lines else "clean"))
    ours = values["ours"]
    print("\nclock, host: CLOCK_MONOTONIC_RAW against the time that passed by the host TSC (one reading).\n"
          "TSC, host: the guest TSC likewise. clock, TSC: the clock against the guest's own TSC; 0 is\n"
          f"+-{ours['raw_resolution_ns']} ns, rate +-{ours['raw_rate_resolution_ppb']} ppb: all that the readings "
          "can tell. page: pvclock is the\nsame function of the TSC as before.\n"
          f"CLOCK_BOOTTIME {ours['boottime_offset_ns']} ns, CLOCK_REALTIME {ours['realtime_offset_ns']} ns "
          f"with kvmclockctl; backward steps: {ours['backward_steps']}.", flush=True)


def draw(log: Path, resolution: str) -> None:
    """The picture is drawn anew from what was just measured."""
    points = BUILD / "demo-qemu"
    points.mkdir(parents=True, exist_ok=True)
    for method in QEMU_METHODS:
        start = f"note={method} point="
        lines = [line[len(start):] for line in read_lines(log) if line.startswith(start)]
        if not lines:
            raise Problem(f"no points of {method} in {log}")
        (points / method).write_text("\n".join(lines) + "\n")
    script = (NESTED / "qemu-clock.gnuplot").read_text().replace("@resolution@", resolution)
    drawn = subprocess.run(["gnuplot"], cwd=points, input=script, stdout=subprocess.PIPE, text=True, check=True).stdout
    # A licence, as every file has one, and no white space at the end of lines.
    lines = [line.rstrip() for line in drawn.splitlines()]
    lines.insert(1, "<!-- SPDX-License-Identifier: GPL-2.0 -->")
    PICTURE.write_text("\n".join(lines) + "\n")
    say(f"the picture: {PICTURE.relative_to(ROOT)}")


def demo_qemu(options: list) -> None:
    if not shutil.which("gnuplot"):
        raise Problem("no gnuplot here: install the package gnuplot-nox")
    log = LOGS / "qemu-demo/verdict.log"
    if "--draw" not in options:
        say("booting an emulated host, a Linux guest on it, and replacing the host's kernel by kexec")
        run = run_case("qemu-demo", *options)
        if run.returncode:
            raise failed(run)
    values = notes(log)
    if not set(QEMU_METHODS) <= set(values):
        raise Problem(f"no run of the demo is there: {log}")
    qemu_table(values)
    draw(log, values["ours"]["raw_resolution_ns"])


def main() -> None:
    options = sys.argv[1:]
    if set(options) - {"-n", "--qemu", "--draw"}:
        raise Problem(__doc__)
    rest = [option for option in options if option != "--qemu"]
    if "--qemu" in options:
        demo_qemu(rest)
    else:
        demo(rest)


if __name__ == "__main__":
    run_main(main)
