#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/semver.h"
#include "base/text.h"
#include "builder/source.h"
#include "cli/buildpush.h"
#include "cli/exporting.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "context/outputs.h"
#include "deploy/bundle.h"
#include "deploy/units.h"
#include "registry/attach.h"
#include "registry/pull.h"

/* Everything that one run needs. */
struct bundling {
    struct sb_cli_request *request;
    const char *how, *metadata_file, *output, *units, *name;
    bool pushing;
    struct sb_cli_push push_options;
    struct sb_settings settings;
    struct sb_store *store;
    struct sb_progress *progress;
    struct sb_build *build; /* of a recipe; else NULL */
    struct sb_build_push *push;
    struct sb_image image;         /* what is bundled */
    struct sb_strings names, tags; /* of the image; of the bundle */
    struct sb_description description;
    struct sb_image bundle;
    json_t *pushed; /* facts of the image, then of the bundle */
};

/* ---- the image ---- */

static void notify(void *data, const struct sb_event *event) {
    struct bundling *b = data;
    sb_progress_notify(b->progress, event);
    if (b->push)
        sb_build_push_notify(b->push, event);
}

static int before_steps(void *data, struct sb_error *err) {
    const struct bundling *b = data;
    return b->push ? sb_build_push_check(b->push, err) : 0;
}

/* The version that the tags tell, where neither recipe nor command line does: git's. */
static const char *version_of_tags(const struct sb_strings *names) {
    struct sb_semver semver;
    for (size_t i = 0; i < names->n; i++) {
        const char *tag = strrchr(names->v[i], ':');
        if (tag && strchr(tag, '.') && sb_semver_parse(tag + 1, &semver))
            return tag + 1 + (tag[1] == 'v');
    }
    return NULL;
}

/* A bundle has the very layers of its image: as they will be in the registry. */
static int take_form(struct bundling *b, struct sb_error *err) {
    const struct sb_push_options form = {.compression = b->push_options.compression,
                                         .format = b->push_options.format};
    return sb_push_form(b->store, &form, &b->image, err);
}

static int build_image(struct bundling *b, struct sb_error *err) {
    struct sb_build_request *request = &b->request->build;
    if (b->pushing)
        sb_registry_prepare(request->registry);
    if (sb_build_new(b->store, &b->settings, request, &b->build, err) < 0)
        return -1;
    const struct sb_build_result *result = sb_build_result(b->build, 0);
    const struct sb_recipe *recipe = result->recipe;
    if (!recipe->service.present) {
        sb_fail(err, SB_E_RECIPE, "%s: has no service: to make a bundle of", recipe->path);
        return sb_error_hint(err, "add service: {port: …, health: {http: …}} to it");
    }
    if (b->pushing && sb_build_push_new(&b->push_options, request->registry, b->store, b->build,
                                        request, b->progress, &b->push, err) < 0)
        return -1;
    if (sb_build_run(b->build, err) < 0)
        return -1;
    sb_image_copy(&b->image, &result->image);
    if (take_form(b, err) < 0)
        return -1;
    sb_strings_copy(&b->names, &result->tags);
    const char *version = request->version;
    if (!version && !recipe->version)
        version = version_of_tags(&b->names);
    return sb_description_make(&b->image, recipe, recipe->layer_count, b->name, version,
                               &b->description, err);
}

/* "team/app" of "registry.example.com:5000/team/app:v1"; the caller's. */
static char *last_part(const char *name) {
    const char *slash = strrchr(name, '/');
    const char *start = slash ? slash + 1 : name;
    return sb_strndup(start, strcspn(start, ":@"));
}

static int add_names(struct bundling *b, struct sb_error *err) {
    struct sb_tagged_list tags;
    if (sb_store_tags(b->store, &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < tags.n; i++)
        if (sb_digest_equal(&tags.v[i].descriptor.digest, &b->image.descriptor.digest))
            sb_strings_add(&b->names, tags.v[i].name);
    sb_tagged_list_free(&tags);
    return 0;
}

/* Of the store, or else of a registry: then its layers stay there. */
static int find_manifest(struct bundling *b, const char *name, struct sb_descriptor *out,
                         struct sb_error *err) {
    if (sb_source_find(b->store, name, out, err) == 0)
        return 0;
    if (err->code != SB_E_NOT_FOUND || !sb_reference_has_host(name))
        return -1;
    const struct sb_pull_options options = {.lazy = true};
    struct sb_reference reference;
    struct sb_pulled pulled;
    sb_error_clear(err);
    if (sb_reference_parse(name, &reference, err) < 0)
        return -1;
    int rc =
        sb_pull_image(b->request->build.registry, b->store, &reference, &options, &pulled, err);
    if (rc == 0)
        *out = pulled.image;
    sb_reference_free(&reference);
    return rc;
}

static int find_image(struct bundling *b, const char *name, struct sb_error *err) {
    struct sb_descriptor manifest;
    if (find_manifest(b, name, &manifest, err) < 0)
        return -1;
    if (sb_image_load(b->store, &manifest, &b->image, err) < 0)
        return sb_error_context(err, "the image %s", sb_text_shown(name).text);
    if (add_names(b, err) < 0 || take_form(b, err) < 0)
        return -1;
    bool by_digest = !strchr(name, '/') && b->names.n > 0 && !strncmp(name, "sha256:", 7);
    sb_autofree char *own = last_part(by_digest ? b->names.v[0] : name);
    const char *version = b->request->build.version;
    return sb_description_make(&b->image, NULL, 0, b->name ? b->name : own,
                               version ? version : version_of_tags(&b->names), &b->description,
                               err);
}

static bool is_recipe(const char *text) {
    size_t n = strlen(text);
    struct stat st;
    return (n > 5 && !strcmp(text + n - 5, ".yaml")) || (n > 4 && !strcmp(text + n - 4, ".yml")) ||
           (stat(text, &st) == 0 && S_ISREG(st.st_mode));
}

/* ---- the bundle ---- */

static int tag_bundle(struct bundling *b, struct sb_error *err) {
    for (size_t i = 0; i < b->names.n; i++) {
        const char *name = b->names.v[i], *colon = strrchr(name, ':');
        if (!colon || strchr(colon, '/') ||
            !strncmp(colon + 1, SB_BUNDLE_TAG_PREFIX, strlen(SB_BUNDLE_TAG_PREFIX)))
            continue;
        sb_autofree char *tag = sb_bundle_tag(colon + 1);
        sb_strings_addf(&b->tags, "%.*s:%s", (int)(colon - name), name, tag);
    }
    return b->tags.n ? sb_store_tag(b->store, &b->tags, &b->bundle.descriptor, err) : 0;
}

/* ---- to a registry ---- */

static int push_image(struct bundling *b, struct sb_error *err) {
    if (b->push) {
        if (sb_build_push_finish(b->push, err) < 0)
            return -1;
        json_array_extend(b->pushed, (json_t *)sb_build_push_facts(b->push, 0));
        return 0;
    }
    struct sb_push_targets targets = {0};
    int rc = 0;
    for (size_t i = 0; i < b->names.n && rc == 0; i++)
        if (sb_reference_has_host(b->names.v[i]))
            rc = sb_push_targets_add(&targets, b->names.v[i], "--push", err);
    if (rc == 0 && targets.n == 0) {
        rc = sb_fail(err, SB_E_USAGE, "bundle: the image has no name that says where to push it");
        sb_error_hint(err, "give it one: sbuild tag IMAGE registry.example.com/team/app:v1");
    }
    for (size_t i = 0; i < targets.n && rc == 0; i++) {
        sb_push_target_split(&targets.v[i]);
        rc = sb_cli_push_image(&b->push_options, b->request->build.registry, b->store, &b->image,
                               &targets.v[i], NULL, b->progress, b->pushed, err);
    }
    sb_push_targets_free(&targets);
    return rc;
}

static int attach(struct bundling *b, const struct sb_reference *where, struct sb_error *err) {
    struct sb_remote *remote =
        sb_remote_open(b->request->build.registry, where->host, where->repository);
    sb_remote_will_push(remote);
    int rc = sb_attached_put(remote, b->store, &b->bundle.descriptor, err);
    sb_remote_free(remote);
    return rc;
}

/* Tags of the image that are a release's are the bundle's to float, too: no further than the
 * image's. */
static int bundle_target(const json_t *fact, struct sb_push_targets *out, struct sb_error *err) {
    struct sb_push_target *target =
        sb_push_targets_repository(out, sb_json_string(fact, "repository", ""), "--push", err);
    struct sb_strings told = {0};
    size_t i;
    json_t *tag;
    if (!target)
        return -1;
    json_array_foreach (json_object_get(fact, "tags"), i, tag) {
        sb_strings_add(&target->tags, json_string_value(tag));
    }
    if (json_object_get(fact, "release"))
        sb_push_target_split(target);
    target->release.prefix = SB_BUNDLE_TAG_PREFIX;
    for (i = 0; i < target->tags.n; i++)
        sb_strings_take(&told, sb_bundle_tag(target->tags.v[i]));
    sb_strings_free(&target->tags);
    target->tags = told;
    return 0;
}

/* Beside the image: what a fact says of it holds for the bundle, with other tags. */
static int push_beside(struct bundling *b, const json_t *fact, json_t *facts,
                       struct sb_error *err) {
    struct sb_push_targets targets = {0};
    const struct sb_cli_push as_it_is = {0};
    int rc = bundle_target(fact, &targets, err);
    for (size_t i = 0; i < targets.n && rc == 0; i++) {
        rc = sb_cli_push_image(&as_it_is, b->request->build.registry, b->store, &b->bundle,
                               &targets.v[i], NULL, b->progress, facts, err);
        if (rc == 0)
            rc = attach(b, &targets.v[i].repository, err);
    }
    sb_push_targets_free(&targets);
    return rc;
}

static int push_all(struct bundling *b, struct sb_error *err) {
    if (push_image(b, err) < 0)
        return -1;
    sb_autojson json_t *facts = json_array();
    size_t i;
    json_t *fact;
    json_array_foreach (b->pushed, i, fact) {
        if (push_beside(b, fact, facts, err) < 0)
            return sb_error_context(err, "the bundle");
    }
    json_array_extend(b->pushed, facts);
    return 0;
}

/* ---- to files ---- */

static int write_text(const struct bundling *b, const char *name, const char *text, size_t len,
                      struct sb_error *err) {
    sb_autofree char *path = sb_path_join(b->units, name);
    if (sb_file_write(AT_FDCWD, path, text, len, 0644, err) < 0)
        return -1;
    sb_outputs_note(b->store, AT_FDCWD, path);
    return 0;
}

static int write_units(const struct bundling *b, struct sb_error *err) {
    const struct sb_placement review = {0};
    struct sb_units units;
    sb_autobuf struct sb_buf description = {0}, environment = {0};
    sb_autojson json_t *json = sb_description_json(&b->description);
    sb_json_write_pretty(json, &description);
    sb_bundle_environment(&b->description, &environment);
    bool made = !sb_path_exists(AT_FDCWD, b->units);
    if (sb_directory_make(AT_FDCWD, b->units, 0755, err) < 0 ||
        write_text(b, "description.json", description.data, description.len, err) < 0 ||
        write_text(b, "environment", sb_buf_text(&environment), environment.len, err) < 0 ||
        sb_units_generate(&b->description, &review, &units, err) < 0)
        return sb_error_context(err, "--units %s", b->units);
    int rc = 0;
    if (made)
        sb_outputs_note(b->store, AT_FDCWD, b->units);
    for (size_t i = 0; i < units.n && rc == 0; i++)
        rc = write_text(b, units.v[i].name, units.v[i].text, strlen(units.v[i].text), err);
    sb_units_free(&units);
    return rc;
}

static int write_archive(const struct bundling *b, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (b->tags.n)
        sb_strings_add(&names, b->tags.v[0]);
    const struct sb_cli_export job = {"bundle", b->store, &b->bundle, SB_EXPORT_OCI, &names};
    return sb_cli_export(&job, b->output, err);
}

/* ---- what it says ---- */

static json_t *names_json(const struct sb_strings *names) {
    json_t *list = json_array();
    for (size_t i = 0; i < names->n; i++)
        json_array_append_new(list, sb_json_from_bytes(names->v[i]));
    return list;
}

static json_t *facts_of(const struct bundling *b) {
    const struct sb_descriptor *bundle = &b->bundle.descriptor, *image = &b->image.descriptor;
    const struct sb_layer *last = &b->bundle.layers[b->bundle.layer_count - 1].layer;
    json_t *facts = json_pack(
        "{s:s, s:s*, s:s, s:s, s:I, s:{s:s, s:I}, s:{s:s, s:I}, s:o}", "name", b->description.name,
        "version", b->description.version, "digest", sb_digest_text(&bundle->digest).text,
        "media_type", bundle->media_type, "size", (json_int_t)bundle->size, "image", "digest",
        sb_digest_text(&image->digest).text, "size", (json_int_t)image->size, "layer", "digest",
        sb_digest_text(&last->descriptor.digest).text, "size", (json_int_t)last->descriptor.size,
        "tags", names_json(&b->tags));
    if (b->build)
        sb_cli_add_tests(sb_build_result(b->build, 0), facts);
    if (b->pushing)
        json_object_set(facts, "pushed", b->pushed);
    return facts;
}

static void say_no_release(const struct bundling *b) {
    if (b->build)
        sb_cli_say_no_release(sb_build_result(b->build, 0));
}

static void report_failure(const struct bundling *b, const struct sb_error *err) {
    if (!b->metadata_file)
        return;
    struct sb_error own = {0};
    sb_autojson json_t *facts =
        b->bundle.layer_count > 0 ? facts_of(b) : json_pack("{s:O}", "pushed", b->pushed);
    json_object_set_new(facts, "error", sb_cli_error_json(err));
    if (sb_cli_write_metadata(b->store, b->metadata_file, facts, &own) < 0)
        sb_cli_print_warning(own.message);
}

static int report(const struct bundling *b, struct sb_error *err) {
    sb_autojson json_t *facts = facts_of(b);
    if (b->metadata_file && sb_cli_write_metadata(b->store, b->metadata_file, facts, err) < 0)
        return -1;
    say_no_release(b);
    if (b->request->common.json)
        return sb_cli_print_json(facts, err);
    const struct sb_layer *last = &b->bundle.layers[b->bundle.layer_count - 1].layer;
    sb_cli_say("%s%s%s: bundle of %s, %s more\n", b->description.name,
               b->description.version ? " " : "",
               b->description.version ? b->description.version : "",
               sb_digest_text(&b->image.descriptor.digest).text,
               sb_text_size(last->descriptor.size + b->bundle.descriptor.size).text);
    for (size_t i = 0; i < b->tags.n; i++)
        sb_cli_say("  %s\n", b->tags.v[i]);
    bool to_stdout = b->output && !strcmp(b->output, "-");
    if (!to_stdout)
        sb_cli_print("%s\n", sb_digest_text(&b->bundle.descriptor.digest).text);
    if (b->pushing && sb_cli_push_print(b->pushed, false, err) < 0)
        return -1;
    return sb_cli_flush(err);
}

/* ---- the command ---- */

static int make_bundle(struct bundling *b, const char *what, struct sb_error *err) {
    if (sb_cli_check_output(b->request, "--metadata-file", b->metadata_file, err) < 0 ||
        sb_cli_check_output(b->request, "--output", b->output, err) < 0 ||
        sb_cli_push_parse(&b->push_options, "bundle", err) < 0 ||
        sb_progress_new(b->how, false, &b->progress, err) < 0)
        return -1;
    sb_build_push_compression(&b->push_options, &b->request->build);
    b->request->build.notify = notify;
    b->request->build.before_steps = before_steps;
    b->request->build.data = b;
    b->request->build.recipe_count = is_recipe(what);
    b->request->build.share_last = b->request->build.watch_growth = b->pushing;
    b->request->source.notify = sb_progress_transfer;
    b->request->source.data = b->progress;
    b->request->registry = b->push_options.registry;
    if (sb_cli_request_open(b->request, &b->settings, &b->store, err) < 0)
        return -1;
    sb_progress_watch(b->progress, b->request->build.registry);
    if ((is_recipe(what) ? build_image(b, err) : find_image(b, what, err)) < 0 ||
        sb_bundle_make(b->store, &b->image, &b->description, &b->bundle, err) < 0 ||
        tag_bundle(b, err) < 0)
        return -1;
    return b->pushing ? push_all(b, err) : 0;
}

static int bundle(struct bundling *b, const char *what, struct sb_error *err) {
    b->pushed = json_array();
    int failed = make_bundle(b, what, err);
    if (b->build)
        sb_build_share(b->build);
    if (failed && b->progress)
        sb_progress_error(b->progress, err);
    if (failed)
        report_failure(b, err);
    if (failed && b->progress)
        sb_progress_said(b->progress, err);
    if (failed)
        sb_build_push_free(sb_steal(b->push));
    sb_progress_free(b->progress);
    b->request->build.notify = NULL;
    b->request->source.notify = NULL;
    if (!failed && b->units)
        failed = write_units(b, err);
    if (!failed && b->output)
        failed = write_archive(b, err);
    if (!failed)
        failed = report(b, err);
    sb_build_push_free(b->push);
    sb_build_free(b->build);
    sb_image_free(&b->image);
    sb_image_free(&b->bundle);
    sb_description_free(&b->description);
    sb_strings_free(&b->names);
    sb_strings_free(&b->tags);
    json_decref(b->pushed);
    sb_cli_request_close(b->request, &b->settings, b->store);
    return failed;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    struct bundling b = {.request = &request, .how = "auto"};
    const struct sb_option options[] = {
        {.name = "push", .flag = &b.pushing},
        SB_CLI_PUSH_OPTIONS(b.push_options),
        {.name = "output", .letter = 'o', .text = &b.output},
        {.name = "units", .text = &b.units},
        {.name = "name", .text = &b.name},
        {.name = "metadata-file", .text = &b.metadata_file},
        {.name = "progress", .text = &b.how},
        {.name = "tag", .letter = 't', .list = &request.build.tags},
        {.name = "skip-tests", .flag = &request.build.skip_tests},
        SB_REQUEST_OPTIONS(request),
        {0},
    };
    int result = sb_cli_request_parse(&request, &sb_command_bundle, argc, argv, options, 1, err);
    if (result == 0)
        result = bundle(&b, request.recipes[0], err);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : 0;
}

const struct sb_command sb_command_bundle = {
    .name = "bundle",
    .arguments = "RECIPE|IMAGE [OPTION…]",
    .summary = "make the systemd bundle of an image",
    .help = "A recipe is built first, where it has to be; its service: says how it runs. Of\n"
            "an image alone, its config says that. The bundle has the image's own layers and\n"
            "one of a few kilobytes. Prints its digest on standard output.\n\n"
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
