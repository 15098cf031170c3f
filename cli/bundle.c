#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/bundling.h"
#include "cli/exporting.h"
#include "cli/progress.h"
#include "context/outputs.h"
#include "deploy/units.h"

/* Everything that one run needs. */
struct command {
    const char *how, *metadata_file, *output, *units;
    struct sb_bundling made;
};

static void notify(void *data, const struct sb_event *event) {
    struct sb_bundling *b = data;
    sb_progress_notify(b->progress, event);
    if (b->push)
        sb_build_push_notify(b->push, event);
}

static int before_steps(void *data, struct sb_error *err) {
    const struct sb_bundling *b = data;
    return b->push ? sb_build_push_check(b->push, err) : 0;
}

static bool is_recipe(const char *text) {
    size_t n = strlen(text);
    struct stat st;
    return (n > 5 && !strcmp(text + n - 5, ".yaml")) || (n > 4 && !strcmp(text + n - 4, ".yml")) ||
           (stat(text, &st) == 0 && S_ISREG(st.st_mode));
}

/* ---- to files ---- */

static int write_text(const struct command *c, const char *directory, const char *name,
                      const char *text, size_t len, struct sb_error *err) {
    sb_autofree char *path = sb_path_join(directory, name);
    if (sb_file_write(AT_FDCWD, path, text, len, 0644, err) < 0)
        return -1;
    sb_outputs_note(c->made.store, AT_FDCWD, path);
    return 0;
}

static int write_part(const struct command *c, const struct sb_description *d,
                      const char *directory, struct sb_error *err) {
    const struct sb_placement review = {0};
    struct sb_units units;
    sb_autobuf struct sb_buf description = {0}, environment = {0};
    sb_autojson json_t *json = sb_description_json(d);
    sb_json_write_pretty(json, &description);
    sb_bundle_environment(d, &environment);
    bool made = !sb_path_exists(AT_FDCWD, directory);
    if (sb_directory_make(AT_FDCWD, directory, 0755, err) < 0 ||
        write_text(c, directory, "description.json", description.data, description.len, err) < 0 ||
        write_text(c, directory, "environment", sb_buf_text(&environment), environment.len, err) <
            0 ||
        sb_units_generate(d, &review, &units, err) < 0)
        return -1;
    int rc = 0;
    if (made)
        sb_outputs_note(c->made.store, AT_FDCWD, directory);
    for (size_t i = 0; i < units.n && rc == 0; i++)
        rc = write_text(c, directory, units.v[i].name, units.v[i].text, strlen(units.v[i].text),
                        err);
    sb_units_free(&units);
    return rc;
}

/* Of several platforms each has a directory in there: "linux-arm64". */
static int write_units(const struct command *c, struct sb_error *err) {
    const struct sb_bundling *b = &c->made;
    bool made = b->count > 1 && !sb_path_exists(AT_FDCWD, c->units);
    if (b->count > 1 && sb_directory_make(AT_FDCWD, c->units, 0755, err) < 0)
        return sb_error_context(err, "--units %s", c->units);
    if (made)
        sb_outputs_note(b->store, AT_FDCWD, c->units);
    for (size_t i = 0; i < b->count; i++) {
        sb_autofree char *name = sb_strdup(b->parts[i].platform ? b->parts[i].platform : "");
        for (char *slash = name; (slash = strchr(slash, '/'));)
            *slash = '-';
        sb_autofree char *directory =
            b->count > 1 ? sb_path_join(c->units, name) : sb_strdup(c->units);
        if (write_part(c, &b->parts[i].description, directory, err) < 0)
            return sb_error_context(err, "--units %s", c->units);
    }
    return 0;
}

static int write_archive(const struct command *c, struct sb_error *err) {
    const struct sb_bundling *b = &c->made;
    sb_autostrings struct sb_strings names = {0};
    sb_autofree struct sb_image *bundles = sb_alloc((b->count + 1) * sizeof *bundles);
    for (size_t i = 0; i < b->count; i++)
        bundles[i] = b->parts[i].bundle;
    if (b->tags.n)
        sb_strings_add(&names, b->tags.v[0]);
    const struct sb_index_images images = {bundles, b->count};
    const struct sb_cli_export job = {.command = "bundle",
                                      .store = b->store,
                                      .image = &b->parts[0].bundle,
                                      .form = SB_EXPORT_OCI,
                                      .names = &names,
                                      .index = b->is_index ? &b->index : NULL,
                                      .images = &images};
    return sb_cli_export(&job, c->output, err);
}

/* ---- what it says ---- */

static json_t *names_json(const struct sb_strings *names) {
    json_t *list = json_array();
    for (size_t i = 0; i < names->n; i++)
        json_array_append_new(list, sb_json_from_bytes(names->v[i]));
    return list;
}

static const struct sb_layer *last_layer(const struct sb_bundling_part *part) {
    return &part->bundle.layers[part->bundle.layer_count - 1].layer;
}

static json_t *part_facts(const struct sb_bundling_part *part) {
    const struct sb_descriptor *bundle = &part->bundle.descriptor, *image = &part->image.descriptor;
    const struct sb_descriptor *last = &last_layer(part)->descriptor;
    json_t *facts = json_pack(
        "{s:s, s:s*, s:s, s:s, s:I, s:{s:s, s:I}, s:{s:s, s:I}}", "name", part->description.name,
        "version", part->description.version, "digest", sb_digest_text(&bundle->digest).text,
        "media_type", bundle->media_type, "size", (json_int_t)bundle->size, "image", "digest",
        sb_digest_text(&image->digest).text, "size", (json_int_t)image->size, "layer", "digest",
        sb_digest_text(&last->digest).text, "size", (json_int_t)last->size);
    if (part->built)
        sb_cli_add_tests(part->built, facts);
    return facts;
}

/* Of an index: `bundles` has one for each platform. */
static json_t *index_facts(const struct sb_bundling *b) {
    const struct sb_description *d = &b->parts[0].description;
    json_t *list = json_array();
    for (size_t i = 0; i < b->count; i++) {
        json_t *one = part_facts(&b->parts[i]);
        if (b->parts[i].platform)
            json_object_set_new(one, "platform", json_string(b->parts[i].platform));
        json_array_append_new(list, one);
    }
    return json_pack("{s:s, s:s*, s:s, s:s, s:I, s:o}", "name", d->name, "version", d->version,
                     "digest", sb_digest_text(&b->bundled.digest).text, "media_type",
                     b->bundled.media_type, "size", (json_int_t)b->bundled.size, "bundles", list);
}

static json_t *facts_of(const struct sb_bundling *b) {
    json_t *facts = b->is_index ? index_facts(b) : part_facts(&b->parts[0]);
    json_object_set_new(facts, "tags", names_json(&b->tags));
    if (b->pushing)
        json_object_set(facts, "pushed", b->pushed);
    return facts;
}

static void report_failure(const struct command *c, const struct sb_error *err) {
    const struct sb_bundling *b = &c->made;
    if (!c->metadata_file)
        return;
    struct sb_error own = {0};
    sb_autojson json_t *facts =
        b->bundled.media_type ? facts_of(b) : json_pack("{s:O}", "pushed", b->pushed);
    json_object_set_new(facts, "error", sb_cli_error_json(err));
    if (sb_cli_write_metadata(b->store, c->metadata_file, facts, &own) < 0)
        sb_cli_print_warning(own.message);
}

static void say_part(const struct sb_bundling *b, const struct sb_bundling_part *part) {
    const struct sb_description *d = &part->description;
    bool named = b->is_index && part->platform;
    sb_cli_say("%s%s%s: bundle of %s%s%s, %s more\n", d->name, d->version ? " " : "",
               d->version ? d->version : "", sb_digest_text(&part->image.descriptor.digest).text,
               named ? " for " : "", named ? part->platform : "",
               sb_text_size(last_layer(part)->descriptor.size + part->bundle.descriptor.size).text);
}

static int report(const struct command *c, struct sb_error *err) {
    const struct sb_bundling *b = &c->made;
    sb_autojson json_t *facts = facts_of(b);
    if (c->metadata_file && sb_cli_write_metadata(b->store, c->metadata_file, facts, err) < 0)
        return -1;
    if (b->build)
        sb_cli_say_no_release(sb_build_result(b->build, 0));
    if (b->request->common.json)
        return sb_cli_print_json(facts, err);
    for (size_t i = 0; i < b->count; i++)
        say_part(b, &b->parts[i]);
    for (size_t i = 0; i < b->tags.n; i++)
        sb_cli_say("  %s\n", b->tags.v[i]);
    bool to_stdout = c->output && !strcmp(c->output, "-");
    if (!to_stdout)
        sb_cli_print("%s\n", sb_digest_text(&b->bundled.digest).text);
    if (b->pushing && sb_cli_push_print(b->pushed, false, err) < 0)
        return -1;
    return sb_cli_flush(err);
}

/* ---- the command ---- */

static int open_all(struct command *c, const char *what, struct sb_error *err) {
    struct sb_bundling *b = &c->made;
    struct sb_build_request *build = &b->request->build;
    if (sb_cli_check_output(b->request, "--metadata-file", c->metadata_file, err) < 0 ||
        sb_cli_check_output(b->request, "--output", c->output, err) < 0 ||
        sb_cli_push_parse(&b->push_options, "bundle", err) < 0 ||
        sb_progress_new(c->how, false, &b->progress, err) < 0)
        return -1;
    sb_build_push_compression(&b->push_options, build);
    build->notify = notify;
    build->before_steps = before_steps;
    build->data = b;
    build->recipe_count = is_recipe(what);
    build->share_last = build->watch_growth = b->pushing;
    b->request->source.notify = sb_progress_transfer;
    b->request->source.data = b->progress;
    b->request->registry = b->push_options.registry;
    if (sb_cli_request_open(b->request, &b->settings, &b->store, err) < 0)
        return -1;
    sb_progress_watch(b->progress, build->registry);
    return 0;
}

static int make_bundles(struct command *c, const char *what, struct sb_error *err) {
    struct sb_bundling *b = &c->made;
    if (open_all(c, what, err) < 0 ||
        (is_recipe(what) ? sb_bundling_build(b, err) : sb_bundling_find(b, what, err)) < 0 ||
        sb_bundling_make(b, err) < 0)
        return -1;
    return b->pushing ? sb_bundling_push(b, err) : 0;
}

static int bundle(struct command *c, const char *what, struct sb_error *err) {
    struct sb_bundling *b = &c->made;
    b->pushed = json_array();
    int failed = make_bundles(c, what, err);
    if (b->build)
        sb_build_share(b->build);
    if (failed && b->progress)
        sb_progress_error(b->progress, err);
    if (failed)
        report_failure(c, err);
    if (failed && b->progress)
        sb_progress_said(b->progress, err);
    if (failed)
        sb_build_push_free(sb_steal(b->push));
    sb_progress_free(b->progress);
    b->request->build.notify = NULL;
    b->request->source.notify = NULL;
    if (!failed && c->units)
        failed = write_units(c, err);
    if (!failed && c->output)
        failed = write_archive(c, err);
    if (!failed)
        failed = report(c, err);
    sb_bundling_free(b);
    sb_cli_request_close(b->request, &b->settings, b->store);
    return failed;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    struct command c = {.how = "auto", .made = {.request = &request}};
    struct sb_bundling *b = &c.made;
    const struct sb_option options[] = {
        {.name = "push", .flag = &b->pushing},
        SB_CLI_PUSH_OPTIONS(b->push_options),
        {.name = "output", .letter = 'o', .text = &c.output},
        {.name = "units", .text = &c.units},
        {.name = "name", .text = &b->name},
        {.name = "metadata-file", .text = &c.metadata_file},
        {.name = "progress", .text = &c.how},
        {.name = "tag", .letter = 't', .list = &request.build.tags},
        {.name = "skip-tests", .flag = &request.build.skip_tests},
        SB_REQUEST_OPTIONS(request),
        {0},
    };
    int result = sb_cli_request_parse(&request, &sb_command_bundle, argc, argv, options, 1, err);
    if (result == 0)
        result = bundle(&c, request.recipes[0], err);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : 0;
}

const struct sb_command sb_command_bundle = {
    .name = "bundle",
    .arguments = "RECIPE|IMAGE [OPTION…]",
    .summary = "make the systemd bundle of an image",
    .help = "A recipe is built first, where it has to be; its service: says how it runs. Of\n"
            "an image alone, its config says that. The bundle has the image's own layers and\n"
            "one of a few kilobytes. Of an index each image gets one, and these an index.\n"
            "Prints its digest on standard output.\n\n"
            "options:\n"
            "  --push               push image and bundle, to where sbuild build --push or\n"
            "                       sbuild push would push the image; the bundle's tags are\n"
            "                       bundle-TAG\n" SB_CLI_PUSH_HELP
            "  -o, --output FILE    write the bundle as an OCI archive, for hosts without a\n"
            "                       registry; - is standard output\n"
            "  --units DIR          write units, environment and description, for review\n"
            "  --name NAME          of the service, instead of the recipe's or the image's\n"
            "  -t, --tag TAG        as in sbuild build; may be given several times\n"
            "  --skip-tests         run none of the recipe's tests; the facts say so\n"
            "  --metadata-file F    write digests and tags as JSON\n"
            "  --json               print these facts instead of the digest\n"
            "  --progress HOW       auto, tty, plain or json\n" SB_REQUEST_HELP "\n"
            "examples:\n"
            "  sbuild bundle recipes/backend.yaml --units /tmp/units\n"
            "  sbuild bundle recipes/backend.yaml --push\n"
            "  sbuild bundle backend:v1.4.2 -o backend.bundle.tar\n",
    .run = run,
};
