/*
 * layers/members: the files of an archive, each put into the store as a blob while it passes by.
 * The inside of layers/import.
 */
#ifndef SB_LAYERS_MEMBERS_H
#define SB_LAYERS_MEMBERS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/map.h"
#include "layers/pack.h"
#include "layers/store.h"

struct sb_member {
    char *link;              /* a link to another member, and nothing else; else NULL */
    struct sb_digest digest; /* of what the archive has; also the diff ID of a packed layer */
    bool packed;             /* an uncompressed layer that was compressed: see layer */
    struct sb_layer layer;   /* descriptor of the blob in the store; diff_id only if packed */
};

/* Start from {0}. */
struct sb_members {
    struct sb_map index; /* path → position in v, + 1 */
    struct sb_member *v;
    size_t n, cap;
};

/* Reads the archive. A member blobs/sha256/HEX must have that digest. pack_layers: compress members
 * that are tars themselves, as layers of an image. */
int sb_members_read(struct sb_store *store, int fd, bool pack_layers, struct sb_members *out,
                    struct sb_error *err);
/* Follows links between members. NULL when there is none. */
const struct sb_member *sb_members_find(const struct sb_members *members, const char *path);
/* A member as JSON: a new reference, or NULL and err. SB_E_NOT_FOUND when it is not there. */
json_t *sb_members_json(struct sb_store *store, const struct sb_members *members, const char *path,
                        size_t limit, struct sb_error *err);
void sb_members_free(struct sb_members *members);

/* docker-archive, whose members were read: writes the manifest that it lacks. */
int sb_import_docker(struct sb_store *store, const struct sb_members *members, const char *tag,
                     struct sb_descriptor *out, struct sb_error *err);

#endif
