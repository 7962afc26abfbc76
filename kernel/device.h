/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCH_DEVICE_H
#define KCH_DEVICE_H

int kch_device_register(void);
void kch_device_unregister(void);

#endif /* KCH_DEVICE_H */
