#include "steps/failure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

/* ---- mounts ---- */

struct linking {
    int to;
};

static int link_entry(void *self, const struct sb_tree_entry *entry, struct sb_error *err) {
    struct linking *linking = self;
    struct stat st;
    int failed = 0;
    if (entry->type == DT_DIR)
        failed = fstatat(entry->dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                 mkdirat(linking->to, entry->path, st.st_mode & 07777) < 0 ||
                 fchownat(linking->to, entry->path, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0;
    else if (entry->type == DT_REG || entry->type == DT_LNK)
        failed = linkat(entry->dir, entry->name, linking->to, entry->path, 0) < 0;
    return failed ? sb_fail_errno(err, SB_E_IO, "keeping a mount of a step") : 0;
}

/* Their files by further names: of the store's own alone, which nobody changes once they are gone
 * here. */
static int keep_tree(const char *source, int to, const char *name) {
    struct stat st;
    if (lstat(source, &st) < 0)
        return -1;
    if (S_ISREG(st.st_mode))
        return linkat(AT_FDCWD, source, to, name, 0);
    if (!S_ISDIR(st.st_mode) || mkdirat(to, name, st.st_mode & 07777) < 0 ||
        fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    sb_autoclose int fd = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct linking linking = {fd};
    struct sb_error ignored = {0};
    return fd < 0 ? -1 : sb_tree_walk(AT_FDCWD, source, link_entry, NULL, &linking, &ignored);
}

static void keep_mount(struct sb_step_failure *out, const char *own, const struct sb_mount *mount,
                       int to) {
    sb_autofree char *name = sb_format("%zu", out->mount_places.n);
    if (own && !strncmp(mount->source, own, strlen(own)) &&
        keep_tree(mount->source, to, name) == 0) {
        sb_strings_add(&out->mount_places, mount->destination);
        return;
    }
    sb_strings_add(&out->left_out, mount->destination);
    sb_tree_remove(to, name, NULL);
}

static void keep_mounts(struct sb_step_failure *out, const struct sb_step_run_context *context,
                        const struct sb_program *program, const struct sb_step_mounts *mounts) {
    const char *own = sb_store_tmp_path(context->store);
    sb_autoclose int to = open(out->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autofree char *inputs =
        sb_format("%s/" SB_INPUTS_DIRECTORY "/", mounts->directory ? mounts->directory : "");
    for (size_t i = 0; i < program->mount_count && to >= 0; i++)
        if (strncmp(program->mounts[i].destination, "/dev/", 5) != 0) /* a script, which was read */
            keep_mount(out, own, &program->mounts[i], to);
    for (size_t i = 0; i < mounts->n && to >= 0; i++)
        if (!strncmp(mounts->v[i].source, inputs, strlen(inputs)))
            keep_mount(out, own, &mounts->v[i], to);
}

static void keep_caches(struct sb_step_failure *out, const struct sb_step_mounts *mounts) {
    static const char caches[] = "/sbuild/caches/";
    for (size_t i = 0; i < mounts->n; i++) {
        const char *at = strstr(mounts->v[i].source, caches);
        if (!at || mounts->v[i].read_only)
            continue;
        sb_strings_add(&out->cache_places, mounts->v[i].destination);
        sb_strings_add(&out->caches, at + strlen("/sbuild/"));
    }
}

/* ---- noting ---- */

/* How this machine reaches the network is said anew, and may hold a password. */
static bool is_proxy(const struct sb_pair *pair) {
    size_t n = strlen(pair->name);
    const char *here = getenv(pair->name);
    return n > 6 && !strcasecmp(pair->name + n - 6, "_proxy") && here && !strcmp(here, pair->value);
}

void sb_step_failure_note(const struct sb_step *step, const struct sb_step_run_context *context,
                          const struct sb_program *program, const struct sb_pairs *env,
                          const char *workdir, const struct sb_step_mounts *mounts) {
    struct sb_step_failure *out = context->failure;
    if (!out)
        return;
    char *directory = sb_steal(out->directory);
    sb_step_failure_free(out);
    out->directory = directory;
    for (size_t i = 0; program->argv[i]; i++)
        sb_strings_add(&out->argv, program->argv[i]);
    for (size_t i = 0; i < env->n; i++)
        if (!is_proxy(&env->v[i]))
            sb_pairs_set(&out->env, env->v[i].name, env->v[i].value);
    out->workdir = sb_strdup(workdir);
    out->user = program->user ? sb_strdup(program->user) : NULL;
    out->network = program->network;
    out->finished = context->finished;
    for (size_t i = 0; i < step->secrets.n; i++) {
        sb_strings_add(&out->secrets, step->secrets.v[i]);
        sb_strings_add(&out->secret_places,
                       i < step->secret_places.n ? step->secret_places.v[i] : "");
        sb_strings_add(&out->secret_variables,
                       i < step->secret_variables.n ? step->secret_variables.v[i] : "");
    }
    keep_mounts(out, context, program, mounts);
    keep_caches(out, mounts);
}

/* ---- JSON ---- */

static json_t *words(const struct sb_strings *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(array, sb_json_from_bytes(list->v[i]));
    return array;
}

static const struct {
    const char *key;
    size_t offset;
} lists[] = {
#define LIST(name)                                                                                 \
    { #name, offsetof(struct sb_step_failure, name) }
    LIST(argv),         LIST(secrets), LIST(secret_places), LIST(secret_variables),
    LIST(cache_places), LIST(caches),  LIST(mount_places),  LIST(left_out),
#undef LIST
};

json_t *sb_step_failure_json(const struct sb_step_failure *f) {
    json_t *env = json_array();
    for (size_t i = 0; i < f->env.n; i++)
        json_array_append_new(env, json_pack("[o, o]", sb_json_from_bytes(f->env.v[i].name),
                                             sb_json_from_bytes(f->env.v[i].value)));
    json_t *out = json_pack("{s:o, s:o, s:b, s:b}", "env", env, "workdir",
                            sb_json_from_bytes(f->workdir ? f->workdir : "/"), "network",
                            f->network, "finished", f->finished);
    if (f->user)
        json_object_set_new(out, "user", sb_json_from_bytes(f->user));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        json_object_set_new(out, lists[i].key,
                            words((const void *)((const char *)f + lists[i].offset)));
    return out;
}

int sb_step_failure_parse(const json_t *json, struct sb_step_failure *out) {
    size_t i;
    json_t *item;
    *out = (struct sb_step_failure){0};
    json_array_foreach (json_object_get(json, "env"), i, item) {
        const char *name = json_string_value(json_array_get(item, 0)),
                   *value = json_string_value(json_array_get(item, 1));
        if (name && value)
            sb_pairs_set(&out->env, name, value);
    }
    for (size_t n = 0; n < sizeof lists / sizeof *lists; n++)
        json_array_foreach (json_object_get(json, lists[n].key), i, item) {
            const char *word = json_string_value(item);
            sb_strings_add((struct sb_strings *)(void *)((char *)out + lists[n].offset),
                           word ? word : "");
        }
    const char *user = json_string_value(json_object_get(json, "user"));
    out->workdir = sb_strdup(sb_json_string(json, "workdir", "/"));
    out->user = user ? sb_strdup(user) : NULL;
    out->network = json_is_true(json_object_get(json, "network"));
    out->finished = json_is_true(json_object_get(json, "finished"));
    bool whole = json_is_object(json) && out->secrets.n == out->secret_places.n &&
                 out->secrets.n == out->secret_variables.n && out->caches.n == out->cache_places.n;
    if (!whole)
        sb_step_failure_free(out);
    return whole ? 0 : -1;
}

void sb_step_failure_free(struct sb_step_failure *f) {
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        sb_strings_free((struct sb_strings *)(void *)((char *)f + lists[i].offset));
    sb_pairs_free(&f->env);
    free(f->directory);
    free(f->workdir);
    free(f->user);
    *f = (struct sb_step_failure){0};
}
