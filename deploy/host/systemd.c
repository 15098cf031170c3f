#include "deploy/host/systemd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"

#define OUTPUT_LIMIT (1u << 20)
#define STOP_MARGIN  5 /* seconds, that systemd itself may take */

int sb_systemd_parse_version(const char *text) {
    int version;
    return sscanf(text, "systemd %d", &version) == 1 ? version : 0;
}

int sb_systemd_check(int *out_version, struct sb_error *err) {
    *out_version = 0;
    if (access("/run/systemd/system", F_OK) < 0) {
        sb_fail(err, SB_E_FAILED, "systemd does not run on this machine");
        return sb_error_hint(err,
                             "services are installed on nodes whose init is systemd %d or "
                             "later; in containers use the image itself",
                             SB_SYSTEMD_OLDEST);
    }
    static const char *const argv[] = {"systemctl", "--version", NULL};
    sb_autobuf struct sb_buf out = {0};
    if (sb_process_capture(argv, NULL, OUTPUT_LIMIT, &out, NULL, err) < 0)
        return -1;
    *out_version = sb_systemd_parse_version(sb_buf_text(&out));
    if (*out_version >= SB_SYSTEMD_OLDEST)
        return 0;
    sb_fail(err, SB_E_FAILED, "this machine has systemd %d, and %d is the oldest that will do",
            *out_version, SB_SYSTEMD_OLDEST);
    return sb_error_hint(err, "Debian 11, Ubuntu 22.04 and later have it");
}

/* The last lines of what a program said, in one. */
static void flatten(struct sb_buf *text) {
    while (text->len > 0 && text->data[text->len - 1] == '\n')
        text->data[--text->len] = '\0';
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] == '\n')
            text->data[i] = ' ';
}

static int run(const char *const *argv, struct sb_buf *out, struct sb_error *err) {
    sb_autobuf struct sb_buf own = {0}, said = {0};
    int status = sb_process_capture(argv, NULL, OUTPUT_LIMIT, out ? out : &own, &said, err);
    if (status <= 0)
        return status;
    sb_autobuf struct sb_buf words = {0};
    for (size_t i = 0; argv[i]; i++)
        sb_buf_addf(&words, "%s%s", i ? " " : "", argv[i]);
    flatten(&said);
    return sb_fail(err, SB_E_FAILED, "%s failed (status %d): %.2000s", sb_buf_text(&words), status,
                   sb_buf_text(&said));
}

int sb_systemd_reload(struct sb_error *err) {
    static const char *const argv[] = {"systemctl", "daemon-reload", NULL};
    return run(argv, NULL, err);
}

int sb_systemd_do(const char *verb, const char *unit, struct sb_error *err) {
    const char *const argv[] = {"systemctl", "--quiet", verb, "--", unit, NULL};
    return run(argv, NULL, err);
}

/* ---- stopping ---- */

/* "1min 30s", "500ms", "infinity": systemd.time(7), as `show` writes them. */
double sb_systemd_parse_span(const char *text) {
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"us", 1e-6}, {"ms", 1e-3},  {"s", 1},           {"min", 60},    {"h", 3600},
                 {"d", 86400}, {"w", 604800}, {"month", 2629800}, {"y", 31557600}};
    double sum = 0;
    char *end;
    for (; *text; text = end + strspn(end, " ")) {
        double value = strtod(text, &end), factor = 0;
        size_t n = strspn(end, "abcdefghijklmnopqrstuvwxyz");
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            if (end > text && strlen(units[i].unit) == n && !strncmp(units[i].unit, end, n))
                factor = units[i].seconds;
        if (factor == 0)
            return 0;
        sum += value * factor;
        end += n;
    }
    return sum;
}

double sb_systemd_stop_limit(const char *unit) {
    struct sb_pairs properties;
    if (sb_systemd_properties(unit, "TimeoutStopUSec", &properties, NULL) < 0)
        return 0;
    const char *text = sb_pairs_get(&properties, "TimeoutStopUSec");
    double span = text ? sb_systemd_parse_span(text) : 0;
    sb_pairs_free(&properties);
    return span > 0 ? span + STOP_MARGIN : 0;
}

/* A process that kills what doesn't end in its time; 0: that time is endless, or unknown. A service
 * may have systemd wait for as long as it likes (EXTEND_TIMEOUT_USEC of sd_notify(3)). */
static pid_t start_killer(const char *unit) {
    static const char script[] = "sleep \"$1\"; exec systemctl kill --signal=KILL -- \"$2\"";
    double limit = sb_systemd_stop_limit(unit);
    if (limit <= 0)
        return 0;
    sb_autofree char *seconds = sb_format("%.0f", limit);
    const char *const argv[] = {"sh", "-c", script, "sh", seconds, unit, NULL};
    const struct sb_process_options options = {
        .argv = argv, .in = -1, .out = -1, .err = -1, .new_group = true};
    pid_t pid = sb_process_start(&options, NULL);
    return pid < 0 ? 0 : pid;
}

static int stop(const char *const *argv, const char *unit, struct sb_error *err) {
    pid_t killer = start_killer(unit);
    int rc = run(argv, NULL, err);
    if (killer) {
        kill(-killer, SIGKILL);
        sb_process_wait(killer, NULL);
    }
    return rc;
}

int sb_systemd_stop(const char *unit, struct sb_error *err) {
    const char *const argv[] = {"systemctl", "--quiet", "stop", "--", unit, NULL};
    return stop(argv, unit, err);
}

int sb_systemd_stop_alone(const char *unit, struct sb_error *err) {
    const char *const argv[] = {
        "systemctl", "--quiet", "--job-mode=ignore-dependencies", "stop", "--", unit, NULL};
    return stop(argv, unit, err);
}

int sb_systemd_kill(const char *unit, struct sb_error *err) {
    const char *const argv[] = {"systemctl", "--quiet", "kill", "--signal=KILL", "--", unit, NULL};
    return run(argv, NULL, err);
}

int sb_systemd_begin(const char *verb, const char *unit, struct sb_error *err) {
    const char *const argv[] = {"systemctl", "--quiet", "--no-block", verb, "--", unit, NULL};
    return run(argv, NULL, err);
}

/* ---- status ---- */

static void take(struct sb_unit_status *s, const char *key, const char *value) {
    if (!strcmp(key, "LoadState"))
        snprintf(s->load, sizeof s->load, "%s", value);
    else if (!strcmp(key, "ActiveState"))
        snprintf(s->active, sizeof s->active, "%s", value);
    else if (!strcmp(key, "SubState"))
        snprintf(s->sub, sizeof s->sub, "%s", value);
    else if (!strcmp(key, "Result"))
        snprintf(s->result, sizeof s->result, "%s", value);
    else if (!strcmp(key, "MainPID"))
        s->main_pid = (pid_t)strtol(value, NULL, 10);
    else if (!strcmp(key, "NRestarts"))
        s->restarts = (unsigned)strtoul(value, NULL, 10);
    else if (!strcmp(key, "NeedDaemonReload"))
        s->reload_needed = !strcmp(value, "yes");
    else if (!strcmp(key, "FragmentPath"))
        snprintf(s->fragment, sizeof s->fragment, "%s", value);
    else if (!strcmp(key, "Job"))
        s->has_job = strtoul(value, NULL, 10) > 0;
    else if (!strcmp(key, "ExecMainStartTimestampMonotonic"))
        s->began = (int64_t)(strtoull(value, NULL, 10) / 1000000);
    else if (!strcmp(key, "ActiveEnterTimestampMonotonic"))
        s->since = (int64_t)(strtoull(value, NULL, 10) / 1000000);
}

/* Wall-clock times of `show` depend on locale and zone: the monotonic one does not. */
static int64_t wall_clock(int64_t monotonic) {
    struct timespec now, real;
    if (monotonic == 0)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_gettime(CLOCK_REALTIME, &real);
    return (int64_t)real.tv_sec - ((int64_t)now.tv_sec - monotonic);
}

int sb_systemd_show(const char *unit, const char *properties, struct sb_buf *out,
                    struct sb_error *err) {
    sb_autofree char *wanted = sb_format("--property=%s", properties);
    const char *const argv[] = {"systemctl", "show", wanted, "--", unit, NULL};
    return run(argv, out, err);
}

int sb_systemd_properties(const char *unit, const char *names, struct sb_pairs *out,
                          struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    *out = (struct sb_pairs){0};
    if (sb_systemd_show(unit, names, &text, err) < 0)
        return -1;
    char *rest = NULL;
    for (char *line = text.len ? strtok_r(text.data, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        char *equals = strchr(line, '=');
        sb_autofree char *name = equals ? sb_strndup(line, (size_t)(equals - line)) : NULL;
        if (name)
            sb_pairs_set(out, name, equals + 1);
    }
    return 0;
}

int sb_systemd_status(const char *unit, struct sb_unit_status *out, struct sb_error *err) {
    static const char properties[] =
        "--property=LoadState,ActiveState,SubState,Result,MainPID,NRestarts,NeedDaemonReload,"
        "FragmentPath,ActiveEnterTimestampMonotonic,ExecMainStartTimestampMonotonic,Job";
    const char *const argv[] = {"systemctl", "show", properties, "--", unit, NULL};
    sb_autobuf struct sb_buf text = {0};
    *out = (struct sb_unit_status){0};
    if (run(argv, &text, err) < 0)
        return -1;
    char *rest = NULL;
    for (char *line = text.len ? strtok_r(text.data, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        char *equals = strchr(line, '=');
        if (!equals)
            continue;
        *equals = '\0';
        take(out, line, equals + 1);
    }
    out->since = wall_clock(out->since);
    out->began = wall_clock(out->began);
    return 0;
}

/* systemd.io/JOURNAL_NATIVE_PROTOCOL: a datagram of fields. Of root's messages journald believes
 * what they say they are about. */
void sb_systemd_note(const char *unit, const char *line) {
    const struct sockaddr_un to = {.sun_family = AF_UNIX,
                                   .sun_path = "/run/systemd/journal/socket"};
    sb_autofree char *text = sb_format("PRIORITY=5\nSYSLOG_IDENTIFIER=sbuild\n"
                                       "OBJECT_SYSTEMD_UNIT=%s\nMESSAGE=%s\n",
                                       unit, line);
    sb_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    ssize_t sent =
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to);
    (void)sent; /* there may be no journal */
}

void sb_systemd_journal(const char *unit, int64_t since, int lines, struct sb_buf *out) {
    sb_autofree char *from = sb_format("--since=@%lld", (long long)since);
    sb_autofree char *count = sb_format("--lines=%d", lines);
    sb_autofree char *of = sb_format("--unit=%s", unit);
    const char *const argv[] = {"journalctl", "--no-pager", "--quiet", "--output=short-iso",
                                from,         count,        of,        NULL};
    struct sb_error ignored = {0};
    sb_autobuf struct sb_buf text = {0};
    if (sb_process_capture(argv, NULL, OUTPUT_LIMIT, &text, NULL, &ignored) == 0)
        sb_buf_add(out, sb_buf_text(&text), text.len);
}
