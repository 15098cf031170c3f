#include "steps/times.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "steps/inputs.h"
#include "steps/shadows.h"
#include "steps/shown_files.h"

#define COMPARE_LIMIT (UINT64_C(256) << 20) /* bytes of files that stand in others' place */
#define NANOSECONDS   INT64_C(1000000000)

struct sb_step_times {
    bool looked; /* the shadows are known: layers below don't change meanwhile */
    struct sb_shadows shadows;
    json_t *newer;         /* of them, those that differ from what they replace: path → true */
    struct sb_inputs last; /* of the last program in this layer */
    bool ran;
    struct sb_shown_files shown;
};

struct sb_step_times *sb_step_times_new(void) {
    return sb_alloc(sizeof(struct sb_step_times));
}

void sb_step_times_free(struct sb_step_times *times) {
    if (!times)
        return;
    sb_shadows_free(&times->shadows);
    json_decref(times->newer);
    sb_inputs_free(&times->last);
    sb_shown_files_free(&times->shown);
    free(times);
}

/* The clock that files get their times from: a product made from now on is no older. */
static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t.tv_sec * NANOSECONDS + t.tv_nsec;
}

/* ---- files in the place of others ---- */

/* Whether any layer below has other bytes there than the root shows. */
static bool differs_below(const struct sb_strings *trees, int root, const char *path,
                          uint64_t *budget) {
    struct stat st, other;
    struct sb_error ignored = {0};
    sb_autoclose int is = sb_beneath_open(root, path, SB_BENEATH_NO_LINKS, &st, &ignored);
    bool differs = false;
    if (is < 0)
        return false;
    for (size_t i = 0; i < trees->n && !differs; i++) {
        sb_autoclose int tree = open(trees->v[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        sb_autoclose int was = sb_beneath_open(tree, path, SB_BENEATH_NO_LINKS, &other, &ignored);
        if (was < 0) /* nothing, or no file: a device of an image is never opened */
            continue;
        differs = other.st_size != st.st_size || !sb_inputs_same_bytes(is, was, budget);
    }
    return differs;
}

static int find_shadows(struct sb_step_times *times, struct sb_step_run_context *context,
                        struct sb_error *err) {
    const struct sb_strings *trees = sb_root_trees(context->root);
    if (times->looked)
        return 0;
    sb_json_drop(&times->newer);
    times->newer = json_object();
    if (sb_shadows_find(context->store, trees, context->epoch, &times->shadows, err) < 0)
        return -1;
    times->looked = true;
    sb_autoclose int root = open(sb_root_path(context->root), O_PATH | O_DIRECTORY | O_CLOEXEC);
    uint64_t budget = COMPARE_LIMIT;
    for (size_t i = 0; i < times->shadows.paths.n; i++) {
        const char *path = times->shadows.paths.v[i];
        if (!differs_below(trees, root, path, &budget))
            continue;
        sb_autofree char *name = sb_inputs_name(path);
        json_object_set_new(times->newer, name, json_true());
    }
    return 0;
}

/* What was laid out in this layer over something else below. */
static void find_own_shadows(const struct sb_step_run_context *context,
                             const struct sb_inputs *inputs, json_t *out) {
    const struct sb_strings *trees = sb_root_trees(context->root);
    sb_autoclose int root = open(sb_root_path(context->root), O_PATH | O_DIRECTORY | O_CLOEXEC);
    uint64_t budget = COMPARE_LIMIT;
    const char *name;
    json_t *digest;
    json_object_foreach (inputs->files, name, digest) {
        sb_autofree char *path = sb_inputs_path(name);
        if (differs_below(trees, root, path, &budget))
            json_object_set_new(out, name, json_true());
    }
}

/* ---- caches ---- */

static bool is_empty(struct sb_store *store, const char *path) {
    int fd = openat(sb_store_private_fd(store), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return true;
    size_t n = 0;
    while (readdir(dir))
        n++;
    return n <= 2;
}

/* What to show newer than all in the cache directory goes to changed, and to times what was shown
 * so before. False: anything may have changed. */
static bool ask_cache(const struct sb_inputs_site *site, const char *cache,
                      const struct sb_inputs *inputs, json_t *changed, json_t *times) {
    struct sb_inputs before;
    sb_autofree char *path = sb_format("%s.inputs", cache);
    if (is_empty(site->store, cache))
        return true;
    if (!sb_inputs_read(site->store, path, &before))
        return false;
    bool told = sb_inputs_compare(site, &before, inputs, changed);
    const char *name;
    json_t *time;
    json_object_foreach (before.times, name, time) {
        if (json_integer_value(time) > json_integer_value(json_object_get(times, name)))
            json_object_set(times, name, time);
    }
    sb_inputs_free(&before);
    return told;
}

static int keep_inputs(struct sb_store *store, const struct sb_strings *caches,
                       const struct sb_inputs *inputs, struct sb_error *err) {
    for (size_t i = 0; i < caches->n; i++) {
        sb_autofree char *path = sb_format("%s.inputs", caches->v[i]);
        if (sb_inputs_write(store, path, inputs, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- all together ---- */

/* Fills inputs->times: path → the time that it is to have. False: it can't be told. */
static bool choose(struct sb_step_times *times, const struct sb_inputs_site *site,
                   const struct sb_strings *caches, struct sb_inputs *inputs, json_t *changed) {
    bool told = true;
    for (size_t i = 0; i < caches->n; i++)
        told = ask_cache(site, caches->v[i], inputs, changed, inputs->times) && told;
    if (times->ran)
        told = sb_inputs_compare(site, &times->last, inputs, changed) && told;
    const char *name;
    json_t *value;
    json_object_foreach (changed, name, value) {
        int64_t before = json_integer_value(json_object_get(inputs->times, name)), t = now();
        json_object_set_new(inputs->times, name, json_integer(t > before ? t : before + 1));
    }
    return told;
}

static void show_shadows(struct sb_step_times *times, const json_t *shadows,
                         const struct sb_inputs *inputs) {
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)shadows, name, value) {
        if (!json_object_get(inputs->times, name))
            sb_shown_files_add(&times->shown, name, (times->shadows.newest + 1) * NANOSECONDS);
    }
}

static int begin(struct sb_step_times *times, struct sb_step_run_context *context,
                 const struct sb_strings *caches, struct sb_inputs *inputs, struct sb_error *err) {
    const struct sb_inputs_site site = {context->store, sb_root_trees(context->root),
                                        sb_root_path(context->root), context->epoch};
    sb_autojson json_t *changed = json_object(), *own = json_object();
    if (find_shadows(times, context, err) < 0)
        return -1;
    find_own_shadows(context, inputs, own);
    bool told = choose(times, &site, caches, inputs, changed);
    json_object_update(own, times->newer);
    show_shadows(times, own, inputs);
    const char *name;
    json_t *time;
    json_object_foreach (inputs->times, name, time) {
        sb_shown_files_add(&times->shown, name, json_integer_value(time));
    }
    if (sb_shown_files_apply(&times->shown, context->root, inputs->times, &told, err) < 0)
        return -1;
    for (size_t i = 0; i < caches->n && !told; i++)
        if (sb_shown_files_date_back(context->store, caches->v[i], err) < 0)
            return -1;
    return keep_inputs(context->store, caches, inputs, err);
}

/* What the steps before this one laid out; of an archive that was unpacked, with the archive's
 * times. */
static int take_inputs(const struct sb_step *step, const struct sb_step_run_context *context,
                       struct sb_inputs *out, struct sb_error *err) {
    const struct sb_recipe_layer *layer = context->layer;
    enum sb_inputs_dates dates = SB_INPUTS_NONE;
    for (size_t i = 0; layer && i < layer->step_count && &layer->steps[i] != step; i++) {
        const struct sb_step *before = &layer->steps[i];
        if (!sb_step_placing(before) && before->kind->keeps_times)
            dates = SB_INPUTS_OLD;
        else if (dates == SB_INPUTS_NONE && sb_step_placing(before))
            dates = SB_INPUTS_EPOCH;
    }
    return sb_inputs_take(sb_root_trees(context->root), sb_root_upper(context->root), dates,
                          context->epoch, out, err);
}

int sb_step_times_begin(const struct sb_step *step, struct sb_step_run_context *context,
                        const struct sb_strings *caches, struct sb_error *err) {
    struct sb_step_times *times = context->times;
    if (!times || !step->kind->goes_by_times)
        return times ? sb_root_show(context->root, NULL, err) : 0;
    struct sb_inputs inputs;
    sb_shown_files_free(&times->shown);
    if (sb_root_show(context->root, NULL, err) < 0 || take_inputs(step, context, &inputs, err) < 0)
        return -1;
    int failed;
    failed = begin(times, context, caches, &inputs, err);
    sb_inputs_free(&times->last);
    times->last = inputs;
    times->ran = true;
    return failed ? sb_error_context(err, "preparing the times of files") : 0;
}

void sb_step_times_end(struct sb_step_run_context *context) {
    if (context->times)
        sb_shown_files_restore(&context->times->shown, context->root);
}
