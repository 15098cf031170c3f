#include "steps/git_fetch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "sandbox/program.h"
#include "steps/away.h"
#include "steps/git_program.h"

enum { TAR_LIMIT = 1001 };

/* Arguments: URL COMMIT SUBMODULES LFS TRIES. */
static const char script[] =
    "set -eu\n" SB_GIT_NEAR "umask 022\n"
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
    "    if server=$(git -C \"$1\" config --blob \"$3:.lfsconfig\" --get lfs.url 2>/dev/null); "
    "then\n"
    "      case $server in\n"
    "      http://*@* | https://*@*) die \".lfsconfig: its lfs.url has a user or a password\" ;;\n"
    "      http://* | https://*) ! near \"$server\" || die \".lfsconfig: $server: $(why)\" "
    ";;\n"
    "      *) die \".lfsconfig: its lfs.url is $server (only http and https are fetched)\" ;;\n"
    "      esac\n"
    "      echo \"files of LFS come from $server, as .lfsconfig says\"\n"
    "      set -- \"$@\" -c lfs.url=\"$server\"\n"
    "    fi\n"
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
    "  ! near \"$2\" || die \"$2: $(why)\"\n"
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

/* What ended it, in words of the step: nobody knows the script. */
static int explain(const struct sb_git_commit *commit, const struct sb_limits *limits,
                   enum sb_limit_met met, const char *said, struct sb_error *err) {
    uint64_t most = limits->download < limits->time ? limits->download : limits->time;
    sb_autofree char *why = sb_strdup(err->hint);
    sb_autofree char *what = met == SB_LIMIT_OF_TIME ? sb_format("took longer than %s",
                                                                 sb_text_seconds((double)most).text)
                                                     : sb_strdup("failed");
    sb_fail(err, SB_E_STEP, "fetching the commit %s of %s %s", commit->name, commit->url, what);
    if (*why)
        sb_error_hint(err, "%s", why);
    return met == SB_LIMIT_NONE ? sb_git_hint(said, err) : -1;
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
    enum sb_limit_met met = SB_LIMIT_NONE;
    struct sb_pairs env = {0};
    const struct sb_host_program program = {.argv = argv,
                                            .env = &env,
                                            .places = places,
                                            .place_count = 1,
                                            .limits = &limits,
                                            .downloads = true,
                                            .out_met = &met};
    if (sb_git_check(commit->lfs, err) < 0)
        return -1;
    int failed = sb_git_environment(credentials, &env, err);
    if (!failed)
        failed = sb_host_program(&program, context->log, err);
    sb_git_environment_forget(&env);
    if (failed && err->code == SB_E_STEP)
        explain(commit, &limits, met, sb_step_log_said(context->log), err);
    return failed ? -1 : count_tars(directory, out_count, err);
}
