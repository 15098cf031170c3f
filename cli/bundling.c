#include "cli/bundling.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/semver.h"
#include "base/text.h"
#include "builder/source.h"
#include "layers/descriptor.h"
#include "registry/attach.h"
#include "registry/pull.h"

static struct sb_bundling_part *add_part(struct sb_bundling *b) {
    b->parts = sb_realloc(b->parts, b->count + 1, sizeof *b->parts);
    b->parts[b->count] = (struct sb_bundling_part){0};
    return &b->parts[b->count++];
}

static void name_platform(struct sb_bundling_part *part) {
    sb_autoplatform struct sb_platform platform;
    if (sb_platform_read(part->image.config, &platform))
        part->platform = sb_platform_text(&platform);
}

/* ---- the images ---- */

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
static int take_form(struct sb_bundling *b, struct sb_image *image, struct sb_error *err) {
    const struct sb_push_options form = {.compression = b->push_options.compression,
                                         .format = b->push_options.format};
    return sb_push_form(b->store, &form, image, err);
}

static int take_built(struct sb_bundling *b, const struct sb_build_image *built,
                      const char *version, struct sb_error *err) {
    struct sb_bundling_part *part = add_part(b);
    part->built = built;
    sb_image_copy(&part->image, &built->image);
    name_platform(part);
    return take_form(b, &part->image, err) < 0
               ? -1
               : sb_description_make(&part->image, built->recipe, built->recipe->layer_count,
                                     b->name, version, &part->description, err);
}

static int take_result(struct sb_bundling *b, const struct sb_build_result *result,
                       struct sb_error *err) {
    const char *version = b->request->build.version;
    const struct sb_strings *platforms = &result->recipe->platforms;
    b->is_index = result->is_index;
    b->whole = result->image_count >= platforms->n;
    for (size_t i = 0; i < platforms->n; i++) {
        sb_autoplatform struct sb_platform platform = {0};
        if (sb_platform_parse(platforms->v[i], &platform, NULL) == 0)
            sb_platforms_add(&b->others, &platform);
    }
    sb_strings_copy(&b->names, &result->tags);
    if (!version && !result->recipe->version)
        version = version_of_tags(&b->names);
    for (size_t i = 0; i < result->image_count; i++)
        if (take_built(b, &result->images[i], version, err) < 0)
            return -1;
    return 0;
}

int sb_bundling_build(struct sb_bundling *b, struct sb_error *err) {
    struct sb_build_request *request = &b->request->build;
    if (b->pushing)
        sb_registry_prepare(request->registry);
    if (sb_build_new(b->store, &b->settings, request, &b->build, err) < 0)
        return -1;
    const struct sb_build_result *result = sb_build_result(b->build, 0);
    if (!result->recipe->service.present) {
        sb_fail(err, SB_E_RECIPE, "%s: has no service: to make a bundle of", result->recipe->path);
        return sb_error_hint(err, "add service: {port: …, health: {http: …}} to it");
    }
    if (b->pushing && sb_build_push_new(&b->push_options, request->registry, b->store, b->build,
                                        request, b->progress, &b->push, err) < 0)
        return -1;
    return sb_build_run(b->build, err) < 0 ? -1 : take_result(b, result, err);
}

/* "team/app" of "registry.example.com:5000/team/app:v1"; the caller's. */
static char *last_part(const char *name) {
    const char *slash = strrchr(name, '/');
    const char *start = slash ? slash + 1 : name;
    return sb_strndup(start, strcspn(start, ":@"));
}

static int add_names(struct sb_bundling *b, const struct sb_descriptor *named,
                     struct sb_error *err) {
    struct sb_tagged_list tags;
    if (sb_store_tags(b->store, &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < tags.n; i++)
        if (sb_digest_equal(&tags.v[i].descriptor.digest, &named->digest))
            sb_strings_add(&b->names, tags.v[i].name);
    sb_tagged_list_free(&tags);
    return 0;
}

/* Of the store, or else of a registry: then its layers stay there. */
static int find_manifest(struct sb_bundling *b, const char *name, struct sb_descriptor *out,
                         struct sb_error *err) {
    if (sb_source_find(b->store, name, out, err) == 0)
        return 0;
    if (err->code != SB_E_NOT_FOUND || !sb_reference_has_host(name))
        return -1;
    const struct sb_pull_options options = {.lazy = true, .all_platforms = true};
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

static int load_platform(struct sb_bundling *b, const struct sb_descriptor *named, const char *text,
                         struct sb_error *err) {
    sb_autoplatform struct sb_platform platform;
    if (sb_platform_parse(text, &platform, err) < 0)
        return sb_error_context(err, "--platform");
    struct sb_image *image = &add_part(b)->image;
    if (sb_image_load_for(b->store, named, &platform, image, err) < 0)
        return -1;
    const char *architecture = sb_json_string(image->config, "architecture", "");
    if (sb_platform_fits(&platform, architecture))
        return 0;
    return sb_fail(err, SB_E_NOT_FOUND, "it is made for linux/%.40s, not for %s", architecture,
                   text);
}

static int load_index(struct sb_bundling *b, const struct sb_descriptor *named,
                      struct sb_error *err) {
    struct sb_index_images images;
    b->whole = true;
    if (sb_image_index_load(b->store, named, &b->rest, err) < 0 ||
        sb_index_images_load(b->store, &b->rest, &images, err) < 0)
        return -1;
    for (size_t i = 0; i < images.n; i++) {
        add_part(b)->image = images.v[i];
        images.v[i] = (struct sb_image){0};
    }
    sb_index_images_free(&images);
    return 0;
}

static int load_images(struct sb_bundling *b, const struct sb_descriptor *named,
                       struct sb_error *err) {
    const struct sb_strings *platforms = &b->request->build.platforms;
    b->is_index = sb_media_kind(named->media_type) == SB_MEDIA_KIND_INDEX;
    for (size_t i = 0; i < platforms->n; i++)
        if (load_platform(b, named, platforms->v[i], err) < 0)
            return -1;
    if (platforms->n > 0)
        return 0;
    return b->is_index ? load_index(b, named, err)
                       : sb_image_load(b->store, named, &add_part(b)->image, err);
}

static int describe(struct sb_bundling *b, const char *name, struct sb_error *err) {
    bool by_digest = !strchr(name, '/') && b->names.n > 0 && !strncmp(name, "sha256:", 7);
    sb_autofree char *own = last_part(by_digest ? b->names.v[0] : name);
    const char *version = b->request->build.version;
    for (size_t i = 0; i < b->count; i++) {
        struct sb_bundling_part *part = &b->parts[i];
        name_platform(part);
        if (take_form(b, &part->image, err) < 0 ||
            sb_description_make(&part->image, NULL, 0, b->name ? b->name : own,
                                version ? version : version_of_tags(&b->names), &part->description,
                                err) < 0)
            return -1;
    }
    return 0;
}

int sb_bundling_find(struct sb_bundling *b, const char *name, struct sb_error *err) {
    struct sb_descriptor named;
    if (find_manifest(b, name, &named, err) < 0)
        return -1;
    if (load_images(b, &named, err) < 0)
        return sb_error_context(err, "the image %s", sb_text_shown(name).text);
    return add_names(b, &named, err) < 0 ? -1 : describe(b, name, err);
}

/* ---- the bundles ---- */

static int put_bundles(const struct sb_bundling *b, struct sb_image_index *index,
                       struct sb_error *err) {
    for (size_t i = 0; i < b->count; i++)
        if (sb_image_index_put(index, &b->parts[i].bundle, err) < 0)
            return -1;
    return 0;
}

static bool is_of_bundles(const struct sb_image_index *index) {
    for (size_t i = 0; i < index->n; i++)
        if (strcmp(sb_json_string(index->v[i].json, "artifactType", ""), SB_BUNDLE_ARTIFACT_TYPE) !=
            0)
            return false;
    return true;
}

/* Bundles for other platforms, which were not asked for, stay beside these. */
static int join(void *data, const char *name, const struct sb_descriptor *now,
                struct sb_descriptor *out, struct sb_error *err) {
    struct sb_bundling *b = data;
    sb_autoimageindex struct sb_image_index index = {0};
    (void)name;
    if (now && sb_media_kind(now->media_type) == SB_MEDIA_KIND_INDEX &&
        sb_image_index_load(b->store, now, &index, NULL) == 0 && !is_of_bundles(&index))
        sb_image_index_free(&index);
    if (put_bundles(b, &index, err) < 0 || sb_image_index_save(b->store, &index, err) < 0)
        return -1;
    *out = index.descriptor;
    return 0;
}

static int tag_bundles(struct sb_bundling *b, struct sb_error *err) {
    for (size_t i = 0; i < b->names.n; i++) {
        const char *name = b->names.v[i], *colon = strrchr(name, ':');
        if (!colon || strchr(colon, '/') ||
            !strncmp(colon + 1, SB_BUNDLE_TAG_PREFIX, strlen(SB_BUNDLE_TAG_PREFIX)))
            continue;
        sb_autofree char *tag = sb_bundle_tag(colon + 1);
        sb_strings_addf(&b->tags, "%.*s:%s", (int)(colon - name), name, tag);
    }
    if (b->tags.n == 0)
        return 0;
    return b->is_index && !b->whole ? sb_store_tag_chosen(b->store, &b->tags, join, b, err)
                                    : sb_store_tag(b->store, &b->tags, &b->bundled, err);
}

int sb_bundling_make(struct sb_bundling *b, struct sb_error *err) {
    for (size_t i = 0; i < b->count; i++) {
        struct sb_bundling_part *part = &b->parts[i];
        if (sb_bundle_make(b->store, &part->image, &part->description, &part->bundle, err) < 0)
            return -1;
    }
    b->bundled = b->parts[0].bundle.descriptor;
    if (b->is_index) {
        if (put_bundles(b, &b->index, err) < 0 || sb_image_index_save(b->store, &b->index, err) < 0)
            return -1;
        b->bundled = b->index.descriptor;
    }
    return tag_bundles(b, err);
}

/* ---- to a registry ---- */

/* The images, or their bundles. */
static int push_parts(struct sb_bundling *b, bool bundles, const struct sb_push_target *target,
                      json_t *facts, struct sb_error *err) {
    const struct sb_cli_push as_it_is = {0};
    const struct sb_cli_push *options = bundles ? &as_it_is : &b->push_options;
    struct sb_registry *registry = b->request->build.registry;
    sb_autofree struct sb_push_part *parts = sb_alloc((b->count + 1) * sizeof *parts);
    for (size_t i = 0; i < b->count; i++)
        parts[i].image = bundles ? &b->parts[i].bundle : &b->parts[i].image;
    if (!b->is_index)
        return sb_cli_push_image(options, registry, b->store, parts[0].image, target, NULL,
                                 b->progress, facts, err);
    struct sb_push_index what = {.parts = parts,
                                 .count = b->count,
                                 .rest = bundles || !b->whole ? NULL : &b->rest,
                                 .whole = b->whole,
                                 .others = b->others.n ? &b->others : NULL};
    return sb_cli_push_index(options, registry, b->store, &what, target, b->progress, facts, err);
}

static int push_images(struct sb_bundling *b, struct sb_error *err) {
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
        rc = push_parts(b, false, &targets.v[i], b->pushed, err);
    }
    sb_push_targets_free(&targets);
    return rc;
}

static int attach(struct sb_bundling *b, const struct sb_reference *where, struct sb_error *err) {
    struct sb_remote *remote =
        sb_remote_open(b->request->build.registry, where->host, where->repository);
    int rc = 0;
    sb_remote_will_push(remote);
    for (size_t i = 0; i < b->count && rc == 0; i++)
        rc = sb_attached_put(remote, b->store, &b->parts[i].bundle.descriptor, err);
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
static int push_beside(struct sb_bundling *b, const json_t *fact, json_t *facts,
                       struct sb_error *err) {
    struct sb_push_targets targets = {0};
    int rc = bundle_target(fact, &targets, err);
    for (size_t i = 0; i < targets.n && rc == 0; i++) {
        rc = push_parts(b, true, &targets.v[i], facts, err);
        if (rc == 0)
            rc = attach(b, &targets.v[i].repository, err);
    }
    sb_push_targets_free(&targets);
    return rc;
}

int sb_bundling_push(struct sb_bundling *b, struct sb_error *err) {
    if (push_images(b, err) < 0)
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

void sb_bundling_free(struct sb_bundling *b) {
    sb_build_push_free(b->push);
    sb_build_free(b->build);
    for (size_t i = 0; i < b->count; i++) {
        sb_image_free(&b->parts[i].image);
        sb_image_free(&b->parts[i].bundle);
        sb_description_free(&b->parts[i].description);
        free(b->parts[i].platform);
    }
    free(b->parts);
    sb_platforms_free(&b->others);
    sb_image_index_free(&b->rest);
    sb_image_index_free(&b->index);
    sb_strings_free(&b->names);
    sb_strings_free(&b->tags);
    json_decref(b->pushed);
}
