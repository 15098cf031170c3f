/*
 * tests/unit/test: the harness of unit tests. A program of its own includes it once, calls CHECKs
 * and ends with `return test_done();`.
 *
 *     CHECK(sb_file_read(...) == 0);      each says file:line and what failed, and goes on
 *     CHECK_STR(err.message, "expected");
 *     CHECK_INT(list.n, 3);
 *     if (!CHECK(fd >= 0)) return;        each is also a value: did it pass?
 *     TEST_SKIP("runc is not installed"); counted apart; says why
 */
#ifndef SB_TESTS_UNIT_TEST_H
#define SB_TESTS_UNIT_TEST_H

#include <stdio.h>
#include <string.h>

static int test_passed, test_failed, test_skipped;
static const char *test_file = __FILE__;

/* Output is flushed at each failure, so that a crash later does not take it along. */
static inline int test_check(int ok, const char *file, int line, const char *text) {
    test_file = file;
    if (ok) {
        test_passed++;
    } else {
        test_failed++;
        printf("%s:%d: failed: %s\n", file, line, text);
        fflush(stdout);
    }
    return ok;
}

static inline int test_check_str(const char *a, const char *b, const char *file, int line,
                                 const char *text) {
    int ok = a && b ? !strcmp(a, b) : a == b;
    if (!test_check(ok, file, line, text)) {
        printf("    \"%s\"\n    \"%s\"\n", a ? a : "(null)", b ? b : "(null)");
        fflush(stdout);
    }
    return ok;
}

static inline int test_check_int(long long a, long long b, const char *file, int line,
                                 const char *text) {
    int ok = a == b;
    if (!test_check(ok, file, line, text)) {
        printf("    %lld\n    %lld\n", a, b);
        fflush(stdout);
    }
    return ok;
}

static inline void test_skip(const char *why, const char *file, int line) {
    test_file = file;
    test_skipped++;
    printf("SKIP %s:%d: %s\n", file, line, why);
    fflush(stdout);
}

#define CHECK(cond)     test_check(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_STR(a, b) test_check_str((a), (b), __FILE__, __LINE__, #a " is " #b)
#define CHECK_INT(a, b)                                                                            \
    test_check_int((long long)(a), (long long)(b), __FILE__, __LINE__, #a " is " #b)
#define TEST_SKIP(why) test_skip((why), __FILE__, __LINE__)

/* Prints "NAME: N passed, M failed" (and how many were skipped, if any were); the exit status. A
 * program that checked nothing has failed. */
static inline int test_done(void) {
    const char *slash = strrchr(test_file, '/');
    const char *name = slash ? slash + 1 : test_file;
    if (test_passed + test_failed + test_skipped == 0)
        test_failed++;
    printf("%.*s: %d passed, %d failed", (int)strcspn(name, "."), name, test_passed, test_failed);
    if (test_skipped)
        printf(", %d skipped", test_skipped);
    printf("\n");
    return test_failed ? 1 : 0;
}

#endif
