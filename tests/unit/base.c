/* base/: errors, buffers, files, digests, JSON, text. Processes and locks: process.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "tests/unit/test.h"

static int scratch; /* an empty directory */

static void test_error(void) {
    struct sb_error err = {0};
    CHECK_INT(sb_fail(&err, SB_E_STEP, "the step %s", "x"), -1);
    CHECK_INT(err.code, SB_E_STEP);
    CHECK_STR(err.message, "the step x");
    CHECK_INT(sb_error_hint(&err, "do %d", 3), -1);
    CHECK_INT(sb_error_context(&err, "layer %s", "app"), -1);
    CHECK_STR(err.message, "layer app: the step x");
    CHECK_STR(err.hint, "do 3");

    errno = ENOENT;
    CHECK_INT(sb_fail_errno(&err, SB_E_IO, "reading %s", "f"), -1);
    CHECK_STR(err.message, "reading f: No such file or directory");
    CHECK_STR(err.hint, "");
    CHECK_INT(err.os_errno, ENOENT);
    CHECK_INT(errno, ENOENT);
    CHECK_INT(sb_error_reason(&err, SB_REASON_CHANGED), -1);
    sb_error_context(&err, "there"); /* a reason stays, as long as the error does */
    CHECK_INT(err.reason, SB_REASON_CHANGED);
    sb_fail(&err, SB_E_IO, "another");
    CHECK_INT(err.reason, SB_REASON_NONE);
    CHECK_INT(sb_error_reason(NULL, SB_REASON_LASTING), -1);
    CHECK_INT(sb_error_reason_named("lasting"), SB_REASON_LASTING);
    CHECK_INT(sb_error_reason_named("passing"), SB_REASON_PASSING);
    CHECK_INT(sb_error_reason_named("odd"), SB_REASON_NONE);
    errno = ENOSPC;
    sb_fail_errno(&err, SB_E_IO, "writing");
    CHECK_INT(err.code, SB_E_NO_SPACE);
    CHECK(err.hint[0] != '\0');
    sb_error_clear(&err);
    CHECK_INT(err.code, SB_E_NONE);
    CHECK_STR(err.message, "");
    CHECK_INT(sb_fail(NULL, SB_E_IO, "nobody asked"), -1);
    CHECK_INT(sb_error_context(NULL, "nobody"), -1);
    CHECK_INT(sb_error_hint(NULL, "nobody"), -1);
}

static void test_error_cut(void) {
    struct sb_error err = {0};
    char longer[2 * sizeof err.message];
    for (size_t i = 0; i + 2 < sizeof longer; i += 2)
        memcpy(longer + i, "é", 3);
    sb_fail(&err, SB_E_FAILED, "x%s", longer);
    CHECK(strlen(err.message) < sizeof err.message);
    CHECK(sb_text_is_utf8(err.message));
    CHECK_STR(err.message + strlen(err.message) - strlen("…"), "…");
    sb_error_context(&err, "context");
    CHECK_INT(strncmp(err.message, "context: xé", strlen("context: xé")), 0);
    CHECK(sb_text_is_utf8(err.message));
    CHECK_STR(err.message + strlen(err.message) - strlen("…"), "…");
    sb_error_context(&err, "%s", longer);
    CHECK(sb_text_is_utf8(err.message));
    CHECK(strlen(err.message) < sizeof err.message);
}

/* What it repeats of a program's output can be taken out, whatever was put in front of it since. */
static void test_error_output(void) {
    struct sb_error err = {0};
    sb_fail(&err, SB_E_STEP, "run: ended\none\ntwo\nthe log");
    err.output_at = strlen("run: ended\n");
    err.output_len = strlen("one\ntwo\n");
    sb_error_context(&err, "layer %s", "app");
    CHECK_STR(err.message, "layer app: run: ended\none\ntwo\nthe log");
    struct sb_error whole = err;
    sb_error_drop_output(&err);
    CHECK_STR(err.message, "layer app: run: ended\nthe log");
    sb_error_drop_output(&err);
    CHECK_STR(err.message, "layer app: run: ended\nthe log");
    err = whole;
    sb_fail(&err, SB_E_STEP, "something else, which is long enough for such a part of it");
    sb_error_drop_output(&err);
    CHECK_STR(err.message, "something else, which is long enough for such a part of it");
    char longer[sizeof err.message - 30];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    sb_error_context(&whole, "%s", longer); /* cut inside of it: what is left is not taken for it */
    err = whole;
    sb_error_drop_output(&whole);
    CHECK_STR(whole.message, err.message);
}

static void test_error_codes(void) {
    CHECK_STR(sb_error_name(SB_E_NONE), "none");
    CHECK_STR(sb_error_name(SB_E_INTEGRITY), "integrity");
    CHECK_INT(sb_error_exit_status(SB_E_NONE), 0);
    CHECK_INT(sb_error_exit_status(SB_E_FAILED), 1);
    CHECK_INT(sb_error_exit_status(SB_E_USAGE), 2);
    CHECK_INT(sb_error_exit_status(SB_E_RECIPE), 3);
    CHECK_INT(sb_error_exit_status(SB_E_STEP), 4);
    CHECK_INT(sb_error_exit_status(SB_E_NETWORK), 5);
    CHECK_INT(sb_error_exit_status(SB_E_INTEGRITY), 6);
    CHECK_INT(sb_error_exit_status(SB_E_UNHEALTHY), 7);
#define X(code, name, status, meaning)                                                             \
    CHECK_STR(sb_error_name(code), name);                                                          \
    CHECK_STR(sb_error_meaning(code), meaning);
    SB_ERROR_CODES(X)
#undef X
}

static void test_buffer(void) {
    sb_autobuf struct sb_buf buf = {0};
    CHECK_STR(sb_buf_text(&buf), "");
    sb_buf_add(&buf, NULL, 0);
    CHECK_STR(sb_buf_text(&buf), "");
    sb_buf_adds(&buf, "abc");
    sb_buf_addc(&buf, 'd');
    sb_buf_addf(&buf, "%d-%s", 42, "x");
    CHECK_STR(buf.data, "abcd42-x");
    CHECK_INT(buf.len, 8);
    sb_buf_reset(&buf);
    CHECK_STR(buf.data, "");
    for (int i = 0; i < 10000; i++)
        sb_buf_addf(&buf, "%d,", i % 10);
    CHECK_INT(buf.len, 20000);
    CHECK_INT(strlen(buf.data), 20000);
    char *stolen = sb_buf_steal(&buf);
    CHECK_INT(strlen(stolen), 20000);
    CHECK(buf.data == NULL && buf.len == 0);
    free(stolen);
    stolen = sb_buf_steal(&buf);
    CHECK_STR(stolen, "");
    free(stolen);
    /* exactly at a power of two, where the NUL needs the next one */
    for (int i = 0; i < 64; i++)
        sb_buf_addc(&buf, 'y');
    CHECK_INT(strlen(buf.data), 64);
}

static void test_strings(void) {
    sb_autostrings struct sb_strings list = {0};
    CHECK(!sb_strings_has(&list, "a"));
    sb_strings_sort(&list);
    sb_strings_add(&list, "b");
    sb_strings_take(&list, sb_strdup("\xc3\xa9"));
    sb_strings_addf(&list, "%s%d", "a", 1);
    CHECK_INT(list.n, 3);
    CHECK(list.v[3] == NULL);
    sb_strings_sort(&list);
    CHECK_STR(list.v[0], "a1");
    CHECK_STR(list.v[1], "b");
    CHECK_STR(list.v[2], "é");
    CHECK(sb_strings_has(&list, "é"));
    sb_autostrings struct sb_strings other = {0};
    for (int i = 0; i < 100; i++)
        sb_strings_copy(&other, &list);
    CHECK_INT(other.n, 300);
    CHECK(other.v[300] == NULL);
    CHECK_STR(other.v[299], "é");
}

static void test_arena(void) {
    struct sb_arena arena = {0};
    char *joined = sb_arena_join(&arena, "dir", "name");
    CHECK_STR(joined, "dir/name");
    CHECK_STR(sb_arena_join(&arena, "", "name"), "name");
    for (size_t size = 1; size < 200000; size = size * 3 / 2 + 1) {
        unsigned char *p = sb_arena_alloc(&arena, size);
        CHECK_INT((uintptr_t)p % _Alignof(max_align_t), 0);
        memset(p, 0xff, size);
    }
    CHECK_STR(joined, "dir/name");
    CHECK_STR(sb_arena_strndup(&arena, "abcdef", 3), "abc");
    sb_arena_free(&arena);
    CHECK(arena.last == NULL);
}

static void check_clean(const char *path, const char *expected) {
    sb_autofree char *clean = sb_path_clean(path);
    CHECK_STR(clean, expected);
    sb_autofree char *again = sb_path_clean(clean); /* a clean path is its own clean form */
    CHECK_STR(again, expected);
}

static void test_path_clean(void) {
    check_clean("", ".");
    check_clean(".", ".");
    check_clean("./", ".");
    check_clean("././/.", ".");
    check_clean("/", "/");
    check_clean("//", "/");
    check_clean("/.", "/");
    check_clean("a", "a");
    check_clean("a/", "a");
    check_clean("a//b/./c", "a/b/c");
    check_clean("./a", "a");
    check_clean("/a//b/", "/a/b");
    check_clean("a/..", ".");
    check_clean("a/../", ".");
    check_clean("a/../b", "b");
    check_clean("a/b/..", "a");
    check_clean("a/b/../../c", "c");
    check_clean("a/b/c/../../d", "a/d");
    check_clean("..", "..");
    check_clean("../..", "../..");
    check_clean("../a/..", "..");
    check_clean("../a/../b", "../b");
    check_clean("a/../..", "..");
    check_clean("a/../../..", "../..");
    check_clean("a/../../b", "../b");
    check_clean("/..", "/");
    check_clean("/../..", "/");
    check_clean("/../a", "/a");
    check_clean("/a/..", "/");
    check_clean("/a/../..", "/");
    check_clean("/a/../b", "/b");
    check_clean("/a/b/..", "/a");
    check_clean("...", "...");
    check_clean("..a/.b/c..", "..a/.b/c..");
    check_clean("a/.../..", "a");
    check_clean("\xff/\xfe/..", "\xff");
}

static void test_paths(void) {
    static const char *const join[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"},
        {".", "b", "b"},   {"a", "/b", "/b"},  {"/a", "b/c", "/a/b/c"},
    };
    for (size_t i = 0; i < sizeof join / sizeof *join; i++) {
        sb_autofree char *path = sb_path_join(join[i][0], join[i][1]);
        CHECK_STR(path, join[i][2]);
    }
    static const char *const dirname[][2] = {
        {"a", "."}, {"a/b", "a"}, {"/a", "/"}, {"/a/b/c", "/a/b"}, {"/", "/"}};
    for (size_t i = 0; i < sizeof dirname / sizeof *dirname; i++) {
        sb_autofree char *path = sb_path_dirname(dirname[i][0]);
        CHECK_STR(path, dirname[i][1]);
    }
    static const char *const beside[][3] = {{"a.yaml", "b", "b"},
                                            {"r/a.yaml", "../b", "r/../b"},
                                            {"/a.yaml", "b", "/b"},
                                            {"r/a", "/b", "/b"}};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        sb_autofree char *path = sb_path_beside(beside[i][0], beside[i][1]);
        CHECK_STR(path, beside[i][2]);
    }
}

static void test_file_write(void) {
    struct sb_error err = {0};
    struct stat st;
    umask(077);
    CHECK(sb_directory_make(scratch, "d/e/f", 0755, &err) == 0);
    CHECK(sb_directory_make(scratch, "d/e/f", 0755, &err) == 0);
    CHECK(sb_file_write(scratch, "d/e/f/file", "hello", 5, 0644, &err) == 0);
    CHECK(fstatat(scratch, "d/e/f/file", &st, 0) == 0);
    CHECK_INT(st.st_mode & 07777, 0644);
    CHECK_INT(st.st_size, 5);
    umask(022);
    CHECK(sb_file_write(scratch, "d/e/f/file", "", 0, 0600, &err) == 0);
    CHECK(fstatat(scratch, "d/e/f/file", &st, 0) == 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK_INT(st.st_size, 0);
    CHECK(sb_file_write(scratch, "nowhere/file", "x", 1, 0644, &err) < 0);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(strstr(err.message, "nowhere"));
    CHECK(sb_directory_make(scratch, "d/e/f/file", 0755, &err) < 0);
    CHECK(sb_directory_make(scratch, "d/e/f/file/g", 0755, &err) < 0);
    CHECK(sb_path_exists(scratch, "d/e/f/file"));
    CHECK(!sb_path_exists(scratch, "d/e/f/fil"));
    CHECK(symlinkat("gone", scratch, "dangling") == 0 && sb_path_exists(scratch, "dangling"));

    char name[32];
    sb_autoclose int fd = sb_file_temporary(scratch, name, &err);
    CHECK(fd >= 0 && sb_path_exists(scratch, name));
    CHECK_INT(strncmp(name, SB_TMP_PREFIX, strlen(SB_TMP_PREFIX)), 0);
}

static void test_file_publish(void) {
    struct sb_error err = {0};
    struct stat st;
    sb_autobuf struct sb_buf buf = {0};
    CHECK(sb_directory_make(scratch, "tmp", 0700, &err) == 0);
    sb_autoclose int tmp = sb_directory_open(scratch, "tmp", &err);
    CHECK(sb_file_publish(tmp, scratch, "published", "first", 5, &err) == 0);
    CHECK(sb_file_publish(tmp, scratch, "published", "again", 5, &err) == 0);
    CHECK(sb_file_read(scratch, "published", 9, &buf, &err) == 0);
    CHECK_STR(sb_buf_text(&buf), "again");
    CHECK(fstatat(scratch, "published", &st, 0) == 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK(sb_file_publish(tmp, scratch, "nowhere/file", "x", 1, &err) < 0);
    CHECK(strstr(err.message, "nowhere/file"));
    CHECK_INT(unlinkat(scratch, "tmp", AT_REMOVEDIR), 0); /* nothing of either is left in it */
}

static void test_file_replace(void) {
    struct sb_error err = {0};
    struct stat st;
    sb_autobuf struct sb_buf buf = {0};
    CHECK(mkdirat(scratch, "r", 0700) == 0);
    CHECK(sb_file_replace(scratch, "r/file", "first", 5, 0640, &err) == 0);
    CHECK(sb_file_replace(scratch, "r/file", "again", 5, 0640, &err) == 0);
    CHECK(sb_file_read(scratch, "r/file", 9, &buf, &err) == 0);
    CHECK_STR(sb_buf_text(&buf), "again");
    CHECK(fstatat(scratch, "r/file", &st, 0) == 0 && (st.st_mode & 07777) == 0640);
    CHECK(sb_file_replace(scratch, "nowhere/file", "x", 1, 0644, &err) < 0);
    CHECK(unlinkat(scratch, "r/file", 0) == 0 && unlinkat(scratch, "r", AT_REMOVEDIR) == 0);
}

static void count_name(void *data, const char *name) {
    ((size_t *)data)[0]++;
    ((size_t *)data)[1] += strlen(name);
}

/* More than one reading of a directory gets. */
static void test_directory_each(void) {
    size_t seen[2] = {0};
    CHECK(mkdirat(scratch, "many", 0700) == 0);
    sb_autoclose int many = sb_directory_open(scratch, "many", NULL);
    for (int i = 0; i < 2000; i++) {
        sb_autofree char *name = sb_format("...%0*d", i % 200 + 1, i);
        sb_autoclose int fd = openat(many, name, O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY, 0600);
        seen[1] -= strlen(name);
    }
    CHECK(sb_directory_each(many, count_name, seen) == 0);
    CHECK_INT(seen[0], 2000);
    CHECK_INT(seen[1], 0);
    CHECK(sb_directory_each(-1, count_name, seen) < 0 && errno == EBADF);
}

static void test_file_read(void) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf buf = {0};
    CHECK(sb_file_write(scratch, "ten", "01234\0006789", 10, 0644, &err) == 0);
    sb_buf_adds(&buf, "before ");
    CHECK(sb_file_read(scratch, "ten", 10, &buf, &err) == 0);
    CHECK_INT(buf.len, 17);
    CHECK(buf.data && !memcmp(buf.data, "before 01234\0006789", 18));
    CHECK(sb_file_read(scratch, "ten", 9, &buf, &err) < 0);
    CHECK(strstr(err.message, "at most 9"));
    CHECK(sb_file_read(scratch, "none", 9, &buf, &err) < 0);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(sb_file_read(scratch, "d", 9, &buf, &err) < 0);
    CHECK(strstr(err.message, "directory"));
    sb_buf_reset(&buf);
    CHECK(sb_file_read(AT_FDCWD, "/proc/self/stat", 1 << 20, &buf, &err) == 0); /* size 0 in stat */
    CHECK(buf.len > 10);
    sb_autoclose int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    CHECK(sb_fd_read(zero, 100000, &buf, &err) < 0); /* and does not read on for ever */
}

static void test_tree_remove(void) {
    struct sb_error err = {0};
    CHECK(sb_directory_make(scratch, "tree/a/b", 0755, &err) == 0);
    CHECK(sb_directory_make(scratch, "kept", 0755, &err) == 0);
    CHECK(sb_file_write(scratch, "kept/file", "x", 1, 0644, &err) == 0);
    CHECK(symlinkat("../../kept", scratch, "tree/a/link") == 0);
    CHECK(symlinkat("/nowhere", scratch, "tree/broken") == 0);
    CHECK(mkfifoat(scratch, "tree/a/fifo", 0600) == 0);
    CHECK(fchmodat(scratch, "tree/a/b", 0, 0) == 0);
    CHECK(fchmodat(scratch, "tree/a", 0500, 0) == 0);
    CHECK(sb_tree_remove(scratch, "tree", &err) == 0);
    CHECK_STR(err.message, "");
    CHECK(!sb_path_exists(scratch, "tree"));
    CHECK(sb_path_exists(scratch, "kept/file"));
    CHECK(sb_tree_remove(scratch, "tree", &err) == 0);
    CHECK(symlinkat("kept", scratch, "to-kept") == 0);
    CHECK(sb_tree_remove(scratch, "to-kept", &err) == 0);
    CHECK(sb_path_exists(scratch, "kept/file"));
    CHECK(!sb_path_exists(scratch, "to-kept"));
}

static void check_digest(const void *data, size_t len, const char *hex) {
    struct sb_digest d = sb_digest_of(data, len);
    CHECK_STR(sb_digest_hex(&d).text, hex);
}

/* FIPS 180-4 examples. */
static void test_digest(void) {
    check_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    check_digest(two_blocks, strlen(two_blocks),
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    for (int i = 0; i < 1000; i++) {
        char thousand[1000];
        memset(thousand, 'a', sizeof thousand);
        sb_sha256_add(&sha, thousand, 999);
        sb_sha256_add(&sha, thousand, 1);
    }
    struct sb_sha256 copy = sha; /* the digest so far, and on */
    struct sb_digest so_far = sb_sha256_finish(&copy);
    struct sb_digest d = sb_sha256_finish(&sha);
    CHECK_STR(sb_digest_hex(&d).text,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    CHECK(sb_digest_equal(&d, &so_far));
    struct sb_digest of_abc = sb_digest_of("abc", 3);
    CHECK(!sb_digest_equal(&d, &of_abc));
}

static void test_digest_of_fd(void) {
    struct sb_error err = {0};
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sb_autofree char *data = sb_alloc(sizes[i]);
        memset(data, 'q', sizes[i]);
        CHECK(sb_file_write(scratch, "hashed", data, sizes[i], 0644, &err) == 0);
        sb_autoclose int fd = openat(scratch, "hashed", O_RDONLY | O_CLOEXEC);
        struct sb_digest of_file, of_data = sb_digest_of(data, sizes[i]);
        uint64_t size = 1;
        CHECK(sb_digest_of_fd(fd, &of_file, &size, &err) == 0);
        CHECK_INT(size, sizes[i]);
        CHECK(sb_digest_equal(&of_file, &of_data));
    }
    sb_autoclose int dir = sb_directory_open(scratch, ".", &err);
    struct sb_digest d;
    CHECK(sb_digest_of_fd(dir, &d, NULL, &err) < 0);
}

static void test_digest_text(void) {
    struct sb_error err = {0};
    struct sb_digest d = sb_digest_of("abc", 3), back;
    const char *text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    CHECK_STR(sb_digest_text(&d).text, text);
    CHECK(sb_digest_parse(text, &back, &err) == 0 && sb_digest_equal(&d, &back));
    CHECK(sb_digest_parse_hex(text + 7, &back) && sb_digest_equal(&d, &back));
    static const char *const bad[] = {
        "",
        "sha256:",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015add",
        "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a/",
        " sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(sb_digest_parse(bad[i], &back, &err) < 0);
        CHECK_INT(err.code, SB_E_INTEGRITY);
    }
}

/* RFC 4231, cases 1, 2, 3, 4, 6 and 7. */
static void test_hmac(void) {
    char key[131], data[50];
    struct sb_digest d;
    memset(key, 0x0b, 20);
    d = sb_digest_hmac(key, 20, "Hi There", 8);
    CHECK_STR(sb_digest_hex(&d).text,
              "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    d = sb_digest_hmac("Jefe", 4, "what do ya want for nothing?", 28);
    CHECK_STR(sb_digest_hex(&d).text,
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    memset(data, 0xdd, sizeof data);
    d = sb_digest_hmac(key, 20, data, 50);
    CHECK_STR(sb_digest_hex(&d).text,
              "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    char counting[25];
    for (int i = 0; i < 25; i++)
        counting[i] = (char)(i + 1);
    memset(data, 0xcd, sizeof data);
    d = sb_digest_hmac(counting, 25, data, 50);
    CHECK_STR(sb_digest_hex(&d).text,
              "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    d = sb_digest_hmac(key, 131, text, strlen(text));
    CHECK_STR(sb_digest_hex(&d).text,
              "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    text = "This is a test using a larger than block-size key and a larger than block-size data. "
           "The key needs to be hashed before being used by the HMAC algorithm.";
    d = sb_digest_hmac(key, 131, text, strlen(text));
    CHECK_STR(sb_digest_hex(&d).text,
              "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

static void test_json(void) {
    struct sb_error err = {0};
    const char *text = "{\"b\": [1, true, null], \"a\": \"é\", \"n\": -5}";
    sb_autojson json_t *value = sb_json_parse(text, strlen(text), &err);
    if (!CHECK(value != NULL))
        return;
    CHECK_STR(sb_json_string(value, "a", "?"), "é");
    CHECK_STR(sb_json_string(value, "n", "?"), "?");
    CHECK_STR(sb_json_string(value, "missing", "?"), "?");
    CHECK_STR(sb_json_string(json_object_get(value, "b"), "a", "?"), "?");
    CHECK_INT(sb_json_integer(value, "n", 7), -5);
    CHECK_INT(sb_json_integer(value, "a", 7), 7);
    sb_autobuf struct sb_buf buf = {0};
    sb_json_write(value, &buf);
    CHECK_STR(buf.data, "{\"b\":[1,true,null],\"a\":\"é\",\"n\":-5}");
    sb_buf_reset(&buf);
    sb_json_write_canonical(value, &buf);
    CHECK_STR(buf.data, "{\"a\":\"é\",\"b\":[1,true,null],\"n\":-5}");
    struct sb_digest d = sb_json_digest_canonical(value), same = sb_digest_of(buf.data, buf.len);
    CHECK(sb_digest_equal(&d, &same));
    sb_buf_reset(&buf);
    sb_json_write_pretty(value, &buf);
    CHECK(buf.len && buf.data[buf.len - 1] == '\n');

    static const char *const bad[] = {"",         "{",  "{\"a\":1,\"a\":2}", "{} x", "[1,]",
                                      "\"\xff\"", "nul"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(sb_json_parse(bad[i], strlen(bad[i]), &err) == NULL);
    CHECK(strstr(err.message, "line 1"));
    sb_autofree char *deep = sb_alloc(1000001);
    memset(deep, '[', 1000000);
    CHECK(sb_json_parse(deep, 1000000, &err) == NULL);
}

static void test_json_bytes(void) {
    static const char *const names[][2] = {
        {"plain", "plain"}, {"é", "é"},
        {"100%", "100%25"}, {"\xff", "%FF"},
        {"%FF", "%25FF"},   {"é\xff", "%C3%A9%FF"},
        {"", ""},           {"tab\there", "tab\there"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sb_autojson json_t *value = sb_json_from_bytes(names[i][0]);
        CHECK_STR(json_string_value(value), names[i][1]);
    }
}

static void test_json_text(void) {
    static const char *const texts[][2] = {
        {"100% é", "100% é"},
        {"a\xff\xc3", "a\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"", ""},
        {"\xed\xa0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"10%\r\n", "10%\r\n"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sb_autojson json_t *value = sb_json_from_text(texts[i][0]);
        CHECK_STR(json_string_value(value), texts[i][1]);
    }
}

static void test_text_nearest(void) {
    static const char *const keys[] = {"name", "version", "from", "context", "layers", "no", NULL};
    CHECK_STR(sb_text_nearest("nmae", keys), "name");
    CHECK_STR(sb_text_nearest("layer", keys), "layers");
    CHECK_STR(sb_text_nearest("Version", keys), "version");
    CHECK(sb_text_nearest("entrypoint", keys) == NULL);
    CHECK(sb_text_nearest("", keys) == NULL);
    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    CHECK(sb_text_nearest(longer, keys) == NULL);
}

static void test_text_numbers(void) {
    CHECK_STR(sb_text_size(0).text, "0 B");
    CHECK_STR(sb_text_size(999).text, "999 B");
    CHECK_STR(sb_text_size(1000).text, "1.00 kB");
    CHECK_STR(sb_text_size(999499).text, "999 kB");
    CHECK_STR(sb_text_size(999999).text, "1.00 MB");
    CHECK_STR(sb_text_size(1180000000).text, "1.18 GB");
    CHECK_STR(sb_text_size(12345678).text, "12.3 MB");
    CHECK_STR(sb_text_size(UINT64_MAX).text, "18.4 EB");
    CHECK_STR(sb_text_seconds(0.0201).text, "0.02 s");
    CHECK_STR(sb_text_seconds(12.44).text, "12.4 s");
    CHECK_STR(sb_text_seconds(187).text, "3 min 07 s");

    uint64_t n = 0;
    CHECK(sb_text_parse_size("8G", &n) && n == 8000000000u);
    CHECK(sb_text_parse_size("512M", &n) && n == 512000000u);
    CHECK(sb_text_parse_size("1.5Gi", &n) && n == 1610612736u);
    CHECK(sb_text_parse_size("10kB", &n) && n == 10000u);
    CHECK(sb_text_parse_size("1000", &n) && n == 1000u);
    CHECK(!sb_text_parse_size("", &n) && !sb_text_parse_size("G", &n));
    CHECK(!sb_text_parse_size("-1", &n) && !sb_text_parse_size("1 G", &n));
    CHECK(!sb_text_parse_size("1Z", &n) && !sb_text_parse_size("99999999P", &n));
    CHECK(sb_text_parse_duration("60s", &n) && n == 60);
    CHECK(sb_text_parse_duration("10m", &n) && n == 600);
    CHECK(sb_text_parse_duration("1h30m", &n) && n == 5400);
    CHECK(sb_text_parse_duration("90", &n) && n == 90);
    CHECK(!sb_text_parse_duration("", &n) && !sb_text_parse_duration("s", &n));
    CHECK(!sb_text_parse_duration("5x", &n) && !sb_text_parse_duration("-5", &n));
    CHECK(!sb_text_parse_duration("99999999999999999999", &n));
}

static void test_text_utf8(void) {
    CHECK(sb_text_is_utf8("") && sb_text_is_utf8("aé€𝄞"));
    CHECK(!sb_text_is_utf8("\xff"));
    CHECK(!sb_text_is_utf8("\x80"));
    CHECK(!sb_text_is_utf8("\xc3"));             /* cut short */
    CHECK(!sb_text_is_utf8("\xc0\xaf"));         /* overlong */
    CHECK(!sb_text_is_utf8("\xe0\x80\xaf"));     /* overlong */
    CHECK(!sb_text_is_utf8("\xed\xa0\x80"));     /* a surrogate */
    CHECK(!sb_text_is_utf8("\xf4\x90\x80\x80")); /* beyond U+10FFFF */
}

int main(void) {
    char directory[] = "/var/tmp/sb-base.XXXXXX";
    if (!mkdtemp(directory) || (scratch = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return 1;
    test_error();
    test_error_cut();
    test_error_output();
    test_error_codes();
    test_buffer();
    test_strings();
    test_arena();
    test_path_clean();
    test_paths();
    test_file_write();
    test_file_publish();
    test_file_replace();
    test_directory_each();
    test_file_read();
    test_tree_remove();
    test_digest();
    test_digest_of_fd();
    test_digest_text();
    test_hmac();
    test_json();
    test_json_bytes();
    test_json_text();
    test_text_nearest();
    test_text_numbers();
    test_text_utf8();
    struct sb_error err = {0};
    CHECK(sb_tree_remove(AT_FDCWD, directory, &err) == 0);
    return test_done();
}
