/*
 * tests/fuzz/replay: runs a fuzz target over files instead of fuzzing, each in a process of its
 * own.
 *
 *     TARGET FILE…      prints each input that crashes, aborts or takes over 10 s; then counts
 */
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_LIMIT = 64 << 20, SECONDS = 10 };

static _Noreturn void run_input(const char *path) {
    struct sb_error err = {0};
    struct sb_buf input = {0};
    if (sb_file_read(AT_FDCWD, path, INPUT_LIMIT, &input, &err) < 0) {
        printf("%s\n", err.message);
        exit(2);
    }
    /* Of exactly its size, so that reading beyond the end is seen. */
    uint8_t *data = malloc(input.len ? input.len : 1);
    if (data && input.len)
        memcpy(data, input.data, input.len);
    size_t len = input.len;
    sb_buf_free(&input);
    alarm(SECONDS);
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    exit(0);
}

int main(int argc, char **argv) {
    int passed = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            run_input(argv[i]);
        int status = -1;
        if (pid > 0)
            waitpid(pid, &status, 0);
        if (status == 0) {
            passed++;
            continue;
        }
        failed++;
        if (pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
            printf("FAIL %s: takes over %d s\n", argv[i], SECONDS);
        else
            printf("FAIL %s: ended with wait status %#x\n", argv[i], (unsigned)status);
    }
    const char *slash = strrchr(argv[0], '/');
    printf("%s: %d passed, %d failed\n", slash ? slash + 1 : argv[0], passed, failed);
    return failed ? 1 : 0;
}
