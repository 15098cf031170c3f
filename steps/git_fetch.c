#include "steps/git_fetch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "sandbox/program.h"
#include "steps/away.h"
#include "steps/fetch.h"

enum { ANSWER_LIMIT = 1 << 20, ANSWER_SECONDS = 120, TAR_LIMIT = 1001 };

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

static void forget_credentials(struct sb_pairs *env) {
    const char *value = sb_pairs_get(env, CREDENTIALS);
    if (value)
        explicit_bzero((char *)value, strlen(value));
    sb_pairs_free(env);
}

static int fill_env(const struct sb_secret *credentials, struct sb_pairs *env,
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

static int hint(const char *said, const char *url, struct sb_error *err) {
    static const struct {
        const char *said, *hint;
    } all[] = {
        {"could not read Username",
         "it wants a password, or there is no such repository: secrets: [git_credentials] beside "
         "the step, with a line https://USER:PASSWORD@HOST"},
        {"Authentication failed", "the secret git_credentials has another password than the server "
                                  "wants"},
        {"not found", "is there such a repository, for everybody?"},
        {"not allowed", "redirected to another protocol? Name its http or https address"},
        {"Could not resolve", "is the address right, and does this machine reach it? A proxy is "
                              "taken from http_proxy and https_proxy"},
        {"git-lfs", "the files of Git LFS are fetched by git-lfs of this machine: apt-get install "
                    "git-lfs"},
    };
    (void)url;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strstr(said, all[i].said))
            return sb_error_hint(err, "%s", all[i].hint);
    return -1;
}

static int fail_missing(struct sb_error *err) {
    return sb_error_hint(err, "git steps are fetched by git of this machine: apt-get install git");
}

/* ---- resolving ---- */

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

static int ask(const char *url, const char *ref, const struct sb_pairs *own, struct sb_buf *answer,
               struct sb_buf *said, struct sb_error *err) {
    sb_autofree char *peeled = sb_format("%s^{}", ref);
    const char *const argv[] = {"git", "ls-remote", "--", url, ref, peeled, NULL};
    struct sb_pairs env = {0};
    sb_autostrings struct sb_strings list = {0};
    sb_program_environment("/nonexistent", true, true, &env);
    sb_pairs_add(&env, own);
    for (size_t i = 0; i < env.n; i++)
        sb_strings_addf(&list, "%s=%s", env.v[i].name, env.v[i].value);
    forget_credentials(&env);
    int status = sb_process_capture_env(argv, (const char *const *)list.v, "/", ANSWER_LIMIT,
                                        ANSWER_SECONDS, answer, said, err);
    for (size_t i = 0; i < list.n; i++)
        explicit_bzero(list.v[i], strlen(list.v[i]));
    return status;
}

int sb_git_resolve(const char *url, const char *ref, const struct sb_secret *credentials,
                   char out[static 65], struct sb_error *err) {
    struct sb_pairs env = {0};
    sb_autobuf struct sb_buf answer = {0}, said = {0};
    int status = fill_env(credentials, &env, err);
    if (status == 0)
        status = ask(url, ref, &env, &answer, &said, err);
    forget_credentials(&env);
    if (status < 0 && err->code == SB_E_FAILED)
        err->code = SB_E_NETWORK;
    if (status < 0)
        return err->code == SB_E_NOT_FOUND ? fail_missing(err)
                                           : sb_error_context(err, "asking %s for %s", url, ref);
    if (status > 0) {
        const char *text = sb_buf_text(&said);
        sb_fail(err, SB_E_NETWORK, "asking %s for %s failed: %.*s", url, ref,
                (int)strcspn(text, "\n"), text);
        sb_error_hint(err, "with commit: instead, nothing is asked where the layer is cached");
        hint(text, url, err);
        return -1;
    }
    if (take_answer(answer.data ? answer.data : (char[]){""}, ref, out))
        return 0;
    sb_fail(err, SB_E_NOT_FOUND, "%s has no %s", url, ref);
    return sb_error_hint(err, "git ls-remote %s lists what it has", url);
}

/* ---- fetching ---- */

/* Arguments: URL COMMIT SUBMODULES LFS TRIES. */
static const char script[] =
    "set -eu\n"
    "umask 022\n"
    "submodules=$3 lfs=$4 tries=$5 count=0\n"
    "die() { echo \"fatal: $*\"; exit 1; }\n"
    "away() { grep -Eqi -e 'could not (resolve|connect)' -e 'timed out' -e 'refused' -e 'hung up' "
    "-e 'early EOF' -e 'returned error: (5|429)' -e 'reset by' \"$1\"; }\n"
    "fetch() { # DIRECTORY ARGUMENT…\n"
    "  dir=$1 try=0\n"
    "  shift\n"
    "  until git -C \"$dir\" fetch -q --no-tags --no-write-fetch-head \"$@\" 2>/tmp/said; do\n"
    "    away /tmp/said && [ $try -lt \"$tries\" ] || return 1\n"
    "    cat /tmp/said && sleep $((try < 4 ? 1 << try : 15)) && try=$((try + 1))\n"
    "  done\n"
    "}\n"
    "get() { # DIRECTORY URL COMMIT\n"
    "  format=sha1\n"
    "  [ ${#3} = 40 ] || format=sha256\n"
    "  git init -q --bare --object-format=$format \"$1\"\n"
    "  mkdir -p \"$1/info\"\n"
    "  printf '* -export-ignore -export-subst\\n' >\"$1/info/attributes\"\n"
    "  fetch \"$1\" --depth=1 \"$2\" \"$3\" && return\n"
    "  away /tmp/said || ! grep -Eqi -e 'not our ref' -e 'unadvertised object' -e \"couldn't find "
    "remote ref\" -e 'dumb http' /tmp/said || {\n"
    "    echo \"the server gives no single commit: all of it is fetched\"\n"
    "    fetch \"$1\" \"$2\" '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' || { cat "
    "/tmp/said && exit 1; }\n"
    "    git -C \"$1\" cat-file -e \"$3^{commit}\" 2>/dev/null || die \"$2 has no commit $3\"\n"
    "    return\n"
    "  }\n"
    "  cat /tmp/said\n"
    "  exit 1\n"
    "}\n"
    "write() { # DIRECTORY URL COMMIT PREFIX\n"
    "  set -- \"$@\" -c core.bare=true\n"
    "  if [ \"$lfs\" ]; then\n"
    "    command -v git-lfs >/dev/null || die \"there is no git-lfs on this machine\"\n"
    "    set -- \"$@\" -c remote.origin.url=\"$2\" -c filter.lfs.required=true \\\n"
    "      -c filter.lfs.smudge='git-lfs smudge -- %f' -c filter.lfs.process='git-lfs "
    "filter-process'\n"
    "  fi\n"
    "  dir=$1 commit=$3 prefix=$4\n"
    "  shift 4\n"
    "  git -C \"$dir\" \"$@\" archive --format=tar --prefix=\"$prefix\" -o \"/tmp/git/$count.tar\" "
    "\"$commit\"\n"
    "}\n"
    "resolve() { # URL RELATIVE\n"
    "  base=${1%/} way=$2\n"
    "  while :; do\n"
    "    case $way in\n"
    "    ../*) base=${base%/*} way=${way#../} ;;\n"
    "    ./*) way=${way#./} ;;\n"
    "    *) break ;;\n"
    "    esac\n"
    "  done\n"
    "  echo \"$base/$way\"\n"
    "}\n"
    "url_of() { # DIRECTORY URL COMMIT PATH\n"
    "  git -C \"$1\" config --blob \"$3:.gitmodules\" --get-regexp '^submodule\\..*\\.path$' "
    ">/tmp/paths 2>/dev/null || :\n"
    "  key=\n"
    "  while IFS= read -r line; do\n"
    "    case $line in *\".path $4\") key=${line%\".path $4\"} ;; esac\n"
    "  done </tmp/paths\n"
    "  [ \"$key\" ] || die \"the submodule $4 has no entry in .gitmodules\"\n"
    "  found=$(git -C \"$1\" config --blob \"$3:.gitmodules\" --get \"$key.url\") || die \"the "
    "submodule $4 has no url in .gitmodules\"\n"
    "  case $found in ./* | ../*) found=$(resolve \"$2\" \"$found\") ;; esac\n"
    "  case $found in\n"
    "  http://*@* | https://*@*) die \"submodule $4: its url has a user or a password\" ;;\n"
    "  http://* | https://* | git://*) ;;\n"
    "  *) die \"submodule $4: its url is $found (only http, https and git are fetched)\" ;;\n"
    "  esac\n"
    "}\n"
    "one() { # DEPTH URL COMMIT PREFIX\n"
    "  local here links mode commit path\n"
    "  count=$((count + 1))\n"
    "  [ \"$1\" -lt 10 ] || die \"submodules are more than 10 deep\"\n"
    "  [ $count -le 1000 ] || die \"more than 1000 submodules\"\n"
    "  here=/tmp/git/$count.git links=/tmp/git/$count.links\n"
    "  echo \"fetching $2 $3\"\n"
    "  get \"$here\" \"$2\" \"$3\"\n"
    "  write \"$here\" \"$2\" \"$3\" \"$4\"\n"
    "  [ \"$submodules\" ] || return 0\n"
    "  git -C \"$here\" ls-tree -r \"$3\" | sed -n 's/^160000 commit //p' >$links\n"
    "  while read -r commit path <&4; do\n"
    "    case /$path/ in '/\"'* | */../* | */.git/* | */./*) die \"a submodule has the path "
    "$path\" ;; "
    "esac\n"
    "    url_of \"$here\" \"$2\" \"$3\" \"$path\"\n"
    "    one $(($1 + 1)) \"$found\" \"$commit\" \"$4$path/\"\n"
    "  done 4<$links\n"
    "}\n"
    "one 0 \"$1\" \"$2\" ''\n";

static int count_tars(const char *directory, size_t *out, struct sb_error *err) {
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, directory, err);
    if (fd < 0)
        return -1;
    for (*out = 0; *out < TAR_LIMIT; ++*out) {
        sb_autofree char *name = sb_format("%zu.tar", *out + 1);
        if (!sb_path_exists(fd, name))
            break;
    }
    return *out ? 0 : sb_fail(err, SB_E_FAILED, "git wrote no archive");
}

int sb_git_fetch(const struct sb_git_commit *commit, const struct sb_secret *credentials,
                 const char *directory, struct sb_step_run_context *context, size_t *out_count,
                 struct sb_error *err) {
    sb_autofree char *tries = sb_format("%u", sb_away_pip_retries(context->registry));
    const char *const argv[] = {"sh",
                                "-c",
                                script,
                                "git",
                                commit->url,
                                commit->name,
                                commit->submodules ? "1" : "",
                                commit->lfs ? "1" : "",
                                tries,
                                NULL};
    const struct sb_contain_place places[] = {{directory, "git"}};
    struct sb_limits limits = sb_settings_limits(context->settings);
    struct sb_pairs env = {0};
    struct sb_host_program program = {
        .argv = argv, .env = &env, .places = places, .place_count = 1, .limits = &limits};
    sb_autofree char *git = sb_process_find("git");
    int failed = 0;
    if (!git) {
        sb_fail(err, SB_E_NOT_FOUND, "there is no git on this machine");
        failed = fail_missing(err);
    }
    if (!failed)
        failed = fill_env(credentials, &env, err);
    if (!failed)
        failed = sb_host_program(&program, context->log, err);
    forget_credentials(&env);
    if (failed && err->code == SB_E_STEP) {
        err->code = SB_E_NETWORK;
        sb_autofree char *why = sb_strdup(err->hint);
        sb_fail(err, SB_E_STEP, "fetching the commit %s of %s failed", commit->name, commit->url);
        if (*why)
            sb_error_hint(err, "%s", why);
        hint(sb_step_log_said(context->log), commit->url, err);
    }
    return failed ? -1 : count_tars(directory, out_count, err);
}
