/*
 * cli/pushing: what `sbuild push` and `sbuild build --push` share.
 */
#ifndef SB_CLI_PUSHING_H
#define SB_CLI_PUSHING_H

#include <jansson.h>

#include "cli/progress.h"
#include "cli/registry.h"
#include "registry/push.h"

struct sb_cli_push {
    const char *compression_text, *format_text; /* --compression, --format */
    struct sb_cli_registry registry;
    enum sb_push_compression compression;
    enum sb_push_format format;
};
#define SB_CLI_PUSH_OPTIONS(p)                                                                     \
    {.name = "compression", .text = &(p).compression_text},                                        \
        {.name = "format", .text = &(p).format_text}, SB_CLI_REGISTRY_OPTIONS((p).registry)

#define SB_CLI_PUSH_HELP                                                                           \
    "  --compression HOW    zstd or gzip: compress layers so, anew if need be\n"                   \
    "  --format FORMAT      oci, or docker: Docker's schema 2, which knows gzip "                  \
    "only\n" SB_CLI_REGISTRY_HELP

/* Reads compression and format. */
int sb_cli_push_parse(struct sb_cli_push *push, const char *command, struct sb_error *err);

/* A repository, and the tags that are to name the image there. */
struct sb_push_target {
    struct sb_reference repository;
    struct sb_strings tags;    /* moved as told */
    struct sb_release release; /* whose tags move as those of the repository allow */
    struct sb_ecr_options ecr; /* how the repository is made where it is missing */
};
struct sb_push_targets {
    struct sb_push_target *v;
    size_t n, cap;
};
/* "HOST/REPOSITORY[:TAG]": a tag more of one that is there, or a new one. */
int sb_push_targets_add(struct sb_push_targets *targets, const char *text, const char *option,
                        struct sb_error *err);
/* The same without a tag. The target is valid until the next one is added; NULL on failure. */
struct sb_push_target *sb_push_targets_repository(struct sb_push_targets *targets, const char *text,
                                                  const char *option, struct sb_error *err);
/* Takes a version and its floating tags out of those that were told: names that an image has, and
 * nobody has just written. */
void sb_push_target_split(struct sb_push_target *target);
void sb_push_targets_free(struct sb_push_targets *targets);

/* One that layers can be given to before there is an image. */
struct sb_pusher *sb_cli_pusher_new(const struct sb_cli_push *push, struct sb_registry *registry,
                                    struct sb_store *store, const struct sb_push_target *target,
                                    struct sb_progress *progress);
/* Pushes and appends to facts what was done. pusher, which is freed, may be NULL: then one is made.
 */
int sb_cli_push_image(const struct sb_cli_push *push, struct sb_registry *registry,
                      struct sb_store *store, const struct sb_image *image,
                      const struct sb_push_target *target, struct sb_pusher *pusher,
                      struct sb_progress *progress, json_t *facts, struct sb_error *err);
/* The same of an index: what has images in parts, whose pushers may be NULL, and says what else
 * belongs in it; the rest of what is filled in here. */
int sb_cli_push_index(const struct sb_cli_push *push, struct sb_registry *registry,
                      struct sb_store *store, struct sb_push_index *what,
                      const struct sb_push_target *target, struct sb_progress *progress,
                      json_t *facts, struct sb_error *err);
/* For people, on stderr; with names also "host/repository@digest" on stdout. */
int sb_cli_push_print(const json_t *facts, bool names, struct sb_error *err);

#endif
