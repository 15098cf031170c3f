/*
 * tests/unit/rootfs: a tiny root file system (busybox) in a store, and one step in it.
 *
 * Tests that use it start with TEST_ROOTFS_MAIN(argc, argv): it takes the programs that contain
 * others back into them, enters the namespaces, and skips where busybox or a runtime is missing.
 */
#ifndef SB_TESTS_UNIT_ROOTFS_H
#define SB_TESTS_UNIT_ROOTFS_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "sandbox/contain.h"
#include "sandbox/userns.h"
#include "steps/execution.h"
#include "steps/run.h"

#define TEST_ROOTFS_MAIN(argc, argv)                                                               \
    if ((argc) > 1 && !strcmp((argv)[1], SB_CONTAIN_COMMAND))                                      \
        return sb_contain_main((argc)-1, (argv) + 1);

/* In $SB_TEST_PARENT, if set: so that whoever kills a test can clean up after it. */
static inline char *test_directory(void) {
    const char *parent = getenv("SB_TEST_PARENT");
    char *path = sb_format("%s/sbuild-test-XXXXXX", parent ? parent : "/var/tmp");
    return mkdtemp(path);
}

static inline void test_write(const char *directory, const char *name, const char *text,
                              mode_t mode) {
    sb_autofree char *path = sb_format("%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) || chmod(path, mode))
        perror(path);
}

static inline void test_mkdir(const char *directory, const char *name) {
    sb_autofree char *path = sb_format("%s/%s", directory, name);
    if (sb_directory_make(AT_FDCWD, path, 0755, NULL) < 0)
        perror(path);
}

/* A layer with busybox, users and little else; without /proc, /dev, /run, resolv.conf. */
static inline bool test_busybox(const char *tree) {
    static const char *const names[] = {"sh",    "cat",   "ls",    "id",   "ip",    "touch",
                                        "rm",    "mkdir", "sleep", "stat", "env",   "mknod",
                                        "mount", "grep",  "head",  "test", "chmod", "seq",
                                        "echo",  "kill",  "pwd",   "wc",   "chown", "mv"};
    sb_autobuf struct sb_buf program = {0};
    if (sb_file_read(AT_FDCWD, "/bin/busybox", 64u << 20, &program, NULL) < 0)
        return false;
    test_mkdir(tree, "bin");
    test_mkdir(tree, "etc");
    test_mkdir(tree, "tmp");
    sb_autofree char *busybox = sb_format("%s/bin/busybox", tree);
    sb_file_write(AT_FDCWD, busybox, program.data, program.len, 0755, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        sb_autofree char *link = sb_format("%s/bin/%s", tree, names[i]);
        if (symlink("busybox", link) < 0)
            perror(link);
    }
    sb_autofree char *tmp = sb_format("%s/tmp", tree);
    chmod(tmp, 01777);
    test_write(tree, "etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n", 0644);
    test_write(tree, "etc/group", "root:x:0:\napp:x:1001:\nvideo:x:44:app\n", 0644);
    return true;
}

/* One step at a time in one root. */
struct test_site {
    char *directory, *tree;
    struct sb_store *store;
    struct sb_root *root;
    struct sb_settings settings;
    struct sb_recipe recipe;
    struct sb_pairs env;
    struct sb_secrets secrets;
    struct sb_step_log log;
    struct sb_buf output; /* of the last step */
    struct sb_error err;
};

static inline void test_output(void *data, const char *text, size_t len) {
    sb_buf_add(data, text, len);
}

static inline bool test_site_open(struct test_site *site) {
    *site = (struct test_site){.directory = test_directory()};
    site->tree = sb_format("%s/tree", site->directory);
    sb_autofree char *store = sb_format("%s/store", site->directory);
    chmod(site->directory, 0755);
    test_mkdir(site->directory, "tree");
    site->log =
        (struct sb_step_log){.fd = -1, .path = "log", .line = test_output, .data = &site->output};
    return test_busybox(site->tree) && sb_store_open(store, &site->store, &site->err) == 0;
}

static inline bool test_site_mount(struct test_site *site) {
    sb_autostrings struct sb_strings trees = {0};
    sb_strings_add(&trees, site->tree);
    if (sb_root_mount(site->store, &trees, &site->root, &site->err) == 0)
        return true;
    printf("%s (%s)\n", site->err.message, site->err.hint);
    return false;
}

static inline void test_site_close(struct test_site *site) {
    sb_root_free(site->root);
    sb_store_close(site->store);
    sb_tree_remove(AT_FDCWD, site->directory, NULL);
    sb_buf_free(&site->output);
    sb_buf_free(&site->log.tail);
    sb_pairs_free(&site->env);
    sb_pairs_free(&site->recipe.args);
    free(site->directory);
    free(site->tree);
}

/* A run step; what differs from the defaults is set in step before. */
static inline int test_run_step(struct test_site *site, struct sb_step *step, const char *script) {
    struct sb_step_run_context context = {.store = site->store,
                                          .settings = &site->settings,
                                          .recipe = &site->recipe,
                                          .root = site->root,
                                          .secrets = &site->secrets,
                                          .env = &site->env,
                                          .workdir = "/",
                                          .epoch = 1700000000,
                                          .log = &site->log};
    step->kind = sb_step_kind_find("run");
    struct sb_run plain = {0}, *run = step->own ? step->own : &plain;
    step->own = run;
    run->script = sb_strdup(script);
    if (!run->shell.n) {
        sb_strings_add(&run->shell, "sh");
        sb_strings_add(&run->shell, "-eu");
    }
    sb_buf_reset(&site->output);
    sb_error_clear(&site->err);
    int result = step->kind->run(step, &context, &site->err);
    free(run->script);
    sb_strings_free(&run->shell);
    if (run == &plain)
        step->own = NULL;
    sb_strings_free(&step->caches);
    sb_strings_free(&step->secrets);
    return result;
}

static inline int test_run(struct test_site *site, const char *script) {
    struct sb_step step = {0};
    return test_run_step(site, &step, script);
}

#endif
