/*
 * builder/version: which tags an image of a recipe gets.
 *
 * In two parts: what can be wrong with versions, git and --tag is said before anything is built;
 * the tags themselves depend on the finished image and on what the store holds then.
 */
#ifndef SB_BUILDER_VERSION_H
#define SB_BUILDER_VERSION_H

#include "base/error.h"
#include "builder/build.h"
#include "builder/git.h"
#include "builder/recipe.h"
#include "builder/tags.h"
#include "layers/image.h"
#include "layers/store.h"

struct sb_version {
    const struct sb_recipe *recipe;
    const struct sb_build_request *request;
    bool has_semver;
    struct sb_semver semver;
    bool asked_git;
    struct sb_git git; /* as it was when the build began */
};

/* Plain data; recipe and request must outlive it. */
int sb_version_find(struct sb_store *store, const struct sb_recipe *recipe,
                    const struct sb_build_request *request, struct sb_version *out,
                    struct sb_error *err);

/* Full names ("backend:v1.4.2") by the recipe's schemes and the request's --tag and --version; just
 * "NAME:latest" when neither asks for any. An image that has a date tag in the store keeps that
 * one: it tells when the image was built, not when it was asked for again. */
int sb_version_tags(struct sb_store *store, const struct sb_version *version,
                    const struct sb_image *image, struct sb_strings *out, struct sb_error *err);

/* The full names of --tag alone: for what is no whole image of the recipe. */
int sb_version_only_given(const struct sb_recipe *recipe, const struct sb_build_request *request,
                          struct sb_strings *out, struct sb_error *err);

#endif
