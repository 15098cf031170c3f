#include "builder/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "builder/base_layers.h"
#include "builder/cache.h"
#include "builder/failed.h"
#include "builder/test_service.h"
#include "builder/trial.h"

#define VERSION 1 /* of the key */

enum { LAST_LINES = 40 };

/* ---- what a test depends on ---- */

static struct sb_layer_site site_of(struct sb_target *target) {
    return (struct sb_layer_site){.store = target->shop->store,
                                  .recipe = target->recipe,
                                  .platform = target->platform,
                                  .below = &target->image,
                                  .context = target->context,
                                  .secrets = &target->shop->request->secrets,
                                  .settings = target->shop->settings,
                                  .registry = target->shop->request->registry,
                                  .workdir = target->workdir,
                                  .epoch = target->shop->epoch};
}

static json_t *image_json(const struct sb_image *image) {
    static const char *const keys[] = {"Env", "User", "WorkingDir", "Entrypoint", "Cmd"};
    json_t *layers = json_array(), *seen = json_object();
    for (size_t i = 0; i < image->layer_count; i++)
        json_array_append_new(layers,
                              json_string(sb_digest_text(&image->layers[i].layer.diff_id).text));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(json_object_get(image->config, "config"), keys[i]);
        if (value)
            json_object_set(seen, keys[i], value);
    }
    return json_pack("{s:o, s:o}", "layers", layers, "config", seen);
}

static int add_own_env(const struct sb_layer_site *site, const struct sb_step *step, json_t *does,
                       struct sb_error *err) {
    struct sb_step_environment env = {0};
    int failed = sb_layer_environment(site, step, &env, err);
    json_t *own = json_object();
    for (size_t i = 0; i < env.own.n; i++)
        json_object_set_new(own, env.own.v[i].name, sb_json_from_bytes(env.own.v[i].value));
    json_object_set_new(does, "own_env", own);
    sb_step_environment_free(&env);
    return failed;
}

static int make_key(struct sb_target *target, const struct sb_recipe_test *test,
                    struct sb_digest *out, struct sb_error *err) {
    struct sb_layer_site site = site_of(target);
    struct sb_copies copies = {0};
    json_t *does = NULL;
    sb_autobuf struct sb_buf text = {0};
    int failed = test->service ? sb_test_service_json(&site, &does, err)
                               : sb_layer_step_json(&site, &test->step, &copies, &does, err);
    if (!failed && test->step.env.n)
        failed = add_own_env(&site, &test->step, does, err);
    sb_autojson json_t *key = json_pack("{s:i, s:o, s:o*}", "version", VERSION, "image",
                                        image_json(&target->image), "does", does);
    sb_copies_free(&copies);
    sb_json_write(key, &text);
    *out = sb_digest_of(text.data, text.len);
    return failed;
}

static char *note_path(const struct sb_digest *key) {
    return sb_format("tests/%s", sb_digest_hex(key).text);
}

static bool has_passed(struct sb_store *store, const struct sb_digest *key) {
    sb_autofree char *path = note_path(key);
    if (!sb_path_exists(sb_store_private_fd(store), path))
        return false;
    sb_store_use_note(sb_store_private_fd(store), path);
    return true;
}

static int note_passed(struct sb_store *store, const struct sb_recipe *recipe,
                       const struct sb_test_result *result, struct sb_error *err) {
    sb_autofree char *own = note_path(&result->key);
    sb_autofree char *path = sb_format("sbuild/%s", own);
    sb_autojson json_t *note = json_pack(
        "{s:i, s:o, s:o, s:f}", "version", VERSION, "recipe", sb_json_from_bytes(recipe->name),
        "does", sb_json_from_text(result->summary), "seconds", result->seconds);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(note, &text);
    if (sb_directory_make(sb_store_private_fd(store), "tests", 0755, err) < 0)
        return -1;
    return sb_store_publish(store, path, text.data, text.len, err);
}

/* ---- which are to run ---- */

static int find_one(struct sb_target *target, const struct sb_recipe_test *test,
                    struct sb_test_result *out, struct sb_error *err) {
    const struct sb_build_request *request = target->shop->request;
    out->summary = test->service ? sb_strdup("service") : test->step.kind->summary(&test->step);
    out->state = test->step.left_out ? SB_TEST_LEFT_OUT : SB_TEST_SKIPPED;
    if (request->skip_tests || test->step.left_out)
        return 0;
    out->state = SB_TEST_UNKNOWN;
    if (target->unsure)
        return 0;
    if (make_key(target, test, &out->key, err) < 0)
        return -1;
    bool passed = !request->no_cache && has_passed(target->shop->store, &out->key);
    out->state = passed ? SB_TEST_CACHED : SB_TEST_RUN;
    return 0;
}

static int find_of(const struct sb_build_wanted *wanted, bool *pending, struct sb_error *err) {
    struct sb_build_image *result = wanted->result;
    struct sb_target *target = wanted->target;
    const struct sb_recipe *recipe = target->recipe;
    sb_tests_free_results(result);
    result->tests = sb_alloc((recipe->test_count + 1) * sizeof *result->tests);
    result->test_count = recipe->test_count;
    if (recipe->test_count && sb_target_open_context(target, err) < 0)
        return -1;
    for (size_t i = 0; i < recipe->test_count; i++) {
        if (find_one(target, &recipe->tests[i], &result->tests[i], err) < 0)
            return -1;
        *pending = *pending || result->tests[i].state == SB_TEST_RUN;
    }
    return 0;
}

int sb_tests_find(struct sb_build *build, bool *out_pending, struct sb_error *err) {
    const struct sb_build_request *request = build->shop.request;
    *out_pending = false;
    for (size_t i = 0; i < build->wanted_count && !request->until && !request->untagged; i++)
        if (find_of(&build->wanted[i], out_pending, err) < 0)
            return -1;
    return 0;
}

void sb_tests_free_results(struct sb_build_image *result) {
    for (size_t i = 0; i < result->test_count; i++)
        free(result->tests[i].summary);
    free(result->tests);
    result->tests = NULL;
    result->test_count = 0;
}

/* ---- running ---- */

/* A test is shown as a layer is. */
struct shown {
    struct sb_workshop *shop;
    struct sb_layer_result layer;
    size_t id;
};

static void tell(const struct shown *shown, enum sb_event_type type, const char *text, size_t len) {
    struct sb_event event = {
        .type = type, .id = shown->id, .layer = &shown->layer, .text = text, .text_len = len};
    sb_workshop_tell(shown->shop, &event);
}

static void forward_output(void *data, const char *text, size_t len) {
    tell(data, SB_EVENT_LAYER_OUTPUT, text, len);
}

static void forward_warning(void *data, const char *text) {
    const struct shown *shown = data;
    sb_workshop_warn(shown->shop, "%s: %s", shown->layer.name, text);
}

static int run_test(struct sb_target *target, const struct sb_recipe_test *test,
                    struct sb_step_run_context *context, struct sb_error *err) {
    if (test->service)
        return sb_test_service_run(target, context, err);
    struct sb_layer_site site = site_of(target);
    struct sb_step_environment env = {0};
    int failed = sb_layer_environment(&site, &test->step, &env, err);
    context->env = &target->env; /* the image's whole one, and nothing of build: */
    context->own_env = &env.own;
    if (!failed)
        failed = test->step.kind->run(&test->step, context, err);
    context->env = context->own_env = NULL;
    sb_step_environment_free(&env);
    return failed;
}

static void place(const struct sb_recipe_test *test, int line, struct sb_error *err) {
    sb_error_context(err, "%s:%d: test", test->place.file, line ? line : test->place.line);
}

/* In a root of its own: one test leaves nothing to the next. */
static int run_in_root(struct sb_target *target, const struct sb_recipe_test *test,
                       const struct sb_strings *trees, struct shown *shown, struct sb_error *err) {
    struct sb_workshop *shop = target->shop;
    struct sb_root *root = NULL;
    struct sb_step_failure failure = {0};
    const char *user = sb_json_string(json_object_get(target->image.config, "config"), "User", "");
    struct sb_step_log log = {
        .fd = -1, .line = forward_output, .data = shown, .disk = sb_store_fd(shop->store)};
    struct sb_step_run_context context = {.store = shop->store,
                                          .settings = shop->settings,
                                          .registry = shop->request->registry,
                                          .recipe = target->recipe,
                                          .platform = target->platform,
                                          .inputs = target->context,
                                          .secrets = &shop->request->secrets,
                                          .workdir = target->workdir,
                                          .epoch = shop->epoch,
                                          .log = &log,
                                          .warn = forward_warning,
                                          .warn_data = shown,
                                          .finished = true,
                                          .user = *user ? user : NULL,
                                          .failure = &failure};
    if (sb_failed_prepare(shop->store, &failure, err) < 0 ||
        sb_root_mount(shop->store, trees, &root, err) < 0)
        return -1;
    context.root = root;
    int failed = run_test(target, test, &context, err);
    if (failed && err->code == SB_E_STEP) {
        struct sb_error own = {0};
        sb_autobuf struct sb_buf lines = {0};
        place(test, context.failed_line, err);
        sb_autofree char *what = sb_strdup(err->message);
        sb_step_log_last_lines(&log, LAST_LINES, &lines);
        if (lines.len) {
            struct sb_error whole = {0};
            while (lines.len && lines.data[lines.len - 1] == '\n')
                lines.data[--lines.len] = '\0';
            sb_fail(&whole, err->code, "%s\n%s", err->message, lines.data);
            memcpy(err->message, whole.message, sizeof err->message);
        }
        if (failure.workdir && sb_root_unmount(root, &own) == 0 &&
            sb_failed_keep(shop->store, &target->image, root, &failure, what, shop->epoch, &own) ==
                0)
            sb_failed_tell(shop->request->store_option, err);
    } else if (failed) {
        place(test, 0, err);
    }
    sb_root_free(root);
    sb_step_failure_free(&failure);
    sb_buf_free(&log.tail);
    return failed;
}

static int run_one(const struct sb_build_wanted *wanted, size_t which,
                   const struct sb_strings *trees, struct sb_error *err) {
    struct sb_target *target = wanted->target;
    struct sb_test_result *result = &wanted->result->tests[which];
    struct shown shown = {.shop = target->shop, .id = atomic_fetch_add(&target->shop->next_id, 1)};
    double start = sb_clock_seconds();
    shown.layer.recipe = target->recipe->title;
    shown.layer.platform = target->shown_platform;
    shown.layer.summary = result->summary;
    sb_autofree char *name = shown.layer.name = sb_format("test %zu", which + 1);
    tell(&shown, SB_EVENT_LAYER_START, NULL, 0);
    result->state = SB_TEST_FAILED;
    if (sb_interrupt_check(err) < 0 ||
        run_in_root(target, &target->recipe->tests[which], trees, &shown, err) < 0)
        return -1;
    result->state = SB_TEST_PASSED;
    result->seconds = shown.layer.seconds = sb_clock_seconds() - start;
    tell(&shown, SB_EVENT_TEST, NULL, 0);
    return note_passed(target->shop->store, target->recipe, result, err);
}

static int run_of(const struct sb_build_wanted *wanted, struct sb_error *err) {
    const struct sb_build_image *result = wanted->result;
    struct sb_target *target = wanted->target;
    sb_autostrings struct sb_strings trees = {0};
    for (size_t i = 0; i < result->test_count; i++) {
        if (result->tests[i].state != SB_TEST_RUN)
            continue;
        if (trees.n == 0 && sb_trial_trees(target->shop->store, &target->image, &trees, err) < 0)
            return -1;
        if (run_one(wanted, i, &trees, err) < 0)
            return -1;
    }
    return 0;
}

int sb_tests_run(struct sb_build *build, struct sb_error *err) {
    for (size_t i = 0; i < build->wanted_count; i++)
        if (run_of(&build->wanted[i], err) < 0)
            return -1;
    return 0;
}
