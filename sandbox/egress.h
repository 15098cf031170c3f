/*
 * sandbox/egress: what a control group's processes may send where.
 *
 * Steps that have this machine's network could ask, as any of its programs, at link-local addresses
 * for the credentials that clouds hand out there. A filter in the kernel drops what goes there, but
 * for port 53: some clouds have their name servers there, too.
 */
#ifndef SB_SANDBOX_EGRESS_H
#define SB_SANDBOX_EGRESS_H

#include <stdbool.h>

/* directory: of a control group of version 2; the filter goes with it. False where this process or
 * the kernel can't: a user can't, nor root without CAP_BPF and CAP_NET_ADMIN. */
bool sb_egress_filter(const char *directory);

#endif
