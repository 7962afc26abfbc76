#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Run in the Debian host's root when its disc is made. /kch has this folder, and our packages. What is for the host is
# from operating.rst; the rest makes it boot faster, and has it run its case.
set -eu
export DEBIAN_FRONTEND=noninteractive

apt-get install -qq -y --no-install-recommends /kch/*.deb
printf 'ON_BOOT=start\nON_SHUTDOWN=suspend\n' >>/etc/default/libvirt-guests

# What the guests write goes into their files: virtlogd, which writes it otherwise, ends before the guests do.
echo 'stdio_handler = "file"' >>/etc/libvirt/qemu.conf

for kernel in /lib/modules/*; do
	dkms status -k "${kernel##*/}" | grep -q '^kvmclock-handover.*: installed$'
done

# An initramfs with what this machine needs, instead of what any may need.
echo MODULES=list >/etc/initramfs-tools/conf.d/kch
printf 'virtio_pci\nvirtio_blk\next4\n' >>/etc/initramfs-tools/modules
update-initramfs -u -k all
# Nothing starts by itself a while after boot.
systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer

cp /boot/vmlinuz-6.12.* /var/lib/libvirt/images/vmlinuz
mv /kch/*.service /etc/systemd/system/
rm /kch/*
systemctl -q enable kch-case kch-stopped
passwd -q -d root
: >/etc/fstab
