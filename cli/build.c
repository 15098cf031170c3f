#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/buildpush.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "layers/origin.h"

/* One entry for each layer of the image. */
static json_t *layer_json(const struct sb_layer_result *r, const struct sb_layer *l) {
    return json_pack(
        "{s:o, s:o, s:s, s:s, s:s, s:I, s:I, s:b, s:f}", "recipe", sb_json_from_bytes(r->recipe),
        "name", sb_json_from_bytes(r->name), "diff_id", sb_digest_text(&l->diff_id).text, "digest",
        sb_digest_text(&l->descriptor.digest).text, "media_type", l->descriptor.media_type, "size",
        (json_int_t)l->descriptor.size, "uncompressed_size", (json_int_t)l->tar_size, "cached",
        r->state != SB_LAYER_BUILT, "seconds", r->seconds);
}

static void add_layers(const struct sb_layer_result *r, json_t *layers) {
    for (size_t i = 0; r->state != SB_LAYER_UNKNOWN && i < r->parts.n; i++)
        json_array_append_new(layers, layer_json(r, &r->parts.v[i]));
}

static void add_image(const struct sb_build_image *built, json_t *facts) {
    const struct sb_image *image = &built->image;
    json_t *layers = json_array();
    for (size_t i = 0; i < built->layer_count; i++)
        add_layers(built->layers[i], layers);
    if (built->shown)
        json_object_set_new(facts, "platform", json_string(built->shown));
    if (image->descriptor.media_type)
        json_object_set_new(facts, "config_digest",
                            json_string(sb_digest_text(&image->config_descriptor.digest).text));
    if (built->base)
        json_object_set_new(facts, "base", json_string(built->base));
    sb_cli_add_tests(built, facts);
    json_object_set_new(facts, "layers", layers);
}

static void add_descriptor(const struct sb_descriptor *descriptor, json_t *facts) {
    if (!descriptor->media_type)
        return;
    json_object_set_new(facts, "digest", json_string(sb_digest_text(&descriptor->digest).text));
    json_object_set_new(facts, "media_type", json_string(descriptor->media_type));
    json_object_set_new(facts, "size", json_integer((json_int_t)descriptor->size));
}

/* The images of an index. */
static json_t *platforms_json(const struct sb_build_result *result) {
    json_t *platforms = json_array();
    for (size_t i = 0; i < result->image_count; i++) {
        json_t *one = json_object();
        add_descriptor(&result->images[i].image.descriptor, one);
        add_image(&result->images[i], one);
        json_array_append_new(platforms, one);
    }
    return platforms;
}

/* What --json and --metadata-file tell of a recipe; of what did not come about, what there is. */
static json_t *result_json(const struct sb_build_result *result) {
    json_t *tags = json_array();
    for (size_t i = 0; i < result->tags.n; i++)
        json_array_append_new(tags, sb_json_from_bytes(result->tags.v[i]));
    json_t *facts = json_pack("{s:o, s:o}", "recipe", sb_json_from_bytes(result->recipe->path),
                              "name", sb_json_from_bytes(result->recipe->name));
    bool is_image = !result->is_index && !result->descriptor.media_type; /* it failed */
    add_descriptor(is_image ? &result->images[0].image.descriptor : &result->descriptor, facts);
    if (result->version) {
        json_object_set_new(facts, "version", sb_json_from_bytes(result->version));
        json_object_set_new(facts, "no_release", sb_json_from_bytes(result->no_release));
    }
    json_object_set_new(facts, "tags", tags);
    if (result->is_index)
        json_object_set_new(facts, "platforms", platforms_json(result));
    else
        add_image(&result->images[0], facts);
    return facts;
}

/* An object, however many recipes there were: `images` has one for each. Of one recipe alone, the
 * facts stand at the top as well. failure: what ended it, or NULL. */
static json_t *results_json(const struct sb_build *build, const struct sb_build_push *push,
                            size_t count, const struct sb_error *failure) {
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *one = result_json(sb_build_result(build, i));
        if (failure)
            json_object_set_new(one, "error", sb_cli_error_json(failure));
        if (push)
            json_object_set_new(one, "pushed", json_deep_copy(sb_build_push_facts(push, i)));
        json_array_append_new(all, one);
    }
    json_t *facts = count == 1 ? json_copy(json_array_get(all, 0)) : json_object();
    json_object_set_new(facts, "images", all);
    return facts;
}

/* Layers that several images have: each was built for the first of them. */
struct told {
    const struct sb_layer_result **v;
    size_t n, cap;
};

static bool is_told(struct told *told, const struct sb_layer_result *layer) {
    for (size_t i = 0; i < told->n; i++)
        if (told->v[i] == layer)
            return true;
    SB_GROW(told->v, told->n, told->cap);
    told->v[told->n++] = layer;
    return false;
}

static void print_image(const struct sb_build_image *image, double seconds, struct told *told) {
    size_t built = 0;
    uint64_t size = 0;
    for (size_t i = 0; i < image->layer_count; i++) {
        const struct sb_layer_result *layer = image->layers[i];
        built += !is_told(told, layer) && layer->state == SB_LAYER_BUILT;
        size += sb_parts_size(&layer->parts);
    }
    sb_cli_say("%s%s%s: %zu of %zu layers built, %s, in %s\n", image->recipe->name,
               image->shown ? " " : "", image->shown ? image->shown : "", built, image->layer_count,
               sb_text_size(size).text, sb_text_seconds(seconds).text);
}

static void print_summary(const struct sb_build_result *result, double seconds, struct told *told) {
    for (size_t i = 0; i < result->image_count; i++)
        print_image(&result->images[i], seconds, told);
    for (size_t i = 0; i < result->tags.n; i++)
        sb_cli_say("  %s\n", result->tags.v[i]);
    sb_cli_say_no_release(result);
    sb_cli_print("%s\n", sb_digest_text(&result->descriptor.digest).text);
}

/* Everything that one run needs. */
struct building {
    struct sb_cli_request *request;
    const char *how, *metadata_file;
    bool explain, pushing;
    struct sb_cli_push push_options;
    struct sb_settings settings;
    struct sb_store *store;
    struct sb_progress *progress;
    struct sb_build *build;
    struct sb_build_push *push;
};

static void notify(void *data, const struct sb_event *event) {
    struct building *b = data;
    sb_progress_notify(b->progress, event);
    if (b->push)
        sb_build_push_notify(b->push, event);
}

static int before_steps(void *data, struct sb_error *err) {
    const struct building *b = data;
    return b->push ? sb_build_push_check(b->push, err) : 0;
}

static int report(const struct building *b, double seconds, struct sb_error *err) {
    size_t count = b->request->build.recipe_count;
    bool json = b->request->common.json;
    sb_autojson json_t *facts =
        b->metadata_file || json ? results_json(b->build, b->push, count, NULL) : NULL;
    if (b->metadata_file && sb_cli_write_metadata(b->store, b->metadata_file, facts, err) < 0)
        return -1;
    for (size_t i = 0; i < count && json; i++)
        sb_cli_say_no_release(sb_build_result(b->build, i));
    if (json)
        return sb_cli_print_json(facts, err);
    struct told told = {0};
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++) {
        print_summary(sb_build_result(b->build, i), seconds, &told);
        if (b->push)
            failed = sb_cli_push_print(sb_build_push_facts(b->push, i), false, err);
    }
    free(told.v);
    return failed ? -1 : sb_cli_flush(err);
}

/* Nobody who reads the file must take an older one, or none, for what came about. */
static void report_failure(const struct building *b, const struct sb_error *err) {
    if (!b->metadata_file || !b->build)
        return;
    struct sb_error own = {0};
    sb_autojson json_t *facts =
        results_json(b->build, b->push, b->request->build.recipe_count, err);
    if (sb_cli_write_metadata(b->store, b->metadata_file, facts, &own) < 0)
        sb_cli_print_warning(own.message);
}

/* The last of several images would have it, and the others nothing. */
static int check_tags(const struct sb_build_request *request, struct sb_error *err) {
    for (size_t i = 0; i < request->tags.n && request->recipe_count > 1; i++) {
        if (!sb_reference_has_host(request->tags.v[i]))
            continue;
        sb_fail(err, SB_E_USAGE, "--tag %s: one name for the images of %zu recipes",
                request->tags.v[i], request->recipe_count);
        return sb_error_hint(err, "build one at a time; or --tag TAG, and image.repository in the "
                                  "recipes");
    }
    return 0;
}

static int prepare(struct building *b, struct sb_error *err) {
    struct sb_cli_request *r = b->request;
    if (r->build.until && b->pushing) {
        sb_fail(err, SB_E_USAGE,
                "build: --until %s makes a part of an image, and --push is for "
                "whole ones",
                r->build.until);
        return sb_error_hint(err, "build it with --tag NAME, and sbuild push that");
    }
    if (check_tags(&r->build, err) < 0 ||
        sb_cli_check_output(r, "--metadata-file", b->metadata_file, err) < 0 ||
        sb_cli_push_parse(&b->push_options, "build", err) < 0 ||
        sb_progress_new(b->how, b->explain, &b->progress, err) < 0)
        return -1;
    sb_build_push_compression(&b->push_options, &r->build);
    r->build.notify = notify;
    r->build.before_steps = before_steps;
    r->build.data = b;
    r->source.notify = sb_progress_transfer;
    r->source.data = b->progress;
    r->registry = b->push_options.registry;
    if (sb_cli_request_open(r, &b->settings, &b->store, err) < 0)
        return -1;
    sb_progress_watch(b->progress, r->build.registry);
    r->build.share_last = r->build.watch_growth = b->pushing;
    if (b->pushing)
        sb_registry_prepare(r->build.registry);
    if (sb_build_new(b->store, &b->settings, &r->build, &b->build, err) < 0)
        return -1;
    return b->pushing ? sb_build_push_new(&b->push_options, r->build.registry, b->store, b->build,
                                          &r->build, b->progress, &b->push, err)
                      : 0;
}

static int build_images(struct building *b, struct sb_error *err) {
    double start = sb_clock_seconds();
    int failed = prepare(b, err);
    if (!failed)
        failed = sb_build_run(b->build, err);
    double seconds = sb_clock_seconds() - start;
    if (!failed && b->push)
        failed = sb_build_push_finish(b->push, err);
    if (b->build)
        sb_build_share(b->build);
    if (failed && b->progress)
        sb_progress_error(b->progress, err);
    if (failed)
        report_failure(b, err);
    if (failed && b->progress)
        sb_progress_said(b->progress, err);
    if (failed) /* what is still being sent tells its progress */
        sb_build_push_free(sb_steal(b->push));
    sb_progress_free(b->progress);
    b->request->build.notify = NULL; /* freeing may end a layer that is still being packed */
    b->request->source.notify = NULL;
    if (!failed)
        failed = report(b, seconds, err);
    sb_build_push_free(b->push);
    sb_build_free(b->build);
    sb_cli_request_close(b->request, &b->settings, b->store);
    return failed;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    struct building b = {.request = &request, .how = "auto"};
    const struct sb_option options[] = {
        SB_REQUEST_OPTIONS(request),
        {.name = "tag", .letter = 't', .list = &request.build.tags},
        {.name = "push", .flag = &b.pushing},
        SB_CLI_PUSH_OPTIONS(b.push_options),
        {.name = "explain", .flag = &b.explain},
        {.name = "until", .text = &request.build.until},
        {.name = "skip-tests", .flag = &request.build.skip_tests},
        {.name = "metadata-file", .text = &b.metadata_file},
        {.name = "progress", .text = &b.how},
        {0},
    };
    int result =
        sb_cli_request_parse(&request, &sb_command_build, argc, argv, options, SIZE_MAX, err);
    if (result == 0)
        result = build_images(&b, err);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : 0;
}

const struct sb_command sb_command_build = {
    .name = "build",
    .arguments = "RECIPE… [OPTION…]",
    .summary = "build images; the same as sbuild RECIPE",
    .help = "Prints the digest of each image on standard output.\n\n"
            "options:\n"
            "  -t, --tag TAG        a tag beside those that the recipe asks for, or a whole\n"
            "                       name, HOST/REPOSITORY[:TAG]; may be given several times\n"
            "  --push               push the image: to the whole names of --tag, or else to\n"
            "                       the recipe's image.repository with all tags\n" SB_CLI_PUSH_HELP
            "  --explain            say why each layer is built\n"
            "  --until LAYER        build no further than this layer: LAYER, or RECIPE/LAYER.\n"
            "                       The image of these layers gets no tag but those of --tag\n"
            "  --skip-tests         run none of the recipe's tests; the facts say so\n"
            "  --metadata-file F    write digest, tags and layers as JSON\n"
            "  --json               print these facts instead of the digest\n"
            "  --progress HOW       auto, tty, plain or json\n" SB_REQUEST_HELP "\n"
            "examples:\n"
            "  sbuild recipes/backend.yaml\n"
            "  sbuild build recipes/backend.yaml --set PORT=9000 --tag test\n"
            "  sbuild build recipes/*.yaml --progress plain --metadata-file build.json\n"
            "  sbuild build recipes/backend.yaml --no-cache=deps\n"
            "  sbuild build recipes/backend.yaml --until deps --tag deps\n"
            "  sbuild build recipes/backend.yaml --push --tag registry.example.com/app:v1\n"
            "  sbuild build recipes/model.yaml --secret id=hf_token,env=HF_TOKEN\n",
    .run = run,
};
