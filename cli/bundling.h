/*
 * cli/bundling: what `sbuild bundle` makes: of a recipe or an image a bundle for each platform, in
 * the store, under tags, and in registries.
 *
 *     sb_bundling_build(&b, &err) or sb_bundling_find(&b, name, &err)     the images
 *     sb_bundling_make(&b, &err)                                          their bundles, tagged
 *     sb_bundling_push(&b, &err)
 *     sb_bundling_free(&b);
 *
 * Of an index the bundles are an index as well.
 */
#ifndef SB_CLI_BUNDLING_H
#define SB_CLI_BUNDLING_H

#include "cli/buildpush.h"
#include "cli/request.h"
#include "deploy/bundle.h"
#include "layers/image_index.h"

/* Of one platform. */
struct sb_bundling_part {
    struct sb_image image; /* as it is, or will be, in the registry */
    struct sb_description description;
    struct sb_image bundle;
    const struct sb_build_image *built; /* NULL: it was found */
    char *platform;                     /* its text; NULL: none is known */
};

struct sb_bundling {
    /* The caller's: */
    struct sb_cli_request *request;
    const char *name; /* of the service; NULL: the recipe's or the image's */
    bool pushing;
    struct sb_cli_push push_options;
    struct sb_settings settings;
    struct sb_store *store;
    struct sb_progress *progress;

    struct sb_build *build; /* of a recipe; else NULL */
    struct sb_build_push *push;
    struct sb_bundling_part *parts;
    size_t count;
    bool is_index, whole;          /* whole: no other platforms stay beside these */
    struct sb_platforms others;    /* that the recipe names */
    struct sb_image_index rest;    /* the images' own index, of one that was found */
    struct sb_image_index index;   /* of the bundles, if it is one */
    struct sb_descriptor bundled;  /* what tags name: the bundle, or the index */
    struct sb_strings names, tags; /* of the image; of the bundle */
    json_t *pushed;                /* facts of the image, then of the bundle */
};

int sb_bundling_build(struct sb_bundling *b, struct sb_error *err);
int sb_bundling_find(struct sb_bundling *b, const char *name, struct sb_error *err);
int sb_bundling_make(struct sb_bundling *b, struct sb_error *err);
int sb_bundling_push(struct sb_bundling *b, struct sb_error *err);
void sb_bundling_free(struct sb_bundling *b);

#endif
