/*
 * Any bytes as what a checkout and git say of it: HEAD, a branch, packed-refs, git's answers, and
 * what was remembered of them. No git is run.
 */
#include <sys/stat.h>

#include "base/process.h"
#include "builder/git.h"
#include "tests/fuzz/fuzz.h"

static struct fuzz_parts parts;

static int answer(size_t max, struct sb_buf *out, struct sb_buf *diagnostics) {
    size_t len;
    sb_autofree char *text = fuzz_next(&parts, &len);
    if (text[0] == '!' && diagnostics)
        sb_buf_adds(diagnostics, text + 1);
    else
        sb_buf_add(out, text, len < max ? len : max);
    return text[0] == '!' ? 128 : 0;
}

int sb_process_capture(const char *const *argv, const char *cwd, size_t max, struct sb_buf *out,
                       struct sb_buf *diagnostics, struct sb_error *err) {
    (void)argv;
    (void)cwd;
    (void)err;
    return answer(max, out, diagnostics);
}
int sb_process_capture_env(const char *const *argv, const char *const *env, const char *cwd,
                           size_t max, struct sb_buf *out, struct sb_buf *diagnostics,
                           struct sb_error *err) {
    (void)argv;
    (void)env;
    (void)cwd;
    (void)err;
    return answer(max, out, diagnostics);
}

static int start(void) {
    int dir = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(mkdirat(dir, ".git", 0755) == 0 && mkdirat(dir, ".git/refs", 0755) == 0 &&
               mkdirat(dir, ".git/objects", 0755) == 0 &&
               mkdirat(dir, ".git/refs/heads", 0755) == 0 && mkdirat(dir, "memo", 0755) == 0);
    return openat(dir, "memo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void write_part(const char *name) {
    size_t len;
    sb_autofree char *text = fuzz_next(&parts, &len);
    free(fuzz_directory_file(name, text, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int memo = -1;
    if (memo < 0)
        memo = start();
    parts = fuzz_parts(data, size);
    write_part(".git/HEAD");
    write_part(".git/refs/heads/main");
    write_part(".git/packed-refs");
    write_part("memo/m-tag");
    struct sb_git git;
    struct sb_error err = {0};
    if (sb_git_describe(fuzz_directory(), memo, "m", &git, &err) < 0)
        fuzz_check_error(&err);
    else if (git.found)
        FUZZ_CHECK(strlen(git.commit) >= 40 &&
                   strspn(git.commit, "0123456789abcdef") == strlen(git.commit));
    return 0;
}
