/* Which files of a stack of trees stand in the place of others: compared with looking each up. */
#include "steps/shadows.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/tree.h"
#include "tests/unit/test.h"

enum { LAYERS = 4, DIRECTORIES = 12, NAMES = 12, EPOCH = 1000000000, ROUNDS = 40 };

static struct sb_error err;

static void write_file(const char *path, long mtime) {
    sb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct timespec times[2] = {{.tv_sec = mtime}, {.tv_sec = mtime}};
    CHECK(fd >= 0 && futimens(fd, times) == 0);
}

/* Some directories whole, as packages have them, and single files here and there. */
static void fill(const char *tree) {
    for (int d = 0; d < DIRECTORIES; d++) {
        bool whole = random() % 4 == 0;
        for (int n = 0; n < NAMES; n++) {
            if (!whole && random() % 8 != 0)
                continue;
            sb_autofree char *parent = sb_format("%s/%c%d/x", tree, "ab-"[d % 3], d);
            sb_autofree char *path = sb_format("%s/%s%d", parent, n % 2 ? "f" : "f.", n);
            CHECK_INT(sb_directory_make(AT_FDCWD, parent, 0755, &err), 0);
            if (random() % 10 == 0)
                CHECK_INT(symlink("target", path), 0);
            else
                write_file(path, random() % 5 ? EPOCH : EPOCH - 5);
        }
    }
}

static bool is_file(const char *tree, const char *path, struct stat *out) {
    sb_autofree char *whole = sb_path_join(tree, path);
    return lstat(whole, out) == 0 && S_ISREG(out->st_mode);
}

static bool is_shadow(const struct sb_strings *trees, const char *path) {
    for (size_t i = 0; i < trees->n; i++)
        for (size_t k = 0; k < i; k++) {
            struct stat upper, lower;
            if (is_file(trees->v[i], path, &upper) && is_file(trees->v[k], path, &lower) &&
                upper.st_mtime == EPOCH)
                return true;
        }
    return false;
}

static void check_round(struct sb_store *store, const char *directory, int round) {
    sb_autostrings struct sb_strings trees = {0};
    for (int i = 0; i < LAYERS; i++) {
        sb_strings_addf(&trees, "%s/%d-%d", directory, round, i);
        CHECK_INT(mkdir(trees.v[i], 0755), 0);
        fill(trees.v[i]);
    }
    struct sb_shadows shadows;
    CHECK_INT(sb_shadows_find(store, &trees, EPOCH, &shadows, &err), 0);
    size_t expected = 0;
    for (int d = 0; d < DIRECTORIES; d++)
        for (int n = 0; n < NAMES; n++) {
            sb_autofree char *path =
                sb_format("%c%d/x/%s%d", "ab-"[d % 3], d, n % 2 ? "f" : "f.", n);
            bool shadow = is_shadow(&trees, path);
            CHECK_INT(sb_strings_has(&shadows.paths, path), shadow);
            expected += shadow;
        }
    CHECK_INT(shadows.paths.n, expected);
    CHECK_INT(shadows.newest, EPOCH);
    sb_shadows_free(&shadows);
}

int main(void) {
    char directory[] = "/var/tmp/sb-shadows.XXXXXX";
    struct sb_store *store;
    CHECK(mkdtemp(directory) != NULL);
    sb_autofree char *path = sb_path_join(directory, "store");
    CHECK_INT(sb_store_open(path, &store, &err), 0);
    srandom(1);
    for (int round = 0; round < ROUNDS; round++)
        check_round(store, directory, round);
    struct sb_digest id;
    CHECK(!sb_shadows_layer("/s/sbuild/trees/x/fs", &id));
    CHECK(sb_shadows_layer("/s/sbuild/trees/"
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/fs",
                           &id));
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
