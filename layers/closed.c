#include "layers/closed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "layers/trees.h"

#define HEAD SB_DIGEST_HEX_SIZE /* hexadecimal digits, and a newline */

struct walk {
    int root;
    struct sb_strings pending; /* directories to be read */
    struct sb_strings found;
    size_t bytes;
};

static bool is_closed(const struct stat *st) {
    mode_t some = (st->st_mode >> 6 | st->st_mode >> 3) & 05;
    return (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) && (some & ~st->st_mode) != 0;
}

static int note(struct walk *w, const char *path, struct sb_error *err) {
    w->bytes += strlen(path) + 1;
    if (w->found.n >= SB_CLOSED_ENTRIES || w->bytes > SB_CLOSED_BYTES) {
        sb_fail(err, SB_E_FAILED, "more than %d files of a layer are not everybody's to read (%s)",
                SB_CLOSED_ENTRIES, sb_text_shown(path).text);
        return sb_error_hint(err, "make them readable in the recipe (chmod -R o+rX), or bundle "
                                  "with harden: {own_ids: false}");
    }
    sb_strings_add(&w->found, path);
    return 0;
}

static int look_at(struct walk *w, int dir, const char *parent, const char *name, int type,
                   struct sb_error *err) {
    struct stat st;
    if (type != DT_DIR && type != DT_REG && type != DT_UNKNOWN)
        return 0;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", sb_text_shown(name).text);
    bool closed = is_closed(&st);
    if (!closed && !S_ISDIR(st.st_mode))
        return 0;
    sb_autofree char *path = sb_format("%s%s%s", parent, *parent ? "/" : "", name);
    if (S_ISDIR(st.st_mode))
        sb_strings_add(&w->pending, path);
    return closed ? note(w, path, err) : 0;
}

static int read_directory(struct walk *w, const char *path, struct sb_error *err) {
    int fd = sb_directory_beneath(w->root, path);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_fail_errno(err, SB_E_IO, "reading %s", sb_text_shown(path).text);
        sb_close_descriptor(&fd);
        return -1;
    }
    for (const struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            look_at(w, dirfd(dir), path, e->d_name, e->d_type, err) < 0)
            return -1;
    return sb_interrupt_check(err);
}

/* Without a descriptor for each level: a path is as deep as it may be. */
static int walk(int root, struct sb_strings *out, struct sb_error *err) {
    struct walk w = {.root = root};
    int rc = read_directory(&w, "", err);
    while (rc == 0 && w.pending.n > 0) {
        sb_autofree char *path = w.pending.v[--w.pending.n];
        w.pending.v[w.pending.n] = NULL;
        rc = read_directory(&w, path, err);
    }
    sb_strings_free(&w.pending);
    *out = w.found;
    return rc;
}

static int tell(const struct sb_strings *found, sb_closed_entry *each, void *data,
                struct sb_error *err) {
    for (size_t i = 0; i < found->n; i++)
        if (each(data, found->v[i], err) < 0)
            return -1;
    return 0;
}

int sb_closed_walk(int dir, sb_closed_entry *each, void *data, struct sb_error *err) {
    sb_autostrings struct sb_strings found = {0};
    return walk(dir, &found, err) < 0 ? -1 : tell(&found, each, data, err);
}

/* ---- what was found out ---- */

/* Not fsynced: what a loss of power tore has not its digest. */
static bool recall(struct sb_store *store, const char *path, struct sb_strings *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(sb_store_fd(store), path, SB_CLOSED_BYTES + HEAD, &text, NULL) < 0 ||
        text.len < HEAD)
        return false;
    const struct sb_digest digest = sb_digest_of(text.data + HEAD, text.len - HEAD);
    if (memcmp(text.data, sb_digest_hex(&digest).text, HEAD - 1) != 0 ||
        text.data[HEAD - 1] != '\n')
        return false;
    for (size_t at = HEAD; at < text.len; at += strlen(text.data + at) + 1)
        sb_strings_add(out, text.data + at);
    return true;
}

static void remember(struct sb_store *store, const char *path, const struct sb_strings *found) {
    sb_autobuf struct sb_buf paths = {0}, text = {0};
    for (size_t i = 0; i < found->n; i++)
        sb_buf_add(&paths, found->v[i], strlen(found->v[i]) + 1);
    const struct sb_digest digest = sb_digest_of(sb_buf_text(&paths), paths.len);
    sb_buf_addf(&text, "%s\n", sb_digest_hex(&digest).text);
    sb_buf_add(&text, paths.data, paths.len);
    sb_store_publish(store, path, text.data, text.len, NULL); /* or it is looked for again */
}

int sb_closed_each(struct sb_store *store, const struct sb_digest *diff_id, sb_closed_entry *each,
                   void *data, struct sb_error *err) {
    sb_autostrings struct sb_strings found = {0};
    sb_autofree char *tree = sb_tree_path(diff_id);
    sb_autofree char *path = sb_format("%s/closed", tree), *fs = sb_format("%s/fs", tree);
    if (!recall(store, path, &found)) {
        sb_autoclose int dir = sb_directory_open(sb_store_fd(store), fs, err);
        if (dir < 0 || walk(dir, &found, err) < 0)
            return -1;
        remember(store, path, &found);
    }
    return tell(&found, each, data, err);
}
