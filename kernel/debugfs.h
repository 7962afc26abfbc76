/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCH_DEBUGFS_H
#define KCH_DEBUGFS_H

void kch_debugfs_register(void);
void kch_debugfs_unregister(void);

#endif /* KCH_DEBUGFS_H */
