/* To a generation that ran here before: nothing is fetched or unpacked. */
#include <inttypes.h>

#include "base/memory.h"
#include "deploy/host/systemd.h"
#include "deploy/node/gpus.h"
#include "deploy/node/hostlayer.h"
#include "deploy/node/install.h"
#include "deploy/node/owners.h"
#include "deploy/node/prepare.h"
#include "deploy/node/switch.h"
#include "deploy/node/unitfiles.h"
#include "deploy/node/watch.h"

static int choose(const struct sb_node_service *service, uint64_t current, uint64_t wanted,
                  uint64_t *out, struct sb_error *err) {
    struct sb_generation_list list;
    if (sb_generations(service, &list, err) < 0)
        return -1;
    *out = 0;
    bool failed = false;
    for (size_t i = 0; i < list.n; i++) {
        const struct sb_generation *g = &list.v[i];
        bool fits = wanted ? g->number == wanted : g->number < current;
        if (fits && g->state == SB_GENERATION_HEALTHY)
            *out = g->number;
        failed = failed || (wanted && g->number == wanted && g->state != SB_GENERATION_HEALTHY);
    }
    sb_generation_list_free(&list);
    if (*out)
        return 0;
    if (failed)
        return sb_fail(err, SB_E_FAILED, "generation %" PRIu64 " of %s was never healthy", wanted,
                       service->name);
    if (wanted)
        return sb_fail(err, SB_E_NOT_FOUND, "%s has no generation %" PRIu64, service->name, wanted);
    return sb_fail(err, SB_E_NOT_FOUND, "%s has no generation before %" PRIu64 " to go back to",
                   service->name, current);
}

static bool has_any_gpus(const struct sb_description *d) {
    return d->gpu && !d->gpu_devices;
}

static int check_place(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err) {
    if (sb_unitfiles_fit(service, number))
        return 0;
    sb_fail(err, SB_E_FAILED,
            "generation %" PRIu64 " of %s is of a time when this store lay elsewhere", number,
            service->name);
    return sb_error_hint(err, "install that release again");
}

/* Others see from here on which port and which devices it has. */
static int claim(const struct sb_node_service *service, const struct sb_description *d,
                 const struct sb_operation *operation, struct sb_generation *generation,
                 struct sb_error *err) {
    sb_autoclose int lock = sb_node_lock(service->node, err);
    if (lock < 0 || sb_prepare_check_again(service, d, err) < 0)
        return -1;
    if (has_any_gpus(d) &&
        (sb_gpus_choose(service, d, generation->gpus, &generation->gpus, err) < 0 ||
         sb_generation_save(service, generation, err) < 0))
        return -1;
    return sb_watch_operation(service, operation, err);
}

/* Others may have the devices that it once had, and the host another driver: its units are made for
 * what it gets now.
 * Those of an sbuild that gave it no user of its own are made anew too. */
static int renew_units(struct sb_node_service *service, const struct sb_description *d,
                       const struct sb_generation *generation, struct sb_error *err) {
    int version;
    bool fit = !d->gpu && sb_hostlayer_fits(service, generation->number) &&
               sb_owners_fit(service, generation->number, d);
    if (fit || (sb_systemd_check(&version, err) == 0 &&
                sb_prepare_units(service, d, generation, version, err) == 0))
        return 0;
    struct sb_error ignored = {0};
    enum sb_operation_kind kind;
    sb_switch_recover(service, &kind, &ignored); /* nothing was switched: it is undone */
    return -1;
}

static int prepare(struct sb_node_service *service, struct sb_switch *plan,
                   struct sb_generation *generation, struct sb_error *err) {
    const struct sb_operation operation = {.kind = plan->kind, .from = plan->from, .to = plan->to};
    struct sb_description d;
    if (sb_generation_description(service, plan->to, &d, err) < 0)
        return -1;
    int rc = check_place(service, plan->to, err);
    if (rc == 0)
        rc = claim(service, &d, &operation, generation, err);
    plan->watched = rc == 0;
    if (rc == 0)
        rc = renew_units(service, &d, generation, err);
    sb_description_free(&d);
    return rc;
}

static int rollback_locked(struct sb_node_service *service, uint64_t wanted, uint32_t wait,
                           struct sb_installed *out, struct sb_error *err) {
    enum sb_operation_kind before;
    uint64_t current, to;
    struct sb_generation generation;
    if (sb_switch_recover(service, &before, err) < 0 ||
        sb_node_current(service, &current, err) < 0 ||
        choose(service, current, wanted, &to, err) < 0 ||
        sb_generation_load(service, to, &generation, err) < 0)
        return -1;
    out->previous = current;
    out->generation = to;
    out->bundle = generation.bundle;
    out->image = generation.image;
    out->unchanged = to == current;
    struct sb_switch plan = {
        .kind = SB_OPERATION_ROLLBACK, .from = current, .to = to, .wait = wait};
    int rc = out->unchanged ? 0 : prepare(service, &plan, &generation, err);
    sb_generation_free(&generation);
    if (rc < 0 || out->unchanged)
        return rc;
    rc = sb_switch_run(service, &plan, err);
    sb_watch_end(service->node, service->name);
    return rc;
}

int sb_rollback(const struct sb_node *node, const char *name, uint64_t generation, uint32_t wait,
                struct sb_installed *out, struct sb_error *err) {
    *out = (struct sb_installed){.name = sb_strdup(name)};
    struct sb_node_service *service;
    if (sb_node_need_root(err) < 0 || sb_node_service_find(node, name, &service, err) < 0)
        return -1;
    int rc = rollback_locked(service, generation, wait, out, err);
    sb_node_service_close(service);
    return rc;
}
