#include "steps/git_program.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"

/* ---- what git is told ---- */

#define CREDENTIALS "SBUILD_GIT_CREDENTIALS"

/* Passwords are in no file and no argument: git's own helper reads them from a pipe, and says those
 * of the host that is asked. */
static const char helper[] =
    "!f() { test \"$1\" = get || exit 0; git credential-store --file=/dev/fd/3 get 3<<END\n"
    "$" CREDENTIALS "\nEND\n}; f";

static const char *const configuration[][2] = {
    {"core.hooksPath", "/dev/null"},
    {"core.fsmonitor", "false"},
    {"core.attributesFile", "/dev/null"},
    {"core.autocrlf", "false"},
    {"core.eol", "lf"},
    {"core.quotePath", "false"},
    {"core.askPass", "false"},
    {"core.sshCommand", "false"},
    {"core.gitProxy", ""},
    {"gc.auto", "0"},
    {"maintenance.auto", "false"},
    {"fetch.recurseSubmodules", "false"},
    {"fetch.bundleURI", ""},
    {"transfer.bundleURI", "false"},
    {"transfer.credentialsInUrl", "die"},
    {"tar.umask", "0022"},
    {"protocol.allow", "never"},
    {"protocol.http.allow", "always"},
    {"protocol.https.allow", "always"},
    {"protocol.git.allow", "always"},
    {"http.lowSpeedLimit", "1"},
    {"http.lowSpeedTime", "60"},
    {"credential.useHttpPath", "false"},
    {"credential.helper", ""},
};
enum { CONFIGURATION_COUNT = sizeof configuration / sizeof *configuration };

static void set_indexed(struct sb_pairs *env, const char *what, unsigned i, const char *value) {
    sb_autofree char *name = sb_format("GIT_CONFIG_%s_%u", what, i);
    sb_pairs_set(env, name, value);
}

static int set_credentials(const struct sb_secret *credentials, struct sb_pairs *env,
                           struct sb_error *err) {
    if (memchr(credentials->value, '\0', credentials->len))
        return sb_fail(err, SB_E_FAILED, "the secret %s has a NUL byte", credentials->name);
    char *value = sb_strndup(credentials->value, credentials->len);
    sb_pairs_set(env, CREDENTIALS, value);
    explicit_bzero(value, credentials->len);
    free(value);
    return 0;
}

void sb_git_environment_forget(struct sb_pairs *env) {
    const char *value = sb_pairs_get(env, CREDENTIALS);
    if (value)
        explicit_bzero((char *)value, strlen(value));
    sb_pairs_free(env);
}

int sb_git_environment(const struct sb_secret *credentials, struct sb_pairs *env,
                       struct sb_error *err) {
    static const char *const fixed[][2] = {{"GIT_CONFIG_NOSYSTEM", "1"},
                                           {"GIT_CONFIG_SYSTEM", "/dev/null"},
                                           {"GIT_CONFIG_GLOBAL", "/dev/null"},
                                           {"GIT_ATTR_NOSYSTEM", "1"},
                                           {"GIT_ALLOW_PROTOCOL", "http:https:git"},
                                           {"GIT_PROTOCOL_FROM_USER", "0"},
                                           {"GIT_TERMINAL_PROMPT", "0"},
                                           {"GIT_ASKPASS", "false"},
                                           {"GIT_SSH_COMMAND", "false"},
                                           {"GIT_NO_LAZY_FETCH", "1"},
                                           {"GIT_NO_REPLACE_OBJECTS", "1"},
                                           {"GIT_TEMPLATE_DIR", ""},
                                           {"LC_ALL", "C"},
                                           {"HOME", "/nonexistent"}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        sb_pairs_set(env, fixed[i][0], fixed[i][1]);
    unsigned n = 0;
    for (; n < CONFIGURATION_COUNT; n++) {
        set_indexed(env, "KEY", n, configuration[n][0]);
        set_indexed(env, "VALUE", n, configuration[n][1]);
    }
    if (credentials && set_credentials(credentials, env, err) < 0)
        return -1;
    if (credentials) {
        set_indexed(env, "KEY", n, "credential.helper");
        set_indexed(env, "VALUE", n++, helper);
    }
    sb_autofree char *count = sb_format("%u", n);
    sb_pairs_set(env, "GIT_CONFIG_COUNT", count);
    return 0;
}

/* ---- what went wrong ---- */

int sb_git_hint(const char *said, struct sb_error *err) {
    static const struct {
        const char *said, *hint;
    } all[] = {
        {"could not read Username",
         "it wants a password, or there is no such repository: secrets: [git_credentials] beside "
         "the step, with a line https://USER:PASSWORD@HOST"},
        {"Authentication failed", "the secret git_credentials has another password than the server "
                                  "wants"},
        {"no server is asked", "clouds keep a machine's credentials there: name the repository by "
                               "its name, or its own address"},
        {"not found", "is there such a repository, for everybody?"},
        {"not allowed", "redirected to another protocol? Name its http or https address"},
        {"Could not resolve", "is the address right, and does this machine reach it? A proxy is "
                              "taken from http_proxy and https_proxy"},
        {"git-lfs", "the files of Git LFS are fetched by git-lfs of this machine: apt-get install "
                    "git-lfs"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strstr(said, all[i].said))
            return sb_error_hint(err, "%s", all[i].hint);
    return -1;
}

int sb_git_check(bool lfs, struct sb_error *err) {
    static const char *const programs[] = {"git", "git-lfs"};
    for (size_t i = 0; i < (lfs ? 2 : 1); i++) {
        sb_autofree char *path = sb_process_find(programs[i]);
        if (path)
            continue;
        sb_fail(err, SB_E_NOT_FOUND, "there is no %s on this machine", programs[i]);
        return sb_error_hint(err,
                             "what git steps name is fetched by git of this machine: apt-get "
                             "install %s",
                             programs[i]);
    }
    return 0;
}
