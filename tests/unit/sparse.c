/* base/sparse, context/file_digest: holes are told from data, and hash as the zeros they are. */
#include "base/sparse.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "context/file_digest.h"
#include "tests/unit/test.h"

static int told;
static void tell(void *data, uint64_t bytes) {
    (void)data;
    (void)bytes;
    told++;
}

/* data: bytes of it at each place; size: of the file. */
static int make(const off_t *places, size_t count, off_t size) {
    char name[] = "/var/tmp/sb-sparse-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0 && ftruncate(fd, size) == 0);
    for (size_t i = 0; i < count; i++)
        CHECK(pwrite(fd, "data", 4, places[i]) == 4);
    return fd;
}

static void check(const off_t *places, size_t count, off_t size) {
    sb_autoclose int fd = make(places, count, size);
    struct stat st;
    struct sb_error err = {0};
    struct sb_digest plain, found;
    uint64_t plain_size, found_size, covered = 0;
    const struct sb_file_digest_watch watch = {tell, NULL};
    CHECK(fstat(fd, &st) == 0);
    CHECK_INT(sb_digest_of_fd(fd, &plain, &plain_size, &err), 0);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    CHECK_INT(sb_file_digest(fd, &st, &watch, &found, &found_size, &err), 0);
    CHECK(sb_digest_equal(&plain, &found));
    CHECK_INT(found_size, plain_size);
    bool before = false;
    for (uint64_t at = 0, end; at < (uint64_t)size; at = end) {
        bool hole;
        if (!CHECK_INT(sb_sparse_next(fd, at, (uint64_t)size, &end, &hole), 0))
            break;
        CHECK(end > at && end <= (uint64_t)size);
        CHECK(at == 0 || hole != before);
        before = hole;
        for (size_t i = 0; i < count; i++)
            CHECK(!hole || places[i] < (off_t)at || places[i] >= (off_t)end);
        covered += end - at;
    }
    CHECK_INT(covered, size);
}

static void test_shapes(void) {
    enum { M = 1 << 20 };
    check((off_t[]){0}, 1, 4);
    check(NULL, 0, 0);
    check(NULL, 0, 3 * M + 1);
    check((off_t[]){0}, 1, 8 * M);
    check((off_t[]){8 * M - 4}, 1, 8 * M);
    check((off_t[]){4 * M + 77}, 1, 9 * M + 123);
    check((off_t[]){0, M, 3 * M, 3 * M + 4096, 7 * M + 1}, 5, 7 * M + 5);
    check((off_t[]){5 * M - 2}, 1, 5 * M + 2);
}

static void test_copy(void) {
    enum { M = 1 << 20 };
    const off_t places[][3] = {{0, 3 * M, 9 * M}, {M, M + 4096, 5 * M + 77}, {9 * M - 4, 0, 0}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct sb_error err = {0};
        struct sb_digest plain, copied;
        uint64_t size;
        struct stat st;
        sb_autoclose int from = make(places[i], 3, 70 * M), to = make(NULL, 0, 0);
        CHECK_INT(sb_sparse_copy(from, to, 70 * M, &err), 0);
        CHECK_INT(lseek(from, 0, SEEK_SET) + lseek(to, 0, SEEK_SET), 0);
        CHECK_INT(sb_digest_of_fd(from, &plain, &size, &err), 0);
        CHECK_INT(sb_digest_of_fd(to, &copied, &size, &err), 0);
        CHECK(sb_digest_equal(&plain, &copied));
        CHECK(fstat(to, &st) == 0 && st.st_size == 70 * M && st.st_blocks * 512 < M);
    }
}

/* What is appended after stat is read, and shows in the size; what is cut off, too. */
static void test_changing(void) {
    sb_autoclose int fd = make((off_t[]){1 << 20}, 1, 2 << 20);
    struct stat st;
    struct sb_error err = {0};
    struct sb_digest digest;
    uint64_t size;
    const struct sb_file_digest_watch watch = {tell, NULL};
    CHECK(fstat(fd, &st) == 0 && sb_sparse_is(&st));
    CHECK(pwrite(fd, "more", 4, 2 << 20) == 4);
    CHECK_INT(sb_file_digest(fd, &st, &watch, &digest, &size, &err), 0);
    CHECK_INT(size, (2 << 20) + 4);
    CHECK(ftruncate(fd, 1 << 19) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    CHECK_INT(sb_file_digest(fd, &st, &watch, &digest, &size, &err), 0);
    CHECK(size != (uint64_t)st.st_size);
}

int main(void) {
    test_shapes();
    test_copy();
    test_changing();
    return test_done();
}
