/*
 * What a build gives: its images, their tests, and what they are called.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/build_private.h"
#include "builder/test.h"
#include "builder/version.h"
#include "document/image_config.h"
#include "layers/descriptor.h"
#include "layers/image_index.h"

/* ---- images ---- */

static bool is_in_chain(const struct sb_target *top, const struct sb_target *target) {
    while (top && top != target)
        top = top->base;
    return top != NULL;
}

/* What is told of targets that others take something from; of images that no steps were added to,
 * nothing. */
static void collect_needed(struct sb_build *build, const struct sb_target *top,
                           struct sb_build_image *image) {
    size_t count = 0;
    sb_graph_mark(build, top);
    for (size_t i = 0; i < build->target_count; i++)
        count += build->targets[i]->result_count;
    const struct sb_layer_result **all = sb_alloc((count + 1) * sizeof *all);
    count = 0;
    for (size_t i = 0; i < build->target_count; i++) {
        const struct sb_target *n = build->targets[i];
        for (size_t k = n->base_count; n->kept && !is_in_chain(top, n) && k < n->result_count; k++)
            all[count++] = &n->results[k];
    }
    free((void *)image->needed);
    image->needed = all;
    image->needed_count = count;
}

static void collect_image(struct sb_build *build, const struct sb_build_wanted *wanted) {
    struct sb_build_image *result = wanted->result;
    struct sb_target *target = wanted->target;
    if (!target->started)
        return;
    collect_needed(build, target, result);
    result->image = target->image;       /* shared: the target frees it */
    if (target->state != SB_TARGET_DONE) /* it is its base's, if any */
        result->image.descriptor = (struct sb_descriptor){0};
    result->shown = target->shown_platform;
    result->base = sb_target_root(target)->pinned;
    size_t count = 0;
    for (const struct sb_target *n = target; n; n = n->base)
        count += n->result_count;
    const struct sb_layer_result **all = sb_alloc((count + 1) * sizeof *all);
    size_t at = count;
    for (const struct sb_target *n = target; n; n = n->base)
        for (size_t i = n->result_count; i-- > 0;)
            all[--at] = &n->results[i];
    free((void *)result->layers);
    result->layers = all;
    result->layer_count = count;
}

void sb_build_collect(struct sb_build *build) {
    for (size_t i = 0; i < build->wanted_count; i++)
        collect_image(build, &build->wanted[i]);
}

/* ---- what they are called ---- */

/* The image with a label that says its version: one that others stand on has none. */
static int label_image(struct sb_build *build, struct sb_build_wanted *wanted, const char *version,
                       struct sb_error *err) {
    struct sb_image *labelled = &wanted->labelled;
    sb_image_copy(labelled, &wanted->result->image);
    sb_image_say_version(labelled, &wanted->result->recipe->image, version);
    if (sb_image_save(build->shop.store, labelled, build->shop.epoch, err) < 0)
        return -1;
    wanted->result->image = *labelled;
    return 0;
}

static int label_images(struct sb_build *build, size_t of, struct sb_error *err) {
    const char *version = build->results[of].version;
    for (size_t i = 0; i < build->wanted_count && version; i++)
        if (build->wanted[i].of == of && label_image(build, &build->wanted[i], version, err) < 0)
            return -1;
    return 0;
}

static int put_images(const struct sb_build_result *result, struct sb_image_index *index,
                      struct sb_error *err) {
    for (size_t i = 0; i < result->image_count; i++)
        if (sb_image_index_put(index, &result->images[i].image, err) < 0)
            return -1;
    return 0;
}

/* What tags name: the image, or an index of all. */
static int describe(struct sb_build *build, struct sb_build_result *result, struct sb_error *err) {
    struct sb_image_index index = {0};
    result->descriptor = result->images[0].image.descriptor;
    if (!result->is_index)
        return 0;
    int failed = put_images(result, &index, err) < 0 ||
                 sb_image_index_save(build->shop.store, &index, err) < 0;
    if (!failed)
        result->descriptor = index.descriptor;
    sb_image_index_free(&index);
    return failed ? -1 : 0;
}

/* Of an index that some of a recipe's images are to join. */
struct joining {
    struct sb_build *build;
    struct sb_build_result *result;
    bool first;
};

/* Leaves images that the recipe is for: those of others would never be replaced. */
static void keep_named(struct sb_image_index *index, const struct sb_strings *platforms) {
    for (size_t i = index->n; i-- > 0;) {
        const struct sb_platform *its = &index->v[i].platform;
        sb_autofree char *text = its->os ? sb_platform_text(its) : NULL;
        struct sb_platform gone = {0};
        if (!text || sb_strings_has(platforms, text))
            continue;
        sb_platform_copy(&gone, its);
        sb_image_index_remove(index, &gone);
        sb_platform_free(&gone);
        i = i < index->n ? i : index->n;
    }
}

/* What a name stood for before: an index; or one image, from before the recipe had several. */
static int load_before(struct sb_build *build, const struct sb_descriptor *now,
                       struct sb_image_index *out, struct sb_error *err) {
    struct sb_image image;
    if (sb_media_kind(now->media_type) == SB_MEDIA_KIND_INDEX)
        return sb_image_index_load(build->shop.store, now, out, err);
    if (sb_image_peek(build->shop.store, now, &image, err) < 0)
        return -1;
    struct sb_error of_none = {0};
    sb_image_index_put(out, &image, &of_none);
    sb_image_free(&image);
    return 0;
}

static int join(void *data, const char *name, const struct sb_descriptor *now,
                struct sb_descriptor *out, struct sb_error *err) {
    struct joining *j = data;
    struct sb_image_index index = {0};
    struct sb_error lost = {0};
    if (now && load_before(j->build, now, &index, &lost) < 0)
        sb_workshop_warn(&j->build->shop,
                         "%s: what it stood for is not there any more (%s), and goes", name,
                         lost.message);
    keep_named(&index, &j->result->recipe->platforms);
    int failed = put_images(j->result, &index, err) < 0 ||
                 sb_image_index_save(j->build->shop.store, &index, err) < 0;
    *out = index.descriptor;
    if (!failed && j->first)
        j->result->descriptor = *out;
    j->first = false;
    sb_image_index_free(&index);
    return failed ? -1 : 0;
}

/* Whether images of platforms that were not asked for stay where they are. */
static bool joins(const struct sb_build_result *result) {
    return result->is_index && result->image_count < result->recipe->platforms.n;
}

static bool has_images(struct sb_build *build, const struct sb_descriptor *tagged,
                       const struct sb_build_result *result) {
    struct sb_image_index index;
    bool has = sb_media_kind(tagged->media_type) == SB_MEDIA_KIND_INDEX &&
               sb_image_index_load(build->shop.store, tagged, &index, NULL) == 0;
    if (!has)
        return false;
    for (size_t i = 0; i < result->image_count && has; i++) {
        const struct sb_index_entry *entry =
            sb_image_index_find(&index, result->images[i].platform);
        has = entry && sb_digest_equal(&entry->descriptor.digest,
                                       &result->images[i].image.descriptor.digest);
    }
    sb_image_index_free(&index);
    return has;
}

/* The index that these images are in already, under a tag of the recipe: by that it is known when
 * they were built. Else that of them alone. */
static struct sb_descriptor find_joined(struct sb_build *build,
                                        const struct sb_build_result *result) {
    struct sb_tagged_list tags = {0};
    struct sb_descriptor found = result->descriptor;
    size_t n = strlen(result->recipe->name);
    bool known = !joins(result) || sb_store_tags(build->shop.store, &tags, NULL) < 0;
    for (size_t i = 0; i < tags.n && !known; i++) {
        const struct sb_tagged *tag = &tags.v[i];
        known = !strncmp(tag->name, result->recipe->name, n) && tag->name[n] == ':' &&
                has_images(build, &tag->descriptor, result);
        found = known ? tag->descriptor : found;
    }
    sb_tagged_list_free(&tags);
    return found;
}

static int set_tags(struct sb_build *build, struct sb_build_result *result, struct sb_error *err) {
    if (!joins(result) || build->shop.request->until)
        return sb_store_tag(build->shop.store, &result->tags, &result->descriptor, err);
    struct joining joining = {build, result, true};
    return sb_store_tag_chosen(build->shop.store, &result->tags, join, &joining, err);
}

static int name_result(struct sb_build *build, size_t of, const struct sb_version *version,
                       struct sb_error *err) {
    struct sb_build_result *result = &build->results[of];
    struct sb_version_tags tags;
    bool partial = build->shop.request->until || build->shop.request->untagged;
    if (!partial) {
        result->release = version->release;
        sb_version_say(version, &result->version, &result->no_release);
        if (label_images(build, of, err) < 0)
            return -1;
    }
    if (describe(build, result, err) < 0)
        return -1;
    if (build->shop.request->untagged)
        return 0;
    if (partial) {
        if (sb_version_only_given(result->recipe, build->shop.request, &result->tags, err) < 0)
            return -1;
    } else {
        struct sb_descriptor known = find_joined(build, result);
        if (sb_version_tags(build->shop.store, version, &known, &tags, err) < 0)
            return -1;
        result->tags = tags.names;
        result->told = tags.told;
    }
    return set_tags(build, result, err);
}

int sb_build_name(struct sb_build *build, const struct sb_version *versions, struct sb_error *err) {
    for (size_t i = 0; i < build->shop.request->recipe_count; i++)
        if (name_result(build, i, &versions[i], err) < 0)
            return -1;
    return 0;
}

/* ---- for whoever asked for them ---- */

static void free_result(struct sb_build_result *result) {
    for (size_t i = 0; i < result->image_count; i++) {
        sb_tests_free_results(&result->images[i]);
        free((void *)result->images[i].layers);
        free((void *)result->images[i].needed);
    }
    free(result->images);
    sb_strings_free(&result->tags);
    sb_strings_free(&result->told);
    free(result->version);
    free(result->no_release);
}

void sb_build_free_results(struct sb_build *build) {
    for (size_t i = 0; i < build->wanted_count; i++)
        sb_image_free(&build->wanted[i].labelled);
    for (size_t i = 0; build->results && i < build->shop.request->recipe_count; i++)
        free_result(&build->results[i]);
    free(build->wanted);
    free(build->results);
}

const struct sb_build_result *sb_build_result(const struct sb_build *build, size_t index) {
    return &build->results[index];
}

bool sb_build_has_layer(const struct sb_build *build, size_t index, size_t image,
                        const struct sb_layer_result *layer) {
    const struct sb_build_image *asked = &build->results[index].images[image];
    for (size_t i = 0; i < build->wanted_count; i++) {
        const struct sb_target *target = build->wanted[i].target;
        while (target && target->recipe != layer->source)
            target = target->base;
        if (build->wanted[i].result == asked)
            return target != NULL;
    }
    return false;
}
