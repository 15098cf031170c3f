#include <libdeflate.h>
#include <sys/stat.h>

#include "layers/contents.h"
#include "tests/unit/layer_test.h"

static struct layer_test t;

static struct sb_digest number_digest(int n) {
    return sb_digest_of(&n, sizeof n);
}

/* Contents from "PATH", "PATH/" for a directory and "PATH->TARGET" for a symlink, up to NULL. */
static struct sb_contents *contents_of(int number, const char *const *specs) {
    struct sb_error err = {0};
    struct sb_contents_writer *writer = sb_contents_start();
    for (; *specs; specs++) {
        const char *arrow = strstr(*specs, "->");
        size_t len = arrow ? (size_t)(arrow - *specs) : strlen(*specs);
        bool directory = (*specs)[len - 1] == '/';
        sb_autofree char *path = sb_strndup(*specs, len - directory);
        struct sb_entry e = {.path = path,
                             .link = arrow ? arrow + 2 : NULL,
                             .mode = arrow       ? S_IFLNK | 0777
                                     : directory ? S_IFDIR | 0711
                                                 : S_IFREG | 0644,
                             .mtime = number};
        sb_contents_add(writer, &e);
    }
    struct sb_digest digest = number_digest(number);
    struct sb_contents *contents = NULL;
    if (sb_contents_finish(writer, t.store, &digest, &err) < 0 ||
        sb_contents_open(t.store, &digest, &contents, &err) < 0)
        layer_test_die("making contents", &err);
    return contents;
}

#define CONTENTS(number, ...) contents_of(number, (const char *const[]){__VA_ARGS__, NULL})

static void test_all_fields(void) {
    struct sb_error err = {0};
    struct sb_entry in[] = {
        {.path = "b",
         .mode = S_IFREG | 04755,
         .uid = 4294967294,
         .gid = 2097152,
         .size = 1ull << 40,
         .mtime = -5,
         .mtime_nsec = 999999999},
        {.path = "a", .mode = S_IFBLK | 0660, .device_major = 259, .device_minor = 1048575},
        {.path = "b", .mode = S_IFREG | 0600, .size = 7, .mtime = 1ll << 40},
        {.path = "a0/\xff", .link = "b", .mode = S_IFREG | 0600, .hard_link = true},
        {.path = "a.b", .mode = S_IFIFO | 0600},
    };
    struct sb_digest digest = number_digest(1);
    struct sb_contents *c;
    CHECK_INT(sb_contents_open(t.store, &digest, &c, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    struct sb_contents_writer *writer = sb_contents_start();
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        sb_contents_add(writer, &in[i]);
    CHECK_INT(sb_contents_finish(writer, t.store, &digest, &err), 0);
    if (!CHECK(sb_contents_open(t.store, &digest, &c, &err) == 0))
        return;
    CHECK_INT(sb_contents_count(c), 4); /* the later "b" took the place of the earlier */
    struct sb_entry e;
    sb_contents_get(c, 0, &e);
    CHECK_STR(e.path, "a");
    CHECK(e.link == NULL && e.mode == in[1].mode);
    CHECK(e.device_major == 259 && e.device_minor == 1048575 && e.size == 0);
    sb_contents_get(c, 1, &e);
    CHECK_STR(e.path, "a.b");
    sb_contents_get(c, 2, &e);
    CHECK_STR(e.path, "a0/\xff");
    CHECK_STR(e.link, "b");
    CHECK(e.hard_link && e.mtime_nsec == 0);
    CHECK(sb_contents_find(c, "b", &e) && e.size == 7 && e.mtime == 1ll << 40 && !e.hard_link);
    CHECK(!sb_contents_find(c, "", &e) && !sb_contents_find(c, "a/", &e) &&
          !sb_contents_find(c, "c", &e));
    CHECK_INT(sb_contents_seek(c, "a/"), 2);
    CHECK_INT(sb_contents_seek(c, "zz"), 4);
    sb_contents_close(c);

    writer = sb_contents_start();
    sb_contents_add(writer, &in[0]);
    CHECK_INT(sb_contents_finish(writer, t.store, &digest, &err), 0); /* replaces */
    CHECK_INT(sb_contents_open(t.store, &digest, &c, &err), 0);
    CHECK(sb_contents_find(c, "b", &e) && e.size == 1ull << 40 && e.mtime == -5 &&
          e.mtime_nsec == 999999999 && e.uid == 4294967294 && e.gid == 2097152);
    sb_contents_close(c);
    sb_contents_abort(sb_contents_start());
    sb_contents_abort(NULL);
}

static void test_empty(void) {
    struct sb_error err = {0};
    struct sb_digest digest = number_digest(2);
    struct sb_contents *c;
    CHECK_INT(sb_contents_finish(sb_contents_start(), t.store, &digest, &err), 0);
    CHECK_INT(sb_contents_open(t.store, &digest, &c, &err), 0);
    CHECK_INT(sb_contents_count(c), 0);
    struct sb_entry e;
    CHECK(!sb_contents_find(c, "x", &e));
    sb_contents_close(c);
}

/* ---- damage ---- */

static void put_file(const struct sb_digest *digest, const void *data, size_t len) {
    struct sb_error err = {0};
    sb_autofree char *path = sb_format("contents/%s", sb_digest_hex(digest).text);
    CHECK_INT(sb_file_write(sb_store_private_fd(t.store), path, data, len, 0600, &err), 0);
}

static void check_damaged(const struct sb_digest *digest, const void *data, size_t len) {
    struct sb_error err = {0};
    struct sb_contents *c;
    put_file(digest, data, len);
    CHECK_INT(sb_contents_open(t.store, digest, &c, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
}

/* As someone would who wants to be believed. */
static void fix_check(struct sb_buf *file) {
    uint32_t check = libdeflate_crc32(0, file->data, 64);
    check = libdeflate_crc32(check, file->data + 72, file->len - 72);
    memcpy(file->data + 64, &check, sizeof check);
}

static void use_all(struct sb_contents *c) {
    struct sb_stack stack = {&c, 1};
    struct sb_error err = {0};
    for (size_t i = 0; i < sb_contents_count(c); i++) {
        struct sb_entry e, again;
        sb_contents_get(c, i, &e);
        sb_contents_find(c, e.path, &again);
        sb_stack_find(&stack, e.path, &again);
        sb_autofree char *resolved = NULL;
        sb_stack_resolve(&stack, e.path, &resolved, &err);
    }
}

static void test_damage(void) {
    struct sb_error err = {0};
    struct sb_digest digest = number_digest(3);
    sb_contents_close(CONTENTS(3, "a/", "a/b", "a/l->b", "z"));
    sb_autofree char *path = sb_format("contents/%s", sb_digest_hex(&digest).text);
    sb_autobuf struct sb_buf file = {0};
    CHECK_INT(sb_file_read(sb_store_private_fd(t.store), path, 1 << 20, &file, &err), 0);
    for (size_t i = 0; i < file.len; i++) { /* a bit of every byte; the end at every place */
        check_damaged(&digest, file.data, i);
        file.data[i] ^= (char)(1 << i % 8);
        check_damaged(&digest, file.data, file.len);
        file.data[i] ^= (char)(1 << i % 8);
    }
    struct sb_digest other = number_digest(4);
    check_damaged(&other, file.data, file.len); /* of another layer */

    srand(1);
    size_t opened = 0;
    for (int i = 0; i < 2000; i++) {
        sb_autobuf struct sb_buf hostile = {0};
        sb_buf_add(&hostile, file.data, file.len);
        for (int n = rand() % 4; n >= 0; n--)
            hostile.data[rand() % (int)file.len] = (char)(rand() % 4 ? rand() % 8 : rand());
        fix_check(&hostile);
        put_file(&digest, hostile.data, hostile.len);
        struct sb_contents *c;
        if (sb_contents_open(t.store, &digest, &c, &err) == 0) {
            use_all(c);
            sb_contents_close(c);
            opened++;
        } else {
            CHECK_INT(err.code, SB_E_INTEGRITY);
        }
    }
    CHECK(opened > 100); /* the check alone does not refuse them */
}

/* ---- stacks ---- */

static void check_find(const struct sb_stack *stack, const char *path, int layer) {
    struct sb_entry e;
    int found = sb_stack_find(stack, path, &e) ? (int)e.mtime : -1;
    if (!CHECK_INT(found, layer))
        printf("    at %s\n", path);
}

/* Layers tell their number as mtime; implicit directories have mtime 0. */
static void test_stack_find(void) {
    struct sb_contents *v[] = {
        CONTENTS(11, "etc/", "etc/a", "etc/b", "etc/d/", "etc/d/x", "lib->usr/lib", "opt/",
                 "opt/one", "usr/", "usr/lib/", "usr/lib/l", "f", "k/", "k/f"),
        CONTENTS(12, "etc/.wh.a", "etc/.wh.d", "opt/", "opt/.wh..wh..opq", "opt/two", "f/", "f/in",
                 "k", "implicit/deep/file"),
        CONTENTS(13, "etc/a/", "etc/a/new", "etc/d/", "etc/d/y", "f", "lib/odd", ".wh.k", "both/",
                 ".wh.both"),
    };
    struct sb_stack stack = {v, 3}, lower = {v, 2}, lowest = {v, 1};
    check_find(&lowest, "etc/a", 11);
    check_find(&lower, "etc/a", -1);
    check_find(&stack, "etc/a", 13);
    check_find(&stack, "etc/a/new", 13);
    check_find(&stack, "etc/b", 11);
    check_find(&stack, "etc", 11);
    check_find(&lower, "etc/d", -1);
    check_find(&lower, "etc/d/x", -1);
    check_find(&stack, "etc/d/x", -1);
    check_find(&stack, "etc/d/y", 13);
    check_find(&stack, "opt", 12);
    check_find(&stack, "opt/one", -1); /* opaque */
    check_find(&stack, "opt/two", 12); /* of the opaque layer itself */
    check_find(&lower, "f", 12);
    check_find(&lower, "f/in", 12);
    check_find(&stack, "f", 13);
    check_find(&stack, "f/in", -1); /* a file hides what was in a directory */
    check_find(&lower, "k", 12);
    check_find(&lower, "k/f", -1);
    check_find(&stack, "k", -1);
    check_find(&stack, "both", 13); /* a whiteout leaves its own layer alone */
    check_find(&stack, "implicit", 0);
    check_find(&stack, "implicit/deep", 0);
    check_find(&stack, "implicit/deep/file", 12);
    check_find(&stack, "implicit/dee", -1);
    check_find(&lower, "lib", 11);
    check_find(&lower, "lib/l", -1); /* nothing is followed */
    check_find(&stack, "lib", 0);    /* a parent takes a symlink's place */
    check_find(&stack, "", 0);
    check_find(&stack, "etc/.wh.a", -1);
    check_find(&stack, ".wh.k", -1);
    check_find(&stack, "opt/.wh..wh..opq", -1);
    struct sb_entry e;
    CHECK(sb_stack_find(&stack, "implicit", &e) && e.mode == (S_IFDIR | 0755));
    CHECK_STR(e.path, "implicit");
    CHECK(sb_stack_find(&stack, "etc", &e) && e.mode == (S_IFDIR | 0711));
    check_find(&(struct sb_stack){0}, "etc", -1);
    for (size_t i = 0; i < 3; i++)
        sb_contents_close(v[i]);
}

static void check_resolve(const struct sb_stack *stack, const char *path, const char *expected) {
    struct sb_error err = {0};
    sb_autofree char *resolved = NULL;
    sb_stack_resolve(stack, path, &resolved, &err);
    CHECK_STR(resolved ? resolved : "error", expected);
}

/* 40 links through 2,000 directories each: every one of them would be looked up from the root. */
static void test_stack_work(void) {
    struct sb_contents_writer *writer = sb_contents_start();
    sb_autobuf struct sb_buf deep = {0};
    for (int i = 0; i < 2000; i++) {
        sb_buf_adds(&deep, i ? "/a" : "a");
        sb_contents_add(writer, &(struct sb_entry){.path = deep.data, .mode = S_IFDIR | 0755});
    }
    for (int i = 0; i < 39; i++) {
        sb_autofree char *path = sb_format("l%d", i),
                         *link = sb_format("%s/../../l%d", deep.data, i);
        sb_autofree char *below = sb_format("%.*s/l%d", (int)deep.len - 4, deep.data, i);
        sb_autofree char *on = sb_format("/l%d", i + 1);
        sb_contents_add(writer,
                        &(struct sb_entry){.path = path, .link = link, .mode = S_IFLNK | 0777});
        sb_contents_add(writer,
                        &(struct sb_entry){.path = below, .link = on, .mode = S_IFLNK | 0777});
    }
    struct sb_contents *layer = sb_contents_from_writer(writer);
    struct sb_stack stack = {&layer, 1};
    struct sb_error err = {0};
    char *resolved = NULL;
    CHECK_INT(sb_stack_resolve(&stack, "l0", &resolved, &err), -1);
    CHECK(strstr(err.message, "more than 1000000 steps"));
    free(resolved);
    sb_contents_close(layer);
}

static void test_stack_resolve(void) {
    struct sb_contents *v[] = {
        CONTENTS(21, "bin->usr/bin", "usr/", "usr/bin/", "usr/bin/sh->dash", "usr/bin/dash",
                 "abs->/usr/bin/../lib", "up->../../../usr", "loop->loop", "a->b", "b->a/x",
                 "dot->.", "slash->/", "usr/lib->/lib64//", "dangling->no/where"),
        CONTENTS(22, ".wh.bin", "opt->bin"),
    };
    struct sb_stack lower = {v, 1}, stack = {v, 2};
    check_resolve(&lower, "bin/sh", "usr/bin/dash");
    check_resolve(&lower, "/bin//./sh", "usr/bin/dash");
    check_resolve(&lower, "bin/../x", "usr/x"); /* the parent of where the link leads */
    check_resolve(&lower, "abs/y", "lib64/y");
    check_resolve(&lower, "up/bin", "usr/bin");
    check_resolve(&lower, "../../etc/new", "etc/new");
    check_resolve(&lower, "", "");
    check_resolve(&lower, "/", "");
    check_resolve(&lower, ".", "");
    check_resolve(&lower, "dot/dot/slash/bin", "usr/bin");
    check_resolve(&lower, "usr/bin/", "usr/bin");
    check_resolve(&lower, "dangling/z", "no/where/z");
    check_resolve(&lower, "loop", "error");
    check_resolve(&lower, "a/c", "error");
    check_resolve(&stack, "bin/sh", "bin/sh");
    check_resolve(&stack, "opt/sh", "bin/sh");
    sb_autobuf struct sb_buf deep = {0};
    for (int i = 0; i < 2000; i++)
        sb_buf_adds(&deep, "a1/");
    check_resolve(&stack, deep.data, "error");
    for (size_t i = 0; i < 2; i++)
        sb_contents_close(v[i]);
}

int main(void) {
    t = layer_test_start();
    test_all_fields();
    test_empty();
    test_damage();
    test_stack_find();
    test_stack_resolve();
    test_stack_work();
    layer_test_end(&t);
    return test_done();
}
