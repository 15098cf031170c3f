#include "steps/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/idmap.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "sandbox/inroot_files.h"
#include "steps/mounts_private.h"
#include "steps/times.h"

enum { RESOLV_CONF_LIMIT = 65536, HOSTS_LIMIT = 16 << 20 };

static const char hosts[] = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 sbuild\n";
/* So that a copy of it is known for one, whatever this machine's says. */
static const char resolv_conf[] = "# of the machine that builds: no part of the image\n";

int sb_step_mounts_write(const char *directory, const char *name, const void *data, size_t len,
                         mode_t mode, struct sb_error *err) {
    sb_autofree char *path = sb_format("%s/%s", directory, name);
    sb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, mode) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", path);
    return sb_fd_write(fd, data, len, path, err);
}

void sb_step_mounts_add(struct sb_step_mounts *mounts, char *source, const char *destination,
                        bool directory, bool read_only) {
    size_t n = mounts->n;
    sb_strings_take(&mounts->sources, source);
    mounts->v = sb_realloc(mounts->v, n + 1, sizeof *mounts->v);
    mounts->v[n] = (struct sb_mount){source, destination, read_only};
    mounts->points = sb_realloc(mounts->points, n + 1, sizeof *mounts->points);
    mounts->points[n] = (struct sb_root_point){.path = destination, .directory = directory};
    mounts->n = mounts->point_count = n + 1;
}

/* ---- the network's files ---- */

/* The image's own hosts are shown, too, behind ours. */
static int read_hosts(const struct sb_root *root, struct sb_buf *out, struct sb_error *err) {
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, sb_root_path(root), err);
    if (fd < 0)
        return -1;
    sb_autobuf struct sb_buf own = {0};
    if (sb_inroot_read(fd, "/etc/hosts", HOSTS_LIMIT, &own, NULL) < 0)
        sb_buf_reset(&own);
    sb_buf_adds(out, hosts);
    sb_buf_add(out, sb_buf_text(&own), own.len);
    return 0;
}

static void add_file(struct sb_step_mounts *mounts, const char *path, const struct sb_buf *text,
                     size_t ours, bool secret) {
    mounts->files[mounts->file_count++] = (struct sb_root_file){
        .path = path, .text = text->data, .len = text->len, .ours = ours, .secret = secret};
}

/* A copy, without search domains if they are wanted by themselves: the last such line counts. */
static void copy_resolv_conf(char *text, struct sb_buf *out, struct sb_buf *search) {
    for (char *line; (line = strsep(&text, "\n"));) {
        const char *word = line + strspn(line, " \t");
        bool is_search = !strncmp(word, "search", 6) || !strncmp(word, "domain", 6);
        if (search && is_search && (word[6] == ' ' || word[6] == '\t')) {
            sb_buf_reset(search);
            sb_buf_adds(search, word + 6 + strspn(word + 6, " \t"));
        } else if (text || *line) {
            sb_buf_addf(out, "%s\n", line);
        }
    }
}

/* No mounts: packages replace these files. Of resolv.conf nothing may stay, as it tells of this
 * machine. */
static int add_network(struct sb_step_mounts *mounts, const struct sb_program *program,
                       struct sb_error *err) {
    if (read_hosts(mounts->root, &mounts->hosts, err) < 0)
        return -1;
    add_file(mounts, "/etc/hosts", &mounts->hosts, sizeof hosts - 1, false);
    if (!program->network)
        return 0;
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, "/etc/resolv.conf", RESOLV_CONF_LIMIT, &text, NULL) < 0)
        sb_buf_reset(&text); /* names in /etc/hosts and addresses still work */
    sb_buf_adds(&mounts->resolv_conf, resolv_conf);
    if (text.data)
        copy_resolv_conf(text.data, &mounts->resolv_conf,
                         program->no_search ? &mounts->search : NULL);
    add_file(mounts, "/etc/resolv.conf", &mounts->resolv_conf, mounts->resolv_conf.len, true);
    return 0;
}

/* ---- caches ---- */

int sb_step_mounts_check_place(const char *path, struct sb_error *err) {
    sb_autofree char *clean = sb_path_clean(path);
    if (path[0] == '/' && !sb_step_reserved(clean))
        return 0;
    return sb_fail(err, SB_E_STEP,
                   "%s: nothing can be mounted there (/, /proc, /sys and /dev are taken, and a "
                   "place must be absolute)",
                   path);
}

struct cache {
    const char *path, *shared;
};

struct caches {
    struct cache *v;
    size_t n, cap;
};

static void want_cache(struct caches *caches, const char *path, const char *shared) {
    for (size_t i = 0; i < caches->n; i++)
        if (!strcmp(caches->v[i].path, path))
            return;
    SB_GROW(caches->v, caches->n, caches->cap);
    caches->v[caches->n++] = (struct cache){path, shared};
}

static int by_path(const void *a, const void *b) {
    const struct cache *x = a, *y = b;
    return strcmp(x->path, y->path);
}

/* The step's own, of which it says what is shared, before those of its kind. */
static void collect_caches(const struct sb_step *step, const struct sb_program *program,
                           struct caches *out) {
    for (size_t i = 0; i < step->caches.n; i++)
        want_cache(out, step->caches.v[i], i < step->shares.n ? step->shares.v[i] : "");
    for (size_t i = 0; program->caches && program->caches[i]; i++)
        want_cache(out, program->caches[i], "");
    if (out->n) /* so that two steps never wait for each other */
        qsort(out->v, out->n, sizeof *out->v, by_path);
}

/* Whose a cache directory is: all recipes' that name it so, or that of one recipe, which is known
 * by the place of its file; for one platform. */
static json_t *describe_cache(const struct cache *cache, const struct sb_step_run_context *context,
                              const char *user) {
    const struct sb_recipe *recipe = context->recipe;
    const char *path = recipe && recipe->path ? recipe->path : "";
    sb_autofree char *real = realpath(path, NULL);
    json_t *json = json_pack("{s:i, s:o, s:s}", "version", 2, "path",
                             sb_json_from_bytes(cache->path), "user", user);
    if (*cache->shared)
        json_object_set_new(json, "shared", json_string(cache->shared));
    else
        json_object_set_new(json, "recipe", sb_json_from_bytes(real ? real : path));
    if (context->platform && sb_platform_compare(context->platform, sb_platform_own()) != 0) {
        sb_autofree char *platform = sb_platform_text(context->platform);
        json_object_set_new(json, "platform", json_string(platform));
    }
    sb_autofree char *ids = sb_idmap_note(); /* who owns what is in it depends on them */
    if (ids)
        json_object_set_new(json, "ids", json_string(ids));
    return json;
}

/* From here on the collector leaves the cache alone as long as this process lives, its lock
 * included: two who hold "the same" lock on two files would share the directory. */
static int take_into_use(struct sb_store *store, const char *id, struct sb_error *err) {
    static const char *const suffixes[] = {"", ".json", ".lock", ".inputs", ".shown"};
    if (sb_store_hold(store, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        sb_autofree char *item = sb_format("sbuild/caches/%s%s", id, suffixes[i]);
        sb_store_use(store, item, NULL); /* what is not there yet gets made, and is young then */
    }
    sb_store_release(store);
    return 0;
}

static int make_cache(struct sb_store *store, const char *id, const json_t *json,
                      struct sb_error *err) {
    sb_autofree char *directory = sb_format("caches/%s", id);
    sb_autofree char *about = sb_format("caches/%s.json", id);
    if (sb_path_exists(sb_store_private_fd(store), directory))
        return 0;
    sb_autobuf struct sb_buf text = {0};
    sb_json_write_pretty(json, &text);
    if (sb_file_write(sb_store_private_fd(store), about, text.data, text.len, 0644, err) < 0)
        return -1;
    if (mkdirat(sb_store_private_fd(store), directory, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the cache %s", directory);
    return 0;
}

/* STORE/sbuild/caches/ID, a directory; ID.json says whose; ID.lock is held by who uses it. ID is
 * the beginning of the digest of what ID.json says. */
static int add_cache(struct sb_step_run_context *context, const struct cache *cache,
                     const char *user, struct sb_step_mounts *mounts, struct sb_error *err) {
    struct sb_store *store = context->store;
    sb_autojson json_t *json = describe_cache(cache, context, user ? user : "root");
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(json, &text);
    struct sb_digest digest = sb_digest_of(text.data, text.len);
    char id[33] = {0};
    memcpy(id, sb_digest_hex(&digest).text, 32);
    if (take_into_use(store, id, err) < 0)
        return -1;
    sb_autofree char *lock = sb_format("caches/%s.lock", id);
    int fd = sb_lock_take(sb_store_private_fd(store), lock, SB_LOCK_EXCLUSIVE, err);
    if (fd < 0)
        return -1;
    mounts->locks = sb_realloc(mounts->locks, mounts->lock_count + 1, sizeof *mounts->locks);
    mounts->locks[mounts->lock_count++] = fd;
    if (make_cache(store, id, json, err) < 0)
        return -1;
    sb_strings_addf(&mounts->caches, "caches/%s", id);
    sb_autofree char *directory = sb_format("caches/%s", id);
    sb_directory_plain(sb_store_private_fd(store), directory);
    sb_step_mounts_add(mounts, sb_format("%s/sbuild/caches/%s", sb_store_path(store), id),
                       cache->path, true, false);
    return 0;
}

/* The top of a cache belongs to who uses it. */
static int give_caches(const struct sb_step_mounts *mounts, const struct sb_user *user,
                       struct sb_error *err) {
    for (size_t i = 0; i < mounts->n; i++) {
        if (!strstr(mounts->v[i].source, "/sbuild/caches/") || mounts->v[i].read_only)
            continue;
        if (chown(mounts->v[i].source, user->uid, user->gid) < 0 ||
            chmod(mounts->v[i].source, 0755) < 0)
            return sb_fail_errno(err, SB_E_IO, "giving the cache %s to its user",
                                 mounts->v[i].destination);
    }
    return 0;
}

/* ---- all of them ---- */

static bool in_dev(const char *path) {
    return !strncmp(path, "/dev/", 5);
}

static int add_own(const struct sb_program *program, struct sb_step_mounts *mounts,
                   struct sb_error *err) {
    for (size_t i = 0; i < program->mount_count; i++) {
        const struct sb_mount *mount = &program->mounts[i];
        struct stat st;
        if (in_dev(mount->destination))
            continue; /* add_devices */
        if (sb_step_mounts_check_place(mount->destination, err) < 0)
            return -1;
        if (stat(mount->source, &st) < 0)
            return sb_fail_errno(err, SB_E_IO, "%s", mount->source);
        sb_step_mounts_add(mounts, sb_strdup(mount->source), mount->destination,
                           S_ISDIR(st.st_mode), mount->read_only);
    }
    return 0;
}

static int by_destination(const void *a, const void *b) {
    const struct sb_mount *x = a, *y = b;
    return strcmp(x->destination, y->destination);
}

/* What the container itself mounts needs places, too. */
static int make_points(struct sb_step_mounts *mounts, struct sb_error *err) {
    static const char *const always[] = {"/proc", "/sys", "/dev"};
    for (size_t i = 0; i < 3; i++) {
        mounts->points =
            sb_realloc(mounts->points, mounts->point_count + 1, sizeof *mounts->points);
        mounts->points[mounts->point_count++] =
            (struct sb_root_point){.path = always[i], .directory = true};
    }
    if (sb_root_points(mounts->root, mounts->points, mounts->point_count, err) < 0)
        return -1;
    for (size_t i = 0; i < mounts->n; i++) {
        if (sb_step_reserved(mounts->points[i].resolved))
            return sb_fail(err, SB_E_STEP,
                           "%s leads to %s in the root: nothing can be mounted "
                           "there",
                           mounts->points[i].path, mounts->points[i].resolved);
        mounts->v[i].destination = mounts->points[i].resolved;
    }
    if (mounts->n)
        qsort(mounts->v, mounts->n, sizeof *mounts->v, by_destination);
    return 0;
}

/* /dev is the container's own: nothing has to be there. */
static void add_devices(const struct sb_program *program, struct sb_step_mounts *mounts) {
    for (size_t i = 0; i < program->mount_count; i++) {
        if (!in_dev(program->mounts[i].destination))
            continue;
        mounts->v = sb_realloc(mounts->v, mounts->n + 1, sizeof *mounts->v);
        mounts->v[mounts->n++] = program->mounts[i];
    }
}

static int make_directory(struct sb_store *store, struct sb_step_mounts *mounts,
                          struct sb_error *err) {
    mounts->directory = sb_store_tmp_new(store, "step", err);
    if (!mounts->directory)
        return -1;
    sb_autofree char *secrets = sb_format("%s/secrets", mounts->directory);
    if (mkdir(mounts->directory, 0700) < 0 || mkdir(secrets, 0700) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", mounts->directory);
    return 0;
}

/* Filled once the program's environment is known. */
static int add_authorities(const struct sb_step_run_context *context,
                           const struct sb_program *program, struct sb_step_mounts *mounts,
                           struct sb_error *err) {
    if (!program->network || !context->settings || !context->settings->authorities)
        return 0;
    mounts->authorities = sb_format("%s/authorities", mounts->directory);
    if (mkdir(mounts->authorities, 0755) < 0 || chmod(mounts->authorities, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", mounts->authorities);
    sb_step_mounts_add(mounts, sb_strdup(mounts->authorities), SB_AUTHORITIES_PLACE, true, true);
    return 0;
}

static int add_caches(const struct sb_step *step, struct sb_step_run_context *context,
                      const struct sb_program *program, struct sb_step_mounts *out,
                      struct sb_error *err) {
    struct caches caches = {0};
    collect_caches(step, program, &caches);
    int failed = 0;
    for (size_t i = 0; i < caches.n && !failed; i++)
        failed = sb_step_mounts_check_place(caches.v[i].path, err) < 0 ||
                         add_cache(context, &caches.v[i], program->user, out, err) < 0
                     ? -1
                     : 0;
    free(caches.v);
    return failed;
}

int sb_step_mounts_begin(const struct sb_step *step, struct sb_step_run_context *context,
                         const struct sb_program *program, struct sb_step_mounts *out,
                         struct sb_error *err) {
    *out = (struct sb_step_mounts){.root = context->root, .context = context};
    if (make_directory(context->store, out, err) < 0 || add_network(out, program, err) < 0 ||
        add_authorities(context, program, out, err) < 0 ||
        add_caches(step, context, program, out, err) < 0 ||
        sb_step_times_begin(step, context, &out->caches, err) < 0)
        return -1;
    if (add_own(program, out, err) < 0)
        return -1;
    if (sb_step_secrets_places(step, out, err) < 0 ||
        sb_step_inputs_places(step, context, out, err) < 0 || make_points(out, err) < 0)
        return -1;
    add_devices(program, out);
    return sb_root_files_place(out->root, out->files, out->file_count, err);
}

int sb_step_mounts_give(const struct sb_step *step, struct sb_step_run_context *context,
                        const struct sb_user *user, struct sb_step_mounts *mounts,
                        struct sb_error *err) {
    if (sb_step_secrets_give(step, context, user, mounts, err) < 0)
        return -1;
    return give_caches(mounts, user, err);
}

static void warn_lost(const struct sb_root_file *file, const struct sb_step *step,
                      const struct sb_step_run_context *context) {
    if (!file->lost || !context->warn)
        return;
    sb_autofree char *text =
        sb_format("%s:%d: what the step wrote to %s is not in the image: with the network it is "
                  "this machine's file. Bring one by a copy step, or by a run step without network",
                  step->place.file, step->place.line, file->path);
    context->warn(context->warn_data, text);
}

int sb_step_mounts_end(struct sb_step_mounts *mounts, const struct sb_step *step,
                       const struct sb_step_run_context *context, struct sb_error *err) {
    int failed = sb_root_files_take(mounts->root, mounts->files, mounts->file_count, err);
    for (size_t i = 0; i < mounts->file_count && step->kind->is_script; i++)
        warn_lost(&mounts->files[i], step, context);
    sb_buf_free(&mounts->hosts);
    sb_buf_free(&mounts->resolv_conf);
    sb_buf_free(&mounts->search);
    sb_root_points_drop(mounts->root, mounts->points, mounts->point_count);
    sb_step_times_end(mounts->context);
    if (mounts->directory) {
        sb_step_secrets_end(mounts);
        sb_tree_remove(AT_FDCWD, mounts->directory, NULL);
    }
    for (size_t i = 0; i < mounts->lock_count; i++)
        close(mounts->locks[i]);
    sb_strings_free(&mounts->sources);
    sb_strings_free(&mounts->caches);
    json_decref(mounts->brought);
    free(mounts->authorities);
    free(mounts->directory);
    free(mounts->points);
    free(mounts->locks);
    free(mounts->v);
    *mounts = (struct sb_step_mounts){0};
    return failed;
}
