#include "cli/pushing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"

#define DEFAULT_TAG "latest"

/* ---- options ---- */

static int one_of(const char *option, const char *value, const char *first, const char *second,
                  int *out, struct sb_error *err) {
    if (!value)
        return 0;
    *out = !strcmp(value, first) ? 1 : !strcmp(value, second) ? 2 : 0;
    if (*out)
        return 0;
    return sb_fail(err, SB_E_USAGE, "--%s %s: it is %s or %s", option, sb_text_shown(value).text,
                   first, second);
}

int sb_cli_push_parse(struct sb_cli_push *push, const char *command, struct sb_error *err) {
    int compression = 0, format = 0;
    if (one_of("compression", push->compression_text, "zstd", "gzip", &compression, err) < 0 ||
        one_of("format", push->format_text, "oci", "docker", &format, err) < 0)
        return sb_error_context(err, "%s", command);
    if (compression == 1 && format == 2) {
        sb_fail(err, SB_E_USAGE, "%s: Docker's format knows no zstd", command);
        return sb_error_hint(err, "leave out --compression, or use --format oci");
    }
    push->compression = compression == 1   ? SB_PUSH_COMPRESSION_ZSTD
                        : compression == 2 ? SB_PUSH_COMPRESSION_GZIP
                                           : SB_PUSH_COMPRESSION_KEEP;
    push->format = format == 1   ? SB_PUSH_FORMAT_OCI
                   : format == 2 ? SB_PUSH_FORMAT_DOCKER
                                 : SB_PUSH_FORMAT_KEEP;
    return 0;
}

/* ---- targets ---- */

static struct sb_push_target *find_target(struct sb_push_targets *targets,
                                          const struct sb_reference *r) {
    for (size_t i = 0; i < targets->n; i++)
        if (!strcmp(targets->v[i].repository.host, r->host) &&
            !strcmp(targets->v[i].repository.repository, r->repository))
            return &targets->v[i];
    return NULL;
}

static struct sb_push_target *add_target(struct sb_push_targets *targets,
                                         const struct sb_reference *reference) {
    struct sb_push_target *target = find_target(targets, reference);
    if (target)
        return target;
    SB_GROW(targets->v, targets->n, targets->cap);
    target = &targets->v[targets->n++];
    *target = (struct sb_push_target){0};
    sb_reference_copy(&target->repository, reference);
    return target;
}

int sb_push_targets_add(struct sb_push_targets *targets, const char *text, const char *option,
                        struct sb_error *err) {
    struct sb_reference reference;
    if (sb_cli_registry_target(text, option, &reference, err) < 0)
        return -1;
    const char *tag = reference.tag ? reference.tag : DEFAULT_TAG;
    struct sb_push_target *target = add_target(targets, &reference);
    if (!sb_strings_has(&target->tags, tag))
        sb_strings_add(&target->tags, tag);
    sb_reference_free(&reference);
    return 0;
}

struct sb_push_target *sb_push_targets_repository(struct sb_push_targets *targets, const char *text,
                                                  const char *option, struct sb_error *err) {
    struct sb_reference reference;
    if (sb_cli_registry_target(text, option, &reference, err) < 0)
        return NULL;
    struct sb_push_target *target = add_target(targets, &reference);
    sb_reference_free(&reference);
    return target;
}

void sb_push_target_split(struct sb_push_target *target) {
    struct sb_strings rest = {0};
    sb_release_split(&target->tags, &target->release, &rest);
    sb_strings_free(&target->tags);
    target->tags = rest;
}

void sb_push_targets_free(struct sb_push_targets *targets) {
    for (size_t i = 0; i < targets->n; i++) {
        sb_reference_free(&targets->v[i].repository);
        sb_strings_free(&targets->v[i].tags);
    }
    free(targets->v);
    *targets = (struct sb_push_targets){0};
}

/* ---- pushing ---- */

struct sb_pusher *sb_cli_pusher_new(const struct sb_cli_push *push, struct sb_registry *registry,
                                    struct sb_store *store, const struct sb_push_target *target,
                                    struct sb_progress *progress) {
    const struct sb_push_options options = {.compression = push->compression,
                                            .format = push->format,
                                            .ecr = target->ecr,
                                            .notify = sb_progress_transfer,
                                            .data = progress};
    return sb_pusher_new(registry, store, &target->repository, &options);
}

static json_t *names_json(const struct sb_strings *names) {
    json_t *list = json_array();
    for (size_t i = 0; i < names->n; i++)
        json_array_append_new(list, json_string(names->v[i]));
    return list;
}

/* Floating tags that stay where they are: "by" names the higher release, if it is known. */
static json_t *kept_json(const struct sb_push_result *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->kept.n; i++) {
        const char *by = r->kept_by.v[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s*}", "tag", r->kept.v[i], "by", *by ? by : NULL));
    }
    return list;
}

static json_t *facts_of(const struct sb_push_target *target, const struct sb_push_result *r,
                        size_t blobs, double seconds) {
    sb_autofree char *name = sb_reference_name(&target->repository);
    json_t *facts = json_pack(
        "{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:b, s:I, s:I, s:I, s:I, s:f}", "repository", name,
        "digest", sb_digest_text(&r->manifest.digest).text, "media_type", r->manifest.media_type,
        "size", (json_int_t)r->manifest.size, "tags", names_json(&r->tags), "overtaken",
        names_json(&r->overtaken), "kept", kept_json(r), "unchanged", r->unchanged, "blobs",
        (json_int_t)blobs, "uploaded", (json_int_t)r->uploaded, "mounted", (json_int_t)r->mounted,
        "sent", (json_int_t)r->sent, "seconds", seconds);
    if (sb_release_has_tags(&target->release)) {
        sb_autofree char *own = sb_release_tag(&target->release);
        json_object_set_new(facts, "release", json_string(own));
    }
    if (r->dropped.n > 0)
        json_object_set_new(facts, "platforms_dropped", names_json(&r->dropped));
    if (r->unlisted)
        json_object_set_new(facts, "unlisted", sb_json_from_text(r->unlisted));
    if (r->replaced)
        json_object_set_new(facts, "replaced",
                            json_string(sb_digest_text(&r->replaced_digest).text));
    return facts;
}

int sb_cli_push_image(const struct sb_cli_push *push, struct sb_registry *registry,
                      struct sb_store *store, const struct sb_image *image,
                      const struct sb_push_target *target, struct sb_pusher *pusher,
                      struct sb_progress *progress, json_t *facts, struct sb_error *err) {
    struct sb_push_result result;
    const struct sb_push_tags tags = {&target->tags, &target->release};
    double start = sb_clock_seconds();
    if (!pusher)
        pusher = sb_cli_pusher_new(push, registry, store, target, progress);
    int rc = sb_pusher_finish(pusher, image, &tags, &result, err);
    sb_pusher_free(pusher);
    if (rc == 0)
        json_array_append_new(
            facts, facts_of(target, &result, image->layer_count + 1, sb_clock_seconds() - start));
    sb_push_result_free(&result);
    return rc;
}

/* ---- several platforms ---- */

static void set_names(json_t *facts, const char *key, const struct sb_strings *names) {
    if (names->n > 0)
        json_object_set_new(facts, key, names_json(names));
}

static void add_index_facts(json_t *facts, const struct sb_push_index *what,
                            const struct sb_push_result *r) {
    json_t *platforms = json_array();
    for (size_t i = 0; i < what->count; i++) {
        sb_autoplatform struct sb_platform platform;
        if (!sb_platform_read(what->parts[i].image->config, &platform))
            continue;
        sb_autofree char *text = sb_platform_text(&platform);
        json_array_append_new(platforms, json_string(text));
    }
    json_object_set_new(facts, "platforms", platforms);
    set_names(facts, "platforms_beside", &r->beside);
    if (what->removed && what->removed->n > 0) { /* as was asked */
        json_object_del(facts, "platforms_dropped");
        set_names(facts, "platforms_removed", &r->dropped);
    }
    set_names(facts, "platforms_overtaken", &r->overtaken_platforms);
    set_names(facts, "lost", &r->lost);
    if (r->adopted)
        json_object_set_new(facts, "adopted", json_string(r->adopted));
    if (r->replaced_platform)
        json_object_set_new(facts, "replaced_platform", json_string(r->replaced_platform));
}

int sb_cli_push_index(const struct sb_cli_push *push, struct sb_registry *registry,
                      struct sb_store *store, struct sb_push_index *what,
                      const struct sb_push_target *target, struct sb_progress *progress,
                      json_t *facts, struct sb_error *err) {
    struct sb_push_result result;
    const struct sb_push_tags tags = {&target->tags, &target->release};
    double start = sb_clock_seconds();
    size_t blobs = 0;
    what->registry = registry;
    what->store = store;
    what->repository = &target->repository;
    for (size_t i = 0; i < what->count; i++) {
        struct sb_push_part *part = &what->parts[i];
        if (!part->pusher)
            part->pusher = sb_cli_pusher_new(push, registry, store, target, progress);
        blobs += part->image->layer_count + 1;
    }
    int rc = sb_push_index(what, &tags, &result, err);
    if (rc == 0) {
        json_t *fact = facts_of(target, &result, blobs, sb_clock_seconds() - start);
        add_index_facts(fact, what, &result);
        json_array_append_new(facts, fact);
    }
    sb_push_result_free(&result);
    return rc;
}

/* ---- for people ---- */

/* "a, b"; "" of none. */
static void list_names(const json_t *names, struct sb_buf *out) {
    sb_buf_reset(out);
    for (size_t i = 0; i < json_array_size(names); i++)
        sb_buf_addf(out, "%s%s", i ? ", " : "", json_string_value(json_array_get(names, i)));
}

static void warn_of(const json_t *fact, const char *key, const char *repository, const char *before,
                    const char *after) {
    sb_autobuf struct sb_buf names = {0};
    list_names(json_object_get(fact, key), &names);
    if (names.len == 0)
        return;
    sb_autofree char *text =
        sb_format("%s: %s%s%s", repository, before, sb_buf_text(&names), after);
    sb_cli_print_warning(text);
}

static void print_index(const json_t *fact, const char *repository) {
    sb_autobuf struct sb_buf names = {0};
    const char *adopted = sb_json_string(fact, "adopted", NULL);
    list_names(json_object_get(fact, "platforms"), &names);
    if (names.len > 0)
        sb_cli_say("  for %s\n", sb_buf_text(&names));
    list_names(json_object_get(fact, "platforms_beside"), &names);
    if (names.len > 0)
        sb_cli_say("  beside %s, which the index has already\n", sb_buf_text(&names));
    list_names(json_object_get(fact, "platforms_removed"), &names);
    if (names.len > 0)
        sb_cli_say("  no longer for %s\n", sb_buf_text(&names));
    if (adopted)
        sb_cli_say("  the image that was there alone is now the index's for %s\n", adopted);
    warn_of(fact, "platforms_dropped", repository, "there is no image any more for ", "");
    warn_of(fact, "platforms_overtaken", repository, "for ",
            " another push put its image at the same time, and came last");
    warn_of(fact, "lost", repository,
            "left out of the index, as they are no images and not there: ", "");
}

static void print_kept(const json_t *fact, const char *repository) {
    const char *unlisted = sb_json_string(fact, "unlisted", NULL);
    sb_autobuf struct sb_buf unknown = {0};
    size_t i;
    json_t *kept;
    json_array_foreach (json_object_get(fact, "kept"), i, kept) {
        const char *tag = sb_json_string(kept, "tag", ""), *by = sb_json_string(kept, "by", NULL);
        if (by)
            sb_cli_say("  %s:%s stays: %s is a higher release\n", repository, tag, by);
        else
            sb_buf_addf(&unknown, "%s%s", unknown.len ? ", " : "", tag);
    }
    if (unknown.len == 0)
        return;
    sb_autofree char *text =
        sb_format("%s: %s stay where they are: whether there is a higher release can't be told: "
                  "%s; --tag moves a tag in any case",
                  repository, sb_buf_text(&unknown), unlisted ? unlisted : "");
    sb_cli_print_warning(text);
}

/* What is other than was hoped for. */
static void print_surprises(const json_t *fact, const char *repository) {
    const char *replaced = sb_json_string(fact, "replaced", NULL);
    size_t i;
    json_t *tag;
    const char *platform = sb_json_string(fact, "replaced_platform", NULL);
    print_kept(fact, repository);
    if (replaced) {
        sb_autofree char *text =
            sb_format("%s:%s named another image%s%s until now, %s", repository,
                      sb_json_string(fact, "release", ""), platform ? " for " : "",
                      platform ? platform : "", replaced);
        sb_cli_print_warning(text);
    }
    json_array_foreach (json_object_get(fact, "overtaken"), i, tag) {
        sb_autofree char *text = sb_format("%s:%s names another image: a push at the same time "
                                           "came last",
                                           repository, json_string_value(tag));
        sb_cli_print_warning(text);
    }
}

static void print_one(const json_t *fact) {
    json_int_t uploaded = sb_json_integer(fact, "uploaded", 0);
    json_int_t mounted = sb_json_integer(fact, "mounted", 0);
    const char *repository = sb_json_string(fact, "repository", "");
    if (json_is_true(json_object_get(fact, "unchanged")))
        sb_cli_say("%s: is there already\n", repository);
    else
        sb_cli_say(
            "%s: %lld blobs sent (%s), %lld mounted, %lld there already, in %s\n", repository,
            (long long)uploaded, sb_text_size((uint64_t)sb_json_integer(fact, "sent", 0)).text,
            (long long)mounted, (long long)(sb_json_integer(fact, "blobs", 0) - uploaded - mounted),
            sb_text_seconds(json_real_value(json_object_get(fact, "seconds"))).text);
    size_t i;
    json_t *tag;
    json_array_foreach (json_object_get(fact, "tags"), i, tag) {
        sb_cli_say("  %s:%s\n", repository, json_string_value(tag));
    }
    print_index(fact, repository);
    print_surprises(fact, repository);
}

int sb_cli_push_print(const json_t *facts, bool names, struct sb_error *err) {
    size_t i;
    json_t *fact;
    json_array_foreach (facts, i, fact) {
        print_one(fact);
        if (names)
            sb_cli_print("%s@%s\n", sb_json_string(fact, "repository", ""),
                         sb_json_string(fact, "digest", ""));
    }
    return sb_cli_flush(err);
}
