/*
 * Any bytes as what the kernel says of processes, ports and GPUs: /proc/PID/status, environ and
 * cgroup, /proc/net/tcp, the NVIDIA driver's files. Parts of it are as a process wants them: its
 * name, its control group's. The first byte chooses.
 */
#include <sys/stat.h>

#include "deploy/host/inside.c"

#include "deploy/host/ports.h"
#include "deploy/node/gpus.h"
#include "tests/fuzz/fuzz.h"

static int dir = -1;

static void status(const char *text, size_t len) {
    struct place place = {0};
    free(fuzz_directory_file("status", text, len));
    read_status(dir, &place);
    FUZZ_CHECK(place.group_count <= GROUPS_MOST);
}

static void environment(const char *text, size_t len) {
    sb_autostrings struct sb_strings env = {0};
    free(fuzz_directory_file("environ", text, len));
    read_environment(dir, &env);
}

static void cgroup(const char *text, size_t len) {
    sb_autofree char *copy = sb_strndup(text, len);
    sb_inside_is_of(copy, "backend.service");
    for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
        int fd = open_cgroup(line, strlen(line));
        if (fd >= 0)
            close(fd);
    }
}

static void ports(const char *text, size_t len) {
    struct sb_port_use use = {0};
    FILE *table = len ? fmemopen((void *)text, len, "r") : NULL;
    if (!table)
        return;
    sb_port_use_read(table, 8080, &use);
    fclose(table);
}

static void gpus(const char *text, size_t len) {
    const struct sb_node node = {.driver = fuzz_directory()};
    struct sb_pairs env = {0};
    free(fuzz_directory_file("gpu/information", text, len));
    sb_gpus_environment(&node, 3, len % 2, &env);
    const char *list = sb_pairs_get(&env, "CUDA_VISIBLE_DEVICES");
    FUZZ_CHECK(list && !strpbrk(list, " \n\t"));
    sb_pairs_free(&env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const kinds[])(const char *, size_t) = {status, environment, cgroup, ports, gpus};
    if (dir < 0) {
        sb_autofree char *gpu = sb_format("%s/gpu", fuzz_directory());
        FUZZ_CHECK(mkdir(gpu, 0755) == 0);
        dir = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    struct fuzz_parts parts = fuzz_parts(data, size);
    unsigned kind = fuzz_choose(&parts, 5);
    size_t len;
    const char *text = fuzz_rest(&parts, &len);
    kinds[kind](text, len);
    return 0;
}
