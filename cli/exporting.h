/*
 * cli/exporting: an image written to a file, for `sbuild export` and `sbuild bundle --output`.
 */
#ifndef SB_CLI_EXPORTING_H
#define SB_CLI_EXPORTING_H

#include "cli/command.h"
#include "layers/export.h"

struct sb_cli_export {
    const char *command; /* for messages */
    struct sb_store *store;
    const struct sb_image *image;
    enum sb_export_form form;
    const struct sb_strings *names;
    const struct sb_image_index *index; /* instead of image and form; NULL: none */
    const struct sb_index_images *images;
};

/* To a file, whole or not at all; to standard output when path is NULL or "-". */
int sb_cli_export(const struct sb_cli_export *job, const char *path, struct sb_error *err);

#endif
