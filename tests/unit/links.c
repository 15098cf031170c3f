/* Short names of trees: one for each, longer where they collide, gone with the tree. */
#include "layers/links.h"

#include <sys/stat.h>

#include "layers/collect.h"
#include "layers/pin.h"
#include "layers/trees.h"
#include "tests/unit/layer_test.h"

static struct layer_test t;
static struct sb_error err;

static struct sb_digest make_tree(unsigned char first, unsigned char fifth) {
    struct sb_digest id = {{first, 0x34, 0x56, 0x78, fifth}};
    sb_autofree char *tree = sb_tree_path(&id), *fs = sb_format("%s/fs", tree);
    CHECK_INT(sb_directory_make(sb_store_fd(t.store), fs, 0755, &err), 0);
    return id;
}

/* The last part of the path; the caller's. */
static char *name_of(const char *path) {
    return sb_strdup(strrchr(path, '/') + 1);
}

static bool leads_to(const char *path, const struct sb_digest *id) {
    struct stat a, b;
    sb_autofree char *tree = sb_tree_path(id);
    sb_autofree char *fs = sb_format("%s/%s/fs", sb_store_path(t.store), tree);
    return stat(path, &a) == 0 && stat(fs, &b) == 0 && a.st_ino == b.st_ino;
}

static void test_names(void) {
    const struct sb_digest ids[] = {make_tree(1, 1), make_tree(2, 1), make_tree(1, 2)};
    sb_autofree char *before = sb_link_path(t.store, &ids[0]);
    CHECK(!sb_path_exists(AT_FDCWD, before));
    sb_autostrings struct sb_strings paths = {0}, again = {0};
    CHECK_INT(sb_links_make(t.store, ids, 3, &paths, &err), 0);
    CHECK_STR(paths.v[0], before);
    for (size_t i = 0; i < 3; i++)
        CHECK(leads_to(paths.v[i], &ids[i]));
    sb_autofree char *first = name_of(paths.v[0]), *third = name_of(paths.v[2]);
    CHECK_STR(first, "04q5"); /* 00000001 00110100 0101… by fives */
    CHECK_STR(third, "04q5c");
    CHECK_INT(sb_links_make(t.store, ids, 3, &again, &err), 0);
    for (size_t i = 0; i < 3; i++)
        CHECK_STR(again.v[i], paths.v[i]);
}

static void test_127(void) {
    struct sb_digest ids[127];
    size_t bytes = 0;
    for (size_t i = 0; i < 127; i++) {
        ids[i] = sb_digest_of(&i, sizeof i);
        sb_autofree char *tree = sb_tree_path(&ids[i]), *fs = sb_format("%s/fs", tree);
        CHECK_INT(sb_directory_make(sb_store_fd(t.store), fs, 0755, &err), 0);
    }
    sb_autostrings struct sb_strings paths = {0};
    CHECK_INT(sb_links_make(t.store, ids, 127, &paths, &err), 0);
    for (size_t i = 0; i < 127; i++) {
        bytes +=
            strlen("/var/lib/sbuild") + strlen(paths.v[i]) - strlen(sb_store_path(t.store)) + 1;
        CHECK(leads_to(paths.v[i], &ids[i]));
    }
    CHECK(bytes < 3900); /* of one page, with the default store */
}

static void test_collected(void) {
    const struct sb_digest ids[] = {make_tree(3, 1), make_tree(3, 2)};
    sb_autostrings struct sb_strings paths = {0}, pinned = {0};
    CHECK_INT(sb_links_make(t.store, ids, 2, &paths, &err), 0);
    sb_strings_take(&pinned, sb_tree_path(&ids[1]));
    CHECK_INT(sb_pin_set(t.store, "service-x", &pinned, &err), 0);
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    options.dry_run = true;
    CHECK_INT(sb_store_collect(t.store, &options, &report, &err), 0);
    sb_collect_report_free(&report);
    CHECK(leads_to(paths.v[0], &ids[0]));
    options.dry_run = false;
    CHECK_INT(sb_store_collect(t.store, &options, &report, &err), 0);
    sb_collect_report_free(&report);
    CHECK(!sb_path_exists(AT_FDCWD, paths.v[0]));
    CHECK(leads_to(paths.v[1], &ids[1]));
    /* It keeps its name, and another may have the one that has become free. */
    const struct sb_digest other = make_tree(3, 7);
    sb_autostrings struct sb_strings more = {0}, again = {0};
    CHECK_INT(sb_links_make(t.store, &ids[1], 1, &again, &err), 0);
    CHECK_STR(again.v[0], paths.v[1]);
    sb_autofree char *same = sb_link_path(t.store, &ids[1]);
    CHECK_STR(same, paths.v[1]);
    CHECK_INT(sb_links_make(t.store, &other, 1, &more, &err), 0);
    CHECK_STR(more.v[0], paths.v[0]);
    CHECK(leads_to(paths.v[1], &ids[1]));
}

int main(void) {
    t = layer_test_start();
    test_names();
    test_127();
    test_collected();
    layer_test_end(&t);
    return test_done();
}
