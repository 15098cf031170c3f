#include "cli/transfer.h"

#include "base/memory.h"
#include "sandbox/userns.h"

int sb_cli_transfer_open(struct sb_cli_transfer *t, const struct sb_cli_registry *options,
                         bool unpacks, struct sb_error *err) {
    if (sb_cli_open(&t->common, NULL, &t->settings, &t->store, err) < 0)
        return -1;
    /* While there is one thread, and no other program yet. */
    if (unpacks && (sb_userns_enter(err) < 0 || sb_store_renew(t->store, err) < 0))
        return -1;
    if (sb_progress_new(t->progress_how, false, &t->progress, err) < 0)
        return -1;
    if (sb_cli_registry_open(options, &t->settings, &t->registry, err) < 0)
        return -1;
    sb_progress_watch(t->progress, t->registry);
    return 0;
}

void sb_cli_transfer_close(struct sb_cli_transfer *t) {
    sb_progress_free(sb_steal(t->progress));
    sb_registry_free(sb_steal(t->registry));
    sb_store_close(sb_steal(t->store));
    sb_settings_free(&t->settings);
}
