#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "builder/lock.h"
#include "cli/request.h"
#include "document/recipe_files.h"

static const char *const states[] = {
    [SB_LOCK_IN_RECIPE] = "in-recipe", [SB_LOCK_KEPT] = "kept",   [SB_LOCK_SAME] = "same",
    [SB_LOCK_ADDED] = "added",         [SB_LOCK_MOVED] = "moved",
};

static json_t *result_json(const struct sb_recipe *recipe, const struct sb_lock_result *r) {
    bool moved = r->state == SB_LOCK_MOVED, locked = r->file != NULL;
    json_t *dropped = json_array();
    for (size_t i = 0; i < r->dropped.n; i++)
        json_array_append_new(dropped, sb_json_from_bytes(r->dropped.v[i]));
    bool image = r->kind == SB_LOCKED_IMAGE;
    json_t *o = json_pack("{s:o, s:s, s:s*, s:o, s:o}", "recipe", sb_json_from_bytes(recipe->path),
                          "state", states[r->state], "file", r->file, image ? "reference" : "name",
                          sb_json_from_bytes(r->name), "dropped", dropped);
    if (locked)
        json_object_set_new(o, image ? "digest" : "commit", json_string(r->value));
    if (moved)
        json_object_set_new(o, "before", json_string(r->before));
    return o;
}

static void print_result(const struct sb_recipe *recipe, const struct sb_lock_result *r) {
    if (r->state == SB_LOCK_IN_RECIPE)
        sb_cli_say("%s: nothing to lock: the recipe names %s\n", recipe->path, r->name);
    else if (r->state == SB_LOCK_MOVED)
        sb_cli_print("%s: %s %s -> %s\n", r->file, r->name, r->before, r->value);
    else
        sb_cli_print("%s: %s %s%s\n", r->file, r->name, r->value,
                     r->state == SB_LOCK_ADDED ? "" : ", as it was");
    for (size_t i = 0; i < r->dropped.n; i++)
        sb_cli_print("%s: %s dropped\n", r->file, r->dropped.v[i]);
}

static void say_nothing(const struct sb_recipe *recipe, json_t *facts) {
    if (!facts)
        sb_cli_say(
            "%s: nothing to lock: it names no image of a registry, and no tag or branch of git\n",
            recipe->path);
    else
        json_array_append_new(facts, json_pack("{s:o, s:s, s:[]}", "recipe",
                                               sb_json_from_bytes(recipe->path), "state", "nothing",
                                               "dropped"));
}

/* What is named for one platform alone is locked with the rest. */
static int load_all(const char *path, const struct sb_recipe_options *options,
                    struct sb_recipe **loaded, size_t *n, struct sb_error *err) {
    struct sb_recipe_options for_platform = *options;
    sb_autostrings struct sb_strings names = {0};
    if (sb_recipe_platforms(path, options, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.n || i == 0; i++) {
        sb_autoplatform struct sb_platform platform = {0};
        if (names.n && sb_platform_parse(names.v[i], &platform, err) < 0)
            return -1;
        for_platform.platform = names.n ? &platform : NULL;
        if (sb_recipe_load(path, &for_platform, &loaded[*n], err) < 0)
            return -1;
        (*n)++;
    }
    return 0;
}

static int lock_one(const struct sb_lock_site *site, const char *path,
                    const struct sb_recipe_options *options, bool update, json_t *facts,
                    struct sb_error *err) {
    struct sb_recipe *loaded[SB_RECIPE_PLATFORM_LIMIT];
    struct sb_lock_results results = {0};
    size_t n = 0;
    int failed = load_all(path, options, loaded, &n, err);
    if (!failed)
        failed = sb_lock_recipe(site, loaded, n, update, &results, err);
    for (size_t i = 0; !failed && i < results.n; i++)
        if (facts)
            json_array_append_new(facts, result_json(loaded[0], &results.v[i]));
        else
            print_result(loaded[0], &results.v[i]);
    if (!failed && results.n == 0)
        say_nothing(loaded[0], facts);
    sb_lock_results_free(&results);
    while (n > 0)
        sb_recipe_free(loaded[--n]);
    return failed;
}

static int lock_all(struct sb_cli_request *request, bool update, struct sb_error *err) {
    struct sb_settings settings = {0};
    struct sb_store *store;
    if (sb_cli_request_open(request, &settings, &store, err) < 0)
        return -1;
    const struct sb_lock_site site = {
        {.store = store, .registry = request->build.registry}, &settings, &request->build.secrets};
    sb_autojson json_t *facts = request->common.json ? json_array() : NULL;
    const struct sb_recipe_options options = {.files = sb_recipe_files_new(),
                                              .allowed = &request->build.allow,
                                              .trusted = &settings.trust,
                                              .set = &request->build.set};
    int failed = 0;
    for (size_t i = 0; i < request->build.recipe_count && !failed; i++)
        failed = lock_one(&site, request->recipes[i], &options, update, facts, err);
    sb_recipe_files_free(options.files);
    sb_cli_request_close(request, &settings, store);
    if (!failed && facts)
        failed = sb_cli_print_json(facts, err);
    return failed ? -1 : sb_cli_flush(err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    bool update = false;
    const struct sb_option options[] = {
        {.name = "update", .flag = &update},       {.name = "allow", .list = &request.build.allow},
        {.name = "set", .list = &request.set},     {.name = "secret", .list = &request.secrets},
        SB_CLI_REGISTRY_OPTIONS(request.registry), {0},
    };
    int result =
        sb_cli_request_parse(&request, &sb_command_lock, argc, argv, options, SIZE_MAX, err);
    if (result == 0)
        result = lock_all(&request, update, err);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : 0;
}

const struct sb_command sb_command_lock = {
    .name = "lock",
    .arguments = "RECIPE… [OPTION…]",
    .summary = "pin the images and git names that a recipe needs",
    .help = "Writes the digest that each image has now, and the commit that each tag or\n"
            "branch of git is, to NAME.lock, beside the NAME.yaml that names it; builds use\n"
            "these until they are moved. What is locked already stays as it is.\n\n"
            "options:\n"
            "  --update             move it to what the names are now, and drop what the\n"
            "                       recipe no longer names\n"
            "  --allow DIR          let recipes read files beneath DIR, too; may be given\n"
            "                       several times\n"
            "  --set K=V            replace the build argument K; may be given several times\n"
            "  --secret id=NAME,src=FILE | id=NAME,env=VARIABLE\n"
            "                       a secret for steps that name it: git_credentials\n"
            "  --json               print facts as JSON\n" SB_CLI_REGISTRY_HELP
            "  --store DIR          the store (or SBUILD_STORE)\n\n"
            "examples:\n"
            "  sbuild lock recipes/backend.yaml\n"
            "  sbuild lock recipes/*.yaml --update\n",
    .run = run,
};
