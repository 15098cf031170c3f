#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/base_layers.h"
#include "builder/source.h"
#include "builder/trial.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "layers/origin.h"
#include "sandbox/userns.h"

enum { OWN_FAILURE = 125 };

struct running {
    struct sb_cli_request *request;
    const char *how;
    bool shell, failed;
    const char *network, *user, *workdir;
    struct sb_strings variables; /* --env */
    struct sb_pairs env;
    const char **words; /* the program's; NULL: none were given */
    struct sb_settings settings;
    struct sb_store *store;
    struct sb_progress *progress;
    struct sb_platform *platform; /* of --platform; NULL: this machine's */
    struct sb_image image;
    struct sb_failed kept;
};

/* ---- options ---- */

static int parse_variables(struct running *r, struct sb_error *err) {
    for (size_t i = 0; i < r->variables.n; i++) {
        const char *text = r->variables.v[i], *equals = strchr(text, '=');
        if (equals == text || !*text) {
            sb_fail(err, SB_E_USAGE, "--env %s: expected NAME=VALUE", sb_text_shown(text).text);
            return sb_error_hint(err, "for example --env LOG_LEVEL=debug");
        }
        sb_autofree char *name = sb_strndup(text, equals ? (size_t)(equals - text) : strlen(text));
        const char *value = equals ? equals + 1 : getenv(name);
        if (!value)
            return sb_fail(err, SB_E_USAGE, "--env %s: the environment variable is not set",
                           sb_text_shown(name).text);
        sb_pairs_set(&r->env, name, value);
    }
    return 0;
}

static int check_options(struct running *r, size_t count, struct sb_error *err) {
    if (count == 0 && !r->failed) {
        sb_fail(err, SB_E_USAGE, "run: an argument is missing");
        return sb_error_hint(err, "usage: sbuild run %s", sb_command_run.arguments);
    }
    if (r->network && strcmp(r->network, "none") != 0 && strcmp(r->network, "host") != 0)
        return sb_fail(err, SB_E_USAGE, "run: --network %s: expected none or host",
                       sb_text_shown(r->network).text);
    if (r->workdir && *r->workdir != '/')
        return sb_fail(err, SB_E_USAGE, "run: --workdir %s: expected an absolute path",
                       sb_text_shown(r->workdir).text);
    if (r->shell && r->words) {
        sb_fail(err, SB_E_USAGE, "run: --shell and a program, %s", sb_text_shown(*r->words).text);
        return sb_error_hint(err, "for a shell's command: sbuild run … sh -c 'COMMAND'");
    }
    if (r->request->build.platforms.n > 1)
        return sb_fail(err, SB_E_USAGE, "run: --platform: a program runs on one platform");
    return parse_variables(r, err);
}

/* ---- the image ---- */

static bool is_recipe(const char *text) {
    size_t n = strlen(text);
    struct stat st;
    return (n > 5 && !strcmp(text + n - 5, ".yaml")) || (n > 4 && !strcmp(text + n - 4, ".yml")) ||
           (stat(text, &st) == 0 && S_ISREG(st.st_mode));
}

static void notify(void *data, const struct sb_event *event) {
    const struct running *r = data;
    sb_progress_notify(r->progress, event);
}

/* No tag moves by trying it out. */
static int build(struct running *r, struct sb_error *err) {
    struct sb_build_request *request = &r->request->build;
    struct sb_build *build = NULL;
    request->notify = notify;
    request->data = r;
    request->untagged = request->one_platform = true;
    int failed = sb_build_new(r->store, &r->settings, request, &build, err) < 0 ||
                 sb_build_run(build, err) < 0;
    if (!failed)
        sb_image_copy(&r->image, &sb_build_result(build, 0)->images[0].image);
    if (build)
        sb_build_share(build);
    if (failed && r->progress)
        sb_progress_error(r->progress, err);
    sb_build_free(build);
    request->notify = NULL;
    return failed ? -1 : 0;
}

static int parse_platform(struct running *r, struct sb_error *err) {
    const struct sb_strings *said = &r->request->build.platforms;
    if (said->n == 0)
        return 0;
    r->platform = sb_alloc(sizeof *r->platform);
    return sb_platform_parse(said->v[0], r->platform, err) < 0
               ? sb_error_context(err, "run: --platform")
               : 0;
}

/* Under the name that it was called by, or the whole name that it was pulled under; else it is
 * pulled. */
static int find_manifest(struct running *r, const char *name, struct sb_descriptor *out,
                         struct sb_error *err) {
    struct sb_error unknown = {0};
    struct sb_reference reference;
    struct sb_pulled pulled;
    if (sb_source_find_for(r->store, name, r->platform, out, err) == 0)
        return 0;
    if (err->code != SB_E_NOT_FOUND || strchr(name, ':') == name + 3 ||
        !strncmp(name, "sha256:", 7) || !strncmp(name, "oci-archive:", 12) ||
        !strncmp(name, "docker-archive:", 15) || sb_reference_parse(name, &reference, &unknown) < 0)
        return -1;
    const struct sb_pull_options options = {
        .platform = r->platform, .notify = sb_progress_transfer, .data = r->progress};
    sb_autofree char *whole = sb_reference_text(&reference);
    int rc = sb_source_find_for(r->store, whole, r->platform, out, &unknown);
    if (rc < 0) {
        unknown = (struct sb_error){0};
        rc = sb_pull_image(r->request->build.registry, r->store, &reference, &options, &pulled,
                           &unknown);
        if (rc == 0)
            *out = pulled.image;
        else if (unknown.code != SB_E_NOT_FOUND || sb_reference_has_host(name))
            *err = unknown; /* else the nearest in the store says more */
    }
    sb_reference_free(&reference);
    return rc;
}

static int find(struct running *r, const char *name, struct sb_error *err) {
    struct sb_descriptor manifest;
    if (find_manifest(r, name, &manifest, err) < 0)
        return -1;
    return sb_image_load_for(r->store, &manifest, r->platform, &r->image, err) < 0
               ? sb_error_context(err, "the image %s", sb_text_shown(name).text)
               : 0;
}

static int find_failed(struct running *r, struct sb_error *err) {
    if (sb_failed_load(r->store, &r->kept, err) < 0)
        return -1;
    const struct sb_step_failure *f = &r->kept.failure;
    sb_cli_say("%s\nin %s as %s\n", r->kept.what, f->workdir, f->user ? f->user : "root");
    for (size_t i = 0; i < f->secrets.n; i++) {
        bool given = false;
        for (size_t k = 0; k < r->request->build.secrets.n; k++)
            given = given || !strcmp(r->request->build.secrets.v[k].name, f->secrets.v[i]);
        if (!given)
            sb_cli_say("without its secret %s (--secret id=%s,…)\n", f->secrets.v[i],
                       f->secrets.v[i]);
    }
    for (size_t i = 0; i < f->left_out.n; i++)
        sb_cli_say("without what it had mounted at %s\n", f->left_out.v[i]);
    return 0;
}

/* ---- running ---- */

static int find_any(struct running *r, struct sb_error *err) {
    if (r->failed)
        return find_failed(r, err);
    const char *subject = r->request->recipes[0];
    if (parse_platform(r, err) < 0)
        return -1;
    return r->request->build.recipe_count ? build(r, err) : find(r, subject, err);
}

/* Layers that aren't here are fetched, and shown as they come. */
static int unpack(struct running *r, const struct sb_image *image, struct sb_strings *out,
                  struct sb_error *err) {
    struct sb_base_layers_missing missing = sb_base_layers_missing(r->store, image);
    if (missing.count > 0)
        sb_cli_say("fetching %zu layer%s, %s\n", missing.count, missing.count == 1 ? "" : "s",
                   sb_text_size(missing.bytes).text);
    return sb_trial_trees(r->store, image, out, err);
}

static int run_program(struct running *r, int *out_status, struct sb_error *err) {
    sb_autostrings struct sb_strings trees = {0};
    const struct sb_image *image = r->failed ? &r->kept.image : &r->image;
    struct sb_streams *streams = NULL;
    struct sb_trial trial = {
        .store = r->store,
        .settings = &r->settings,
        .image = image,
        .failed = r->failed ? &r->kept : NULL,
        .trees = &trees,
        .argv = r->words,
        .shell = r->shell,
        .user = r->user,
        .workdir = r->workdir,
        .env = &r->env,
        .network_given = r->network,
        .network = r->network && !strcmp(r->network, "host"),
        .secrets = &r->request->build.secrets,
    };
    if (sb_trial_check(r->store, image, err) < 0 || sb_userns_enter(err) < 0 ||
        sb_store_renew(r->store, err) < 0 || unpack(r, image, &trees, err) < 0 ||
        sb_streams_open(&streams, err) < 0)
        return -1;
    trial.streams = streams;
    int failed = sb_trial_run(&trial, out_status, err);
    sb_streams_free(streams);
    return failed;
}

static int run_all(struct running *r, int *out_status, struct sb_error *err) {
    struct sb_cli_request *request = r->request;
    request->build.recipe_count = !r->failed && is_recipe(request->recipes[0]);
    if (sb_progress_new(r->how, false, &r->progress, err) < 0)
        return -1;
    request->source.notify = sb_progress_transfer;
    request->source.data = r->progress;
    int failed = sb_cli_request_open(request, &r->settings, &r->store, err);
    if (!failed) {
        sb_progress_watch(r->progress, request->build.registry);
        failed = find_any(r, err);
    }
    sb_progress_free(sb_steal(r->progress));
    request->source.notify = NULL;
    if (!failed)
        failed = run_program(r, out_status, err);
    if (r->platform)
        sb_platform_free(r->platform);
    free(r->platform);
    sb_image_free(&r->image);
    sb_failed_free(&r->kept);
    if (r->store)
        sb_cli_request_close(request, &r->settings, r->store);
    return failed;
}

static int parse(struct running *r, int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request *request = r->request;
    const struct sb_option options[] = {
        SB_REQUEST_OPTIONS(*request),
        SB_CLI_REGISTRY_OPTIONS(request->registry),
        {.name = "shell", .flag = &r->shell},
        {.name = "failed", .flag = &r->failed},
        {.name = "network", .text = &r->network},
        {.name = "env", .letter = 'e', .list = &r->variables},
        {.name = "user", .letter = 'u', .text = &r->user},
        {.name = "workdir", .letter = 'w', .text = &r->workdir},
        {.name = "progress", .text = &r->how},
        {0},
    };
    size_t count;
    request->recipes = sb_alloc(((size_t)argc + 1) * sizeof *request->recipes);
    int parsed = sb_options_parse_program(&sb_command_run, argc, argv, options, &r->failed,
                                          &request->common, request->recipes, &count, err);
    if (parsed != 0)
        return parsed;
    request->recipes[count] = NULL;
    size_t first = !r->failed;
    r->words = count > first ? request->recipes + first : NULL;
    return check_options(r, count, err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_cli_request request = {0};
    struct running r = {.request = &request, .how = "auto"};
    int status = 0, result = parse(&r, argc, argv, err);
    if (result == 0)
        result = run_all(&r, &status, err);
    sb_strings_free(&r.variables);
    sb_pairs_free(&r.env);
    sb_cli_request_free(&request);
    return result < 0 ? -1 : result > 0 ? sb_cli_flush(err) : status;
}

const struct sb_command sb_command_run = {
    .name = "run",
    .arguments = "[OPTION…] RECIPE|IMAGE [PROGRAM [ARGUMENT…]]",
    .summary = "run a program in an image, or where a step failed",
    .help = "A recipe is built first, where it has to be, and gets no tag; an image that the\n"
            "store lacks is pulled. Without PROGRAM, the image's entrypoint and cmd are run.\n"
            "It is the image's user, has its environment, and runs in the sandbox that steps\n"
            "have; what it writes is thrown away. Options stand before PROGRAM. Exits with\n"
            "what the program exits with, and with 125 when sbuild itself failed.\n\n"
            "options:\n"
            "  --shell              run a shell: the image's own, /bin/bash or /bin/sh\n"
            "  --failed             run it, or a shell, where the step that failed last left\n"
            "                       off: sbuild run --failed [PROGRAM [ARGUMENT…]]\n"
            "  --network HOW        none (the default) or host\n"
            "  -e, --env NAME=VALUE a further variable; NAME alone takes this environment's\n"
            "  -u, --user USER      instead of the image's: name or UID, with :GROUP if\n"
            "                       needed\n"
            "  -w, --workdir DIR    instead of the image's\n"
            "  --progress HOW       auto, tty, plain or json\n" SB_CLI_REGISTRY_HELP SB_REQUEST_HELP
            "\nSecrets that are given are files in /run/secrets, too.\n\n"
            "examples:\n"
            "  sbuild run recipes/hello.yaml\n"
            "  sbuild run backend:v1.4.2 python3 -c 'import utils'\n"
            "  sbuild run --shell --user root recipes/backend.yaml\n"
            "  sbuild run --failed\n",
    .run = run,
    .own_failures = OWN_FAILURE,
};
