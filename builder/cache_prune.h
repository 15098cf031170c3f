/*
 * builder/cache_prune: the records of a shared cache, and removing those that nobody uses.
 *
 * What goes are manifests; the blobs that nothing else in the registry needs are freed by the
 * registry's own collection.
 */
#ifndef SB_BUILDER_CACHE_PRUNE_H
#define SB_BUILDER_CACHE_PRUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "builder/cache_record.h"
#include "registry/remote.h"

struct sb_shared_record {
    char *tag;
    struct sb_digest manifest;
    bool damaged; /* then record is empty */
    bool gone;    /* removed by somebody else meanwhile */
    struct sb_cache_record record;
};
struct sb_shared_records {
    struct sb_shared_record *v;
    size_t n;
};

/* All records of a repository, the newest first; several requests at a time. None when the
 * repository is not there. Free with sb_shared_records_free. */
int sb_shared_records_list(struct sb_remote *remote, struct sb_shared_records *out,
                           struct sb_error *err);
void sb_shared_records_free(struct sb_shared_records *records);

/* Leaves in the list what was written before that time (seconds since 1970), and what is damaged.
 */
void sb_shared_records_select_old(struct sb_shared_records *records, int64_t before);

/* Removes all in the list from the repository. When that fails, some may have gone. */
int sb_shared_records_remove(struct sb_remote *remote, struct sb_shared_records *records,
                             struct sb_error *err);

#endif
