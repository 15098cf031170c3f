/*
 * deploy/host/ldcache: the cache of libraries of a service's root (/etc/ld.so.cache), made anew.
 *
 * By the host's ldconfig, as images need not have one. The files that it reads are an image's, and
 * hostile: it runs in the root, in namespaces of its own without a network, as a user that has no
 * more rights than the service, within limits, and can write nothing that stays.
 */
#ifndef SB_DEPLOY_HOST_LDCACHE_H
#define SB_DEPLOY_HOST_LDCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* lower and at as sb_rootview_open has them; the root must have /run. config is what ldconfig reads
 * for /etc/ld.so.conf. Appends the cache to out. SB_E_NOT_FOUND: this host has no ldconfig. */
int sb_ldcache_make(const char *const *lower, size_t count, const char *at, const char *config,
                    uint32_t id, struct sb_buf *out, struct sb_error *err);

#endif
