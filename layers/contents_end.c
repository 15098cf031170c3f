/*
 * What is left of a layer's entries at its end, where later ones replaced earlier ones.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "layers/contents_private.h"
#include "layers/whiteout.h"

static int compare_items(const void *a, const void *b, void *strings) {
    const struct sb_contents_item *x = a, *y = b;
    const char *base = strings;
    int order = strcmp(base + x->record.path, base + y->record.path);
    return order ? order : x->number < y->number ? -1 : 1;
}

static void sort_items(struct sb_contents_writer *writer) {
    if (writer->count > 1)
        qsort_r(writer->items, writer->count, sizeof *writer->items, compare_items,
                writer->strings.data);
}

static bool is_hard_link(const struct sb_record *r) {
    return r->nanoseconds & HARD_LINK;
}

/* All but the last of the entries of one path. */
static void drop_earlier(struct sb_contents_writer *writer) {
    const char *base = writer->strings.data;
    size_t kept = 0;
    for (size_t i = 0; i < writer->count; i++) {
        const struct sb_contents_item *next = i + 1 < writer->count ? &writer->items[i + 1] : NULL;
        if (!next || strcmp(base + writer->items[i].record.path, base + next->record.path) != 0)
            writer->items[kept++] = writer->items[i];
    }
    writer->count = kept;
}

static bool is_directory(const struct sb_record *r) {
    return S_ISDIR(r->mode) && !(r->nanoseconds & HARD_LINK);
}

/* Of a path, while it was no directory: from one entry until the next of the same path. */
struct span {
    const char *path;
    size_t from, until;
};

/* Those whose paths the one at hand begins with, the shortest first. */
struct spans {
    struct span v[64];
    size_t n;
};

static void leave_spans(struct spans *spans, const char *path) {
    while (spans->n > 0) {
        const char *above = spans->v[spans->n - 1].path;
        if (!strncmp(path, above, strlen(above)))
            break;
        spans->n--;
    }
}

/* What is below a file or a symlink was there before that took the directory's place, and went with
 * it: 1. Or it came while the file was there, and can't be: -1. */
static int look_above(const struct spans *spans, const char *path, size_t number,
                      struct sb_error *err) {
    int replaced = 0;
    for (size_t i = 0; i < spans->n; i++) {
        const struct span *above = &spans->v[i];
        if (path[strlen(above->path)] != '/')
            continue;
        if (number > above->from && number < above->until)
            return sb_fail(err, SB_E_INTEGRITY, "%s: %s is not a directory", path, above->path);
        replaced |= number < above->from;
    }
    return replaced;
}

/* A directory that was something else before in the same layer hides what layers below have there,
 * as that did. */
static void hide_below(struct sb_contents_writer *writer, const struct sb_strings *directories) {
    for (size_t i = 0; i < directories->n; i++) {
        sb_autofree char *mark = sb_format("%s/" SB_WHITEOUT_OPAQUE, directories->v[i]);
        sb_contents_add(writer, &(struct sb_entry){.path = mark, .mode = S_IFREG});
    }
    if (directories->n == 0)
        return;
    sort_items(writer);
    drop_earlier(writer);
}

/* ---- which entries stay ---- */

/* What is known of an entry; others are named by their index + 1, or 0. */
struct note {
    size_t other; /* the last of its path that is no directory, up to itself */
    size_t ends;  /* of a hard link: the one that has its content; none in this layer: 0 */
    size_t heir;  /* of one whose path has something else by the end: a link, which has its content
                     then */
    bool stays;
};

struct end {
    struct sb_contents_writer *writer;
    struct note *notes;
    struct sb_strings opaque;
};

static const char *path_at(const struct sb_contents_writer *writer, size_t at) {
    return writer->strings.data + writer->items[at].record.path;
}

/* Of the entries of one path the last, and of those below what was replaced none. All that begins
 * with a file's path follows it. */
static int find_replaced(struct end *end, struct sb_error *err) {
    const struct sb_contents_writer *writer = end->writer;
    struct spans spans = {0};
    for (size_t i = 0; i < writer->count; i++) {
        const struct sb_contents_item *item = &writer->items[i];
        const struct sb_contents_item *next = i + 1 < writer->count ? item + 1 : NULL;
        const char *path = path_at(writer, i);
        bool last = !next || strcmp(path, path_at(writer, i + 1)) != 0;
        bool directory = is_directory(&item->record);
        leave_spans(&spans, path);
        int replaced = look_above(&spans, path, item->number, err);
        if (replaced < 0)
            return -1;
        bool was_other = spans.n > 0 && !strcmp(spans.v[spans.n - 1].path, path);
        bool first = i == 0 || strcmp(path, path_at(writer, i - 1)) != 0;
        end->notes[i].other = !directory ? i + 1 : first ? 0 : end->notes[i - 1].other;
        if (!directory && spans.n < sizeof spans.v / sizeof *spans.v)
            spans.v[spans.n++] = (struct span){path, item->number, last ? SIZE_MAX : next->number};
        end->notes[i].stays = last && !replaced;
        if (end->notes[i].stays && directory && was_other)
            sb_strings_add(&end->opaque, path);
    }
    return 0;
}

/* ---- hard links ---- */

static int compare_path(const struct sb_contents_writer *writer, size_t at, const char *path,
                        size_t len) {
    const char *have = path_at(writer, at);
    int order = strncmp(have, path, len);
    return order ? order : have[len] != '\0';
}

/* The last entry of the path's first len bytes of those before that number: its index + 1, or 0. */
static size_t find_before(const struct sb_contents_writer *writer, const char *path, size_t len,
                          size_t number) {
    size_t low = 0, high = writer->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_path(writer, middle, path, len);
        if (order < 0 || (order == 0 && writer->items[middle].number < number))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && compare_path(writer, low - 1, path, len) == 0 ? low : 0;
}

/* Whether a file took the place of a directory above target, after its entry. */
static bool is_gone(const struct end *end, const char *target, size_t since, size_t number) {
    for (const char *p = strchr(target, '/'); p; p = strchr(p + 1, '/')) {
        size_t above = find_before(end->writer, target, (size_t)(p - target), number);
        size_t other = above ? end->notes[above - 1].other : 0;
        if (other && end->writer->items[other - 1].number > since)
            return true;
    }
    return false;
}

/* A link is to the content that its target has at that point, which a later entry may replace. */
static int find_end(struct end *end, size_t at, struct sb_error *err) {
    struct sb_contents_writer *writer = end->writer;
    struct sb_contents_item *item = &writer->items[at];
    const char *target = writer->strings.data + item->record.link;
    size_t found = find_before(writer, target, strlen(target), item->number);
    if (!found)
        return 0;
    const struct sb_contents_item *there = &writer->items[found - 1];
    const char *path = path_at(writer, at);
    size_t len = strlen(path);
    bool below = !strncmp(target, path, len) && target[len] == '/'; /* goes as the link comes */
    bool whiteout = sb_whiteout_kind(target) != SB_WHITEOUT_NO;
    if (below || whiteout || is_directory(&there->record) ||
        is_gone(end, target, there->number, item->number))
        return sb_fail(err, SB_E_INTEGRITY,
                       "the hard link %s leads to %s, which is no file of the same layer", path,
                       target);
    end->notes[at].ends = found;
    if (is_hard_link(&there->record)) {
        end->notes[at].ends = end->notes[found - 1].ends;
        item->record.link = there->record.link;
    }
    return 0;
}

static int compare_numbers(const void *a, const void *b, void *items) {
    const struct sb_contents_item *base = items;
    size_t x = base[*(const size_t *)a].number, y = base[*(const size_t *)b].number;
    return x < y ? -1 : 1;
}

static int find_ends(struct end *end, const size_t *links, size_t count, struct sb_error *err) {
    for (size_t i = 0; i < count; i++)
        if (find_end(end, links[i], err) < 0)
            return -1;
    return 0;
}

/* All names of a file have its owner, mode and time, whatever the entries of links say. */
static void take_metadata(struct sb_record *link, const struct sb_record *file) {
    link->mode = (link->mode & S_IFMT) | (file->mode & ~(uint32_t)S_IFMT);
    link->uid = file->uid;
    link->gid = file->gid;
    link->mtime = file->mtime;
    link->nanoseconds = file->nanoseconds | HARD_LINK;
}

/* Links lead to what has the content at the end; the first of those to what was replaced has it
 * itself. */
static void turn_links(struct end *end) {
    struct sb_contents_item *items = end->writer->items;
    for (size_t i = 0; i < end->writer->count; i++) {
        size_t ends = end->notes[i].ends;
        if (!end->notes[i].stays || !ends)
            continue;
        struct note *content = &end->notes[ends - 1];
        struct sb_record *record = &items[i].record;
        if (!content->stays && !content->heir) {
            uint32_t path = record->path;
            *record = items[ends - 1].record;
            record->path = path;
            content->heir = i + 1;
        } else {
            record->link = items[content->stays ? ends - 1 : content->heir - 1].record.path;
            take_metadata(record, &items[ends - 1].record);
        }
    }
}

static int follow_links(struct end *end, struct sb_error *err) {
    struct sb_contents_writer *writer = end->writer;
    size_t n = 0;
    for (size_t i = 0; i < writer->count; i++)
        n += is_hard_link(&writer->items[i].record);
    if (n == 0)
        return 0;
    sb_autofree size_t *links = sb_alloc(n * sizeof *links);
    n = 0;
    for (size_t i = 0; i < writer->count; i++)
        if (is_hard_link(&writer->items[i].record))
            links[n++] = i;
    qsort_r(links, n, sizeof *links, compare_numbers, writer->items);
    if (find_ends(end, links, n, err) < 0)
        return -1;
    turn_links(end);
    return 0;
}

/* ---- all together ---- */

static int leave(struct end *end, struct sb_error *err) {
    struct sb_contents_writer *writer = end->writer;
    size_t kept = 0;
    if (find_replaced(end, err) < 0 || follow_links(end, err) < 0)
        return -1;
    for (size_t i = 0; i < writer->count; i++)
        if (end->notes[i].stays)
            writer->items[kept++] = writer->items[i];
    writer->count = kept;
    hide_below(writer, &end->opaque);
    return 0;
}

int sb_contents_leave(struct sb_contents_writer *writer, struct sb_error *err) {
    struct end end = {.writer = writer};
    sort_items(writer);
    end.notes = sb_alloc((writer->count + 1) * sizeof *end.notes);
    int failed = leave(&end, err);
    free(end.notes);
    sb_strings_free(&end.opaque);
    return failed;
}

void sb_contents_leave_last(struct sb_contents_writer *writer) {
    sort_items(writer);
    drop_earlier(writer);
}
