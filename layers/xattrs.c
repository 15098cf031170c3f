#include "layers/xattrs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/memory.h"

#define LIST_LIMIT 65536 /* of the kernel: XATTR_LIST_MAX */

/* How the kernel reaches the file: a descriptor, or a path through the directory's descriptor,
 * since no call takes both. */
struct target {
    int fd;
    char link[48 + 256];
};

static ssize_t list_names(const struct target *t, char *names, size_t size) {
    return t->fd >= 0 ? flistxattr(t->fd, names, size) : llistxattr(t->link, names, size);
}

static ssize_t get_value(const struct target *t, const char *name, void *value, size_t size) {
    return t->fd >= 0 ? fgetxattr(t->fd, name, value, size) : lgetxattr(t->link, name, value, size);
}

static bool begins(const char *text, const char *prefix) {
    return !strncmp(text, prefix, strlen(prefix));
}

/* What overlayfs calls the attribute, or NULL when it is not its own. */
static const char *overlay_name(const char *name) {
    static const char *const prefixes[] = {"trusted.overlay.", "user.overlay."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (begins(name, prefixes[i]))
            return name + strlen(prefixes[i]);
    return NULL;
}

/* Labels, signatures and the like are the host's, and a layer must not depend on the host. */
static bool belongs_to_host(const char *name) {
    return begins(name, "security.") && strcmp(name, "security.capability") != 0;
}

/* Linux Documentation/filesystems/overlayfs.rst. */
static int note_overlay_mark(struct sb_xattrs *xattrs, const struct target *t, const char *name,
                             const char *own_name, const char *path, struct sb_error *err) {
    if (!strcmp(own_name, "redirect") || !strcmp(own_name, "metacopy")) {
        sb_fail(err, SB_E_FAILED, "%s: has overlayfs' mark %s, which a layer can't express", path,
                name);
        return sb_error_hint(err, "mount with redirect_dir=off,metacopy=off");
    }
    char value;
    if (!strcmp(own_name, "opaque") && get_value(t, name, &value, 1) == 1 && value == 'y')
        xattrs->opaque = true;
    return 0;
}

/* Values are put one behind the other; they get their addresses when the buffer moves no more. */
static int read_value(struct sb_xattrs *xattrs, const struct target *t, char *name,
                      const char *path, struct sb_error *err) {
    sb_buf_reserve(&xattrs->values, SB_XATTR_LIMIT);
    ssize_t n = get_value(t, name, xattrs->values.data + xattrs->values.len, SB_XATTR_LIMIT);
    if (n < 0 && errno == ENODATA)
        return 0;
    if (n < 0)
        return sb_fail_errno(err, SB_E_IO, "%s: reading the extended attribute %s", path, name);
    SB_GROW(xattrs->v, xattrs->n, xattrs->cap);
    xattrs->v[xattrs->n++] = (struct sb_xattr){.name = name, .value_len = (size_t)n};
    xattrs->values.len += (size_t)n;
    return 0;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct sb_xattr *)a)->name, ((const struct sb_xattr *)b)->name);
}

static int read_values(struct sb_xattrs *xattrs, const struct target *t, bool overlay,
                       const char *path, struct sb_error *err) {
    const char *end = xattrs->names.data + xattrs->names.len;
    for (char *name = xattrs->names.data; name < end; name += strlen(name) + 1) {
        const char *own_name = overlay ? overlay_name(name) : NULL;
        if (own_name && note_overlay_mark(xattrs, t, name, own_name, path, err) < 0)
            return -1;
        if (!own_name && !belongs_to_host(name) && read_value(xattrs, t, name, path, err) < 0)
            return -1;
    }
    size_t at = 0;
    for (size_t i = 0; i < xattrs->n; i++) {
        xattrs->v[i].value = xattrs->values.data + at;
        at += xattrs->v[i].value_len;
    }
    if (xattrs->n > 1)
        qsort(xattrs->v, xattrs->n, sizeof *xattrs->v, compare_names);
    return 0;
}

int sb_xattrs_read(struct sb_xattrs *xattrs, int fd, int dirfd, const char *name, bool overlay,
                   const char *path, struct sb_error *err) {
    struct target t = {.fd = fd};
    if (fd < 0)
        snprintf(t.link, sizeof t.link, "/proc/self/fd/%d/%s", dirfd, name);
    xattrs->n = 0;
    xattrs->opaque = false;
    sb_buf_reset(&xattrs->values);
    sb_buf_reset(&xattrs->names);
    sb_buf_reserve(&xattrs->names, LIST_LIMIT);
    ssize_t n = list_names(&t, xattrs->names.data, LIST_LIMIT);
    if (n < 0 && errno != ENOTSUP)
        return sb_fail_errno(err, SB_E_IO, "%s: reading its extended attributes", path);
    if (n <= 0)
        return 0;
    xattrs->names.len = (size_t)n;
    return read_values(xattrs, &t, overlay, path, err);
}

void sb_xattrs_free(struct sb_xattrs *xattrs) {
    free(xattrs->v);
    sb_buf_free(&xattrs->names);
    sb_buf_free(&xattrs->values);
    *xattrs = (struct sb_xattrs){0};
}
