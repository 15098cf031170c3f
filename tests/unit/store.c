/* The store: opening, blobs, and what is left when a process is killed. */
#include "layers/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static char *directory;

static struct sb_store *open_store(const char *name) {
    sb_autofree char *path = sb_path_join(directory, name);
    struct sb_error err = {0};
    struct sb_store *store;
    if (!CHECK(sb_store_open(path, &store, &err) == 0)) {
        printf("%s\n", err.message);
        exit(1);
    }
    return store;
}

static int count_entries(struct sb_store *store, const char *path) {
    sb_autoclosedir DIR *dir = NULL;
    int fd = openat(sb_store_fd(store), path, O_RDONLY | O_DIRECTORY);
    int n = 0;
    if (fd < 0 || !(dir = fdopendir(fd)))
        return -1;
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    return n;
}

static void test_blobs(void) {
    struct sb_store *store = open_store("blobs");
    struct sb_error err = {0};
    struct sb_digest digest, other = sb_digest_of("other", 5);
    mode_t old = umask(077);
    CHECK_INT(sb_blob_put(store, "hello", 5, &digest, &err), 0);
    umask(old);
    CHECK_STR(sb_digest_hex(&digest).text,
              "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    sb_autofree char *path = sb_blob_path(&digest);
    struct stat st;
    CHECK_INT(fstatat(sb_store_fd(store), path, &st, 0), 0);
    CHECK_INT(st.st_mode & 07777, 0644);
    CHECK(sb_blob_has(store, &digest, 5));
    CHECK(sb_blob_has(store, &digest, 0));
    CHECK(!sb_blob_has(store, &digest, 6));
    CHECK(!sb_blob_has(store, &other, 0));
    CHECK_INT(sb_blob_open(store, &other, 0, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK_INT(sb_blob_open(store, &digest, 6, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);

    struct sb_descriptor descriptor = {.digest = digest, .size = 5};
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_blob_read(store, &descriptor, 4, &text, &err), -1);
    CHECK_INT(sb_blob_read(store, &descriptor, 5, &text, &err), 0);
    CHECK_STR(text.data, "hello");

    int fd = openat(sb_store_fd(store), path, O_WRONLY);
    CHECK_INT(write(fd, "J", 1), 1);
    close(fd);
    CHECK_INT(sb_blob_read(store, &descriptor, 5, &text, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    sb_store_close(store);
}

static void test_writer(void) {
    struct sb_store *store = open_store("writer");
    struct sb_error err = {0};
    struct sb_digest digest, wrong = sb_digest_of("wrong", 5);
    uint64_t size;
    struct sb_blob_writer *writer;
    CHECK_INT(sb_blob_begin(store, &writer, &err), 0);
    CHECK_INT(sb_blob_append(writer, "hel", 3, &err), 0);
    CHECK_INT(sb_blob_append(writer, "lo", 2, &err), 0);
    CHECK_INT(sb_blob_commit(writer, &wrong, &digest, &size, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    CHECK_INT(count_entries(store, "blobs/sha256"), 0);
    CHECK_INT(count_entries(store, "sbuild/tmp"), 1);

    for (int i = 0; i < 2; i++) { /* the second time it is there */
        CHECK_INT(sb_blob_begin(store, &writer, &err), 0);
        CHECK_INT(sb_blob_append(writer, "hello", 5, &err), 0);
        CHECK_INT(sb_blob_commit(writer, NULL, &digest, &size, &err), 0);
        CHECK_INT(size, 5);
        CHECK_INT(count_entries(store, "blobs/sha256"), 1);
    }
    sb_autofree char *path = sb_blob_path(&digest);
    CHECK_INT(truncate(path, 0), -1);
    int fd = openat(sb_store_fd(store), path, O_WRONLY | O_TRUNC);
    close(fd);
    CHECK_INT(sb_blob_put(store, "hello", 5, NULL, &err), 0); /* a damaged one is replaced */
    CHECK(sb_blob_has(store, &digest, 5));
    CHECK_INT(sb_blob_put(store, "", 0, &digest, &err), 0);
    CHECK(sb_blob_has(store, &digest, 0));
    CHECK_INT(count_entries(store, "blobs/sha256"), 2);
    CHECK_INT(sb_blob_begin(store, &writer, &err), 0);
    sb_blob_abort(writer);
    CHECK_INT(sb_directory_make(sb_store_tmp_fd(store), "a/b", 0700, &err), 0);
    CHECK(sb_path_exists(AT_FDCWD, sb_store_tmp_path(store)));
    sb_store_close(store);
    store = open_store("writer");
    CHECK_INT(count_entries(store, "sbuild/tmp"), 0);
    sb_store_close(store);
}

/* A child that is killed in the middle of writing: the next open sweeps what it left. */
static void test_killed(void) {
    struct sb_store *store = open_store("killed");
    int pipe_fds[2];
    CHECK_INT(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sb_error err = {0};
        struct sb_store *own = open_store("killed");
        struct sb_blob_writer *writer;
        if (sb_blob_begin(own, &writer, &err) < 0 || sb_blob_append(writer, "half", 4, &err) < 0 ||
            sb_directory_make(sb_store_tmp_fd(own), "upper", 0700, &err) < 0 ||
            sb_directory_make(sb_store_tmp_fd(own), "upper/etc", 0, &err) < 0)
            _exit(1);
        if (write(pipe_fds[1], "!", 1) != 1)
            _exit(1);
        pause();
    }
    char byte;
    close(pipe_fds[1]); /* or its end would not be seen */
    CHECK_INT(read(pipe_fds[0], &byte, 1), 1);
    close(pipe_fds[0]);
    struct sb_store *beside = open_store("killed"); /* the living are left alone */
    CHECK_INT(count_entries(beside, "sbuild/live"), 3);
    CHECK_INT(count_entries(beside, "sbuild/tmp"), 1);
    sb_store_close(beside);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    sb_store_close(store);
    store = open_store("killed");
    CHECK_INT(count_entries(store, "sbuild/live"), 1);
    CHECK_INT(count_entries(store, "sbuild/tmp"), 0);
    CHECK_INT(count_entries(store, "blobs/sha256"), 0);
    sb_store_close(store);
}

/* Several processes find no store, and make it. */
static void test_concurrent_open(void) {
    for (int round = 0; round < 10; round++) {
        sb_autofree char *name = sb_format("concurrent/%d", round);
        pid_t pids[6];
        for (int i = 0; i < 6; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                struct sb_error err = {0};
                struct sb_store *store = open_store(name);
                _exit(sb_blob_put(store, "same", 4, NULL, &err) < 0);
            }
        }
        for (int i = 0; i < 6; i++) {
            int status;
            waitpid(pids[i], &status, 0);
            CHECK_INT(status, 0);
        }
    }
}

static void test_refused(void) {
    struct sb_error err = {0};
    struct sb_store *store;
    sb_autofree char *path = sb_path_join(directory, "refused");
    sb_autofree char *file = sb_path_join(path, "thesis.tex");
    CHECK_INT(mkdir(path, 0755), 0);
    CHECK_INT(sb_file_write(AT_FDCWD, file, "x", 1, 0644, &err), 0);
    CHECK_INT(sb_store_open(path, &store, &err), -1);
    CHECK(strstr(err.message, "thesis.tex") != NULL);
    CHECK(store == NULL);
    CHECK(err.hint[0] != '\0');

    store = open_store("newer");
    CHECK_INT(sb_file_write(sb_store_private_fd(store), "lock", "9\n", 2, 0644, &err), 0);
    sb_store_close(store);
    sb_autofree char *newer = sb_path_join(directory, "newer");
    CHECK_INT(sb_store_open(newer, &store, &err), -1);
    CHECK(strstr(err.message, "format \"9\"") != NULL);
}

/* What another user may write must not be believed. */
static void test_owner(void) {
    struct sb_error err = {0};
    struct sb_store *store = open_store("owned");
    sb_store_close(store);
    if (geteuid() != 0) {
        TEST_SKIP("only root can give a directory away");
        return;
    }
    sb_autofree char *path = sb_path_join(directory, "owned");
    sb_autofree char *private = sb_path_join(path, "sbuild");
    CHECK_INT(chown(private, 1234, 1234), 0);
    CHECK_INT(sb_store_open(path, &store, &err), -1);
    CHECK(strstr(err.message, "sbuild/ belongs to another user (uid 1234; this one is 0)") != NULL);
    CHECK(strstr(err.hint, "--store") != NULL);
    CHECK_INT(chown(private, 0, 0), 0);
    CHECK_INT(chown(path, 1234, 1234), 0);
    CHECK_INT(sb_store_open(path, &store, &err), -1);
    CHECK(strstr(err.message, "it belongs to another user") != NULL);
    CHECK_INT(setenv("SUDO_UID", "1234", 1), 0);
    if (CHECK_INT(sb_store_open(path, &store, &err), 0))
        sb_store_close(store);
    CHECK_INT(unsetenv("SUDO_UID"), 0);
    CHECK_INT(chown(path, 0, 0), 0);
    sb_autofree char *elsewhere = sb_path_join(path, "elsewhere");
    CHECK_INT(rename(private, elsewhere), 0);
    CHECK_INT(symlink("elsewhere", private), 0);
    CHECK_INT(sb_store_open(path, &store, &err), -1);
}

/* Of a store where many may write, each part may be another's, or a link of his. */
static void test_part_owners(void) {
    static const char *const parts[] = {"oci-layout", "index.json", "blobs", "blobs/sha256"};
    struct sb_error err = {0};
    struct sb_store *store = open_store("parts");
    sb_store_close(store);
    if (geteuid() != 0)
        return; /* said above */
    sb_autofree char *path = sb_path_join(directory, "parts");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        sb_autofree char *part = sb_path_join(path, parts[i]);
        CHECK_INT(chown(part, 1234, 1234), 0);
        CHECK_INT(sb_store_open(path, &store, &err), -1);
        CHECK(strstr(err.message, parts[i]) && strstr(err.message, "belongs to another user"));
        CHECK_INT(chown(part, 0, 0), 0);
    }
    sb_autofree char *blobs = sb_path_join(path, "blobs");
    sb_autofree char *moved = sb_path_join(directory, "moved");
    CHECK_INT(rename(blobs, moved), 0);
    CHECK_INT(symlink(moved, blobs), 0);
    if (CHECK_INT(sb_store_open(path, &store, &err), 0)) /* on another disk, say */
        sb_store_close(store);
    CHECK_INT(lchown(blobs, 1234, 1234), 0);
    CHECK_INT(sb_store_open(path, &store, &err), -1);
    sb_autofree char *before = sb_path_join(directory, "before");
    sb_autofree char *link = sb_path_join(before, "blobs");
    sb_autofree char *written = sb_path_join(moved, "new");
    CHECK_INT(mkdir(before, 0755), 0);
    CHECK_INT(mkdir(written, 0755), 0);
    CHECK_INT(symlink(written, link), 0);
    CHECK_INT(lchown(link, 1234, 1234), 0);
    CHECK_INT(sb_store_open(before, &store, &err), -1);
    CHECK_INT(rmdir(written), 0); /* nothing was written through it */
}

static void test_use(void) {
    struct sb_store *store = open_store("use");
    struct sb_error err = {0};
    struct sb_digest digest;
    CHECK_INT(sb_blob_put(store, "hello", 5, &digest, &err), 0);
    sb_autofree char *path = sb_blob_path(&digest);
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    CHECK_INT(utimensat(sb_store_fd(store), path, old, 0), 0);
    CHECK_INT(sb_store_use(store, path, &err), 0);
    struct stat st;
    CHECK_INT(fstatat(sb_store_fd(store), path, &st, 0), 0);
    CHECK(st.st_mtime > 1000000);
    CHECK_INT(sb_store_use(store, "sbuild/trees/none", &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK_INT(sb_store_hold(store, &err), 0); /* nests */
    CHECK(sb_blob_has(store, &digest, 5));
    sb_store_release(store);
    sb_store_close(store);
}

static void *use_store(void *data) {
    struct sb_store *store = data;
    struct sb_error err = {0};
    long failed = 0;
    for (int i = 0; i < 50; i++) {
        sb_autofree char *text = sb_format("content %d", i);
        struct sb_digest digest;
        failed += sb_blob_put(store, text, strlen(text), &digest, &err) < 0;
        failed += sb_store_hold(store, &err) < 0;
        failed += !sb_blob_has(store, &digest, strlen(text));
        sb_store_release(store);
        failed += !sb_store_tmp_path(store);
    }
    return (void *)failed;
}

static void test_threads(void) {
    struct sb_store *store = open_store("threads");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, use_store, store), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        CHECK(failed == NULL);
    }
    CHECK_INT(count_entries(store, "blobs/sha256"), 50);
    struct sb_error err = {0};
    int fd = openat(sb_store_private_fd(store), "lock", O_RDWR);
    CHECK_INT(flock(fd, LOCK_EX | LOCK_NB), 0); /* all let go */
    close(fd);
    CHECK_INT(sb_store_hold(store, &err), 0);
    fd = openat(sb_store_private_fd(store), "lock", O_RDWR);
    CHECK_INT(flock(fd, LOCK_EX | LOCK_NB), -1);
    close(fd);
    sb_store_release(store);
    sb_store_close(store);
}

int main(void) {
    char template[] = "/var/tmp/sb-store-XXXXXX";
    directory = mkdtemp(template);
    if (!directory)
        return 1;
    test_blobs();
    test_writer();
    test_killed();
    test_concurrent_open();
    test_refused();
    test_owner();
    test_part_owners();
    test_use();
    test_threads();
    struct sb_error err = {0};
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
