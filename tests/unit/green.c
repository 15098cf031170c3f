/* Two units with one name: which is current, what operators add to them, who is connected to them.
 */
#include "deploy/node/green.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/ports.h"
#include "deploy/node/dropins.h"
#include "deploy/node/unitfiles.h"
#include "deploy/units.h"
#include "tests/unit/test.h"

static struct sb_error err;
static struct sb_node node;
static struct sb_node_service *service;
static int units;

static char *unit_text(const char *name, int generation, int port) {
    return sb_format("[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=multi-user.target\n\n"
                     "[X-Sbuild]\nName=%s\nGeneration=%d\nPort=%d\n",
                     name, generation, port);
}

static void put(const char *file, const char *name, int generation, int port) {
    sb_autofree char *text = unit_text(name, generation, port);
    CHECK_INT(sb_unitfiles_put(&node, file, text, &err), 0);
}

static void expect(const char *unit, int generation, int port, const char *colour) {
    struct sb_node_slot slot;
    CHECK_INT(sb_node_slot(service, &slot, &err), 0);
    CHECK_STR(slot.unit, unit);
    CHECK_INT(slot.generation, generation);
    CHECK_INT(slot.port, port);
    CHECK_STR(slot.colour, colour);
}

static void test_slots(void) {
    struct sb_node_slot slot;
    expect("app.service", 0, 0, NULL);
    put("app.service", "app", 3, 8000);
    expect("app.service", 3, 8000, NULL);
    put("app-green.service", "app", 4, 8001);
    expect("app.service", 3, 8000, NULL);
    CHECK_INT(sb_unitfiles_alias(service, "app-green.service", &err), 0);
    expect("app-green.service", 4, 8001, "green");
    CHECK(sb_path_exists(units, "multi-user.target.wants/app.service"));
    put("app-blue.service", "app", 5, 8000);
    expect("app-green.service", 4, 8001, "green");
    CHECK_INT(sb_node_slot_of(service, "blue", &slot, &err), 0);
    CHECK_INT(slot.generation, 5);
    /* As systemctl disable does; and then a process is killed before the switch to 5. */
    const struct sb_operation operation = {.kind = SB_OPERATION_INSTALL, .from = 4, .to = 5};
    CHECK_INT(sb_operation_save(service, &operation, &err), 0);
    CHECK_INT(unlinkat(units, "app.service", 0), 0);
    expect("app-green.service", 4, 8001, "green");
    CHECK_INT(sb_operation_clear(service, &err), 0);
    CHECK_INT(unlinkat(units, "app-blue.service", 0), 0);
    expect("app-green.service", 4, 8001, "green");
}

static void test_foreign(void) {
    struct sb_node_slot slot;
    put("app-blue.service", "app-blue", 1, 80); /* a service that has this very name */
    CHECK_INT(sb_node_slot_of(service, "blue", &slot, &err), -1);
    CHECK(strstr(err.message, "is not a unit that sbuild wrote") != NULL);
    CHECK_INT(sb_green_stop(service, "green", false, &err), 0);
    CHECK(sb_path_exists(units, "app-blue.service"));
    CHECK_INT(unlinkat(units, "app-blue.service", 0), 0);
}

/* A killed process left a symlink under the temporary name of a unit: what is written must not
 * go through it. */
static void test_temporary(void) {
    sb_autofree char *text = unit_text("app", 4, 8001);
    sb_autobuf struct sb_buf read = {0};
    CHECK_INT(symlinkat("app-green.service", units, ".sbuild-app.service"), 0);
    put("app.service", "app", 6, 8000);
    CHECK_INT(sb_file_read(units, "app-green.service", 4096, &read, &err), 0);
    CHECK_STR(sb_buf_text(&read), text);
    expect("app.service", 6, 8000, NULL);
}

static void test_dropins(void) {
    struct stat st;
    CHECK_INT(mkdirat(units, "app-green.service.d", 0755), 0);
    CHECK_INT(sb_file_write(units, "app-green.service.d/override.conf", "x", 1, 0644, &err), 0);
    CHECK_INT(sb_dropins_gather(service, "green", &err), 0);
    CHECK(sb_path_exists(units, "app.service.d/override.conf"));
    CHECK(!sb_path_exists(units, "app-green.service.d"));
    CHECK_INT(sb_dropins_lend(service, "blue", &err), 0);
    CHECK_INT(fstatat(units, "app-blue.service.d/override.conf", &st, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK(sb_path_exists(units, "app-blue.service.d/override.conf"));
    CHECK_INT(sb_dropins_lend(service, "blue", &err), 0);
    CHECK_INT(sb_dropins_gather(service, "blue", &err), 0);
    CHECK(sb_path_exists(units, "app-blue.service.d/override.conf"));
    CHECK_INT(sb_dropins_take_back(service, "blue", &err), 0);
    CHECK(!sb_path_exists(units, "app-blue.service.d"));
    CHECK(sb_path_exists(units, "app.service.d/override.conf"));
}

/* As tools that manage a machine's files leave them. */
static void test_linked_dropins(void) {
    CHECK_INT(symlinkat("/etc/passwd", units, "app.service.d/linked.conf"), 0);
    CHECK_INT(sb_dropins_lend(service, "blue", &err), 0);
    CHECK(sb_path_exists(units, "app-blue.service.d/linked.conf"));
    CHECK_INT(symlinkat("/etc/group", units, "app-blue.service.d/own.conf"), 0);
    CHECK_INT(sb_dropins_take_back(service, "blue", &err), 0);
    CHECK(!sb_path_exists(units, "app-blue.service.d/linked.conf"));
    CHECK(sb_path_exists(units, "app-blue.service.d/own.conf"));
    CHECK_INT(sb_dropins_gather(service, "blue", &err), 0);
    CHECK(!sb_path_exists(units, "app-blue.service.d"));
    CHECK(sb_path_exists(units, "app.service.d/own.conf"));
    CHECK_INT(unlinkat(units, "app.service.d/own.conf", 0), 0);
    CHECK_INT(unlinkat(units, "app.service.d/linked.conf", 0), 0);
}

static void test_connections(void) {
    static char table[] =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
        "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000\n"
        "   1: 0100007F:1F40 0100007F:D5A2 01 00000000:00000000 00:00000000 00000000  1000\n"
        "   2: 0100007F:D5A2 0100007F:1F40 01 00000000:00000000 00:00000000 00000000     0\n"
        "   3: 0100007F:1F40 0100007F:D5A4 06 00000000:00000000 03:000003A4 00000000     0\n"
        "  14: 0000000000000000FFFF00000100007F:1F40 0000000000000000FFFF00000100007F:D5A6 08 0\n"
        "   5: 0100007F:1F41 0100007F:D5A8 01 00000000:00000000 00:00000000 00000000  1000\n"
        "   6: damaged\n";
    static const struct {
        uint16_t port;
        unsigned connections;
        bool listens;
    } cases[] = {{8000, 2, true}, {8001, 1, false}, {0xD5A2, 1, false}, {80, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_port_use use = {0};
        FILE *file = fmemopen(table, sizeof table - 1, "r");
        if (!CHECK(file != NULL))
            return;
        sb_port_use_read(file, cases[i].port, &use);
        CHECK_INT(use.connections, cases[i].connections);
        CHECK_INT(use.listens, cases[i].listens);
        fclose(file);
    }
}

int main(void) {
    char directory[] = "/var/tmp/sb-unit-green.XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    sb_autofree char *of_units = sb_path_join(directory, "units");
    sb_autofree char *of_store = sb_path_join(directory, "store");
    CHECK_INT(mkdir(of_units, 0755), 0);
    node.units = of_units;
    units = open(of_units, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!CHECK(sb_store_open(of_store, &node.store, &err) == 0) ||
        !CHECK(sb_node_service_open(&node, "app", &service, &err) == 0)) {
        printf("%s\n", err.message);
        return test_done();
    }
    test_slots();
    test_foreign();
    test_temporary();
    test_dropins();
    test_linked_dropins();
    test_connections();
    sb_node_service_close(service);
    sb_store_close(node.store);
    close(units);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
