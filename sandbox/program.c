#include "sandbox/program.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "document/environment.h"

enum { NAME_LIMIT = 200 };

/* How this machine reaches the network is no part of what is built. */
static void add_proxies(struct sb_pairs *env) {
    static const char *const names[] = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy",
                                        "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            sb_pairs_set(env, names[i], value);
    }
}

void sb_program_environment(const char *home, bool network, bool building, struct sb_pairs *env) {
    sb_pairs_set(env, "PATH", SB_DEFAULT_PATH);
    sb_pairs_set(env, "HOME", home);
    if (building) {
        sb_pairs_set(env, "LANG", "C.UTF-8");
        sb_pairs_set(env, "TZ", "UTC");
    }
    if (network)
        add_proxies(env);
}

/* What messages call it: its first line that says something, not too long. */
char *sb_program_name(const char *name, const char *const *argv) {
    sb_autobuf struct sb_buf text = {0};
    if (name)
        sb_buf_adds(&text, name);
    for (size_t i = 0; !name && argv[i]; i++)
        sb_buf_addf(&text, "%s%s", i ? " " : "", argv[i]);
    const char *start = sb_buf_text(&text);
    start += strspn(start, " \t\r\n");
    while (*start == '#') {
        start += strcspn(start, "\n");
        start += strspn(start, " \t\r\n");
    }
    size_t len = strcspn(start, "\r\n");
    size_t shown = len < NAME_LIMIT ? len : NAME_LIMIT;
    while (shown < len && ((unsigned char)start[shown] & 0xc0) == 0x80)
        shown--; /* not within a character */
    bool more = start[len + strspn(start + len, " \t\r\n")] != '\0';
    return sb_format("%.*s%s", (int)shown, start, shown < len ? "…" : more ? " …" : "");
}

/* A program that was kept within a limit need not have failed for that, but mostly has. */
static int add_limit(const struct sb_limits *limits, enum sb_limit_met met, struct sb_error *err) {
    static const char *const keys[] = {[SB_LIMIT_OF_TASKS] = "tasks",
                                       [SB_LIMIT_OF_MEMORY] = "memory",
                                       [SB_LIMIT_OF_TIME] = "time"};
    if (met == SB_LIMIT_NONE)
        return -1;
    sb_autofree char *most =
        met == SB_LIMIT_OF_TASKS    ? sb_format("%lld processes", (long long)limits->tasks)
        : met == SB_LIMIT_OF_MEMORY ? sb_format("%s of memory", sb_text_size(limits->memory).text)
                                    : sb_format("%s", sb_text_seconds((double)limits->time).text);
    sb_error_context(err, "the limit of %s was met", most);
    return sb_error_hint(err, "if it is to have more, say so in the settings: limits: {%s: …}",
                         keys[met]);
}

static int check_status(const char *name, int status, struct sb_error *err) {
    if (status == 0)
        return 0;
    if (status <= 128 || status >= 128 + NSIG)
        return sb_fail(err, SB_E_STEP, "`%s` ended with status %d", name, status);
    const char *abbreviation = sigabbrev_np(status - 128);
    sb_fail(err, SB_E_STEP, "`%s` ended with status %d (SIG%s)", name, status,
            abbreviation ? abbreviation : "?");
    if (status == 128 + SIGKILL)
        return sb_error_hint(err, "the kernel kills programs so when memory runs out");
    return -1;
}

int sb_program_ended(const char *name, int status, const struct sb_limits *limits,
                     enum sb_limit_met met, struct sb_error *err) {
    if (check_status(name, status, err) == 0)
        return 0;
    return add_limit(limits, met, err);
}

/* Which limit of the settings that was. */
static int name_limit(const struct sb_host_program *program, enum sb_limit_met met,
                      struct sb_error *err) {
    if (!program->downloads || met != SB_LIMIT_OF_TIME)
        return -1;
    return sb_error_hint(err, "if it is to have more, say so in the settings: limits: {download: "
                              "…}");
}

int sb_host_program(const struct sb_host_program *program, struct sb_step_log *log,
                    struct sb_error *err) {
    struct sb_pairs env = {0};
    sb_autostrings struct sb_strings list = {0};
    sb_program_environment("/root", true, true, &env);
    sb_pairs_add(&env, program->env);
    for (size_t i = 0; i < env.n; i++)
        sb_strings_addf(&list, "%s=%s", env.v[i].name, env.v[i].value);
    sb_pairs_free(&env);
    enum sb_limit_met met = SB_LIMIT_NONE;
    struct sb_limits limits = program->limits ? *program->limits : (struct sb_limits){0};
    if (program->downloads && limits.download < limits.time)
        limits.time = limits.download;
    struct sb_contain contain = {.argv = program->argv,
                                 .env = (const char *const *)list.v,
                                 .directory = program->directory,
                                 .cgroups = program->places ? SB_CGROUPS_HIDE : SB_CGROUPS_KEEP,
                                 .places = program->places,
                                 .place_count = program->place_count,
                                 .network = true,
                                 .limits = program->limits ? &limits : NULL,
                                 .out_met = &met};
    int status;
    sb_step_log_begin(log);
    if (sb_contain_run(&contain, log, &status, err) < 0)
        return -1;
    if (program->out_met)
        *program->out_met = met;
    sb_autofree char *name = sb_program_name(NULL, program->argv);
    if (sb_program_ended(name, status, &limits, met, err) == 0)
        return 0;
    name_limit(program, met, err);
    return sb_step_log_full(log, err);
}
