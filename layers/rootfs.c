/*
 * The layers pass by once, from the top one down (layers/merge.h). What that leaves to be solved is
 * hard links, for the file that carries the content may be hidden while a link to it is not:
 *
 *   - target in the same layer and seen: an ordinary link;
 *   - target in the same layer, hidden by one above: its content has gone by; the layer is walked
 *     once more and the content written under the name of the first link that is seen;
 *   - target not in this layer (some builders do so): the link waits for a lower layer to have it.
 */
#include "layers/rootfs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/memory.h"
#include "layers/merge.h"
#include "layers/unpack.h"
#include "layers/walk.h"
#include "layers/whiteout.h"

/* A link that is seen and has not been written. */
struct waiting {
    char *path, *target;
    bool lower;  /* for a lower layer */
    size_t next; /* that waits for the same target: its index + 1, or 0 */
};

struct rootfs {
    struct sb_archive *archive;
    struct sb_merge *merge;
    struct sb_contents *contents; /* of the layer at hand: what is left of it at its end */
    uint64_t names_total;
    /* Of the layer at hand: for each path that a link may lead to, where its content is. */
    struct sb_map places;    /* path → ITSELF, HIDDEN, or an index in names */
    struct sb_map aliases;   /* link → what it leads to in the end: an index in names, + 1 */
    struct sb_strings names; /* paths that content was written under, and ends of links */
    struct sb_map again;     /* hidden target → first waiting link of this layer, + 1 */
    size_t again_count;
    struct sb_map lower; /* target → first link of higher layers that waits for it, + 1 */
    size_t lower_count;
    struct waiting *links;
    size_t link_count, link_cap;
};

#define HIDDEN UINT64_MAX
#define ITSELF (UINT64_MAX - 1)

static void rootfs_free(struct rootfs *r) {
    sb_merge_free(r->merge);
    if (r->contents)
        sb_contents_close(r->contents);
    sb_map_free(&r->places);
    sb_map_free(&r->again);
    sb_map_free(&r->lower);
    sb_map_free(&r->aliases);
    sb_strings_free(&r->names);
    for (size_t i = 0; i < r->link_count; i++) {
        free(r->links[i].path);
        free(r->links[i].target);
    }
    free(r->links);
}

/* ---- writing ---- */

static int write_content(struct rootfs *r, const struct sb_entry *entry, struct sb_entry_data *data,
                         struct sb_error *err) {
    uint64_t at = 0;
    for (;;) {
        const void *p;
        size_t len;
        uint64_t offset;
        if (sb_entry_data_next(data, &p, &len, &offset, err) < 0)
            return -1;
        if (offset < at)
            return sb_fail(err, SB_E_INTEGRITY, "%s: its parts overlap", entry->path);
        if (sb_archive_zeros(r->archive, offset - at, err) < 0 ||
            sb_archive_data(r->archive, p, len, err) < 0)
            return -1;
        at = offset + len;
        if (len == 0)
            return 0;
    }
}

static int write_entry(struct rootfs *r, const struct sb_entry *entry, struct sb_entry_data *data,
                       struct sb_error *err) {
    if (sb_archive_entry(r->archive, entry, err) < 0)
        return -1;
    bool file = S_ISREG(entry->mode) && !entry->hard_link;
    return file ? write_content(r, entry, data, err) : 0;
}

/* A link's header repeats what the header of its target says. */
static int write_link(struct rootfs *r, const struct sb_entry *like, const char *path,
                      const char *target, struct sb_error *err) {
    struct sb_entry entry = *like;
    entry.path = path;
    entry.link = target;
    entry.hard_link = true;
    entry.size = 0;
    entry.xattrs = NULL;
    entry.xattr_count = 0;
    return sb_archive_entry(r->archive, &entry, err);
}

/* ---- links that wait ---- */

static void wait_for(struct rootfs *r, const char *path, const char *target, bool lower) {
    SB_GROW(r->links, r->link_count, r->link_cap);
    r->links[r->link_count++] =
        (struct waiting){.path = sb_strdup(path), .target = sb_strdup(target), .lower = lower};
}

/* Enters links into the map that they wait in, from the first one on. What waits for a lower layer
 * is entered after its own: the target may be replaced there. */
static void enter_waiting(struct rootfs *r, size_t first, bool lower) {
    struct sb_map *map = lower ? &r->lower : &r->again;
    for (size_t i = r->link_count; i-- > first;) {
        if (r->links[i].lower != lower)
            continue;
        uint64_t *head = sb_map_put(map, r->links[i].target);
        r->links[i].next = (size_t)*head;
        *head = i + 1;
        ++*(lower ? &r->lower_count : &r->again_count);
    }
}

/* Takes the links that wait for target off the map; the first of them + 1, or 0. */
static size_t take_waiting(struct rootfs *r, struct sb_map *map, size_t *count,
                           const char *target) {
    uint64_t *first = *count ? sb_map_find(map, target) : NULL;
    size_t taken = first ? (size_t)*first : 0;
    for (size_t i = taken; i; i = r->links[i - 1].next)
        --*count;
    if (first)
        *first = 0;
    return taken;
}

/* written: the name that the content at path was written under, or NULL. */
static void note_place(struct rootfs *r, const char *path, const char *written) {
    uint64_t *place = sb_map_put(&r->places, path);
    *place = HIDDEN;
    if (written && !strcmp(path, written)) {
        *place = ITSELF;
    } else if (written) {
        *place = r->names.n;
        sb_strings_add(&r->names, written);
    }
}

/* Where the content at path was written, or NULL; *out_known: this layer has the path. */
static const char *place_of(const struct rootfs *r, const char *path, bool *out_known) {
    const uint64_t *place = sb_map_find(&r->places, path);
    *out_known = place != NULL;
    if (!place || *place == HIDDEN)
        return NULL;
    return *place == ITSELF ? path : r->names.v[*place];
}

/* Links lead to links now and then; what counts is the end. */
static const char *end_of(const struct rootfs *r, const char *path) {
    const uint64_t *alias = sb_map_find(&r->aliases, path);
    return alias && *alias ? r->names.v[*alias - 1] : path;
}

static void note_alias(struct rootfs *r, const char *path, const char *end) {
    uint64_t *alias = sb_map_put(&r->aliases, path);
    sb_strings_add(&r->names, end);
    *alias = r->names.n;
}

/* Writes an entry under the name of a link that waits for it, and the other links to that one. */
static int write_for_links(struct rootfs *r, const struct sb_entry *entry, size_t waiting,
                           struct sb_entry_data *data, struct sb_error *err) {
    struct sb_entry copy = *entry;
    copy.path = r->links[waiting - 1].path;
    if (write_entry(r, &copy, data, err) < 0)
        return -1;
    for (size_t i = r->links[waiting - 1].next; i; i = r->links[i - 1].next)
        if (write_link(r, entry, r->links[i - 1].path, copy.path, err) < 0)
            return -1;
    return 0;
}

/* ---- the first walk through a layer ---- */

/* path is to be a link to end, as entry says. */
static int visit_link(struct rootfs *r, const struct sb_entry *entry, const char *path,
                      const char *end, struct sb_error *err) {
    bool known;
    const char *written = place_of(r, end, &known);
    if (written)
        return strcmp(path, written) != 0 ? write_link(r, entry, path, written, err) : 0;
    wait_for(r, path, end, !known);
    return 0;
}

static int visit_hard_link(struct rootfs *r, const struct sb_entry *entry, bool seen,
                           struct sb_error *err) {
    sb_autofree char *end = sb_strdup(end_of(r, entry->link));
    if (!strcmp(end, entry->path))
        return 0;
    size_t waiting = take_waiting(r, &r->lower, &r->lower_count, entry->path);
    note_alias(r, entry->path, end);
    if (seen && visit_link(r, entry, entry->path, end, err) < 0)
        return -1;
    for (size_t i = waiting, next; i; i = next) {
        next = r->links[i - 1].next;
        sb_autofree char *path = sb_strdup(r->links[i - 1].path);
        if (visit_link(r, entry, path, end, err) < 0)
            return -1;
    }
    return 0;
}

/* Whether a later entry of the same layer took its place, or that of a directory above it. */
static bool is_replaced(const struct rootfs *r, const struct sb_entry *entry) {
    struct sb_entry last;
    if (sb_whiteout_kind(entry->path) != SB_WHITEOUT_NO)
        return false;
    return !sb_contents_find(r->contents, entry->path, &last) ||
           (last.mode & S_IFMT) != (entry->mode & S_IFMT) || last.hard_link != entry->hard_link;
}

static int visit(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                 struct sb_error *err) {
    struct rootfs *r = self;
    if (sb_whiteout_check(entry->path, err) < 0)
        return -1;
    if (sb_whiteout_device(entry) || is_replaced(r, entry))
        return 0;
    struct sb_entry named = *entry;
    named.xattr_count = 0; /* these aren't kept */
    if (sb_names_count(&r->names_total, &named, "the image", err) < 0)
        return -1;
    bool seen = sb_merge_visit(r->merge, entry);
    if (sb_merge_check(r->merge, err) < 0)
        return sb_error_context(err, "%s", entry->path);
    if (entry->hard_link)
        return visit_hard_link(r, entry, seen, err);
    if (S_ISDIR(entry->mode))
        return seen ? write_entry(r, entry, data, err) : 0;
    size_t waiting = take_waiting(r, &r->lower, &r->lower_count, entry->path);
    if (!seen && waiting) {
        note_place(r, entry->path, r->links[waiting - 1].path);
        return write_for_links(r, entry, waiting, data, err);
    }
    note_place(r, entry->path, seen ? entry->path : NULL);
    if (seen && write_entry(r, entry, data, err) < 0)
        return -1;
    for (size_t i = waiting; i; i = r->links[i - 1].next)
        if (write_link(r, entry, r->links[i - 1].path, entry->path, err) < 0)
            return -1;
    return 0;
}

/* ---- the second, for content that links turned out to need ---- */

static int visit_again(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                       struct sb_error *err) {
    struct rootfs *r = self;
    if (S_ISDIR(entry->mode) || entry->hard_link)
        return 0;
    size_t waiting = take_waiting(r, &r->again, &r->again_count, entry->path);
    return waiting ? write_for_links(r, entry, waiting, data, err) : 0;
}

static int write_layer(struct rootfs *r, struct sb_store *store, const struct sb_layer *layer,
                       struct sb_error *err) {
    sb_merge_lower(r->merge);
    sb_map_free(&r->places);
    sb_map_free(&r->again);
    sb_map_free(&r->aliases);
    sb_strings_free(&r->names);
    r->again_count = 0;
    size_t first = r->link_count;
    if (r->contents)
        sb_contents_close(sb_steal(r->contents));
    if (sb_layer_contents(store, layer, &r->contents, err) < 0)
        return -1;
    for (size_t i = 0; i < sb_contents_count(r->contents); i++) {
        struct sb_entry entry; /* not all of these marks are in the blob */
        sb_contents_get(r->contents, i, &entry);
        if (sb_whiteout_kind(entry.path) == SB_WHITEOUT_HIDES_BELOW)
            sb_merge_visit(r->merge, &entry);
    }
    if (sb_layer_walk(store, layer, visit, r, err) < 0)
        return -1;
    enter_waiting(r, first, false);
    enter_waiting(r, first, true);
    return r->again_count ? sb_layer_walk(store, layer, visit_again, r, err) : 0;
}

static int write_implied(void *self, const char *path, size_t layer, struct sb_error *err) {
    struct rootfs *r = self;
    (void)layer;
    const struct sb_entry entry = {.path = path, .mode = S_IFDIR | 0755};
    return sb_archive_entry(r->archive, &entry, err);
}

int sb_rootfs_write(struct sb_store *store, const struct sb_image *image,
                    struct sb_archive *archive, struct sb_error *err) {
    __attribute__((cleanup(rootfs_free))) struct rootfs r = {
        .archive = archive,
        .merge = sb_merge_new(),
    };
    for (size_t i = image->layer_count; i-- > 0;)
        if (write_layer(&r, store, &image->layers[i].layer, err) < 0)
            return -1;
    if (sb_merge_implied(r.merge, write_implied, &r, err) < 0)
        return -1;
    for (size_t i = 0; r.lower_count > 0 && i < r.link_count; i++) {
        uint64_t *first = sb_map_find(&r.lower, r.links[i].target);
        if (first && *first)
            return sb_fail(err, SB_E_INTEGRITY, "the hard link %s leads to %s, which no layer has",
                           r.links[i].path, r.links[i].target);
    }
    return 0;
}
