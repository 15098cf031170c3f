/*
 * deploy/node/follow: a service that follows a tag: a timer of this node asks for it now and then,
 * and installs what it names.
 *
 *     /etc/systemd/system/sbuild-auto-NAME.service     sbuild install REF --name NAME --auto-run
 *     /etc/systemd/system/sbuild-auto-NAME.timer       every interval, with jitter
 *     STORE/sbuild/services/NAME/follow.json           what it follows, and which bundle it refused
 *
 * A bundle that did not become healthy, or that was rolled back, is remembered by its digest, and
 * passed over until the tag names another one.
 */
#ifndef SB_DEPLOY_NODE_FOLLOW_H
#define SB_DEPLOY_NODE_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "deploy/node/node.h"

struct sb_follow {
    char *reference; /* NULL: it follows nothing */
    uint64_t interval;
    bool has_refused;
    struct sb_digest refused;
};
int sb_follow_load(const struct sb_node_service *service, struct sb_follow *out,
                   struct sb_error *err);
void sb_follow_free(struct sb_follow *follow);

/* Writes units and starts the timer. options are added to the command (--ca FILE). */
int sb_follow_start(const struct sb_node_service *service, const char *reference, uint64_t interval,
                    const struct sb_strings *options, struct sb_error *err);
/* Nothing to do for one that follows nothing. */
int sb_follow_stop(const struct sb_node_service *service, struct sb_error *err);

/* Remembered only for a service that follows a tag. */
void sb_follow_refuse(const struct sb_node_service *service, const struct sb_digest *bundle);
bool sb_follow_refused(const struct sb_node_service *service, const struct sb_digest *bundle);
/* After a rollback to that generation: what was installed last, which the tag names, is passed over
 * as well. Else the timer would undo what an operator did. */
void sb_follow_went_back(const struct sb_node_service *service, uint64_t to);

#endif
