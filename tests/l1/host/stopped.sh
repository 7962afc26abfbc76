#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The guests are suspended: when is that, by the host's TSC, and what have they said? See kch-stopped.service.
cd /var/lib/kch || exit
/kch/kch-host-tsc >stopped
for data in /var/lib/libvirt/images/g*.data; do
	cp "$data" .
done
