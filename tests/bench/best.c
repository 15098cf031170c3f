/*
 * tests/bench/best: the best time of a command, of some tries, and the most memory it took.
 *
 *     best [-n TRIES] [-b BEFORE] COMMAND [ARGUMENT…]
 *
 * Prints "best median cpu peak": milliseconds of the whole process, from fork to its end; the least
 * processor time of all its threads, which says more on a machine that has other work; and MB.
 * BEFORE is a shell command that is run before each try and not measured. What COMMAND prints is
 * thrown away, unless it fails.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct tries {
    int count;
    double times[1000], cpu;
    long peak_kib;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double milliseconds(struct timeval t) {
    return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

/* By vfork: a fork would cost something itself. */
static int run(char **argv, int quiet, double *out_time, struct rusage *out_usage) {
    double start = now();
    pid_t pid = vfork();
    if (pid == 0) {
        dup2(quiet, STDOUT_FILENO);
        dup2(quiet, STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    int status = -1;
    if (pid < 0 || wait4(pid, &status, 0, out_usage) < 0)
        return -1;
    *out_time = now() - start;
    return status;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure(struct tries *tries, const char *before, char **argv) {
    char name[] = "/tmp/best-XXXXXX";
    int quiet = mkstemp(name);
    unlink(name);
    for (int i = 0; i < tries->count; i++) {
        struct rusage usage = {0};
        if (before && system(before) != 0)
            return fprintf(stderr, "best: failed: %s\n", before);
        if (ftruncate(quiet, 0) != 0 || lseek(quiet, 0, SEEK_SET) != 0)
            return fprintf(stderr, "best: no scratch file\n");
        if (run(argv, quiet, &tries->times[i], &usage) != 0) {
            char said[4096];
            ssize_t n = pread(quiet, said, sizeof said, 0);
            return fprintf(stderr, "best: failed: %s\n%.*s\n", argv[0], n > 0 ? (int)n : 0, said);
        }
        double cpu = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
        tries->cpu = i == 0 || cpu < tries->cpu ? cpu : tries->cpu;
        tries->peak_kib = usage.ru_maxrss > tries->peak_kib ? usage.ru_maxrss : tries->peak_kib;
    }
    qsort(tries->times, (size_t)tries->count, sizeof *tries->times, compare);
    return 0;
}

int main(int argc, char **argv) {
    static struct tries tries = {.count = 10};
    const char *before = NULL;
    for (int option; (option = getopt(argc, argv, "+n:b:")) != -1;) {
        if (option == 'n')
            tries.count = atoi(optarg);
        else if (option == 'b')
            before = optarg;
        else
            return 2;
    }
    if (optind >= argc || tries.count < 1 || tries.count > 1000) {
        fprintf(stderr, "usage: best [-n TRIES] [-b BEFORE] COMMAND [ARGUMENT…]\n");
        return 2;
    }
    if (measure(&tries, before, argv + optind) != 0)
        return 1;
    printf("%.2f %.2f %.2f %.1f\n", tries.times[0], tries.times[tries.count / 2], tries.cpu,
           (double)tries.peak_kib / 1024);
    return 0;
}
