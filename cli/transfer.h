/*
 * cli/transfer: what commands that bring images or send them begin and end with: a store, the
 * registries, and the progress that is shown.
 */
#ifndef SB_CLI_TRANSFER_H
#define SB_CLI_TRANSFER_H

#include "cli/progress.h"
#include "cli/registry.h"

struct sb_cli_transfer {
    struct sb_common common;  /* of the command line */
    const char *progress_how; /* --progress */
    struct sb_settings settings;
    struct sb_store *store;
    struct sb_registry *registry;
    struct sb_progress *progress;
};

/* unpacks: enters a user namespace where that takes one. Close it, also when this failed. */
int sb_cli_transfer_open(struct sb_cli_transfer *transfer, const struct sb_cli_registry *options,
                         bool unpacks, struct sb_error *err);
void sb_cli_transfer_close(struct sb_cli_transfer *transfer);

#endif
