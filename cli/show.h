/*
 * cli/show: facts of images as people read them, and the image that a command line names.
 */
#ifndef SB_CLI_SHOW_H
#define SB_CLI_SHOW_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/digest.h"
#include "cli/command.h"
#include "layers/entry.h"
#include "layers/image.h"
#include "layers/image_index.h"
#include "registry/pull.h"

/* What the commands on one image or two begin with. Close in every case, also after a failure. */
struct sb_cli_images {
    const char *platform; /* --platform: of an index, the image for it; NULL: this machine's. Set it
                             before */
    bool whole; /* indexes are not looked into where no platform is said: image is empty */
    struct sb_settings settings;
    struct sb_store *store;
    struct sb_registry *registry;
    struct sb_pull_source source;
    struct sb_descriptor named[2]; /* what each name names */
    struct sb_image image[2];
};
#define SB_CLI_IMAGES_HELP                                                                         \
    "  --platform P         of an index, the image for OS/ARCHITECTURE[/VARIANT],\n"               \
    "                       instead of this machine's\n"
/* Loads the images that names say: of the store, or oci:PATH and the like (builder/source.h).
 * Layers that lie in a registry are fetched when they are opened. */
int sb_cli_images_open(struct sb_cli_images *images, const struct sb_common *common,
                       const char *const *names, size_t count, struct sb_error *err);
/* Fetches such layers of an image before they are opened one by one, and says so; with
 * only_unlisted, those whose table of contents isn't here either. */
int sb_cli_images_fetch(struct sb_cli_images *images, const struct sb_image *image,
                        bool only_unlisted, struct sb_error *err);
void sb_cli_images_close(struct sb_cli_images *images);

/* All by value. */
struct sb_short_text {
    char text[32];
};
struct sb_short_text sb_show_digest(const struct sb_digest *digest); /* its first 12 digits */
struct sb_short_text sb_show_mode(mode_t mode);                      /* "drwxr-xr-x" */
struct sb_short_text sb_show_time(int64_t seconds);                  /* "2020-01-31 14:30", UTC */

const char *sb_show_type(const struct sb_entry *entry); /* "file", "hard link", …, for JSON */

/* Foreign text on one line: control characters and bytes that are no UTF-8 become \n, \t and \xNN.
 * The caller's to free. */
char *sb_show_text(const char *text);
/* The same for paths, where it must be plain what was there: a backslash becomes two. */
char *sb_show_path(const char *path);

/* Whether the store has the blob; it doesn't count as used. */
bool sb_show_is_here(const struct sb_store *store, const struct sb_digest *blob);

/* "sha256:…" as a JSON string. */
json_t *sb_json_from_digest(const struct sb_digest *digest);

/* An entry of an index: {"platform", "digest", "media_type", "annotations"}, as far as it has them.
 */
json_t *sb_show_index_entry(const struct sb_index_entry *entry);
/* Its platform, or "-"; the caller's. */
char *sb_show_index_platform(const struct sb_index_entry *entry);

#define sb_autoimages __attribute__((cleanup(sb_cli_images_close)))

#endif
