/*
 * How a recipe's way to an image begins: its base image, and what there is to decide.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/source.h"
#include "builder/target.h"
#include "context/base_paths.h"
#include "document/environment.h"
#include "document/image_config.h"

struct sb_target *sb_target_root(struct sb_target *target) {
    while (target->base)
        target = target->base;
    return target;
}

enum { TRIGGERS_SHOWN = 20 };

/* What says in a recipe what an instruction does; NULL: nothing has to. */
static const char *equivalent(const char *instruction) {
    static const struct {
        const char *instruction, *key;
    } all[] = {{"ADD", "a copy step, or download"},
               {"COPY", "a copy step"},
               {"RUN", "a run step"},
               {"ENV", "image: {env: …}"},
               {"ARG", "args: {…}"},
               {"WORKDIR", "image: {workdir: …}"},
               {"USER", "image: {user: …}"},
               {"CMD", "image: {cmd: […]}"},
               {"ENTRYPOINT", "image: {entrypoint: […]}"},
               {"EXPOSE", "image: {ports: […]}"},
               {"VOLUME", "image: {volumes: […]}"},
               {"LABEL", "image: {labels: {…}}"},
               {"STOPSIGNAL", "image: {stop_signal: …}"},
               {"HEALTHCHECK", "service: {health: {…}}"},
               {"SHELL", "build: {shell: […]}"}};
    size_t n = strcspn(instruction, " \t");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strlen(all[i].instruction) == n && !strncasecmp(all[i].instruction, instruction, n))
            return all[i].key;
    return NULL;
}

/* Instructions for whoever builds on the image, in a language that isn't spoken here. They are not
 * passed on, either: they have been due. */
static void drop_triggers(struct sb_target *target) {
    json_t *config = json_object_get(target->image.config, "config");
    sb_autojson json_t *triggers = json_incref(json_object_get(config, "OnBuild"));
    size_t n = json_array_size(triggers);
    sb_autobuf struct sb_buf list = {0};
    json_object_del(config, "OnBuild");
    if (n == 0)
        return;
    for (size_t i = 0; i < n && i < TRIGGERS_SHOWN; i++) {
        const json_t *item = json_array_get(triggers, i);
        const char *text = json_is_string(item) ? json_string_value(item) : "";
        const char *key = equivalent(text);
        sb_buf_addf(&list, "%s%s%s%s%s", i ? ", " : "", sb_text_shown(text).text, key ? " (" : "",
                    key ? key : "", key ? ")" : "");
    }
    if (n > TRIGGERS_SHOWN)
        sb_buf_addf(&list, " and %zu more", n - TRIGGERS_SHOWN);
    sb_workshop_warn(
        target->shop,
        "%s:%d: the base has %zu ONBUILD instruction%s, which nobody runs here; let this "
        "recipe say what they do, as far as it needs it: %s",
        target->recipe->from.place.file, target->recipe->from.place.line, n, n == 1 ? "" : "s",
        sb_buf_text(&list));
}

static int load_base(struct sb_target *target, struct sb_error *err) {
    const struct sb_from *from = &target->recipe->from;
    const struct sb_source_site site = {target->shop->store, target->shop->request->registry,
                                        target->platform};
    struct sb_source source;
    if (sb_source_load(&site, target->recipe, &source, err) < 0)
        return -1;
    target->image = source.image;
    if (!*sb_json_string(target->image.config, "architecture", "")) /* then it is for any */
        json_object_set_new(target->image.config, "architecture",
                            json_string(target->platform->architecture));
    target->pinned = sb_steal(source.pinned);
    target->said_paths = json_incref(sb_base_paths_said(&target->image));
    source.image = (struct sb_image){0};
    drop_triggers(target);
    if (source.reference)
        sb_workshop_warn(target->shop, "%s:%d: %s is not in the lock file; it is %s now",
                         from->place.file, from->place.line, source.reference,
                         strrchr(target->pinned, '@') + 1);
    sb_source_free(&source);
    return 0;
}

static int start_image(struct sb_target *target, struct sb_error *err) {
    const struct sb_from *from = &target->recipe->from;
    if (target->base) {
        sb_image_copy(&target->image, &target->base->image);
        target->unsure = target->base->unsure ? target->base->recipe->title : NULL;
        target->blind = target->base->blind;
        return 0;
    }
    if (from->kind == SB_FROM_IMAGE)
        return load_base(target, err);
    sb_image_init(&target->image, target->platform->architecture, target->platform->variant);
    if (from->kind == SB_FROM_BOOTSTRAP)
        sb_image_add_path(&target->image);
    return 0;
}

/* --until: the results from there on are none. */
static void leave_out(struct sb_target *target, size_t from) {
    for (size_t i = from; i < target->result_count; i++) {
        free(target->results[i].name);
        free(target->results[i].summary);
    }
    target->result_count = from;
}

static void prepare_results(struct sb_target *target) {
    bool bootstrap = target->recipe->from.kind == SB_FROM_BOOTSTRAP;
    target->base_count = target->base ? 0 : target->image.layer_count;
    target->result_count = target->base_count + bootstrap + target->recipe->layer_count;
    target->results = sb_alloc((target->result_count + 1) * sizeof *target->results);
    for (size_t i = 0; i < target->base_count; i++) {
        const struct sb_image_layer *l = &target->image.layers[i];
        struct sb_layer_result *r = &target->results[i];
        *r = (struct sb_layer_result){.state = SB_LAYER_BASE};
        sb_parts_add(&r->parts, &l->layer);
        r->name = l->name ? sb_strdup(l->name) : sb_format("base-%zu", i + 1);
        r->summary = sb_strdup(l->created_by ? l->created_by : "");
    }
    struct sb_layer_result *r = &target->results[target->base_count];
    if (bootstrap) {
        const struct sb_bootstrap *b = &target->recipe->from.bootstrap;
        r->name = sb_strdup(b->suite);
        r->summary = sb_format("bootstrap %s %s", b->distribution, b->suite);
        r++;
    }
    for (size_t i = 0; i < target->recipe->layer_count; i++, r++) {
        r->name = sb_strdup(target->recipe->layers[i].name);
        r->summary = sb_layer_summary(&target->recipe->layers[i]);
    }
    if (target->shop->shows_platforms && !target->shown_platform)
        target->shown_platform = sb_platform_text(target->platform);
    for (size_t i = 0; i < target->result_count; i++) {
        target->results[i].recipe = target->recipe->title;
        target->results[i].platform = target->shown_platform;
        target->results[i].source = target->recipe;
    }
    target->next = target->base_count;
    for (size_t i = target->base_count; i < target->result_count && target->until; i++)
        if (!strcmp(target->results[i].name, target->until))
            leave_out(target, i + 1);
}

/* A service's variables are needed by bundles only, but what is wrong with them is known now. */
static int check_service(const struct sb_target *target, struct sb_error *err) {
    const struct sb_recipe *recipe = target->recipe;
    struct sb_pairs env = {0};
    if (recipe->service.env.n == 0)
        return 0;
    for (size_t i = 0; i < target->env.n; i++)
        sb_pairs_set(&env, target->env.v[i].name, target->env.v[i].value);
    int failed =
        sb_environment_add(&env, &recipe->service.env, &recipe->args, NULL, recipe->path, err);
    sb_pairs_free(&env);
    return failed;
}

static int check_step(const struct sb_target *target, const struct sb_step *step,
                      struct sb_error *err) {
    const struct sb_layer_site site = {.recipe = target->recipe, .below = &target->image};
    struct sb_step_environment env = {0};
    bool said = step->env.n || (step->kind->sees_env && target->recipe->build.env.n);
    int failed = said ? sb_layer_environment(&site, step, &env, err) : 0;
    sb_step_environment_free(&env);
    return failed;
}

/* So are those of steps: a mistake in the last layer's is told before the first is built. */
static int check_steps(const struct sb_target *target, struct sb_error *err) {
    const struct sb_recipe *recipe = target->recipe;
    for (size_t l = 0; l < recipe->layer_count; l++)
        for (size_t s = 0; s < recipe->layers[l].step_count; s++)
            if (check_step(target, &recipe->layers[l].steps[s], err) < 0)
                return -1;
    for (size_t i = 0; i < recipe->test_count; i++) {
        const struct sb_recipe_test *test = &recipe->tests[i];
        if (!test->service && !test->step.left_out && check_step(target, &test->step, err) < 0)
            return -1;
    }
    return 0;
}

int sb_target_start(struct sb_target *target, struct sb_error *err) {
    if (target->started)
        return 0;
    if (start_image(target, err) < 0)
        return -1;
    if (sb_image_environment(&target->image, target->recipe, NULL, &target->env, err) < 0 ||
        check_service(target, err) < 0 || check_steps(target, err) < 0)
        return -1;
    target->workdir = sb_image_workdir(&target->image, &target->recipe->image);
    prepare_results(target);
    target->started = true;
    return 0;
}
