#include "deploy/node/switch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/systemd.h"
#include "deploy/node/follow.h"
#include "deploy/node/green.h"
#include "deploy/node/health.h"
#include "deploy/node/owners.h"
#include "deploy/node/schedule.h"
#include "deploy/node/unitfiles.h"
#include "deploy/node/watch.h"

#define JOURNAL_LINES 40

/* ---- one generation made the running one ---- */

/* Starts what the unit file says now. Limits on starts count from here: an operator's command is
 * not what they are against. */
static int restart(const struct sb_node_service *service, uint64_t before, uint64_t number,
                   struct sb_error *err) {
    sb_autofree char *unit = sb_unitfiles_main(service, number);
    struct sb_error ignored = {0};
    if (sb_systemd_reload(err) < 0 || sb_green_stop(service, NULL, false, err) < 0)
        return -1;
    sb_systemd_do("reset-failed", service->unit, &ignored);
    bool other = sb_owners_differ(service, number);
    if (other)
        sb_node_say(service->node, "%s: its data become another user's, its own", service->name);
    bool scheduled = strcmp(unit, service->unit) != 0;
    if (scheduled && !sb_schedule_is_job(service, before, false))
        sb_systemd_stop(service->unit, &ignored); /* a run that goes on would be left alone */
    if (other && (sb_systemd_stop_alone(service->unit, err) < 0 ||
                  sb_owners_change(service, number, err) < 0))
        return -1;
    sb_schedule_renew(service, number);
    return sb_systemd_begin("restart", unit, err);
}

static int wait_for_health(const struct sb_node_service *service, uint64_t number, uint32_t wait,
                           pid_t old, struct sb_error *err) {
    struct sb_description description;
    sb_autofree char *unit = sb_unitfiles_main(service, number);
    if (sb_generation_description(service, number, &description, err) < 0)
        return -1;
    const struct sb_health health = {.node = service->node,
                                     .description = &description,
                                     .unit = unit,
                                     .wait = wait,
                                     .not_process = old,
                                     .known = sb_generation_ran_well(service, number)};
    int rc = 0;
    if (!strcmp(unit, service->unit))
        rc = sb_health_wait(&health, err);
    sb_description_free(&description);
    return rc;
}

/* Who takes over from a killed process does not start again what that has started, which may have
 * been getting ready for long. */
static int make_current(const struct sb_node_service *service, struct sb_operation *operation,
                        struct sb_error *err) {
    uint64_t number = operation->back ? operation->from : operation->to;
    uint64_t other = operation->back ? operation->to : operation->from;
    uint32_t wait = operation->back ? 0 : operation->wait;
    struct sb_unit_status before = {0};
    struct sb_error ignored = {0};
    if (sb_green_has(service, number))
        return sb_green_run(service, number, wait, err);
    if (!operation->started && !operation->back)
        sb_schedule_hold(service, other, number);
    if (sb_unitfiles_place(service, number, err) < 0)
        return -1;
    if (!operation->started) {
        if (sb_systemd_status(service->unit, &before, err) < 0 ||
            restart(service, other, number, err) < 0)
            return -1;
        operation->started = true;
        sb_operation_save(service, operation, &ignored);
    }
    return wait_for_health(service, number, wait, before.main_pid, err);
}

/* ---- records ---- */

static int record_healthy(const struct sb_node_service *service, uint64_t number,
                          struct sb_error *err) {
    struct sb_generation generation;
    if (sb_generation_load(service, number, &generation, err) < 0)
        return -1;
    generation.state = SB_GENERATION_HEALTHY;
    generation.since = time(NULL);
    free(sb_steal(generation.failure));
    free(sb_steal(generation.journal));
    int rc = sb_generation_save(service, &generation, err);
    sb_generation_free(&generation);
    return rc;
}

/* A generation that ran well before stays one to go back to. */
static int record_failed(const struct sb_node_service *service, uint64_t number, const char *why,
                         int64_t started, struct sb_error *err) {
    struct sb_generation generation;
    if (sb_generation_load(service, number, &generation, err) < 0)
        return -1;
    sb_autobuf struct sb_buf journal = {0};
    sb_autofree char *unit = sb_green_unit(service, number);
    sb_systemd_journal(unit, started, JOURNAL_LINES, &journal);
    if (generation.state != SB_GENERATION_HEALTHY)
        generation.state = SB_GENERATION_FAILED;
    free(generation.failure);
    free(generation.journal);
    generation.failure = sb_strdup(why);
    generation.journal = sb_strdup(sb_buf_text(&journal));
    int rc = sb_generation_save(service, &generation, err);
    sb_generation_free(&generation);
    return rc;
}

/* ---- forwards, and back ---- */

static bool is_whole(const struct sb_node_service *service, uint64_t number) {
    sb_autofree char *unit = sb_format("%" PRIu64 "/units/%s", number, service->unit);
    return number > 0 && (sb_path_exists(service->fd, unit) || sb_green_has(service, number));
}

/* A timer whose file is gone fails when systemd looks at it again, and stays so. */
static void end_timer(const struct sb_node_service *service, uint64_t gone, uint64_t stays) {
    sb_autofree char *old = sb_unitfiles_main(service, gone);
    sb_autofree char *new = sb_unitfiles_main(service, stays);
    struct sb_error ignored = {0};
    if (!strcmp(old, service->unit) || !strcmp(old, new))
        return;
    sb_systemd_do("stop", old, &ignored);
    sb_systemd_do("reset-failed", old, &ignored);
}

static int finish(const struct sb_node_service *service, const struct sb_operation *operation,
                  struct sb_error *err) {
    if (record_healthy(service, operation->to, err) < 0 ||
        sb_green_settle(service, operation->from, operation->to, true, err) < 0)
        return -1;
    end_timer(service, operation->from, operation->to);
    if (operation->from && operation->from != operation->to &&
        sb_unitfiles_unmount(service, operation->from, err) < 0)
        return -1;
    if (sb_node_pin(service, err) < 0)
        return -1;
    if (operation->kind == SB_OPERATION_ROLLBACK)
        sb_follow_went_back(service, operation->to);
    return sb_operation_clear(service, err);
}

static int take_away(const struct sb_node_service *service, uint64_t number, struct sb_error *err) {
    struct sb_error ignored = {0};
    sb_autofree char *timer = sb_format("%s.timer", service->name);
    sb_systemd_do("stop", timer, &ignored);
    sb_schedule_forget(service);
    if (sb_systemd_stop(service->unit, &ignored) < 0)
        sb_systemd_do("kill", service->unit, &ignored);
    if (sb_unitfiles_remove(service, err) < 0 || sb_green_remove(service, err) < 0)
        return -1;
    if (number && sb_unitfiles_unmount(service, number, err) < 0)
        return -1;
    sb_systemd_do("reset-failed", service->unit, &ignored);
    return sb_systemd_reload(err);
}

/* Runs `from` again, or nothing where nothing ran. What could not be done for another reason than
 * its health stays under way, for the next to try. */
static int go_back(const struct sb_node_service *service, struct sb_operation *operation,
                   struct sb_error *err) {
    int rc = 0;
    struct sb_error ignored = {0};
    if (operation->from && !is_whole(service, operation->from)) { /* the store was lost */
        sb_unitfiles_unmount(service, operation->from, &ignored);
        operation->from = 0;
    }
    if (operation->from == 0) {
        rc = take_away(service, operation->to, err);
    } else {
        rc = sb_unitfiles_mount(service, operation->from, err);
        if (rc == 0)
            rc = make_current(service, operation, err);
        if (rc == 0)
            rc = sb_green_settle(service, operation->from, operation->to, false, err);
        end_timer(service, operation->to, operation->from);
    }
    if (rc < 0 && err->code != SB_E_UNHEALTHY)
        return -1;
    if (operation->to != operation->from)
        sb_unitfiles_unmount(service, operation->to, &ignored);
    sb_node_pin(service, &ignored); /* should that fail, too much is pinned for a while */
    return sb_operation_clear(service, rc < 0 ? &ignored : err) < 0 ? -1 : rc;
}

/* Going back matters more than the record, for which a full disk may have no room. */
static int undo(const struct sb_node_service *service, struct sb_operation *operation,
                int64_t started, struct sb_error *err) {
    const struct sb_error why = *err;
    struct sb_error own = {0};
    sb_node_say(service->node, "%s: generation %" PRIu64 " is not healthy: %.600s", service->name,
                operation->to, why.message);
    operation->back = true;
    operation->started = false;
    if (record_failed(service, operation->to, why.message, started, &own) < 0 ||
        sb_operation_save(service, operation, &own) < 0)
        sb_node_say(service->node, "%s: this is not recorded: %.600s", service->name, own.message);
    own = (struct sb_error){0};
    if (go_back(service, operation, &own) < 0) {
        *err = own;
        return sb_error_context(err, "going back to generation %" PRIu64, operation->from);
    }
    sb_fail(err, why.code, "%s: generation %" PRIu64 " did not become healthy: %s", service->name,
            operation->to, why.message);
    if (operation->from)
        return sb_error_hint(err,
                             "generation %" PRIu64 " runs again; sbuild status %s shows what "
                             "the failed one said",
                             operation->from, service->name);
    return sb_error_hint(err, "it was taken away again; sbuild status %s shows what it said",
                         service->name);
}

/* Files of `to` that were put in place before the service's own; and what runs of it, in a colour
 * beside the current one, which may have been the one that serves. */
static int restore_units(const struct sb_node_service *service,
                         const struct sb_operation *operation, struct sb_error *err) {
    struct sb_error ignored = {0};
    int rc = operation->from == 0 ? sb_unitfiles_remove(service, err)
             : sb_green_has(service, operation->from)
                 ? sb_unitfiles_timer(service, operation->from, err)
                 : sb_unitfiles_place(service, operation->from, err);
    if (rc < 0 || sb_systemd_reload(err) < 0)
        return -1;
    if (sb_schedule_is_job(service, operation->from, true)) { /* it may have been held */
        sb_autofree char *timer = sb_format("%s.timer", service->name);
        sb_systemd_begin("start", timer, &ignored);
    }
    if (sb_green_revive(service, &ignored) < 0 && ignored.code == SB_E_INTERRUPTED) {
        *err = ignored;
        return -1;
    }
    return sb_green_settle(service, operation->from, operation->to, true, err);
}

/* The switch did not come about: the old one runs, or nothing. */
static int forget(const struct sb_node_service *service, const struct sb_operation *operation,
                  struct sb_error *err) {
    struct sb_generation generation = {0};
    bool unknown = sb_generation_load(service, operation->to, &generation, NULL) == 0 &&
                   generation.state == SB_GENERATION_PREPARED;
    sb_generation_free(&generation);
    if (restore_units(service, operation, err) < 0 ||
        sb_unitfiles_unmount(service, operation->to, err) < 0)
        return -1;
    if (unknown && sb_generation_remove(service, operation->to, err) < 0)
        return -1;
    struct sb_error ignored = {0};
    sb_node_pin(service, &ignored); /* as above */
    return sb_operation_clear(service, err);
}

/* What is wrong showed before the switch: the service that runs is left alone. Only what its health
 * speaks against is kept as a record; else nothing is known of the release. */
static int abandon(const struct sb_node_service *service, const struct sb_operation *operation,
                   int64_t started, struct sb_error *err) {
    const struct sb_error why = *err;
    struct sb_error ignored = {0};
    if (why.code == SB_E_UNHEALTHY)
        record_failed(service, operation->to, why.message, started, &ignored);
    forget(service, operation, &ignored);
    *err = why;
    if (why.code != SB_E_UNHEALTHY)
        return -1;
    sb_fail(err, why.code, "%s: generation %" PRIu64 " did not become healthy: %s", service->name,
            operation->to, why.message);
    return sb_error_hint(err, "%s; sbuild status %s shows what it said",
                         operation->from ? "the one that runs was left alone"
                                         : "it was taken away again",
                         service->name);
}

static bool was_switched(const struct sb_node_service *service,
                         const struct sb_operation *operation) {
    uint64_t current;
    return sb_node_current(service, &current, NULL) < 0 || current == operation->to;
}

static int forwards(const struct sb_node_service *service, struct sb_operation *operation,
                    struct sb_error *err) {
    int64_t started = time(NULL);
    int rc =
        operation->started ? 0 : sb_schedule_let_end(service, operation->from, operation->to, err);
    if (rc == 0)
        rc = sb_unitfiles_mount(service, operation->to, err);
    if (rc == 0)
        rc = make_current(service, operation, err);
    if (rc == 0)
        return finish(service, operation, err);
    if (err->code == SB_E_INTERRUPTED)
        return -1; /* operation.json stays, for the next command */
    return was_switched(service, operation) ? undo(service, operation, started, err)
                                            : abandon(service, operation, started, err);
}

int sb_switch_run(const struct sb_node_service *service, const struct sb_switch *plan,
                  struct sb_error *err) {
    struct sb_operation operation = {
        .kind = plan->kind, .from = plan->from, .to = plan->to, .wait = plan->wait};
    if (plan->watched ? sb_operation_save(service, &operation, err) < 0
                      : sb_watch_operation(service, &operation, err) < 0)
        return -1;
    return forwards(service, &operation, err);
}

/* ---- after an accident ---- */

static int recover_switch(const struct sb_node_service *service, struct sb_operation *operation,
                          struct sb_error *err) {
    uint64_t current;
    if (sb_node_current(service, &current, err) < 0)
        return -1;
    if (operation->back)
        return go_back(service, operation, err);
    if (current == operation->to && is_whole(service, current))
        return forwards(service, operation, err);
    return forget(service, operation, err);
}

int sb_switch_recover(struct sb_node_service *service, enum sb_operation_kind *out_kind,
                      struct sb_error *err) {
    struct sb_operation operation;
    *out_kind = SB_OPERATION_NONE;
    if (sb_operation_load(service, &operation, err) < 0)
        return -1;
    if (operation.kind == SB_OPERATION_NONE)
        return 0;
    *out_kind = operation.kind;
    sb_watch_start(service);
    if (operation.kind == SB_OPERATION_UNINSTALL)
        return sb_switch_uninstall(service, err);
    sb_node_say(service->node, "%s: what was begun and not ended is put in order first",
                service->name);
    int rc = recover_switch(service, &operation, err);
    if (rc < 0 && err->code == SB_E_UNHEALTHY) {
        sb_error_clear(err); /* it was undone: that is in order */
        return 0;
    }
    return rc;
}

/* ---- uninstalling ---- */

static int remove_generations(const struct sb_node_service *service, struct sb_error *err) {
    struct sb_generation_list list;
    if (sb_generations(service, &list, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < list.n && rc == 0; i++) {
        rc = sb_unitfiles_unmount(service, list.v[i].number, err);
        if (rc == 0)
            rc = sb_generation_remove(service, list.v[i].number, err);
    }
    sb_generation_list_free(&list);
    return rc;
}

/* From operation.json on there is no way back: whoever comes next goes on with it. What could bring
 * the service back, the timer that follows its tag, goes before the service does. */
int sb_switch_uninstall(struct sb_node_service *service, struct sb_error *err) {
    struct sb_operation operation;
    uint64_t current;
    if (sb_node_current(service, &current, err) < 0 ||
        sb_operation_load(service, &operation, err) < 0)
        return -1;
    uint64_t begun = operation.to; /* its root may be mounted */
    operation = (struct sb_operation){.kind = SB_OPERATION_UNINSTALL, .to = begun};
    if (sb_watch_operation(service, &operation, err) < 0 || sb_follow_stop(service, err) < 0 ||
        take_away(service, current, err) < 0 || remove_generations(service, err) < 0 ||
        sb_node_pin(service, err) < 0)
        return -1;
    return sb_node_service_forget(service, err);
}
