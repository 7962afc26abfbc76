#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""Are the Debian packages whole? For each release, in clean minimal roots: they are built, lintian looks at them,
an older version is installed and upgraded to this one, the module is built for the kernels that Debian has, tool and
library are used, all is removed and purged.

    tests/packages.py [RELEASE...]      bookworm and trixie; needs root, mmdebstrap and the mirror of apt's sources
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterable

sys.path.insert(0, str(Path(__file__).parent / "nested"))
import apt  # noqa: E402
import units  # noqa: E402
from common import BUILD, NOT_OURS, ROOT, Problem, run_main  # noqa: E402

WORK = BUILD / "packages-test"
# Debian's own kernels, by the beginning of their version, and the suite that has them.
KERNELS = {"bookworm": {"6.1.": "bookworm"},
           "trixie": {"6.12.": "trixie", "7.2.": "trixie-backports", "7.3.": "trixie-backports"}}
OLDER = "0.0.9"
# The project has no mail address; SECURITY.md says how it is reached.
LINTIAN = "lintian --allow-root --fail-on error,warning --suppress-tags bogus-mail-host," \
    "bogus-mail-host-in-debian-changelog"
PROGRAM = """#include <stdio.h>
#include <kvmclock-handover-stock.h>
int main(void) { return puts(kch_mode_name(KCH_MODE_IDENTICAL)) < 0 || !kch_open_stock(); }
"""
# A command behind ! does not end a script of sh -e.
QUIET = "export DEBIAN_FRONTEND=noninteractive; apt() { apt-get -qq -y --no-install-recommends \"$@\" </dev/null; }; " \
    "none() { if grep \"$@\"; then exit 1; fi; }; "
# With /proc and /dev of its own, which go with the last process; a mount point, so that it can have namespaces, too.
ENTER = 'mount --bind "$0" "$0"; mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; exec chroot "$0" /bin/sh -euc "$1"'


def check(faults: Iterable[str]) -> None:
    found = "\n".join(faults)
    if found:
        raise Problem(found)


def run(*command, output=subprocess.PIPE, **options) -> str:
    result = subprocess.run(list(map(str, command)), text=True, errors="replace", stdin=subprocess.DEVNULL,
                            stdout=output, stderr=subprocess.STDOUT, check=False, **options)
    if result.returncode:
        raise Problem(f"{(result.stdout or '')[-4000:]}\nstatus {result.returncode}: {command[-1]}")
    return result.stdout


def inside(root: Path, script: str, output=subprocess.PIPE) -> str:
    """What it said, if that is not to go to a file."""
    return run(*units.NAMESPACE, "sh", "-euc", ENTER, root, QUIET + script, output=output)


def put_tree(tree: Path) -> None:
    """This one, as it is now."""
    shutil.copytree(ROOT, tree, ignore=NOT_OURS, dirs_exist_ok=True)


def mirror() -> str:
    """That of this machine's apt, with nothing of it named here."""
    targets = run("apt-get", "indextargets", "--format", "$(ORIGIN)/$(LABEL) $(REPO_URI)", "Created-By: Packages")
    found = re.search("^Debian/Debian (.*)$", targets, re.M)
    if not found:
        raise Problem("none of this machine's apt sources is a Debian mirror")
    return apt.plain(found[1])


class Release:
    """One release of Debian: a root in which packages are built, and one in which they are used."""

    def __init__(self, name: str, where: str):
        self.name, self.mirror = name, where
        self.build, self.use = WORK / name / "build", WORK / name / "use"
        self.suites = {name, *KERNELS[name].values()}
        self.kernels = []

    def make_root(self, root: Path, *suites: str) -> None:
        """A minimal one, whose apt has these suites."""
        archive = WORK / f"{self.name}.tar"
        if not archive.exists():
            run("mmdebstrap", "--quiet", "--variant=minbase", *apt.settings(), self.name, f"{archive}.new.tar", self.mirror)
            os.rename(f"{archive}.new.tar", archive)
        root.mkdir(parents=True)
        run("tar", "-C", root, "--exclude=./dev/*", "-xf", archive)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        proxies = run("apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy")
        (root / "etc/apt/apt.conf.d/proxy").write_text(proxies)
        (root / "etc/apt/sources.list").write_text("".join(f"deb {self.mirror} {suite} main\n" for suite in suites))
        inside(root, "apt update")

    def built(self) -> None:
        """In a root that has nothing but make, not even lists of apt; on one release by a user with sudo."""
        self.make_root(self.build, *self.suites)
        put_tree(self.build / "tree")
        user = "root" if self.name == "bookworm" else "nobody"
        inside(self.build, f"""cd /tree; apt install make sudo; rm -r /var/lib/apt/lists; chown -R {user} .
            echo 'nobody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers; su -s /bin/sh {user} -c 'make packages'
            mkdir /older /newer; mv build/packages/* /newer; scripts/packages.py {OLDER}; mv build/packages/*.deb /older""")

    def lintian(self) -> None:
        inside(self.build, f"apt install lintian; {LINTIAN} /newer/*.changes")

    def installed(self) -> None:
        """The older version, on a host with its release's kernel."""
        self.make_root(self.use, *self.suites)
        run("cp", "-r", self.build / "older", self.build / "newer", self.use)
        inside(self.use, "apt install systemd udev openssl; rm /newer/*dbgsym*; rm /older/*dbgsym*")
        self.add_kernel(next(iter(KERNELS[self.name])))
        inside(self.use, f"apt install /older/*.deb; kvmclockctl --version | grep -F {OLDER}")
        self.module(self.kernels[0], OLDER)

    def upgraded(self) -> None:
        inside(self.use, f"apt install /newer/*.deb; (dkms status; kvmclockctl --version) | none -F {OLDER}")
        self.module(self.kernels[0])

    def add_kernel(self, line: str) -> None:
        found = inside(self.use, f"apt-cache search --names-only '^linux-headers-{line}.*-cloud-amd64$' | sort -V")
        package = found.split("\n")[-2].split(" ")[0]
        inside(self.use, f"apt install {package} dkms")
        self.kernels.append(package[len("linux-headers-"):])

    def module(self, kernel: str, version: str = "") -> None:
        """Built for that kernel, of that version (this one), and signed."""
        version = version or re.search('"(.*)"', (ROOT / "kernel/core/version.h").read_text())[1]
        said = inside(self.use, f"dkms status -k {kernel}; modinfo /lib/modules/{kernel}/updates/dkms/kvm*.ko*")
        check(f"{said}\nno {what!r}" for what in (f"version: +{version}\n", f"vermagic: +{re.escape(kernel)} ",
                                                  "signer: +DKMS") if not re.search(what, said))

    def other_kernels(self) -> str:
        for line in list(KERNELS[self.name])[1:]:
            self.add_kernel(line)
            self.module(self.kernels[-1])
        return " ".join(self.kernels)

    def used(self) -> None:
        (self.use / "vmm.c").write_text(PROGRAM)
        inside(self.use, r"""apt install gcc libc6-dev pkgconf bash-completion
            gcc -Wall -Werror vmm.c -o shared $(pkg-config --cflags --libs kvmclock-handover)
            gcc -Wall -Werror -static vmm.c -o static $(pkg-config --static --cflags --libs kvmclock-handover)
            ldd shared | grep libkvmclock-handover.so.0; ldd static | none '=>'
            [ "$(./shared) $(./static)" = "identical identical" ]
            kvmclockctl --help
            units="$(printf "kvmclock-handover-%s.service " load save check finish) kvmclock-guest-watch.service"
            systemd-analyze verify --man=no $units 2>&1 | none .; systemctl is-enabled $units
            bash -c '. /usr/share/bash-completion/completions/kvmclockctl; COMP_WORDS=(kvmclockctl ver) COMP_CWORD=1
                _kvmclockctl; [ "${COMPREPLY[*]}" = verify ]'""")
        check(f"no man page {page.name}" for page in (ROOT / "Documentation/man").iterdir()
              if not any(self.use.glob(f"usr/share/man/man?/{page.name}.gz")))

    def booted(self) -> None:
        check(units.faults(self.use))

    def removed(self) -> None:
        inside(self.use, """mkdir -p /var/lib/kvmclock-handover; : >/var/lib/kvmclock-handover/vmclock-1; apt remove 'kvmclock-*' 'libkvmclock-handover*'; dkms status | none kvmclock
            find /lib/modules/ /usr/src | none kvmclock_; apt purge '?config-files'; rm -r /older /newer""")
        left = [str(path.relative_to(self.use)) for path in self.use.rglob("*")]
        check(f"left: {path}" for path in left if re.search("kvmclock[-_](handover|guest)|kvmclockctl|etc/libvirt", path))


def why_not() -> str:
    """Why no root can be made here."""
    if os.getuid() or not shutil.which("mmdebstrap"):
        return "not root" if os.getuid() else "no mmdebstrap here"
    try:
        WORK.mkdir(parents=True, exist_ok=True)
        run("/usr/lib/apt/apt-helper", "download-file", f"{mirror()}dists/stable/InRelease", WORK / "InRelease")
    except Problem as error:
        return f"no mirror of Debian: {error}".replace("\n", " ")
    return ""


def main() -> int:
    counts = {"passed": 0, "failed": 0, "skipped": 0}

    def attempt(name: str, step: Callable, skip: str) -> bool:
        result, more = "skipped" if skip else "passed", skip and f" # SKIP {skip}"
        try:
            more = more or f" # {step()}"
        except (Problem, subprocess.SubprocessError) as error:
            result = "failed"
            print("".join(f"# {line}\n" for line in str(error).splitlines()), end="")
        counts[result] += 1
        print(f"{'not ok' if result == 'failed' else 'ok'} - {name}{more.replace(' # None', '')}", flush=True)
        return result != "failed"

    names, steps = sys.argv[1:] or KERNELS, "built lintian installed upgraded other_kernels used booted removed".split()
    print(f"1..{1 + len(names) * len(steps)}", flush=True)
    attempt("installed without packages", lambda: check(units.install_faults()), "")
    reason = why_not()
    for name in names:
        shutil.rmtree(WORK / name, ignore_errors=True)
        release, skip = Release(name, "" if reason else mirror()), reason
        for step in steps:
            if not attempt(f"{name}: {step}", getattr(release, step), skip) and step not in ("lintian", "booted"):
                skip = f"{step} failed"
    print("# " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    run_main(main)
