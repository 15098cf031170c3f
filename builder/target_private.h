/*
 * builder/target_private: a layer of a target that is about to be decided: what it stands on and is
 * made from, its keys, and what is known of these.
 */
#ifndef SB_BUILDER_TARGET_PRIVATE_H
#define SB_BUILDER_TARGET_PRIVATE_H

#include "builder/target.h"

struct sb_attempt {
    const struct sb_recipe_layer *layer; /* NULL: bootstrap */
    size_t result;
    struct sb_copy_ground ground; /* once it is grounded */
    bool grounded;
    struct sb_layer_site site;
    struct sb_cache_key key;
    struct sb_copies copies; /* what is copied */
};
void sb_attempt_free(struct sb_attempt *a);
#define sb_autoattempt __attribute__((cleanup(sb_attempt_free)))

/* The recipe's layer behind a result; NULL for the bootstrap. */
const struct sb_recipe_layer *sb_target_layer(const struct sb_target *target, size_t result);
/* Whether it is built whatever there is; and the cause to tell of that, the caller's. */
bool sb_target_is_uncached(const struct sb_target *target, size_t result);
char *sb_target_why_uncached(const struct sb_target *target, size_t result);
struct sb_cache_owner sb_target_owner(const struct sb_target *target, size_t result);

/* Fills in what a->result stands on. */
int sb_attempt_site(struct sb_target *target, struct sb_attempt *a, struct sb_error *err);
/* Its key, and what it copies; again, when files changed. */
int sb_attempt_key(struct sb_target *target, struct sb_attempt *a, struct sb_error *err);
/* In the store; else, when anywhere, in the repositories of the shared cache. The result gets key
 * and layer. */
bool sb_attempt_find(struct sb_target *target, struct sb_attempt *a, bool anywhere);
/* To the shared cache; replace: the record that is there was found to be wrong. */
void sb_attempt_share(struct sb_target *target, const struct sb_attempt *a, bool replace);

/* ---- layers that take files of other targets ---- */

/* Such a layer's key by what these targets' layers are tells of a record without a look into them.
 * It stands beside the one by content, which is the layer's. 1: there is a record. */
int sb_attempt_find_by_origin(struct sb_target *target, struct sb_attempt *a, struct sb_error *err);
/* Once the layer is known. It counts for nothing when it can't be written. */
void sb_attempt_put_by_origin(struct sb_target *target, const struct sb_attempt *a);

#endif
