#include "context/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "base/thread.h"
#include "context/file_digest.h"
#include "layers/entry.h"

enum {
    DEPTH_LIMIT = 256,
    THREAD_LIMIT = 8,
    QUEUE_FOR_THREADS = 16, /* directories waiting before it pays to start threads */
};

/* A file this large of which hardly anything is on the disk is told of. */
#define SPARSE_WARNING (UINT64_C(4) << 30)

struct item {
    struct sb_input input;
    bool left_out; /* wanted only for what is below it */
    struct directory *below;
};

struct directory {
    const char *path;
    int depth;
    bool told; /* it, or one above, was noted: no more is said of what is in it */
    struct item *items;
    size_t count;
    bool store;             /* it is one of sbuild's, and no input */
    struct directory *next; /* in the queue */
};

struct walk {
    const struct sb_scan *scan;
    size_t source_len; /* of the source's path, with its "/" when it is not the root */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct directory *queue;
    size_t queued, busy;
    pthread_t threads[THREAD_LIMIT];
    int thread_count;
    bool failed;
    atomic_uint_least64_t names; /* bytes, as layers/entry.h counts them */
    struct sb_error err;         /* the first one */
    struct sb_arena arena;       /* of all workers that are done */
};

/* ---- reading names ---- */

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names_in {
    struct sb_names *names;
    struct sb_arena *arena;
};

static void take_name(void *data, const char *name) {
    const struct names_in *in = data;
    struct sb_names *names = in->names;
    SB_GROW(names->v, names->n, names->cap);
    names->v[names->n++] = sb_arena_strdup(in->arena, name);
}

/* Of a directory that was just opened, and by nobody else. */
static int take_names(int fd, struct sb_names *names, struct sb_arena *arena) {
    struct names_in in = {names, arena};
    if (sb_directory_each(fd, take_name, &in) < 0)
        return -1;
    if (names->n > 1)
        qsort(names->v, names->n, sizeof *names->v, compare_names);
    return 0;
}

int sb_names_read(int fd, struct sb_names *names, struct sb_arena *arena) {
    sb_autoclose int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return own < 0 ? -1 : take_names(own, names, arena);
}

/* ---- one entry ---- */

/* What one thread needs while it reads directories. */
struct worker {
    struct walk *walk;
    struct sb_arena arena;
    size_t cursor; /* in the stat cache */
    struct sb_error err;
};

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int fail_at(struct worker *w, const char *path) {
    sb_fail_errno(&w->err, SB_E_IO, "%s/%s", w->walk->scan->context_path, path);
    if (w->err.os_errno == EACCES)
        sb_error_hint(&w->err, SB_UNREADABLE_HINT);
    return -1;
}

/* Hashes what may be large, telling how far it is. */
struct reading {
    const struct sb_context_listener *listener;
    const char *path;
    uint64_t size;
};

static void tell_reading(void *data, uint64_t bytes) {
    const struct reading *r = data;
    if (r->listener->reading)
        r->listener->reading(r->listener->data, r->path, bytes, r->size);
}

static void warn_sparse(const struct sb_scan *scan, const char *path, const struct stat *st) {
    uint64_t size = (uint64_t)st->st_size, held = (uint64_t)st->st_blocks * 512;
    if (!scan->listener->warn || size < SPARSE_WARNING || held > size / 8)
        return;
    sb_autofree char *text = sb_format(
        "%s/%s: only %s of its %s are on the disk; the image holds the rest as zeros, which are "
        "hashed, packed, and written wherever it is unpacked; if it isn't meant to, leave the file "
        "out: exclude:, or a line in %s",
        scan->context_path, path, sb_text_size(held).text, sb_text_size(size).text,
        scan->ignore_name);
    scan->listener->warn(scan->listener->data, text, text);
}

static int digest_file(struct worker *w, int dirfd, const char *name, const struct stat *st,
                       struct sb_input *input) {
    const struct sb_scan *scan = w->walk->scan;
    if (scan->stats && sb_statcache_find(scan->stats, input->path, st, &w->cursor, &input->digest))
        return 0;
    int64_t started = now_ns();
    sb_autoclose int fd = openat(dirfd, name, SB_FILE_FLAGS | O_NOFOLLOW);
    struct stat before;
    if (fd < 0 || fstat(fd, &before) < 0)
        return fail_at(w, input->path);
    if (!S_ISREG(before.st_mode))
        return sb_fail(&w->err, SB_E_FAILED, "%s/%s changed while it was being read",
                       scan->context_path, input->path);
    warn_sparse(scan, input->path, &before);
    struct reading reading = {scan->listener, input->path, (uint64_t)before.st_size};
    const struct sb_file_digest_watch watch = {tell_reading, &reading};
    if (sb_file_digest(fd, &before, &watch, &input->digest, &input->size, &w->err) < 0)
        return sb_error_context(&w->err, "%s/%s", scan->context_path, input->path);
    if (scan->stats && input->size == (uint64_t)before.st_size)
        sb_statcache_add(scan->stats, input->path, &before, started, &input->digest);
    return 0;
}

/* Whether it could be hashed; root reads anything. */
static int check_file(struct worker *w, int dirfd, const char *name, const struct sb_input *input) {
    if (geteuid() == 0 || faccessat(dirfd, name, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return fail_at(w, input->path);
}

static int read_link(struct worker *w, int dirfd, const char *name, struct sb_input *input) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(dirfd, name, target, sizeof target);
    if (n < 0 || (size_t)n == sizeof target)
        return fail_at(w, input->path);
    input->link = sb_arena_strndup(&w->arena, target, (size_t)n);
    return 0;
}

static int fill_input(struct worker *w, int dirfd, const char *name, const char *path,
                      const struct stat *st, struct sb_input *out) {
    size_t n = strlen(path);
    *out = (struct sb_input){.path = path, .mode = st->st_mode, .size = (uint64_t)st->st_size};
    out->relative = path + (n < w->walk->source_len ? n : w->walk->source_len);
    if (S_ISREG(st->st_mode))
        return w->walk->scan->check ? check_file(w, dirfd, name, out)
                                    : digest_file(w, dirfd, name, st, out);
    if (S_ISLNK(st->st_mode))
        return read_link(w, dirfd, name, out);
    if (S_ISDIR(st->st_mode))
        return 0;
    sb_fail(&w->err, SB_E_FAILED, "%s/%s: not a file, a directory or a symbolic link",
            w->walk->scan->context_path, path);
    return sb_error_hint(&w->err, "leave it out with exclude:%s",
                         w->walk->scan->of_image ? "" : " or in .dockerignore");
}

/* Whether an entry is left out; *deeper tells if something below it may still be wanted. */
static bool is_left_out(const struct walk *walk, const char *path, bool is_directory,
                        bool *deeper) {
    const struct sb_scan *s = walk->scan;
    const char *relative = path + walk->source_len;
    *deeper = is_directory;
    bool out = false;
    if (s->ignore && sb_ignore_excluded(s->ignore, path, is_directory)) {
        out = true;
        *deeper = *deeper && sb_ignore_may_reinclude_below(s->ignore, path);
    }
    if (s->exclude && sb_ignore_excluded(s->exclude, relative, is_directory)) {
        out = true;
        *deeper = *deeper && sb_ignore_may_reinclude_below(s->exclude, relative);
    }
    if (s->include && !sb_ignore_excluded(s->include, relative, is_directory)) {
        out = true;
        *deeper = *deeper && sb_ignore_may_exclude_below(s->include, relative);
    }
    return out;
}

/* Whether it is what is in no image on purpose. Noted, unless the recipe or the ignore file names
 * it. */
static bool is_told(const struct walk *walk, const struct sb_input *input, const char *name) {
    const struct sb_scan *s = walk->scan;
    if (!s->told || !sb_telltale_is(input->path, input->mode))
        return false;
    bool named = (s->ignore && sb_ignore_mentions(s->ignore, name, true)) ||
                 (s->exclude && sb_ignore_mentions(s->exclude, name, true)) ||
                 (s->include && sb_ignore_mentions(s->include, name, false));
    if (!named)
        sb_telltale_add(s->told, input->path);
    return true;
}

/* ---- one directory ---- */

static void push(struct walk *walk, struct directory *d) {
    pthread_mutex_lock(&walk->lock);
    d->next = walk->queue;
    walk->queue = d;
    walk->queued++;
    if (walk->thread_count > 0)
        pthread_cond_signal(&walk->changed);
    pthread_mutex_unlock(&walk->lock);
}

static struct directory *new_directory(struct worker *w, const char *path, int depth) {
    struct directory *d = sb_arena_alloc(&w->arena, sizeof *d);
    *d = (struct directory){.path = path, .depth = depth};
    return d;
}

/* A file that some sbuild is writing just now, or was killed over (base/file.h). */
static bool is_temporary(const char *name) {
    static const char prefix[] = SB_TMP_PREFIX;
    size_t n = strlen(prefix);
    return !strncmp(name, prefix, n) && strlen(name) == n + 16 &&
           strspn(name + n, "0123456789abcdef") == 16;
}

static void note_output(struct walk *walk, const char *path, bool is_directory) {
    if (is_directory)
        return;
    pthread_mutex_lock(&walk->lock);
    if (!sb_strings_has(walk->scan->left_out, path))
        sb_strings_add(walk->scan->left_out, path);
    pthread_mutex_unlock(&walk->lock);
}

/* Of any sbuild: a store that another command was told to use. */
static bool is_store(int fd, const struct sb_names *names) {
    const char *key = "oci-layout";
    return names->n > 1 &&
           bsearch(&key, names->v, names->n, sizeof *names->v, compare_names) != NULL &&
           sb_path_exists(fd, "sbuild/lock") && sb_path_exists(fd, "sbuild/live");
}

static int read_entry(struct worker *w, int fd, const char *name, struct directory *d) {
    struct walk *walk = w->walk;
    struct stat st;
    const char *path = sb_arena_join(&w->arena, d->path, name);
    uint64_t names = atomic_fetch_add(&walk->names, SB_ENTRY_COST + strlen(path));
    if (names > SB_NAMES_LIMIT) {
        sb_names_too_many("the context", &w->err);
        w->err.code = SB_E_FAILED;
        return sb_error_hint(&w->err, "leave out what isn't copied: exclude:%s",
                             walk->scan->of_image ? "" : ", or .dockerignore");
    }
    if (sb_interrupt_check(&w->err) < 0)
        return -1;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_at(w, path);
    if (sb_same_inode(&st, walk->scan->store) || (S_ISREG(st.st_mode) && is_temporary(name)))
        return 0;
    bool deeper;
    bool out = is_left_out(walk, path, S_ISDIR(st.st_mode), &deeper);
    if (!out && walk->scan->outputs->n && sb_outputs_has(walk->scan->outputs, &st, fd, name)) {
        note_output(walk, path, S_ISDIR(st.st_mode));
        out = true; /* of a directory, what else is in it is taken */
    }
    if (S_ISSOCK(st.st_mode) || (out && !deeper))
        return 0;
    struct item *item = &d->items[d->count];
    *item = (struct item){.left_out = out};
    if (fill_input(w, fd, name, path, &st, &item->input) < 0)
        return -1;
    d->count++;
    bool told = d->told || (!out && is_told(walk, &item->input, name));
    if (S_ISDIR(st.st_mode)) {
        item->below = new_directory(w, path, d->depth + 1);
        item->below->told = told;
        push(walk, item->below);
    }
    return 0;
}

static int open_directory(struct worker *w, const char *path) {
    int fd = sb_open_beneath(w->walk->scan->context_fd, path, O_RDONLY | O_DIRECTORY,
                             SB_BENEATH_NO_LINKS);
    return fd < 0 ? fail_at(w, path) : fd;
}

static int read_directory(struct worker *w, struct directory *d) {
    if (d->depth > DEPTH_LIMIT)
        return sb_fail(&w->err, SB_E_FAILED, "%s/%s: more than %d directories deep",
                       w->walk->scan->context_path, d->path, DEPTH_LIMIT);
    sb_autoclose int fd = open_directory(w, d->path);
    if (fd < 0)
        return -1;
    struct sb_arena arena = {0};
    struct sb_names names = {0};
    int result = take_names(fd, &names, &arena) < 0 ? fail_at(w, d->path) : 0;
    d->items = sb_arena_alloc(&w->arena, (names.n + 1) * sizeof *d->items);
    d->store = d->depth > 0 && is_store(fd, &names);
    for (size_t i = 0; i < names.n && result == 0 && !d->store; i++)
        result = read_entry(w, fd, names.v[i], d);
    free(names.v);
    sb_arena_free(&arena);
    return result == 0 ? sb_interrupt_check(&w->err) : result;
}

/* ---- the workers ---- */

static void *work(void *data);

static void start_threads(struct walk *walk) {
    int cores = sb_core_count(), wanted = cores - 1 > THREAD_LIMIT ? THREAD_LIMIT : cores - 1;
    while (walk->thread_count < wanted &&
           sb_thread_start(&walk->threads[walk->thread_count], work, walk) == 0)
        walk->thread_count++;
}

/* Reads directories off the queue until there are none and nobody can add any. */
static void *work(void *data) {
    struct walk *walk = data;
    struct worker w = {.walk = walk};
    pthread_mutex_lock(&walk->lock);
    for (;;) {
        while (!walk->queue && walk->busy > 0 && !walk->failed)
            pthread_cond_wait(&walk->changed, &walk->lock);
        struct directory *d = walk->queue;
        if (!d || walk->failed)
            break;
        walk->queue = d->next;
        walk->queued--;
        walk->busy++;
        if (walk->thread_count == 0 && walk->queued >= QUEUE_FOR_THREADS)
            start_threads(walk);
        pthread_mutex_unlock(&walk->lock);
        int result = read_directory(&w, d);
        pthread_mutex_lock(&walk->lock);
        walk->busy--;
        if (result < 0 && !walk->failed) {
            walk->failed = true;
            walk->err = w.err;
        }
        if (walk->failed || (!walk->queue && walk->busy == 0))
            pthread_cond_broadcast(&walk->changed);
    }
    sb_arena_take(&walk->arena, &w.arena);
    pthread_mutex_unlock(&walk->lock);
    return NULL;
}

/* ---- the result ---- */

static void add(struct sb_input_list *out, const struct sb_input *input) {
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n++] = *input;
}

static void collect(const struct directory *d, struct sb_input_list *out) {
    for (size_t i = 0; i < d->count; i++) {
        const struct item *item = &d->items[i];
        size_t at = out->n;
        if (item->below && item->below->store)
            continue;
        add(out, &item->input);
        if (item->below)
            collect(item->below, out);
        if (item->left_out && out->n == at + 1)
            out->n = at;
    }
}

int sb_scan_run(const struct sb_scan *scan, int parent, const char *name, const char *path,
                struct sb_input_list *out, struct sb_error *err) {
    struct stat st;
    struct walk walk = {.scan = scan};
    struct worker self = {.walk = &walk};
    const char *kept = sb_arena_strdup(&out->arena, path);
    struct sb_input source;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return sb_fail_errno(err, SB_E_NOT_FOUND, "%s/%s", scan->context_path, path);
    walk.source_len = *path ? strlen(path) + S_ISDIR(st.st_mode) : 0;
    int failed = fill_input(&self, parent, name, kept, &st, &source);
    sb_arena_take(&out->arena, &self.arena);
    if (failed) {
        *err = self.err;
        return -1;
    }
    add(out, &source);
    if (!S_ISDIR(st.st_mode) || scan->alone)
        return 0;
    struct directory top = {.path = kept};
    pthread_mutex_init(&walk.lock, NULL);
    pthread_cond_init(&walk.changed, NULL);
    push(&walk, &top);
    work(&walk);
    for (int i = 0; i < walk.thread_count; i++)
        pthread_join(walk.threads[i], NULL);
    if (walk.failed)
        *err = walk.err;
    else
        collect(&top, out);
    sb_arena_take(&out->arena, &walk.arena);
    pthread_mutex_destroy(&walk.lock);
    pthread_cond_destroy(&walk.changed);
    return walk.failed ? -1 : 0;
}
