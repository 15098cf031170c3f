#include "layers/diff.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/unpack.h"
#include "layers/view.h"

/* One of the two files of a pair. */
struct half {
    size_t index; /* in the view */
    size_t layer; /* where it, or what the hard link leads to, is */
    size_t next;  /* other pair that needs the same file of the same layer, + 1 */
    bool need_content, need_xattrs;
    bool read; /* xattrs, and content if needed, are known */
    bool has_xattrs;
    struct sb_digest content, xattrs;
};

struct pair {
    enum sb_change_kind kind;
    unsigned what;
    struct half half[2]; /* before, after; of a pair that is none, one is unused */
};

struct diff {
    struct sb_store *store;
    const struct sb_image *image[2];
    struct sb_view *view[2];
    size_t common; /* layers that both have, from the bottom */
    struct pair *v;
    size_t n, cap;
};

static void diff_free(struct diff *d) {
    sb_view_close(d->view[0]);
    sb_view_close(d->view[1]);
    free(d->v);
}

static const struct sb_layer *layer_of(const struct diff *d, int side, size_t layer) {
    return &d->image[side]->layers[layer].layer;
}

/* The file itself, hard links followed; its path is that of the content. */
static void file_of(const struct diff *d, int side, size_t index, struct sb_entry *out,
                    size_t *out_layer) {
    sb_view_get(d->view[side], index, out, out_layer);
    struct sb_entry target = *out;
    if (sb_view_resolve(d->view[side], &target, out_layer))
        *out = target;
}

/* ---- finding pairs ---- */

static unsigned compare_entries(const struct sb_entry *a, const struct sb_entry *b) {
    unsigned what = 0;
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
        what |= SB_CHANGE_TYPE;
    if (!S_ISLNK(b->mode) && (a->mode & 07777) != (b->mode & 07777))
        what |= SB_CHANGE_MODE;
    if (a->uid != b->uid || a->gid != b->gid)
        what |= SB_CHANGE_OWNER;
    if (what & SB_CHANGE_TYPE)
        return what;
    if (S_ISREG(a->mode) && a->size != b->size)
        what |= SB_CHANGE_SIZE | SB_CHANGE_CONTENT;
    if (S_ISLNK(a->mode) && strcmp(a->link, b->link) != 0)
        what |= SB_CHANGE_LINK;
    if ((S_ISCHR(a->mode) || S_ISBLK(a->mode)) &&
        (a->device_major != b->device_major || a->device_minor != b->device_minor))
        what |= SB_CHANGE_DEVICE;
    return what;
}

static void add_pair(struct diff *d, size_t before, size_t after) {
    struct sb_entry a, b;
    struct pair pair = {.kind = SB_CHANGE_CHANGED};
    file_of(d, 0, before, &a, &pair.half[0].layer);
    file_of(d, 1, after, &b, &pair.half[1].layer);
    /* The very same file of the very same layer. */
    if (!strcmp(a.path, b.path) && sb_digest_equal(&layer_of(d, 0, pair.half[0].layer)->diff_id,
                                                   &layer_of(d, 1, pair.half[1].layer)->diff_id))
        return;
    pair.what = compare_entries(&a, &b);
    bool content = S_ISREG(a.mode) && S_ISREG(b.mode) && a.size == b.size && a.size > 0;
    size_t index[2] = {before, after};
    for (int side = 0; side < 2; side++) {
        struct half *half = &pair.half[side];
        half->index = index[side];
        half->need_content = content;
        half->need_xattrs = half->layer >= d->common && !(pair.what & SB_CHANGE_TYPE);
    }
    SB_GROW(d->v, d->n, d->cap);
    d->v[d->n++] = pair;
}

/* A directory that the other image has too, though no layer of it says so. */
static bool is_implied(const struct sb_view *other, const struct sb_entry *entry) {
    if (!S_ISDIR(entry->mode) || entry->hard_link)
        return false;
    sb_autofree char *below = sb_format("%s/", entry->path);
    size_t at = sb_view_seek(other, below), layer;
    struct sb_entry found;
    if (at == sb_view_count(other))
        return false;
    sb_view_get(other, at, &found, &layer);
    return !strncmp(found.path, below, strlen(below));
}

static void add_single(struct diff *d, int side, size_t index, const struct sb_entry *entry) {
    if (is_implied(d->view[!side], entry))
        return;
    struct pair pair = {.kind = side ? SB_CHANGE_ADDED : SB_CHANGE_REMOVED};
    pair.half[side].index = index;
    SB_GROW(d->v, d->n, d->cap);
    d->v[d->n++] = pair;
}

static void find_pairs(struct diff *d) {
    size_t a = 0, b = 0, layer, na = sb_view_count(d->view[0]), nb = sb_view_count(d->view[1]);
    while (a < na || b < nb) {
        struct sb_entry before = {0}, after = {0};
        if (a < na)
            sb_view_get(d->view[0], a, &before, &layer);
        if (b < nb)
            sb_view_get(d->view[1], b, &after, &layer);
        int order = a == na ? 1 : b == nb ? -1 : strcmp(before.path, after.path);
        if (order == 0)
            add_pair(d, a++, b++);
        else if (order < 0)
            add_single(d, 0, a++, &before);
        else
            add_single(d, 1, b++, &after);
    }
}

/* ---- reading what tables of contents do not say ---- */

struct reading {
    struct diff *d;
    struct sb_map wanted; /* path → pair * 2 + side, + 1: the first of a list */
};

static struct half *half_at(struct diff *d, size_t number) {
    return &d->v[(number - 1) / 2].half[(number - 1) % 2];
}

static struct sb_digest digest_xattrs(const struct sb_entry *entry) {
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct sb_xattr *x = &entry->xattrs[i];
        uint64_t len = x->value_len;
        sb_sha256_add(&sha, x->name, strlen(x->name) + 1);
        sb_sha256_add(&sha, &len, sizeof len);
        sb_sha256_add(&sha, x->value, x->value_len);
    }
    return sb_sha256_finish(&sha);
}

/* Holes count as the zeros that they read as. */
static int digest_content(struct sb_entry_data *data, struct sb_digest *out, struct sb_error *err) {
    static const char zeros[16384];
    struct sb_sha256 sha;
    uint64_t at = 0;
    sb_sha256_start(&sha);
    for (;;) {
        const void *p;
        size_t len;
        uint64_t offset;
        if (sb_entry_data_next(data, &p, &len, &offset, err) < 0)
            return -1;
        while (at < offset) {
            if (sb_interrupt_check(err) < 0)
                return -1;
            size_t n = offset - at < sizeof zeros ? (size_t)(offset - at) : sizeof zeros;
            sb_sha256_add(&sha, zeros, n);
            at += n;
        }
        sb_sha256_add(&sha, p, len);
        at += len;
        if (len == 0)
            break;
    }
    *out = sb_sha256_finish(&sha);
    return 0;
}

static int read_entry(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                      struct sb_error *err) {
    struct reading *r = self;
    const uint64_t *first = sb_map_find(&r->wanted, entry->path);
    if (!first || entry->hard_link)
        return 0;
    struct sb_digest content = {{0}}, xattrs = digest_xattrs(entry);
    bool need_content = false;
    for (size_t i = *first; i; i = half_at(r->d, i)->next)
        need_content = need_content || half_at(r->d, i)->need_content;
    if (need_content && digest_content(data, &content, err) < 0)
        return -1;
    for (size_t i = *first; i; i = half_at(r->d, i)->next) {
        struct half *half = half_at(r->d, i);
        half->read = true;
        half->content = content;
        half->xattrs = xattrs;
        half->has_xattrs = entry->xattr_count > 0;
    }
    return 0;
}

static bool is_wanted(const struct half *half) {
    return (half->need_content || half->need_xattrs) && !half->read;
}

/* Reads, from one layer, all that either image needs of it. */
static int read_layer(struct diff *d, const struct sb_layer *layer, struct sb_error *err) {
    __attribute__((cleanup(sb_map_free))) struct sb_map wanted = {0};
    for (size_t i = 0; i < d->n; i++) {
        for (int side = 0; side < 2 && d->v[i].kind == SB_CHANGE_CHANGED; side++) {
            struct half *half = &d->v[i].half[side];
            struct sb_entry entry;
            size_t found;
            if (!is_wanted(half) ||
                !sb_digest_equal(&layer_of(d, side, half->layer)->diff_id, &layer->diff_id))
                continue;
            file_of(d, side, half->index, &entry, &found);
            uint64_t *first = sb_map_put(&wanted, entry.path);
            half->next = (size_t)*first;
            *first = 2 * i + (size_t)side + 1;
        }
    }
    if (wanted.n == 0)
        return 0;
    struct reading reading = {.d = d, .wanted = wanted};
    return sb_layer_walk(d->store, layer, read_entry, &reading, err);
}

static int read_layers(struct diff *d, struct sb_error *err) {
    for (int side = 0; side < 2; side++)
        for (size_t i = side ? d->common : 0; i < d->image[side]->layer_count; i++)
            if (read_layer(d, layer_of(d, side, i), err) < 0)
                return -1;
    return 0;
}

/* A shared layer is read for extended attributes only if the other file has some. */
static void want_shared_xattrs(struct diff *d) {
    for (size_t i = 0; i < d->n; i++) {
        struct pair *pair = &d->v[i];
        for (int side = 0; side < 2 && pair->kind == SB_CHANGE_CHANGED; side++)
            if (!pair->half[side].read && pair->half[!side].read && pair->half[!side].has_xattrs)
                pair->half[side].need_xattrs = true;
    }
}

/* ---- telling ---- */

static void conclude(struct pair *pair) {
    const struct half *a = &pair->half[0], *b = &pair->half[1];
    if (!a->read || !b->read)
        return;
    if (a->need_content && !sb_digest_equal(&a->content, &b->content))
        pair->what |= SB_CHANGE_CONTENT;
    if (!(pair->what & SB_CHANGE_TYPE) && !sb_digest_equal(&a->xattrs, &b->xattrs))
        pair->what |= SB_CHANGE_XATTRS;
}

static int tell(struct diff *d, struct pair *pair, sb_change_visit *visit, void *self,
                struct sb_error *err) {
    struct sb_change change = {.kind = pair->kind};
    struct sb_entry named;
    size_t layer;
    int side = pair->kind == SB_CHANGE_REMOVED ? 0 : 1;
    if (pair->kind == SB_CHANGE_CHANGED) {
        conclude(pair);
        if (pair->what == 0)
            return 0;
    }
    sb_view_get(d->view[side], pair->half[side].index, &named, &layer);
    change.path = named.path;
    change.what = pair->what;
    if (pair->kind != SB_CHANGE_ADDED)
        file_of(d, 0, pair->half[0].index, &change.before, &layer);
    if (pair->kind != SB_CHANGE_REMOVED)
        file_of(d, 1, pair->half[1].index, &change.after, &layer);
    return visit(self, &change, err);
}

int sb_image_diff(struct sb_store *store, const struct sb_image *before,
                  const struct sb_image *after, sb_change_visit *visit, void *self,
                  struct sb_error *err) {
    __attribute__((cleanup(diff_free))) struct diff d = {.store = store, .image = {before, after}};
    while (
        d.common < before->layer_count && d.common < after->layer_count &&
        sb_digest_equal(&layer_of(&d, 0, d.common)->diff_id, &layer_of(&d, 1, d.common)->diff_id))
        d.common++;
    if (d.common == before->layer_count && d.common == after->layer_count)
        return 0;
    if (sb_view_open(store, before, &d.view[0], err) < 0 ||
        sb_view_open(store, after, &d.view[1], err) < 0)
        return -1;
    find_pairs(&d);
    if (read_layers(&d, err) < 0)
        return -1;
    want_shared_xattrs(&d);
    if (read_layers(&d, err) < 0)
        return -1;
    for (size_t i = 0; i < d.n; i++)
        if (tell(&d, &d.v[i], visit, self, err) < 0)
            return -1;
    return 0;
}
