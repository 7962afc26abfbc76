#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# What this kernel has, found by compiling, not by its version (backports make
# versions lie).  Usage: probe.sh OUTPUT COMPILER FLAGS...; called by Kbuild.

set -u
out=$1
shift

# Reads a snippet and says whether it compiles; "$@" is the compiler and flags.
compile()
{
	"$@" -x c -fsyntax-only - 2>/dev/null
}

{
	echo "/* Made by probe.sh */"
	# Up to 6.15 or so a vCPU holds the whole page as last written, later
	# only mul and shift.
	if printf '%s\n' '#include <linux/kvm_host.h>' \
		'int probe(struct kvm_vcpu *v);' \
		'int probe(struct kvm_vcpu *v) { return v->arch.hv_clock.tsc_shift; }' |
		compile "$@"; then
		echo "#define KCH_HAVE_VCPU_HV_CLOCK 1"
	fi
	# Whether a vCPU's TSC is the CPU's own business, since 6.15 or so; no
	# guest has such a TSC before.
	if printf '%s\n' '#include <linux/kvm_host.h>' \
		'bool probe(struct kvm_vcpu *v);' \
		'bool probe(struct kvm_vcpu *v) { return v->arch.guest_tsc_protected; }' |
		compile "$@"; then
		echo "#define KCH_HAVE_GUEST_TSC_PROTECTED 1"
	fi
	# Since 6.8 or so KVM can be built without Hyper-V's interfaces.
	if printf '%s\n' '#include <linux/kvm_host.h>' \
		'u64 probe(struct kvm *k);' \
		'u64 probe(struct kvm *k) { return k->arch.hyperv.hv_tsc_page; }' |
		compile "$@"; then
		echo "#define KCH_HAVE_KVM_HYPERV 1"
	fi
	# Many locks that one lock protects, to lockdep as one, since 6.16 or so.
	if printf '%s\n' '#include <linux/mutex.h>' \
		'#ifndef mutex_trylock_nest_lock' '#error' '#endif' |
		compile "$@"; then
		echo "#define KCH_HAVE_MUTEX_TRYLOCK_NEST_LOCK 1"
	fi
	# reserve_mem=, since 6.11
	if printf '%s\n' '#include <linux/mm.h>' \
		'int probe(phys_addr_t *p);' \
		'int probe(phys_addr_t *p) { return reserve_mem_find_by_name("a", p, p); }' |
		compile "$@"; then
		echo "#define KCH_HAVE_RESERVE_MEM 1"
	fi
	# KHO in the form in which an entry is plain memory with a size, since
	# 7.1 or so; before it was a device tree.
	if printf '%s\n' '#include <linux/kexec_handover.h>' \
		'#ifndef CONFIG_KEXEC_HANDOVER' '#error' '#endif' \
		'int probe(phys_addr_t *p, size_t *s, void *m);' \
		'int probe(phys_addr_t *p, size_t *s, void *m) { kho_restore_free(m);' \
		'return kho_add_subtree("a", m, *s) + kho_retrieve_subtree("a", p, s); }' |
		compile "$@"; then
		echo "#define KCH_HAVE_KHO 1"
	fi
	# The snapshot is of a clock one names, since 7.1 or so; before it was
	# always of the wall clock, its fields named otherwise.
	if printf '%s\n' '#include <linux/timekeeping.h>' \
		'void probe(struct system_time_snapshot *s);' \
		'void probe(struct system_time_snapshot *s)' \
		'{ ktime_get_snapshot_id(CLOCK_REALTIME, s); }' |
		compile "$@"; then
		echo "#define KCH_HAVE_SNAPSHOT_ID 1"
	fi
	# Clocksources have numbers since 5.13, the TSC has one since 6.9 or so.
	if printf '%s\n' '#include <linux/timekeeping.h>' \
		'int probe(struct system_time_snapshot *s);' \
		'int probe(struct system_time_snapshot *s)' \
		'{ return s->cs_id == CSID_X86_TSC_EARLY; }' |
		compile "$@"; then
		echo "#define KCH_HAVE_CSID_X86_TSC 1"
	fi
	# crc32c() has been in the library of CRCs itself since 6.14 or so.
	if printf '%s\n' '#include <linux/crc32.h>' \
		'u32 probe(const void *p);' \
		'u32 probe(const void *p) { return __crc32c_le(~0, p, 1); }' |
		compile "$@"; then
		echo "#define KCH_HAVE_CRC32C_LE 1"
	fi
	# tsc_khz handed over by the kernel before: patches/tsc-*.
	if printf '%s\n' '#include <asm/tsc.h>' \
		'bool probe(void);' \
		'bool probe(void) { return tsc_khz_is_settled(); }' |
		compile "$@"; then
		echo "#define KCH_HAVE_TSC_KHZ_IS_SETTLED 1"
	fi
	# cpuid_eax() and its like have a header of their own since 6.16.
	if printf '%s\n' '#include <asm/cpuid/api.h>' | compile "$@"; then
		echo "#define KCH_HAVE_ASM_CPUID_API 1"
	fi
} > "$out.tmp"
mv "$out.tmp" "$out"
