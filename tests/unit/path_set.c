/* context/path_set: what is in a set is found in it, read back or not, and next to nothing else. */
#include "context/path_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "tests/unit/test.h"

static struct sb_contents *make_layer(int count) {
    struct sb_contents_writer *writer = sb_contents_start();
    for (int i = 0; i < count; i++) {
        sb_autofree char *path = sb_format("usr/share/%d/file-%d", i / 50, i);
        struct sb_entry e = {.path = path, .mode = i % 3 ? S_IFREG | 0644 : S_IFDIR | 0755};
        sb_contents_add(writer, &e);
    }
    return sb_contents_from_writer(writer);
}

static void check_all(const struct sb_path_set *set, int count, bool files) {
    int wrong = 0;
    for (int i = 0; i < count; i++) {
        sb_autofree char *path = sb_format("usr/share/%d/file-%d", i / 50, i);
        enum sb_path_known wanted = i % 3 == 0 ? SB_PATH_DIRECTORY
                                    : files    ? SB_PATH_OTHER
                                               : SB_PATH_NONE;
        wrong += sb_path_sets_find(set, 1, path) != wanted;
        sb_autofree char *other = sb_format("usr/share/%d/other-%d", i / 50, i);
        wrong += sb_path_sets_find(set, 1, other) != SB_PATH_NONE;
    }
    CHECK_INT(wrong, 0);
    if (count > 0)
        CHECK_INT(sb_path_sets_find(set, 1, "usr/share/0"), SB_PATH_DIRECTORY);
}

static void test_sizes(void) {
    static const int counts[] = {0, 1, 2, 3, 100, 4095, 4096, 16384};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct sb_contents *layer = make_layer(counts[i]);
        for (int files = 0; files < 2; files++) {
            struct sb_path_set set, again;
            sb_path_set_make(layer, files, &set);
            check_all(&set, counts[i], files);
            CHECK(sb_path_set_read(set.text, &again));
            CHECK(again.n == set.n &&
                  (set.n == 0 || !memcmp(again.v, set.v, set.n * sizeof *set.v)));
            CHECK_STR(again.text, set.text);
            CHECK(strlen(set.text) < 40 + set.n * 6); /* 4.5 bytes a path at most, of a few */
            check_all(&again, counts[i], files);
            sb_path_set_free(&set);
            sb_path_set_free(&again);
        }
        sb_contents_close(layer);
    }
}

/* The format: what was written stays readable, and says the same. */
static void test_format(void) {
    struct sb_contents_writer *writer = sb_contents_start();
    sb_contents_add(writer, &(struct sb_entry){.path = "usr/lib/x", .mode = S_IFREG | 0644});
    sb_contents_add(writer, &(struct sb_entry){.path = "etc/.wh.passwd", .mode = S_IFREG | 0600});
    struct sb_contents *layer = sb_contents_from_writer(writer);
    struct sb_path_set set;
    sb_path_set_make(layer, true, &set);
    CHECK_STR(set.text, "4 uRG69z/h+DFkv5GFtvBfIWGC2qQ=");
    sb_path_set_free(&set);
    sb_contents_close(layer);
}

/* Bytes that no set has are no set, and take no more memory than they have. */
static void test_damage(void) {
    static const char *const bad[] = {"",
                                      " ",
                                      "1",
                                      "x AAAA",
                                      "1 AAA",
                                      "1 ",
                                      "-1 AAAA",
                                      "9 AAAA",
                                      "1 ////",
                                      "2 AAAAAAAAAAAAAAAA",
                                      "1  AAAA",
                                      "1\tAAAA",
                                      "18446744073709551615 AAAA"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sb_path_set set;
        if (!CHECK(!sb_path_set_read(bad[i], &set))) {
            printf("    %s\n", bad[i]);
            sb_path_set_free(&set);
        }
    }
}

int main(void) {
    test_sizes();
    test_format();
    test_damage();
    return test_done();
}
