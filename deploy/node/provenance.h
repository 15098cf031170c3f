/*
 * deploy/node/provenance: whose a service's name is on this node.
 *
 * A bundle says what its service is called, and who is called "backend" gets backend's secrets, its
 * data and its place. So a name belongs to the repository that it first came from, whatever tag or
 * digest, and another's bundle is refused, unless the operator says that it is to have the name.
 *
 *     registry.example.com/team/backend     it came from there
 *     file registry.example.com/team/app    the operator brought it, as a file or in the store
 *     file
 *
 * What a bundle itself says of its repository is no proof, but tells two that were brought apart.
 *
 * While the service is installed, its current generation says whose it is (record.json): so there
 * is one answer after any accident. /etc/sbuild/repositories/NAME holds the same, beside what
 * outlives the service, its secrets and its data; an administrator may write it before the first
 * installation.
 */
#ifndef SB_DEPLOY_NODE_PROVENANCE_H
#define SB_DEPLOY_NODE_PROVENANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "deploy/node/node.h"
#include "deploy/node/source.h"

#define SB_PROVENANCES "/etc/sbuild/repositories"

struct sb_provenance {
    char *now;    /* of the generation that is to be made */
    char *before; /* whose the name was, when it changes hands; NULL when it doesn't */
};
void sb_provenance_free(struct sb_provenance *provenance);

/* Under the service's lock. SB_E_FAILED when the name is another's, and not to be replaced. A
 * bundle that is here already, from the owner, may come from anywhere; but not when it is followed
 * there. */
int sb_provenance_check(const struct sb_node_service *service,
                        const struct sb_bundle_source *source,
                        const struct sb_description *description, bool replace, bool follow,
                        struct sb_provenance *out, struct sb_error *err);
/* Before a first installation switches, and after every other. */
int sb_provenance_note(const struct sb_node_service *service, const char *owner,
                       struct sb_error *err);
/* Before the service goes: what its generation says is noted. */
void sb_provenance_keep(const struct sb_node_service *service);

/* Whether a reference, such as a tag that is followed, leads to that owner. */
bool sb_provenance_has(const char *owner, const char *reference);

#endif
