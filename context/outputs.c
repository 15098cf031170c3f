#include "context/outputs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"

#define HEAD "sbuild outputs 1\n"

enum { COUNT_LIMIT = 1000, FILE_LIMIT = 1 << 18 };

/* Of a directory the time is that of its birth, and there is no size: it changes with what is put
 * into it. */
struct sb_output {
    uint64_t device, inode, size;
    int64_t seconds;
    uint32_t nanoseconds;
    bool growing; /* it is being written to: only the first two count */
};

static bool describe(const struct stat *st, int dirfd, const char *name, struct sb_output *out) {
    *out = (struct sb_output){st->st_dev,
                              st->st_ino,
                              (uint64_t)st->st_size,
                              st->st_mtim.tv_sec,
                              (uint32_t)st->st_mtim.tv_nsec,
                              false};
    if (!S_ISDIR(st->st_mode))
        return S_ISREG(st->st_mode);
    struct statx more;
    if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH), STATX_BTIME, &more) <
            0 ||
        !(more.stx_mask & STATX_BTIME))
        return false;
    out->size = UINT64_MAX;
    out->seconds = more.stx_btime.tv_sec;
    out->nanoseconds = more.stx_btime.tv_nsec;
    return true;
}

/* Appends those of the store's notes; what can't be read is not there. */
static void parse(const char *text, struct sb_outputs *out) {
    if (strncmp(text, HEAD, strlen(HEAD)) != 0)
        return;
    out->v = sb_alloc((COUNT_LIMIT + 4) * sizeof *out->v);
    for (const char *at = text + strlen(HEAD); *at && out->n < COUNT_LIMIT;) {
        unsigned long long device, inode, size;
        long long seconds;
        unsigned nanoseconds;
        if (sscanf(at, "%llu %llu %llu %lld %u", &device, &inode, &size, &seconds, &nanoseconds) !=
            5)
            return;
        out->v[out->n++] = (struct sb_output){device, inode, size, seconds, nanoseconds, false};
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
}

static void read_notes(struct sb_store *store, struct sb_outputs *out) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error ignored = {0};
    *out = (struct sb_outputs){0};
    if (sb_file_read(sb_store_private_fd(store), "outputs", FILE_LIMIT, &text, &ignored) == 0)
        parse(sb_buf_text(&text), out);
}

/* ---- noting ---- */

static void write_notes(struct sb_store *store, const struct sb_outputs *known,
                        const struct sb_output *one) {
    sb_autobuf struct sb_buf text = {0};
    sb_buf_adds(&text, HEAD);
    size_t first = known->n < COUNT_LIMIT ? 0 : known->n - COUNT_LIMIT + 1;
    for (size_t i = first; i <= known->n; i++) {
        const struct sb_output *o = i < known->n ? &known->v[i] : one;
        if (o != one && o->device == one->device && o->inode == one->inode)
            continue; /* as it was */
        sb_buf_addf(&text, "%llu %llu %llu %lld %u\n", (unsigned long long)o->device,
                    (unsigned long long)o->inode, (unsigned long long)o->size,
                    (long long)o->seconds, o->nanoseconds);
    }
    int dir = sb_store_private_fd(store);
    sb_file_publish(dir, dir, "outputs", text.data, text.len, NULL);
}

/* Contexts are in what people work in: a file elsewhere that a command prints to is not worth being
 * written down at each build that has nothing to do. */
static bool is_beneath_here(int fd) {
    char name[32], path[PATH_MAX], here[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    if (n <= 0 || !getcwd(here, sizeof here))
        return true;
    path[n] = '\0';
    size_t len = strlen(here);
    return !strncmp(path, here, len) && (len == 1 || path[len] == '/');
}

void sb_outputs_note(struct sb_store *store, int dirfd, const char *path) {
    struct stat st;
    struct sb_output one;
    struct sb_error ignored = {0};
    const char *name = path ? path : "";
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | (path ? 0 : AT_EMPTY_PATH)) < 0 ||
        (!path && (!S_ISREG(st.st_mode) || !is_beneath_here(dirfd))) ||
        !describe(&st, dirfd, name, &one))
        return;
    sb_autoclose int lock =
        sb_lock_take(sb_store_private_fd(store), "outputs.lock", SB_LOCK_EXCLUSIVE, &ignored);
    if (lock < 0)
        return;
    struct sb_outputs known;
    read_notes(store, &known);
    write_notes(store, &known, &one);
    sb_outputs_free(&known);
}

/* ---- recognizing ---- */

static int compare(const void *a, const void *b) {
    const struct sb_output *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

void sb_outputs_read(struct sb_store *store, struct sb_outputs *out) {
    read_notes(store, out);
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (!out->v)
            out->v = sb_alloc(4 * sizeof *out->v);
        out->v[out->n++] =
            (struct sb_output){.device = st.st_dev, .inode = st.st_ino, .growing = true};
    }
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, compare);
}

void sb_outputs_free(struct sb_outputs *outputs) {
    free(outputs->v);
    *outputs = (struct sb_outputs){0};
}

bool sb_outputs_has(const struct sb_outputs *outputs, const struct stat *st, int dirfd,
                    const char *name) {
    const struct sb_output key = {.device = st->st_dev, .inode = st->st_ino};
    const struct sb_output *found =
        outputs->n ? bsearch(&key, outputs->v, outputs->n, sizeof *outputs->v, compare) : NULL;
    if (!found)
        return false;
    struct sb_output now;
    while (found > outputs->v && compare(found - 1, &key) == 0)
        found--;
    if (!describe(st, dirfd, name, &now))
        return false;
    for (; found < outputs->v + outputs->n && compare(found, &key) == 0; found++)
        if (found->growing || (found->size == now.size && found->seconds == now.seconds &&
                               found->nanoseconds == now.nanoseconds))
            return true;
    return false;
}
