#include "layers/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/memory.h"

struct sb_directory {
    struct sb_entry entry; /* path and xattrs are its own */
};

static bool starts_with(const char *name, const char *prefix) {
    return !strncmp(name, prefix, strlen(prefix));
}

bool sb_xattr_is_hosts(const char *name) {
    return starts_with(name, "trusted.overlay.") || starts_with(name, "user.overlay.") ||
           (starts_with(name, "security.") && strcmp(name, "security.capability") != 0);
}

/* Whether an attribute that could not be set may be left out: one that the kernel keeps from a user
 * namespace. */
static bool is_optional(const char *name, const struct sb_unpack_options *options) {
    if (errno != EPERM && errno != ENOTSUP && errno != EACCES && errno != EINVAL)
        return false;
    if (options->ignore_ownership)
        return true;
    return options->user_xattrs && starts_with(name, "trusted.");
}

static int xattr_error(const char *name, const struct sb_entry *entry, struct sb_error *err) {
    bool unsupported = errno == ENOTSUP;
    sb_fail_errno(err, SB_E_IO, "setting the extended attribute %s of %s", name, entry->path);
    if (unsupported)
        sb_error_hint(err, "put the store on a file system with extended attributes: ext4, xfs, "
                           "btrfs");
    return -1;
}

static int set_xattrs(int fd, const struct sb_entry *entry, const struct sb_unpack_options *options,
                      struct sb_error *err) {
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct sb_xattr *x = &entry->xattrs[i];
        if (fsetxattr(fd, x->name, x->value, x->value_len, 0) < 0 && !is_optional(x->name, options))
            return xattr_error(x->name, entry, err);
    }
    return 0;
}

static int owner_error(const struct sb_entry *entry, struct sb_error *err) {
    bool unmapped = errno == EINVAL;
    sb_fail_errno(err, SB_E_IO, "giving %s to %u:%u", entry->path, entry->uid, entry->gid);
    if (unmapped)
        sb_error_hint(err, "the user namespace has no such id: give your user more subordinate ids "
                           "in /etc/subuid and /etc/subgid, or build as root");
    return -1;
}

static void times_of(const struct sb_entry *entry, struct timespec out[2]) {
    out[0] = out[1] = (struct timespec){.tv_sec = entry->mtime, .tv_nsec = entry->mtime_nsec};
}

int sb_attributes_set(int fd, const struct sb_entry *entry, const struct sb_unpack_options *options,
                      struct sb_error *err) {
    struct timespec times[2];
    times_of(entry, times);
    mode_t mode = entry->mode & 07777;
    if (options->ignore_ownership)
        mode = (mode & 0777) | (S_ISDIR(entry->mode) ? 0700 : 0);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", entry->path);
    bool given = st.st_uid == entry->uid && st.st_gid == entry->gid;
    /* Changing owner or attributes may change the mode. */
    bool touched = (!given && !options->ignore_ownership) || entry->xattr_count > 0;
    if (!given && !options->ignore_ownership && fchown(fd, entry->uid, entry->gid) < 0)
        return owner_error(entry, err);
    if (set_xattrs(fd, entry, options, err) < 0)
        return -1;
    if (((touched || (st.st_mode & 07777) != mode) && fchmod(fd, mode) < 0) ||
        futimens(fd, times) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting mode and time of %s", entry->path);
    return 0;
}

int sb_attributes_set_at(int dir, const char *name, const struct sb_entry *entry,
                         const struct sb_unpack_options *options, struct sb_error *err) {
    struct timespec times[2];
    times_of(entry, times);
    if (!options->ignore_ownership &&
        fchownat(dir, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return owner_error(entry, err);
    sb_autofree char *path = NULL;
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct sb_xattr *x = &entry->xattrs[i];
        if (!path)
            path = sb_format("/proc/self/fd/%d/%s", dir, name);
        if (lsetxattr(path, x->name, x->value, x->value_len, 0) < 0 &&
            !is_optional(x->name, options))
            return xattr_error(x->name, entry, err);
    }
    mode_t mode = entry->mode & (options->ignore_ownership ? 0777 : 07777);
    if (!S_ISLNK(entry->mode) && fchmodat(dir, name, mode, 0) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting the mode of %s", entry->path);
    if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting the time of %s", entry->path);
    return 0;
}

void sb_entry_copy(struct sb_entry *to, const struct sb_entry *from) {
    *to = *from;
    to->path = sb_strdup(from->path);
    struct sb_xattr *xattrs =
        from->xattr_count ? sb_alloc(from->xattr_count * sizeof *xattrs) : NULL;
    for (size_t i = 0; i < from->xattr_count; i++) {
        xattrs[i] = from->xattrs[i];
        xattrs[i].name = sb_strdup(xattrs[i].name);
        xattrs[i].value = sb_memdup(xattrs[i].value, xattrs[i].value_len);
    }
    to->xattrs = xattrs;
}

void sb_entry_free(struct sb_entry *entry) {
    for (size_t i = 0; i < entry->xattr_count; i++) {
        free(entry->xattrs[i].name);
        free(entry->xattrs[i].value);
    }
    free((void *)entry->xattrs);
    free((void *)entry->path);
}

/* ---- directories ---- */

void sb_directory_list_add(struct sb_directory_list *list, const struct sb_entry *entry) {
    SB_GROW(list->v, list->n, list->cap);
    sb_entry_copy(&list->v[list->n++].entry, entry);
}

static bool entry_has_xattr(const struct sb_entry *entry, const char *name) {
    for (size_t i = 0; i < entry->xattr_count; i++)
        if (!strcmp(entry->xattrs[i].name, name))
            return true;
    return false;
}

/* A directory that a lower layer, or an earlier entry, made keeps none of its attributes. */
static int drop_other_xattrs(int fd, const struct sb_entry *entry, struct sb_error *err) {
    char names[4096]; /* more than this no honest directory has */
    ssize_t n = flistxattr(fd, names, sizeof names);
    if (n < 0 && errno != ENOTSUP && errno != ERANGE)
        return sb_fail_errno(err, SB_E_IO, "listing the extended attributes of %s", entry->path);
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
        const char *name = names + at;
        if (!sb_xattr_is_hosts(name) && !entry_has_xattr(entry, name) &&
            fremovexattr(fd, name) < 0 && errno != ENODATA && errno != EPERM && errno != EACCES)
            return sb_fail_errno(err, SB_E_IO, "removing the extended attribute %s of %s", name,
                                 entry->path);
    }
    return 0;
}

static int apply(const struct sb_entry *entry, const struct sb_placer *place,
                 const struct sb_unpack_options *options, struct sb_error *err) {
    const char *name;
    sb_autoclose int parent = sb_place_find(place, entry->path, &name);
    if (parent < 0)
        return 0;
    sb_autoclose int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "opening %s", entry->path);
    if (!(entry->mode & S_IFMT)) {
        struct timespec times[2];
        times_of(entry, times);
        if (futimens(fd, times) < 0)
            return sb_fail_errno(err, SB_E_IO, "setting the time of %s", entry->path);
        return 0;
    }
    if (drop_other_xattrs(fd, entry, err) < 0)
        return -1;
    return sb_attributes_set(fd, entry, options, err);
}

int sb_directory_list_apply(const struct sb_directory_list *list, const struct sb_placer *place,
                            const struct sb_unpack_options *options, struct sb_error *err) {
    for (size_t i = 0; i < list->n; i++)
        if (apply(&list->v[i].entry, place, options, err) < 0)
            return -1;
    return 0;
}

void sb_directory_list_free(struct sb_directory_list *list) {
    for (size_t i = 0; i < list->n; i++)
        sb_entry_free(&list->v[i].entry);
    free(list->v);
    *list = (struct sb_directory_list){0};
}
