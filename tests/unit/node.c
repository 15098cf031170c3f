/* What a node keeps of its services: names, locks, generations, the operation under way, pins. */
#include "deploy/node/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/systemd.h"
#include "deploy/node/provenance.h"
#include "deploy/node/status.h"
#include "deploy/node/unitfiles.h"
#include "layers/collect.h"
#include "layers/pin.h"
#include "tests/unit/test.h"

static char *directory;
static struct sb_error err;
static struct sb_node node;
static char said[1024];

static void say(void *data, const char *line) {
    (void)data;
    snprintf(said, sizeof said, "%s", line);
}

static struct sb_store *open_store(void) {
    sb_autofree char *path = sb_path_join(directory, "store");
    struct sb_store *store;
    if (!CHECK(sb_store_open(path, &store, &err) == 0)) {
        printf("%s\n", err.message);
        exit(1);
    }
    return store;
}

static struct sb_node_service *open_service(const char *name) {
    struct sb_node_service *service;
    if (!CHECK(sb_node_service_open(&node, name, &service, &err) == 0)) {
        printf("%s\n", err.message);
        exit(1);
    }
    return service;
}

static void make_tree(const char *letter) {
    sb_autofree char *path = sb_format("sbuild/trees/%s%063d/fs", letter, 0);
    CHECK_INT(sb_directory_make(sb_store_fd(node.store), path, 0755, &err), 0);
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    *strrchr(path, '/') = '\0';
    CHECK_INT(utimensat(sb_store_fd(node.store), path, old, 0), 0);
}

static bool has_tree(const char *letter) {
    sb_autofree char *path = sb_format("sbuild/trees/%s%063d", letter, 0);
    return sb_path_exists(sb_store_fd(node.store), path);
}

static void make_generation(const struct sb_node_service *service, uint64_t number,
                            enum sb_generation_state state, const char *tree) {
    struct sb_generation g = {.number = number, .state = state, .installed = 1000};
    g.reference = sb_strdup("registry.example.com/team/app:bundle-v1");
    sb_strings_addf(&g.trees, "sbuild/trees/%s%063d", tree, 0);
    sb_autofree char *name = sb_format("%d", (int)number);
    CHECK_INT(sb_directory_make(service->fd, name, 0755, &err), 0);
    CHECK_INT(sb_generation_save(service, &g, &err), 0);
    sb_generation_free(&g);
}

/* ---- */

static void test_names(void) {
    static const char *const bad[] = {"",    ".",   "..", "../x", "a/b", "A",
                                      "a b", "a\n", "-a", "@x",   "a%n"};
    struct sb_node_service *service;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct sb_error){0};
        CHECK_INT(sb_node_service_open(&node, bad[i], &service, &err), -1);
        CHECK_INT(err.code, SB_E_USAGE);
    }
    CHECK_INT(sb_node_service_look(&node, "nobody", &service, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    sb_node_service_close(open_service("passing"));
    CHECK(!sb_path_exists(sb_store_private_fd(node.store), "services/passing"));
    CHECK_INT(sb_node_service_find(&node, "nobody", &service, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(!sb_path_exists(sb_store_private_fd(node.store), "keys/service-nobody"));
    CHECK(!sb_path_exists(sb_store_private_fd(node.store), "services/nobody"));
}

static void test_forget(void) {
    struct sb_node_service *service = open_service("gone");
    make_generation(service, 1, SB_GENERATION_HEALTHY, "a");
    CHECK_INT(sb_node_service_forget(service, &err), 0);
    CHECK(!sb_path_exists(sb_store_private_fd(node.store), "services/gone"));
    CHECK_INT(sb_node_service_anew(service, &err), 0);
    make_generation(service, 2, SB_GENERATION_HEALTHY, "a");
    CHECK(sb_path_exists(sb_store_private_fd(node.store), "services/gone/2/record.json"));
    CHECK_INT(sb_node_service_forget(service, &err), 0);
    sb_node_service_close(service);
    CHECK(!sb_path_exists(sb_store_private_fd(node.store), "services/gone"));
}

static void test_generations(void) {
    struct sb_node_service *service = open_service("app");
    make_generation(service, 10, SB_GENERATION_HEALTHY, "b");
    make_generation(service, 2, SB_GENERATION_HEALTHY, "a");
    make_generation(service, 11, SB_GENERATION_FAILED, "c");
    CHECK_INT(sb_directory_make(service->fd, "12", 0755, &err), 0); /* without a record */
    CHECK_INT(sb_directory_make(service->fd, SB_TMP_PREFIX "generation/l", 0755, &err), 0);
    struct sb_generation_list list;
    CHECK_INT(sb_generations(service, &list, &err), 0);
    CHECK_INT(list.n, 3);
    CHECK_INT(list.v[0].number, 2);
    CHECK_INT(list.v[1].number, 10);
    CHECK_INT(list.v[2].state, SB_GENERATION_FAILED);
    CHECK_STR(list.v[0].reference, "registry.example.com/team/app:bundle-v1");
    sb_generation_list_free(&list);

    struct sb_generation g;
    CHECK_INT(sb_generation_load(service, 11, &g, &err), 0);
    g.failure = sb_strdup("100% wrong");
    g.journal = sb_strdup("a \xff line\nand \"another\"\n");
    CHECK_INT(sb_generation_save(service, &g, &err), 0);
    sb_generation_free(&g);
    CHECK_INT(sb_generation_load(service, 11, &g, &err), 0);
    CHECK_STR(g.failure, "100% wrong");
    CHECK(g.journal && strstr(g.journal, "another"));
    sb_generation_free(&g);

    sb_node_service_close(service);
    service = open_service("app"); /* sweeps what a killed process was writing */
    CHECK(!sb_path_exists(service->fd, SB_TMP_PREFIX "generation"));
    CHECK(sb_path_exists(service->fd, "10/record.json"));
    sb_node_service_close(service);
}

static void test_operation(void) {
    struct sb_node_service *service = open_service("app");
    struct sb_operation operation = {
        .kind = SB_OPERATION_ROLLBACK, .from = 11, .to = 2, .wait = 90, .back = true};
    struct sb_operation read;
    CHECK_INT(sb_operation_load(service, &read, &err), 0);
    CHECK_INT(read.kind, SB_OPERATION_NONE);
    CHECK_INT(sb_operation_save(service, &operation, &err), 0);
    CHECK_INT(sb_operation_load(service, &read, &err), 0);
    CHECK(read.kind == SB_OPERATION_ROLLBACK && read.from == 11 && read.to == 2 && read.back);
    CHECK(read.wait == 90 && !read.started);
    operation.started = true;
    CHECK_INT(sb_operation_save(service, &operation, &err), 0);
    CHECK(sb_operation_load(service, &read, &err) == 0 && read.started);
    CHECK_INT(sb_operation_clear(service, &err), 0);
    CHECK_INT(sb_operation_clear(service, &err), 0);
    static const char unknown[] = "{\"version\":1,\"operation\":\"dance\"}";
    CHECK_INT(sb_file_write(service->fd, "operation.json", unknown, sizeof unknown - 1, 0644, &err),
              0);
    CHECK_INT(sb_operation_load(service, &read, &err), -1);
    CHECK_INT(sb_operation_clear(service, &err), 0);
    sb_node_service_close(service);
}

static void test_current(void) {
    struct sb_node_service *service = open_service("app");
    uint64_t current = 7;
    CHECK_INT(sb_node_current(service, &current, &err), 0);
    CHECK_INT(current, 0);
    CHECK_INT(sb_unitfiles_put(&node, "app.service", "[Service]\nExecStart=/bin/true\n", &err), 0);
    CHECK_INT(sb_node_current(service, &current, &err), -1); /* not ours */
    static const char ours[] =
        "[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n\n"
        "[X-Sbuild]\nName=app\nGeneration=10\n"
        "Image=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";
    CHECK_INT(sb_unitfiles_put(&node, "app.service", ours, &err), 0);
    CHECK_INT(sb_node_current(service, &current, &err), 0);
    CHECK_INT(current, 10);
    sb_autofree char *half = sb_format("%s/.sbuild-app.service", node.units);
    CHECK_INT(sb_file_write(AT_FDCWD, half, "", 0, 0644, &err), 0);
    CHECK_INT(sb_unitfiles_put(&node, "app.service", ours, &err), 0);
    CHECK(access(half, F_OK) < 0); /* one that was killed left it */
    CHECK_INT(sb_unitfiles_enable(&node, "app.service", ours, &err), 0);
    CHECK_INT(sb_unitfiles_enable(&node, "app.service", ours, &err), 0);
    sb_autofree char *link = sb_format("%s/multi-user.target.wants/app.service", node.units);
    CHECK_INT(access(link, R_OK), 0);
    CHECK_INT(sb_unitfiles_disable(&node, "app.service", &err), 0);
    CHECK(access(link, F_OK) < 0);
    sb_node_service_close(service);
}

static void test_lock(void) {
    said[0] = 0;
    struct sb_node_service *service = open_service("app");
    pid_t child = fork();
    if (child == 0) {
        close(service->lock); /* a copy of the lock, which would hold it too */
        struct sb_node_service *mine;
        struct sb_error own = {0};
        int rc = sb_node_service_open(&node, "app", &mine, &own);
        _exit(rc == 0 && strstr(said, "another sbuild is at work on app") ? 0 : 1);
    }
    pid_t other = fork();
    if (other == 0) { /* who does not wait */
        close(service->lock);
        struct sb_node_service *mine;
        struct sb_error own = {0};
        int rc = sb_node_service_try(&node, "app", &mine, &own);
        _exit(rc < 0 && own.os_errno == EWOULDBLOCK && !*said ? 0 : 1);
    }
    int ended;
    CHECK(waitpid(other, &ended, 0) == other && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    usleep(100000);
    sb_node_service_close(service);
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The collector takes what no image needs, but nothing that a generation could run on. */
static void test_pins(void) {
    struct sb_node_service *service = open_service("app");
    make_tree("a");
    make_tree("b");
    make_tree("c");
    CHECK_INT(sb_node_pin(service, &err), 0);
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    options.max_size = 0;
    CHECK_INT(sb_store_collect(node.store, &options, &report, &err), 0);
    sb_collect_report_free(&report);
    CHECK(has_tree("a") && has_tree("b"));
    CHECK(!has_tree("c")); /* only the one that failed had it */

    CHECK_INT(sb_generation_remove(service, 2, &err), 0);
    CHECK_INT(sb_node_pin(service, &err), 0);
    CHECK_INT(sb_store_collect(node.store, &options, &report, &err), 0);
    sb_collect_report_free(&report);
    CHECK(!has_tree("a") && has_tree("b"));

    sb_autostrings struct sb_strings items = {0};
    sb_strings_addf(&items, "sbuild/trees/a%063d", 0);
    err = (struct sb_error){0};
    CHECK_INT(sb_pin_set(node.store, "test", &items, &err), -1); /* it is gone */
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK_INT(sb_pin_remove(node.store, "test", &err), 0);
    sb_node_service_close(service);
}

static void test_prune(void) {
    struct sb_node_service *service = open_service("app"); /* has 10 (current) and 11 (failed) */
    for (uint64_t i = 13; i <= 17; i++)
        make_generation(service, i, i == 16 ? SB_GENERATION_FAILED : SB_GENERATION_HEALTHY, "b");
    sb_node_service_close(service);
    sb_autostrings struct sb_strings removed = {0};
    CHECK_INT(sb_node_prune(&node, true, &removed, &err), 0);
    CHECK_INT(removed.n, 2);
    CHECK(sb_strings_has(&removed, "app 13"));  /* the fourth of those that could run */
    CHECK(sb_strings_has(&removed, "app 11"));  /* an older failure */
    CHECK(!sb_strings_has(&removed, "app 10")); /* it runs */
}

static void test_versions(void) {
    CHECK_INT(sb_systemd_parse_version("systemd 252 (252.39-1~deb12u2)\n+PAM +AUDIT\n"), 252);
    CHECK_INT(sb_systemd_parse_version("systemd 249 (249.11-0ubuntu3)\n"), 249);
    CHECK_INT(sb_systemd_parse_version("sysvinit\n"), 0);
    CHECK_INT(sb_systemd_parse_span("1min 30s") * 1000, 90000);
    CHECK_INT(sb_systemd_parse_span("2h 1min 1.500s") * 1000, 7261500);
    CHECK_INT(sb_systemd_parse_span("500ms") * 1000, 500);
    CHECK_INT(sb_systemd_parse_span("49710d 6h 28min 15s"), 4294967295);
    CHECK_INT(sb_systemd_parse_span("infinity"), 0);
    CHECK_INT(sb_systemd_parse_span("30 parsecs"), 0);
}

/* ---- whose a name is ---- */

static void test_owners(void) {
    static const struct {
        const char *owner, *reference;
        bool same;
    } cases[] = {
        {"registry.example.com/team/backend", "registry.example.com/team/backend:v1", true},
        {"registry.example.com/team/backend", "registry.example.com/team/backend:bundle-v1", true},
        {"registry.example.com/team/backend", "REGISTRY.example.com:443/team/backend:v2", true},
        {"registry.example.com/team/backend", "registry.example.com:5000/team/backend:v1", false},
        {"registry.example.com/team/backend", "registry.example.com:4430/team/backend:v1", false},
        {"registry.example.com/team/backend", "registry.example.com/team/backend2", false},
        {"registry.example.com/team/backend", "registry.example.com/evil/team/backend", false},
        {"registry.example.com/team/backend", "registry.example.com.evil.org/team/backend", false},
        {"registry.example.com/team/backend", "team/backend:v1", false},
        {"registry.example.com/team/backend", "registry.example.com./team/backend:v1", false},
        {"docker.io/library/alpine", "docker.io/alpine", true},
        {"docker.io/library/alpine", "index.docker.io/alpine:3", true},
        {"docker.io/library/alpine", "registry-1.docker.io/library/alpine", true},
        {"docker.io/library/alpine", "registry-1.docker.io:443/alpine", true},
        {"docker.io/library/alpine", "docker.io/evil/alpine", false},
        {"file", "file", false},
        {"file", "oci-archive:file", false},
        {"x.example.com/a", "./x.example.com/a", false},
        {"x.example.com/a", "/x.example.com/a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK_INT(sb_provenance_has(cases[i].owner, cases[i].reference), cases[i].same))
            printf("    %s and %s\n", cases[i].owner, cases[i].reference);
}

int main(void) {
    char name[] = "/var/tmp/sb-unit-node.XXXXXX";
    directory = mkdtemp(name);
    sb_autofree char *units = sb_path_join(directory, "units");
    CHECK_INT(mkdir(units, 0755), 0);
    node = (struct sb_node){.store = open_store(), .units = units, .say = say};
    test_names();
    test_forget();
    test_generations();
    test_operation();
    test_current();
    test_lock();
    test_pins();
    test_prune();
    test_versions();
    sb_store_close(node.store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    test_owners();
    return test_done();
}
