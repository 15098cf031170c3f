#include "cli/request.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/stream.h"
#include "base/utf8.h"
#include "context/outputs.h"
#include "layers/origin.h"

enum { SECRET_LIMIT = 1 << 20 };

static int add_set(struct sb_cli_request *r, const char *text, struct sb_error *err) {
    const char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        sb_fail(err, SB_E_USAGE, "--set %s: expected NAME=VALUE", text);
        return sb_error_hint(err, "for example --set PORT=9000");
    }
    for (const char *c = text; *c;) {
        size_t n = sb_utf8_length(c);
        if (!n)
            return sb_fail(err, SB_E_USAGE, "--set %s: the value is not UTF-8", text);
        c += n;
    }
    sb_autofree char *name = sb_strndup(text, (size_t)(equals - text));
    sb_pairs_set(&r->build.set, name, equals + 1);
    return 0;
}

static int read_secret(const char *src, const char *variable, struct sb_buf *out,
                       const char *option, struct sb_error *err) {
    if (src)
        return sb_stream_read(src, SECRET_LIMIT, out, err) < 0
                   ? sb_error_context(err, "--secret %s", option)
                   : 0;
    const char *value = variable ? getenv(variable) : NULL;
    if (!value)
        return sb_fail(err, SB_E_USAGE, "--secret %s: the environment variable %s is not set",
                       option, variable ? variable : "");
    sb_buf_adds(out, value);
    return 0;
}

static int add_secret(struct sb_cli_request *r, const char *text, struct sb_error *err) {
    sb_autofree char *copy = sb_strdup(text);
    const char *id = NULL, *src = NULL, *variable = NULL;
    bool known = true;
    char *rest = copy;
    for (char *part; (part = strsep(&rest, ","));) {
        if (!strncmp(part, "id=", 3))
            id = part + 3;
        else if (!strncmp(part, "src=", 4))
            src = part + 4;
        else if (!strncmp(part, "env=", 4))
            variable = part + 4;
        else
            known &= !strcmp(part, "type=file") || !strcmp(part, "type=env"); /* Docker's */
    }
    bool empty = (src && !*src) || (variable && !*variable);
    if (!known || empty || !id || !*id || !src == !variable) {
        sb_fail(err, SB_E_USAGE, "--secret %s: expected id=NAME,src=FILE or id=NAME,env=VARIABLE",
                text);
        return sb_error_hint(err, "for example --secret id=hf_token,src=$HOME/.hf_token");
    }
    struct sb_buf value = {0};
    if (read_secret(src, variable, &value, text, err) < 0) {
        sb_buf_free(&value);
        return -1;
    }
    struct sb_secrets *secrets = &r->build.secrets;
    SB_GROW(secrets->v, secrets->n, secrets->cap);
    struct sb_secret *secret = &secrets->v[secrets->n++];
    secret->len = value.len;
    secret->value = sb_buf_steal(&value);
    secret->name = sb_strdup(id);
    return 0;
}

static int parse_jobs(struct sb_cli_request *r, struct sb_error *err) {
    if (!r->jobs)
        return 0;
    char *end;
    long jobs = strtol(r->jobs, &end, 10);
    if (*end || end == r->jobs || jobs < 1 || jobs > 256)
        return sb_fail(err, SB_E_USAGE, "--jobs %s: expected a number from 1 to 256", r->jobs);
    r->build.jobs = (int)jobs;
    return 0;
}

/* Options instead of the settings, not beside them. */
static void set_cache(struct sb_cli_request *r, const struct sb_settings *settings) {
    sb_strings_copy(&r->build.cache_from, r->cache_from.n ? &r->cache_from : &settings->cache_from);
    r->build.cache_to = r->cache_to ? r->cache_to : settings->cache_to;
}

int sb_cli_request_parse(struct sb_cli_request *r, const struct sb_command *command, int argc,
                         char **argv, const struct sb_option *options, size_t most,
                         struct sb_error *err) {
    r->recipes = sb_alloc(((size_t)argc + 1) * sizeof *r->recipes);
    int parsed = sb_options_parse(command, argc, argv, options, &r->common, r->recipes,
                                  &r->build.recipe_count, err);
    return parsed != 0 ? parsed : sb_options_count(command, r->build.recipe_count, 1, most, err);
}

int sb_cli_request_open(struct sb_cli_request *r, struct sb_settings *settings,
                        struct sb_store **store, struct sb_error *err) {
    for (size_t i = 0; i < r->set.n; i++)
        if (add_set(r, r->set.v[i], err) < 0)
            return -1;
    for (size_t i = 0; i < r->secrets.n; i++)
        if (add_secret(r, r->secrets.v[i], err) < 0)
            return -1;
    r->build.recipes = r->recipes;
    r->build.store_option = r->common.store;
    if (parse_jobs(r, err) < 0 ||
        sb_cli_open(&r->common, r->build.recipe_count ? r->recipes[0] : NULL, settings, store,
                    err) < 0)
        return -1;
    if (r->runtime) {
        free(settings->runtime);
        settings->runtime = sb_strdup(r->runtime);
    }
    set_cache(r, settings);
    if (sb_cli_registry_open(&r->registry, settings, &r->build.registry, err) < 0) {
        sb_cli_request_close(r, settings, *store);
        *store = NULL;
        return -1;
    }
    r->source.registry = r->build.registry;
    sb_pull_install_source(&r->source, *store);
    return 0;
}

void sb_cli_request_close(struct sb_cli_request *r, struct sb_settings *settings,
                          struct sb_store *store) {
    if (store) {
        sb_store_set_source(store, NULL);
        fflush(stdout);
        sb_outputs_note(store, STDOUT_FILENO, NULL);
        sb_outputs_note(store, STDERR_FILENO, NULL);
    }
    sb_registry_free(r->build.registry);
    r->build.registry = NULL;
    sb_store_close(store);
    sb_settings_free(settings);
}

void sb_cli_request_free(struct sb_cli_request *r) {
    for (size_t i = 0; i < r->build.secrets.n; i++) {
        struct sb_secret *secret = &r->build.secrets.v[i];
        explicit_bzero(secret->value, secret->len);
        free(secret->value);
        free(secret->name);
    }
    free(r->build.secrets.v);
    sb_pairs_free(&r->build.set);
    sb_strings_free(&r->build.allow);
    sb_strings_free(&r->build.tags);
    sb_strings_free(&r->build.platforms);
    sb_strings_free(&r->build.no_cache_layers);
    sb_strings_free(&r->build.cache_from);
    sb_strings_free(&r->cache_from);
    sb_strings_free(&r->set);
    sb_strings_free(&r->secrets);
    free(r->recipes);
}

static const char *test_state(enum sb_test_state state) {
    static const char *const names[] = {
        [SB_TEST_UNKNOWN] = "unknown",   [SB_TEST_CACHED] = "cached",
        [SB_TEST_RUN] = "not run",       [SB_TEST_PASSED] = "passed",
        [SB_TEST_LEFT_OUT] = "left-out", [SB_TEST_SKIPPED] = "skipped",
        [SB_TEST_FAILED] = "failed"};
    return names[state];
}

void sb_cli_add_tests(const struct sb_build_image *image, json_t *facts) {
    json_t *tests = json_array();
    bool skipped = false;
    for (size_t i = 0; i < image->test_count; i++) {
        const struct sb_test_result *test = &image->tests[i];
        skipped = skipped || test->state == SB_TEST_SKIPPED;
        json_array_append_new(tests, json_pack("{s:o, s:s, s:f}", "does",
                                               sb_json_from_text(test->summary), "state",
                                               test_state(test->state), "seconds", test->seconds));
    }
    if (image->test_count) {
        json_object_set(facts, "tests", tests);
        json_object_set_new(facts, "tests_skipped", json_boolean(skipped));
    }
    json_decref(tests);
}

void sb_cli_say_no_release(const struct sb_build_result *result) {
    if (result->no_release)
        sb_cli_say("%s: no release: %s; its version is %s, and only tags of git, date and --tag "
                   "are set\n",
                   result->recipe->name, result->no_release, result->version);
}
