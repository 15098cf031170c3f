/* Cleanups: what is given back is given back once. */
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tests/unit/test.h"

/* Closed by hand, and again at its end, when the number is somebody else's. */
static int use_again(void) {
    sb_autoclose int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int number = fd;
    errno = ENOENT;
    sb_close_descriptor(&fd);
    CHECK(errno == ENOENT);
    CHECK(fd == -1);
    int other = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    CHECK(other == number);
    return other;
}

static void test_close(void) {
    int other = use_again();
    CHECK(fcntl(other, F_GETFD) >= 0);
    sb_close_descriptor(&other);
    sb_close_descriptor(&other);
}

static void test_steal(void) {
    sb_autofree char *text = sb_strdup("x");
    char *taken = sb_steal(text);
    CHECK(!text);
    free(taken);
}

int main(void) {
    test_close();
    test_steal();
    return test_done();
}
