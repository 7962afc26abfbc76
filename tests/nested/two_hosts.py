# SPDX-License-Identifier: GPL-2.0
"""Two emulated hosts, machine=two: the second is booted when the first has come to its end, with TSC, wall clock, identity
and kernel of its own. Their memory is one file, so a guest is carried by leaving it where it is (two-hosts.c).

  next_khz=N     the second takes its TSC for N kHz faster
  age=N          only the first has been up for so long
"""

import shlex
from typing import List

import kernels
from common import LOGS, NESTED, locked, make
from machines import Qemu

UUID = "0b5e55ed-7465-4573-8174-6d616368696e"


class TwoHosts(Qemu):
    qmp = b""

    def with_memory(self, arguments: List[str]) -> str:
        size = arguments[arguments.index("-m") + 1]
        ports = [word for name in ("console", "verdict") for word in (
            "-chardev", f"file,id={name},append=on,path={self.dir}/{name}.log", "-serial", f"chardev:{name}")]
        # By its name a state that was saved with other memory is taken.
        return "exec " + shlex.join(
            [*arguments, "-object", f"memory-backend-file,id=pc.ram,size={size}M,mem-path=/proc/self/fd/9,share=on,"
             "x-use-canonical-path-for-ramblock-id=off", "-machine", "memory-backend=pc.ram", "-qmp", "stdio", *ports])

    def second(self) -> List[str]:
        self.kernel = kernels.find(self.case.next).path / "vmlinuz"
        arguments = self.arguments()
        arguments[arguments.index("-uuid") + 1] = UUID
        told = arguments.index("-append") + 1
        arguments[told] += f" tsc_early_khz={self.tsc_khz + int(self.case.param('next_khz') or 0)}"
        return arguments

    def command(self) -> List[str]:
        first = self.make_older(self.arguments()) if self.age_days else self.arguments()
        with locked(LOGS / ".two-hosts.lock"):
            make(LOGS, f"VPATH={NESTED}", "CFLAGS=-O2 -Wall -Wextra -Werror", "two-hosts")
        memory = int(self.case.param("mem") or self.mem_min) << 20
        page = sum(self.guest) - 0x2000
        return [f"{LOGS}/two-hosts", str(memory), str(page), self.with_memory(first), self.with_memory(self.second())]
