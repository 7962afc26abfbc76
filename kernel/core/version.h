/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef KCH_VERSION_H
#define KCH_VERSION_H

#define KCH_MODULE_VERSION	"0.1.0"

#endif /* KCH_VERSION_H */
