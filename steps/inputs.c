#include "steps/inputs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/tree.h"
#include "layers/contents.h"
#include "layers/entry.h"
#include "steps/shadows.h"

enum { VERSION = 1, FILE_LIMIT = 64 << 20 };
#define COMPARE_LIMIT (UINT64_C(1) << 30) /* bytes of files; beyond, a build isn't kept waiting */

void sb_inputs_free(struct sb_inputs *inputs) {
    json_decref(inputs->below);
    json_decref(inputs->files);
    json_decref(inputs->times);
    *inputs = (struct sb_inputs){0};
}

char *sb_inputs_name(const char *path) {
    sb_autojson json_t *text = sb_json_from_bytes(path);
    return sb_strdup(json_string_value(text));
}

char *sb_inputs_path(const char *name) {
    char *path = sb_strdup(name), *to = path;
    for (const char *at = path; *at; at++) {
        unsigned byte;
        if (*at == '%' && sscanf(at + 1, "%2X", &byte) == 1) {
            *to++ = (char)byte;
            at += 2;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
    return path;
}

/* ---- taking ---- */

struct taking {
    json_t *files;
    enum sb_inputs_dates dates;
    int64_t epoch;
};

static bool is_laid_out(const struct taking *t, const struct stat *st) {
    return (st->st_mtim.tv_sec < t->epoch && t->dates == SB_INPUTS_OLD) ||
           (st->st_mtim.tv_sec == t->epoch && st->st_mtim.tv_nsec == 0);
}

static int take_file(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    const struct taking *t = self;
    struct stat st;
    struct sb_digest digest;
    if ((e->type != DT_REG && e->type != DT_LNK) ||
        fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_laid_out(t, &st))
        return 0;
    if (S_ISLNK(st.st_mode)) {
        char target[SB_PATH_LIMIT];
        ssize_t n = readlinkat(e->dir, e->name, target, sizeof target);
        digest = sb_digest_of(target, n > 0 ? (size_t)n : 0);
    } else {
        sb_autoclose int fd = openat(e->dir, e->name, SB_FILE_FLAGS | O_NOFOLLOW);
        if (fd < 0)
            return sb_fail_errno(err, SB_E_IO, "%.200s", e->path);
        if (sb_digest_of_fd(fd, &digest, NULL, err) < 0)
            return -1;
    }
    sb_autofree char *name = sb_inputs_name(e->path);
    json_object_set_new(t->files, name, json_string(sb_digest_hex(&digest).text));
    return 0;
}

int sb_inputs_take(const struct sb_strings *trees, const char *upper, enum sb_inputs_dates dates,
                   int64_t epoch, struct sb_inputs *out, struct sb_error *err) {
    *out = (struct sb_inputs){json_array(), json_object(), json_object()};
    for (size_t i = 0; i < trees->n; i++) {
        struct sb_digest id;
        bool known = sb_shadows_layer(trees->v[i], &id);
        json_array_append_new(out->below, json_string(known ? sb_digest_hex(&id).text : ""));
    }
    if (dates == SB_INPUTS_NONE)
        return 0;
    struct taking t = {out->files, dates, epoch};
    return sb_tree_walk(AT_FDCWD, upper, take_file, NULL, &t, err);
}

/* ---- keeping ---- */

bool sb_inputs_read(struct sb_store *store, const char *path, struct sb_inputs *out) {
    *out = (struct sb_inputs){0};
    sb_autobuf struct sb_buf text = {0};
    struct sb_error ignored = {0};
    if (sb_file_read(sb_store_private_fd(store), path, FILE_LIMIT, &text, &ignored) < 0)
        return false;
    sb_autojson json_t *all = sb_json_parse(sb_buf_text(&text), text.len, &ignored);
    json_t *below = json_object_get(all, "below"), *files = json_object_get(all, "files"),
           *times = json_object_get(all, "times");
    if (sb_json_integer(all, "version", 0) != VERSION || !json_is_array(below) ||
        !json_is_object(files) || !json_is_object(times))
        return false;
    *out = (struct sb_inputs){json_incref(below), json_incref(files), json_incref(times)};
    return true;
}

int sb_inputs_write(struct sb_store *store, const char *path, const struct sb_inputs *inputs,
                    struct sb_error *err) {
    sb_autojson json_t *all =
        json_pack("{s:i, s:O, s:O, s:O}", "version", VERSION, "below", inputs->below, "files",
                  inputs->files, "times", inputs->times);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(all, &text);
    return sb_file_write(sb_store_private_fd(store), path, text.data, text.len, 0644, err);
}

/* ---- comparing ---- */

static void note(json_t *changed, const char *path) {
    sb_autofree char *name = sb_inputs_name(path);
    json_object_set_new(changed, name, json_true());
}

/* What was laid out in this layer before, and is not now, may be below, be it the same or not. */
static bool is_below(int root, const char *name, const char *hex) {
    sb_autofree char *path = sb_inputs_path(name);
    struct sb_error ignored = {0};
    sb_autoclose int fd = sb_beneath_open(root, path, SB_BENEATH_NO_LINKS, NULL, &ignored);
    struct sb_digest digest, before;
    return fd >= 0 && hex && sb_digest_parse_hex(hex, &before) &&
           sb_digest_of_fd(fd, &digest, NULL, NULL) == 0 && sb_digest_equal(&digest, &before);
}

static void compare_files(const struct sb_inputs_site *site, const json_t *before,
                          const json_t *now, json_t *changed) {
    const char *name;
    json_t *digest;
    json_object_foreach ((json_t *)now, name, digest) {
        if (!json_equal(digest, json_object_get(before, name)))
            json_object_set_new(changed, name, json_true());
    }
    sb_autoclose int root = open(site->merged, O_PATH | O_DIRECTORY | O_CLOEXEC);
    json_object_foreach ((json_t *)before, name, digest) {
        if (!json_object_get(now, name) && !is_below(root, name, json_string_value(digest)))
            json_object_set_new(changed, name, json_true());
    }
}

bool sb_inputs_same_bytes(int a, int b, uint64_t *budget) {
    char x[32768], y[sizeof x];
    for (off_t at = 0;;) {
        ssize_t n = pread(a, x, sizeof x, at);
        if (n < 0 || *budget < (uint64_t)n || pread(b, y, sizeof y, at) != n ||
            memcmp(x, y, (size_t)n) != 0)
            return false;
        if (n == 0)
            return true;
        *budget -= (uint64_t)n;
        at += n;
    }
}

/* The layers of one side, opened, the uppermost first. */
struct side {
    int *fds;
    size_t n;
};

static void close_side(struct side *side) {
    for (size_t i = 0; i < side->n; i++)
        close(side->fds[i]);
    free(side->fds);
}

/* False when one is not there any more. */
static bool open_side(struct sb_store *store, const json_t *ids, struct side *out) {
    *out = (struct side){sb_alloc((json_array_size(ids) + 1) * sizeof(int)), 0};
    for (size_t i = json_array_size(ids); i-- > 0;) {
        sb_autofree char *path =
            sb_format("trees/%s/fs", json_string_value(json_array_get(ids, i)));
        int fd = openat(sb_store_private_fd(store), path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return false;
        out->fds[out->n++] = fd;
    }
    return true;
}

/* The file that one side shows there, or -1. */
static int look(const struct side *side, const char *path, struct stat *out) {
    for (size_t i = 0; i < side->n; i++) {
        int fd = sb_open_beneath(side->fds[i], path, O_PATH | O_NOFOLLOW, SB_BENEATH_NO_LINKS);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd >= 0 && fstat(fd, out) == 0 && !S_ISCHR(out->st_mode)) {
            close(fd);
            return side->fds[i];
        }
        sb_close_descriptor(&fd);
        return -1;
    }
    return -1;
}

struct comparison {
    const struct sb_inputs_site *site;
    const json_t *files; /* that were laid out in the layer before */
    struct side before, now;
    json_t *changed;
    uint64_t budget;
};

static bool has_same_bytes(struct comparison *c, int a, int b, const char *path) {
    struct sb_error ignored = {0};
    sb_autoclose int x = sb_beneath_open(a, path, SB_BENEATH_NO_LINKS, NULL, &ignored);
    sb_autoclose int y = sb_beneath_open(b, path, SB_BENEATH_NO_LINKS, NULL, &ignored);
    return x >= 0 && y >= 0 && sb_inputs_same_bytes(x, y, &c->budget);
}

static bool was_laid_out(const struct comparison *c, int tree, const char *path) {
    sb_autofree char *name = sb_inputs_name(path);
    return is_below(tree, name, json_string_value(json_object_get(c->files, name)));
}

/* False: a link leads elsewhere now, which no time of a file can tell. */
static bool compare_path(struct comparison *c, const char *path) {
    struct stat was = {0}, is = {0};
    int a = look(&c->before, path, &was), b = look(&c->now, path, &is);
    if (a == b) /* the same tree, or neither */
        return true;
    if (S_ISLNK(was.st_mode) || S_ISLNK(is.st_mode)) {
        char x[SB_PATH_LIMIT], y[SB_PATH_LIMIT];
        ssize_t n = a < 0 ? -1 : readlinkat(a, path, x, sizeof x);
        return n >= 0 && b >= 0 && readlinkat(b, path, y, sizeof y) == n &&
               !memcmp(x, y, (size_t)n);
    }
    if (b < 0 || !S_ISREG(is.st_mode))
        return true; /* gone */
    bool same = a >= 0 && S_ISREG(was.st_mode) && was.st_size == is.st_size;
    bool dated = same && was.st_mtim.tv_sec == is.st_mtim.tv_sec &&
                 was.st_mtim.tv_nsec == is.st_mtim.tv_nsec && is.st_mtim.tv_sec != c->site->epoch;
    if (!dated && (!same || !has_same_bytes(c, a, b, path)) && !was_laid_out(c, b, path))
        note(c->changed, path);
    return true;
}

/* Where the one that a whiteout hides was; the caller's to free. */
static char *hidden_by(const char *path) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash + 1 - path) : 0;
    return sb_format("%.*s%s", (int)n, path, path + n + strlen(SB_WHITEOUT_PREFIX));
}

static bool compare_layer(struct comparison *c, const char *hex) {
    struct sb_digest id;
    struct sb_contents *contents;
    if (!sb_digest_parse_hex(hex, &id) ||
        sb_contents_open(c->site->store, &id, &contents, NULL) < 0)
        return false;
    bool told = true;
    for (size_t i = 0; i < sb_contents_count(contents) && told; i++) {
        struct sb_entry e;
        sb_contents_get(contents, i, &e);
        const char *name = strrchr(e.path, '/');
        name = name ? name + 1 : e.path;
        if (!strcmp(name, SB_WHITEOUT_OPAQUE)) {
            told = false; /* what it hides would have to be listed */
        } else if (!strncmp(name, SB_WHITEOUT_PREFIX, strlen(SB_WHITEOUT_PREFIX))) {
            sb_autofree char *path = hidden_by(e.path);
            told = compare_path(c, path);
        } else if (S_ISREG(e.mode) || S_ISLNK(e.mode)) {
            told = compare_path(c, e.path);
        }
        told = told && c->budget > 0;
    }
    sb_contents_close(contents);
    return told;
}

static bool has(const json_t *list, const json_t *value) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), value))
            return true;
    return false;
}

/* Layers that one side alone has. */
static bool compare_new(struct comparison *c, const json_t *of, const json_t *other) {
    for (size_t i = 0; i < json_array_size(of); i++) {
        const json_t *id = json_array_get(of, i);
        if (!has(other, id) && !compare_layer(c, json_string_value(id)))
            return false;
    }
    return true;
}

/* Those that both have must come in the same order. */
static bool is_ordered(const json_t *a, const json_t *b) {
    size_t at = 0, n = json_array_size(b);
    for (size_t i = 0; i < json_array_size(a); i++) {
        if (!has(b, json_array_get(a, i)))
            continue;
        while (at < n && !json_equal(json_array_get(a, i), json_array_get(b, at)))
            at++;
        if (at++ >= n)
            return false;
    }
    return true;
}

bool sb_inputs_compare(const struct sb_inputs_site *site, const struct sb_inputs *before,
                       const struct sb_inputs *now, json_t *changed) {
    compare_files(site, before->files, now->files, changed);
    if (json_equal(before->below, now->below))
        return true;
    struct comparison c = {
        .site = site, .files = before->files, .changed = changed, .budget = COMPARE_LIMIT};
    bool told =
        is_ordered(before->below, now->below) && open_side(site->store, before->below, &c.before);
    told = open_side(site->store, now->below, &c.now) && told;
    told = told && compare_new(&c, before->below, now->below) &&
           compare_new(&c, now->below, before->below);
    close_side(&c.before);
    close_side(&c.now);
    return told;
}
