#include "builder/version.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "registry/reference.h"

/* ---- before the build ---- */

static int ask_git(struct sb_store *store, struct sb_version *v, struct sb_error *err) {
    if (v->asked_git)
        return 0;
    v->asked_git = true;
    sb_autofree char *directory = sb_path_dirname(v->recipe->path);
    sb_autofree char *absolute = realpath(directory, NULL);
    const char *path = absolute ? absolute : directory;
    struct sb_digest id = sb_digest_of(path, strlen(path));
    sb_autofree char *memo = sb_format("git/%.32s", sb_digest_hex(&id).text);
    int private_fd = sb_store_private_fd(store);
    mkdirat(private_fd, "git", 0755); /* if that fails, nothing is remembered */
    return sb_git_describe(path, store, memo, &v->git, err);
}

/* --version, the recipe's, or the nearest tag of git. */
static int find_semver(struct sb_store *store, struct sb_version *v, struct sb_error *err) {
    const char *text = v->request->version ? v->request->version : v->recipe->version;
    if (!text) {
        if (ask_git(store, v, err) < 0)
            return -1;
        text = v->git.tag;
    }
    if (!*text) {
        sb_fail(err, SB_E_RECIPE,
                "%s: tags: asks for semver, and there is no version:, no --version and no git tag "
                "of the form v1.2.3",
                v->recipe->path);
        if (v->git.shallow)
            return sb_error_hint(err, "this checkout is shallow, and tags may be missing: run "
                                      "`git fetch --unshallow --tags`");
        return sb_error_hint(err, "add version: 0.1.0 to the recipe, or `git tag v0.1.0`");
    }
    if (!sb_semver_parse(text, &v->semver)) {
        sb_fail(err, v->request->version ? SB_E_USAGE : SB_E_RECIPE,
                "%s: the version %s is not of the form 1.2.3 or 1.2.3-rc.1 (semver.org)",
                v->recipe->path, text);
        return -1;
    }
    v->has_semver = true;
    return 0;
}

static int find_git(struct sb_store *store, struct sb_version *v, struct sb_error *err) {
    if (ask_git(store, v, err) < 0)
        return -1;
    if (v->git.found)
        return 0;
    sb_fail(err, SB_E_RECIPE, "%s: tags: asks for git, and this is no git checkout with a commit",
            v->recipe->path);
    return sb_error_hint(err, "commit something, or leave git out of tags:");
}

static int check_whole_name(const char *name, struct sb_error *err) {
    struct sb_reference reference;
    if (sb_reference_parse(name, &reference, err) < 0)
        return sb_error_context(err, "--tag");
    if (reference.has_digest)
        sb_fail(err, SB_E_USAGE, "--tag %s: a digest is no name to give", name);
    int failed = reference.has_digest ? -1 : 0;
    sb_reference_free(&reference);
    return failed;
}

static int check_tags(const struct sb_strings *tags, struct sb_error *err) {
    for (size_t i = 0; i < tags->n; i++) {
        if (sb_reference_has_host(tags->v[i])) {
            if (check_whole_name(tags->v[i], err) < 0)
                return -1;
            continue;
        }
        if (sb_tag_is_valid(tags->v[i]))
            continue;
        sb_fail(err, SB_E_USAGE, "--tag %s: a tag has up to 128 letters, digits, _ . and -",
                tags->v[i]);
        sb_autofree char *clean = sb_tag_clean(tags->v[i]);
        return *clean ? sb_error_hint(err, "for example --tag %.128s", clean) : -1;
    }
    return 0;
}

/* Of --tag, those that are no mere tags. */
static void add_whole_names(const struct sb_strings *tags, struct sb_strings *out) {
    for (size_t i = 0; i < tags->n; i++) {
        struct sb_reference reference;
        if (!sb_reference_has_host(tags->v[i]) ||
            sb_reference_parse(tags->v[i], &reference, NULL) < 0)
            continue;
        sb_autofree char *name = sb_reference_name(&reference);
        sb_strings_addf(out, "%s:%s", name, reference.tag ? reference.tag : "latest");
        sb_reference_free(&reference);
    }
}

/* Some tags that a registry takes, and some versions, are no names for an image in a store. */
static int check_names(const struct sb_version *v, struct sb_error *err) {
    static const struct sb_strings none;
    sb_autostrings struct sb_strings tags = {0}, names = {0};
    if (v->has_semver)
        sb_tags_semver(&v->semver, &none, &tags);
    for (size_t i = 0; i < v->request->tags.n; i++)
        if (!sb_reference_has_host(v->request->tags.v[i]))
            sb_strings_add(&tags, v->request->tags.v[i]);
    for (size_t i = 0; i < tags.n; i++)
        sb_strings_addf(&names, "%s:%s", v->recipe->name, tags.v[i]);
    add_whole_names(&v->request->tags, &names);
    for (size_t i = 0; i < names.n; i++) {
        if (sb_store_name_valid(names.v[i]))
            continue;
        sb_fail(err, SB_E_USAGE, "%s: no image can have the name %.300s", v->recipe->path,
                names.v[i]);
        return sb_error_hint(err, "between letters and digits may be one of . _ - : @ + / or --, "
                                  "in at most 255 characters in all");
    }
    return 0;
}

int sb_version_find(struct sb_store *store, const struct sb_recipe *recipe,
                    const struct sb_build_request *request, struct sb_version *out,
                    struct sb_error *err) {
    *out = (struct sb_version){.recipe = recipe, .request = request};
    if (check_tags(&request->tags, err) < 0)
        return -1;
    if (((recipe->tags & SB_TAG_SEMVER) || request->version) && find_semver(store, out, err) < 0)
        return -1;
    if (check_names(out, err) < 0)
        return -1;
    return recipe->tags & SB_TAG_GIT ? find_git(store, out, err) : 0;
}

/* ---- after the build ---- */

/* The tags of this name in the store, and whether one of them is a date tag of this very image. */
static int read_existing(struct sb_store *store, const char *name, const struct sb_image *image,
                         struct sb_strings *out, bool *has_date, struct sb_error *err) {
    struct sb_tagged_list all = {0};
    if (sb_store_tags(store, &all, err) < 0)
        return -1;
    size_t n = strlen(name);
    *has_date = false;
    for (size_t i = 0; i < all.n; i++) {
        const struct sb_tagged *t = &all.v[i];
        if (strncmp(t->name, name, n) != 0 || t->name[n] != ':')
            continue;
        const char *tag = t->name + n + 1;
        sb_strings_add(out, tag);
        *has_date =
            *has_date || (sb_tag_is_date(tag) &&
                          sb_digest_equal(&t->descriptor.digest, &image->descriptor.digest));
    }
    sb_tagged_list_free(&all);
    return 0;
}

/* When the image is made: now, or what SOURCE_DATE_EPOCH says. */
static int64_t build_time(void) {
    const char *text = getenv("SOURCE_DATE_EPOCH");
    return text && *text ? strtoll(text, NULL, 10) : (int64_t)time(NULL);
}

int sb_version_tags(struct sb_store *store, const struct sb_version *v,
                    const struct sb_image *image, struct sb_strings *out, struct sb_error *err) {
    sb_autostrings struct sb_strings existing = {0};
    sb_autostrings struct sb_strings tags = {0};
    bool has_date;
    if (read_existing(store, v->recipe->name, image, &existing, &has_date, err) < 0)
        return -1;
    if (v->has_semver)
        sb_tags_semver(&v->semver, &existing, &tags);
    if (v->recipe->tags & SB_TAG_GIT)
        sb_tags_git(&v->git, &tags);
    if ((v->recipe->tags & SB_TAG_DATE) && !has_date)
        sb_tags_date(build_time(), &tags);
    for (size_t i = 0; i < v->request->tags.n; i++)
        if (!sb_reference_has_host(v->request->tags.v[i]))
            sb_strings_add(&tags, v->request->tags.v[i]);
    if (tags.n == 0 && !has_date)
        sb_strings_add(&tags, "latest");
    for (size_t i = 0; i < tags.n; i++)
        sb_strings_addf(out, "%s:%s", v->recipe->name, tags.v[i]);
    add_whole_names(&v->request->tags, out);
    return 0;
}

int sb_version_only_given(const struct sb_recipe *recipe, const struct sb_build_request *request,
                          struct sb_strings *out, struct sb_error *err) {
    const struct sb_version none = {.recipe = recipe, .request = request};
    if (check_tags(&request->tags, err) < 0 || check_names(&none, err) < 0)
        return -1;
    for (size_t i = 0; i < request->tags.n; i++)
        if (!sb_reference_has_host(request->tags.v[i]))
            sb_strings_addf(out, "%s:%s", recipe->name, request->tags.v[i]);
    add_whole_names(&request->tags, out);
    return 0;
}
