#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: GPL-2.0
"""The kernels of the test bed: one table, and what fetches and builds them and modules for them.

  kernels.py ensure [--update] LINE|SET...         fetch or build what is missing or out of date; with --update look
                                                   for a newer version, also when a kernel is there or was given
  kernels.py module [-s DIR] [-n NAME] LINE|SET... build/kernels/LINE/NAME.ko from the sources in DIR (our module)
  kernels.py source LINE|SET...                    only Debian's source, in build/source/linux-VERSION/
  kernels.py list [SET...]                         all lines, or those of a set

build/kernels/LINE/ has vmlinuz, modules/ (its /lib/modules/RELEASE), headers/ (for `make -C ... M=`), release (what
`uname -r` will say) and package (Debian's with its version, or where it came from). A kernel of one's own (LINE is
then any name):  KERNEL=/boot/vmlinuz-X MODULES=/lib/modules/X KDIR=/lib/modules/X/build kernels.py ensure LINE"""

import argparse
import contextlib
import fcntl
import itertools
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import apt
from common import (BUILD, CLEAN_MAKE, ROOT, Problem, digest_of, install, locked, new_folder, output_of, remove, run,
                    run_main, say, source_files, text_of)

KERNELS = BUILD / "kernels"
SOURCE = BUILD / "source"
MODULE = "kvmclock_handover"


class Line(NamedTuple):
    """A kernel line: one row of the table."""
    name: str
    package: str = ""   # Debian's, a pattern: an image, or with `config` the source
    suite: str = ""     # which has it, if those of the machine have not
    config: str = ""    # fragments in scripts/kernel-config; `intree`: our driver and patches are in the source
    sets: str = ""      # what needs it

    path = property(lambda self: KERNELS / self.name)
    version = property(lambda self: self.name.partition("-")[0])
    tree = property(lambda self: SOURCE / f"linux-{self.version}")
    objects = property(lambda self: SOURCE / f"{self.name}.obj")
    intree = property(lambda self: "intree" in self.config.split())
    release = property(lambda self: text_of(self.path / "release"))
    taken = property(lambda self: text_of(self.path / "package"))


# Sets: released: `make test`, and every pair of them is a case; default: demo, and cases that name no other;
# demo-qemu; check: headers for `make check`, and checkpatch: source for its checkpatch.pl; selftests: the KVM
# selftests of its source. What is in none is for the cases that name it.
LINES = {line.name: line for line in (
    Line("6.1", "linux-image-6.1[.-][0-9]*-cloud-amd64", "bookworm", "", "released demo-qemu"),
    Line("6.12", "linux-image-6.12[.-][0-9]*-cloud-amd64", "bookworm-backports", "",
         "released default demo-qemu check selftests"),
    Line("7.3", "linux-source-7.3", "trixie-backports", "host", "released selftests checkpatch"),
    Line("7.3-debug", "linux-source-7.3", "trixie-backports", "host debug"),
    Line("7.3-intree", "linux-source-7.3", "trixie-backports", "host intree"),
    Line("7.3-intree-debug", "linux-source-7.3", "trixie-backports", "host intree debug"),
)}


def find(name):
    """The line of a name, or the line itself. One that is not in the table can only be given."""
    return name if isinstance(name, Line) else LINES.get(name) or Line(name)


def names(*wanted):
    """The names of lines, from names of lines and sets."""
    return [line for name in wanted
            for line in [line.name for line in LINES.values() if name in line.sets.split()] or [name]]


def pairs():
    """All pairs of released lines, by name, also of one with itself."""
    return list(itertools.product(names("released"), repeat=2))


def ensure(line, update=False):
    """Fetches or builds a line, given by name or row, if it is not there or its inputs have changed."""
    line = find(line)
    # One at a time: the result is replaced as a whole.
    with locked(KERNELS / f".{line.name}.lock"):
        if update or not is_current(line):
            if not line.package:
                raise Problem(f"{line.name}: no recipe for this line (see kernels.py --help)")
            (build if line.config else take_debian)(line, update)


def is_current(line):
    """A kernel of Debian's, or a given one, is what it was when it was taken. One that was built is made
    anew when its source, its options or the driver in it are others."""
    if not line.config or line.taken.startswith("given: "):
        return bool(line.release)
    headers = line.path / "headers"
    return (line.taken == (text_of(line.tree / ".package") or line.taken)
            and set(text_of(headers / ".fragments").splitlines()) == set(options(line))
            and (headers / "Module.symvers").exists()
            # The object folder names its source by the absolute path.
            and (headers / "source").exists()
            and (line.path / "recipe").exists()
            and (not line.intree or text_of(line.path / "recipe") == driver()))


def driver():
    """What a kernel with our driver is made of besides its source."""
    return digest_of(ROOT / "kernel", ROOT / "patches", ROOT / "scripts/graft.py")


def is_given():
    """KDIR= by itself is for `make`, which hands it on."""
    return bool(os.environ.get("KERNEL") or os.environ.get("MODULES"))


def take_given(*lines):
    if len(lines) > 1:
        raise Problem(f"KERNEL= is one kernel, wanted are {len(lines)}: give it to tests/nested/kernels.py ensure "
                      f"LINE, for each of {' '.join(lines)} that is not to be fetched, then call this without it")
    line = find(lines[0])
    kernel, modules, headers = (Path(os.environ.get(name) or "unset") for name in ("KERNEL", "MODULES", "KDIR"))
    for proof in kernel, modules / "kernel", headers / "Module.symvers":
        if not os.access(proof, os.R_OK):
            raise Problem(f"{line.name}: cannot read {proof}, wanted are KERNEL= MODULES= KDIR=")
    with locked(KERNELS / f".{line.name}.lock"), new_folder(line.path) as work:
        for name, target in ("vmlinuz", kernel), ("modules", modules), ("headers", headers):
            (work / name).symlink_to(target.resolve())
        label(work, output_of(*CLEAN_MAKE, "-s", "-C", headers, "kernelrelease").strip(), f"given: {kernel}")
    say(f"{line.name}: {line.release}, as given by KERNEL= MODULES= KDIR=")


def label(work, release, package):
    (work / "release").write_text(release + "\n")
    (work / "package").write_text(package + "\n")


# ---- a kernel of Debian's

def take_debian(line, _update):
    with apt.having(line.package, line.suite) as (own, image, version):
        if line.taken == f"{image} {version}":
            say(f"{line.name}: {image} {version} is the newest, and here")
            return
        release = image[len("linux-image-"):]
        headers = f"linux-headers-{release}"
        depends = [name for name in own.depends(headers)
                   if re.fullmatch("linux-headers-.*-common|linux-kbuild-.*", name)]
        if len(depends) != 2:
            raise Problem(f"{line.name}: {headers} does not name one -common and one linux-kbuild: {depends}")
        with new_folder(line.path) as work:
            own.unpack(work / "root", image, headers, *depends)
            # Trixie's packages have their modules in /usr/lib.
            modules = "root/usr/lib/modules" if (work / "root/usr/lib/modules").exists() else "root/lib/modules"
            (work / "vmlinuz").symlink_to(f"root/boot/vmlinuz-{release}")
            (work / "modules").symlink_to(f"{modules}/{release}")
            (work / "headers").symlink_to(f"root/usr/src/{headers}")
            for name in "vmlinuz", "modules/kernel", "headers/Module.symvers", "headers/scripts/mod/modpost":
                if not (work / name).exists():
                    raise Problem(f"{line.name}: {image} {version}: no {name} after extraction")
            relocate(work)
            label(work, release, f"{image} {version}")
    say(f"{line.name}: took {image} {version}")


def relocate(kernel):
    """Debian's header packages name each other by absolute path. Name them relative to the file
    instead; the symbolic links between them already are."""
    headers = kernel / "headers"
    makefile = headers / "Makefile"
    makefile.write_text(re.sub("^include /usr/src/", "include $(dir $(abspath $(lastword $(MAKEFILE_LIST))))../",
                               makefile.read_text(), flags=re.M))
    # The first is only for BTF in modules, which needs pahole, and is stripped again. The links of
    # the image package to the headers are absolute and of no use here.
    remove(headers / "vmlinux", kernel / "modules/build", kernel / "modules/source")
    names = "Makefile", "Kbuild", "*.mk", "Makefile.*", ".kernelvariables"
    left = output_of("grep", "-rlE", *(f"--include={name}" for name in names), "(^|[^.])/usr/(src|lib)/linux-",
                     headers.resolve(), *kernel.glob("root/usr/lib/linux-kbuild-*"), check=False)
    if left:
        raise Problem(f"absolute paths left in: {left}")


# ---- a kernel that we build

@contextlib.contextmanager
def source(line, update=False):
    """Yields build/source/linux-VERSION, unpacked from Debian's package. It is only read: several may
    build from it at a time, and nobody replaces it meanwhile."""
    package = f"linux-source-{line.version}"
    with locked(SOURCE / f".{line.version}.lock", shared=True) as lock:
        if update or not text_of(line.tree / ".package"):
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another may have been first.
            if update or not text_of(line.tree / ".package"):
                with apt.having(package, line.suite) as (own, _, version):
                    if text_of(line.tree / ".package") != f"{package} {version}":
                        unpack_source(line, own, package, version)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield line.tree


def unpack_source(line, own, package, version):
    say(f"fetching and unpacking {package} {version} (2 GB)")
    with new_folder(line.tree) as work, tempfile.TemporaryDirectory(dir=SOURCE) as scratch:
        own.unpack(scratch, package)
        run(["tar", "-C", work, "--strip-components=1", "-xf", f"{scratch}/usr/src/{package}.tar.xz"],
            Path(scratch, "log"), f"unpacking {package}")
        (work / ".package").write_text(f"{package} {version}\n")


def build(line, update):
    with source(line, update) as tree:
        package = text_of(tree / ".package")
        if line.taken == package and is_current(line):
            say(f"{line.name}: {line.release} of {package} is the newest, and here")
            return
        # From now on the objects are not those of the kernel that is there.
        remove(line.path / "recipe")
        made_of = driver() if line.intree else ""
        if line.intree:
            tree = grafted(line, tree)
        say(f"{line.name}: building {package} with {line.config}: some minutes")
        configure(line, tree)
        make(line, tree, "build", "bzImage", "modules")
        publish(line, tree, made_of)


def grafted(line, tree):
    """A copy of the source by hard links, with our patches and the driver as it is now."""
    copy = SOURCE / f"linux-{line.name}"
    made_of = f"{text_of(tree / '.package')} {digest_of(ROOT / 'patches')}"
    # Interrupted, it is made anew: half a patch can neither be applied nor taken back.
    if text_of(copy / ".made-of") != made_of:
        with new_folder(copy) as work:
            output_of("cp", "-al", "--", f"{tree}/.", work)
    output_of(ROOT / "scripts/graft.py", copy)
    (copy / ".made-of").write_text(made_of + "\n")
    return copy


def options(line):
    """Those of its fragments: the last word on a symbol counts, as for the kernel's own merge."""
    text = "".join((ROOT / "scripts/kernel-config" / name).read_text() for name in line.config.split())
    return [f"{symbol}={value}" for symbol, value in dict(re.findall("^(CONFIG_.*?)=(.*)", text, re.M)).items()]


def make(line, tree, what, *arguments):
    run([*CLEAN_MAKE, "-C", tree, f"O={line.objects}", *arguments], line.objects / f"{what}.log",
        f"{line.name}: {what}")


def configure(line, tree):
    """allnoconfig and our options. Not all that is asked for is given: dependencies change from version
    to version."""
    line.objects.mkdir(parents=True, exist_ok=True)
    fragments = line.objects / ".fragments"
    fragments.write_text("\n".join(options(line)) + "\n")
    make(line, tree, "config", "-s", f"KCONFIG_ALLCONFIG={fragments}", "allnoconfig")
    missing = sorted(set(options(line)) - set(text_of(line.objects / ".config").splitlines()))
    if missing:
        raise Problem(f"{line.name}: not in the configuration of {text_of(tree / '.package')}: {missing}")


def publish(line, tree, made_of):
    release = text_of(line.objects / "include/config/kernel.release")
    with new_folder(line.path) as work:
        make(line, tree, "install", "-s", f"INSTALL_MOD_PATH={work}", "INSTALL_MOD_STRIP=1", "DEPMOD=true",
             "modules_install")
        remove(work / f"lib/modules/{release}/build", work / f"lib/modules/{release}/source")
        (work / "modules").symlink_to(f"lib/modules/{release}")
        # A copy: the next build of these objects may be under way while this kernel is used.
        shutil.copyfile(line.objects / "arch/x86/boot/bzImage", work / "vmlinuz")
        (work / "headers").symlink_to(f"../../source/{line.objects.name}")
        (work / "recipe").write_text(made_of + "\n")
        label(work, release, text_of(tree / ".package"))
    say(f"{line.name}: built {release} from {line.taken}")


# ---- modules

def build_module(line, source_dir=ROOT / "kernel", name=MODULE):
    """Build build/kernels/LINE/NAME.ko of the sources in source_dir; the line by name or row.

    Kbuild puts objects next to the sources, so the sources are mirrored as symbolic links to
    build/module/LINE/ and built there; kernel/ stays clean and several lines can be built at once."""
    line, source_dir = find(line), Path(source_dir).resolve()
    headers = line.path / "headers"
    folder = BUILD / "module" / (line.name if name == MODULE else f"{line.name}.{name}")
    if not headers.exists():
        raise Problem(f"{line.name}: not there yet: tests/nested/kernels.py ensure {line.name}")
    if not (source_dir / "Kbuild").exists():
        raise Problem(f"{source_dir}: no Kbuild")
    if name == MODULE and "CONFIG_KVMCLOCK_HANDOVER=y" in text_of(headers / ".config").splitlines():
        return
    with locked(folder / ".lock"):
        # Objects for another kernel, or for one of another configuration, look like those of this one to
        # Kbuild, which does not look beyond the folder it builds in.
        kernel = "\n".join(text_of(line.path / what) for what in ("release", "package", "recipe")).strip()
        if text_of(folder / ".kernel") != kernel:
            remove(*(entry for entry in folder.iterdir() if entry.name != ".lock"))
            (folder / ".kernel").write_text(kernel + "\n")
        mirror(source_dir, folder)
        command = [*CLEAN_MAKE, "-C", headers, f"M={folder}", f"KCH_ROOT={ROOT}", "modules"]
        # Debian's headers name the compiler the kernel was built with; where that one is not, the
        # default compiler does, with a warning by Kbuild.
        if not shutil.which("x86_64-linux-gnu-gcc-12"):
            command.append("CC=gcc")
        log = folder / "build.log"
        run(command, log, f"{name}.ko for {line.name}")
        # "vmlinux is unavailable": there is none, and a module without BTF is all that is lost.
        said = re.findall(".*(?:warning|WARNING):.*", text_of(log))
        if said:
            say("\n".join(said))
        # Debug information is left out: the emulated host unpacks this on every boot.
        stripped = folder / f"{name}.ko.stripped"
        output_of("objcopy", "--strip-debug", folder / f"{name}.ko", stripped)
        install(line.path / f"{name}.ko", stripped.read_bytes())


def mirror(source_dir, folder):
    """Links to all sources. One whose source is gone goes, so that a removed header is not found any
    more; and one to what is no source, or Kbuild would write through it."""
    wanted = {folder / name: source_dir / name for name in source_files(source_dir)}
    for link in filter(Path.is_symlink, list(folder.rglob("*"))):
        if os.readlink(link) != str(wanted.get(link)):
            link.unlink()
    for link, target in wanted.items():
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def command_line():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-s", default=ROOT / "kernel")
    parser.add_argument("-n", default=MODULE)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("command", choices=("ensure", "module", "source", "list"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    lines = names(*args.names)
    if args.command == "list":
        return print(*(lines or LINES), sep="\n")
    if not lines:
        parser.error("which kernel line?")
    if args.command == "ensure" and is_given():
        return take_given(*lines)
    for line in lines:
        if args.command == "ensure":
            ensure(line, args.update)
        elif args.command == "module":
            build_module(line, args.s, args.n)
        else:
            with source(find(line), args.update):
                pass


if __name__ == "__main__":
    run_main(command_line)
