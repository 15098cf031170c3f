#include "layers/mend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/map.h"
#include "base/memory.h"
#include "layers/attributes.h"
#include "layers/contents.h"
#include "layers/place.h"
#include "layers/unpack.h"
#include "layers/whiteout.h"
#include "layers/xattrs.h"

struct mend {
    const struct sb_mend_stack *what;
    struct sb_stack stack;
    struct sb_map seen;           /* candidates, and all that was made */
    struct sb_strings candidates; /* directories that may have to be mended */
    int root;                     /* the mend, once there is one; else -1 */
    const char *path;
    struct sb_directory_list directories;
};

/* ---- which ---- */

static void add_candidate(struct mend *m, const char *path, size_t len) {
    uint64_t *known = sb_map_put_n(&m->seen, path, len);
    if (!*known)
        sb_strings_take(&m->candidates, sb_strndup(path, len));
    *known = 1;
}

static bool has_entry(const struct sb_contents *layer, const char *path, size_t len) {
    struct sb_entry ignored;
    sb_autofree char *name = sb_strndup(path, len);
    return sb_contents_find(layer, name, &ignored);
}

/* The directories on the way to path that the layer does not mention. */
static void imply(struct mend *m, const struct sb_contents *layer, const char *path, size_t len) {
    while (len > 0 && !has_entry(layer, path, len)) {
        add_candidate(m, path, len);
        while (len > 0 && path[len - 1] != '/')
            len--;
        len -= len > 0;
    }
}

static bool is_opaque(const struct sb_contents *layer, const char *path, size_t len) {
    sb_autofree char *mark =
        sb_format("%.*s%s" SB_WHITEOUT_OPAQUE, (int)len, path, len > 0 ? "/" : "");
    struct sb_entry ignored;
    return sb_contents_find(layer, mark, &ignored);
}

/* A whiteout of what a layer below has is in a directory that both have. */
static bool hides_something(const struct mend *m, size_t layer, const char *path, size_t len) {
    const struct sb_stack below = {m->stack.v, layer};
    sb_autofree char *target = sb_whiteout_target(path);
    struct sb_entry ignored;
    return !is_opaque(m->stack.v[layer], path, len) && sb_stack_find(&below, target, &ignored);
}

static void find_candidates(struct mend *m, size_t index) {
    const struct sb_contents *layer = m->stack.v[index];
    sb_autobuf struct sb_buf last = {0}; /* the parent of the entry before */
    sb_buf_addc(&last, '/');
    for (size_t i = 0; i < sb_contents_count(layer); i++) {
        struct sb_entry entry;
        sb_contents_get(layer, i, &entry);
        enum sb_whiteout kind = sb_whiteout_kind(entry.path);
        if (kind == SB_WHITEOUT_IGNORED || kind == SB_WHITEOUT_BAD)
            continue;
        const char *slash = strrchr(entry.path, '/');
        size_t len = slash ? (size_t)(slash - entry.path) : 0;
        if (last.len != len || memcmp(last.data, entry.path, len) != 0) {
            imply(m, layer, entry.path, len);
            sb_buf_reset(&last);
            sb_buf_add(&last, entry.path, len);
        }
        if (kind == SB_WHITEOUT_HIDES && len > 0 && !hides_something(m, index, entry.path, len))
            add_candidate(m, entry.path, len);
    }
}

/* ---- making it ---- */

static int begin(struct mend *m, struct sb_error *err) {
    if (m->root >= 0)
        return 0;
    if (mkdir(m->path, 0755) < 0 || chmod(m->path, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", m->path);
    m->root = open(m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return m->root < 0 ? sb_fail_errno(err, SB_E_IO, "opening %s", m->path) : 0;
}

/* The attributes that the highest layer with an entry for it gives a directory: those of its tree,
 * as extended ones stand nowhere else. */
static int note_attributes(struct mend *m, const char *path, struct sb_entry *entry,
                           struct sb_error *err) {
    struct sb_entry there;
    size_t i = m->stack.n;
    while (i > 0 && !sb_contents_find(m->stack.v[i - 1], path, &there))
        i--;
    if (i > 0 && (!S_ISDIR(there.mode) || there.hard_link)) /* implied in place of a file */
        i = 0;
    struct sb_xattrs xattrs = {0};
    int failed = 0;
    if (i > 0) {
        sb_autofree char *name = sb_format("%s/%s", m->what->trees[i - 1], path);
        sb_autoclose int fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            failed = sb_fail_errno(err, SB_E_IO, "opening %s", name);
        else
            failed = sb_xattrs_read(&xattrs, fd, -1, NULL, true, name, err);
        entry->xattrs = xattrs.v;
        entry->xattr_count = xattrs.n;
    }
    entry->path = path;
    if (!failed)
        sb_directory_list_add(&m->directories, entry);
    sb_xattrs_free(&xattrs);
    return failed;
}

static int make_one(struct mend *m, const char *path, struct sb_entry *entry,
                    struct sb_error *err) {
    if (mkdirat(m->root, path, 0700) < 0)
        return errno == EEXIST ? 0 : sb_fail_errno(err, SB_E_IO, "creating %s/%s", m->path, path);
    return note_attributes(m, path, entry, err);
}

/* What is no directory, in spite of a layer that has whiteouts there. */
static int show_file(struct mend *m, const char *path, struct sb_error *err) {
    struct sb_entry ignored;
    size_t i = m->stack.n;
    while (i > 0 && !sb_contents_find(m->stack.v[i - 1], path, &ignored))
        i--;
    if (i == 0)
        return 0;
    sb_autofree char *name = sb_format("%s/%s", m->what->trees[i - 1], path);
    return linkat(AT_FDCWD, name, m->root, path, 0) == 0 || errno == EEXIST
               ? 0
               : sb_fail_errno(err, SB_E_IO, "linking %s", name);
}

/* Below all layers; these don't hide it. */
static bool is_below(const struct mend *m, const char *path, struct sb_entry *out) {
    struct stat st;
    sb_autofree char *name = m->what->below ? sb_format("%s/%s", m->what->below, path) : NULL;
    bool there = name && lstat(name, &st) == 0 && S_ISDIR(st.st_mode);
    if (there)
        *out = (struct sb_entry){.path = path, .mode = S_IFDIR | 0755};
    return there;
}

/* The directory and those above it; or a whiteout of the first that is none. */
static int make(struct mend *m, const char *path, struct sb_error *err) {
    if (begin(m, err) < 0)
        return -1;
    for (size_t end = strcspn(path, "/");; end += 1 + strcspn(path + end + 1, "/")) {
        struct sb_entry entry;
        sb_autofree char *prefix = sb_strndup(path, end);
        bool there = sb_stack_find(&m->stack, prefix, &entry) || is_below(m, prefix, &entry);
        if (there && (!S_ISDIR(entry.mode) || entry.hard_link))
            return show_file(m, prefix, err);
        if (there && make_one(m, prefix, &entry, err) < 0)
            return -1;
        if (!there)
            return mknodat(m->root, prefix, S_IFCHR | 0600, 0) == 0 || errno == EEXIST
                       ? 0
                       : sb_fail_errno(err, SB_E_IO, "making the whiteout %s", prefix);
        if (!path[end])
            return 0;
    }
}

static int make_all(struct mend *m, struct sb_error *err) {
    static const struct sb_unpack_options options = {.form = SB_UNPACK_OVERLAY};
    for (size_t i = 0; i < m->candidates.n; i++)
        if (make(m, m->candidates.v[i], err) < 0)
            return -1;
    if (m->root < 0)
        return 0;
    struct sb_placer place;
    sb_place_init(&place, m->root);
    int failed = sb_directory_list_apply(&m->directories, &place, &options, err);
    sb_place_free(&place);
    return failed;
}

int sb_mend_make(struct sb_store *store, const struct sb_mend_stack *what, const char *path,
                 bool *out_made, struct sb_error *err) {
    sb_autofree struct sb_contents **contents = sb_alloc((what->count + 1) * sizeof *contents);
    struct mend m = {.what = what, .stack = {contents, 0}, .root = -1, .path = path};
    int failed = 0;
    for (bool known = true; known && m.stack.n < what->count; m.stack.n += known)
        known = sb_layer_contents(store, what->layers[m.stack.n], &contents[m.stack.n], NULL) == 0;
    if (m.stack.n == what->count)
        for (size_t i = 0; i < m.stack.n; i++)
            find_candidates(&m, i);
    failed = make_all(&m, err);
    *out_made = m.root >= 0;
    sb_close_descriptor(&m.root);
    while (m.stack.n > 0)
        sb_contents_close(contents[--m.stack.n]);
    sb_directory_list_free(&m.directories);
    sb_strings_free(&m.candidates);
    sb_map_free(&m.seen);
    return failed;
}
