#include "deploy/node/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/host/systemd.h"
#include "deploy/node/unitfiles.h"

void sb_follow_free(struct sb_follow *follow) {
    free(follow->reference);
    *follow = (struct sb_follow){0};
}

int sb_follow_load(const struct sb_node_service *service, struct sb_follow *out,
                   struct sb_error *err) {
    *out = (struct sb_follow){0};
    sb_autojson json_t *value = NULL;
    if (sb_node_read_json(service, "follow.json", 1u << 16, &value, err) < 0)
        return -1;
    if (!value)
        return 0;
    const char *reference = sb_json_string(value, "reference", NULL);
    out->reference = reference ? sb_strdup(reference) : NULL;
    out->interval = (uint64_t)sb_json_integer(value, "interval", 0);
    out->has_refused =
        sb_digest_parse(sb_json_string(value, "refused", ""), &out->refused, NULL) == 0;
    return 0;
}

static int save(const struct sb_node_service *service, const struct sb_follow *follow,
                struct sb_error *err) {
    sb_autojson json_t *value =
        json_pack("{s:i, s:s, s:I}", "version", 1, "reference", follow->reference, "interval",
                  (json_int_t)follow->interval);
    if (follow->has_refused)
        json_object_set_new(value, "refused", json_string(sb_digest_text(&follow->refused).text));
    sb_autobuf struct sb_buf text = {0};
    sb_json_write_pretty(value, &text);
    return sb_file_write(service->fd, "follow.json", text.data, text.len, 0644, err);
}

void sb_follow_refuse(const struct sb_node_service *service, const struct sb_digest *bundle) {
    struct sb_follow follow;
    if (sb_follow_load(service, &follow, NULL) < 0 || !follow.reference)
        return;
    follow.has_refused = true;
    follow.refused = *bundle;
    save(service, &follow, NULL);
    sb_follow_free(&follow);
}

bool sb_follow_refused(const struct sb_node_service *service, const struct sb_digest *bundle) {
    struct sb_follow follow;
    if (sb_follow_load(service, &follow, NULL) < 0)
        return false;
    bool refused = follow.has_refused && sb_digest_equal(&follow.refused, bundle);
    sb_follow_free(&follow);
    return refused;
}

void sb_follow_went_back(const struct sb_node_service *service, uint64_t to) {
    struct sb_generation_list list;
    if (sb_generations(service, &list, NULL) < 0)
        return;
    const struct sb_generation *newest = list.n > 0 ? &list.v[list.n - 1] : NULL;
    bool back = false; /* to what is not what came last, under another number either */
    for (size_t i = 0; i < list.n; i++)
        back = back ||
               (list.v[i].number == to && !sb_digest_equal(&list.v[i].bundle, &newest->bundle));
    if (back)
        sb_follow_refuse(service, &newest->bundle);
    sb_generation_list_free(&list);
}

/* ---- the timer ---- */

static void add_word(const char *word, struct sb_buf *line) {
    sb_buf_addc(line, ' ');
    sb_unit_quote(word, true, line);
}

static void write_service(const struct sb_node_service *service, const char *program,
                          const char *reference, const struct sb_strings *options,
                          struct sb_buf *out) {
    sb_buf_addf(out,
                "[Unit]\nDescription=Follow the tag that %s is installed from\n"
                "Wants=network-online.target\nAfter=network-online.target\n\n[Service]\n"
                "Type=oneshot\nSuccessExitStatus=7\nExecStart=",
                service->name);
    sb_unit_quote(program, false, out);
    const char *const words[] = {"install",
                                 reference,
                                 "--name",
                                 service->name,
                                 "--auto-run",
                                 "--store",
                                 sb_store_path(service->node->store),
                                 NULL};
    for (size_t i = 0; words[i]; i++)
        add_word(words[i], out);
    for (size_t i = 0; i < options->n; i++)
        add_word(options->v[i], out);
    sb_buf_addc(out, '\n');
}

/* A tenth of the interval as jitter, so that many nodes do not ask at the same moment; at once
 * after a boot, as the tag may have moved while the node was off. */
static void write_timer(const struct sb_node_service *service, uint64_t interval,
                        struct sb_buf *out) {
    sb_buf_addf(out,
                "[Unit]\nDescription=Follow the tag that %s is installed from\n\n[Timer]\n"
                "OnActiveSec=%llus\nOnUnitInactiveSec=%llus\nRandomizedDelaySec=%llums\n"
                "AccuracySec=100ms\n\n[Install]\nWantedBy=timers.target\n",
                service->name, (unsigned long long)interval, (unsigned long long)interval,
                (unsigned long long)interval * 100);
}

int sb_follow_start(const struct sb_node_service *service, const char *reference, uint64_t interval,
                    const struct sb_strings *options, struct sb_error *err) {
    sb_autofree char *program = sb_process_program(err);
    struct sb_follow follow, now = {.reference = (char *)reference, .interval = interval};
    if (!program || sb_follow_load(service, &follow, err) < 0)
        return -1;
    now.has_refused = follow.has_refused;
    now.refused = follow.refused;
    sb_follow_free(&follow);
    sb_autobuf struct sb_buf of_service = {0}, of_timer = {0};
    write_service(service, program, reference, options, &of_service);
    write_timer(service, interval, &of_timer);
    sb_autofree char *unit = sb_format("sbuild-auto-%s.service", service->name);
    sb_autofree char *timer = sb_format("sbuild-auto-%s.timer", service->name);
    if (save(service, &now, err) < 0 ||
        sb_unitfiles_put(service->node, timer, of_timer.data, err) < 0 ||
        sb_unitfiles_put(service->node, unit, of_service.data, err) < 0 ||
        sb_unitfiles_enable(service->node, timer, of_timer.data, err) < 0 ||
        sb_systemd_reload(err) < 0)
        return -1;
    return sb_systemd_do("restart", timer, err);
}

/* One that was killed while it started may have left no more than follow.json and a temporary. Of
 * the units the timer's file comes first and goes last, as the sign that there may be others. */
int sb_follow_stop(const struct sb_node_service *service, struct sb_error *err) {
    sb_autofree char *unit = sb_format("sbuild-auto-%s.service", service->name);
    sb_autofree char *timer = sb_format("sbuild-auto-%s.timer", service->name);
    sb_autofree char *path = sb_path_join(sb_node_units(service->node), timer);
    struct sb_error ignored = {0};
    bool noted = sb_path_exists(service->fd, "follow.json");
    if (unlinkat(service->fd, "follow.json", 0) < 0 && errno != ENOENT)
        return sb_fail_errno(err, SB_E_IO, "removing %s/follow.json", service->path);
    if (!noted && !sb_path_exists(AT_FDCWD, path))
        return 0;
    sb_systemd_do("stop", timer, &ignored);
    sb_systemd_do("reset-failed", unit, &ignored);
    if (sb_unitfiles_disable(service->node, timer, err) < 0 ||
        sb_unitfiles_drop(service->node, unit, err) < 0 ||
        sb_unitfiles_drop(service->node, timer, err) < 0)
        return -1;
    return sb_systemd_reload(err);
}
