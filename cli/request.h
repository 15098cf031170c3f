/*
 * cli/request: the options that build, plan and bundle share.
 */
#ifndef SB_CLI_REQUEST_H
#define SB_CLI_REQUEST_H

#include "base/error.h"
#include "builder/build.h"
#include "cli/command.h"
#include "cli/registry.h"
#include "registry/pull.h"

struct sb_cli_request {
    struct sb_build_request build;
    struct sb_strings set, secrets;
    struct sb_strings cache_from;
    const char *jobs, *runtime, *cache_to;
    struct sb_cli_registry registry;
    struct sb_common common;
    struct sb_pull_source source; /* notify and data may be set before it is opened */
    const char **recipes;         /* borrows from argv */
};

#define SB_REQUEST_HELP                                                                            \
    "  --set K=V            replace the build argument K; may be given several times\n"            \
    "  --secret id=NAME,src=FILE | id=NAME,env=VARIABLE\n"                                         \
    "                       a secret for steps that name it; never stored\n"                       \
    "  --platform P         build for this platform, linux/arm64, instead of those of\n"           \
    "                       the recipe; may be given several times\n"                              \
    "  --allow DIR          let recipes read files beneath DIR, too; may be given\n"               \
    "                       several times\n"                                                       \
    "  --version V          the version, instead of the recipe's or git's\n"                       \
    "  --no-cache[=LAYER]   build every layer anew, or LAYER (RECIPE/LAYER) alone;\n"              \
    "                       may be given several times\n"                                          \
    "  --cache-from REPO    take layers that others built from a repository; may be\n"             \
    "                       given several times\n"                                                 \
    "  --cache-to REPO      put the layers that are built into a repository\n"                     \
    "  -j, --jobs N         threads that compress, recipes at a time (default: cores)\n"           \
    "  --runtime NAME       crun, runc or a path; found by trying otherwise\n"                     \
    "  --store DIR          the store (or SBUILD_STORE)\n"

#define SB_REQUEST_OPTIONS(r)                                                                      \
    {.name = "platform", .list = &(r).build.platforms},                                            \
        {.name = "allow", .list = &(r).build.allow}, {.name = "set", .list = &(r).set},            \
        {.name = "secret", .list = &(r).secrets}, {.name = "version", .text = &(r).build.version}, \
        {.name = "no-cache", .flag = &(r).build.no_cache, .list = &(r).build.no_cache_layers},     \
        {.name = "cache-from", .list = &(r).cache_from},                                           \
        {.name = "cache-to", .text = &(r).cache_to},                                               \
        {.name = "jobs", .letter = 'j', .text = &(r).jobs}, {                                      \
        .name = "runtime", .text = &(r).runtime                                                    \
    }

/* Takes options and recipes, or what else is built from, from argv: one to most. 1: it was --help.
 * Free the request in any case. */
int sb_cli_request_parse(struct sb_cli_request *request, const struct sb_command *command, int argc,
                         char **argv, const struct sb_option *options, size_t most,
                         struct sb_error *err);

/* Fills the request from its options and the settings, and opens settings, store and registry: what
 * the store lacks is fetched from where it lies. */
int sb_cli_request_open(struct sb_cli_request *request, struct sb_settings *settings,
                        struct sb_store **store, struct sb_error *err);
/* Closes and frees these three; store may be NULL. */
void sb_cli_request_close(struct sb_cli_request *request, struct sb_settings *settings,
                          struct sb_store *store);
void sb_cli_request_free(struct sb_cli_request *request);

/* What became of the tests, if the recipe has any. */
void sb_cli_add_tests(const struct sb_build_image *image, json_t *facts);

/* A line for people, where git says that a version is no release. */
void sb_cli_say_no_release(const struct sb_build_result *result);

/* That the file of an option (NULL: none; - is standard output, but for --metadata-file) can be
 * written, as far as that can be known before the work, and is none of the recipes. */
int sb_cli_check_output(const struct sb_cli_request *request, const char *option, const char *path,
                        struct sb_error *err);

#endif
