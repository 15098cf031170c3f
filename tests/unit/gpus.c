/* Which GPUs a service gets, beside others; and what CUDA is told of them. */
#include "deploy/node/gpus.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "tests/unit/layer_test.h"

static struct layer_test t;
static struct sb_node node;
static struct sb_error err;
static char said[1024];

static void say(void *data, const char *line) {
    (void)data;
    snprintf(said, sizeof said, "%s", line);
}

static void write_file(const char *directory, const char *name, const char *text) {
    sb_autofree char *path = sb_format("%s/%s", directory, name);
    sb_autofree char *parent = sb_path_dirname(path);
    CHECK_INT(sb_directory_make(AT_FDCWD, parent, 0755, &err), 0);
    CHECK_INT(sb_file_write(AT_FDCWD, path, text, strlen(text), 0644, &err), 0);
}

static void set_devices(int count) {
    CHECK_INT(sb_tree_remove(AT_FDCWD, node.devices, &err), 0);
    write_file(node.devices, "nvidiactl", "");
    for (int i = 0; i < count; i++) {
        sb_autofree char *name = sb_format("nvidia%d", i);
        write_file(node.devices, name, "");
    }
}

static struct sb_description describe(const char *name, unsigned gpu, uint64_t devices,
                                      bool shared) {
    struct sb_description d = {.name = sb_strdup(name),
                               .user = sb_strdup(""),
                               .workdir = sb_strdup("/"),
                               .image = {.media_type = SB_MEDIA_MANIFEST, .size = 1},
                               .health_timeout = 1,
                               .health_interval = 1,
                               .start_timeout = 1,
                               .stop_timeout = 1,
                               .gpu = gpu,
                               .gpu_devices = devices,
                               .gpu_shared = shared,
                               .layer_count = 1};
    sb_strings_add(&d.argv, "/app");
    d.layers = sb_alloc(sizeof *d.layers);
    d.layers[0].layer.descriptor = (struct sb_descriptor){.media_type = SB_MEDIA_LAYER_ZSTD};
    return d;
}

static struct sb_node_service *open_service(const char *name) {
    struct sb_node_service *service;
    if (sb_node_service_open(&node, name, &service, &err) < 0)
        layer_test_die(name, &err);
    return service;
}

/* A generation that has these devices. */
static void make_generation(const char *name, uint64_t number, uint64_t gpus, bool shared) {
    struct sb_node_service *service = open_service(name);
    struct sb_generation g = {.number = number, .state = SB_GENERATION_HEALTHY, .gpus = gpus};
    struct sb_description d = describe(name, 1, 0, shared);
    sb_autobuf struct sb_buf text = {0};
    sb_autofree char *directory = sb_format("%d", (int)number);
    sb_autofree char *path = sb_format("%d/description.json", (int)number);
    sb_description_write(&d, &text);
    CHECK_INT(sb_directory_make(service->fd, directory, 0755, &err), 0);
    CHECK_INT(sb_file_write(service->fd, path, text.data, text.len, 0644, &err), 0);
    CHECK_INT(sb_generation_save(service, &g, &err), 0);
    sb_description_free(&d);
    sb_node_service_close(service);
}

static void set_current(const char *name, uint64_t number) {
    sb_autofree char *text = sb_format("[Service]\n\n[X-Sbuild]\nName=%s\nGeneration=%d\n"
                                       "Image=sha256:%064d\n",
                                       name, (int)number, 0);
    sb_autofree char *file = sb_format("%s.service", name);
    write_file(node.units, file, text);
}

static void set_operation(const char *name, uint64_t from, uint64_t to) {
    struct sb_node_service *service = open_service(name);
    const struct sb_operation operation = {.kind = SB_OPERATION_INSTALL, .from = from, .to = to};
    CHECK_INT(sb_operation_save(service, &operation, &err), 0);
    sb_node_service_close(service);
}

/* What `web` gets; UINT64_MAX when it is refused. */
static uint64_t choose(unsigned gpu, uint64_t devices, bool shared, uint64_t preferred) {
    struct sb_node_service *service = open_service("web");
    struct sb_description d = describe("web", gpu, devices, shared);
    uint64_t gpus = 0;
    err = (struct sb_error){0};
    *said = '\0';
    if (sb_gpus_choose(service, &d, preferred, &gpus, &err) < 0)
        gpus = UINT64_MAX;
    else
        sb_gpus_tell(service, &d, gpus);
    sb_description_free(&d);
    sb_node_service_close(service);
    return gpus;
}

static void test_choose(void) {
    set_devices(4);
    CHECK_INT(choose(0, 0, false, 0), 0);
    CHECK_INT(choose(1, 0, false, 0), 1);
    CHECK_INT(choose(2, 0, false, 4), 5); /* the one that it has, and the lowest */
    make_generation("one", 1, 1, false);
    CHECK_INT(choose(1, 0, false, 0), 1); /* it isn't current */
    set_current("one", 1);
    CHECK_INT(choose(1, 0, false, 0), 2);
    CHECK_INT(choose(1, 0, false, 1), 2); /* what it had is another's now */
    CHECK_INT(choose(3, 0, false, 0), 14);
    CHECK(choose(4, 0, false, 0) == UINT64_MAX);
    CHECK_STR(err.message, "web needs 4 of the 4 GPUs of this node, and 3 are free: one has 0");
    CHECK_INT(choose(1, 1, false, 0), 1); /* named */
    CHECK_STR(said, "web: one has GPU 0 as well");
    /* Whoever is being replaced has what both generations have. */
    make_generation("one", 2, 2, false);
    set_operation("one", 1, 2);
    CHECK_INT(choose(2, 0, false, 0), 12);
    make_generation("web", 1, 8, false);
    set_current("web", 1);
    CHECK_INT(choose(2, 0, false, 0), 12); /* its own is no other's */
}

static void test_shared(void) {
    set_devices(3);
    make_generation("two", 1, 4, true);
    set_current("two", 1);
    CHECK(choose(1, 0, false, 0) == UINT64_MAX); /* `one` has 0 and 1, and `two` 2 */
    CHECK(strstr(err.message, "one has 0, 1, two has 2 (shared)"));
    CHECK(strstr(err.hint, "shared: true"));
    CHECK_INT(choose(1, 0, true, 0), 4);
    CHECK(choose(2, 0, true, 0) == UINT64_MAX);
    set_devices(4);
    CHECK_INT(choose(1, 0, true, 0), 8); /* a free one first */
    CHECK_INT(choose(1, 0, true, 4), 4); /* but what it has before that */
    CHECK_INT(choose(2, 0, true, 0), 12);
}

static void test_fewer(void) {
    set_devices(0);
    CHECK_INT(choose(2, 0, false, 0), 0);
    CHECK_STR(said, "web asks for 2 GPUs, and this node has 0");
    set_devices(1);
    CHECK(choose(2, 0, false, 0) == UINT64_MAX); /* the only one is taken */
}

/* Without the lock both would take the lowest. */
static void test_race(void) {
    set_devices(64);
    for (int i = 0; i < 8; i++) {
        sb_autofree char *name = sb_format("racer%d", i);
        set_current(name, 1);
        if (fork() != 0)
            continue;
        sb_autoclose int lock = sb_node_lock(&node, &err);
        struct sb_description d = describe(name, 2, 0, false);
        struct sb_node_service *service = open_service(name);
        uint64_t gpus = 0;
        int rc = lock < 0 ? -1 : sb_gpus_choose(service, &d, 0, &gpus, &err);
        sb_node_service_close(service);
        make_generation(name, 1, gpus, false);
        _exit(rc < 0);
    }
    uint64_t all = 0;
    for (int i = 0, status; i < 8; i++)
        CHECK(wait(&status) > 0 && status == 0);
    for (int i = 0; i < 8; i++) {
        sb_autofree char *name = sb_format("racer%d", i);
        struct sb_node_service *service = open_service(name);
        struct sb_generation g;
        CHECK_INT(sb_generation_load(service, 1, &g, &err), 0);
        CHECK_INT(__builtin_popcountll(g.gpus), 2);
        CHECK_INT(g.gpus & all, 0);
        all |= g.gpus;
        sb_generation_free(&g);
        sb_node_service_close(service);
    }
}

/* ---- CUDA ---- */

static void check_cuda(uint64_t gpus, bool closed, const char *devices, const char *order) {
    struct sb_pairs env = {0};
    sb_gpus_environment(&node, gpus, closed, &env);
    CHECK_STR(sb_pairs_get(&env, "CUDA_VISIBLE_DEVICES"), devices);
    const char *its = sb_pairs_get(&env, "CUDA_DEVICE_ORDER");
    CHECK_STR(its ? its : "", order);
    sb_pairs_free(&env);
}

static void test_cuda(void) {
    check_cuda(10, true, "0,1", ""); /* of those that it can open */
    check_cuda(10, false, "1,3", "PCI_BUS_ID");
    write_file(node.driver, "0000:01:00.0/information",
               "Model: \t\t NVIDIA H200\nIRQ:   \t\t 42\n"
               "GPU UUID: \t GPU-8932f937-d72c-4106-c12f-20bd9faed9f6\n"
               "Bus Location: \t 0000:01:00.0\nDevice Minor: \t 3\nGPU Excluded:\t No\n");
    check_cuda(8, true, "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "");
    check_cuda(10, true, "0,1", "");
    write_file(node.driver, "0000:02:00.0/information",
               "GPU UUID: \t GPU-00000000-d72c-4106-c12f-20bd9faed9f6\nDevice Minor: \t 1\n");
    check_cuda(10, false,
               "GPU-00000000-d72c-4106-c12f-20bd9faed9f6,"
               "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
               "");
    write_file(node.driver, "0000:02:00.0/information",
               "GPU UUID: \t GPU-\?\?\?\?\?\?\?\?-\?\?\?\?\nDevice Minor: \t 1\n");
    check_cuda(10, true, "0,1", "");
}

int main(void) {
    t = layer_test_start();
    sb_autofree char *units = sb_format("%s/units", t.dir), *devices = sb_format("%s/dev", t.dir),
                     *driver = sb_format("%s/driver", t.dir);
    node = (struct sb_node){
        .store = t.store, .units = units, .devices = devices, .driver = driver, .say = say};
    test_choose();
    test_shared();
    test_fewer();
    test_race();
    test_cuda();
    layer_test_end(&t);
    return test_done();
}
