#include "layers/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/sparse.h"
#include "layers/attributes.h"
#include "layers/content.h"
#include "layers/onto.h"
#include "layers/place.h"
#include "layers/reuse.h"
#include "layers/store_private.h"
#include "layers/walk.h"
#include "layers/whiteout.h"

struct layout {
    struct sb_placer place;
    const struct sb_unpack_options *options;
    struct sb_content_writer *content;
    struct sb_directory_list directories;
    /* Applying: paths that this layer made, which its own whiteouts don't concern. */
    struct sb_map made;
    struct sb_map kept; /* directories whose time is noted */
    struct sb_onto onto;
};

static bool overlay(const struct layout *l) {
    return l->options->form == SB_UNPACK_OVERLAY;
}

static bool onto(const struct layout *l) {
    return l->options->form == SB_UNPACK_ONTO;
}

static const char *opaque_attribute(const struct sb_unpack_options *options) {
    return options->user_xattrs ? "user.overlay.opaque" : "trusted.overlay.opaque";
}

/* Marks path, and the directories it is in, as this layer's. */
static void remember(struct layout *l, const char *path) {
    if (overlay(l))
        return;
    for (size_t len = strlen(path); len > 0;) {
        uint64_t *known = sb_map_put_n(&l->made, path, len);
        if (*known)
            return;
        *known = 1;
        while (len > 0 && path[len - 1] != '/')
            len--;
        if (len > 0)
            len--;
    }
}

static void note_directory(struct layout *l, const struct sb_entry *entry) {
    sb_directory_list_add(&l->directories, entry);
    if (!overlay(l))
        *sb_map_put(&l->kept, entry->path) = 1;
}

/* A lower layer's directory that this layer puts something into, or takes something out of, without
 * mentioning it stays as it was. */
static int keep_time(void *self, int dir, const char *path, struct sb_error *err) {
    struct layout *l = self;
    uint64_t *known = overlay(l) || !*path ? NULL : sb_map_put(&l->kept, path);
    if (!known || *known)
        return 0;
    *known = 1;
    struct stat st;
    if (fstat(dir, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    sb_directory_list_add(&l->directories,
                          &(struct sb_entry){.path = path,
                                             .mtime = st.st_mtim.tv_sec,
                                             .mtime_nsec = (uint32_t)st.st_mtim.tv_nsec});
    return 0;
}

static int keep_parent(struct layout *l, int dir, const char *path, const char *name,
                       struct sb_error *err) {
    if (overlay(l) || name == path)
        return 0;
    sb_autofree char *parent = sb_strndup(path, (size_t)(name - path) - 1);
    return keep_time(l, dir, parent, err);
}

static void made_directory(void *self, const char *path) {
    struct layout *l = self;
    static const struct sb_unpack_owner root;
    const struct sb_unpack_owner *owner = l->options->owner ? l->options->owner : &root;
    const struct sb_entry entry = {
        .path = path, .mode = 0755 | S_IFDIR, .uid = owner->uid, .gid = owner->gid};
    note_directory(l, &entry);
    remember(l, path);
    if (onto(l))
        sb_onto_made(&l->onto, path);
}

/* Applying: what lower layers left is no layer's business; what this one has there is damage. */
static bool gives_way(void *self, const char *path) {
    const struct layout *l = self;
    return l->options->form == SB_UNPACK_APPLY && !sb_map_find(&l->made, path);
}

/* ---- making way ---- */

enum was { WAS_NOTHING, WAS_DIRECTORY, WAS_OTHER };

/* Removes what stands at name, unless it is a directory and one is wanted. */
static int clear(int dir, const char *name, bool keep_directory, enum was *out_was,
                 struct sb_error *err) {
    struct stat st;
    *out_was = WAS_NOTHING;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "%s", name);
    *out_was = S_ISDIR(st.st_mode) ? WAS_DIRECTORY : WAS_OTHER;
    if (S_ISDIR(st.st_mode) && keep_directory)
        return 0;
    if (S_ISDIR(st.st_mode))
        return sb_tree_remove(dir, name, err);
    if (unlinkat(dir, name, 0) < 0)
        return sb_fail_errno(err, SB_E_IO, "replacing %s", name);
    return 0;
}

/* For anything but directories. */
static int make_way(int dir, const char *name, struct sb_error *err) {
    enum was was;
    return clear(dir, name, false, &was, err);
}

static int mark_opaque(const struct layout *l, int dir, const char *name, struct sb_error *err) {
    sb_autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fsetxattr(fd, opaque_attribute(l->options), "y", 1, 0) < 0) {
        sb_fail_errno(err, SB_E_IO, "marking a directory as opaque");
        return sb_error_hint(err, "overlay mounts need a store on ext4, xfs or btrfs");
    }
    return 0;
}

/* ---- regular files ---- */

/* With the mode that it ends with, if the umask lets it, but for what only its owner may give. */
static int create(int dir, const char *name, mode_t mode) {
    return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0777);
}

static int create_file(int dir, const char *name, const struct sb_entry *entry,
                       struct sb_error *err) {
    int fd = create(dir, name, entry->mode);
    if (fd < 0 && errno == EEXIST) {
        if (make_way(dir, name, err) < 0)
            return -1;
        fd = create(dir, name, entry->mode);
    }
    return fd < 0 ? sb_fail_errno(err, SB_E_IO, "creating %s", entry->path) : fd;
}

/* By a link to an older file, if that has the same bytes; else what they have in common is copied.
 * A file system may refuse one more link. */
static int place_like(struct layout *l, int older, int dir, const char *name,
                      const struct sb_entry *entry, struct sb_entry_data *data,
                      struct sb_error *err) {
    struct sb_content_begun begun;
    bool same;
    if (sb_reuse_compare(l->options->reuse, older, entry, data, &begun, &same, err) < 0)
        return -1;
    if (same && sb_reuse_link(l->options->reuse, older, entry, dir, name) == 0)
        return 0;
    if (same && errno == EEXIST) {
        if (make_way(dir, name, err) < 0)
            return -1;
        if (sb_reuse_link(l->options->reuse, older, entry, dir, name) == 0)
            return 0;
    }
    sb_autoclose int fd = create_file(dir, name, entry, err);
    if (fd < 0)
        return -1;
    if (sb_sparse_copy(older, fd, begun.done, err) < 0)
        return sb_error_context(err, "%s", entry->path);
    return sb_content_write(l->content, sb_steal_fd(&fd), entry, data, &begun, err);
}

static int place_file(struct layout *l, int dir, const char *name, const struct sb_entry *entry,
                      struct sb_entry_data *data, struct sb_error *err) {
    sb_autoclose int older = l->options->reuse ? sb_reuse_open(l->options->reuse, entry) : -1;
    if (older >= 0)
        return place_like(l, older, dir, name, entry, data, err);
    int fd = create_file(dir, name, entry, err);
    return fd < 0 ? -1 : sb_content_write(l->content, fd, entry, data, NULL, err);
}

/* ---- everything else ---- */

static int place_directory(struct layout *l, int dir, const char *name,
                           const struct sb_entry *entry, struct sb_error *err) {
    if (mkdirat(dir, name, 0700) < 0) {
        enum was was;
        if (errno != EEXIST)
            return sb_fail_errno(err, SB_E_IO, "creating the directory %s", entry->path);
        if (clear(dir, name, true, &was, err) < 0)
            return -1;
        if (was == WAS_OTHER && mkdirat(dir, name, 0700) < 0)
            return sb_fail_errno(err, SB_E_IO, "creating the directory %s", entry->path);
        /* What stood there hid the lower layers' directory: so must the one in its place. */
        if (was == WAS_OTHER && overlay(l) && mark_opaque(l, dir, name, err) < 0)
            return sb_error_context(err, "%s", entry->path);
    }
    note_directory(l, entry);
    return 0;
}

static int place_symlink(struct layout *l, int dir, const char *name, const struct sb_entry *entry,
                         struct sb_error *err) {
    if (symlinkat(entry->link, dir, name) < 0) {
        if (errno == EEXIST && make_way(dir, name, err) < 0)
            return -1;
        if (symlinkat(entry->link, dir, name) < 0)
            return sb_fail_errno(err, SB_E_IO, "creating the symlink %s", entry->path);
    }
    return sb_attributes_set_at(dir, name, entry, l->options, err);
}

static int link_error(const struct sb_entry *entry, struct sb_error *err) {
    if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != EPERM)
        return sb_fail_errno(err, SB_E_IO, "linking %s to %s", entry->path, entry->link);
    return sb_fail(err, SB_E_INTEGRITY,
                   "the hard link %s leads to %s, which is no file of the same layer", entry->path,
                   entry->link);
}

/* A whiteout made of an overlay tree is a device: nothing may link to it. */
static bool linkable(int dir, const char *name) {
    struct stat st;
    errno = ENOENT;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) &&
           !(S_ISCHR(st.st_mode) && st.st_rdev == 0);
}

static bool same_file(int a, const char *a_name, int b, const char *b_name) {
    struct stat s, t;
    return fstatat(a, a_name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(b, b_name, &t, AT_SYMLINK_NOFOLLOW) == 0 && s.st_ino == t.st_ino &&
           s.st_dev == t.st_dev;
}

static int place_hard_link(struct layout *l, int dir, const char *name,
                           const struct sb_entry *entry, struct sb_error *err) {
    const char *target;
    sb_autoclose int from = sb_place_find(&l->place, entry->link, &target);
    if (from < 0 || !linkable(from, target))
        return link_error(entry, err);
    if (same_file(from, target, dir, name))
        return 0;
    if (linkat(from, target, dir, name, 0) == 0)
        return 0;
    if (errno != EEXIST)
        return link_error(entry, err);
    if (make_way(dir, name, err) < 0)
        return -1;
    return linkat(from, target, dir, name, 0) == 0 ? 0 : link_error(entry, err);
}

static int place_node(struct layout *l, int dir, const char *name, const struct sb_entry *entry,
                      struct sb_error *err) {
    mode_t type = entry->mode & S_IFMT;
    dev_t device = makedev(entry->device_major, entry->device_minor);
    if (sb_whiteout_device(entry))
        return 0;
    if (make_way(dir, name, err) < 0)
        return -1;
    if (type != S_IFIFO && l->options->ignore_ownership)
        return 0; /* but what was there is gone */
    if (mknodat(dir, name, type | 0600, type == S_IFIFO ? 0 : device) < 0) {
        if (errno == EPERM && type != S_IFIFO)
            return 0; /* no devices in a user namespace */
        return sb_fail_errno(err, SB_E_IO, "creating %s", entry->path);
    }
    return sb_attributes_set_at(dir, name, entry, l->options, err);
}

/* ---- whiteouts ---- */

struct purge {
    const struct layout *layout;
    struct sb_buf path; /* of the entry at hand */
    size_t len;         /* of the directory's */
};

static int purge_entry(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    struct purge *p = self;
    p->path.len = p->len;
    sb_buf_addf(&p->path, "%s%s", p->len ? "/" : "", e->path);
    if (sb_map_find(&p->layout->made, p->path.data))
        return 0;
    return sb_tree_remove(e->dir, e->name, err) < 0 ? -1 : 1;
}

/* Removes what lower layers left in a directory, keeping what this layer made. */
static int purge_directory(const struct layout *l, int dir, const char *name, const char *path,
                           struct sb_error *err) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "opening %s", path);
    if (!S_ISDIR(st.st_mode))
        return 0;
    struct purge p = {.layout = l, .len = strlen(path)};
    sb_buf_adds(&p.path, path);
    int failed = sb_tree_walk(dir, name, purge_entry, NULL, &p, err);
    sb_buf_free(&p.path);
    return failed;
}

/* Hides name of the lower layers. What this layer has of that name already stays. */
static int white_out(struct layout *l, int dir, const char *name, const char *path,
                     struct sb_error *err) {
    if (!overlay(l)) {
        if (sb_map_find(&l->made, path))
            return purge_directory(l, dir, name, path, err);
        return sb_tree_remove(dir, name, err);
    }
    if (mknodat(dir, name, S_IFCHR | 0600, 0) == 0)
        return 0;
    struct stat st;
    if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "making the whiteout of %s", path);
    return S_ISDIR(st.st_mode) ? mark_opaque(l, dir, name, err) : 0;
}

static int place_whiteout(struct layout *l, int dir, const char *name, const struct sb_entry *entry,
                          struct sb_error *err) {
    sb_autofree char *target = sb_whiteout_target(entry->path);
    if (sb_whiteout_kind(entry->path) == SB_WHITEOUT_HIDES)
        return white_out(l, dir, name + strlen(SB_WHITEOUT_PREFIX), target, err);
    return overlay(l) ? mark_opaque(l, dir, ".", err) : purge_directory(l, dir, ".", target, err);
}

/* Whiteouts alone make no directory, nor hide what stands in the way of one. */
static bool is_in_vain(const struct layout *l, const struct sb_entry *entry) {
    const char *name;
    sb_autoclose int dir = overlay(l) ? -1 : sb_place_find(&l->place, entry->path, &name);
    return !overlay(l) && dir < 0;
}

/* ---- the table of contents ---- */

static int list_entry(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                      struct sb_error *err) {
    (void)data;
    sb_contents_add(self, entry);
    return sb_whiteout_check(entry->path, err);
}

int sb_layer_contents(struct sb_store *store, const struct sb_layer *layer,
                      struct sb_contents **out, struct sb_error *err) {
    if (sb_contents_open(store, &layer->diff_id, out, NULL) == 0)
        return 0;
    const struct sb_contents_source *source = &store->contents_source;
    if (source->open && !sb_blob_has(store, &layer->descriptor.digest, layer->descriptor.size) &&
        source->open(source->data, store, layer, out, NULL) == 0)
        return 0;
    struct sb_contents_writer *writer = sb_contents_start();
    if (sb_layer_walk(store, layer, list_entry, writer, err) < 0) {
        sb_contents_abort(writer);
        return -1;
    }
    if (sb_contents_finish(writer, store, &layer->diff_id, err) < 0)
        return -1;
    return sb_contents_open(store, &layer->diff_id, out, err);
}

/* ---- entries ---- */

static int place_as_it_is(struct layout *l, const struct sb_entry *entry,
                          struct sb_entry_data *data, struct sb_error *err) {
    int dir;
    const char *name;
    if (l->options->contents)
        sb_contents_add(l->options->contents, entry);
    if (sb_whiteout_device(entry)) /* of which no reader sees anything, nor a directory for it */
        return 0;
    enum sb_whiteout whiteout = onto(l) ? SB_WHITEOUT_NO : sb_whiteout_kind(entry->path);
    if (whiteout == SB_WHITEOUT_IGNORED)
        return 0;
    if (whiteout == SB_WHITEOUT_BAD)
        return sb_whiteout_check(entry->path, err);
    if (whiteout != SB_WHITEOUT_NO && is_in_vain(l, entry))
        return 0;
    if (sb_place_make(&l->place, entry->path, &dir, &name, err) < 0 ||
        keep_parent(l, dir, entry->path, name, err) < 0)
        return -1;
    if (whiteout != SB_WHITEOUT_NO)
        return place_whiteout(l, dir, name, entry, err);
    bool done = false;
    if (onto(l) && (sb_onto_look(&l->onto, dir, name, entry, &done, err) < 0 || done))
        return done ? 0 : -1;
    int rc;
    if (entry->hard_link)
        rc = place_hard_link(l, dir, name, entry, err);
    else if (S_ISREG(entry->mode))
        rc = place_file(l, dir, name, entry, data, err);
    else if (S_ISDIR(entry->mode))
        rc = place_directory(l, dir, name, entry, err);
    else if (S_ISLNK(entry->mode))
        rc = place_symlink(l, dir, name, entry, err);
    else
        rc = place_node(l, dir, name, entry, err);
    if (rc == 0)
        remember(l, entry->path);
    if (rc == 0 && onto(l) && S_ISDIR(entry->mode))
        sb_onto_made(&l->onto, entry->path);
    return rc;
}

/* NULL when there are no more components than those to drop. */
static const char *strip(const char *path, uint32_t count) {
    for (; path && count; count--) {
        path = strchr(path, '/');
        path += path ? 1 : 0;
    }
    return path;
}

/* The entry as it goes below the directory that all is unpacked into; *out_path and *out_link are
 * the caller's to free. 0: it is left out. */
static int move_below(const struct layout *l, struct sb_entry *entry, char **out_path,
                      char **out_link, struct sb_error *err) {
    const char *below = l->options->below ? l->options->below : "";
    const char *path = strip(entry->path, l->options->strip);
    const char *link = entry->hard_link ? strip(entry->link, l->options->strip) : NULL;
    if (!path)
        return 0;
    if (entry->hard_link && !link) {
        sb_fail(err, SB_E_FAILED, "%.200s is a hard link to %.200s, which strip: %u leaves out",
                entry->path, entry->link, l->options->strip);
        return sb_error_hint(err, "unpack it with less strip, to another directory, and move what "
                                  "is wanted in a run step");
    }
    entry->path = *out_path = sb_format("%s%s%s", below, *below ? "/" : "", path);
    if (link)
        entry->link = *out_link = sb_format("%s%s%s", below, *below ? "/" : "", link);
    if (sb_onto_check(&l->onto, entry->path, err) < 0 ||
        (link && sb_onto_check(&l->onto, entry->link, err) < 0))
        return -1;
    return 1;
}

static int place_entry(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                       struct sb_error *err) {
    struct layout *l = self;
    const struct sb_unpack_options *options = l->options;
    struct sb_entry changed = *entry;
    sb_autofree char *path = NULL, *link = NULL;
    if (options->keep && !options->keep(options->keep_data, entry))
        return 0;
    int moved = onto(l) ? move_below(l, &changed, &path, &link, err) : 1;
    if (moved <= 0)
        return moved;
    if ((options->owner || options->powerless) && (S_ISCHR(entry->mode) || S_ISBLK(entry->mode)))
        return 0;
    if (options->powerless) {
        changed.mode &= ~(mode_t)(S_ISUID | S_ISGID);
        changed.xattr_count = 0;
    }
    if (options->owner) {
        changed.uid = options->owner->uid;
        changed.gid = options->owner->gid;
    }
    if (options->mtime) {
        changed.mtime = *options->mtime;
        changed.mtime_nsec = 0;
    }
    return place_as_it_is(l, &changed, data, err);
}

static void layout_start(struct layout *l, int dirfd, const struct sb_unpack_options *options) {
    *l = (struct layout){.options = options, .content = sb_content_writer_new(options)};
    sb_place_init(&l->place, dirfd);
    l->place.whiteouts = options->form == SB_UNPACK_OVERLAY;
    l->place.opaque = opaque_attribute(options);
    l->place.gives_way = gives_way;
    l->place.changes = keep_time;
    l->place.made = made_directory;
    l->place.self = l;
    l->onto =
        (struct sb_onto){.root = dirfd, .below_len = options->below ? strlen(options->below) : 0};
}

static int layout_finish(struct layout *l, struct sb_error *err) {
    if (onto(l) && !l->onto.placed)
        return l->options->strip ? sb_fail(err, SB_E_FAILED, "nothing in it is left with strip: %u",
                                           l->options->strip)
                                 : sb_fail(err, SB_E_FAILED, "nothing is in it");
    if (sb_content_wait(l->content, err) < 0)
        return -1;
    return sb_directory_list_apply(&l->directories, &l->place, l->options, err);
}

static void layout_free(struct layout *l) {
    sb_content_writer_free(l->content);
    sb_place_free(&l->place);
    sb_directory_list_free(&l->directories);
    sb_map_free(&l->made);
    sb_map_free(&l->kept);
    sb_onto_free(&l->onto);
}

int sb_unpack_fd(int fd, int dirfd, const struct sb_unpack_options *options, struct sb_error *err) {
    __attribute__((cleanup(layout_free))) struct layout l;
    struct sb_layer_reader *reader;
    layout_start(&l, dirfd, options);
    if (sb_layer_reader_fd(fd, &reader, err) < 0)
        return -1;
    if (sb_layer_reader_walk(reader, place_entry, &l, err) < 0) {
        sb_layer_reader_abort(reader);
        return -1;
    }
    if (sb_layer_reader_finish(reader, NULL, NULL, err) < 0)
        return -1;
    return layout_finish(&l, err);
}

int sb_unpack_zip(int fd, int dirfd, const struct sb_unpack_options *options,
                  struct sb_error *err) {
    __attribute__((cleanup(layout_free))) struct layout l;
    layout_start(&l, dirfd, options);
    if (sb_zip_walk(fd, place_entry, &l, err) < 0)
        return -1;
    return layout_finish(&l, err);
}

int sb_unpack_layer(struct sb_store *store, const struct sb_layer *layer, int dirfd,
                    const struct sb_unpack_options *options, struct sb_error *err) {
    __attribute__((cleanup(layout_free))) struct layout l;
    layout_start(&l, dirfd, options);
    l.place.plain = true;
    if (sb_layer_walk(store, layer, place_entry, &l, err) < 0)
        return -1;
    return layout_finish(&l, err);
}
