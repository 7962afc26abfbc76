/* SPDX-License-Identifier: GPL-2.0 */
	.section .rodata
	.globl guest_blob, guest_blob_end
	.balign 16
guest_blob:
	.incbin GUEST_BLOB
guest_blob_end:
	.section .note.GNU-stack, "", @progbits
