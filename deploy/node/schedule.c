#include "deploy/node/schedule.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"
#include "deploy/host/systemd.h"
#include "deploy/node/owners.h"

#define STAMPS "/var/lib/systemd/timers" /* systemd.timer(5), "Persistent=" */
#define NAP    200                       /* milliseconds */

static char *timer_of(const struct sb_node_service *service) {
    return sb_format("%s.timer", service->name);
}

/* NULL: it has none, or is none; the caller's. */
static char *schedule_of(const struct sb_node_service *service, uint64_t number, bool *out_job) {
    struct sb_description d;
    *out_job = false;
    if (number == 0 || sb_generation_description(service, number, &d, NULL) < 0)
        return NULL;
    *out_job = d.type == SB_SERVICE_JOB;
    char *schedule = *out_job && d.schedule ? sb_strdup(d.schedule) : NULL;
    sb_description_free(&d);
    return schedule;
}

bool sb_schedule_is_job(const struct sb_node_service *service, uint64_t number,
                        bool with_schedule) {
    bool job;
    sb_autofree char *schedule = schedule_of(service, number, &job);
    return job && (schedule || !with_schedule);
}

/* ---- a run that goes on ---- */

static bool may_go_on(const struct sb_node_service *service, uint64_t to) {
    return sb_schedule_is_job(service, to, true) && !sb_owners_differ(service, to);
}

int sb_schedule_let_end(const struct sb_node_service *service, uint64_t from, uint64_t to,
                        struct sb_error *err) {
    if (!sb_schedule_is_job(service, from, false) || may_go_on(service, to))
        return 0;
    for (bool told = false;; told = true) {
        struct sb_unit_status status;
        struct sb_error ignored = {0};
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (sb_systemd_status(service->unit, &status, &ignored) < 0 || !status.main_pid ||
            strcmp(status.active, "activating") != 0)
            return 0;
        if (!told)
            sb_node_say(service->node, "%s: waiting for the run that goes on to end (process %d)",
                        service->name, (int)status.main_pid);
        struct pollfd interrupted = {.fd = sb_interrupt_fd(), .events = POLLIN};
        poll(&interrupted, 1, NAP);
    }
}

/* ---- what was missed ---- */

void sb_schedule_hold(const struct sb_node_service *service, uint64_t from, uint64_t to) {
    bool job;
    struct sb_error ignored = {0};
    sb_autofree char *old = schedule_of(service, from, &job), *new = schedule_of(service, to, &job);
    sb_autofree char *timer = timer_of(service);
    if (old && (!new || strcmp(old, new) != 0))
        sb_systemd_do("stop", timer, &ignored);
}

static char *stamp_of(const struct sb_node_service *service) {
    return sb_format(STAMPS "/stamp-%s.timer", service->name);
}

/* Where there is no such directory, there is nothing that systemd would go by. */
void sb_schedule_renew(const struct sb_node_service *service, uint64_t number) {
    struct sb_unit_status status;
    struct sb_error ignored = {0};
    sb_autofree char *timer = timer_of(service), *stamp = stamp_of(service);
    if (!sb_schedule_is_job(service, number, true) ||
        (sb_systemd_status(timer, &status, &ignored) == 0 && !strcmp(status.active, "active")))
        return;
    sb_autoclose int fd =
        open(stamp, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd >= 0)
        futimens(fd, NULL);
}

void sb_schedule_forget(const struct sb_node_service *service) {
    sb_autofree char *stamp = stamp_of(service);
    unlink(stamp);
}
