/*
 * sandbox/runtime: which OCI runtime works here, found by trying.
 *
 * crun starts faster, but not every version of it knows every arrangement of cgroups. So each is
 * tried in turn on the first real program, and the one that ran it is remembered in
 * STORE/sbuild/runtime.json for as long as the machine is up and the program is the same.
 */
#ifndef SB_SANDBOX_RUNTIME_H
#define SB_SANDBOX_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "document/settings.h"
#include "layers/store.h"

struct sb_runtime {
    char *path;
    bool crun; /* crun's options differ from runc's */
};
struct sb_runtimes {
    struct sb_runtime v[2];
    size_t n;
    bool remembered; /* the first is known to work */
};

/* Those to try, in order; only the named one when settings name one. SB_E_NOT_FOUND when there is
 * none. */
int sb_runtimes_find(struct sb_store *store, const struct sb_settings *settings,
                     struct sb_runtimes *out, struct sb_error *err);
void sb_runtimes_free(struct sb_runtimes *runtimes);

/* Best effort: a store that can't be written to only means trying again. */
void sb_runtime_remember(struct sb_store *store, const struct sb_runtime *runtime);

#endif
