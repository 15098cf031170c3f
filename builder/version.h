/*
 * builder/version: which tags an image of a recipe gets.
 *
 * In two parts: what can be wrong with versions, git and --tag is said before anything is built;
 * the tags themselves depend on the finished image and on what the store holds then.
 */
#ifndef SB_BUILDER_VERSION_H
#define SB_BUILDER_VERSION_H

#include "base/error.h"
#include "builder/request.h"
#include "builder/tags.h"
#include "context/git.h"
#include "document/recipe.h"
#include "layers/image.h"
#include "layers/store.h"
#include "registry/release.h"

struct sb_version {
    const struct sb_recipe *recipe;
    const struct sb_build_request *request;
    struct sb_release release; /* what may be done with its version, if it has one */
    bool asked_git;
    struct sb_git git; /* as it was when the build began */
};

/* Plain data; recipe and request must outlive it. */
int sb_version_find(struct sb_store *store, const struct sb_recipe *recipe,
                    const struct sb_build_request *request, struct sb_version *out,
                    struct sb_error *err);

/* What an image is to say of its version, as its tags don't, and why they don't, for people: "no
 * release: 3 commits after v1.2.3". NULL, both, where there is nothing to say; the caller's. */
void sb_version_say(const struct sb_version *version, char **out_label, char **out_why);

/* Tags by the recipe's schemes and the request's --tag and --version; just latest when neither asks
 * for any. An image that has a date tag in the store keeps that one: it tells when the image was
 * built, not when it was asked for again. */
struct sb_version_tags {
    struct sb_strings names; /* in the store: "backend:v1.4.2", and whole names of --tag */
    struct sb_strings told;  /* for a registry, beside those of the release: "main-abc123f" */
};
int sb_version_tags(struct sb_store *store, const struct sb_version *version,
                    const struct sb_descriptor *image, struct sb_version_tags *out,
                    struct sb_error *err);
void sb_version_tags_free(struct sb_version_tags *tags);

/* The full names of --tag alone: for what is no whole image of the recipe. */
int sb_version_only_given(const struct sb_recipe *recipe, const struct sb_build_request *request,
                          struct sb_strings *out, struct sb_error *err);

#endif
