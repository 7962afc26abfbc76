/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The library of the KVM selftests, whose names are not the same in every
 * version.  The Makefile looks for the names, not for the version.
 */
#ifndef KCH_SELFTESTS_LIBRARY_H
#define KCH_SELFTESTS_LIBRARY_H

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"
#include "svm_util.h"

#ifdef LIBRARY_HAS_GVA_T
#define guest_page_alloc(vm)	vm_alloc_page(vm)
#else
#define gva_t			vm_vaddr_t
#define gpa_t			vm_paddr_t
#define guest_page_alloc(vm)	vm_vaddr_alloc_page(vm)
#endif

/* Where the library has a stack for L2, the caller's is not taken. */
static inline void l2_setup(struct svm_test_data *svm, void *code, void *stack)
{
#ifdef LIBRARY_HAS_L2_STACK
	generic_svm_setup(svm, code);
#else
	generic_svm_setup(svm, code, stack);
#endif
}

#endif /* KCH_SELFTESTS_LIBRARY_H */
