#include "layers/extract.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/unpack.h"
#include "layers/whiteout.h"

/* What is wanted of one layer. */
struct wanted {
    const struct sb_strings *paths;
    struct sb_map targets; /* of hard links among them, which may lie elsewhere */
    struct sb_xattr_set *xattrs;
    struct sb_error failure; /* of noting these; code 0: none */
};

static bool is_below(const char *path, const char *above) {
    return !*above || sb_path_is_below(path, above);
}

/* A path that is wanted, or leads to one. */
static bool concerns(const struct sb_strings *paths, const char *path) {
    for (size_t i = 0; i < paths->n; i++)
        if (is_below(path, paths->v[i]) || is_below(paths->v[i], path))
            return true;
    return false;
}

/* Extended attributes may be such as can't be given to what is laid out. */
static void note_xattrs(struct wanted *wanted, const struct sb_entry *entry) {
    if (!wanted->failure.code)
        sb_xattr_set_put(wanted->xattrs, entry, &wanted->failure);
}

static bool keep_all(void *data, const struct sb_entry *entry) {
    if (sb_whiteout_kind(entry->path) == SB_WHITEOUT_NO)
        note_xattrs(data, entry);
    return true;
}

static bool keep(void *data, const struct sb_entry *entry) {
    struct wanted *wanted = data;
    enum sb_whiteout kind = sb_whiteout_kind(entry->path);
    if (kind == SB_WHITEOUT_NO) {
        bool kept = concerns(wanted->paths, entry->path) ||
                    (wanted->targets.n && sb_map_find(&wanted->targets, entry->path));
        if (kept)
            note_xattrs(wanted, entry);
        return kept;
    }
    if (kind != SB_WHITEOUT_HIDES && kind != SB_WHITEOUT_HIDES_BELOW)
        return false;
    sb_autofree char *hidden = sb_whiteout_target(entry->path);
    return concerns(wanted->paths, hidden);
}

/* ---- which layers ---- */

/* Entries of the layer at a path and below it; *any: there are some. */
static int look_below(const struct sb_contents *contents, const char *path, struct wanted *wanted,
                      bool *any, struct sb_error *err) {
    size_t n = sb_contents_count(contents);
    size_t len = strlen(path);
    for (size_t i = sb_contents_seek(contents, path); i < n; i++) {
        struct sb_entry entry;
        sb_contents_get(contents, i, &entry);
        if (strncmp(entry.path, path, len) != 0)
            break;
        if (!is_below(entry.path, path)) /* "a-b" comes before "a/b" */
            continue;
        if (sb_interrupt_check(err) < 0)
            return -1;
        *any = true;
        if (entry.hard_link)
            *sb_map_put(&wanted->targets, entry.link) = 1;
    }
    return 0;
}

/* Whether the layer hides or replaces a directory that leads to the path. */
static bool hides(const struct sb_contents *contents, const char *path) {
    struct sb_entry entry;
    for (const char *part = path; *part;) {
        size_t len = strcspn(part, "/");
        sb_autofree char *above = sb_strndup(path, (size_t)(part - path));
        sb_autofree char *name = sb_strndup(part, len);
        sb_autofree char *hidden = sb_format("%s" SB_WHITEOUT_PREFIX "%s", above, name);
        sb_autofree char *opaque =
            sb_format("%s" SB_WHITEOUT_PREFIX SB_WHITEOUT_PREFIX ".opq", above);
        sb_autofree char *upto = sb_format("%s%s", above, name);
        if (sb_contents_find(contents, hidden, &entry) ||
            sb_contents_find(contents, opaque, &entry) ||
            (part[len] && sb_contents_find(contents, upto, &entry) && !S_ISDIR(entry.mode)))
            return true;
        part += len + (part[len] == '/');
    }
    return false;
}

/* below: something of it was laid out already. */
static int is_wanted(const struct sb_contents *contents, struct wanted *wanted, bool below,
                     bool *out, struct sb_error *err) {
    *out = false;
    for (size_t i = 0; i < wanted->paths->n; i++) {
        const char *path = wanted->paths->v[i];
        if (look_below(contents, path, wanted, out, err) < 0)
            return -1;
        *out = *out || (below && hides(contents, path));
    }
    return 0;
}

/* What a link's content was before something else took its place, the table doesn't tell: then the
 * whole layer is laid out. */
static int lay_out(struct sb_store *store, const struct sb_layer *layer, struct wanted *wanted,
                   int dirfd, struct sb_error *err) {
    struct sb_unpack_options options = {
        .form = SB_UNPACK_APPLY, .ignore_ownership = true, .keep = keep, .keep_data = wanted};
    struct sb_error first = {0};
    if (sb_unpack_layer(store, layer, dirfd, &options, &first) == 0)
        return 0;
    if (first.code != SB_E_INTEGRITY) {
        *err = first;
        return -1;
    }
    options.keep = keep_all;
    return sb_unpack_layer(store, layer, dirfd, &options, err);
}

int sb_extract_paths(struct sb_store *store, const struct sb_image *image,
                     const struct sb_stack *stack, const struct sb_strings *paths, int dirfd,
                     struct sb_xattr_set *xattrs, size_t *out_failed, struct sb_error *err) {
    bool below = false;
    int failed = 0;
    *out_failed = image->layer_count;
    for (size_t i = 0; i < image->layer_count && !failed; i++) {
        struct wanted wanted = {.paths = paths, .xattrs = xattrs};
        bool wants = false;
        failed = is_wanted(stack->v[i], &wanted, below, &wants, err);
        if (wants && !failed) {
            failed = lay_out(store, &image->layers[i].layer, &wanted, dirfd, err);
            if (!failed && wanted.failure.code) {
                *err = wanted.failure;
                failed = -1;
            }
            *out_failed = failed ? i : *out_failed;
            below = true;
        }
        sb_map_free(&wanted.targets);
    }
    return failed ? -1 : 0;
}
