/*
 * document/settings: what belongs to a machine or a project rather than to an image: sbuild.yaml
 * beside the recipe or above it, ~/.config/sbuild/config.yaml, /etc/sbuild/config.yaml, nearest
 * first; flags and environment win over all. Checked like recipes, by tables of keys.
 *
 * A project's file was written by whoever wrote the project, so it may say only what can't harm who
 * builds it: keys with .project in the table. All that runs programs, sends, is trusted, or says
 * where things are kept is a mistake there, unless the user's or the machine's settings trust: the
 * directory.
 */
#ifndef SB_DOCUMENT_SETTINGS_H
#define SB_DOCUMENT_SETTINGS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "registry/remote.h"

/* limits: what a step and a download may take. 0: the default, which real builds don't meet. */
struct sb_limits {
    int64_t tasks;   /* processes and threads of a step at the same time */
    uint64_t memory; /* bytes of a step, caches of its files included, as they can be had back */
    uint64_t time, download; /* seconds */
};
enum { SB_LIMIT_TASKS = 8192, SB_LIMIT_TIME = 24 * 3600, SB_LIMIT_DOWNLOAD = 6 * 3600 };

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
    struct sb_strings trust; /* trust: [DIR…]: directories whose projects are believed; of the
                                user's and the machine's files together; absolute */
    struct sb_limits limits;
    char *authorities; /* steps: {authorities: FILE}: PEM of those that programs of steps believe,
                          too; absolute */
};

/* Looks for files from the recipe's directory upwards and in the user's and the machine's places;
 * recipe_path may be NULL (then from the working directory). Missing files are fine. */
int sb_settings_load(const char *recipe_path, struct sb_settings *out, struct sb_error *err);
void sb_settings_free(struct sb_settings *settings);

/* The store to use: flag (may be NULL), SBUILD_STORE, settings, else the default of DESIGN.md
 * section
 * 4. The caller's to free. */
char *sb_settings_store(const struct sb_settings *settings, const char *flag);

/* The limits, with defaults for what isn't set; settings may be NULL. */
struct sb_limits sb_settings_limits(const struct sb_settings *settings);
uint64_t sb_settings_download_seconds(const struct sb_settings *settings);

/* What requests to registries need; settings must outlive what is made with it. */
void sb_settings_registry(const struct sb_settings *settings, struct sb_registry_options *out);

#endif
