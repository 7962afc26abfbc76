# SPDX-License-Identifier: GPL-2.0
# The Makefile of the kernel that test_kernels.py builds: what it is asked for it writes down in $(FAKE_LOG).
.RECIPEPREFIX = >
O ?= .
LEFT_BY_MAKE := kch_probed.h kvmclock_handover.mod.c kvmclock_handover.mod Module.symvers modules.order
kernelrelease:
> @echo 9.9.0
allnoconfig:
> mkdir -p $(O)/include/config $(O)/arch/x86/boot
> cp $(KCONFIG_ALLCONFIG) $(O)/.config
> echo 9.9.0 >$(O)/include/config/kernel.release
> ln -sfn $(CURDIR) $(O)/source
bzImage:
> test -z "$(FAKE_FAILURE)"
> echo build >>$(FAKE_LOG)
> touch $(O)/arch/x86/boot/bzImage $(O)/Module.symvers
modules:
ifdef M
> for made in $(LEFT_BY_MAKE); do echo another >$(M)/$$made || exit; done
> echo | gcc -c -x c -o $(M)/kvmclock_handover.ko -
endif
modules_install:
ifdef M
> echo "below '$(INSTALL_MOD_PATH)'" >>$(FAKE_LOG)
else
> mkdir -p $(INSTALL_MOD_PATH)/lib/modules/9.9.0/kernel
endif
clean:
> echo clean >>$(FAKE_LOG)
