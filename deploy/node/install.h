/*
 * deploy/node/install: a release onto this node, and the ones before back.
 *
 *     struct sb_install_options options = {.source = "registry.example.com/team/backend:v1.4.2"};
 *     if (sb_install(&node, registry, &options, &done, &err) < 0) …
 *     sb_installed_free(&done);
 *
 * All of it needs root. What goes on is told through node->say.
 */
#ifndef SB_DEPLOY_NODE_INSTALL_H
#define SB_DEPLOY_NODE_INSTALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"
#include "layers/reuse.h"
#include "registry/remote.h"
#include "registry/transfer.h"

struct sb_install_options {
    const char *source;   /* as deploy/node/source.h reads it */
    const char *name;     /* of the service; NULL: the bundle's */
    uint32_t wait;        /* seconds for health; 0: the bundle's */
    const char *platform; /* as in sb_platform_parse: what of an index, be it that this host only
                             emulates it; NULL: this host's own */
    bool replace;         /* the name is taken from another repository (deploy/node/provenance.h) */
    bool follow;          /* what comes later is to come from there too */
    bool passed_over; /* as a timer runs it: nothing is done when the service follows no tag, nor
                         for a bundle that failed here before */
    sb_transfer_notify *notify; /* may be NULL */
    void *data;
};
struct sb_installed {
    char *name;
    uint64_t generation, previous; /* previous 0: there was none */
    struct sb_digest bundle, image;
    struct sb_reused reused; /* files that it shares with generations before */
    bool unchanged;          /* it ran already, and is healthy: nothing was done */
    bool foreign;            /* refused, as the name is another's */
    bool unfollowed;         /* nothing was done, as it follows no tag any more */
};
int sb_install(const struct sb_node *node, struct sb_registry *registry,
               const struct sb_install_options *options, struct sb_installed *out,
               struct sb_error *err);

/* To a generation, or (0) to the newest healthy one before the current. */
int sb_rollback(const struct sb_node *node, const char *name, uint64_t generation, uint32_t wait,
                struct sb_installed *out, struct sb_error *err);
void sb_installed_free(struct sb_installed *installed);

/* Stops it and takes it away; what it wrote (/var/lib/NAME and the like) stays. */
int sb_uninstall(const struct sb_node *node, const char *name, struct sb_error *err);

#endif
