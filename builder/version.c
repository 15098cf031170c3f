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
    bool versions =
        (v->recipe->tags & SB_TAG_SEMVER) && !v->recipe->version && !v->request->version;
    return sb_git_describe(path, store, memo, versions, &v->git, err);
}

/* What else there is to do for who wants a version of git. */
static int hint_version(const struct sb_version *v, struct sb_error *err) {
    if (v->git.shallow)
        return sb_error_hint(err, "this checkout is shallow, and tags may be missing: run "
                                  "`git fetch --unshallow --tags`");
    struct sb_semver meant;
    const char *number = v->git.odd + strcspn(v->git.odd, "0123456789");
    if (v->git.odd[0] && sb_semver_parse(number, &meant))
        return sb_error_hint(err,
                             "the tag %.128s is not of that form: say --version %.100s, or "
                             "`git tag v%.100s` on the same commit",
                             v->git.odd, number, number);
    if (v->git.odd[0])
        return sb_error_hint(err,
                             "the tag %.128s is no version by semver.org; add version: 0.1.0 to "
                             "the recipe, or `git tag v0.1.0`",
                             v->git.odd);
    return sb_error_hint(err, "add version: 0.1.0 to the recipe, or `git tag v0.1.0`");
}

static int fail_unknown(const struct sb_version *v, const char *why, struct sb_error *err) {
    sb_fail(err, SB_E_RECIPE,
            "%s: tags: asks for semver, and there is no version:, no --version and %s",
            v->recipe->path, why);
    return hint_version(v, err);
}

static int find_git_version(struct sb_store *store, struct sb_version *v, struct sb_error *err) {
    struct sb_semver tagged;
    struct sb_error own = {0};
    if (ask_git(store, v, &own) < 0) {
        if (err)
            *err = own;
        return own.code != SB_E_NOT_FOUND
                   ? -1
                   : sb_error_context(err,
                                      "%s: tags: asks for semver, there is no version: and no "
                                      "--version, and git can't be asked",
                                      v->recipe->path);
    }
    if (!v->git.checkout)
        return fail_unknown(v, "no git checkout", err);
    if (!v->git.found)
        return fail_unknown(v, "no commit in this git checkout", err);
    if (!sb_semver_parse(v->git.tag, &tagged))
        return fail_unknown(v, "no git tag of the form v1.2.3 on this commit or before it", err);
    v->release = sb_release_of_git(&tagged, v->git.distance, v->git.dirty, v->git.abbreviated);
    return 0;
}

/* --version, the recipe's, or that of git. */
static int find_semver(struct sb_store *store, struct sb_version *v, struct sb_error *err) {
    const char *text = v->request->version ? v->request->version : v->recipe->version;
    if (!text)
        return find_git_version(store, v, err);
    v->release = (struct sb_release){.standing = SB_STANDING_GIVEN, .floats = SB_FLOATS};
    if (sb_semver_parse(text, &v->release.version))
        return 0;
    return sb_fail(err, v->request->version ? SB_E_USAGE : SB_E_RECIPE,
                   "%s: the version %s is not of the form 1.2.3 or 1.2.3-rc.1 (semver.org)",
                   v->recipe->path, text);
}

static int find_git(struct sb_store *store, struct sb_version *v, struct sb_error *err) {
    struct sb_error own = {0};
    if (ask_git(store, v, &own) < 0) {
        if (err)
            *err = own;
        return own.code != SB_E_NOT_FOUND
                   ? -1
                   : sb_error_context(err, "%s: tags: asks for git", v->recipe->path);
    }
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

/* "app:v1" and "team/app" are no mere tags, and no whole names, either. */
static int hint_tag(const char *tag, struct sb_error *err) {
    bool named = strpbrk(tag, ":/") != NULL;
    const char *colon = strrchr(tag, ':');
    sb_autofree char *clean = sb_tag_clean(colon && colon[1] ? colon + 1 : named ? "v1" : tag);
    if (!*clean)
        return -1;
    return named ? sb_error_hint(err,
                                 "the image has the recipe's name: only its tag is given, as in "
                                 "--tag %.128s, or a whole name with a host, as in "
                                 "--tag registry.example.com/team/app:%.128s",
                                 clean, clean)
                 : sb_error_hint(err, "for example --tag %.128s", clean);
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
        return hint_tag(tags->v[i], err);
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
    sb_autoreleasetags struct sb_release_tags release;
    sb_autostrings struct sb_strings names = {0};
    sb_release_decide(&v->release, &none, &release);
    for (size_t i = 0; i < release.set.n; i++)
        sb_strings_addf(&names, "%s:%s", v->recipe->name, release.set.v[i]);
    for (size_t i = 0; i < v->request->tags.n; i++)
        if (!sb_reference_has_host(v->request->tags.v[i]))
            sb_strings_addf(&names, "%s:%s", v->recipe->name, v->request->tags.v[i]);
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

/* ---- what is said ---- */

void sb_version_say(const struct sb_version *v, char **out_label, char **out_why) {
    const struct sb_release *r = &v->release;
    const char *dirty = v->git.dirty ? ", and tracked files differ" : "";
    *out_label = *out_why = NULL;
    if (r->standing != SB_STANDING_AFTER && r->standing != SB_STANDING_CHANGED)
        return;
    *out_label = sb_semver_text(&r->version);
    if (r->standing == SB_STANDING_CHANGED)
        *out_why = sb_format("tracked files differ from %s", v->git.tag);
    else
        *out_why = sb_format("%u commit%s after %s%s%s", v->git.distance,
                             v->git.distance == 1 ? "" : "s", v->git.tag, dirty,
                             v->git.shallow ? "; this checkout is shallow, and nearer tags may be "
                                              "missing: `git fetch --unshallow --tags`"
                                            : "");
}

/* ---- after the build ---- */

/* The tags of this name in the store, and the date tag among them that names this very image. */
static int read_existing(struct sb_store *store, const char *name,
                         const struct sb_descriptor *image, struct sb_strings *out, char **out_date,
                         struct sb_error *err) {
    struct sb_tagged_list all = {0};
    if (sb_store_tags(store, &all, err) < 0)
        return -1;
    size_t n = strlen(name);
    *out_date = NULL;
    for (size_t i = 0; i < all.n; i++) {
        const struct sb_tagged *t = &all.v[i];
        if (strncmp(t->name, name, n) != 0 || t->name[n] != ':')
            continue;
        const char *tag = t->name + n + 1;
        sb_strings_add(out, tag);
        if (!*out_date && sb_tag_is_date(tag) &&
            sb_digest_equal(&t->descriptor.digest, &image->digest))
            *out_date = sb_strdup(tag);
    }
    sb_tagged_list_free(&all);
    return 0;
}

/* When the image is made: now, or what SOURCE_DATE_EPOCH says. */
static int64_t build_time(void) {
    const char *text = getenv("SOURCE_DATE_EPOCH");
    return text && *text ? strtoll(text, NULL, 10) : (int64_t)time(NULL);
}

static void add_told(const struct sb_version *v, bool has_date, struct sb_strings *out) {
    if (v->recipe->tags & SB_TAG_GIT)
        sb_tags_git(&v->git, out);
    if ((v->recipe->tags & SB_TAG_DATE) && !has_date)
        sb_tags_date(build_time(), out);
    for (size_t i = 0; i < v->request->tags.n; i++)
        if (!sb_reference_has_host(v->request->tags.v[i]))
            sb_strings_add(out, v->request->tags.v[i]);
}

/* It has to have some name, and none of a release. */
static void add_fallback(const struct sb_version *v, const char *date, struct sb_strings *out) {
    if (out->n > 0 || sb_release_has_tags(&v->release))
        return;
    if (date)
        sb_strings_add(out, date);
    else if (v->recipe->tags & SB_TAG_SEMVER)
        sb_tags_git(&v->git, out);
    else
        sb_strings_add(out, "latest");
}

static void add_name(const struct sb_version *v, const char *tag, struct sb_strings *out) {
    sb_autofree char *name = sb_format("%s:%s", v->recipe->name, tag);
    if (!sb_strings_has(out, name))
        sb_strings_add(out, name);
}

int sb_version_tags(struct sb_store *store, const struct sb_version *v,
                    const struct sb_descriptor *image, struct sb_version_tags *out,
                    struct sb_error *err) {
    sb_autostrings struct sb_strings existing = {0};
    sb_autoreleasetags struct sb_release_tags release = {0};
    sb_autofree char *date = NULL;
    *out = (struct sb_version_tags){0};
    if (read_existing(store, v->recipe->name, image, &existing, &date, err) < 0)
        return -1;
    if (!(v->recipe->tags & SB_TAG_DATE))
        sb_free_pointer(&date);
    add_told(v, date != NULL, &out->told);
    add_fallback(v, date, &out->told);
    sb_release_decide(&v->release, &existing, &release);
    for (size_t i = 0; i < release.set.n; i++)
        add_name(v, release.set.v[i], &out->names);
    for (size_t i = 0; i < out->told.n; i++)
        if (!date || strcmp(out->told.v[i], date) != 0)
            add_name(v, out->told.v[i], &out->names);
    add_whole_names(&v->request->tags, &out->names);
    return 0;
}

void sb_version_tags_free(struct sb_version_tags *tags) {
    sb_strings_free(&tags->names);
    sb_strings_free(&tags->told);
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
