# SPDX-License-Identifier: GPL-2.0
"""What systemd and libvirt's hook do with our files, in a root that has the packages: systemd is the first process of
a namespace, and in the place of kvmclockctl, libvirt-guests and VMs are scripts that write down what happens to them."""
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from common import Problem, text_of

HOST = Path(__file__).resolve().parents[1] / "userspace/host"
# All of its processes die with us, however we do: unshare would not end at SIGTERM.
NAMESPACE = "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"
CGROUP = f"kch-units-{os.getpid()}"
# systemd is the first process, in a cgroup of its own. It has no device but the plainest, and a file as the module's.
BOOT = """mount --make-rprivate /; mount --bind "$0" "$0"; mount -t proc proc "$0/proc"
mount -t sysfs sys "$0/sys"; mount -t cgroup2 cgroup "$0/sys/fs/cgroup"
mkdir -p "$0/sys/fs/cgroup/$1"; echo $$ >"$0/sys/fs/cgroup/$1/cgroup.procs"; umount "$0/sys/fs/cgroup"
mount -t tmpfs tmpfs "$0/run"; mount -t tmpfs tmpfs "$0/dev"
for d in null zero random urandom full tty; do : >"$0/dev/$d"; mount --bind "/dev/$d" "$0/dev/$d"; done
: >"$0/dev/kvmclock_handover"
# Nothing in it may set this machine's clock.
exec setpriv --bounding-set -sys_time unshare --cgroup sh -euc 'mount -t cgroup2 cgroup "$0/sys/fs/cgroup"; exec chroot "$0" env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal' "$0"
"""
# Its cgroups stay when it is gone.
CLEAN = """mount -t cgroup2 cgroup "$0/mnt"; for i in 1 2 3 4 5 6 7 8 9; do
find "$0/mnt/$1" -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.3; done"""
UNITS = "etc/systemd/system/"
SETTING = "etc/default/kvmclock-handover"
FILES = {
    "log": '#!/bin/sh\necho "$*" >>/events\n',
    # Saving takes long, and says which VMs are there at its end. /status-COMMAND is how it ends.
    "usr/local/sbin/kvmclockctl": """#!/bin/sh
said="kvmclockctl $*"
/log "${said%% --output*}"
[ "$1" != list ] || { cat /vm*.pid >/dev/null 2>&1 && echo live; }
[ "$1" != save ] || sleep 1
for vm in /vm*.pid; do [ "$1" = save ] && kill -0 "$(cat "$vm")" && /log "$vm is there"; done
[ ! -e "/status-$1" ] || . "/status-$1"
""",
    "usr/local/sbin/systemctl": '#!/bin/sh\n[ "$1" != list-jobs ] || [ ! -e /status-list-jobs ] || exit 1\nexec /usr/bin/systemctl "$@"\n',
    "usr/local/sbin/chronyc": '#!/bin/sh\n/log "chronyc $*"\n',
    "usr/local/sbin/logger": '#!/bin/sh\n/log "logger $*"\n',
    "vm": '#!/bin/sh\ntrap "/log $1 ends; exit 0" TERM\necho $$ >"/$1.pid"\nwhile :; do sleep 0.1; done\n',
    # As libvirt's own.
    UNITS + "virt-guest-shutdown.target": "[Unit]\nDescription=libvirt guests shutdown\n",
    UNITS + "libvirt-guests.service": """[Unit]
Requires=virt-guest-shutdown.target
After=network.target virt-guest-shutdown.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/log libvirt-guests suspends
ExecStop=/bin/sleep 1
""",
    # Any service of a host, which ends at once.
    UNITS + "other.service": """[Service]
ExecStart=/bin/sleep 1000
ExecStopPost=/log other ends
"""}
# How doctor ends when not all guests would get their clocks back, or nobody knows, by what is said of it then.
UNREADY = {"kvmclockctl doctor does not say that all guests": "exit 4", "kvmclockctl doctor did not end": "exec sleep 1000",
           "kvmclockctl doctor failed (signal)": "systemctl kill -s KILL --kill-whom=control kvmclock-handover-check; sleep 9"}
# On a host whose kexec was refused.
STAYS = """journalctl --sync; journalctl -o cat -p emerg -u kvmclock-handover-check
    systemctl is-active other libvirt-guests kvmclock-handover-save kvmclock-handover-check machine-1.scope session-7.scope
    systemctl list-jobs"""
HOOK = "/etc/libvirt/hooks/qemu.d/kvmclock-handover g1"


def install_faults():
    """make install brings all of that folder but what is an example, and make uninstall removes it."""
    with tempfile.TemporaryDirectory() as dest:
        # One of them in three places, three of them nowhere.
        all_files = len(list(HOST.iterdir())) + 2 - len(["Makefile", "modprobe.conf", "vmm.service"])
        for target, count in (("install", all_files), ("uninstall", 0)):
            subprocess.run(["make", "-s", "-C", HOST, f"DESTDIR={dest}", target], check=True)
            there = [str(path) for path in Path(dest).rglob("*") if path.is_file()]
            if len(there) != count:
                yield f"{target}: {count} files expected: {there}"


def install(root: Path) -> None:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)


def events(root: Path, script: str) -> str:
    """Boots, runs @script inside, and says what was written down, in one line; stdout of @script comes first."""
    for path in [root / "events", *root.glob("vm*.pid"), *root.glob("status-*")]:
        path.unlink(missing_ok=True)
    shutil.rmtree(root / "var/log/journal", ignore_errors=True)
    console = Path(f"{root}.console")
    with open(console, "w", encoding="utf-8") as output, subprocess.Popen(
            [*NAMESPACE, "--uts", "--ipc", "--cgroup", "sh", "-euc", BOOT, root, CGROUP], stdin=subprocess.DEVNULL,
            stdout=output, stderr=output) as host:
        try:
            for _ in range(120):
                time.sleep(0.5)
                children = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
                enter = ["nsenter", "-t", *children[:1], "-m", "-p", "-u", "-i", "-C", "chroot", root]
                if children and subprocess.run([*enter, "systemctl", "is-system-running"], text=True, check=False,
                                               capture_output=True).stdout in ("running\n", "degraded\n"):
                    # Of a host that goes down, and is to stay, there is no end.
                    said = subprocess.run(["timeout", "60", *enter, "sh", "-uc", script], text=True, check=False,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).stdout
                    break
            else:
                raise Problem(f"systemd did not come up in 60 s: {text_of(console)[-1000:]}")
            if "--no-block" in script:
                # A unit that does not stop is given 90 s by systemd.
                host.wait(150)
        finally:
            host.kill()
            host.wait()
            subprocess.run(["unshare", "--mount", "--cgroup", "sh", "-uc", CLEAN, root, CGROUP], check=False)
    log = root / "events"
    return "; ".join((said + (log.read_text() if log.exists() else "")).splitlines())


def shutdown(root: Path, target: str, end: str = "", doctor: str = "exit 0", before: str = "") -> str:
    """Two VMs in machine scopes, the second as libvirt makes them, and a session. @doctor: how it ends. @end: what is done
    then, on a host that is to stay."""
    start = f"timeout 60 systemctl start --job-mode=replace-irreversibly {target}; sleep 3; {end}" if end else \
        f"systemctl start --no-block --job-mode=replace-irreversibly {target}"
    return events(root, f"""systemctl -q add-wants multi-user.target other
        systemctl start other libvirt-guests kvmclock-handover-save kvmclock-handover-check
        echo '{doctor}' >/status-doctor
        systemd-run -q --scope --unit=session-7.scope /vm session >/dev/null 2>&1 &
        for n in 1 2; do [ $n = 1 ] && set -- || set -- -p Before=virt-guest-shutdown.target
        systemd-run -q --scope --slice=machine.slice --unit=machine-$n.scope "$@" /vm vm$n >/dev/null 2>&1 & done
        until [ -s /vm1.pid ] && [ -s /vm2.pid ]; do sleep 0.1; done
        {before}
        {start}""")


def watch_faults(root: Path):
    """In a guest: no vmclock page at first, then one, in a file. Its marker changes, the service is killed, the marker
    changes again; then the page is of another version."""
    page = root / "page"
    page.write_bytes(struct.pack("<IIHBBI", 0x4b4c4356, 112, 1, 1, 1, 0).ljust(4096, b"\0"))
    said = events(root, """unit=kvmclock-guest-watch; export LC_ALL=C
        mark() { printf "\\\\$1" | dd of=/dev/vmclock0 bs=1 seek=16 conv=notrunc 2>/dev/null; sleep 2; }
        systemctl start $unit; systemctl is-active $unit
        cp /page /dev/vmclock0; systemctl start $unit; sleep 2; systemctl is-active $unit
        mark 1; systemctl kill -s KILL $unit; sleep 3; mark 3; systemctl is-active $unit
        printf "\\2" | dd of=/dev/vmclock0 bs=1 seek=8 conv=notrunc 2>/dev/null; systemctl kill -s KILL $unit; sleep 3
        systemctl is-active $unit; journalctl --sync; journalctl -o cat -u $unit | grep -o '^kvmclock-guest-watch: .*'""")
    page.unlink()
    changed = "; STA_UNSYNC not set: Operation not permitted; the clock was disrupted and programs may take it for right" \
        "; the clock was disrupted: marker "
    lines = (f"; watching /dev/vmclock0: marker 0{changed}1, before 0; watching /dev/vmclock0: marker 1{changed}3, before 1"
             "; /dev/vmclock0: vmclock page of version 2, expected 1: disruptions will not be noticed")
    wanted = "inactive; active; active; failed" + re.sub("; (?!the clock was disrupted and)", "; kvmclock-guest-watch: ", lines) + \
        "; chronyc -m reset sources makestep 0.001 3; chronyc burst 4/4" * 2
    if said != wanted:
        yield f"guest watch: {said}"


def faults(root: Path):
    """Yields what is not as it should be."""
    install(root)
    hidden = root / UNITS / "machine-.scope.d/kvmclock-handover.conf"
    hidden.unlink(missing_ok=True)
    doctor = "kvmclockctl list --noheadings; kvmclockctl doctor; "

    def saves(said: str) -> bool:
        """While other services end."""
        return said.startswith(doctor) and said.replace("other ends; ", "").startswith(
            f"{doctor}kvmclockctl save --all --vmclock; /vm1.pid is there; /vm2.pid is there; ")

    def expect(what: str, said: str, holds: bool):
        if not holds:
            yield f"{what}: {said}"
    said = shutdown(root, "kexec.target")
    yield from expect("kexec", said, saves(said) and "vm2 ends" in said.split("suspends")[-1])
    said = shutdown(root, "reboot.target")
    yield from expect("another reboot", said, "save" not in said and "vm2 ends" in said.split("suspends")[-1])
    # Not ready: warned, or with the setting nothing is ended, and all goes on.
    short = root / UNITS / "kvmclock-handover-check.service.d/short.conf"
    short.parent.mkdir(exist_ok=True)
    short.write_text("[Service]\nTimeoutStopSec=2\n")
    for setting in "warn", "refuse":
        (root / SETTING).write_text(f"ON_UNREADY={setting}\n")
        for how, ends in UNREADY.items():
            said = shutdown(root, "kexec.target", STAYS if setting == "refuse" else "", ends)
            yield from expect(f"kexec, {how}, {setting}", said, saves(said) and "vm2 ends" in said if setting == "warn" else
                              "Job for kexec.target canceled." in said and f"kexec refused: {how}" in said and
                              said.endswith("active; " * 6 + "No jobs running.; " + doctor.rstrip("; ")))
    # What that cannot keep: of a service without that order the stop begins at once.
    said = shutdown(root, "kexec.target", "systemctl is-active by-hand ordered", "sleep 1; exit 4",
                    """systemd-run -q --unit=by-hand sleep 1000
                    systemd-run -q --unit=ordered -p Before=kvmclock-handover-save.service sleep 1000""")
    yield from expect("kexec refused, a service started by hand", said, "canceled.; inactive; active; " in said)
    shutil.rmtree(short.parent)
    said = shutdown(root, "kexec.target")
    yield from expect("kexec, ready", said, saves(said) and "vm2 ends" in said)
    said = shutdown(root, "kexec.target", before=": >/status-list-jobs")
    yield from expect("kexec, jobs unknown", said, saves(said) and "vm2 ends" in said)
    said = events(root, "systemctl start kvmclock-handover-save; systemctl stop kvmclock-handover-save; "
                  "systemctl show -P Result -P ActiveState kvmclock-handover-save")
    yield from expect("only that unit is stopped", said, said == "success; inactive")
    said = shutdown(root, "reboot.target", doctor="exit 4")
    yield from expect("another reboot, not ready", said, "kvmclockctl" not in said and "vm2 ends" in said)
    (root / SETTING).unlink()
    hidden.parent.mkdir(exist_ok=True)
    hidden.touch()
    said = shutdown(root, "kexec.target")
    hidden.unlink()
    yield from expect("control: without the drop-in vm1 is not there", said, "/vm2.pid is there" in said and
                      "vm1.pid" not in said)
    # The first was started at boot; the other waits for a device, and here there is no udev.
    yield from watch_faults(root)
    start = "systemctl start kvmclock-handover-finish 2>/dev/null; " \
        "systemctl is-active kvmclock-handover-load kvmclock-handover-finish; "
    said = events(root, "echo exit 3 >/status-report; echo exit 3 >/status-finish; " + start +
                  "journalctl --sync; journalctl -u kvmclock-handover-load | grep -c 'nothing to do'")
    yield from expect("no region, no record", said, said ==
                      "inactive; inactive; 1; kvmclockctl report --save; kvmclockctl finish")
    (root / "etc/modprobe.d/kch.conf").write_text("options kvmclock_handover region=1,1\n")
    said = events(root, "echo exit 1 >/status-report; " + start)
    (root / "etc/modprobe.d/kch.conf").unlink()
    yield from expect("no module, a clock that differs", said, said == "failed; failed; kvmclockctl report --save")
    said = events(root, "echo quiet kho=Yes >/run/cmdline; mount --bind /run/cmdline /proc/cmdline; "
                  "systemctl start kvmclock-handover-load 2>/dev/null; " + start)
    yield from expect("KHO, no module", said, said.startswith("failed; "))
    said = events(root, f"""export PATH=/usr/local/sbin:$PATH
        mkdir -p /run/libvirt/qemu; echo 7 >/run/libvirt/qemu/g1.pid
        {HOOK} started begin -; {HOOK} migrate begin -; {HOOK} started begin -; {HOOK} restore begin -
        {HOOK} release end -; {HOOK} started begin -
        {HOOK} restore begin -; {HOOK} started begin -; {HOOK} started begin -
        echo exit 4 >/status-restore; {HOOK} restore begin -; {HOOK} started begin - && echo done
        echo 'echo held; echo careful >&2' >/status-restore; {HOOK} restore begin -; {HOOK} started begin -""")
    for name in FILES:
        (root / name).unlink()
    hidden.parent.rmdir()
    restore = "kvmclockctl restore --pid 7 --hold --vmclock"
    yield from expect("hook", said, said ==
                      f"done; {restore}; {restore}; logger -t kvmclock-handover -p daemon.err -- g1: ; "
                      f"{restore}; logger -t kvmclock-handover -p daemon.warning -- g1: careful")
