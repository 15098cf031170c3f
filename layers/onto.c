#include "layers/onto.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/beneath.h"
#include "base/memory.h"
#include "layers/whiteout.h"

void sb_onto_free(struct sb_onto *onto) {
    sb_map_free(&onto->leaving);
    sb_map_free(&onto->made);
}

void sb_onto_made(struct sb_onto *onto, const char *directory) {
    *sb_map_put(&onto->made, directory) = 1;
}

int sb_onto_check(const struct sb_onto *onto, const char *path, struct sb_error *err) {
    if (sb_whiteout_is_on(path)) {
        sb_fail(err, SB_E_FAILED, "%.200s: a layer can't hold a name that begins with \"%s\"", path,
                SB_WHITEOUT_PREFIX);
        return sb_error_hint(err, "such names mean removed files in a layer");
    }
    for (const char *p = strchr(path, '/'); p && onto->leaving.n; p = strchr(p + 1, '/'))
        if (sb_map_find_n(&onto->leaving, path, (size_t)(p - path)))
            return sb_fail(
                err, SB_E_INTEGRITY,
                "%.200s: the link /%.*s, of the same archive, leads out of the directory "
                "that it is unpacked into",
                path, (int)(p - path), path);
    return 0;
}

/* Whether a link there leads above the directory, as far as its target's text tells. */
static bool leaves(const struct sb_onto *onto, const char *path, const char *target) {
    long depth = 0;
    if (target[0] == '/')
        return onto->below_len > 0;
    size_t start = onto->below_len ? onto->below_len + 1 : 0;
    for (const char *p = strchr(path + start, '/'); p; p = strchr(p + 1, '/'))
        depth++;
    for (const char *p = target; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && !strncmp(p, "..", 2))
            depth--;
        else if (n > 0 && !(n == 1 && *p == '.'))
            depth++;
        if (depth < 0)
            return true;
        p += n + (p[n] == '/');
    }
    return false;
}

static bool is_directory(const struct sb_onto *onto, const char *path) {
    sb_autoclose int fd = sb_open_in_root(onto->root, path, O_PATH | O_DIRECTORY);
    return fd >= 0;
}

static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode) ? "a directory" : S_ISLNK(mode) ? "a symbolic link" : "a file";
}

static int clash(const struct sb_entry *entry, const char *is, struct sb_error *err) {
    const char *kind = entry->hard_link ? "a file" : kind_of(entry->mode);
    sb_fail(err, SB_E_FAILED, "/%.200s is %s in the archive, but %s in the image", entry->path,
            kind, is);
    return sb_error_hint(err, "nothing is replaced by something of another kind: unpack it "
                              "elsewhere, or remove what is there in a step before");
}

int sb_onto_look(struct sb_onto *onto, int dir, const char *name, const struct sb_entry *entry,
                 bool *out_done, struct sb_error *err) {
    bool directory = S_ISDIR(entry->mode) && !entry->hard_link;
    bool link = S_ISLNK(entry->mode) && !entry->hard_link;
    struct stat st;
    *out_done = false;
    onto->placed = true;
    if (link && leaves(onto, entry->path, entry->link))
        *sb_map_put(&onto->leaving, entry->path) = 1;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "%s", entry->path);
    if (S_ISDIR(st.st_mode)) {
        *out_done = directory && !sb_map_find(&onto->made, entry->path);
        return directory ? 0 : clash(entry, "a directory", err);
    }
    bool leads = S_ISLNK(st.st_mode) && !link && is_directory(onto, entry->path);
    if (directory && leads) {
        *out_done = true;
        return sb_map_find(&onto->leaving, entry->path)
                   ? clash(entry, "a link of the archive that leads elsewhere", err)
                   : 0;
    }
    if (directory)
        return clash(entry, S_ISLNK(st.st_mode) ? "a symbolic link to no directory" : "a file",
                     err);
    return leads ? clash(entry, "a symbolic link to a directory", err) : 0;
}
