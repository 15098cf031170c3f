#include "deploy/node/status.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/node.h"
#include "deploy/node/hostlayer.h"
#include "deploy/node/recover.h"

struct when {
    char text[32];
};
static struct when when(json_int_t seconds) {
    struct when out = {"-"};
    time_t t = (time_t)seconds;
    struct tm tm;
    if (seconds > 0 && localtime_r(&t, &tm))
        strftime(out.text, sizeof out.text, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

/* "sha256:" and twelve digits. */
static void add_digest(struct sb_table *table, const char *digest) {
    sb_strings_addf(&table->cells, "%.19s", digest);
}

static const char *version_of(const json_t *facts) {
    const char *tag = json_string_value(json_array_get(json_object_get(facts, "tags"), 0));
    return sb_json_string(facts, "version", tag ? tag : "-");
}

/* "0,2": those of the node that it has. */
static void add_gpus(struct sb_table *table, const json_t *gpus) {
    sb_autobuf struct sb_buf text = {0};
    size_t i;
    json_t *gpu;
    json_array_foreach (gpus, i, gpu) {
        sb_buf_addf(&text, "%s%lld", i ? "," : "", (long long)json_integer_value(gpu));
    }
    sb_strings_add(&table->cells, text.len ? sb_buf_text(&text) : "-");
}

static void add_titles(struct sb_table *table, const char *const *titles) {
    for (; *titles; titles++)
        sb_strings_add(&table->cells, *titles);
}

static void print_services(const json_t *services, uint64_t disk) {
    static const char *const titles[] = {"NAME", "GENERATION", "VERSION", "IMAGE", "HEALTH",
                                         "GPU",  "SINCE",      "DISK",    NULL};
    struct sb_table table = {.columns = 8, .right = 1u << 1 | 1u << 7};
    add_titles(&table, titles);
    size_t i;
    json_t *facts;
    json_array_foreach (services, i, facts) {
        json_int_t current = sb_json_integer(facts, "generation", 0);
        sb_strings_add(&table.cells, sb_json_string(facts, "name", ""));
        sb_strings_addf(&table.cells, "%lld", (long long)current);
        sb_strings_add(&table.cells, version_of(facts));
        add_digest(&table, sb_json_string(facts, "image", "-"));
        sb_strings_add(&table.cells,
                       sb_json_string(facts, "health", current ? "unknown" : "not installed"));
        add_gpus(&table, json_object_get(facts, "gpus"));
        sb_strings_add(&table.cells, when(sb_json_integer(facts, "since", 0)).text);
        json_int_t bytes = sb_json_integer(json_object_get(facts, "disk"), "bytes", 0);
        sb_strings_add(&table.cells, sb_text_size((uint64_t)bytes).text);
    }
    if (i > 0)
        sb_table_print(&table);
    sb_strings_free(&table.cells);
    if (i > 1)
        sb_cli_print("%s in all: what services share counts once\n", sb_text_size(disk).text);
}

static void print_generations(const json_t *generations) {
    static const char *const titles[] = {"",      "GENERATION", "STATE", "VERSION",
                                         "IMAGE", "INSTALLED",  NULL};
    struct sb_table table = {.columns = 6, .right = 1u << 1};
    add_titles(&table, titles);
    size_t i;
    json_t *facts;
    json_array_foreach (generations, i, facts) {
        bool current = json_is_true(json_object_get(facts, "current"));
        sb_strings_add(&table.cells, current ? "*" : "");
        sb_strings_addf(&table.cells, "%lld", (long long)sb_json_integer(facts, "generation", 0));
        sb_strings_add(&table.cells, sb_json_string(facts, "state", ""));
        sb_strings_add(&table.cells, version_of(facts));
        add_digest(&table, sb_json_string(facts, "image", "-"));
        sb_strings_add(&table.cells, when(sb_json_integer(facts, "installed", 0)).text);
    }
    sb_table_print(&table);
    sb_strings_free(&table.cells);
}

static void print_failures(const json_t *generations) {
    size_t i;
    json_t *facts;
    json_array_foreach (generations, i, facts) {
        const char *failure = sb_json_string(facts, "failure", NULL);
        if (failure)
            sb_cli_print("\ngeneration %lld failed: %s\n%s",
                         (long long)sb_json_integer(facts, "generation", 0), failure,
                         sb_json_string(facts, "journal", ""));
    }
}

static void print_one(const json_t *facts) {
    const json_t *follows = json_object_get(facts, "follows");
    sb_cli_print("\n");
    print_generations(json_object_get(facts, "generations"));
    sb_autofree char *own = sb_format("%s.service", sb_json_string(facts, "name", ""));
    const char *unit = sb_json_string(facts, "unit", own);
    if (strcmp(unit, own) != 0)
        sb_cli_print("\nruns in %s, on port %lld; what it says: journalctl -u %s\n", unit,
                     (long long)sb_json_integer(facts, "port", 0), unit);
    if (sb_json_string(facts, "why", NULL))
        sb_cli_print("\nunhealthy: %s\n", sb_json_string(facts, "why", ""));
    if (sb_json_string(facts, "gpus_why", NULL))
        sb_cli_print("\n%s: sbuild install it again once they are\n",
                     sb_json_string(facts, "gpus_why", ""));
    if (follows)
        sb_cli_print("\nfollows %s every %s\n", sb_json_string(follows, "reference", ""),
                     sb_text_seconds((double)sb_json_integer(follows, "interval", 0)).text);
    if (json_object_get(facts, "unfinished"))
        sb_cli_print("\nan operation was not ended: the next command on it puts it in order\n");
    print_failures(json_object_get(facts, "generations"));
}

/* Of one that nothing can be told of the others are shown all the same; out_failed is the first. */
static json_t *facts_of_all(const struct sb_node *node, const struct sb_strings *names,
                            struct sb_error *out_failed) {
    json_t *services = json_array();
    for (size_t i = 0; i < names->n; i++) {
        json_t *facts;
        struct sb_error own = {0};
        if (sb_service_status(node, names->v[i], &facts, &own) < 0) {
            if (own.code == SB_E_NOT_FOUND)
                continue; /* uninstalled meanwhile */
            facts = json_pack("{s:s, s:s, s:o}", "name", names->v[i], "health", "unknown", "why",
                              sb_json_from_text(own.message));
            if (!out_failed->code)
                *out_failed = own;
        }
        json_array_append_new(services, facts);
    }
    return services;
}

static json_t *facts_of_one(const struct sb_node *node, const char *name, struct sb_error *err) {
    json_t *facts;
    return sb_service_status(node, name, &facts, err) < 0 ? NULL : json_pack("[o]", facts);
}

/* Of one that was asked for by its name, what is wrong with it is the answer. */
static int judge(const json_t *facts, struct sb_error *err) {
    const char *health = sb_json_string(facts, "health", "");
    if (strcmp(health, "unhealthy") != 0)
        return 0;
    sb_fail(err, SB_E_UNHEALTHY, "%s is not healthy: %s", sb_json_string(facts, "name", ""),
            sb_json_string(facts, "why", "no reason is known"));
    return sb_error_hint(err, "journalctl -u %s shows what it says",
                         sb_json_string(facts, "unit", ""));
}

static int status(const struct sb_common *common, const char *name, struct sb_store *store,
                  struct sb_error *err) {
    const struct sb_node node = sb_cli_node(store);
    sb_autostrings struct sb_strings names = {0};
    struct sb_error failed = {0};
    uint64_t disk;
    if (!name && sb_node_services(&node, &names, err) < 0)
        return -1;
    sb_autojson json_t *services =
        name ? facts_of_one(&node, name, err) : facts_of_all(&node, &names, &failed);
    if (!services || sb_node_disk(&node, &disk, err) < 0)
        return -1;
    if (common->json) {
        sb_autojson json_t *all =
            json_pack("{s:O, s:{s:I}}", "services", services, "disk", "bytes", (json_int_t)disk);
        if (sb_cli_print_json(all, err) < 0)
            return -1;
    } else {
        print_services(services, disk);
        if (name)
            print_one(json_array_get(services, 0));
        else if (names.n == 0)
            sb_cli_say("no services are installed on this node\n");
    }
    if (sb_cli_flush(err) < 0)
        return -1;
    if (!failed.code)
        return name ? judge(json_array_get(services, 0), err) : 0;
    *err = failed;
    return -1;
}

static int put_in_order(const char *name, struct sb_store *store, struct sb_error *err) {
    struct sb_node node = sb_cli_node(store);
    node.mends = true;
    return name ? sb_recover(&node, name, err) : sb_recover_all(&node, err);
}

static int bring_driver(const char *root, struct sb_store *store, struct sb_error *err) {
    const struct sb_node node = sb_cli_node(store);
    return sb_hostlayer_renew_root(&node, root, err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    bool recover = false, driver = false;
    const struct sb_option options[] = {
        {.name = "recover", .flag = &recover}, {.name = "driver", .flag = &driver}, {0}};
    sb_autofree const char **names = sb_alloc(((size_t)argc + 1) * sizeof *names);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_status, argc, argv, options, &common, names, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    struct sb_settings settings = {0};
    struct sb_store *store;
    if (sb_options_count(&sb_command_status, count, driver, 1, err) < 0 ||
        sb_cli_open(&common, NULL, &settings, &store, err) < 0)
        return -1;
    const char *name = count ? names[0] : NULL;
    int rc = driver    ? bring_driver(name, store, err)
             : recover ? put_in_order(name, store, err)
                       : status(&common, name, store, err);
    sb_store_close(store);
    sb_settings_free(&settings);
    return rc;
}

const struct sb_command sb_command_status = {
    .name = "status",
    .arguments = "[NAME] [OPTION…]",
    .summary = "show the services of this node, their generations and health",
    .help = "With NAME also its generations, why the failed ones failed, and what they said.\n"
            "Health is asked for now; of NAME, the exit status is 7 when it is not well.\n"
            "DISK is what its unpacked layers take; layers that services share count for\n"
            "each of them, and once in the sum.\n\n"
            "options:\n"
            "  --recover            only finish or undo what a killed command did, once none\n"
            "                       is at work on it; units of this node do that too\n"
            "  --driver             only bring the driver of this host's GPUs into the root\n"
            "                       NAME (/run/sbuild/backend/3); units do that before each\n"
            "                       start of a service\n"
            "  --json               print facts as JSON\n"
            "  --store DIR          the store to look in\n\n"
            "examples:\n"
            "  sbuild status\n"
            "  sbuild status backend --json\n",
    .run = run,
};
