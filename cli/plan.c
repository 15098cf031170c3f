#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
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

static const char *test_state(enum sb_test_state state) {
    static const char *const names[] = {[SB_TEST_UNKNOWN] = "unknown",
                                        [SB_TEST_CACHED] = "cached",
                                        [SB_TEST_RUN] = "test",
                                        [SB_TEST_SKIPPED] = "skipped"};
    return names[state];
}

static json_t *plan_json(const struct sb_build_result *result) {
    json_t *layers = json_array();
    for (size_t i = 0; i < result->layer_count; i++) {
        const struct sb_layer_result *r = result->layers[i];
        json_t *o = json_pack("{s:o, s:o, s:s, s:o}", "recipe", sb_json_from_bytes(r->recipe),
                              "name", sb_json_from_bytes(r->name), "state", state_name(r->state),
                              "does", sb_json_from_text(r->summary));
        if (r->repository)
            json_object_set_new(o, "repository", sb_json_from_bytes(r->repository));
        if (r->cause)
            json_object_set_new(o, "cause", sb_json_from_text(r->cause));
        if (r->state == SB_LAYER_CACHED || r->state == SB_LAYER_BUILT)
            json_object_set_new(o, "key", json_string(sb_digest_text(&r->key).text));
        json_array_append_new(layers, o);
    }
    json_t *tests = json_array();
    for (size_t i = 0; i < result->test_count; i++)
        json_array_append_new(tests,
                              json_pack("{s:s, s:o}", "state", test_state(result->tests[i].state),
                                        "does", sb_json_from_text(result->tests[i].summary)));
    return json_pack("{s:o, s:o, s:s*, s:o, s:o}", "recipe",
                     sb_json_from_bytes(result->recipe->path), "name",
                     sb_json_from_bytes(result->recipe->name), "base", result->base, "layers",
                     layers, "tests", tests);
}

static void print_plan(const struct sb_build_result *result) {
    struct sb_table table = {.columns = 4};
    for (size_t i = 0; i < result->layer_count; i++) {
        const struct sb_layer_result *r = result->layers[i];
        sb_strings_add(&table.cells, state_name(r->state));
        sb_strings_add(&table.cells, r->recipe);
        sb_strings_add(&table.cells, r->name);
        if (r->repository)
            sb_strings_addf(&table.cells, "in %s", r->repository);
        else if (r->state == SB_LAYER_BASE && i == 0 && result->base)
            sb_strings_addf(&table.cells, "from %s", result->base);
        else
            sb_strings_add(&table.cells, r->cause ? r->cause : "");
    }
    for (size_t i = 0; i < result->test_count; i++) {
        const struct sb_test_result *test = &result->tests[i];
        sb_strings_add(&table.cells, test_state(test->state));
        sb_strings_add(&table.cells, result->recipe->name);
        sb_strings_addf(&table.cells, "test %zu", i + 1);
        sb_strings_add(&table.cells, test->state == SB_TEST_CACHED ? "" : test->summary);
    }
    sb_table_print(&table);
    sb_strings_free(&table.cells);
}

static void show_warning(void *data, const struct sb_event *event) {
    (void)data;
    if (event->type == SB_EVENT_WARNING)
        sb_cli_print_warning(event->text);
}

static int plan_images(struct sb_cli_request *request, struct sb_error *err) {
    struct sb_settings settings = {0};
    struct sb_store *store;
    if (sb_cli_request_open(request, &settings, &store, err) < 0)
        return -1;
    request->build.notify = show_warning;
    struct sb_build *build = NULL;
    int failed = sb_build_new(store, &settings, &request->build, &build, err) < 0 ||
                 sb_build_plan(build, err) < 0;
    sb_autojson json_t *all = json_array();
    for (size_t i = 0; !failed && i < request->build.recipe_count; i++) {
        if (request->common.json)
            json_array_append_new(all, plan_json(sb_build_result(build, i)));
        else
            print_plan(sb_build_result(build, i));
    }
    if (!failed && request->common.json)
        failed = sb_cli_print_json(request->build.recipe_count == 1 ? json_array_get(all, 0) : all,
                                   err) < 0;
    sb_build_free(build);
    sb_cli_request_close(request, &settings, store);
    return failed ? -1 : sb_cli_flush(err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    const struct sb_option options[] = {
        SB_REQUEST_OPTIONS(request),
        SB_CLI_REGISTRY_OPTIONS(request.registry),
        {.name = "until", .text = &request.build.until},
        {.name = "skip-tests", .flag = &request.build.skip_tests},
        {0},
    };
    int result =
        sb_cli_request_parse(&request, &sb_command_plan, argc, argv, options, SIZE_MAX, err);
    if (result == 0)
        result = plan_images(&request, err);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : 0;
}

const struct sb_command sb_command_plan = {
    .name = "plan",
    .arguments = "RECIPE… [OPTION…]",
    .summary = "what a build would do and why, without doing it",
    .help = "One line for each layer: cached, or to be built and because of what.\n\n"
            "options:\n"
            "  --json               the same as JSON\n"
            "  --until LAYER        of a build that ends with that layer\n"
            "  --skip-tests         of one that runs no test\n" SB_CLI_REGISTRY_HELP SB_REQUEST_HELP
            "\n"
            "examples:\n"
            "  sbuild plan recipes/backend.yaml\n"
            "  sbuild plan recipes/backend.yaml --json | jq -r '.layers[] | .state, .name'\n",
    .run = run,
};
