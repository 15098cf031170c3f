#include "builder/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/lockfile.h"
#include "layers/import.h"
#include "registry/pull.h"

void sb_source_free(struct sb_source *source) {
    sb_image_free(&source->image);
    free(source->pinned);
    free(source->reference);
    *source = (struct sb_source){0};
}

int sb_source_failed(const struct sb_recipe *recipe, struct sb_error *err) {
    const struct sb_place *place = &recipe->from.place;
    if (err->code == SB_E_RECIPE)
        return -1; /* of the lock file, whose place it names */
    if (err->code == SB_E_USAGE)
        err->code = SB_E_RECIPE;
    return sb_error_context(err, "%s:%d:%d: the %s %s", place->file, place->line, place->column,
                            recipe->kind == SB_RECIPE_IMAGE ? "image" : "base", recipe->from.image);
}

/* ---- of this machine ---- */

static int import(struct sb_store *store, const char *name, const struct sb_platform *platform,
                  struct sb_descriptor *out, struct sb_error *err) {
    if (sb_image_import_for(store, name, platform, out, err) == 0)
        return 0;
    if (err->code == SB_E_NOT_FOUND && !err->hint[0])
        sb_error_hint(err, "write it as oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or "
                           "docker-archive:FILE[:TAG]");
    return -1;
}

static bool has_near_name(const struct sb_error *err) {
    return !strncmp(err->hint, "did you mean", strlen("did you mean"));
}

int sb_source_find_for(struct sb_store *store, const char *name, const struct sb_platform *platform,
                       struct sb_descriptor *out, struct sb_error *err) {
    if (sb_import_is_source(name))
        return import(store, name, platform, out, err);
    int found = sb_store_resolve(store, name, out, err);
    if (found < 0 && err->code == SB_E_NOT_FOUND && sb_reference_has_host(name) &&
        !has_near_name(err))
        sb_error_hint(err, "`sbuild pull %s` brings it here", name);
    return found;
}

int sb_source_find(struct sb_store *store, const char *name, struct sb_descriptor *out,
                   struct sb_error *err) {
    return sb_source_find_for(store, name, NULL, out, err);
}

/* No index may have been asked for it: then its config says what it is for. */
static int check_platform(const struct sb_source_site *site, const struct sb_image *image,
                          struct sb_error *err) {
    const struct sb_platform *wanted = site->platform ? site->platform : sb_platform_own();
    const char *its = sb_json_string(image->config, "architecture", "");
    if (sb_platform_fits(wanted, its))
        return 0;
    sb_autoplatform struct sb_platform read = {0};
    sb_autofree char *text = sb_platform_text(wanted);
    sb_autofree char *made = sb_platform_read(image->config, &read)
                                 ? sb_platform_text(&read)
                                 : sb_strdup(sb_text_shown(its).text);
    return sb_fail(err, SB_E_USAGE, "it is made for %s, and what needs it is built for %s", made,
                   text);
}

static int load(const struct sb_source_site *site, const struct sb_descriptor *descriptor,
                const char *name, struct sb_source *out, struct sb_error *err) {
    if (sb_image_load_for(site->store, descriptor, site->platform, &out->image, err) == 0 &&
        check_platform(site, &out->image, err) == 0)
        return 0;
    sb_source_free(out);
    return sb_error_context(err, "the image %s", name);
}

static bool names_digest(const char *name) {
    return !strncmp(name, "sha256:", strlen("sha256:"));
}

/* Only what can't be anything else is looked for in the store first, or nowhere else. */
static bool may_be_in_store(const char *name) {
    return names_digest(name) || !sb_reference_has_host(name);
}

/* ---- in a registry ---- */

static bool is_unreachable(const struct sb_error *err) {
    return err->code == SB_E_NETWORK && err->reason != SB_REASON_NONE;
}

int sb_source_resolve(const struct sb_source_site *site, const struct sb_reference *reference,
                      struct sb_digest *out, struct sb_error *err) {
    struct sb_remote *remote =
        sb_remote_open(site->registry, reference->host, reference->repository);
    struct sb_descriptor found;
    int there = sb_remote_manifest_head(remote, reference->tag, &found, err);
    if (there > 0)
        *out = found.digest;
    sb_remote_free(remote);
    return there;
}

/* Whether a name was pulled before: then what it names now is perhaps here. */
static bool was_pulled(struct sb_store *store, const char *name) {
    struct sb_descriptor ignored;
    return sb_store_resolve(store, name, &ignored, NULL) == 0;
}

/* The digest that a name stands for: its own, that of the lock file, that of the registry. A name
 * that is new here keeps none: its manifest has to be fetched, which tells the digest as well. 1,
 * or 0 when the registry has no such image. */
static int pin(const struct sb_source_site *site, const struct sb_recipe *recipe,
               struct sb_reference *reference, struct sb_source *out, bool *out_locked,
               struct sb_error *err) {
    *out_locked = reference->has_digest;
    if (reference->has_digest)
        return 1;
    sb_autofree char *text = sb_reference_text(reference);
    struct sb_lockfile lock;
    if (sb_lockfile_read(recipe->project, recipe->path, &lock, err) < 0)
        return -1;
    const char *locked = sb_lockfile_find(&lock, SB_LOCKED_IMAGE, text);
    int found = 1;
    if (locked)
        sb_digest_parse(locked, &reference->digest, NULL);
    *out_locked = reference->has_digest = locked != NULL;
    if (!locked && was_pulled(site->store, text)) {
        found = sb_source_resolve(site, reference, &reference->digest, err);
        reference->has_digest = found > 0;
    }
    if (!locked && lock.exists)
        out->reference = sb_steal(text);
    sb_lockfile_free(&lock);
    return found;
}

static int pull(const struct sb_source_site *site, const struct sb_recipe *recipe, bool by_lock,
                struct sb_reference *reference, struct sb_descriptor *out, struct sb_error *err) {
    bool own = !site->platform || sb_platform_compare(site->platform, sb_platform_own()) == 0;
    const struct sb_pull_options options = {
        .platform = site->platform, .lazy = true, .tag_own = true, .keep_tag = !own};
    struct sb_pulled pulled;
    if (sb_pull_image(site->registry, site->store, reference, &options, &pulled, err) < 0) {
        if (pulled.absent && by_lock)
            sb_error_hint(err,
                          "the lock file has this digest; `sbuild lock --update %s` takes what "
                          "the tag is now",
                          recipe->path);
        if (!pulled.absent || reference->has_digest)
            return -1;
        sb_error_clear(err);
        return 0;
    }
    *out = pulled.image;
    reference->digest = pulled.named.digest;
    reference->has_digest = true;
    return 1;
}

/* 1, or 0 when the registry has no such image. */
static int load_remote(const struct sb_source_site *site, const struct sb_recipe *recipe,
                       struct sb_reference *reference, struct sb_source *out,
                       struct sb_error *err) {
    struct sb_descriptor image;
    bool own = reference->has_digest, locked;
    int found = pin(site, recipe, reference, out, &locked, err);
    if (found > 0)
        found = pull(site, recipe, locked && !own, reference, &image, err);
    if (found < 0 && !locked && is_unreachable(err))
        sb_error_hint(err, "`sbuild lock %s`, once, makes builds ask for nothing that is here",
                      recipe->path);
    if (found <= 0) {
        free(sb_steal(out->reference));
        return found;
    }
    sb_autofree char *pinned = sb_reference_text(reference);
    if (load(site, &image, pinned, out, err) < 0)
        return -1;
    out->pinned = sb_steal(pinned);
    return 1;
}

/* ---- either ---- */

static int is_locked(const struct sb_recipe *recipe, const struct sb_reference *reference,
                     struct sb_error *err) {
    sb_autofree char *text = sb_reference_text(reference);
    struct sb_lockfile lock;
    if (sb_lockfile_read(recipe->project, recipe->path, &lock, err) < 0)
        return -1;
    bool locked = sb_lockfile_find(&lock, SB_LOCKED_IMAGE, text) != NULL;
    sb_lockfile_free(&lock);
    return locked;
}

/* Also when it is not clear which image of the store is meant: that is said when it is loaded. */
static bool is_in_store(struct sb_store *store, const char *name) {
    struct sb_error own = {0};
    struct sb_descriptor ignored;
    return sb_store_resolve(store, name, &ignored, &own) == 0 || own.code != SB_E_NOT_FOUND ||
           !strncmp(own.hint, "name one of", strlen("name one of"));
}

int sb_source_reference(const struct sb_source_site *site, const struct sb_recipe *recipe,
                        struct sb_reference *out, struct sb_error *err) {
    const char *name = recipe->from.image;
    *out = (struct sb_reference){0};
    if (recipe->from.kind != SB_FROM_IMAGE || sb_import_is_source(name) || names_digest(name))
        return 0;
    if (sb_reference_parse(name, out, err) < 0)
        return may_be_in_store(name) ? 0 : -1; /* names of the store may be any */
    if (!out->tag && !out->has_digest)
        out->tag = sb_strdup("latest");
    int is_remote = may_be_in_store(name) ? is_locked(recipe, out, err) : 1;
    if (is_remote == 0)
        is_remote = !is_in_store(site->store, name);
    if (is_remote <= 0)
        sb_reference_free(out);
    return is_remote;
}

/* The name is in the store neither, which is what may have been meant: its nearest name is the hint
 * of more use. */
static int explain_missing(struct sb_store *store, const char *name, struct sb_error *err) {
    struct sb_error own = {0};
    struct sb_descriptor ignored;
    if (!may_be_in_store(name) || sb_store_resolve(store, name, &ignored, &own) == 0)
        return -1;
    if (has_near_name(&own))
        sb_error_hint(err, "%s", own.hint);
    else
        sb_error_hint(err, "build its recipe first; or see that the registry can be reached");
    return sb_error_context(err, "it is not in the store %s, nor had from a registry",
                            sb_store_path(store));
}

static int load_here(const struct sb_source_site *site, const char *name, struct sb_source *out,
                     struct sb_error *err) {
    struct sb_descriptor descriptor;
    if (sb_source_find_for(site->store, name, site->platform, &descriptor, err) < 0)
        return -1;
    return load(site, &descriptor, name, out, err);
}

/* The registry has no such image: then a tag of the store may have that very name. */
static int load_instead(const struct sb_source_site *site, const char *name, struct sb_source *out,
                        struct sb_error *err) {
    struct sb_descriptor descriptor;
    if (sb_store_resolve(site->store, name, &descriptor, NULL) == 0)
        return load(site, &descriptor, name, out, err);
    sb_fail(err, SB_E_NETWORK, "the registry has no image %s", name);
    return explain_missing(site->store, name, err);
}

static int load_source(const struct sb_source_site *site, const struct sb_recipe *recipe,
                       struct sb_source *out, struct sb_error *err) {
    const char *name = recipe->from.image;
    struct sb_reference reference;
    *out = (struct sb_source){0};
    int is_remote = sb_source_reference(site, recipe, &reference, err);
    if (is_remote <= 0)
        return is_remote < 0 ? -1 : load_here(site, name, out, err);
    int found = load_remote(site, recipe, &reference, out, err);
    sb_reference_free(&reference);
    if (found == 0)
        return load_instead(site, name, out, err);
    if (found < 0) {
        explain_missing(site->store, name, err);
        sb_source_free(out);
    }
    return found < 0 ? -1 : 0;
}

int sb_source_load(const struct sb_source_site *site, const struct sb_recipe *recipe,
                   struct sb_source *out, struct sb_error *err) {
    return load_source(site, recipe, out, err) < 0 ? sb_source_failed(recipe, err) : 0;
}
