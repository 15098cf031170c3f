/*
 * builder/settings: what belongs to a machine or a project rather than to an image: sbuild.yaml
 * beside the recipe or above it, ~/.config/sbuild/config.yaml, /etc/sbuild/config.yaml, nearest
 * first; flags and environment win over all. Checked like recipes, by tables of keys.
 */
#ifndef SB_BUILDER_SETTINGS_H
#define SB_BUILDER_SETTINGS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "registry/remote.h"

struct sb_settings {
    char *store;   /* store: DIR; NULL: the default place */
    char *runtime; /* runtime: runc | crun | PATH; NULL: found by trying */
    int64_t jobs;  /* jobs: N; 0: one a core */
    uint64_t
        store_limit;   /* store_limit: 50G; bytes, 0: none (used by `prune` without --max-size) */
    uint64_t patience; /* patience: 3m; seconds */
    bool has_patience;
    char *debian_mirror,
        *ubuntu_mirror; /* mirrors: {debian: URL, ubuntu: URL}: where to fetch from; never
                           written into an image. NULL: the distribution's own */
    char *pip_index;    /* mirrors: {pip: URL} */
    struct sb_registry_hosts registries; /* registries: {HOST: {…}}; the nearest file that names a
                                            host has all of it; files are absolute */
    struct sb_strings cache_from;        /* cache: {from: [REPOSITORY…], to: REPOSITORY} */
    bool cache_from_given;               /* be it that the list is empty */
    char *cache_to;
};

/* Looks for files from the recipe's directory upwards and in the user's and the machine's places;
 * recipe_path may be NULL (then from the working directory). Missing files are fine. */
int sb_settings_load(const char *recipe_path, struct sb_settings *out, struct sb_error *err);
void sb_settings_free(struct sb_settings *settings);

/* The store to use: flag (may be NULL), SBUILD_STORE, settings, else the default of DESIGN.md
 * section
 * 4. The caller's to free. */
char *sb_settings_store(const struct sb_settings *settings, const char *flag);

/* What requests to registries need; settings must outlive what is made with it. */
void sb_settings_registry(const struct sb_settings *settings, struct sb_registry_options *out);

#endif
