#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/contents.h"
#include "layers/whiteout.h"

#define LINKS_LIMIT 40 /* as Linux */
/* Directories that one look-up may go through, counted in each layer: paths of a few components
 * take some thousand in the tallest images. */
#define WORK_LIMIT 1000000

/* ---- look-up ---- */

/* What one layer says about a path. */
enum sight {
    SIGHT_ENTRY,   /* it is here */
    SIGHT_NOTHING, /* a lower layer decides */
    SIGHT_COVERED, /* not here, and what lower layers have there is hidden */
};

/* One look-up: the path, the bytes of it being looked at, and where whiteouts' names are put. */
struct look_up {
    const char *path;
    struct sb_buf *name;
};

static bool has_name(const struct sb_contents *layer, struct look_up *l, size_t dir_len,
                     const char *prefix, const char *rest, size_t rest_len) {
    struct sb_entry ignored;
    sb_buf_reset(l->name);
    sb_buf_add(l->name, l->path, dir_len);
    sb_buf_adds(l->name, prefix);
    sb_buf_add(l->name, rest, rest_len);
    return sb_contents_find(layer, l->name->data, &ignored);
}

static bool has_whiteout(const struct sb_contents *layer, struct look_up *l, size_t start,
                         size_t end) {
    return has_name(layer, l, start, SB_WHITEOUT_PREFIX, l->path + start, end - start);
}

static bool is_opaque(const struct sb_contents *layer, struct look_up *l, size_t end) {
    return has_name(layer, l, end, end ? "/" SB_WHITEOUT_OPAQUE : SB_WHITEOUT_OPAQUE, "", 0);
}

static bool find_prefix(const struct sb_contents *layer, struct look_up *l, size_t end,
                        struct sb_entry *out) {
    sb_buf_reset(l->name);
    sb_buf_add(l->name, l->path, end);
    return sb_contents_find(layer, l->name->data, out);
}

/* Whiteouts alone make no directory. */
static bool has_children(const struct sb_contents *layer, struct look_up *l) {
    sb_buf_reset(l->name);
    sb_buf_adds(l->name, l->path);
    sb_buf_addc(l->name, '/');
    for (size_t i = sb_contents_seek(layer, l->name->data); i < sb_contents_count(layer); i++) {
        struct sb_entry e;
        sb_contents_get(layer, i, &e);
        if (strncmp(e.path, l->name->data, l->name->len) != 0)
            return false;
        if (sb_whiteout_kind(e.path) == SB_WHITEOUT_NO)
            return true;
    }
    return false;
}

/* From the root down: a whiteout, an opaque directory, or a file where the path has a directory
 * hides what lower layers have. */
static enum sight look_into(const struct sb_contents *layer, struct look_up *l,
                            struct sb_entry *out) {
    bool covered = is_opaque(layer, l, 0);
    for (size_t start = 0;;) {
        size_t end = start + strcspn(l->path + start, "/");
        covered |= has_whiteout(layer, l, start, end);
        bool found = find_prefix(layer, l, end, out);
        if (!l->path[end])
            return found ? SIGHT_ENTRY : covered ? SIGHT_COVERED : SIGHT_NOTHING;
        if (found && !S_ISDIR(out->mode))
            return SIGHT_COVERED;
        covered |= is_opaque(layer, l, end);
        start = end + 1;
    }
}

static bool names_whiteout(const char *path) {
    return !strncmp(path, SB_WHITEOUT_PREFIX, strlen(SB_WHITEOUT_PREFIX)) ||
           strstr(path, "/" SB_WHITEOUT_PREFIX);
}

bool sb_stack_find(const struct sb_stack *stack, const char *path, struct sb_entry *out) {
    struct sb_entry directory = {.path = path, .mode = S_IFDIR | 0755};
    *out = directory;
    if (!path[0] || names_whiteout(path))
        return !path[0];
    sb_autobuf struct sb_buf name = {0};
    struct look_up l = {.path = path, .name = &name};
    bool implicit = false;
    enum sight sight = SIGHT_NOTHING;
    for (size_t i = stack->n; i-- > 0 && sight == SIGHT_NOTHING;) {
        sight = look_into(stack->v[i], &l, out);
        /* The parent of an entry, itself without one: a directory, whose metadata are those of a
         * directory below if there is one. */
        if (sight != SIGHT_ENTRY && !implicit)
            implicit = has_children(stack->v[i], &l);
    }
    if (sight == SIGHT_ENTRY && (!implicit || S_ISDIR(out->mode)))
        return true;
    *out = directory;
    return implicit;
}

/* ---- one path after the other ---- */

/* What a layer has below the directory. */
struct range {
    const struct sb_contents *layer;
    size_t low, high;
};

struct sb_stack_cursor {
    const struct sb_stack *stack;
    char *directory;      /* of the last path; NULL at first */
    struct range *ranges; /* the uppermost first; without those that say nothing of it */
    size_t count;
    bool open;    /* no layer but the lowest hides what is below the directory */
    bool reached; /* nor the path */
    struct sb_buf name;
};

struct sb_stack_cursor *sb_stack_cursor_new(const struct sb_stack *stack) {
    struct sb_stack_cursor *cursor = sb_alloc(sizeof *cursor);
    cursor->stack = stack;
    cursor->ranges = sb_alloc((stack->n + 1) * sizeof *cursor->ranges);
    return cursor;
}

void sb_stack_cursor_free(struct sb_stack_cursor *cursor) {
    if (!cursor)
        return;
    free(cursor->directory);
    free(cursor->ranges);
    sb_buf_free(&cursor->name);
    free(cursor);
}

/* Whether nothing that lower layers have in the directory can be seen. */
static bool hides_below(const struct sb_contents *layer, struct look_up *l) {
    struct sb_entry e;
    if (is_opaque(layer, l, 0))
        return true;
    for (size_t start = 0; l->path[start];) {
        size_t end = start + strcspn(l->path + start, "/");
        if (has_whiteout(layer, l, start, end) || is_opaque(layer, l, end) ||
            (find_prefix(layer, l, end, &e) && !S_ISDIR(e.mode)))
            return true;
        start = end + (l->path[end] == '/');
    }
    return false;
}

static size_t seek_after(struct sb_stack_cursor *c, const struct range *range, char after) {
    sb_buf_reset(&c->name);
    sb_buf_adds(&c->name, c->directory);
    sb_buf_addc(&c->name, after);
    return sb_contents_seek_between(range->layer, range->low, range->high, c->name.data);
}

static void enter(struct sb_stack_cursor *c, const char *path, size_t len) {
    free(c->directory);
    c->directory = sb_strndup(path, len);
    c->count = 0;
    c->open = false;
    struct look_up l = {.path = c->directory, .name = &c->name};
    for (size_t i = c->stack->n; i-- > 0;) {
        struct range range = {c->stack->v[i], 0, sb_contents_count(c->stack->v[i])};
        if (len > 0) {
            size_t low = seek_after(c, &range, '/');
            range.high = seek_after(c, &range, '/' + 1);
            range.low = low;
        }
        if (range.low < range.high)
            c->ranges[c->count++] = range;
        c->open = i == 0;
        if (hides_below(range.layer, &l))
            return;
    }
}

/* The first entry of the range that is not before the name in the directory. */
static bool next_of(struct sb_stack_cursor *c, const struct range *range, const char *prefix,
                    const char *name, const char *after, struct sb_entry *out) {
    sb_buf_reset(&c->name);
    if (*c->directory)
        sb_buf_addf(&c->name, "%s/", c->directory);
    sb_buf_adds(&c->name, prefix);
    sb_buf_adds(&c->name, name);
    sb_buf_adds(&c->name, after);
    size_t i = sb_contents_seek_between(range->layer, range->low, range->high, c->name.data);
    if (i < range->high)
        sb_contents_get(range->layer, i, out);
    return i < range->high;
}

static bool has_child(struct sb_stack_cursor *c, const struct range *range, const char *prefix,
                      const char *name, struct sb_entry *out) {
    struct sb_entry e = {.path = ""};
    if (!next_of(c, range, prefix, name, "", &e) || strcmp(e.path, c->name.data) != 0)
        return false;
    *out = e;
    return true;
}

/* Whiteouts alone make no directory. */
static bool has_below(struct sb_stack_cursor *c, const struct range *range, const char *name) {
    struct sb_entry e = {.path = ""};
    if (!next_of(c, range, "", name, "/", &e))
        return false;
    size_t i = sb_contents_seek_between(range->layer, range->low, range->high, c->name.data);
    for (; i < range->high; i++) {
        sb_contents_get(range->layer, i, &e);
        if (strncmp(e.path, c->name.data, c->name.len) != 0)
            return false;
        if (sb_whiteout_kind(e.path) == SB_WHITEOUT_NO)
            return true;
    }
    return false;
}

bool sb_stack_cursor_find(struct sb_stack_cursor *c, const char *path, struct sb_entry *out) {
    struct sb_entry directory = {.path = path, .mode = S_IFDIR | 0755}, e;
    *out = directory;
    if (!path[0] || names_whiteout(path))
        return !path[0];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (!c->directory || strncmp(c->directory, path, len) != 0 || c->directory[len])
        enter(c, path, len);
    bool implicit = false;
    c->reached = c->open;
    for (size_t i = 0; i < c->count; i++) {
        const struct range *range = &c->ranges[i];
        if (has_child(c, range, "", name, &e)) {
            if (!implicit || S_ISDIR(e.mode))
                *out = e;
            return true;
        }
        implicit = implicit || has_below(c, range, name);
        if (has_child(c, range, SB_WHITEOUT_PREFIX, name, &e)) {
            c->reached = range->layer == c->stack->v[0];
            break;
        }
    }
    return implicit;
}

bool sb_stack_cursor_reached(const struct sb_stack_cursor *cursor) {
    return cursor->reached;
}

/* ---- following symlinks ---- */

/* Takes the last component off. */
static void leave(struct sb_buf *path) {
    while (path->len > 0 && path->data[path->len - 1] != '/')
        path->len--;
    if (path->len > 0)
        path->len--;
    if (path->data)
        path->data[path->len] = '\0';
}

/* A link's target takes the place of the link in what is left to walk. */
static int follow(struct sb_buf *done, char **rest, const char *after, const char *target,
                  int *links, const char *path, struct sb_error *err) {
    if (++*links > LINKS_LIMIT)
        return sb_fail(err, SB_E_FAILED, "%.200s: more than %d symbolic links on the way", path,
                       LINKS_LIMIT);
    if (target[0] == '/')
        sb_buf_reset(done);
    else
        leave(done);
    char *joined = sb_format("%s/%s", target, after);
    free(*rest);
    *rest = joined;
    return 0;
}

static size_t depth_of(const struct sb_buf *path) {
    size_t depth = path->len > 0;
    for (size_t i = 0; i < path->len; i++)
        depth += path->data[i] == '/';
    return depth;
}

static bool find_in_stack(void *data, const char *path, struct sb_entry *out) {
    return sb_stack_find(data, path, out);
}

int sb_stack_resolve(const struct sb_stack *stack, const char *path, char **out,
                     struct sb_error *err) {
    uint64_t steps = 0;
    return sb_stack_resolve_counted(stack, path, &steps, out, err);
}

int sb_stack_resolve_counted(const struct sb_stack *stack, const char *path, uint64_t *steps,
                             char **out, struct sb_error *err) {
    const struct sb_lookup lookup = {find_in_stack, (void *)stack, stack->n + 1};
    return sb_lookup_resolve(&lookup, path, steps, out, err);
}

int sb_lookup_resolve(const struct sb_lookup *lookup, const char *path, uint64_t *steps, char **out,
                      struct sb_error *err) {
    sb_autobuf struct sb_buf done = {0};
    sb_autofree char *rest = sb_strdup(path);
    int links = 0;
    const uint64_t most = *steps + WORK_LIMIT;
    for (const char *p = rest; *p;) {
        size_t n = strcspn(p, "/");
        *steps += (depth_of(&done) + 1) * lookup->cost;
        if (*steps > most)
            return sb_fail(err, SB_E_FAILED,
                           "%.100s: too deep behind symbolic links: more than %d steps to it", path,
                           WORK_LIMIT);
        if (sb_interrupt_check(err) < 0)
            return -1;
        const char *after = p + n + strspn(p + n, "/");
        if (n == 2 && !strncmp(p, "..", 2)) {
            leave(&done);
        } else if (n > 0 && !(n == 1 && p[0] == '.')) {
            struct sb_entry e;
            if (done.len > 0)
                sb_buf_addc(&done, '/');
            sb_buf_add(&done, p, n);
            if (done.len > SB_PATH_LIMIT)
                return sb_fail(err, SB_E_FAILED, "%.100s…: becomes a path of more than %d bytes",
                               path, SB_PATH_LIMIT);
            if (lookup->find(lookup->data, done.data, &e) && S_ISLNK(e.mode) && e.link) {
                if (follow(&done, &rest, after, e.link, &links, path, err) < 0)
                    return -1;
                after = rest;
            }
        }
        p = after;
    }
    *out = sb_buf_steal(&done);
    return 0;
}
