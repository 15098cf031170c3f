/*
 * base/loopback: a service asked at its port, on this machine: IPv4, or IPv6 where it listens on
 * nothing else.
 *
 * Its answers are a stranger's: of a page no more than the status is looked at.
 */
#ifndef SB_BASE_LOOPBACK_H
#define SB_BASE_LOOPBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Something accepts connections at the port. */
bool sb_loopback_accepts(uint16_t port, double seconds);

struct sb_loopback_get {
    uint16_t port;
    const char *path; /* "/health" */
    const char *host; /* that is asked for; NULL: "localhost:PORT" */
    double seconds;   /* for all of it */
};
/* The status that it answers with; redirects are not followed. SB_E_UNHEALTHY: it gives no answer
 * of HTTP. SB_E_INTERRUPTED. */
int sb_loopback_get(const struct sb_loopback_get *get, int *out_status, struct sb_error *err);

/* The status that an answer begins with, informational ones before it passed over. 0: there is none
 * yet; -1: it is no answer of HTTP. */
int sb_loopback_status(const char *text, size_t len);

#endif
