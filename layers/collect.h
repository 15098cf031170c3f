/*
 * layers/collect: what the store holds, and giving some of it back.
 *
 *     struct sb_collect_options options = SB_COLLECT_OPTIONS;
 *     options.max_size = 20000000000;
 *     if (sb_store_collect(store, &options, &report, &err) < 0) …
 *     sb_collect_report_free(&report);
 *
 * Safe beside running builds. An item's last use is the mtime of its file or of its own directory
 * (atime changes when a backup reads the store, and not at all where it is mounted noatime; ctime
 * can't be set; nothing in an image or a step sees these mtimes). An item used since the oldest
 * other live process started is never taken, and neither is what is pinned (layers/pin.h). Deciding
 * happens under the collector's lock, and so does moving what goes to this process's tmp, by
 * renames alone; the slow work comes before and after.
 *
 * Other tools know nothing of live processes: no other tool may write to the store meanwhile.
 */
#ifndef SB_LAYERS_COLLECT_H
#define SB_LAYERS_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/item.h"
#include "layers/store.h"

struct sb_store_usage {
    struct sb_store_amount kinds[SB_ITEM_KIND_COUNT];
    uint64_t total;
};
int sb_store_usage(struct sb_store *store, struct sb_store_usage *out, struct sb_error *err);

#define SB_COLLECT_NONE UINT64_MAX

/*
 * Always removed: what dead processes left, roots of failed steps, blobs and their origins that no
 * tag and no record reaches, records whose blob is gone and has no origin, trees and tables of
 * contents that no tag and no record refers to, listings of files that no record refers to. Then,
 * in this order and the least recently used first, what was last used too long ago, and while the
 * store is larger than max_size: trees, cache directories, records with their blobs, logs, notes
 * (stat caches, and what each layer was built from last); for size alone also tables of contents. A
 * record whose blob an image needs stays as long as that one: without it the next build would make
 * the layer again, and nothing would be saved. Images go, with all their tags, while the store is
 * still larger than max_size; and of each name those beyond keep_images. With an image go the
 * records of layers that no other image has.
 */
struct sb_collect_options {
    uint64_t max_size;   /* bytes the store holds afterwards at most, but for what live processes
                            hold; SB_COLLECT_NONE: no limit */
    uint64_t older_than; /* seconds; never takes an image that has a name. SB_COLLECT_NONE: no
                            limit */
    bool keep_tagged;    /* max_size takes no image that is in index.json either */
    uint64_t
        keep_images; /* so many of each name, the last that were built, tagged or pulled; others
                        lose the tags of that name. Bundles count by themselves. 0: all */
    bool dry_run;    /* report only */
    const struct sb_strings *only; /* paths relative to STORE: of what is always removed, these
                                      alone; nothing else is measured, so the report's left and
                                      held mean nothing. NULL: all */
};
#define SB_COLLECT_OPTIONS                                                                         \
    { .max_size = SB_COLLECT_NONE, .older_than = SB_COLLECT_NONE }

struct sb_collect_report {
    struct sb_store_amount removed[SB_ITEM_KIND_COUNT];
    uint64_t freed;         /* bytes in all */
    uint64_t left;          /* bytes the store holds now */
    uint64_t held;          /* of these: bytes that live processes and pins hold */
    struct sb_strings tags; /* that went; "sha256:…" for an entry of index.json without a name */
};

/* A damaged index.json or manifest of an image is an error before anything is removed: what it
 * needs is unknown then. On failure the report is valid for what was done. */
int sb_store_collect(struct sb_store *store, const struct sb_collect_options *options,
                     struct sb_collect_report *out, struct sb_error *err);
void sb_collect_report_free(struct sb_collect_report *report);

#endif
