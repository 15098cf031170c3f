/* Names that go through symlinks of their own layer. */
#include "layers/through.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/test.h"

static void link_at(struct sb_through *t, const char *path, const char *target) {
    sb_through_note(t, &(struct sb_entry){.path = path, .link = target, .mode = S_IFLNK | 0777});
}

static void check(struct sb_through *t, const char *path, const char *expected) {
    struct sb_buf buf = {0};
    struct sb_error err = {0};
    sb_buf_adds(&buf, path);
    int failed = sb_through_resolve(t, &buf, &err);
    CHECK_STR(failed ? "too many" : buf.data, expected);
    sb_buf_free(&buf);
}

static void test_links(void) {
    struct sb_through t = {0};
    check(&t, "lib/x", "lib/x");
    link_at(&t, "lib", "usr/lib");
    check(&t, "lib/x", "usr/lib/x");
    check(&t, "lib/a/b", "usr/lib/a/b");
    check(&t, "lib", "lib"); /* the last component is not gone through */
    check(&t, "libx/x", "libx/x");
    check(&t, "a/lib/x", "a/lib/x");
    link_at(&t, "usr/lib/up", "..");
    check(&t, "lib/up/x", "usr/x");
    link_at(&t, "usr/lib/top", "/../../etc//./");
    check(&t, "lib/top/x", "etc/x");
    check(&t, "usr/lib/top/.wh.x", "etc/.wh.x");
    link_at(&t, "a/one", "two");
    link_at(&t, "a/two", "../lib/up");
    check(&t, "a/one/x", "usr/x");
    link_at(&t, "loop", "loop");
    check(&t, "loop/x", "too many");
    check(&t, "a/one/x", "usr/x");
    sb_through_free(&t);
}

static void test_replaced(void) {
    struct sb_through t = {0};
    link_at(&t, "a", "b");
    check(&t, "a/x", "b/x");
    link_at(&t, "a", "c");
    check(&t, "a/x", "c/x");
    sb_through_note(&t, &(struct sb_entry){.path = "a", .mode = S_IFDIR | 0755});
    check(&t, "a/x", "a/x");
    link_at(&t, "a", "..");
    check(&t, "a/x", "x");
    /* A hard link to a symlink is not told what it leads to. */
    sb_through_note(&t, &(struct sb_entry){
                            .path = "a", .link = "l", .hard_link = true, .mode = S_IFLNK | 0777});
    check(&t, "a/x", "a/x");
    sb_through_free(&t);
}

int main(void) {
    test_links();
    test_replaced();
    return test_done();
}
