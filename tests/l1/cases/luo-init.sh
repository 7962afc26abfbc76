#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# First process of a kernel that luo.sh has kexeced into with early=yes (rdinit=): goes on with the
# guest before anything else, then becomes the test bed's init. In a hurry: few processes.

export PATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/libexec/kch LD_LIBRARY_PATH=/usr/lib
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
modprobe kvm-amd
last='' seconds=2 method=identical stage='' kexecs=''
read -r words </proc/cmdline
for word in $words; do
	case $word in
	kch.stage=*) stage=${word#*=} ;;
	kch.kexecs=*) kexecs=${word#*=} ;;
	kch.seconds=*) seconds=${word#*=} ;;
	kch.method=*) method=${word#*=} ;;
	esac
done
[ "$stage" -lt "$kexecs" ] || last=--last
read -r begin _ </proc/uptime
kch-luo $last --report /report resume -- --method "$method" --seconds "$seconds"
read -r end _ </proc/uptime
echo "began at $begin s, had run $seconds s at $end s" >/times
umount /dev /proc
exec /init
