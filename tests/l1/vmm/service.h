/* SPDX-License-Identifier: GPL-2.0 */
/* The VM as a service: memory and clock outlive this process in the service manager's store. */
#ifndef KCH_VMM_SERVICE_H
#define KCH_VMM_SERVICE_H

#include "session.h"

/* Before the session: where the VM is, and whether it is a new one. */
void service_begin(struct session *s);

/* The guest runs: all is stored that was not, and the service manager is told. */
void service_running(const struct session *s, const struct vm *vm);

#endif /* KCH_VMM_SERVICE_H */
