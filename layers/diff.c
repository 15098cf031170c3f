#include "layers/diff.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/process.h"
#include "layers/contents.h"
#include "layers/view.h"
#include "layers/walk.h"

/* Small, as there are as many as both images together have files. */
struct pair {
    uint32_t index[2]; /* in the views; of a pair that is none, one is unused */
    uint32_t reading;  /* its number, + 1; 0: all is known */
    uint16_t kind, what;
};

/* A pair whose files have to be read. */
struct half {
    uint32_t next;  /* other half that needs the same file of the same layer, + 1 */
    uint16_t layer; /* where it, or what the hard link leads to, is */
    bool need_xattrs : 1;
    bool read : 1; /* xattrs, and content if needed, are known */
    bool has_xattrs : 1;
};
struct reading {
    uint32_t pair;
    bool need_content, other_content, other_xattrs;
    struct half half[2];              /* before, after */
    struct sb_digest content, xattrs; /* of the half that was read first */
};

struct diff {
    struct sb_store *store;
    const struct sb_image *image[2];
    struct sb_view *view[2];
    size_t common; /* layers that both have, from the bottom */
    struct pair *v;
    size_t n, cap;
    struct reading *readings;
    size_t reading_count, reading_cap;
};

static void diff_free(struct diff *d) {
    sb_view_close(d->view[0]);
    sb_view_close(d->view[1]);
    free(d->v);
    free(d->readings);
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

static void add_reading(struct diff *d, struct pair *pair, const size_t layers[2], bool content) {
    struct reading reading = {.pair = (uint32_t)d->n, .need_content = content};
    for (int side = 0; side < 2; side++) {
        reading.half[side].layer = (uint16_t)layers[side];
        reading.half[side].need_xattrs = layers[side] >= d->common;
    }
    SB_GROW(d->readings, d->reading_count, d->reading_cap);
    d->readings[d->reading_count++] = reading;
    pair->reading = (uint32_t)d->reading_count;
}

static void add_pair(struct diff *d, size_t before, size_t after) {
    struct sb_entry a, b;
    size_t layers[2];
    file_of(d, 0, before, &a, &layers[0]);
    file_of(d, 1, after, &b, &layers[1]);
    /* The very same file of the very same layer. */
    if (!strcmp(a.path, b.path) &&
        sb_digest_equal(&layer_of(d, 0, layers[0])->diff_id, &layer_of(d, 1, layers[1])->diff_id))
        return;
    struct pair pair = {.index = {(uint32_t)before, (uint32_t)after},
                        .kind = SB_CHANGE_CHANGED,
                        .what = (uint16_t)compare_entries(&a, &b)};
    if (!(pair.what & SB_CHANGE_TYPE))
        add_reading(d, &pair, layers, S_ISREG(a.mode) && a.size == b.size && a.size > 0);
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
    pair.index[side] = (uint32_t)index;
    SB_GROW(d->v, d->n, d->cap);
    d->v[d->n++] = pair;
}

static int find_pairs(struct diff *d, struct sb_error *err) {
    size_t a = 0, b = 0, layer, na = sb_view_count(d->view[0]), nb = sb_view_count(d->view[1]);
    while (a < na || b < nb) {
        struct sb_entry before = {0}, after = {0};
        if (sb_interrupt_check(err) < 0)
            return -1;
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
    return 0;
}

/* ---- reading what tables of contents do not say ---- */

/* The halves that need something of one layer. */
struct wanted {
    struct diff *d;
    const struct sb_contents *contents;
    uint32_t *first; /* for each entry of contents: a half's number, + 1; the first of a list */
    size_t n;
};

static struct half *half_at(struct diff *d, size_t number) {
    return &d->readings[(number - 1) / 2].half[(number - 1) % 2];
}

/* NULL: the layer has no such path. */
static uint32_t *wanted_at(const struct wanted *wanted, const char *path) {
    struct sb_entry entry;
    size_t at = sb_contents_seek(wanted->contents, path);
    if (at == sb_contents_count(wanted->contents))
        return NULL;
    sb_contents_get(wanted->contents, at, &entry);
    return strcmp(entry.path, path) == 0 ? &wanted->first[at] : NULL;
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

static void note(struct reading *reading, struct half *half, const struct sb_digest *content,
                 const struct sb_digest *xattrs) {
    const struct half *other = &reading->half[half == &reading->half[0]];
    if (!other->read) {
        reading->content = *content;
        reading->xattrs = *xattrs;
        return;
    }
    reading->other_content = !sb_digest_equal(&reading->content, content);
    reading->other_xattrs = !sb_digest_equal(&reading->xattrs, xattrs);
}

static int read_entry(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                      struct sb_error *err) {
    struct wanted *w = self;
    const uint32_t *first = wanted_at(w, entry->path);
    if (!first || !*first || entry->hard_link)
        return 0;
    struct sb_digest content = {{0}}, xattrs = digest_xattrs(entry);
    bool need_content = false;
    for (size_t i = *first; i; i = half_at(w->d, i)->next)
        need_content = need_content || w->d->readings[(i - 1) / 2].need_content;
    if (need_content && digest_content(data, &content, err) < 0)
        return -1;
    for (size_t i = *first; i; i = half_at(w->d, i)->next) {
        struct half *half = half_at(w->d, i);
        note(&w->d->readings[(i - 1) / 2], half, &content, &xattrs);
        half->read = true;
        half->has_xattrs = entry->xattr_count > 0;
    }
    return 0;
}

/* Lists the halves that need something of this layer. */
static void find_wanted(struct wanted *w, const struct sb_layer *layer) {
    struct diff *d = w->d;
    for (size_t i = 0; i < d->reading_count; i++) {
        struct reading *reading = &d->readings[i];
        for (int side = 0; side < 2; side++) {
            struct half *half = &reading->half[side];
            struct sb_entry entry;
            size_t found;
            if (half->read || !(reading->need_content || half->need_xattrs) ||
                !sb_digest_equal(&layer_of(d, side, half->layer)->diff_id, &layer->diff_id))
                continue;
            file_of(d, side, d->v[reading->pair].index[side], &entry, &found);
            uint32_t *first = wanted_at(w, entry.path);
            if (!first)
                continue;
            half->next = *first;
            *first = (uint32_t)(2 * i + (size_t)side + 1);
            w->n++;
        }
    }
}

/* Reads, from one layer, all that either image needs of it. */
static int read_layer(struct diff *d, int side, size_t index, struct sb_error *err) {
    const struct sb_layer *layer = layer_of(d, side, index);
    struct wanted wanted = {.d = d, .contents = sb_view_contents(d->view[side], index)};
    sb_autofree uint32_t *first =
        sb_alloc((sb_contents_count(wanted.contents) + 1) * sizeof *wanted.first);
    wanted.first = first;
    find_wanted(&wanted, layer);
    return wanted.n == 0 ? 0 : sb_layer_walk(d->store, layer, read_entry, &wanted, err);
}

static int read_layers(struct diff *d, struct sb_error *err) {
    for (int side = 0; side < 2; side++)
        for (size_t i = side ? d->common : 0; i < d->image[side]->layer_count; i++)
            if (read_layer(d, side, i, err) < 0)
                return -1;
    return 0;
}

/* A shared layer is read for extended attributes only if the other file has some. */
static void want_shared_xattrs(struct diff *d) {
    for (size_t i = 0; i < d->reading_count; i++) {
        struct half *half = d->readings[i].half;
        for (int side = 0; side < 2; side++)
            if (!half[side].read && half[!side].read && half[!side].has_xattrs)
                half[side].need_xattrs = true;
    }
}

/* ---- telling ---- */

static unsigned conclude(const struct diff *d, const struct pair *pair) {
    if (!pair->reading)
        return pair->what;
    const struct reading *reading = &d->readings[pair->reading - 1];
    unsigned content = reading->need_content && reading->other_content ? SB_CHANGE_CONTENT : 0;
    return pair->what | content | (reading->other_xattrs ? SB_CHANGE_XATTRS : 0);
}

static int tell(struct diff *d, const struct pair *pair, sb_change_visit *visit, void *self,
                struct sb_error *err) {
    struct sb_change change = {.kind = pair->kind, .what = conclude(d, pair)};
    struct sb_entry named;
    size_t layer;
    int side = pair->kind == SB_CHANGE_REMOVED ? 0 : 1;
    if (pair->kind == SB_CHANGE_CHANGED && change.what == 0)
        return 0;
    sb_view_get(d->view[side], pair->index[side], &named, &layer);
    change.path = named.path;
    if (pair->kind != SB_CHANGE_ADDED)
        file_of(d, 0, pair->index[0], &change.before, &layer);
    if (pair->kind != SB_CHANGE_REMOVED)
        file_of(d, 1, pair->index[1], &change.after, &layer);
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
    if (find_pairs(&d, err) < 0 || read_layers(&d, err) < 0)
        return -1;
    want_shared_xattrs(&d);
    if (read_layers(&d, err) < 0)
        return -1;
    for (size_t i = 0; i < d.n; i++)
        if (tell(&d, &d.v[i], visit, self, err) < 0)
            return -1;
    return 0;
}
