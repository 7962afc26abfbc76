# SPDX-License-Identifier: GPL-2.0
"""The kernels of the test bed: one table, and what fetches and builds them and modules for them.

build/kernels/LINE/ has vmlinuz, modules/ (its /lib/modules/RELEASE), headers/ (for `make -C ... M=`), release (what
`uname -r` will say) and package (Debian's with its version). For a newer one remove that folder; of a kernel that
is built, the source, build/source/linux-VERSION."""

import itertools
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import apt
from common import (BUILD, CLEAN_MAKE, ROOT, Problem, digest_of, install, lay_out, locked, new_folder, output_of,
                    remove, run, say, source_files, text_of)

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
    Line("7.3-cloud", "linux-image-7.3[.-][0-9]*-cloud-amd64", "trixie-backports"),
    Line("7.3-kho"),
    Line("7.3-debug", "linux-source-7.3", "trixie-backports", "host debug"),
    Line("7.3-kcsan", "linux-source-7.3", "trixie-backports", "host kcsan"),
    Line("7.3-intree", "linux-source-7.3", "trixie-backports", "host intree"),
    Line("7.3-intree-debug", "linux-source-7.3", "trixie-backports", "host intree debug"),
)}


def find(name):
    """The line of a name, or the line itself."""
    if name == "7.3-kho":
        # The row 7.3: it is built, with KHO, and boots fast.
        return LINES["7.3"]
    if name == "7.3" and shutil.which("gcc-14"):
        # Debian's own, where modules for it can be built: with the compiler and the C library of Debian 13.
        return LINES["7.3-cloud"]
    return name if isinstance(name, Line) else LINES[name]


def names(*wanted):
    """The names of lines, from names of lines and sets."""
    found = [[line for line in LINES if name in (line, *LINES[line].sets.split())] for name in wanted]
    if not all(found):
        raise Problem(f"not all are a kernel line, or a set of them: {' '.join(wanted)}")
    return sum(found, [])


def pairs():
    """All pairs of released lines, by name, also of one with itself."""
    return list(itertools.product(names("released"), repeat=2))


def ensure(line):
    """Fetches or builds a line, given by name or row, if it is not there or its inputs have changed."""
    line = find(line)
    # One at a time: the result is replaced as a whole.
    with locked(KERNELS / f".{line.name}.lock"):
        if not is_current(line):
            (build if line.config else take_debian)(line)


def is_current(line):
    """A kernel of Debian's is what it was when it was taken. One that was built is made anew when its source, its
    options or the driver in it are others."""
    headers = line.path / "headers"
    return bool(line.release) and (not line.config or (
        line.taken == text_of(line.tree / ".package")
        and set(text_of(headers / ".fragments").splitlines()) == set(options(line))
        # The object folder names its source by the absolute path.
        and (headers / "Module.symvers").exists() and (headers / "source").exists()
        and (line.path / "recipe").exists()
        and (not line.intree or text_of(line.path / "recipe") == driver())))


def driver():
    """What a kernel with our driver is made of besides its source."""
    return digest_of(ROOT / "kernel", ROOT / "patches", ROOT / "scripts/graft.py")


# ---- a kernel of Debian's

def take_debian(line):
    with apt.having(line.package, line.suite) as (own, image, version):
        release = image[len("linux-image-"):]
        headers = f"linux-headers-{release}"
        # Since 7.3 the image is a package without files, which depends on those that have them.
        needed = [name for package in (headers, image) for name in own.depends(package)
                  if re.fullmatch("linux-headers-.*-common|linux-kbuild-.*|linux-(binary|modules)-[0-9].*", name)]
        with new_folder(line.path) as work:
            own.unpack(work / "root", image, headers, *needed)
            # Trixie's packages have their modules in /usr/lib.
            modules = "root/usr/lib/modules" if (work / "root/usr/lib/modules").exists() else "root/lib/modules"
            boot = f"root/boot/vmlinuz-{release}"
            (work / "vmlinuz").symlink_to(boot if (work / boot).exists() else f"{modules}/{release}/vmlinuz")
            (work / "modules").symlink_to(f"{modules}/{release}")
            (work / "headers").symlink_to(f"root/usr/src/{headers}")
            for name in "vmlinuz", "modules/kernel", "headers/Module.symvers", "headers/scripts/mod/modpost":
                if not (work / name).exists():
                    raise Problem(f"{line.name}: {image} {version}: no {name} after extraction")
            relocate(work)
            (work / "release").write_text(release + "\n")
            (work / "package").write_text(f"{image} {version}\n")
    say(f"{line.name}: took {image} {version}")


def relocate(kernel):
    """Debian's header packages name each other by absolute path. Name them relative to the file
    instead; the symbolic links between them already are."""
    headers = kernel / "headers"
    makefile = headers / "Makefile"
    here = "$(dir $(abspath $(lastword $(MAKEFILE_LIST))))"
    text = re.sub("^include /usr/src/", f"include {here}../", makefile.read_text(), flags=re.M)
    makefile.write_text(re.sub("^KBUILD_OUTPUT=/usr/src/.*", f"KBUILD_OUTPUT := {here}", text, flags=re.M))
    # The first is only for BTF in modules, which needs pahole, and is stripped again. The links of
    # the image package to the headers are absolute and of no use here.
    remove(headers / "vmlinux", kernel / "modules/build", kernel / "modules/source")


# ---- a kernel that we build

def source(line):
    """build/source/linux-VERSION, unpacked from Debian's package if it is not there. It is only read."""
    with locked(SOURCE / f".{line.version}.lock"):
        if not text_of(line.tree / ".package"):
            with apt.having(f"linux-source-{line.version}", line.suite) as (own, package, version):
                say(f"fetching and unpacking {package} {version} (2 GB)")
                with new_folder(line.tree) as work, tempfile.TemporaryDirectory(dir=SOURCE) as scratch:
                    own.unpack(scratch, package)
                    run(["tar", "-C", work, "--strip-components=1", "-xf", f"{scratch}/usr/src/{package}.tar.xz"],
                        Path(scratch, "log"), f"unpacking {package}")
                    (work / ".package").write_text(f"{package} {version}\n")
    return line.tree


def build(line):
    tree = source(line)
    # From now on the objects are not those of the kernel that is there.
    remove(line.path / "recipe")
    made_of = driver() if line.intree else ""
    if line.intree:
        tree = grafted(line, tree)
    say(f"{line.name}: building {text_of(tree / '.package')} with {line.config}: some minutes")
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
        (work / "release").write_text(release + "\n")
        (work / "package").write_text(text_of(tree / ".package") + "\n")
    say(f"{line.name}: built {release} from {line.taken}")


# ---- modules

def build_module(line, source_dir=ROOT / "kernel", name=MODULE):
    """Build build/kernels/LINE/NAME.ko of the sources in source_dir; the line by name or row.

    Kbuild puts objects next to the sources, so these are copied to build/module/LINE/ and built there; kernel/
    stays clean and several lines can be built at once."""
    line, source_dir = find(line), Path(source_dir)
    headers = line.path / "headers"
    folder = BUILD / "module" / (line.name if name == MODULE else f"{line.name}.{name}")
    if name == MODULE and "CONFIG_KVMCLOCK_HANDOVER=y" in text_of(headers / ".config").splitlines():
        return
    with locked(folder / ".lock"):
        # Objects for another kernel, or for one of another configuration, look like those of this one to
        # Kbuild, which does not look beyond the folder it builds in.
        kernel = "\n".join(text_of(line.path / what) for what in ("release", "package", "recipe")).strip()
        if text_of(folder / ".kernel") != kernel:
            remove(*(entry for entry in folder.iterdir() if entry.name != ".lock"))
            (folder / ".kernel").write_text(kernel + "\n")
        lay_out(folder, {file: (source_dir / file).read_bytes() for file in source_files(source_dir)})
        run([*CLEAN_MAKE, "-C", headers, f"M={folder}", f"KCH_ROOT={ROOT}", "modules"], folder / ".log",
            f"{name}.ko for {line.name}")
        # "vmlinux is unavailable": there is none, and a module without BTF is all that is lost.
        for warning in re.findall(".*(?:warning|WARNING):.*", text_of(folder / ".log")):
            say(warning)
        # Debug information is left out: the emulated host unpacks this on every boot.
        output_of("objcopy", "--strip-debug", folder / f"{name}.ko", folder / ".stripped")
        install(line.path / f"{name}.ko", (folder / ".stripped").read_bytes())
