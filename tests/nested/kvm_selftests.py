# SPDX-License-Identifier: GPL-2.0
"""The KVM selftests of a kernel's source, as far as we need them, and ours that use their library.
The source is only read. Result, in build/selftests/VERSION/:

  package    the source it is from
  kernel/    the kernel's own tests of clocks and what is related (the list is below)
  ours/      tests/l1/selftests
  headers/   its user space headers; kvm/: its objects, and libkvm.a, the library

Without Debian's packages: a source tree at build/source/linux-VERSION, with a line of what it is in
its file .package, is taken as it is."""

from pathlib import Path

import kernels
from common import BUILD, CLEAN_MAKE, L1, ROOT, locked, make, output_of, remove, run, say, text_of

# All that is about clocks and TSCs in one of the versions, and what uses the same parts of KVM. Some
# were renamed; a version has what it has.
KERNEL_TESTS = """
    kvm_clock_test system_counter_offset_test tsc_msrs_test tsc_scaling_sync
    nested_tsc_adjust_test vmx_tsc_adjust_test nested_tsc_scaling_test vmx_nested_tsc_scaling_test
    hyperv_clock hyperv_cpuid hyperv_features xen_shinfo_test xen_vmcall_test steal_time
    kvm_pv_test aperfmperf_test apic_bus_clock_test vmx_preemption_timer_test state_test
""".split()


def build(line):
    """Builds them for a kernel line, of which several may have one version."""
    dest = BUILD / "selftests" / line.version
    with locked(dest / ".lock"), kernels.source(line) as tree:
        kvm, package = tree / "tools/testing/selftests/kvm", text_of(tree / ".package")
        recipe = f"{package} {dest}\n{Path(__file__).read_text()}".rstrip()
        if text_of(dest / "recipe") != recipe:
            say(f"{line.version}: building the KVM selftests of {package}")
            build_kernels(tree, kvm, dest)
            (dest / "package").write_text(package + "\n")
            (dest / "recipe").write_text(recipe)
        make(ROOT / "userspace")
        make(L1 / "selftests", f"KVM={kvm}", f"LIBRARY={dest}")
    return dest


def build_kernels(tree, kvm, dest):
    remove(*(dest / name for name in ("recipe", "kvm", "kernel", "ours", "ours.obj")))
    # Where the tests are is another folder in each version.
    wanted = [dest / "kvm" / folder / name for name in KERNEL_TESTS for folder in ("", "x86", "x86_64")
              if (kvm / folder / f"{name}.c").exists()]
    # 7.3's library also has parts for devices, which need a library that nothing of ours does.
    for what, *arguments in (("headers", "-C", tree, f"O={dest}/headers", "headers"),
                             ("tests", "-C", kvm, f"OUTPUT={dest}/kvm", f"INSTALL_HDR_PATH={dest}/headers/usr",
                              f"KHDR_INCLUDES=-isystem {dest}/headers/usr/include", "LIBVFIO_O=", "LDLIBS=-ldl",
                              *wanted)):
        run([*CLEAN_MAKE, "-s", *arguments], dest / f"{what}.log", f"selftests: {what}")
    output_of("ar", "rcs", dest / "kvm/libkvm.a", *sorted((dest / "kvm/lib").rglob("*.o")))
    (dest / "kernel").mkdir()
    for program in wanted:
        output_of("strip", "-o", dest / "kernel" / program.name, program)
