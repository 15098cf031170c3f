#include "deploy/node/green.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/ports.h"
#include "deploy/host/systemd.h"
#include "deploy/node/drain.h"
#include "deploy/node/dropins.h"
#include "deploy/node/health.h"
#include "deploy/node/owners.h"
#include "deploy/node/unitfiles.h"
#include "deploy/node/upstream.h"

/* ---- what a generation brings ---- */

bool sb_green_has(const struct sb_node_service *service, uint64_t number) {
    struct sb_description d;
    if (number == 0 || sb_generation_description(service, number, &d, NULL) < 0)
        return false;
    sb_autofree char *kept = sb_generation_coloured_unit(service, number, d.port, sb_colours[0]);
    bool has = d.strategy == SB_STRATEGY_BLUE_GREEN && sb_path_exists(service->fd, kept);
    sb_description_free(&d);
    return has;
}

static const char *other_colour(const char *colour) {
    return colour && !strcmp(colour, sb_colours[0]) ? sb_colours[1] : sb_colours[0];
}

char *sb_green_unit(const struct sb_node_service *service, uint64_t number) {
    struct sb_node_slot current;
    if (sb_node_slot(service, &current, NULL) == 0 && current.generation == number)
        return sb_strdup(current.unit);
    return sb_unit_service_name(
        service->name, sb_green_has(service, number) ? other_colour(current.colour) : NULL);
}

/* The port of what is current. */
static uint16_t port_of(const struct sb_node_service *service, const struct sb_node_slot *slot) {
    struct sb_description d;
    if (slot->port || sb_generation_description(service, slot->generation, &d, NULL) < 0)
        return slot->port;
    uint16_t port = d.port;
    sb_description_free(&d);
    return port;
}

/* ---- upstream files ---- */

static int point_of(const struct sb_node_service *service, uint64_t number, uint16_t port,
                    struct sb_error *err) {
    struct sb_description d;
    if (number == 0 || port == 0 || sb_generation_description(service, number, &d, NULL) < 0)
        return 0;
    int rc = d.upstream ? sb_upstream_point(service->node, d.upstream, port, err) : 0;
    sb_description_free(&d);
    return rc;
}

/* What a killed process did not come to put in place. Only where a generation has colours: else
 * NAME-blue may be another service, which is written just now. */
static void tidy(const struct sb_node_service *service) {
    sb_unitfiles_tidy(service->node, service->unit);
    for (int i = 0; i < SB_COLOURS; i++) {
        sb_autofree char *unit = sb_unit_service_name(service->name, sb_colours[i]);
        sb_unitfiles_tidy(service->node, unit);
    }
}

static int remove_upstreams(const struct sb_node_service *service, struct sb_error *err) {
    struct sb_generation_list list;
    if (sb_generations(service, &list, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < list.n && rc == 0; i++) {
        struct sb_description d;
        if (sb_generation_description(service, list.v[i].number, &d, NULL) < 0)
            continue;
        if (d.upstream) {
            tidy(service);
            rc = sb_upstream_remove(d.upstream, err);
        }
        sb_description_free(&d);
    }
    sb_generation_list_free(&list);
    return rc;
}

/* ---- one of the two goes ---- */

/* The time is the old one's own to say: its requests are what is waited for. */
static int drain(const struct sb_node_service *service, const struct sb_node_slot *slot,
                 struct sb_error *err) {
    struct sb_unit_status status;
    struct sb_description d;
    uint16_t port = port_of(service, slot);
    if (!port || sb_systemd_status(slot->unit, &status, NULL) < 0 || !status.main_pid)
        return 0;
    uint32_t limit = SB_SERVICE_DRAIN;
    if (sb_generation_description(service, slot->generation, &d, NULL) == 0) {
        limit = d.drain;
        sb_description_free(&d);
    }
    return sb_drain(service, port, limit, err);
}

static int retire(const struct sb_node_service *service, const struct sb_node_slot *slot,
                  bool patient, struct sb_error *err) {
    struct sb_error ignored = {0};
    if (patient && drain(service, slot, err) < 0)
        return -1;
    if (sb_systemd_stop(slot->unit, &ignored) < 0)
        sb_systemd_do("kill", slot->unit, &ignored);
    sb_systemd_do("reset-failed", slot->unit, &ignored);
    if (sb_dropins_take_back(service, slot->colour, err) < 0 ||
        sb_dropins_gather(service, slot->colour, err) < 0 ||
        sb_unitfiles_disable(service->node, slot->unit, err) < 0 ||
        sb_unitfiles_drop(service->node, slot->unit, err) < 0)
        return -1;
    return sb_systemd_reload(err);
}

int sb_green_stop(const struct sb_node_service *service, const char *but, bool patient,
                  struct sb_error *err) {
    for (int i = 0; i < SB_COLOURS; i++) {
        struct sb_node_slot slot;
        struct sb_error foreign = {0}; /* a unit that is not ours is left alone */
        if ((!but || strcmp(sb_colours[i], but) != 0) &&
            sb_node_slot_of(service, sb_colours[i], &slot, &foreign) == 0 && slot.generation &&
            retire(service, &slot, patient, err) < 0)
            return -1;
    }
    return 0;
}

int sb_green_settle(const struct sb_node_service *service, uint64_t a, uint64_t b, bool patient,
                    struct sb_error *err) {
    struct sb_node_slot current;
    if (sb_node_slot(service, &current, err) < 0)
        return -1;
    if (sb_green_has(service, a) || sb_green_has(service, b))
        tidy(service);
    if (current.generation == 0)
        return sb_green_remove(service, err);
    uint16_t port = port_of(service, &current);
    if (point_of(service, a, port, err) < 0 || point_of(service, b, port, err) < 0 ||
        point_of(service, current.generation, port, err) < 0)
        return -1;
    return sb_green_stop(service, current.colour, patient, err);
}

int sb_green_remove(const struct sb_node_service *service, struct sb_error *err) {
    if (sb_green_stop(service, NULL, false, err) < 0)
        return -1;
    return remove_upstreams(service, err);
}

/* ---- one of the two comes ---- */

struct coming {
    struct sb_node_slot slot; /* its generation: what the file holds until now */
    bool there;               /* it was started by a process that was killed then */
};

/* The colour and the port that the current one does not have. */
static int choose(const struct sb_node_service *service, const struct sb_description *d,
                  uint64_t number, const struct sb_node_slot *current, struct coming *out,
                  struct sb_error *err) {
    uint16_t taken = current->generation ? port_of(service, current) : 0;
    if (sb_node_slot_of(service, other_colour(current->colour), &out->slot, err) < 0)
        return -1;
    out->there = out->slot.generation == number && out->slot.port && out->slot.port != taken;
    if (!out->there)
        out->slot.port = d->port == taken ? d->spare_port : d->port;
    return 0;
}

static int place(const struct sb_node_service *service, uint64_t number,
                 const struct coming *coming, struct sb_error *err) {
    const struct sb_node_slot *slot = &coming->slot;
    sb_autofree char *path = sb_generation_coloured_unit(service, number, slot->port, slot->colour);
    sb_autobuf struct sb_buf text = {0};
    if (!coming->there && slot->generation && retire(service, slot, false, err) < 0)
        return -1;
    if (!coming->there && sb_port_use(slot->port).listens)
        return sb_fail(err, SB_E_FAILED,
                       "port %u, which generation %" PRIu64
                       " is to have, is another process's on this machine",
                       slot->port, number);
    sb_node_say(service->node, "%s: generation %" PRIu64 " starts in %s, on port %u", service->name,
                number, slot->unit, slot->port);
    if (sb_file_read(service->fd, path, SB_UNIT_TEXT_LIMIT, &text, err) < 0 ||
        sb_unitfiles_users(service, number, err) < 0 ||
        sb_dropins_gather(service, other_colour(slot->colour), err) < 0 ||
        sb_dropins_lend(service, slot->colour, err) < 0 ||
        sb_unitfiles_put(service->node, slot->unit, sb_buf_text(&text), err) < 0)
        return -1;
    return sb_systemd_reload(err);
}

static int start(const struct sb_node_slot *slot, struct sb_error *err) {
    struct sb_error ignored = {0};
    sb_systemd_do("reset-failed", slot->unit, &ignored);
    return sb_systemd_begin("start", slot->unit, err);
}

static int wait_for_health(const struct sb_node_service *service, const struct sb_description *d,
                           const struct sb_node_slot *slot, uint32_t wait, struct sb_error *err) {
    const struct sb_health health = {.node = service->node,
                                     .description = d,
                                     .unit = slot->unit,
                                     .port = slot->port,
                                     .wait = wait,
                                     .known = sb_generation_ran_well(service, slot->generation)};
    return sb_health_wait(&health, err);
}

static int become_current(const struct sb_node_service *service, const struct sb_node_slot *slot,
                          struct sb_error *err) {
    if (sb_unitfiles_alias(service, slot->unit, err) < 0 ||
        sb_dropins_take_back(service, slot->colour, err) < 0)
        return -1;
    return sb_systemd_reload(err);
}

/* For who asks the journal by the service's name: it knows no aliases. */
static void leave_word(const struct sb_node_service *service, uint64_t number,
                       const struct sb_node_slot *slot) {
    sb_autofree char *line =
        sb_format("generation %" PRIu64 " serves from now on, on port %u; what "
                  "it says: journalctl -u %s",
                  number, slot->port, slot->unit);
    sb_systemd_note(service->unit, line);
}

/* Two that run as different users can't have the same data: then the old one is stopped first. */
static int take_data(const struct sb_node_service *service, uint64_t number,
                     const struct sb_node_slot *old, struct sb_error *err) {
    if (!sb_owners_differ(service, number))
        return 0;
    if (old->generation && sb_systemd_stop_alone(old->unit, err) < 0)
        return -1;
    return sb_owners_change(service, number, err);
}

static int run_beside(const struct sb_node_service *service, const struct sb_description *d,
                      uint64_t number, const struct coming *coming,
                      const struct sb_node_slot *current, uint32_t wait, struct sb_error *err) {
    const struct sb_node_slot *slot = &coming->slot;
    if (place(service, number, coming, err) < 0 || take_data(service, number, current, err) < 0 ||
        start(slot, err) < 0 || wait_for_health(service, d, slot, wait, err) < 0 ||
        sb_upstream_point(service->node, d->upstream, slot->port, err) < 0)
        return -1;
    return become_current(service, slot, err);
}

/* The first in a colour: nothing runs beside it. While systemd knows NAME.service as a unit of its
 * own, be it one that does not run, it may not become the alias of one that does: of two states
 * that are then one unit's, the wrong one may be kept when systemd reads its units anew. */
static int run_first(const struct sb_node_service *service, const struct sb_description *d,
                     uint64_t number, const struct coming *coming,
                     const struct sb_node_slot *current, uint32_t wait, struct sb_error *err) {
    const struct sb_node_slot *slot = &coming->slot;
    sb_autofree char *timer = sb_format("%s.timer", service->name);
    struct sb_error ignored = {0};
    if (place(service, number, coming, err) < 0)
        return -1;
    sb_systemd_do("stop", timer, &ignored); /* there may be none */
    if ((current->generation && sb_systemd_stop_alone(service->unit, err) < 0) ||
        sb_owners_change(service, number, err) < 0 ||
        sb_unitfiles_timer(service, number, err) < 0 || become_current(service, slot, err) < 0 ||
        start(slot, err) < 0 || wait_for_health(service, d, slot, wait, err) < 0)
        return -1;
    return sb_upstream_point(service->node, d->upstream, slot->port, err);
}

static int run_new(const struct sb_node_service *service, const struct sb_description *d,
                   uint64_t number, const struct sb_node_slot *current, uint32_t wait,
                   struct sb_error *err) {
    struct coming coming;
    if (choose(service, d, number, current, &coming, err) < 0)
        return -1;
    int rc = current->colour ? run_beside(service, d, number, &coming, current, wait, err)
                             : run_first(service, d, number, &coming, current, wait, err);
    if (rc == 0)
        leave_word(service, number, &coming.slot);
    return rc;
}

static int see_that_it_runs(const struct sb_node_service *service, const struct sb_description *d,
                            const struct sb_node_slot *current, uint32_t wait,
                            struct sb_error *err) {
    if (become_current(service, current, err) < 0 ||
        sb_systemd_begin("start", current->unit, err) < 0)
        return -1;
    return wait_for_health(service, d, current, wait, err);
}

int sb_green_run(const struct sb_node_service *service, uint64_t number, uint32_t wait,
                 struct sb_error *err) {
    struct sb_node_slot current;
    struct sb_description d;
    if (sb_node_slot(service, &current, err) < 0 ||
        sb_generation_description(service, number, &d, err) < 0)
        return -1;
    bool there = current.colour && current.generation == number;
    int rc = there ? see_that_it_runs(service, &d, &current, wait, err)
                   : run_new(service, &d, number, &current, wait, err);
    sb_description_free(&d);
    struct sb_error ignored = {0};
    if (rc == 0 || there || !current.colour || err->code == SB_E_INTERRUPTED)
        return rc; /* of the first the caller goes back, as with any unit that was replaced */
    sb_green_revive(service, &ignored);
    sb_green_settle(service, number, 0, false, &ignored);
    return -1;
}

int sb_green_revive(const struct sb_node_service *service, struct sb_error *err) {
    struct sb_node_slot current, other;
    struct sb_description d;
    struct sb_error foreign = {0};
    if (sb_node_slot(service, &current, err) < 0)
        return -1;
    if (!current.generation ||
        sb_node_slot_of(service, other_colour(current.colour), &other, &foreign) < 0 ||
        !other.generation || sb_generation_description(service, current.generation, &d, NULL) < 0)
        return 0;
    struct sb_unit_status status;
    int rc = sb_systemd_status(current.unit, &status, err);
    if (rc == 0 && !status.main_pid) {
        rc = take_data(service, current.generation, &other, err);
        if (rc == 0)
            rc = sb_systemd_begin("start", current.unit, err);
        if (rc == 0)
            rc = wait_for_health(service, &d, &current, 0, err);
    }
    sb_description_free(&d);
    return rc;
}
