#include "steps/git_refs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/process.h"
#include "sandbox/contain.h"
#include "sandbox/program.h"
#include "sandbox/userns.h"
#include "steps/git_program.h"

enum { ANSWER_LIMIT = 1 << 20, ANSWER_SECONDS = 120 };

/* "COMMIT\trefs/tags/v1\nCOMMIT\trefs/tags/v1^{}\n": the peeled one, if there is one. */
static bool take_answer(char *text, const char *ref, char out[static 65]) {
    bool found = false;
    for (char *line; (line = strsep(&text, "\n"));) {
        size_t n = strspn(line, "0123456789abcdef");
        const char *name = line + n + 1;
        if ((n != 40 && n != 64) || line[n] != '\t' || strncmp(name, ref, strlen(ref)) != 0)
            continue;
        const char *rest = name + strlen(ref);
        if (*rest && strcmp(rest, "^{}") != 0)
            continue;
        memcpy(out, line, n);
        out[n] = '\0';
        found = true;
        if (*rest)
            return true;
    }
    return found;
}

/* ---- asking ---- */

static const char script[] =
    SB_GIT_NEAR "! near \"$1\" || { echo \"fatal: $(why)\" >&2; exit 1; }\n"
                "exec git ls-remote -- \"$@\"\n";

struct question {
    const char *const *argv, *const *env;
    struct sb_limits limits;
    struct sb_buf answer, said;
};

static void collect(void *data, const char *text, size_t len) {
    struct question *q = data;
    size_t room = ANSWER_LIMIT - q->answer.len;
    sb_buf_add(&q->answer, text, len < room ? len : room);
}

/* What it answers and what it complains of come together: a commit is known by its form. */
static int ask_apart(struct question *q, struct sb_error *err) {
    enum sb_limit_met met;
    struct sb_step_log log = {.fd = -1, .line = collect, .data = q};
    struct sb_contain contain = {.argv = q->argv,
                                 .env = q->env,
                                 .cgroups = SB_CGROUPS_HIDE,
                                 .apart = true,
                                 .network = true,
                                 .limits = &q->limits,
                                 .out_met = &met};
    int status;
    int failed = sb_contain_run(&contain, &log, &status, err);
    sb_buf_add(&q->said, sb_buf_text(&q->answer), q->answer.len);
    sb_buf_free(&log.tail);
    if (failed)
        return -1;
    if (met != SB_LIMIT_OF_TIME)
        return status;
    return sb_fail(err, SB_E_NETWORK, "no answer within %llu seconds",
                   (unsigned long long)q->limits.time);
}

/* What keeps it from being set apart is this machine's, whatever a server does. */
static int ask(struct question *q, struct sb_error *err) {
    struct sb_error own = {0};
    if (geteuid() == 0) {
        int status = ask_apart(q, &own);
        if (status >= 0 || own.code != SB_E_FAILED) {
            if (status < 0)
                *err = own;
            return status;
        }
        sb_buf_reset(&q->answer);
        sb_buf_reset(&q->said);
    }
    int status = sb_process_capture_env(q->argv, q->env, "/", ANSWER_LIMIT, (int)q->limits.time,
                                        &q->answer, &q->said, err);
    if (status < 0 && err->code == SB_E_FAILED)
        err->code = SB_E_NETWORK;
    return status;
}

static int ask_for(const char *url, const char *ref, const struct sb_secret *credentials,
                   struct question *q, struct sb_error *err) {
    sb_autofree char *peeled = sb_format("%s^{}", ref);
    const char *const argv[] = {"sh", "-c", script, "git", url, ref, peeled, NULL};
    struct sb_pairs env = {0}, own = {0};
    sb_autostrings struct sb_strings list = {0};
    int status = sb_git_environment(credentials, &own, err);
    sb_program_environment("/nonexistent", true, true, &env);
    sb_pairs_add(&env, &own);
    sb_git_environment_forget(&own);
    for (size_t i = 0; i < env.n; i++)
        sb_strings_addf(&list, "%s=%s", env.v[i].name, env.v[i].value);
    sb_git_environment_forget(&env);
    q->argv = argv;
    q->env = (const char *const *)list.v;
    if (status == 0)
        status = ask(q, err);
    q->argv = q->env = NULL;
    for (size_t i = 0; i < list.n; i++)
        explicit_bzero(list.v[i], strlen(list.v[i]));
    return status;
}

/* status: of git. */
static int understand(const struct question *q, int status, const char *url, const char *ref,
                      char out[static 65], struct sb_error *err) {
    if (status < 0)
        return sb_error_context(err, "asking %s for %s", url, ref);
    if (status > 0) {
        const char *text = sb_buf_text(&q->said);
        sb_fail(err, SB_E_NETWORK, "asking %s for %s failed: %.*s", url, ref,
                (int)strcspn(text, "\n"), text);
        sb_error_hint(err, "with commit: instead, nothing is asked where the layer is cached");
        return sb_git_hint(text, err);
    }
    if (take_answer(q->answer.data ? q->answer.data : (char[]){""}, ref, out))
        return 0;
    sb_fail(err, SB_E_NOT_FOUND, "%s has no %s", url, ref);
    return sb_error_hint(err, "git ls-remote %s lists what it has", url);
}

int sb_git_resolve(const char *url, const char *ref, const struct sb_secret *credentials,
                   const struct sb_settings *settings, char out[static 65], struct sb_error *err) {
    struct question q = {.limits = sb_settings_limits(settings)};
    q.limits.time = q.limits.download < ANSWER_SECONDS ? q.limits.download : ANSWER_SECONDS;
    if (sb_git_check(false, err) < 0)
        return -1;
    int status = ask_for(url, ref, credentials, &q, err);
    status = understand(&q, status, url, ref, out, err);
    sb_buf_free(&q.answer);
    sb_buf_free(&q.said);
    return status;
}
