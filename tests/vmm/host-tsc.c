// SPDX-License-Identifier: GPL-2.0
/* Prints the host's TSC: stamps for case scripts, which hold on over a kexec. */
#include <stdio.h>
#include <x86intrin.h>

int main(void)
{
	unsigned int cpu;

	/* Not before what the script did before. */
	printf("%llu\n", __rdtscp(&cpu));
	return 0;
}
