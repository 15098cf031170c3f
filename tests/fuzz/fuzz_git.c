/*
 * Any bytes as what a checkout and git say of it: HEAD, a branch, packed-refs, git's answers, and
 * what was remembered of them. No git is run.
 */
#include <sys/stat.h>

#include "context/git.h"
#include "context/git_state.h"
#include "context/git_view.h"
#include "tests/fuzz/fuzz.h"

static struct fuzz_parts parts;
static struct sb_store *store;

/* ---- takes the place of git ---- */

int sb_git_view_open(const struct sb_checkout *checkout, const char *scratch,
                     const struct sb_git_view *around, struct sb_git_view *out,
                     struct sb_error *err) {
    (void)checkout;
    (void)scratch;
    (void)around;
    (void)err;
    *out = (struct sb_git_view){0};
    return 0;
}
void sb_git_view_close(struct sb_git_view *view) {
    (void)view;
}
int sb_git_view_run(const struct sb_git_view *view, const char *const *arguments,
                    struct sb_buf *answer, struct sb_buf *complaint, struct sb_error *err) {
    size_t len;
    sb_autofree char *text = fuzz_next(&parts, &len);
    (void)view;
    (void)arguments;
    (void)err;
    sb_buf_add(text[0] == '!' ? complaint : answer, text, len);
    return text[0] == '!' ? 128 : 0;
}
int sb_git_view_ask(const struct sb_git_view *view, const char *const *arguments,
                    struct sb_buf *answer, struct sb_error *err) {
    sb_autobuf struct sb_buf complaint = {0};
    if (sb_git_view_run(view, arguments, answer, &complaint, err) == 0)
        return 0;
    return sb_fail(err, SB_E_FAILED, "git failed");
}
int sb_git_state(const struct sb_git_view *view, const char *scratch, bool *out_dirty,
                 struct sb_error *err) {
    (void)view;
    (void)scratch;
    (void)err;
    *out_dirty = false;
    return 0;
}

/* ---- the checkout ---- */

static void start(void) {
    struct sb_error err = {0};
    FUZZ_CHECK(sb_store_open(fuzz_directory(), &store, &err) == 0);
    int dir = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(mkdirat(dir, "x", 0755) == 0 && mkdirat(dir, "x/.git", 0755) == 0 &&
               mkdirat(dir, "x/.git/refs", 0755) == 0 &&
               mkdirat(dir, "x/.git/objects", 0755) == 0 &&
               mkdirat(dir, "x/.git/refs/heads", 0755) == 0);
    close(dir);
}

static void write_part(const char *name) {
    size_t len;
    sb_autofree char *text = fuzz_next(&parts, &len);
    free(fuzz_directory_file(name, text, len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!store)
        start();
    parts = fuzz_parts(data, size);
    write_part("x/.git/HEAD");
    write_part("x/.git/refs/heads/main");
    write_part("x/.git/packed-refs");
    write_part("sbuild/m-tag");
    sb_autofree char *directory = sb_format("%s/x", fuzz_directory());
    struct sb_git git;
    struct sb_error err = {0};
    if (sb_git_describe(directory, store, "m", true, &git, &err) < 0)
        fuzz_check_error(&err);
    else if (git.found)
        FUZZ_CHECK(strlen(git.commit) >= 40 &&
                   strspn(git.commit, "0123456789abcdef") == strlen(git.commit));
    return 0;
}
