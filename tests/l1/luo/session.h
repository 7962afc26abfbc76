/* SPDX-License-Identifier: GPL-2.0 */
/* /dev/liveupdate; 0 or a descriptor, or a negative errno. */
#ifndef KCH_LUO_SESSION_H
#define KCH_LUO_SESSION_H

#include <stdint.h>

int session_create(const char *name);
int session_retrieve(const char *name);
int session_preserve_fd(int session, int fd, uint64_t token);
int session_retrieve_fd(int session, uint64_t token);
int session_finish(int session);

#endif /* KCH_LUO_SESSION_H */
