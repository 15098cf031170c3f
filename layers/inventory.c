#include "layers/inventory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/origin.h"
#include "layers/store_private.h"

/* ---- the size of a directory with all that is below ---- */

struct hard_link {
    struct sb_inode inode;
    uint64_t names; /* that the file has */
};
struct measure {
    dev_t device;
    uint64_t bytes;
    struct hard_link *links;
    size_t n, cap;
};

static uint64_t disk_bytes(const struct stat *st) {
    return (uint64_t)st->st_blocks * 512;
}

/* What can't be read isn't counted: an estimate is of more use than an error. */
static int measure_entry(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    struct measure *m = self;
    struct stat st;
    (void)err;
    if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != m->device)
        return 1;
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
        SB_GROW(m->links, m->n, m->cap);
        m->links[m->n++] =
            (struct hard_link){{st.st_dev, st.st_ino, disk_bytes(&st)}, (uint64_t)st.st_nlink};
        return 0;
    }
    m->bytes += disk_bytes(&st);
    return S_ISDIR(st.st_mode) && faccessat(e->dir, e->name, R_OK | X_OK, AT_EACCESS) < 0;
}

static void measure_below(struct measure *m, int dirfd, const char *name) {
    sb_tree_walk(dirfd, name, measure_entry, NULL, m, NULL);
}

static int compare_inodes(const void *a, const void *b) {
    const struct sb_inode *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

/* Every file once; one that has more names than were seen is shared, if anybody wants to know. */
static void end_measure(struct measure *m, struct sb_inodes *out_shared) {
    if (m->n > 1) /* the inode comes first in a link */
        qsort(m->links, m->n, sizeof *m->links, compare_inodes);
    for (size_t i = 0, same; i < m->n; i += same) {
        const struct hard_link *link = &m->links[i];
        for (same = 1; i + same < m->n && compare_inodes(link, link + same) == 0;)
            same++;
        if (!out_shared || same >= link->names) {
            m->bytes += link->inode.bytes;
            continue;
        }
        SB_GROW(out_shared->v, out_shared->n, out_shared->cap);
        out_shared->v[out_shared->n++] = link->inode;
    }
    free(m->links);
}

static uint64_t measure(int dirfd, const char *name, const struct stat *st,
                        struct sb_inodes *out_shared) {
    struct measure m = {.device = st->st_dev, .bytes = disk_bytes(st)};
    if (S_ISDIR(st->st_mode)) {
        measure_below(&m, dirfd, name);
        end_measure(&m, out_shared);
    }
    return m.bytes;
}

uint64_t sb_disk_usage_together(int dirfd, const struct sb_strings *names) {
    struct measure m = {0};
    for (size_t i = 0; i < names->n; i++) {
        sb_autofree char *fs = sb_format("%s/fs", names->v[i]);
        struct stat st;
        if (fstatat(dirfd, fs, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        m.device = st.st_dev;
        m.bytes += disk_bytes(&st);
        measure_below(&m, dirfd, fs);
    }
    end_measure(&m, NULL);
    return m.bytes;
}

/* ---- the items ---- */

static const struct place {
    const char *path;
    enum sb_item_kind kind;
    bool hex;         /* names are digests; anything else there is no item */
    const char *skip; /* entries that are places of their own */
} places[] = {
    {".", SB_ITEM_OTHER, false, "|blobs|sbuild|"},
    {"blobs", SB_ITEM_OTHER, false, "|sha256|"},
    {SB_BLOBS_DIRECTORY, SB_ITEM_BLOB, true, NULL},
    {"sbuild", SB_ITEM_OTHER, false,
     "|trees|contents|records|origins|listings|caches|logs|stat|git|last|recalled|paths|tests|"
     "failed|tmp|"},
    {"sbuild/trees", SB_ITEM_TREE, true, NULL},
    {"sbuild/contents", SB_ITEM_CONTENTS, true, NULL},
    {"sbuild/records", SB_ITEM_RECORD, true, NULL},
    {"sbuild/listings", SB_ITEM_LISTING, true, NULL},
    {SB_ORIGINS_DIRECTORY, SB_ITEM_ORIGIN, true, NULL},
    {"sbuild/caches", SB_ITEM_CACHE, false, NULL},
    {"sbuild/stat", SB_ITEM_NOTE, false, NULL},
    {"sbuild/git", SB_ITEM_NOTE, false, NULL},
    {"sbuild/last", SB_ITEM_NOTE, false, NULL},
    {"sbuild/recalled", SB_ITEM_NOTE, false, NULL},
    {"sbuild/paths", SB_ITEM_NOTE, false, NULL},
    {"sbuild/tests", SB_ITEM_NOTE, true, NULL},
    {"sbuild/failed", SB_ITEM_FAILED, false, NULL},
    {"sbuild/logs", SB_ITEM_LOG, false, NULL},
    {"sbuild/tmp", SB_ITEM_TEMPORARY, false, NULL},
};

static enum sb_item_kind kind_of(const struct place *place, const char *name) {
    struct sb_digest digest;
    if (!strncmp(name, SB_TMP_PREFIX, strlen(SB_TMP_PREFIX)))
        return SB_ITEM_TEMPORARY;
    return place->hex && !sb_digest_parse_hex(name, &digest) ? SB_ITEM_OTHER : place->kind;
}

static bool is_skipped(const struct place *place, const char *name) {
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return true;
    if (!place->skip)
        return false;
    sb_autofree char *whole = sb_format("|%s|", name);
    return strstr(place->skip, whole) != NULL;
}

/* Which directories are measured. */
struct sizes {
    const struct sb_strings *only;
    const struct sb_inventory *earlier;
};

static void add_item(const struct place *place, int dirfd, const char *name,
                     const struct sizes *sizes, struct sb_inventory *out) {
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    enum sb_item_kind kind = kind_of(place, name);
    if (kind == SB_ITEM_OTHER) {
        out->other.count++;
        out->other.bytes += sizes->only ? 0 : measure(dirfd, name, &st, NULL);
        return;
    }
    char *path = sb_path_join(place->path, name);
    const struct sb_item *known = S_ISDIR(st.st_mode) && sizes->earlier
                                      ? sb_inventory_find(sizes->earlier, kind, path)
                                      : NULL;
    struct sb_item item = {.kind = kind, .path = path, .last_use = st.st_mtim};
    if (known) {
        item.bytes = known->bytes;
        for (size_t i = 0; i < known->shared.n; i++) {
            SB_GROW(item.shared.v, item.shared.n, item.shared.cap);
            item.shared.v[item.shared.n++] = known->shared.v[i];
        }
    } else if (!S_ISDIR(st.st_mode) || !sizes->only || sb_strings_has(sizes->only, path)) {
        item.bytes = measure(dirfd, name, &st, &item.shared);
    }
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n++] = item;
}

static int compare_items(const void *a, const void *b) {
    const struct sb_item *x = a, *y = b;
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->path, y->path);
}

static int scan(struct sb_store *store, const struct place *place, const struct sizes *sizes,
                struct sb_inventory *out, struct sb_error *err) {
    int fd = openat(store->fd, place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;
    if (!dir || fstat(fd, &st) < 0) {
        if (!dir)
            sb_close_descriptor(&fd);
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "%s/%s", store->path, place->path);
    }
    out->other.bytes += disk_bytes(&st);
    for (struct dirent *e; (e = readdir(dir));)
        if (!is_skipped(place, e->d_name))
            add_item(place, fd, e->d_name, sizes, out);
    return 0;
}

/* ---- what items share ---- */

static void find_shared(struct sb_inventory *out) {
    size_t n = 0, groups = 0;
    for (size_t i = 0; i < out->n; i++)
        n += out->v[i].shared.n;
    if (n == 0)
        return;
    struct sb_shared *all = sb_alloc(n * sizeof *all);
    n = 0;
    for (size_t i = 0; i < out->n; i++)
        for (size_t j = 0; j < out->v[i].shared.n; j++)
            all[n++] = (struct sb_shared){
                .inode = out->v[i].shared.v[j], .kind = out->v[i].kind, .holders = 1};
    qsort(all, n, sizeof *all, compare_inodes); /* of which it begins with one */
    for (size_t i = 0; i < n; i++)
        if (groups > 0 && compare_inodes(&all[groups - 1], &all[i]) == 0)
            all[groups - 1].holders++;
        else
            all[groups++] = all[i];
    out->shared = all;
    out->shared_count = groups;
}

struct sb_shared *sb_inventory_shared(const struct sb_inventory *inventory,
                                      const struct sb_inode *inode) {
    return bsearch(inode, inventory->shared, inventory->shared_count, sizeof *inventory->shared,
                   compare_inodes);
}

/* ---- the whole ---- */

int sb_inventory_take(struct sb_store *store, const struct sb_strings *only,
                      const struct sb_inventory *earlier, struct sb_inventory *out,
                      struct sb_error *err) {
    *out = (struct sb_inventory){0};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (scan(store, &places[i], &(struct sizes){only, earlier}, out, err) < 0) {
            sb_inventory_free(out);
            return -1;
        }
    }
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, compare_items);
    find_shared(out);
    return 0;
}

void sb_inventory_free(struct sb_inventory *inventory) {
    for (size_t i = 0; i < inventory->n; i++) {
        free(inventory->v[i].path);
        free(inventory->v[i].needs.v);
        free(inventory->v[i].shared.v);
    }
    free(inventory->v);
    free(inventory->shared);
    *inventory = (struct sb_inventory){0};
}

struct sb_item *sb_inventory_find(const struct sb_inventory *inventory, enum sb_item_kind kind,
                                  const char *path) {
    struct sb_item key = {.kind = kind, .path = (char *)path};
    if (inventory->n == 0)
        return NULL;
    return bsearch(&key, inventory->v, inventory->n, sizeof *inventory->v, compare_items);
}
