/*
 * layers/inventory: every item of the store with its size and last use, and what needs what; for
 * the collector (layers/collect.h).
 */
#ifndef SB_LAYERS_INVENTORY_H
#define SB_LAYERS_INVENTORY_H

#include <jansson.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/item.h"
#include "layers/store.h"

/* Items that an image or a record needs. Pointers into an inventory. */
struct sb_needs {
    struct sb_item **v;
    size_t n, cap;
};

/* Files that have more than one name. */
struct sb_inode {
    dev_t device;
    ino_t inode;
    uint64_t bytes;
};
struct sb_inodes {
    struct sb_inode *v;
    size_t n, cap;
};

struct sb_item {
    enum sb_item_kind kind;
    char *path;              /* relative to STORE */
    uint64_t bytes;          /* but for shared */
    struct sb_inodes shared; /* that have names outside of it too, each once */
    struct timespec last_use;
    bool held; /* a live process may use it */
    bool gone;
    unsigned needed;       /* by so many images and records */
    unsigned images;       /* of them, images */
    struct sb_needs needs; /* of a record; empty when it is of no use */
};

/* A file that several items have. It takes its bytes until the last of them is gone. */
struct sb_shared {
    struct sb_inode inode;
    enum sb_item_kind kind; /* of one of them */
    unsigned holders;       /* that are not gone */
    bool held;              /* one of them is */
};

struct sb_inventory {
    struct sb_item *v; /* sorted by kind and path; all but SB_ITEM_OTHER */
    size_t n, cap;
    struct sb_shared *shared; /* sorted */
    size_t shared_count;
    struct sb_store_amount other;
};

/* The same of several directories, "NAME/fs" below dirfd, together: what they share counts once. */
uint64_t sb_disk_usage_together(int dirfd, const struct sb_strings *names);

/* Sizes of directories are taken from an earlier inventory (NULL: none) where nothing else is
 * known to have changed, as walking them takes long. With `only`, paths relative to STORE, no other
 * directory is measured. */
int sb_inventory_take(struct sb_store *store, const struct sb_strings *only,
                      const struct sb_inventory *earlier, struct sb_inventory *out,
                      struct sb_error *err);
void sb_inventory_free(struct sb_inventory *inventory);
/* Of an inode that an item says it shares. */
struct sb_shared *sb_inventory_shared(const struct sb_inventory *inventory,
                                      const struct sb_inode *inode);
/* NULL when there is none. */
struct sb_item *sb_inventory_find(const struct sb_inventory *inventory, enum sb_item_kind kind,
                                  const char *path);

/* ---- reach.c ---- */

/* One image of index.json, under all its names. */
struct sb_reached {
    struct sb_digest digest;
    struct sb_item *manifest; /* NULL when it is not here */
    struct sb_strings names;
    struct sb_needs needs;
};
struct sb_reached_list {
    struct sb_reached *v;
    size_t n, cap;
};

/* Counts in items' needed what the images of the index need. */
int sb_reach_images(struct sb_store *store, const json_t *index,
                    const struct sb_inventory *inventory, struct sb_reached_list *out,
                    struct sb_error *err);
void sb_reached_list_free(struct sb_reached_list *list);
/* The same for records whose blob is there, or could be fetched. */
void sb_reach_records(struct sb_store *store, const struct sb_inventory *inventory);

#endif
