/*
 * The layers pass by once, from the top one down (layers/merge.h). What that leaves to be solved is
 * hard links. A link is to the content that its target has at that point of the layer: a later
 * entry may replace the target, and a layer above hide it, while the link is seen. So contents are
 * numbered, in the order of the layer, and at the layer's end, for each link that is seen:
 *
 *   - its content was written: an ordinary link;
 *   - it was not: the layer is walked once more, and the content written under the name of the
 *     first link that is seen;
 *   - the target is not in this layer (some builders do so): the link waits for a lower layer to
 *     have it.
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
    char *path, *target; /* target: of those that wait for a lower layer, else NULL */
    uint64_t place;
    size_t next; /* that waits for the same: its index + 1, or 0 */
};

/* What an entry of the layer at hand has, but directories and links. */
struct content {
    size_t name; /* the path that it has or had, an index in names, + 1; once a link leads to it */
    size_t waiting; /* the first link that waits for the second walk, + 1 */
    bool written;   /* under that path, and nothing else after it */
};

struct rootfs {
    struct sb_archive *archive;
    struct sb_merge *merge;
    struct sb_contents *contents; /* of the layer at hand: what is left of it at its end */
    uint64_t names_total;
    /* Of the layer at hand: for each path that a link may lead to, what is there by now: the index
     * of a content, + 1; or LOWER, and the index in names of what a lower layer has to have. */
    struct sb_map places;
    struct content *list;
    size_t list_count, list_cap;
    struct sb_strings names;
    struct sb_strings wanted; /* paths of it that links of higher layers wait for */
    size_t again;             /* contents that wait for the second walk */
    size_t index;             /* in that: of the next content */
    struct sb_map lower;      /* target → first link of higher layers that waits for it, + 1 */
    size_t lower_count;
    struct waiting *links;
    size_t link_count, link_cap;
};

#define LOWER (1ull << 63)

static void layer_free(struct rootfs *r) {
    if (r->contents)
        sb_contents_close(sb_steal(r->contents));
    sb_map_free(&r->places);
    sb_strings_free(&r->names);
    sb_strings_free(&r->wanted);
    free(sb_steal(r->list));
    r->list_count = r->list_cap = r->again = r->index = 0;
}

static void rootfs_free(struct rootfs *r) {
    sb_merge_free(r->merge);
    layer_free(r);
    sb_map_free(&r->lower);
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
    if (!strcmp(path, target))
        return 0;
    entry.path = path;
    entry.link = target;
    entry.hard_link = true;
    entry.size = 0;
    entry.xattrs = NULL;
    entry.xattr_count = 0;
    return sb_archive_entry(r->archive, &entry, err);
}

/* ---- the first walk through a layer ---- */

static bool names_path(const struct rootfs *r, const struct content *content, const char *path) {
    return content->name == 0 || !strcmp(r->names.v[content->name - 1], path);
}

/* Another content at path; written: into the archive. */
static void note_content(struct rootfs *r, const char *path, bool written) {
    uint64_t *place = sb_map_put(&r->places, path);
    if (*place && !(*place & LOWER)) {
        struct content *before = &r->list[*place - 1];
        before->written = before->written && !(written && names_path(r, before, path));
    }
    SB_GROW(r->list, r->list_count, r->list_cap);
    r->list[r->list_count++] = (struct content){.written = written};
    *place = r->list_count;
}

/* The link at path has what is at target by now. */
static uint64_t note_link(struct rootfs *r, const char *path, const char *target) {
    const uint64_t *there = sb_map_find(&r->places, target);
    uint64_t place = there ? *there : 0;
    struct content *content = place && !(place & LOWER) ? &r->list[place - 1] : NULL;
    if (!place || (content && !content->name))
        sb_strings_add(&r->names, target);
    if (!place)
        place = LOWER | (r->names.n - 1);
    else if (content && !content->name)
        content->name = r->names.n;
    *sb_map_put(&r->places, path) = place;
    return place;
}

/* Whether the layer has it in the end, as far as can be told before the end. */
static bool may_stay(const struct rootfs *r, const struct sb_entry *entry) {
    struct sb_entry last;
    if (!sb_contents_find(r->contents, entry->path, &last))
        return false;
    if (entry->hard_link) /* or it has its content to itself by then */
        return last.hard_link || !S_ISDIR(last.mode);
    return !last.hard_link && (last.mode & S_IFMT) == (entry->mode & S_IFMT);
}

static int visit_link(struct rootfs *r, const struct sb_entry *entry, bool seen) {
    uint64_t place = note_link(r, entry->path, entry->link);
    if (!seen)
        return 0;
    SB_GROW(r->links, r->link_count, r->link_cap);
    r->links[r->link_count++] = (struct waiting){.path = sb_strdup(entry->path), .place = place};
    return 0;
}

static int visit(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                 struct sb_error *err) {
    struct rootfs *r = self;
    bool directory = S_ISDIR(entry->mode) && !entry->hard_link;
    if (sb_whiteout_check(entry->path, err) < 0)
        return -1;
    if (sb_whiteout_device(entry))
        return 0;
    struct sb_entry named = *entry;
    named.xattr_count = 0; /* these aren't kept */
    if (sb_names_count(&r->names_total, &named, "the image", err) < 0)
        return -1;
    bool whiteout = sb_whiteout_kind(entry->path) != SB_WHITEOUT_NO;
    bool stays = whiteout || may_stay(r, entry);
    bool seen = stays && sb_merge_visit(r->merge, entry);
    if (sb_merge_check(r->merge, err) < 0)
        return sb_error_context(err, "%s", entry->path);
    if (whiteout)
        return 0;
    if (r->lower_count > 0 && sb_map_find(&r->lower, entry->path))
        sb_strings_add(&r->wanted, entry->path);
    if (entry->hard_link)
        return visit_link(r, entry, seen);
    if (!directory)
        note_content(r, entry->path, seen);
    else if (sb_map_find(&r->places, entry->path))
        *sb_map_put(&r->places, entry->path) = 0;
    return seen ? write_entry(r, entry, data, err) : 0;
}

/* ---- its end: links ---- */

static void wait_for_lower(struct rootfs *r, size_t index) {
    struct waiting *link = &r->links[index];
    free(link->target);
    link->target = sb_strdup(r->names.v[link->place & ~LOWER]);
    uint64_t *first = sb_map_put(&r->lower, link->target);
    link->next = (size_t)*first;
    *first = index + 1;
    r->lower_count++;
}

/* like: what this layer's table has for the link, or for what it led to. */
static int settle(struct rootfs *r, size_t index, const struct sb_entry *like,
                  struct sb_error *err) {
    struct waiting *link = &r->links[index];
    if (link->place & LOWER) {
        wait_for_lower(r, index);
        return 0;
    }
    struct content *content = &r->list[link->place - 1];
    if (content->written && content->name)
        return write_link(r, like, link->path, r->names.v[content->name - 1], err);
    r->again += content->waiting == 0;
    link->next = content->waiting;
    content->waiting = index + 1;
    return 0;
}

/* first: of the links that this layer has itself. */
static int settle_links(struct rootfs *r, size_t first, struct sb_error *err) {
    struct sb_entry like;
    for (size_t i = first; i < r->link_count; i++) {
        const struct waiting *link = &r->links[i];
        const uint64_t *place = sb_map_find(&r->places, link->path);
        bool stays = place && *place == link->place;
        if (stays && sb_contents_find(r->contents, link->path, &like) &&
            settle(r, i, &like, err) < 0)
            return -1;
    }
    return 0;
}

/* The links of higher layers that wait for target, one after the other. */
static int settle_for(struct rootfs *r, const char *target, size_t next, uint64_t place,
                      const struct sb_entry *like, struct sb_error *err) {
    if (!(place & LOWER) && !r->list[place - 1].name) {
        sb_strings_add(&r->names, target);
        r->list[place - 1].name = r->names.n;
    }
    while (next) {
        size_t index = next - 1;
        next = r->links[index].next;
        r->links[index].place = place;
        r->lower_count--;
        if (settle(r, index, like, err) < 0)
            return -1;
    }
    return 0;
}

static int settle_wanted(struct rootfs *r, struct sb_error *err) {
    for (size_t i = 0; i < r->wanted.n; i++) {
        const char *target = r->wanted.v[i];
        uint64_t *first = sb_map_find(&r->lower, target);
        const uint64_t *place = sb_map_find(&r->places, target);
        struct sb_entry like;
        if (!*first || !place || !*place || !sb_contents_find(r->contents, target, &like))
            continue;
        size_t next = (size_t)*first;
        *first = 0;
        if (settle_for(r, target, next, *place, &like, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- the second walk, for content that links turned out to need ---- */

/* Writes it under the name of a link that waits for it, and the other links to that one. */
static int visit_again(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                       struct sb_error *err) {
    struct rootfs *r = self;
    if (S_ISDIR(entry->mode) || entry->hard_link || sb_whiteout_device(entry) ||
        sb_whiteout_kind(entry->path) != SB_WHITEOUT_NO)
        return 0;
    size_t waiting = r->list[r->index++].waiting;
    if (!waiting)
        return 0;
    struct sb_entry copy = *entry;
    copy.path = r->links[waiting - 1].path;
    if (write_entry(r, &copy, data, err) < 0)
        return -1;
    for (size_t i = r->links[waiting - 1].next; i; i = r->links[i - 1].next)
        if (write_link(r, entry, r->links[i - 1].path, copy.path, err) < 0)
            return -1;
    return 0;
}

static int write_layer(struct rootfs *r, struct sb_store *store, const struct sb_layer *layer,
                       struct sb_error *err) {
    sb_merge_lower(r->merge);
    layer_free(r);
    size_t first = r->link_count;
    if (sb_layer_contents(store, layer, &r->contents, err) < 0)
        return -1;
    for (size_t i = 0; i < sb_contents_count(r->contents); i++) {
        struct sb_entry entry; /* not all of these marks are in the blob */
        sb_contents_get(r->contents, i, &entry);
        if (sb_whiteout_kind(entry.path) == SB_WHITEOUT_HIDES_BELOW)
            sb_merge_visit(r->merge, &entry);
    }
    if (sb_layer_walk(store, layer, visit, r, err) < 0 || settle_wanted(r, err) < 0 ||
        settle_links(r, first, err) < 0)
        return -1;
    return r->again ? sb_layer_walk(store, layer, visit_again, r, err) : 0;
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
        const char *target = r.links[i].target; /* NULL: it never had to wait */
        const uint64_t *first = target ? sb_map_find(&r.lower, target) : NULL;
        if (first && *first)
            return sb_fail(err, SB_E_INTEGRITY, "the hard link %s leads to %s, which no layer has",
                           r.links[i].path, target);
    }
    return 0;
}
