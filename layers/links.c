#include "layers/links.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

#define DIRECTORY "l"
#define SHORTEST  4
#define LONGEST   50 /* of 5 bits each */

/* "l/" and all characters that a name could have. */
struct name {
    char text[sizeof DIRECTORY + LONGEST + 1];
};

static struct name longest_name(const struct sb_digest *diff_id) {
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    struct name name = {DIRECTORY "/"};
    for (size_t i = 0; i < LONGEST; i++) {
        size_t byte = i * 5 / 8, shift = i * 5 % 8;
        unsigned bits = (unsigned)diff_id->bytes[byte] << 8 | diff_id->bytes[byte + 1];
        name.text[sizeof DIRECTORY + i] = digits[bits >> (11 - shift) & 31];
    }
    return name;
}

static char *target_of(const struct sb_digest *diff_id) {
    return sb_format("../trees/%s/fs", sb_digest_hex(diff_id).text);
}

enum whose { FREE, OWN, OTHERS };

static enum whose look(int private, const char *name, const char *target) {
    char text[256];
    ssize_t n = readlinkat(private, name, text, sizeof text);
    if (n < 0)
        return errno == ENOENT ? FREE : OTHERS;
    return (size_t)n == strlen(target) && !memcmp(text, target, (size_t)n) ? OWN : OTHERS;
}

/* The name that it has, which may be a longer one than it would get now: who had the shorter is
 * gone. Otherwise the shortest that is nobody's. */
static struct name find(int private, const struct sb_digest *diff_id, const char *target,
                        enum whose *out_whose) {
    struct name whole = longest_name(diff_id), found = {0};
    *out_whose = OTHERS;
    for (size_t n = SHORTEST; n <= LONGEST; n++) {
        struct name name = whole;
        name.text[sizeof DIRECTORY + n] = '\0';
        enum whose whose = look(private, name.text, target);
        if (whose == OWN || (whose == FREE && *out_whose == OTHERS)) {
            *out_whose = whose;
            found = name;
        }
        if (whose == OWN)
            break;
    }
    return found;
}

char *sb_link_path(struct sb_store *store, const struct sb_digest *diff_id) {
    sb_autofree char *target = target_of(diff_id);
    enum whose whose;
    struct name name = find(sb_store_private_fd(store), diff_id, target, &whose);
    return sb_format("%s/sbuild/%s", sb_store_path(store), name.text);
}

static int make(struct sb_store *store, const struct sb_digest *diff_id, bool *made,
                struct sb_strings *out, struct sb_error *err) {
    sb_autofree char *target = target_of(diff_id);
    int private = sb_store_private_fd(store);
    for (;;) {
        enum whose whose;
        struct name name = find(private, diff_id, target, &whose);
        sb_autofree char *path = sb_format("%s/sbuild/%s", sb_store_path(store), name.text);
        bool own = whose == OWN;
        if (whose == FREE && symlinkat(target, private, name.text) == 0)
            own = *made = true;
        if (own) {
            sb_strings_take(out, sb_steal(path));
            return 0;
        }
        if (whose == OTHERS || errno != EEXIST) /* else another process was quicker: look again */
            return sb_fail_errno(err, SB_E_IO, "creating %s", path);
    }
}

static int make_all(struct sb_store *store, const struct sb_digest *diff_ids, size_t count,
                    struct sb_strings *out, struct sb_error *err) {
    int private = sb_store_private_fd(store);
    bool any = false;
    if (sb_directory_make(private, DIRECTORY, 0755, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (make(store, &diff_ids[i], &any, out, err) < 0)
            return -1;
    sb_autoclose int dir = any ? sb_directory_open(private, DIRECTORY, err) : -1;
    return any && (dir < 0 || sb_directory_sync(dir, err) < 0) ? -1 : 0;
}

int sb_links_make(struct sb_store *store, const struct sb_digest *diff_ids, size_t count,
                  struct sb_strings *out, struct sb_error *err) {
    if (sb_store_hold(store, err) < 0)
        return -1;
    int rc = make_all(store, diff_ids, count, out, err);
    sb_store_release(store);
    return rc;
}

void sb_links_sweep(struct sb_store *store) {
    int fd = openat(sb_store_private_fd(store), DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && faccessat(fd, e->d_name, F_OK, 0) < 0 && errno == ENOENT)
            unlinkat(fd, e->d_name, 0);
}
