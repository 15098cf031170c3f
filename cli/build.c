#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/progress.h"
#include "cli/request.h"

static json_t *layer_json(const struct sb_layer_result *r) {
    const struct sb_layer *l = &r->layer;
    return json_pack(
        "{s:o, s:o, s:s, s:s, s:s, s:I, s:I, s:b, s:f}", "recipe", sb_json_from_bytes(r->recipe),
        "name", sb_json_from_bytes(r->name), "diff_id", sb_digest_text(&l->diff_id).text, "digest",
        sb_digest_text(&l->descriptor.digest).text, "media_type", l->descriptor.media_type, "size",
        (json_int_t)l->descriptor.size, "uncompressed_size", (json_int_t)l->tar_size, "cached",
        r->state != SB_LAYER_BUILT, "seconds", r->seconds);
}

/* What --json and --metadata-file tell of one image. */
static json_t *result_json(const struct sb_build_result *result) {
    json_t *tags = json_array(), *layers = json_array();
    for (size_t i = 0; i < result->tags.n; i++)
        json_array_append_new(tags, sb_json_from_bytes(result->tags.v[i]));
    for (size_t i = 0; i < result->layer_count; i++)
        json_array_append_new(layers, layer_json(result->layers[i]));
    const struct sb_image *image = &result->image;
    return json_pack(
        "{s:o, s:o, s:s, s:s, s:s, s:I, s:s*, s:o, s:o}", "recipe",
        sb_json_from_bytes(result->recipe->path), "name", sb_json_from_bytes(result->recipe->name),
        "digest", sb_digest_text(&image->descriptor.digest).text, "media_type",
        image->descriptor.media_type, "config_digest",
        sb_digest_text(&image->config_descriptor.digest).text, "size",
        (json_int_t)image->descriptor.size, "base", result->base, "tags", tags, "layers", layers);
}

static json_t *results_json(const struct sb_build *build, size_t count) {
    if (count == 1)
        return result_json(sb_build_result(build, 0));
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(all, result_json(sb_build_result(build, i)));
    return all;
}

static void print_summary(const struct sb_build_result *result, double seconds) {
    size_t built = 0;
    uint64_t size = 0;
    for (size_t i = 0; i < result->layer_count; i++) {
        built += result->layers[i]->state == SB_LAYER_BUILT;
        size += result->layers[i]->layer.descriptor.size;
    }
    fprintf(stderr, "%s: %zu of %zu layers built, %s, in %s\n", result->recipe->name, built,
            result->layer_count, sb_text_size(size).text, sb_text_seconds(seconds).text);
    for (size_t i = 0; i < result->tags.n; i++)
        fprintf(stderr, "  %s\n", result->tags.v[i]);
    sb_cli_print("%s\n", sb_digest_text(&result->image.descriptor.digest).text);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int report(const struct sb_build *build, const struct sb_cli_request *request,
                  const char *metadata_file, double seconds, struct sb_error *err) {
    size_t count = request->build.recipe_count;
    sb_autojson json_t *facts =
        metadata_file || request->common.json ? results_json(build, count) : NULL;
    if (metadata_file) {
        sb_autobuf struct sb_buf text = {0};
        sb_json_write_pretty(facts, &text);
        if (sb_file_write(AT_FDCWD, metadata_file, text.data, text.len, 0644, err) < 0)
            return sb_error_context(err, "--metadata-file %s", metadata_file);
    }
    if (request->common.json)
        return sb_cli_print_json(facts, err);
    for (size_t i = 0; i < count; i++)
        print_summary(sb_build_result(build, i), seconds);
    return sb_cli_flush(err);
}

static int build_images(struct sb_cli_request *request, const char *how, bool explain,
                        const char *metadata_file, struct sb_error *err) {
    struct sb_settings settings = {0};
    struct sb_store *store;
    struct sb_progress *progress;
    double start = now();
    if (sb_progress_new(how, explain, &progress, err) < 0)
        return -1;
    request->build.notify = sb_progress_notify;
    request->build.data = progress;
    if (sb_cli_request_open(request, &settings, &store, err) < 0) {
        sb_progress_free(progress);
        return -1;
    }
    struct sb_build *build = NULL;
    int failed = sb_build_new(store, &settings, &request->build, &build, err) < 0 ||
                 sb_build_run(build, err) < 0;
    if (failed)
        sb_progress_error(progress, err);
    sb_progress_free(progress);
    request->build.notify = NULL; /* freeing may end a layer that is still being packed */
    if (!failed)
        failed = report(build, request, metadata_file, now() - start, err) < 0;
    sb_build_free(build);
    sb_cli_request_close(request, &settings, store);
    return failed ? -1 : 0;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    const char *how = "auto", *metadata_file = NULL;
    bool explain = false;
    const struct sb_option options[] = {
        {.name = "set", .list = &request.set},
        {.name = "secret", .list = &request.secrets},
        {.name = "tag", .letter = 't', .list = &request.build.tags},
        {.name = "version", .text = &request.build.version},
        {.name = "no-cache", .flag = &request.build.no_cache},
        {.name = "explain", .flag = &explain},
        {.name = "metadata-file", .text = &metadata_file},
        {.name = "progress", .text = &how},
        {.name = "jobs", .letter = 'j', .text = &request.jobs},
        {.name = "runtime", .text = &request.runtime},
        {0},
    };
    request.recipes = sb_alloc(((size_t)argc + 1) * sizeof *request.recipes);
    int result = sb_options_parse(&sb_command_build, argc, argv, options, &request.common,
                                  request.recipes, &request.build.recipe_count, err);
    if (result == 0)
        result = sb_options_count(&sb_command_build, request.build.recipe_count, 1, SIZE_MAX, err);
    if (result == 0)
        result = build_images(&request, how, explain, metadata_file, err);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : 0;
}

const struct sb_command sb_command_build = {
    .name = "build",
    .arguments = "RECIPE… [OPTION…]",
    .summary = "build images; the same as sbuild RECIPE",
    .help = "Prints the digest of each image on standard output.\n\n"
            "options:\n"
            "  -t, --tag TAG        a tag beside those that the recipe asks for; may be given\n"
            "                       several times\n"
            "  --explain            say why each layer is built\n"
            "  --metadata-file F    write digest, tags and layers as JSON\n"
            "  --json               print these facts instead of the digest\n"
            "  --progress HOW       auto, tty, plain or json\n" SB_REQUEST_HELP "\n"
            "examples:\n"
            "  sbuild recipes/backend.yaml\n"
            "  sbuild build recipes/backend.yaml --set PORT=9000 --tag test\n"
            "  sbuild build recipes/*.yaml --progress plain --metadata-file build.json\n"
            "  sbuild build recipes/model.yaml --secret id=hf_token,env=HF_TOKEN\n",
    .run = run,
};
