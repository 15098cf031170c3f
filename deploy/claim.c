#include "deploy/claim.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/systemd.h"
#include "deploy/units.h"

#define NOTE_LIMIT (64u << 10)
#define OWN_PREFIX "sbuild-" /* sbuild-recover.service, sbuild-auto-NAME.timer */

/* ---- units ---- */

/* A unit of the distribution, or of an administrator, is never taken over. */
static int check_unit(const struct sb_node_service *service, const char *unit,
                      struct sb_error *err) {
    struct sb_unit_status status;
    struct sb_unit_mark mark;
    sb_autofree char *own = sb_path_join(sb_node_units(service->node), unit);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, own, SB_UNIT_TEXT_LIMIT, &text, NULL) == 0) {
        if (sb_unit_mark_parse(sb_buf_text(&text), &mark) && !strcmp(mark.name, service->name))
            return 0;
        sb_fail(err, SB_E_FAILED, "%s is not a unit that sbuild wrote for %s", own, service->name);
        return sb_error_hint(err, "install under another name with --name, or remove that unit "
                                  "first");
    }
    if (sb_systemd_status(unit, &status, err) < 0)
        return -1;
    if (!*status.fragment || !strcmp(status.fragment, own) || access(status.fragment, F_OK) < 0)
        return 0;
    sb_fail(err, SB_E_FAILED, "%s is a unit of this machine already (%s)", unit, status.fragment);
    return sb_error_hint(err, "install under another name with --name");
}

int sb_claim_check_units(const struct sb_node_service *service, const struct sb_description *d,
                         struct sb_error *err) {
    sb_autofree char *timer = sb_format("%s.timer", service->name);
    sb_autofree char *timer_path = sb_path_join(sb_node_units(service->node), timer);
    if (!strncmp(service->name, OWN_PREFIX, strlen(OWN_PREFIX))) {
        sb_fail(err, SB_E_FAILED, "%s: names that begin with " OWN_PREFIX " are sbuild's own",
                service->name);
        return sb_error_hint(err, "install under another name with --name");
    }
    if (check_unit(service, service->unit, err) < 0)
        return -1;
    /* One of that name, left by a service with a schedule, is removed: so it must be ours. */
    if ((d->schedule || access(timer_path, F_OK) == 0) && check_unit(service, timer, err) < 0)
        return -1;
    for (int i = 0; i < SB_COLOURS && d->strategy == SB_STRATEGY_BLUE_GREEN; i++) {
        sb_autofree char *coloured = sb_unit_service_name(service->name, sb_colours[i]);
        if (check_unit(service, coloured, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- directories ---- */

static void add_claims(const struct sb_description *d, struct sb_strings *out) {
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        if (d->directories[i])
            sb_strings_take(out, sb_unit_directory_path(d->name, (enum sb_service_directory)i));
    if (d->root == SB_ROOT_HOST)
        sb_strings_addf(out, "%s/%s", SB_UNIT_HOST_ROOT, d->name);
}

static int read_note(const char *name, struct sb_strings *out, struct sb_error *err) {
    sb_autofree char *path = sb_format(SB_CLAIM_DIRECTORIES "/%s", name);
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    if (sb_file_read(AT_FDCWD, path, NOTE_LIMIT, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        *err = own;
        return -1;
    }
    for (const char *line = sb_buf_text(&text); *line;) {
        size_t n = strcspn(line, "\n");
        sb_strings_take(out, sb_strndup(line, n));
        line += n + (line[n] == '\n');
    }
    return 0;
}

/* What the generation that runs has already is the service's. */
static void add_current(const struct sb_node_service *service, struct sb_strings *out) {
    struct sb_description d;
    uint64_t current;
    if (sb_node_current(service, &current, NULL) < 0 || current == 0 ||
        sb_generation_description(service, current, &d, NULL) < 0)
        return;
    if (!strcmp(d.name, service->name))
        add_claims(&d, out);
    sb_description_free(&d);
}

int sb_claim_check_directories(const struct sb_node_service *service,
                               const struct sb_description *d, struct sb_error *err) {
    sb_autostrings struct sb_strings wanted = {0}, noted = {0};
    add_claims(d, &wanted);
    if (wanted.n == 0)
        return 0;
    if (read_note(service->name, &noted, err) < 0)
        return -1;
    add_current(service, &noted);
    for (size_t i = 0; i < wanted.n; i++) {
        struct stat st;
        if (sb_strings_has(&noted, wanted.v[i]) || lstat(wanted.v[i], &st) < 0)
            continue;
        sb_fail(
            err, SB_E_FAILED,
            "%s is there already, and may be another program's: a service named %s would get it",
            wanted.v[i], service->name);
        return sb_error_hint(err,
                             "install under another name with --name; if it is to be this "
                             "service's, write the line %s into " SB_CLAIM_DIRECTORIES "/%s",
                             wanted.v[i], service->name);
    }
    return 0;
}

int sb_claim_note(const struct sb_node_service *service, const struct sb_description *d,
                  struct sb_error *err) {
    sb_autostrings struct sb_strings wanted = {0}, noted = {0};
    add_claims(d, &wanted);
    if (wanted.n == 0)
        return 0;
    if (read_note(service->name, &noted, err) < 0)
        return -1;
    size_t before = noted.n;
    for (size_t i = 0; i < wanted.n; i++)
        if (!sb_strings_has(&noted, wanted.v[i]))
            sb_strings_add(&noted, wanted.v[i]);
    if (noted.n == before)
        return 0;
    sb_autobuf struct sb_buf text = {0};
    for (size_t i = 0; i < noted.n; i++)
        sb_buf_addf(&text, "%s\n", noted.v[i]);
    sb_autofree char *path = sb_format(SB_CLAIM_DIRECTORIES "/%s", service->name);
    if (sb_directory_make(AT_FDCWD, SB_CLAIM_DIRECTORIES, 0755, err) < 0)
        return -1;
    return sb_file_write(AT_FDCWD, path, text.data, text.len, 0644, err);
}
