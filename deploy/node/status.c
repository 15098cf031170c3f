#include "deploy/node/status.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "deploy/host/systemd.h"
#include "deploy/node/follow.h"
#include "deploy/node/gpus.h"
#include "deploy/node/health.h"
#include "deploy/node/hostlayer.h"
#include "deploy/node/switch.h"
#include "deploy/node/unitfiles.h"
#include "deploy/node/watch.h"
#include "layers/pin.h"
#include "layers/trees.h"

/* ---- disk ---- */

/* Of a path "sbuild/trees/HEX". */
static bool tree_of(const char *path, struct sb_digest *out) {
    static const char trees[] = "sbuild/trees/";
    return strncmp(path, trees, strlen(trees)) == 0 &&
           sb_digest_parse_hex(path + strlen(trees), out);
}

static void add_new(struct sb_strings *to, const struct sb_strings *from) {
    for (size_t i = 0; i < from->n; i++)
        if (!sb_strings_has(to, from->v[i]))
            sb_strings_add(to, from->v[i]);
}

static uint64_t sum(struct sb_store *store, const struct sb_strings *trees) {
    sb_autofree struct sb_digest *ids = sb_alloc((trees->n + 1) * sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; i < trees->n; i++)
        n += tree_of(trees->v[i], &ids[n]) ? 1 : 0;
    return sb_trees_size(store, ids, n);
}

static void add_pins(const struct sb_node *node, const char *name, struct sb_strings *out) {
    sb_autofree char *pin = sb_format("service-%s", name);
    sb_autostrings struct sb_strings items = {0};
    if (sb_pin_items(node->store, pin, &items, NULL) == 0)
        add_new(out, &items);
}

int sb_node_disk(const struct sb_node *node, uint64_t *out, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0}, trees = {0};
    if (sb_node_services(node, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++)
        add_pins(node, names.v[i], &trees);
    *out = sum(node->store, &trees);
    return 0;
}

static json_t *disk(const struct sb_node *node, const char *name) {
    sb_autostrings struct sb_strings names = {0}, own = {0}, others = {0}, shared = {0};
    add_pins(node, name, &own);
    if (sb_node_services(node, &names, NULL) == 0)
        for (size_t i = 0; i < names.n; i++)
            if (strcmp(names.v[i], name) != 0)
                add_pins(node, names.v[i], &others);
    for (size_t i = 0; i < own.n; i++)
        if (sb_strings_has(&others, own.v[i]))
            sb_strings_add(&shared, own.v[i]);
    return json_pack("{s:I, s:I}", "bytes", (json_int_t)sum(node->store, &own), "shared",
                     (json_int_t)sum(node->store, &shared));
}

/* ---- one service ---- */

static void set(json_t *object, const char *key, const char *text) {
    if (text)
        json_object_set_new(object, key, sb_json_from_text(text));
}

static json_t *generation_facts(const struct sb_generation *g, uint64_t current) {
    json_t *out = json_pack(
        "{s:I, s:b, s:s, s:s, s:s, s:I, s:I}", "generation", (json_int_t)g->number, "current",
        g->number == current, "state", sb_generation_state_name(g->state), "bundle",
        sb_digest_text(&g->bundle).text, "image", sb_digest_text(&g->image).text, "installed",
        (json_int_t)g->installed, "since", (json_int_t)g->since);
    json_object_set_new(out, "gpus", sb_generation_gpus_json(g));
    set(out, "version", g->version);
    set(out, "reference", g->reference);
    set(out, "failure", g->failure);
    if (g->journal)
        json_object_set_new(out, "journal", sb_json_from_text(g->journal));
    return out;
}

/* The tag of a reference, without what makes it a bundle's. */
static json_t *tags(const char *reference) {
    json_t *out = json_array();
    const char *at = strchr(reference, '@'), *colon = strrchr(reference, ':');
    if (at || !colon || strchr(colon, '/'))
        return out;
    colon++;
    if (!strncmp(colon, "bundle-", 7))
        colon += 7;
    json_array_append_new(out, sb_json_from_bytes(colon));
    return out;
}

/* What its process may not notice, or tell nobody. */
static void add_missing(json_t *out, const struct sb_node_service *service,
                        const struct sb_generation *g) {
    struct sb_description d;
    if (sb_generation_description(service, g->number, &d, NULL) < 0)
        return;
    unsigned missing = sb_gpus_missing(service->node, &d, g);
    if (missing) {
        sb_autofree char *text =
            sb_format("it asks for %u GPU%s, and %u of %s not there", d.gpu, d.gpu == 1 ? "" : "s",
                      missing, missing == 1 ? "them is" : "them are");
        json_object_set_new(out, "gpus_missing", json_integer(missing));
        set(out, "gpus_why", text);
    }
    sb_description_free(&d);
}

static void add_current(json_t *out, const struct sb_node_service *service,
                        const struct sb_generation *g) {
    add_missing(out, service, g);
    json_object_set_new(out, "image", json_string(sb_digest_text(&g->image).text));
    json_object_set_new(out, "bundle", json_string(sb_digest_text(&g->bundle).text));
    json_object_set_new(out, "tags", tags(g->reference ? g->reference : ""));
    json_object_set_new(out, "gpus", sb_generation_gpus_json(g));
    set(out, "version", g->version);
    set(out, "reference", g->reference);
}

/* Of a job, that its timer waits, and how it ended when it ran last. */
static int scheduled_well(const char *unit, const struct sb_unit_status *timer, int64_t since,
                          struct sb_error *err) {
    struct sb_unit_status job;
    if (strcmp(timer->active, "active") != 0)
        return sb_fail(err, SB_E_UNHEALTHY, "its timer is %s", timer->active);
    if (sb_systemd_status(unit, &job, err) < 0)
        return -1;
    if (job.began <= since) /* to the second: that was the generation before's */
        return 0;
    return !strcmp(job.result, "success")
               ? 0
               : sb_fail(err, SB_E_UNHEALTHY, "it failed when it ran last (%s)", job.result);
}

static int64_t since_when(const struct sb_node_service *service, uint64_t number) {
    struct sb_generation generation;
    if (sb_generation_load(service, number, &generation, NULL) < 0)
        return 0;
    int64_t since = generation.since;
    sb_generation_free(&generation);
    return since;
}

static void add_health(json_t *out, const struct sb_node_service *service,
                       const struct sb_node_slot *current) {
    struct sb_description d;
    struct sb_unit_status status;
    struct sb_error why = {0};
    sb_autofree char *of_generation = sb_unitfiles_main(service, current->generation);
    bool timer = strcmp(of_generation, service->unit) != 0;
    const char *unit = timer ? of_generation : current->unit;
    if (sb_generation_description(service, current->generation, &d, &why) < 0)
        return;
    const struct sb_health health = {
        .node = service->node, .description = &d, .unit = unit, .port = current->port};
    set(out, "unit", current->unit);
    if (sb_systemd_status(unit, &status, &why) == 0) {
        set(out, "active", status.active);
        json_object_set_new(out, "since", json_integer(status.since));
        json_object_set_new(out, "pid", json_integer(status.main_pid));
        json_object_set_new(out, "restarts", json_integer(status.restarts));
        bool well = (timer ? scheduled_well(service->unit, &status,
                                            since_when(service, current->generation), &why)
                           : sb_health_probe(&health, &why)) == 0;
        set(out, "health", well ? "healthy" : "unhealthy");
        if (!well && *why.message)
            set(out, "why", why.message);
    }
    if (d.port)
        json_object_set_new(out, "port", json_integer(current->port ? current->port : d.port));
    sb_description_free(&d);
}

static void add_follow(json_t *out, const struct sb_node_service *service) {
    struct sb_follow follow;
    if (sb_follow_load(service, &follow, NULL) < 0 || !follow.reference)
        return;
    json_t *facts = json_pack("{s:s, s:I}", "reference", follow.reference, "interval",
                              (json_int_t)follow.interval);
    if (follow.has_refused)
        json_object_set_new(facts, "refused", json_string(sb_digest_text(&follow.refused).text));
    json_object_set_new(out, "follows", facts);
    sb_follow_free(&follow);
}

static int add_generations(json_t *out, const struct sb_node_service *service, uint64_t current,
                           struct sb_error *err) {
    struct sb_generation_list list;
    if (sb_generations(service, &list, err) < 0)
        return -1;
    json_t *facts = json_array();
    for (size_t i = 0; i < list.n; i++) {
        if (list.v[i].number == current)
            add_current(out, service, &list.v[i]);
        json_array_append_new(facts, generation_facts(&list.v[i], current));
    }
    json_object_set_new(out, "generations", facts);
    sb_generation_list_free(&list);
    return 0;
}

int sb_service_status(const struct sb_node *node, const char *name, json_t **out,
                      struct sb_error *err) {
    struct sb_node_service *service;
    struct sb_operation operation;
    struct sb_node_slot current;
    *out = NULL;
    if (sb_node_service_look(node, name, &service, err) < 0)
        return -1;
    int rc = sb_node_slot(service, &current, err);
    if (rc == 0)
        rc = sb_operation_load(service, &operation, err);
    json_t *facts = json_pack("{s:s, s:I}", "name", name, "generation",
                              rc == 0 ? (json_int_t)current.generation : (json_int_t)0);
    if (rc == 0)
        rc = add_generations(facts, service, current.generation, err);
    if (rc == 0 && current.generation)
        add_health(facts, service, &current);
    if (rc == 0 && operation.kind != SB_OPERATION_NONE)
        json_object_set_new(facts, "unfinished", json_true());
    if (rc == 0) {
        json_object_set_new(facts, "disk", disk(node, name));
        add_follow(facts, service);
        *out = facts;
    } else {
        json_decref(facts);
    }
    sb_node_service_close(service);
    return rc;
}

/* ---- pruning ---- */

static int prune_service(struct sb_node_service *service, bool dry_run, struct sb_strings *out,
                         struct sb_error *err) {
    enum sb_operation_kind before;
    struct sb_generation_list list;
    uint64_t current;
    if ((!dry_run && sb_switch_recover(service, &before, err) < 0) ||
        sb_node_current(service, &current, err) < 0 || sb_generations(service, &list, err) < 0)
        return -1;
    size_t kept = 0, failures = 0;
    int rc = 0;
    for (size_t i = list.n; i-- > 0 && rc == 0;) {
        const struct sb_generation *g = &list.v[i];
        bool keep =
            g->state == SB_GENERATION_FAILED ? failures++ == 0 : kept++ < SB_GENERATIONS_KEPT;
        if (keep || g->number == current)
            continue;
        sb_strings_addf(out, "%s %" PRIu64, service->name, g->number);
        if (!dry_run)
            rc = sb_generation_remove(service, g->number, err);
    }
    sb_generation_list_free(&list);
    return rc < 0 || dry_run ? rc : sb_node_pin(service, err);
}

int sb_node_prune(const struct sb_node *node, bool dry_run, struct sb_strings *out,
                  struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (sb_node_services(node, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        struct sb_node_service *service;
        struct sb_error own = {0};
        int rc = sb_node_service_find(node, names.v[i], &service, &own);
        if (rc < 0 && own.code == SB_E_NOT_FOUND)
            continue; /* uninstalled meanwhile */
        if (rc == 0)
            rc = prune_service(service, dry_run, out, &own);
        sb_node_service_close(service);
        if (rc < 0) {
            *err = own;
            return -1;
        }
    }
    if (dry_run)
        return 0;
    sb_hostlayer_sweep(node);
    int rc = sb_watch_no_units(node, err);
    if (rc < 0 && names.n == 0 && err->code == SB_E_NO_SPACE) { /* no room even for its lock */
        sb_error_clear(err);
        rc = 0;
    }
    return rc;
}
