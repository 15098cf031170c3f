#include "context/base_paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "layers/unpack.h"
#include "layers/whiteout.h"

#define VERSION      "2"
#define VERSION_1    "1"   /* without sets */
#define FILES_LIMIT  16384 /* paths of an image up to which its files are in the sets */
#define PARTIAL      " partial"
#define DEPTH_LISTED 2 /* directories with at most that many components are all listed */

static void free_sets(struct sb_base_paths *paths) {
    for (size_t i = 0; i < paths->set_count; i++)
        sb_path_set_free(&paths->sets[i]);
    free(paths->sets);
    paths->sets = NULL;
    paths->set_count = paths->set_cap = 0;
    paths->complete = false;
}

void sb_base_paths_free(struct sb_base_paths *paths) {
    free_sets(paths);
    sb_contents_close(paths->contents);
    *paths = (struct sb_base_paths){0};
}

void sb_base_paths_scratch(struct sb_base_paths *out) {
    *out = (struct sb_base_paths){.contents = sb_contents_from_writer(sb_contents_start()),
                                  .complete = true};
}

/* ---- an image made elsewhere ---- */

/* What distributions agree on (Filesystem Hierarchy Standard 3.0). Not those that are directories
 * in some and links in others: bin, sbin, lib, var/run. */
static const struct {
    const char *path;
    mode_t mode;
} conventional[] = {
    {"boot", 0755},
    {"dev", 0755},
    {"etc", 0755},
    {"home", 0755},
    {"media", 0755},
    {"mnt", 0755},
    {"opt", 0755},
    {"proc", 0755},
    {"root", 0700},
    {"run", 0755},
    {"srv", 0755},
    {"sys", 0755},
    {"tmp", 01777},
    {"usr", 0755},
    {"usr/bin", 0755},
    {"usr/include", 0755},
    {"usr/lib", 0755},
    {"usr/libexec", 0755},
    {"usr/local", 0755},
    {"usr/local/bin", 0755},
    {"usr/local/etc", 0755},
    {"usr/local/lib", 0755},
    {"usr/local/sbin", 0755},
    {"usr/local/share", 0755},
    {"usr/sbin", 0755},
    {"usr/share", 0755},
    {"var", 0755},
    {"var/cache", 0755},
    {"var/lib", 0755},
    {"var/log", 0755},
    {"var/tmp", 01777},
};

static void assume_conventional(struct sb_base_paths *out) {
    struct sb_contents_writer *writer = sb_contents_start();
    for (size_t i = 0; i < sizeof conventional / sizeof *conventional; i++) {
        struct sb_entry e = {.path = conventional[i].path, .mode = S_IFDIR | conventional[i].mode};
        sb_contents_add(writer, &e);
    }
    *out = (struct sb_base_paths){.contents = sb_contents_from_writer(writer), .partial = true};
}

/* ---- from and to text: a line an entry, sorted by path ----
 *
 *     2                            the version, perhaps " partial"
 *     bin TAB >usr/bin             a symbolic link
 *     etc                          a directory, 0755 root:root
 *     tmp TAB 1777 TAB 0:0         another directory
 *     TAB 17 SGVsbG8=              the set of a layer, the lowest first
 */

/* What can be read back. A layer that has ".wh.a/b" seems to have a directory of that name: it
 * hasn't. */
static bool is_clean(const char *path) {
    if (strlen(path) > SB_PATH_LIMIT || sb_whiteout_kind(path) != SB_WHITEOUT_NO)
        return false;
    for (const char *p = path;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

/* Names with control characters and such that are no UTF-8 are left out: copies don't go there. */
static bool can_be_written(const char *text) {
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return sb_text_is_utf8(text);
}

static bool is_ordinary(const struct sb_entry *e) {
    return (e->mode & 07777u) == 0755 && e->uid == 0 && e->gid == 0;
}

static void write_entry(const struct sb_entry *e, struct sb_buf *out) {
    if (!is_clean(e->path) || !can_be_written(e->path) || (e->link && !can_be_written(e->link)))
        return;
    sb_buf_adds(out, e->path);
    if (S_ISLNK(e->mode))
        sb_buf_addf(out, "\t>%s", e->link);
    else if (!is_ordinary(e))
        sb_buf_addf(out, "\t%o\t%u:%u", e->mode & 07777u, e->uid, e->gid);
    sb_buf_addc(out, '\n');
}

char *sb_base_paths_text(const struct sb_base_paths *paths) {
    struct sb_buf out = {0};
    sb_buf_adds(&out, paths->complete ? VERSION : VERSION_1);
    sb_buf_adds(&out, paths->partial ? PARTIAL "\n" : "\n");
    for (size_t i = 0; i < sb_contents_count(paths->contents); i++) {
        struct sb_entry e;
        sb_contents_get(paths->contents, i, &e);
        write_entry(&e, &out);
    }
    for (size_t i = 0; i < paths->set_count; i++)
        sb_buf_addf(&out, "\t%s\n", paths->sets[i].text);
    return sb_buf_steal(&out);
}

/* Of decimal or octal digits alone, and no larger than limit. */
static bool read_number(const char *text, const char *end, int base, uint32_t limit,
                        uint32_t *out) {
    uint64_t value = 0;
    if (text == end)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text >= '0' + base || value > limit)
            return false;
        value = value * (uint64_t)base + (uint64_t)(*text - '0');
    }
    *out = (uint32_t)value;
    return value <= limit;
}

static bool read_attributes(const char *text, struct sb_entry *e) {
    const char *tab = strchr(text, '\t'), *colon = tab ? strchr(tab, ':') : NULL;
    uint32_t mode;
    if (!colon || !read_number(text, tab, 8, 07777, &mode) ||
        !read_number(tab + 1, colon, 10, UINT32_MAX, &e->uid) ||
        !read_number(colon + 1, colon + strlen(colon), 10, UINT32_MAX, &e->gid))
        return false;
    e->mode = S_IFDIR | mode;
    return true;
}

/* One line, which is changed. */
static bool read_entry(char *line, struct sb_contents_writer *writer) {
    struct sb_entry e = {.path = line, .mode = S_IFDIR | 0755};
    char *tab = strchr(line, '\t');
    if (tab) {
        *tab++ = '\0';
        if (*tab == '>' && tab[1] && strlen(tab + 1) <= SB_PATH_LIMIT) {
            e.mode = S_IFLNK | 0777;
            e.link = tab + 1;
        } else if (!read_attributes(tab, &e)) {
            return false;
        }
    }
    if (!is_clean(e.path))
        return false;
    sb_contents_add(writer, &e);
    return true;
}

static bool read_set(const char *line, struct sb_base_paths *out) {
    SB_GROW(out->sets, out->set_count, out->set_cap);
    if (!out->complete || !sb_path_set_read(line + 1, &out->sets[out->set_count]))
        return false;
    out->set_count++;
    return true;
}

static bool read_version(const char *text, struct sb_base_paths *out) {
    out->complete = !strcmp(text, VERSION);
    out->partial = !strcmp(text, VERSION_1 PARTIAL);
    return out->complete || out->partial || !strcmp(text, VERSION_1);
}

/* 0: the text is not of a version that is known here. */
static int read_text(const char *text, struct sb_base_paths *out, struct sb_error *err) {
    *out = (struct sb_base_paths){0};
    sb_autofree char *copy = sb_strdup(text);
    char *rest = copy, *first = strsep(&rest, "\n");
    if (!rest || !read_version(first, out)) {
        *out = (struct sb_base_paths){0};
        return 0;
    }
    struct sb_contents_writer *writer = sb_contents_start();
    size_t number = 1;
    bool good = true;
    for (char *line; good && *rest && (line = strsep(&rest, "\n"));) {
        number++;
        good = rest && (*line == '\t'         ? read_set(line, out)
                        : out->set_count == 0 ? read_entry(line, writer)
                                              : false);
    }
    if (good) {
        out->contents = sb_contents_from_writer(writer);
        return 1;
    }
    sb_contents_abort(writer);
    free_sets(out);
    return sb_fail(err, SB_E_INTEGRITY, "line %zu of \"%s\" in the image config is damaged", number,
                   SB_BASE_PATHS_KEY);
}

json_t *sb_base_paths_said(const struct sb_image *image) {
    json_t *value = json_object_get(image->config, SB_BASE_PATHS_KEY);
    bool usable = json_is_string(value) && json_string_length(value) <= SB_BASE_PATHS_LIMIT;
    return usable ? value : NULL;
}

int sb_base_paths_read(const json_t *said, struct sb_base_paths *out, struct sb_error *err) {
    int known = said ? read_text(json_string_value(said), out, err) : 0;
    if (known == 0)
        assume_conventional(out);
    return known < 0 ? -1 : 0;
}

/* ---- a layer on top ---- */

struct fold {
    const struct sb_contents *below, *layer;
    bool *gone; /* of below's entries: hidden or replaced by the layer */
    struct sb_contents_writer *out;
    struct sb_buf parent; /* the last one that was seen to */
    uint64_t steps;       /* directories that links were followed through */
};

/* Links of a layer lead through some hundred directories each, if they do at all; of one whose
 * links lead through more than this altogether the rest is kept without being followed. */
#define STEPS_LIMIT 10000000

static size_t depth_of(const char *path) {
    size_t depth = 1;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

static void hide_below(struct fold *f, const char *path) {
    sb_autofree char *prefix = *path ? sb_format("%s/", path) : sb_strdup("");
    size_t n = strlen(prefix);
    for (size_t i = sb_contents_seek(f->below, prefix); i < sb_contents_count(f->below); i++) {
        struct sb_entry e;
        sb_contents_get(f->below, i, &e);
        if (strncmp(e.path, prefix, n) != 0)
            return;
        f->gone[i] = true;
    }
}

/* Its index among below's entries, or their number. */
static size_t find_below(const struct fold *f, const char *path) {
    struct sb_entry e;
    size_t i = sb_contents_seek(f->below, path), n = sb_contents_count(f->below);
    if (i < n)
        sb_contents_get(f->below, i, &e);
    return i < n && !strcmp(e.path, path) ? i : n;
}

static void hide(struct fold *f, const char *path) {
    size_t i = find_below(f, path);
    if (i < sb_contents_count(f->below))
        f->gone[i] = true;
}

static bool is_directory(const struct sb_entry *e) {
    return S_ISDIR(e->mode) && !e->hard_link;
}

static void hide_what_entry_hides(struct fold *f, const struct sb_entry *e) {
    enum sb_whiteout kind = sb_whiteout_kind(e->path);
    if (kind == SB_WHITEOUT_NO) {
        hide(f, e->path);
        if (!is_directory(e))
            hide_below(f, e->path);
    } else if (kind == SB_WHITEOUT_HIDES || kind == SB_WHITEOUT_HIDES_BELOW) {
        sb_autofree char *target = sb_whiteout_target(e->path);
        if (kind == SB_WHITEOUT_HIDES)
            hide(f, target);
        hide_below(f, target);
    }
}

/* A directory of which the layer has no entry, only something in it: one below keeps its
 * attributes, anything else gives way. */
static void imply_directory(struct fold *f, const char *path) {
    size_t i = find_below(f, path);
    bool there = i < sb_contents_count(f->below) && !f->gone[i];
    struct sb_entry e = {0};
    if (there)
        sb_contents_get(f->below, i, &e);
    if (there && is_directory(&e))
        return;
    if (there)
        f->gone[i] = true;
    e = (struct sb_entry){.path = path, .mode = S_IFDIR | 0755};
    if (depth_of(path) <= DEPTH_LISTED)
        sb_contents_add(f->out, &e);
}

static void imply_parents(struct fold *f, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (f->parent.len == len && !strncmp(sb_buf_text(&f->parent), path, len))
        return;
    sb_buf_reset(&f->parent);
    sb_buf_add(&f->parent, path, len);
    for (size_t end = 0; end < len;) {
        struct sb_entry e;
        end += 1 + strcspn(path + end + 1, "/");
        sb_autofree char *parent = sb_strndup(path, end);
        if (!sb_contents_find(f->layer, parent, &e))
            imply_directory(f, parent);
    }
}

/* Whether it is known that the link leads to something other than a directory. */
static bool leads_elsewhere(struct fold *f, const struct sb_entry *link) {
    sb_autofree char *directory = sb_path_dirname(link->path);
    sb_autofree char *joined = sb_path_join(directory, link->link);
    sb_autofree char *target = sb_path_clean(joined);
    struct sb_entry e;
    if (sb_contents_find(f->layer, target[0] == '/' ? target + 1 : target, &e) &&
        S_ISREG(e.mode)) /* by far the most */
        return true;
    struct sb_contents *both[] = {(struct sb_contents *)f->below, (struct sb_contents *)f->layer};
    const struct sb_stack stack = {both, 2};
    if (f->steps > STEPS_LIMIT)
        return false;
    sb_autofree char *end = NULL;
    if (sb_stack_resolve_counted(&stack, link->path, &f->steps, &end, NULL) < 0)
        return false; /* round and round, until a layer above breaks the circle */
    return sb_stack_find(&stack, end, &e) && !S_ISDIR(e.mode);
}

static void take_entry(struct fold *f, const struct sb_entry *e) {
    if (sb_whiteout_kind(e->path) != SB_WHITEOUT_NO)
        return; /* they imply no directory */
    imply_parents(f, e->path);
    bool wanted = is_directory(e) ? depth_of(e->path) <= DEPTH_LISTED || !is_ordinary(e)
                  : S_ISLNK(e->mode)
                      ? !e->hard_link && e->link && *e->link && !leads_elsewhere(f, e)
                      : false;
    struct sb_entry kept = {
        .path = e->path, .mode = e->mode, .uid = e->uid, .gid = e->gid, .link = e->link};
    if (wanted)
        sb_contents_add(f->out, &kept);
}

/* What is too much to be kept isn't known to whoever builds on this image: so not here either. */
static void drop_too_much(struct sb_base_paths *paths) {
    for (int turn = 0; turn < 2; turn++) {
        sb_autofree char *text = paths->contents ? sb_base_paths_text(paths) : NULL;
        if (text && strlen(text) <= SB_BASE_PATHS_LIMIT)
            return;
        free_sets(paths);
    }
    sb_base_paths_free(paths);
    assume_conventional(paths);
}

static int take_layer(struct fold *f, struct sb_error *err) {
    size_t below = sb_contents_count(f->below), n = sb_contents_count(f->layer);
    struct sb_entry e;
    for (size_t i = 0; i < n; i++) {
        sb_contents_get(f->layer, i, &e);
        hide_what_entry_hides(f, &e);
    }
    for (size_t i = 0; i < n; i++) {
        sb_contents_get(f->layer, i, &e);
        take_entry(f, &e);
        if (sb_interrupt_check(err) < 0) /* what was concluded since is wrong */
            return -1;
    }
    for (size_t i = 0; i < below; i++) {
        sb_contents_get(f->below, i, &e);
        if (!f->gone[i])
            sb_contents_add(f->out, &e);
    }
    return 0;
}

static void add_set(struct sb_base_paths *paths, const struct sb_contents *layer) {
    size_t paths_so_far = sb_contents_count(layer);
    for (size_t i = 0; i < paths->set_count; i++)
        paths_so_far += paths->sets[i].n;
    SB_GROW(paths->sets, paths->set_count, paths->set_cap);
    sb_path_set_make(layer, paths_so_far <= FILES_LIMIT, &paths->sets[paths->set_count++]);
}

int sb_base_paths_add(struct sb_base_paths *paths, const struct sb_contents *layer,
                      struct sb_error *err) {
    struct fold f = {.below = paths->contents,
                     .layer = layer,
                     .gone = sb_alloc(sb_contents_count(paths->contents) + 1),
                     .out = sb_contents_start()};
    int failed = take_layer(&f, err);
    free(f.gone);
    sb_buf_free(&f.parent);
    if (failed) {
        sb_contents_abort(f.out);
        return -1;
    }
    sb_contents_close(paths->contents);
    paths->contents = sb_contents_from_writer(f.out);
    if (paths->complete)
        add_set(paths, layer);
    drop_too_much(paths);
    return 0;
}

enum sb_path_known sb_base_paths_unlisted(const struct sb_base_paths *paths, const char *path) {
    return sb_path_sets_find(paths->sets, paths->set_count, path);
}

/* ---- the config of an image ---- */

/* What the first `known` layers, and 0, 1, … layers more were made from, in count + 1 digests. */
static struct sb_digest *identify(const struct sb_image *image, size_t known, const char *text) {
    struct sb_digest *ids = sb_alloc((image->layer_count - known + 1) * sizeof *ids);
    const char *start = text ? text : known ? VERSION_1 PARTIAL : VERSION;
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    sb_sha256_add(&sha, start, strlen(start) + 1);
    for (size_t i = known;; i++) {
        struct sb_sha256 so_far = sha;
        ids[i - known] = sb_sha256_finish(&so_far);
        if (i == image->layer_count)
            return ids;
        sb_sha256_add(&sha, image->layers[i].layer.diff_id.bytes, sizeof(struct sb_digest));
    }
}

/* Relative to STORE. */
static char *memo_path(const struct sb_digest *id) {
    return sb_format("sbuild/paths/%s", sb_digest_hex(id).text);
}

/* The text that was kept under that name, the caller's to free; NULL when there is none, or half of
 * one. */
static char *find_memo(struct sb_store *store, const struct sb_digest *id) {
    sb_autofree char *path = memo_path(id);
    sb_autobuf struct sb_buf file = {0};
    const size_t head = SB_DIGEST_HEX_SIZE; /* 64 digits and a newline */
    if (sb_file_read(sb_store_fd(store), path, head + SB_BASE_PATHS_LIMIT, &file, NULL) < 0 ||
        file.len <= head || memchr(file.data, '\0', file.len))
        return NULL;
    struct sb_digest digest = sb_digest_of(file.data + head, file.len - head);
    if (strncmp(sb_digest_hex(&digest).text, file.data, head - 1) != 0)
        return NULL;
    sb_store_use(store, path, NULL);
    return sb_strdup(file.data + head);
}

/* Not fsynced, and no error: it can be made again. */
static void keep_memo(struct sb_store *store, const struct sb_digest *id, const char *text) {
    sb_autofree char *path = memo_path(id);
    struct sb_digest digest = sb_digest_of(text, strlen(text));
    sb_autofree char *file = sb_format("%s\n%s", sb_digest_hex(&digest).text, text);
    if (mkdirat(sb_store_private_fd(store), "paths", 0700) == 0 || errno == EEXIST)
        sb_store_publish(store, path, file, strlen(file), NULL);
}

static void set_text(struct sb_image *image, const char *text) {
    json_object_set_new(image->config, SB_BASE_PATHS_KEY, json_string(text));
}

static int add_layers(struct sb_store *store, struct sb_image *image, size_t from,
                      const struct sb_digest *ids, struct sb_base_paths *paths,
                      struct sb_error *err) {
    for (size_t i = from; i < image->layer_count; i++) {
        struct sb_contents *layer;
        if (sb_layer_contents(store, &image->layers[i].layer, &layer, err) < 0)
            return sb_error_context(err, "what layer %zu of the image holds", i + 1);
        int failed = sb_base_paths_add(paths, layer, err);
        sb_contents_close(layer);
        if (failed)
            return -1;
        sb_autofree char *text = sb_base_paths_text(paths);
        keep_memo(store, &ids[i - from + 1], text);
    }
    return 0;
}

int sb_base_paths_update(struct sb_store *store, struct sb_image *image, size_t known,
                         struct sb_error *err) {
    const json_t *said = known ? sb_base_paths_said(image) : NULL;
    const char *text = said ? json_string_value(said) : NULL;
    size_t done = image->layer_count;
    if (text && done == known)
        return 0;
    sb_autofree struct sb_digest *ids = identify(image, known, text);
    sb_autofree char *memo = NULL;
    for (; done > known && !memo; done -= memo == NULL)
        memo = find_memo(store, &ids[done - known]);
    if (memo && done == image->layer_count) {
        set_text(image, memo);
        return 0;
    }
    struct sb_base_paths paths = {0};
    int failed = 0;
    if (memo && read_text(memo, &paths, NULL) != 1)
        done = known; /* what is kept is whole, but who knows who wrote it */
    if (!paths.contents && known == 0)
        sb_base_paths_scratch(&paths);
    else if (!paths.contents)
        failed = sb_base_paths_read(said, &paths, err);
    if (!failed)
        failed = add_layers(store, image, done, &ids[done - known], &paths, err);
    if (!failed) {
        sb_autofree char *whole = sb_base_paths_text(&paths);
        set_text(image, whole);
    }
    sb_base_paths_free(&paths);
    return failed;
}
