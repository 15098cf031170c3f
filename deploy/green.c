#include "deploy/green.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/health.h"
#include "deploy/systemd.h"
#include "deploy/unitfiles.h"

#define DRAIN_MILLISECONDS 2000 /* for connections that were open when the upstream changed */

char *sb_green_name(const char *service) {
    return sb_format("%s-green", service);
}

static char *unit_name(const struct sb_node_service *service) {
    return sb_format("%s-green.service", service->name);
}

/* ---- the upstream ---- */

static void tell_proxy(const struct sb_node_service *service) {
    static const char program[] = SB_UNIT_UPSTREAMS "/reload";
    const char *const argv[] = {program, NULL};
    sb_autobuf struct sb_buf out = {0}, said = {0};
    struct sb_error own = {0};
    if (access(program, X_OK) < 0)
        return;
    int status = sb_process_capture(argv, "/", 1u << 16, &out, &said, &own);
    if (status != 0)
        sb_node_say(service->node, "%s failed (status %d): %.300s", program, status,
                    status < 0 ? own.message : sb_buf_text(&said));
}

static int point(const struct sb_node_service *service, const char *upstream, uint16_t port,
                 struct sb_error *err) {
    sb_autofree char *file = sb_format(".%s.%u", upstream, port);
    sb_autofree char *text = sb_format("server 127.0.0.1:%u;\n", port);
    sb_autofree char *temporary = sb_format(".%s.new", upstream);
    if (sb_directory_make(AT_FDCWD, SB_UNIT_UPSTREAMS, 0755, err) < 0)
        return -1;
    sb_autoclose int dir = sb_directory_open(AT_FDCWD, SB_UNIT_UPSTREAMS, err);
    if (dir < 0)
        return -1;
    char now[300];
    ssize_t n = readlinkat(dir, upstream, now, sizeof now - 1);
    if (n > 0 && (size_t)n == strlen(file) && !memcmp(now, file, (size_t)n) &&
        sb_path_exists(dir, file))
        return 0;
    if (sb_file_write(dir, file, text, strlen(text), 0644, err) < 0)
        return -1;
    unlinkat(dir, temporary, 0);
    if (symlinkat(file, dir, temporary) < 0 || renameat(dir, temporary, dir, upstream) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing %s/%s", SB_UNIT_UPSTREAMS, upstream);
    if (sb_directory_sync(dir, err) < 0)
        return -1;
    tell_proxy(service);
    return 0;
}

/* ---- green itself ---- */

bool sb_green_wanted(const struct sb_node_service *service, uint64_t from, uint64_t to) {
    struct sb_description d;
    if (from == 0 || sb_generation_description(service, to, &d, NULL) < 0)
        return false;
    bool wanted = d.strategy == SB_STRATEGY_BLUE_GREEN && d.gpu == 0 && d.spare_port && d.upstream;
    sb_description_free(&d);
    return wanted;
}

static int stop_green(const struct sb_node_service *service, struct sb_error *err) {
    sb_autofree char *unit = unit_name(service);
    sb_autofree char *path = sb_path_join(sb_node_units(service->node), unit);
    struct sb_error ignored = {0};
    if (!sb_path_exists(AT_FDCWD, path))
        return 0;
    sb_systemd_do("stop", unit, &ignored);
    sb_systemd_do("reset-failed", unit, &ignored);
    if (sb_unitfiles_drop(service->node, unit, err) < 0)
        return -1;
    return sb_systemd_reload(err);
}

static int start_green(const struct sb_node_service *service, const struct sb_description *d,
                       uint64_t to, uint32_t wait, struct sb_error *err) {
    sb_autofree char *unit = unit_name(service);
    sb_autofree char *path = sb_format("%" PRIu64 "/green/%s", to, unit);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(service->fd, path, SB_UNIT_TEXT_LIMIT, &text, err) < 0 ||
        sb_unitfiles_put(service->node, unit, sb_buf_text(&text), err) < 0 ||
        sb_systemd_reload(err) < 0 || sb_systemd_begin("restart", unit, err) < 0)
        return -1;
    const struct sb_health health = {
        .node = service->node, .description = d, .unit = unit, .port = d->spare_port, .wait = wait};
    return sb_health_wait(&health, err);
}

int sb_green_begin(const struct sb_node_service *service, uint64_t to, uint32_t wait,
                   struct sb_error *err) {
    struct sb_description d;
    if (sb_generation_description(service, to, &d, err) < 0)
        return -1;
    sb_node_say(service->node, "%s: generation %" PRIu64 " starts beside the old one, on port %u",
                service->name, to, d.spare_port);
    int rc = start_green(service, &d, to, wait, err);
    if (rc == 0)
        rc = point(service, d.upstream, d.spare_port, err);
    sb_description_free(&d);
    struct sb_error ignored = {0};
    if (rc < 0)
        stop_green(service, &ignored);
    return rc;
}

int sb_green_settle(const struct sb_node_service *service, uint64_t number, struct sb_error *err) {
    struct sb_description d;
    if (sb_generation_description(service, number, &d, err) < 0)
        return -1;
    int rc = d.upstream && d.port ? point(service, d.upstream, d.port, err) : 0;
    sb_description_free(&d);
    return rc;
}

int sb_green_end(const struct sb_node_service *service, uint64_t to, struct sb_error *err) {
    sb_autofree char *unit = unit_name(service);
    sb_autofree char *path = sb_path_join(sb_node_units(service->node), unit);
    if (!sb_path_exists(AT_FDCWD, path))
        return 0;
    if (sb_green_settle(service, to, err) < 0)
        return -1;
    poll(NULL, 0, DRAIN_MILLISECONDS);
    return stop_green(service, err);
}
