#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "builder/cache_prune.h"
#include "cli/registry.h"

struct wish {
    const char *action, *repository; /* of argv */
    const char *older_than;
    bool dry_run, json;
    struct sb_cli_registry registry;
};

static int parse_age(const struct wish *wish, int64_t *out_before, struct sb_error *err) {
    uint64_t age = 0;
    if (!wish->older_than) {
        sb_fail(err, SB_E_USAGE, "cache prune: --older-than is missing");
        return sb_error_hint(err, "for example --older-than 30d");
    }
    if (sb_cli_parse_age("cache prune", wish->older_than, &age, err) < 0)
        return -1;
    int64_t now = (int64_t)time(NULL);
    *out_before = age > (uint64_t)now ? 0 : now - (int64_t)age;
    return 0;
}

static int parse_repository(const char *text, struct sb_reference *out, struct sb_error *err) {
    if (sb_reference_parse(text, out, err) < 0)
        return sb_error_context(err, "cache");
    if (!out->tag && !out->has_digest)
        return 0;
    sb_reference_free(out);
    return sb_fail(err, SB_E_USAGE, "cache: %s: a repository is expected, without tag and digest",
                   sb_text_shown(text).text);
}

/* ---- printing ---- */

static const char *when(int64_t created, char *out, size_t size) {
    struct tm tm;
    time_t t = (time_t)created;
    if (created == 0 || !gmtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%d %H:%M", &tm))
        snprintf(out, size, "damaged");
    return out;
}

/* A name that whoever wrote the record gave. */
static char *plain(const char *name) {
    char *text = sb_strdup(name ? name : "");
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            *p = '?';
    return text;
}

static void print_table(const struct sb_shared_records *records) {
    struct sb_table table = {.columns = 5, .right = 1u << 3};
    static const char *const titles[] = {"WRITTEN", "RECIPE", "LAYER", "SIZE", "RECORD"};
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        sb_strings_add(&table.cells, titles[i]);
    for (size_t i = 0; i < records->n; i++) {
        const struct sb_shared_record *r = &records->v[i];
        char time_text[32];
        sb_strings_add(&table.cells, when(r->record.created, time_text, sizeof time_text));
        sb_strings_take(&table.cells, plain(r->record.recipe));
        sb_strings_take(&table.cells, plain(r->record.name));
        sb_strings_add(&table.cells, sb_text_size(sb_cache_record_size(&r->record)).text);
        sb_strings_addf(&table.cells, "%.15s", r->tag);
    }
    if (records->n)
        sb_table_print(&table);
    sb_strings_free(&table.cells);
}

static json_t *records_json(const struct sb_shared_records *records) {
    json_t *all = json_array();
    for (size_t i = 0; i < records->n; i++) {
        const struct sb_shared_record *r = &records->v[i];
        json_t *o = json_pack("{s:s, s:s, s:b}", "tag", r->tag, "digest",
                              sb_digest_text(&r->manifest).text, "damaged", r->damaged);
        json_array_append_new(all, o);
        if (r->damaged)
            continue;
        json_object_set_new(o, "created", json_integer((json_int_t)r->record.created));
        json_object_set_new(o, "recipe", sb_json_from_bytes(r->record.recipe));
        json_object_set_new(o, "layer", sb_json_from_bytes(r->record.name));
        json_object_set_new(o, "size", json_integer((json_int_t)sb_cache_record_size(&r->record)));
        json_object_set_new(o, "seconds", json_real(r->record.seconds));
    }
    return all;
}

static int list(struct sb_remote *remote, const struct wish *wish, struct sb_error *err) {
    struct sb_shared_records records;
    if (sb_shared_records_list(remote, &records, err) < 0)
        return -1;
    int failed = 0;
    if (wish->json) {
        sb_autojson json_t *all = records_json(&records);
        failed = sb_cli_print_json(all, err);
    } else {
        print_table(&records);
    }
    sb_shared_records_free(&records);
    return failed;
}

static int print_pruned(const struct sb_shared_records *gone, size_t total, const struct wish *wish,
                        struct sb_error *err) {
    if (wish->json) {
        sb_autojson json_t *all =
            json_pack("{s:b, s:o, s:I}", "dry_run", wish->dry_run, "removed", records_json(gone),
                      "left", (json_int_t)(total - gone->n));
        return sb_cli_print_json(all, err);
    }
    print_table(gone);
    sb_cli_print("%zu record%s %s, %zu left\n", gone->n, gone->n == 1 ? "" : "s",
                 wish->dry_run ? "to remove" : "removed", total - gone->n);
    fflush(stdout);
    if (wish->dry_run)
        sb_cli_say("nothing was removed: this was a dry run\n");
    return 0;
}

static int prune(struct sb_remote *remote, const struct wish *wish, struct sb_error *err) {
    int64_t before = 0;
    struct sb_shared_records records;
    if (parse_age(wish, &before, err) < 0 || sb_shared_records_list(remote, &records, err) < 0)
        return -1;
    size_t total = records.n;
    sb_shared_records_select_old(&records, before);
    int failed = wish->dry_run ? 0 : sb_shared_records_remove(remote, &records, err);
    if (failed && err->code == SB_E_NETWORK && !*err->hint)
        sb_error_hint(err, "if the registry forbids it, let its own rules remove old tags");
    if (!failed)
        failed = print_pruned(&records, total, wish, err);
    sb_shared_records_free(&records);
    return failed;
}

/* ---- the command ---- */

static int run_action(const struct wish *wish, struct sb_error *err) {
    bool prunes = !strcmp(wish->action, "prune");
    if (!prunes && strcmp(wish->action, "ls") != 0) {
        sb_fail(err, SB_E_USAGE, "cache: %s is not an action", sb_text_shown(wish->action).text);
        return sb_error_hint(err, "usage: sbuild cache %s", sb_command_cache.arguments);
    }
    if (!prunes && (wish->older_than || wish->dry_run))
        return sb_fail(err, SB_E_USAGE, "cache ls: --older-than and --dry-run belong to prune");
    struct sb_reference reference;
    struct sb_settings settings = {0};
    if (parse_repository(wish->repository, &reference, err) < 0)
        return -1;
    if (sb_settings_load(NULL, &settings, err) < 0) {
        sb_reference_free(&reference);
        return -1;
    }
    struct sb_registry *registry = NULL;
    int failed = sb_cli_registry_open(&wish->registry, &settings, &registry, err);
    if (!failed) {
        struct sb_remote *remote = sb_remote_open(registry, reference.host, reference.repository);
        failed = prunes ? prune(remote, wish, err) : list(remote, wish, err);
        sb_remote_free(remote);
    }
    sb_registry_free(registry);
    sb_settings_free(&settings);
    sb_reference_free(&reference);
    return failed;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    struct wish wish = {0};
    const struct sb_option options[] = {{.name = "older-than", .text = &wish.older_than},
                                        {.name = "dry-run", .letter = 'n', .flag = &wish.dry_run},
                                        SB_CLI_REGISTRY_OPTIONS(wish.registry),
                                        {0}};
    sb_autofree const char **arguments = sb_alloc(((size_t)argc + 1) * sizeof *arguments);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_cache, argc, argv, options, &common, arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_cache, count, 2, 2, err) < 0)
        return -1;
    wish.action = arguments[0];
    wish.repository = arguments[1];
    wish.json = common.json;
    int failed = run_action(&wish, err);
    struct sb_error ignored;
    return failed | sb_cli_flush(failed ? &ignored : err);
}

const struct sb_command sb_command_cache = {
    .name = "cache",
    .arguments = "ls REPO | prune REPO --older-than TIME [OPTION…]",
    .summary = "look at the records of a shared cache, and remove old ones",
    .help = "ls lists the records that builds with --cache-to left in a repository. prune\n"
            "removes those that no such build has used for that long, and what is damaged.\n"
            "The blobs are freed by the registry's own collection.\n\n"
            "options:\n"
            "  --older-than TIME    since a record was written, or last said to be in use\n"
            "  -n, --dry-run        only say what would go\n"
            "  --json               the records as JSON, times in seconds since "
            "1970\n" SB_CLI_REGISTRY_HELP "  --store DIR          not used\n\n"
            "examples:\n"
            "  sbuild cache ls registry.example.com/team/cache\n"
            "  sbuild cache prune registry.example.com/team/cache --older-than 30d\n"
            "  sbuild cache prune registry.example.com/team/cache --older-than 7d --dry-run\n",
    .run = run,
};
