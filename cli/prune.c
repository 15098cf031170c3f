#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/node.h"
#include "deploy/node/status.h"
#include "layers/collect.h"
#include "sandbox/userns.h"

struct limits {
    const char *max_size, *older_than, *keep_images;
    bool keep_tagged, dry_run;
};

static int parse_limits(const struct limits *limits, const struct sb_settings *settings,
                        struct sb_collect_options *out, struct sb_error *err) {
    *out = (struct sb_collect_options)SB_COLLECT_OPTIONS;
    out->keep_tagged = limits->keep_tagged;
    out->dry_run = limits->dry_run;
    if (settings->store_limit > 0)
        out->max_size = settings->store_limit;
    if (limits->max_size && !sb_text_parse_size(limits->max_size, &out->max_size)) {
        sb_fail(err, SB_E_USAGE, "prune: --max-size %s is not a size",
                sb_text_shown(limits->max_size).text);
        return sb_error_hint(err, "write it as in 20G, 500M or 1.5Ti");
    }
    if (limits->keep_images) {
        char *end;
        unsigned long long n = strtoull(limits->keep_images, &end, 10);
        if (*end || limits->keep_images[0] < '0' || limits->keep_images[0] > '9' || n < 1 ||
            n > 1000000) {
            sb_fail(err, SB_E_USAGE, "prune: --keep-images %s is not a number from 1 to 1000000",
                    sb_text_shown(limits->keep_images).text);
            return sb_error_hint(err, "for example --keep-images 5");
        }
        out->keep_images = n;
    }
    return limits->older_than ? sb_cli_parse_age("prune", limits->older_than, &out->older_than, err)
                              : 0;
}

/* ---- the report ---- */

static int print_json(const struct sb_collect_report *report, bool dry_run, struct sb_error *err) {
    json_t *removed = json_object(), *tags = json_array();
    for (int kind = 0; kind < SB_ITEM_KIND_COUNT; kind++)
        json_object_set_new(removed, sb_item_kind_name(kind),
                            json_pack("{s:I, s:I}", "count",
                                      (json_int_t)report->removed[kind].count, "bytes",
                                      (json_int_t)report->removed[kind].bytes));
    for (size_t i = 0; i < report->tags.n; i++)
        json_array_append_new(tags, sb_json_from_bytes(report->tags.v[i]));
    sb_autojson json_t *all =
        json_pack("{s:b, s:o, s:o, s:I, s:I, s:I}", "dry_run", dry_run, "removed", removed, "tags",
                  tags, "freed", (json_int_t)report->freed, "left", (json_int_t)report->left,
                  "held", (json_int_t)report->held);
    return sb_cli_print_json(all, err);
}

static void print_table(const struct sb_collect_report *report) {
    struct sb_table table = {.columns = 3, .right = 1u << 1 | 1u << 2};
    static const char *const titles[] = {"KIND", "COUNT", "SIZE"};
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        sb_strings_add(&table.cells, titles[i]);
    for (int kind = 0; kind < SB_ITEM_KIND_COUNT; kind++) {
        if (report->removed[kind].count == 0)
            continue;
        sb_strings_add(&table.cells, sb_item_kind_name(kind));
        sb_strings_addf(&table.cells, "%llu", (unsigned long long)report->removed[kind].count);
        sb_strings_add(&table.cells, sb_text_size(report->removed[kind].bytes).text);
    }
    if (table.cells.n > table.columns)
        sb_table_print(&table);
    sb_strings_free(&table.cells);
}

static void print_report(const struct sb_collect_report *report,
                         const struct sb_collect_options *options) {
    for (size_t i = 0; i < report->tags.n; i++)
        sb_cli_print("%s %s\n", options->dry_run ? "would drop" : "dropped", report->tags.v[i]);
    print_table(report);
    sb_cli_print("%s %s, %s left\n", sb_text_size(report->freed).text,
                 options->dry_run ? "to free" : "freed", sb_text_size(report->left).text);
    fflush(stdout);
    if (options->dry_run)
        sb_cli_say("nothing was removed: this was a dry run\n");
    else if (options->max_size != SB_COLLECT_NONE && report->left > options->max_size)
        sb_cli_say("sbuild: warning: more than %s is left: %s is in use by running builds and "
                   "services%s\n",
                   sb_text_size(options->max_size).text, sb_text_size(report->held).text,
                   !options->keep_tagged ? ""
                   : options->keep_images
                       ? ", and the images that --keep-images leaves have a name"
                       : ", and --keep-tagged keeps every image that has a name: --keep-images 5 "
                         "keeps of each name the last five alone");
}

/* Only root has services. Their generations go first: what they held can go then. */
static int prune_services(struct sb_store *store, bool dry_run, bool json, struct sb_error *err) {
    const struct sb_node node = sb_cli_node(store);
    sb_autostrings struct sb_strings removed = {0};
    if (geteuid() != 0)
        return 0;
    int rc = sb_node_prune(&node, dry_run, &removed, err);
    for (size_t i = 0; i < removed.n && !json; i++)
        sb_cli_print("%s generation %s\n", dry_run ? "would remove" : "removed", removed.v[i]);
    return rc;
}

static int collect(struct sb_store *store, const struct sb_collect_options *options, bool json,
                   struct sb_error *err) {
    struct sb_collect_report report = {0};
    int failed = sb_store_collect(store, options, &report, err);
    if (!failed && json)
        failed = print_json(&report, options->dry_run, err);
    else if (!failed || report.freed > 0)
        print_report(&report, options);
    sb_collect_report_free(&report);
    struct sb_error ignored;
    return failed | sb_cli_flush(failed ? &ignored : err);
}

/* A user's unpacked layers belong to subordinate ids: only the namespace's root may remove them.
 * Who can't have a namespace, can't have made any. */
static int become_owner(struct sb_store *store, struct sb_error *err) {
    struct sb_error ignored = {0};
    if (geteuid() == 0 || sb_userns_enter(&ignored) < 0)
        return 0;
    return sb_store_renew(store, err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    struct limits limits = {0};
    const struct sb_option options[] = {{.name = "max-size", .text = &limits.max_size},
                                        {.name = "older-than", .text = &limits.older_than},
                                        {.name = "keep-tagged", .flag = &limits.keep_tagged},
                                        {.name = "keep-images", .text = &limits.keep_images},
                                        {.name = "dry-run", .letter = 'n', .flag = &limits.dry_run},
                                        {0}};
    sb_autofree const char **arguments = sb_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_prune, argc, argv, options, &common, arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_prune, count, 0, 0, err) < 0)
        return -1;
    struct sb_settings settings = {0};
    struct sb_store *store;
    struct sb_collect_options wanted;
    if (sb_cli_open_known(&common, &settings, &store, err) < 0)
        return -1;
    int failed = parse_limits(&limits, &settings, &wanted, err);
    if (!failed)
        failed = become_owner(store, err);
    if (!failed)
        failed = prune_services(store, wanted.dry_run, common.json, err);
    if (!failed)
        failed = collect(store, &wanted, common.json, err);
    sb_store_close(store);
    sb_settings_free(&settings);
    return failed;
}

const struct sb_command sb_command_prune = {
    .name = "prune",
    .arguments = "[--max-size SIZE] [--older-than TIME] [OPTION…]",
    .summary = "remove from the store what is no longer needed",
    .help = "Without options: what killed builds left, what no image, service and cache\n"
            "record refers to, and all generations of this node's services but the last three\n"
            "and the one that runs. With a limit, also the least recently used: unpacked\n"
            "trees, cache directories, cache records, logs, and at last images with all their\n"
            "tags. Safe beside running builds and services: nothing that they use goes.\n\n"
            "options:\n"
            "  --max-size SIZE    the store takes at most that much on the disk afterwards\n"
            "                     (default: store_limit of the settings, else no limit)\n"
            "  --older-than TIME  remove what was not used for that long; never an image that\n"
            "                     has a name\n"
            "  --keep-tagged      --max-size removes no image that has a name either\n"
            "  --keep-images N    of each name keep the last N images, and drop the other\n"
            "                     tags; before anything else goes for size\n"
            "  -n, --dry-run      only say what would go\n"
            "  --json             the report as JSON, sizes in bytes\n"
            "  --store DIR        the store to work in\n\n"
            "examples:\n"
            "  sbuild prune\n"
            "  sbuild prune --max-size 20G --keep-tagged\n"
            "  sbuild prune --keep-images 5 --older-than 7d --max-size 20G\n"
            "  sbuild prune --older-than 30d --dry-run\n",
    .run = run,
};
