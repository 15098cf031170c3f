#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/layer_key.h"
#include "cli/buildpush.h"
#include "cli/registry.h"
#include "cli/request.h"
#include "layers/origin.h"

static const char *state_name(enum sb_layer_state state) {
    static const char *const names[] = {[SB_LAYER_UNKNOWN] = "unknown",
                                        [SB_LAYER_CACHED] = "cached",
                                        [SB_LAYER_BUILT] = "build",
                                        [SB_LAYER_BASE] = "base"};
    return names[state];
}

#define LEFT_OUT "left-out"

static const char *test_state(enum sb_test_state state) {
    static const char *const names[] = {[SB_TEST_UNKNOWN] = "unknown",
                                        [SB_TEST_CACHED] = "cached",
                                        [SB_TEST_RUN] = "test",
                                        [SB_TEST_LEFT_OUT] = LEFT_OUT,
                                        [SB_TEST_SKIPPED] = "skipped"};
    return names[state];
}

/* What is told of a plan, one after the other: a layer, or one (or a step of one) that is left out.
 */
struct line {
    const struct sb_recipe *recipe;
    const struct sb_layer_result *layer; /* NULL: it is left out */
    const struct sb_left_out *left_out;
    const char *base;     /* of the lowest layer: where it is from; may be NULL */
    const char *platform; /* NULL: it goes without saying */
};
typedef void line_function(const struct line *line, void *out);

/* The layers that would be below the own-th of the recipe, or the steps that would be in it. */
static void tell_left_out(const struct sb_build_image *image, const struct sb_recipe *recipe,
                          size_t own, bool steps, line_function *tell, void *out) {
    for (size_t i = 0; i < recipe->left_out_count; i++)
        if (recipe->left_out[i].before == own && (recipe->left_out[i].step > 0) == steps)
            tell(&(struct line){.recipe = recipe,
                                .left_out = &recipe->left_out[i],
                                .platform = image->shown},
                 out);
}

/* The base's first; what is left out where it stands in the file. Returns how many layers of the
 * image have been told. */
static size_t tell_recipe(const struct sb_build_image *image, const struct sb_recipe *recipe,
                          line_function *tell, void *out) {
    size_t next = recipe->base ? tell_recipe(image, recipe->base, tell, out) : 0, own = 0;
    bool bootstrap = recipe->from.kind == SB_FROM_BOOTSTRAP;
    for (; next < image->layer_count && image->layers[next]->source == recipe; next++) {
        const struct sb_layer_result *r = image->layers[next];
        bool is_own = r->state != SB_LAYER_BASE && !bootstrap;
        bootstrap = bootstrap && r->state == SB_LAYER_BASE;
        if (is_own)
            tell_left_out(image, recipe, own, false, tell, out);
        tell(&(struct line){recipe, r, NULL, next == 0 ? image->base : NULL, r->platform}, out);
        if (is_own)
            tell_left_out(image, recipe, own++, true, tell, out);
    }
    if (own == recipe->layer_count) /* else it ends there (--until) */
        tell_left_out(image, recipe, own, false, tell, out);
    return next;
}

static json_t *left_out_json(const struct line *line) {
    const struct sb_left_out *left = line->left_out;
    sb_autofree char *does = sb_layer_summary(&left->layer);
    json_t *o =
        json_pack("{s:o, s:o, s:s, s:o, s:o}", "recipe", sb_json_from_bytes(line->recipe->title),
                  "name", sb_json_from_bytes(left->layer.name), "state", LEFT_OUT, "does",
                  sb_json_from_text(does), "cause", sb_json_from_text(left->why));
    if (left->step)
        json_object_set_new(o, "step", json_integer((json_int_t)left->step));
    return o;
}

static void add_json(const struct line *line, void *out) {
    const struct sb_layer_result *r = line->layer;
    if (line->left_out)
        json_array_append_new(out, left_out_json(line));
    if (!r)
        return;
    json_t *o = json_pack("{s:o, s:o, s:s, s:o}", "recipe", sb_json_from_bytes(r->recipe), "name",
                          sb_json_from_bytes(r->name), "state", state_name(r->state), "does",
                          sb_json_from_text(r->summary));
    if (r->platform)
        json_object_set_new(o, "platform", json_string(r->platform));
    if (r->repository)
        json_object_set_new(o, "repository", sb_json_from_bytes(r->repository));
    if (r->cause)
        json_object_set_new(o, "cause", sb_json_from_text(r->cause));
    if (r->state == SB_LAYER_CACHED || r->state == SB_LAYER_BUILT)
        json_object_set_new(o, "key", json_string(sb_digest_text(&r->key).text));
    json_array_append_new(out, o);
}

/* Of stages, and others that something is taken from. */
static void tell_needed(const struct sb_build_image *image, line_function *tell, void *out) {
    for (size_t i = 0; i < image->needed_count; i++) {
        const struct sb_layer_result *r = image->needed[i];
        tell(&(struct line){r->source, r, NULL, NULL, r->platform}, out);
    }
}

static json_t *tests_json(const struct sb_build_image *image) {
    json_t *tests = json_array();
    for (size_t i = 0; i < image->test_count; i++) {
        const struct sb_test_result *test = &image->tests[i];
        json_t *o = json_pack("{s:s, s:o}", "state", test_state(test->state), "does",
                              sb_json_from_text(test->summary));
        if (test->state == SB_TEST_LEFT_OUT)
            json_object_set_new(o, "cause",
                                sb_json_from_text(image->recipe->tests[i].step.left_out));
        json_array_append_new(tests, o);
    }
    return tests;
}

static json_t *plan_json(const struct sb_build_image *image) {
    json_t *needed = json_array(), *layers = json_array();
    tell_needed(image, add_json, needed);
    tell_recipe(image, image->recipe, add_json, layers);
    return json_pack("{s:o, s:o, s:s*, s:s*, s:o, s:o, s:o}", "recipe",
                     sb_json_from_bytes(image->recipe->path), "name",
                     sb_json_from_bytes(image->recipe->name), "platform", image->shown, "base",
                     image->base, "needed", needed, "layers", layers, "tests", tests_json(image));
}

static void add_whose(const char *title, const char *platform, struct sb_strings *cells) {
    sb_strings_addf(cells, "%s%s%s", title, platform ? " " : "", platform ? platform : "");
}

static void add_left_out(const struct line *line, struct sb_strings *cells) {
    const struct sb_left_out *left = line->left_out;
    sb_strings_add(cells, LEFT_OUT);
    add_whose(line->recipe->title, line->platform, cells);
    sb_strings_add(cells, left->layer.name);
    if (left->step)
        sb_strings_addf(cells, "step %zu (%s): %s", left->step, left->layer.steps->kind->name,
                        left->why);
    else
        sb_strings_add(cells, left->why);
}

static void add_row(const struct line *line, void *out) {
    struct sb_strings *cells = out;
    const struct sb_layer_result *r = line->layer;
    if (line->left_out)
        add_left_out(line, cells);
    if (!r)
        return;
    sb_strings_add(cells, state_name(r->state));
    add_whose(r->recipe, line->platform, cells);
    sb_strings_add(cells, r->name);
    if (r->repository)
        sb_strings_addf(cells, "in %s", r->repository);
    else if (r->state == SB_LAYER_BASE && line->base)
        sb_strings_addf(cells, "from %s", line->base);
    else
        sb_strings_add(cells, r->cause ? r->cause : "");
}

static void add_test(const struct sb_build_image *image, size_t i, struct sb_strings *cells) {
    const struct sb_test_result *test = &image->tests[i];
    sb_strings_add(cells, test_state(test->state));
    add_whose(image->recipe->title, image->shown, cells);
    sb_strings_addf(cells, "test %zu", i + 1);
    sb_strings_add(cells, test->state == SB_TEST_CACHED     ? ""
                          : test->state == SB_TEST_LEFT_OUT ? image->recipe->tests[i].step.left_out
                                                            : test->summary);
}

static void print_plan(const struct sb_build_image *image) {
    struct sb_table table = {.columns = 4};
    tell_needed(image, add_row, &table.cells);
    tell_recipe(image, image->recipe, add_row, &table.cells);
    for (size_t i = 0; i < image->test_count; i++)
        add_test(image, i, &table.cells);
    sb_table_print(&table);
    sb_strings_free(&table.cells);
}

static void tell_plan(const struct sb_build_image *image, json_t *all) {
    if (all)
        json_array_append_new(all, plan_json(image));
    else
        print_plan(image);
}

static void show_warning(void *data, const struct sb_event *event) {
    (void)data;
    if (event->type == SB_EVENT_WARNING)
        sb_cli_print_warning(event->text);
}

/* Whether its images may be pushed: nothing is sent. */
static int check_push(const struct sb_cli_request *request, struct sb_store *store,
                      const struct sb_build *build, struct sb_error *err) {
    const struct sb_cli_push options = {.registry = request->registry};
    struct sb_build_push *push = NULL;
    struct sb_progress *progress;
    if (sb_progress_new("plain", false, &progress, err) < 0)
        return -1;
    int failed = sb_build_push_new(&options, request->build.registry, store, build, &request->build,
                                   progress, &push, err);
    if (!failed)
        failed = sb_build_push_check(push, err);
    sb_build_push_free(push);
    sb_progress_free(progress);
    return failed;
}

static int plan_images(struct sb_cli_request *request, bool pushing, struct sb_error *err) {
    struct sb_settings settings = {0};
    struct sb_store *store;
    if (sb_cli_request_open(request, &settings, &store, err) < 0)
        return -1;
    request->build.notify = show_warning;
    struct sb_build *build = NULL;
    int failed = sb_build_new(store, &settings, &request->build, &build, err) < 0 ||
                 sb_build_plan(build, err) < 0 ||
                 (pushing && check_push(request, store, build, err) < 0);
    sb_autojson json_t *all = request->common.json ? json_array() : NULL;
    for (size_t i = 0; !failed && i < request->build.recipe_count; i++) {
        const struct sb_build_result *result = sb_build_result(build, i);
        for (size_t k = 0; k < result->image_count; k++)
            tell_plan(&result->images[k], all);
    }
    if (!failed && all)
        failed = sb_cli_print_json(json_array_size(all) == 1 ? json_array_get(all, 0) : all, err);
    sb_build_free(build);
    sb_cli_request_close(request, &settings, store);
    return failed ? -1 : sb_cli_flush(err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    bool pushing = false;
    const struct sb_option options[] = {
        SB_REQUEST_OPTIONS(request),
        SB_CLI_REGISTRY_OPTIONS(request.registry),
        {.name = "until", .text = &request.build.until},
        {.name = "skip-tests", .flag = &request.build.skip_tests},
        {.name = "push", .flag = &pushing},
        {.name = "tag", .letter = 't', .list = &request.build.tags},
        {0},
    };
    int result =
        sb_cli_request_parse(&request, &sb_command_plan, argc, argv, options, SIZE_MAX, err);
    if (result == 0)
        result = plan_images(&request, pushing, err);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : 0;
}

const struct sb_command sb_command_plan = {
    .name = "plan",
    .arguments = "RECIPE… [OPTION…]",
    .summary = "what a build would do and why, without doing it",
    .help = "One line for each layer: cached, or to be built and because of what; or left out\n"
            "(when:), and why.\n\n"
            "options:\n"
            "  --json               the same as JSON\n"
            "  --until LAYER        of a build that ends with that layer\n"
            "  --skip-tests         of one that runs no test\n"
            "  --push               of one that pushes: whether that is allowed\n"
            "  -t, --tag TAG        of one with that further tag; may be given several "
            "times\n" SB_CLI_REGISTRY_HELP SB_REQUEST_HELP "\n"
            "examples:\n"
            "  sbuild plan recipes/backend.yaml\n"
            "  sbuild plan recipes/backend.yaml --json | jq -r '.layers[] | .state, .name'\n",
    .run = run,
};
