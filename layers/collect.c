#include "layers/collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/inventory.h"
#include "layers/links.h"
#include "layers/pin.h"
#include "layers/store_private.h"

struct collector {
    struct sb_store *store;
    const struct sb_collect_options *options;
    bool take_images;
    struct sb_collect_report report; /* of this pass */
    bool begun;                      /* the report is of what was done, not just of what would be */
    struct sb_inventory inventory;
    struct sb_reached_list images;
    json_t *index;
    bool alone; /* no other process is live */
    struct timespec oldest;
    uint64_t total; /* bytes of what is left */
};

static bool earlier(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* ---- removing, on paper ---- */

static void take(struct collector *c, struct sb_item *item);

static void need_less(struct collector *c, struct sb_needs *needs) {
    for (size_t i = 0; i < needs->n; i++)
        if (--needs->v[i]->needed == 0)
            take(c, needs->v[i]);
    needs->n = 0;
}

/* The last that has a shared file frees it. */
static uint64_t let_go(struct collector *c, const struct sb_item *item) {
    uint64_t bytes = item->bytes;
    for (size_t i = 0; i < item->shared.n; i++) {
        struct sb_shared *shared = sb_inventory_shared(&c->inventory, &item->shared.v[i]);
        if (--shared->holders == 0)
            bytes += shared->inode.bytes;
    }
    return bytes;
}

/* Nothing happens to what is held. */
static void take(struct collector *c, struct sb_item *item) {
    if (item->held || item->gone)
        return;
    item->gone = true;
    uint64_t bytes = let_go(c, item);
    c->total -= bytes;
    c->report.removed[item->kind].count++;
    c->report.removed[item->kind].bytes += bytes;
    c->report.freed += bytes;
    need_less(c, &item->needs);
}

static bool is_stale(const struct sb_item *item) {
    switch (item->kind) {
    case SB_ITEM_TEMPORARY:
    case SB_ITEM_FAILED:
        return true;
    case SB_ITEM_BLOB:
    case SB_ITEM_TREE:
    case SB_ITEM_CONTENTS:
    case SB_ITEM_LISTING:
    case SB_ITEM_ORIGIN:
        return item->needed == 0;
    case SB_ITEM_RECORD:
        return item->needs.n == 0;
    default:
        return false;
    }
}

static void take_stale(struct collector *c) {
    const struct sb_strings *only = c->options->only;
    for (size_t i = 0; i < c->inventory.n; i++)
        if (is_stale(&c->inventory.v[i]) && (!only || sb_strings_has(only, c->inventory.v[i].path)))
            take(c, &c->inventory.v[i]);
}

static int compare_use(const void *a, const void *b) {
    const struct sb_item *x = *(struct sb_item *const *)a, *y = *(struct sb_item *const *)b;
    return earlier(&x->last_use, &y->last_use)   ? -1
           : earlier(&y->last_use, &x->last_use) ? 1
                                                 : strcmp(x->path, y->path);
}

/* Whether an image has the layer of a record: it is of use as long as that is here. */
static bool serves_image(const struct sb_item *item) {
    for (size_t i = 0; i < item->needs.n; i++) {
        const struct sb_item *need = item->needs.v[i];
        if ((need->kind == SB_ITEM_BLOB || need->kind == SB_ITEM_ORIGIN) && need->images > 0)
            return true;
    }
    return false;
}

/* Takes items of a kind, least recently used first, while they were last used before the limit or
 * the store is too large. */
static void take_oldest(struct collector *c, enum sb_item_kind kind, const struct timespec *limit) {
    sb_autofree struct sb_item **list = sb_alloc(c->inventory.n * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < c->inventory.n; i++)
        if (c->inventory.v[i].kind == kind && !c->inventory.v[i].gone &&
            (kind != SB_ITEM_RECORD || !serves_image(&c->inventory.v[i])))
            list[n++] = &c->inventory.v[i];
    qsort(list, n, sizeof *list, compare_use);
    for (size_t i = 0; i < n; i++)
        if (c->total > c->options->max_size || earlier(&list[i]->last_use, limit))
            take(c, list[i]);
}

/* ---- images ---- */

static int compare_image_use(const void *a, const void *b) {
    const struct sb_reached *x = *(struct sb_reached *const *)a;
    const struct sb_reached *y = *(struct sb_reached *const *)b;
    return compare_use(&x->manifest, &y->manifest);
}

static void forget_entries(json_t *index, const struct sb_digest *digest) {
    json_t *manifests = json_object_get(index, "manifests");
    for (size_t i = json_array_size(manifests); i-- > 0;) {
        struct sb_digest its;
        const char *text = sb_json_string(json_array_get(manifests, i), "digest", "");
        if (sb_digest_parse(text, &its, NULL) == 0 && sb_digest_equal(&its, digest))
            json_array_remove(manifests, i);
    }
}

/* Records of layers that only this image had: nothing of it would be freed otherwise. */
static void take_records_of(struct collector *c, const struct sb_needs *needs) {
    for (size_t i = 0; i < c->inventory.n; i++) {
        struct sb_item *record = &c->inventory.v[i];
        bool its = false;
        for (size_t k = 0; k < record->needs.n && record->kind == SB_ITEM_RECORD; k++)
            for (size_t n = 0; n < needs->n; n++)
                its = its ||
                      (needs->v[n] == record->needs.v[k] &&
                       (needs->v[n]->kind == SB_ITEM_BLOB || needs->v[n]->kind == SB_ITEM_ORIGIN));
        if (its && !serves_image(record))
            take(c, record);
    }
}

static void take_image(struct collector *c, struct sb_reached *image) {
    for (size_t i = 0; i < image->needs.n; i++)
        image->needs.v[i]->images--;
    take_records_of(c, &image->needs);
    need_less(c, &image->needs);
}

/* The least recently used first, while the store is too large. */
static void take_oldest_images(struct collector *c) {
    sb_autofree struct sb_reached **list = sb_alloc((c->images.n + 1) * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < c->images.n; i++)
        if (c->images.v[i].manifest && !c->images.v[i].manifest->held && c->images.v[i].names.n > 0)
            list[n++] = &c->images.v[i];
    qsort(list, n, sizeof *list, compare_image_use);
    for (size_t i = 0; i < n && c->total > c->options->max_size; i++) {
        forget_entries(c->index, &list[i]->digest);
        sb_strings_copy(&c->report.tags, &list[i]->names);
        take_image(c, list[i]);
    }
}

/* ---- so many of each name ---- */

struct named {
    struct sb_reached *image;
    const char *name; /* whole */
    size_t length;    /* of it, without the tag */
    bool bundle;
};

/* An entry without a name. */
static bool is_digest(const char *name) {
    struct sb_digest digest;
    return sb_digest_parse(name, &digest, NULL) == 0;
}

static struct named parse_name(struct sb_reached *image, const char *name) {
    const char *slash = strrchr(name, '/'), *colon = strrchr(name, ':');
    size_t length = colon && (!slash || colon > slash) ? (size_t)(colon - name) : strlen(name);
    return (struct named){image, name, length, colon && !strncmp(colon, ":bundle-", 8)};
}

/* By name; of one name those used last first, and all names of one image together. */
static int compare_named(const void *a, const void *b) {
    const struct named *x = a, *y = b;
    size_t least = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->name, y->name, least);
    if (order || x->length != y->length)
        return order ? order : x->length < y->length ? -1 : 1;
    if (x->bundle != y->bundle)
        return x->bundle ? 1 : -1;
    order = -compare_use(&x->image->manifest, &y->image->manifest);
    return order ? order : strcmp(x->name, y->name);
}

static bool is_same_name(const struct named *x, const struct named *y) {
    return x->length == y->length && x->bundle == y->bundle && !memcmp(x->name, y->name, x->length);
}

static void forget_name(struct collector *c, const struct named *named) {
    json_t *manifests = json_object_get(c->index, "manifests");
    for (size_t i = json_array_size(manifests); i-- > 0;) {
        const char *name = sb_index_name(json_array_get(manifests, i));
        if (name && !strcmp(name, named->name))
            json_array_remove(manifests, i);
    }
    struct sb_strings *names = &named->image->names;
    for (size_t i = 0; i < names->n; i++)
        if (names->v[i] == named->name) {
            sb_strings_take(&c->report.tags, names->v[i]);
            names->v[i] = names->v[--names->n];
            names->v[names->n] = NULL;
            break;
        }
    if (names->n == 0)
        take_image(c, named->image);
}

static void take_surplus(struct collector *c) {
    size_t n = 0, count = 0;
    for (size_t i = 0; i < c->images.n; i++)
        count += c->images.v[i].names.n;
    sb_autofree struct named *all = sb_alloc((count + 1) * sizeof *all);
    for (size_t i = 0; i < c->images.n; i++)
        for (size_t k = 0; k < c->images.v[i].names.n && c->images.v[i].manifest; k++)
            if (!is_digest(c->images.v[i].names.v[k]))
                all[n++] = parse_name(&c->images.v[i], c->images.v[i].names.v[k]);
    if (n > 1)
        qsort(all, n, sizeof *all, compare_named);
    uint64_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool same = i > 0 && is_same_name(&all[i - 1], &all[i]);
        if (!same)
            kept = 0;
        kept += !same || all[i].image != all[i - 1].image;
        if (kept > c->options->keep_images && !all[i].image->manifest->held)
            forget_name(c, &all[i]);
    }
}

/* ---- deciding ---- */

static void mark_held(struct collector *c) {
    static const char tmp[] = "sbuild/tmp/";
    c->alone = !sb_live_oldest(c->store, &c->oldest);
    c->total = c->inventory.other.bytes;
    for (size_t i = 0; i < c->inventory.n; i++) {
        struct sb_item *item = &c->inventory.v[i];
        if (!strncmp(item->path, tmp, strlen(tmp)) && item->kind == SB_ITEM_TEMPORARY) {
            const char *id = item->path + strlen(tmp);
            item->held = sb_live_is(c->store, id);
            if (!strcmp(id, c->store->id))
                item->bytes = 0; /* goes with this process */
        } else {
            item->held = !c->alone && !earlier(&item->last_use, &c->oldest);
        }
        c->total += item->bytes;
    }
    for (size_t i = 0; i < c->inventory.shared_count; i++)
        c->total += c->inventory.shared[i].inode.bytes;
}

/* What is pinned is held by whoever pinned it. */
static int mark_pinned(struct collector *c, struct sb_error *err) {
    sb_autostrings struct sb_strings pinned = {0};
    if (sb_pin_items(c->store, NULL, &pinned, err) < 0)
        return -1;
    for (size_t i = 0; i < pinned.n; i++)
        for (int kind = 0; kind < SB_ITEM_KIND_COUNT; kind++) {
            struct sb_item *item =
                sb_inventory_find(&c->inventory, (enum sb_item_kind)kind, pinned.v[i]);
            if (item)
                item->held = true;
        }
    return 0;
}

/* What is shared counts once. */
static uint64_t held_bytes(struct collector *c, const struct sb_item *item) {
    uint64_t bytes = item->bytes;
    for (size_t i = 0; i < item->shared.n; i++) {
        struct sb_shared *shared = sb_inventory_shared(&c->inventory, &item->shared.v[i]);
        bytes += shared->held ? 0 : shared->inode.bytes;
        shared->held = true;
    }
    return bytes;
}

static void decide(struct collector *c) {
    static const enum sb_item_kind order[] = {SB_ITEM_TREE, SB_ITEM_CACHE, SB_ITEM_RECORD,
                                              SB_ITEM_LOG,  SB_ITEM_NOTE,  SB_ITEM_CONTENTS};
    struct timespec limit = {0}; /* nothing was used before that */
    if (c->options->older_than != SB_COLLECT_NONE) {
        clock_gettime(CLOCK_REALTIME, &limit);
        uint64_t now = (uint64_t)limit.tv_sec;
        limit.tv_sec = (time_t)(now > c->options->older_than ? now - c->options->older_than : 0);
    }
    static const struct timespec never;
    if (c->take_images && c->options->keep_images > 0)
        take_surplus(c);
    take_stale(c);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        take_oldest(c, order[i], order[i] == SB_ITEM_CONTENTS ? &never : &limit);
    if (c->take_images && !c->options->keep_tagged)
        take_oldest_images(c);
    sb_strings_sort(&c->report.tags);
    c->report.left = c->total;
    for (size_t i = 0; i < c->inventory.n; i++)
        if (c->inventory.v[i].held)
            c->report.held += held_bytes(c, &c->inventory.v[i]);
}

/* ---- removing, in earnest ---- */

/* Lock files of cache keys: with no other process there is nobody who could hold one. */
static void remove_key_locks(struct collector *c) {
    int fd = openat(c->store->private_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        sb_close_descriptor(&fd);
    else
        for (struct dirent *e; (e = readdir(dir));)
            unlinkat(fd, e->d_name, 0);
}

/* For a disk so full that no directory can be made: out of sight under a temporary's name, so that
 * nobody takes half an item for a whole one. */
static int remove_directly(struct sb_store *store, const struct sb_item *item, size_t number,
                           struct sb_error *err) {
    sb_autofree char *parent = sb_path_dirname(item->path);
    sb_autofree char *name = sb_format("%s/" SB_TMP_PREFIX "collected-%zu", parent, number);
    if (renameat(store->fd, item->path, store->fd, name) < 0)
        return errno == ENOENT
                   ? 0
                   : sb_fail_errno(err, SB_E_IO, "removing %s/%s", store->path, item->path);
    return sb_tree_remove(store->fd, name, err);
}

static int remove_item(struct sb_store *store, int collected, const struct sb_item *item,
                       size_t number, struct sb_error *err) {
    char name[24];
    snprintf(name, sizeof name, "%zu", number);
    if (collected >= 0 && renameat(store->fd, item->path, collected, name) == 0)
        return 0;
    return remove_directly(store, item, number, err);
}

/* Moves what goes out of everybody's sight. One item that can't be moved does not keep the others;
 * the first error is the one reported. */
static int move_away(struct collector *c, struct sb_error *err) {
    int tmp = sb_store_tmp_fd(c->store), failed = 0;
    if (tmp >= 0)
        mkdirat(tmp, "collected", 0700);
    sb_autoclose int collected =
        tmp < 0 ? -1 : openat(tmp, "collected", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < c->inventory.n; i++) {
        const struct sb_item *item = &c->inventory.v[i];
        if (item->gone && remove_item(c->store, collected, item, i, failed ? NULL : err) < 0)
            failed = -1;
    }
    sb_links_sweep(c->store);
    if (c->alone && !c->options->only) /* who takes back a part may hold one itself */
        remove_key_locks(c);
    return failed;
}

static int collect_locked(struct collector *c, const struct sb_inventory *before,
                          struct sb_error *err) {
    sb_autoclose int lock = sb_index_lock(c->store, err);
    if (lock < 0 || !(c->index = sb_index_read(c->store, true, err)) ||
        sb_inventory_take(c->store, c->options->only, before, &c->inventory, err) < 0)
        return -1;
    mark_held(c);
    if (mark_pinned(c, err) < 0 ||
        sb_reach_images(c->store, c->index, &c->inventory, &c->images, err) < 0)
        return -1;
    sb_reach_records(c->store, &c->inventory);
    for (size_t i = 0; i < c->images.n; i++)
        for (size_t k = 0; k < c->images.v[i].needs.n; k++)
            c->images.v[i].needs.v[k]->images++;
    decide(c);
    if (!c->options->dry_run && c->report.tags.n > 0 && sb_index_write(c->store, c->index, err) < 0)
        return -1;
    c->begun = true;
    return c->options->dry_run ? 0 : move_away(c, err);
}

static void add_report(struct sb_collect_report *to, struct sb_collect_report *from) {
    for (size_t i = 0; i < SB_ITEM_KIND_COUNT; i++) {
        to->removed[i].count += from->removed[i].count;
        to->removed[i].bytes += from->removed[i].bytes;
    }
    to->freed += from->freed;
    to->left = from->left;
    to->held = from->held;
    sb_strings_copy(&to->tags, &from->tags);
}

/* Empties tmp/ID/collected. */
static int remove_collected(struct sb_store *store, struct sb_error *err) {
    if (store->tmp_fd < 0 || sb_tree_remove(store->tmp_fd, "collected", err) == 0)
        return 0;
    if (err && err->os_errno == EACCES)
        sb_error_hint(err,
                      "files of ids that are not this user's subordinate ids, perhaps no longer: "
                      "remove them as root, in %s/sbuild/tmp",
                      store->path);
    return -1;
}

static int pass(struct sb_store *store, const struct sb_collect_options *options, bool take_images,
                struct sb_collect_report *out, struct sb_error *err) {
    struct collector c = {.store = store, .options = options, .take_images = take_images};
    struct sb_inventory before; /* the long walks, while nobody waits */
    if (sb_inventory_take(store, options->only, NULL, &before, err) < 0)
        return -1;
    int failed = sb_store_hold_alone(store, err);
    if (!failed) {
        failed = collect_locked(&c, &before, err);
        sb_store_release(store);
        if (remove_collected(store, failed ? NULL : err) < 0)
            failed = -1;
    }
    if (c.begun)
        add_report(out, &c.report);
    sb_strings_free(&c.report.tags);
    sb_inventory_free(&before);
    sb_inventory_free(&c.inventory);
    sb_reached_list_free(&c.images);
    json_decref(c.index);
    return failed;
}

/* Images go in a pass of their own: on a full disk there is no room to write index.json until the
 * first pass has made some. Those that are surplus go before anything goes for size. */
int sb_store_collect(struct sb_store *store, const struct sb_collect_options *options,
                     struct sb_collect_report *out, struct sb_error *err) {
    *out = (struct sb_collect_report){0};
    if (options->dry_run)
        return pass(store, options, true, out, err);
    struct sb_collect_options surplus = SB_COLLECT_OPTIONS;
    surplus.keep_images = options->keep_images;
    surplus.keep_tagged = true;
    if (surplus.keep_images > 0 &&
        (pass(store, &surplus, false, out, err) < 0 || pass(store, &surplus, true, out, err) < 0))
        return -1;
    if (pass(store, options, false, out, err) < 0)
        return -1;
    bool large = out->left > options->max_size && !options->keep_tagged;
    return large ? pass(store, options, true, out, err) : 0;
}

void sb_collect_report_free(struct sb_collect_report *report) {
    sb_strings_free(&report->tags);
    *report = (struct sb_collect_report){0};
}

int sb_store_usage(struct sb_store *store, struct sb_store_usage *out, struct sb_error *err) {
    *out = (struct sb_store_usage){0};
    struct sb_inventory inventory;
    if (sb_inventory_take(store, NULL, NULL, &inventory, err) < 0)
        return -1;
    out->kinds[SB_ITEM_OTHER] = inventory.other;
    for (size_t i = 0; i < inventory.n; i++) {
        out->kinds[inventory.v[i].kind].count++;
        out->kinds[inventory.v[i].kind].bytes += inventory.v[i].bytes;
    }
    for (size_t i = 0; i < inventory.shared_count; i++)
        out->kinds[inventory.shared[i].kind].bytes += inventory.shared[i].inode.bytes;
    for (size_t i = 0; i < SB_ITEM_KIND_COUNT; i++)
        out->total += out->kinds[i].bytes;
    sb_inventory_free(&inventory);
    return 0;
}
