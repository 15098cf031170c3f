/* deploy/host/native: what a config says, and what programs are; scripts by what runs them. */
#include "deploy/host/native.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/tree.h"
#include "tests/unit/test.h"

static char root[] = "/var/tmp/sb-native-XXXXXX";
static int root_fd;

static const char *other(void) {
    return strcmp(sb_platform_architecture(), "arm64") != 0 ? "arm64" : "amd64";
}

static void put(const char *path, const void *data, size_t n) {
    struct sb_error err = {0};
    sb_autofree char *parent = sb_path_dirname(path);
    CHECK_INT(sb_directory_make(root_fd, parent, 0755, &err), 0);
    CHECK_INT(sb_file_write(root_fd, path, data, n, 0755, &err), 0);
}

/* The head of a program for a processor. */
static void put_program(const char *path, int machine, int bits, bool big) {
    unsigned char head[64] = {0x7f, 'E', 'L', 'F', bits == 64 ? 2 : 1, big ? 2 : 1, 1};
    head[big ? 19 : 18] = (unsigned char)machine;
    head[big ? 18 : 19] = (unsigned char)(machine >> 8);
    put(path, head, sizeof head);
}

static void put_script(const char *path, const char *first) {
    sb_autofree char *text = sb_format("%s\necho hello\n", first);
    put(path, text, strlen(text));
}

static int check(const char *program, const char *accepted, struct sb_error *err) {
    const struct sb_native_program p = {root_fd, program, "/usr/bin:/bin", "/app"};
    sb_autoplatform struct sb_platform platform = {0};
    *err = (struct sb_error){0};
    if (accepted)
        CHECK_INT(sb_platform_parse(accepted, &platform, err), 0);
    return sb_native_check_program(&p, accepted ? &platform : NULL, err);
}

static void test_programs(void) {
    static const struct {
        const char *architecture;
        int machine, bits;
        bool big;
    } kinds[] = {
        {"amd64", 62, 64, false}, {"arm64", 183, 64, false},   {"arm", 40, 32, false},
        {"386", 3, 32, false},    {"riscv64", 243, 64, false}, {"ppc64le", 21, 64, false},
        {"s390x", 22, 64, true},  {"loong64", 258, 64, false},
    };
    const char *own = sb_platform_architecture();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *name = kinds[i].architecture;
        bool runs = !strcmp(name, own) || (!strcmp(name, "386") && !strcmp(own, "amd64"));
        sb_autofree char *says = sb_format("its program \"/bin/%s\" is made for linux/%s, and this "
                                           "host is linux/%s",
                                           name, name, own);
        sb_autofree char *path = sb_format("bin/%s", name), *program = sb_format("/bin/%s", name);
        sb_autofree char *wanted = sb_format("linux/%s", name);
        struct sb_error err;
        put_program(path, kinds[i].machine, kinds[i].bits, kinds[i].big);
        CHECK_INT(check(program, NULL, &err), runs ? 0 : -1);
        CHECK_STR(err.message, runs ? "" : says);
        CHECK_INT(check(program, wanted, &err), 0);
    }
}

static void test_scripts(void) {
    struct sb_error err;
    sb_autofree char *direct = sb_format("#!/bin/%s -e", other());
    sb_autofree char *blank = sb_format("#! \t/bin/%s", other());
    sb_autofree char *by_env = sb_format("#!/usr/bin/env %s", other());
    sb_autofree char *words = sb_format("#!/usr/bin/env -S A=b %s -x", other());
    sb_autofree char *own = sb_format("#!/bin/%s", sb_platform_architecture());
    const char *const refused[] = {direct, blank, by_env, words};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        put_script("app/run", refused[i]);
        if (!CHECK_INT(check("/app/run", NULL, &err), -1) ||
            !CHECK_INT(check("run", NULL, &err), -1) ||
            !CHECK(strstr(err.message, other()) != NULL))
            printf("    %s\n", refused[i]);
    }
    put_script("app/first", "#!/app/second");
    put_script("app/second", direct);
    CHECK_INT(check("/app/first", NULL, &err), -1);
    const char *const passed[] = {own,
                                  "#!/bin/not-there",
                                  "#!/usr/bin/env not-there",
                                  "#!",
                                  "#!/app/run",
                                  "#!/usr/bin/env",
                                  "no script",
                                  ""};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        put_script("app/run", passed[i]);
        if (!CHECK_INT(check("/app/run", NULL, &err), 0))
            printf("    %s: %s\n", passed[i], err.message);
    }
}

/* Links stay in the root; what is no file is not opened for long. */
static void test_odd(void) {
    struct sb_error err;
    sb_autofree char *target = sb_format("/../../bin/%s", other());
    CHECK_INT(symlinkat(target, root_fd, "app/link"), 0);
    CHECK_INT(check("/app/link", NULL, &err), -1);
    CHECK_INT(mkfifoat(root_fd, "app/fifo", 0755), 0);
    CHECK_INT(check("/app/fifo", NULL, &err), 0);
    CHECK_INT(check("/app", NULL, &err), 0);
    CHECK_INT(check("/nowhere", NULL, &err), 0);
    put("app/short",
        "\x7f"
        "ELF",
        4);
    CHECK_INT(check("/app/short", NULL, &err), 0);
}

static void test_config(void) {
    struct sb_error err = {0};
    sb_autofree char *text = sb_format("linux/%s", other());
    sb_autoplatform struct sb_platform accepted;
    CHECK_INT(sb_platform_parse(text, &accepted, &err), 0);
    sb_autojson json_t *own =
        json_pack("{s:s, s:s}", "os", "linux", "architecture", sb_platform_architecture());
    sb_autojson json_t *foreign = json_pack("{s:s, s:s}", "os", "linux", "architecture", other());
    sb_autojson json_t *silent = json_object();
    CHECK_INT(sb_native_check_config(own, NULL, &err), 0);
    CHECK_INT(sb_native_check_config(silent, NULL, &err), 0);
    CHECK_INT(sb_native_check_config(foreign, &accepted, &err), 0);
    CHECK_INT(sb_native_check_config(foreign, NULL, &err), -1);
    CHECK(strstr(err.message, "it is made for linux/") && strstr(err.hint, "--platform"));
}

int main(void) {
    struct sb_error err = {0};
    if (!mkdtemp(root) || (root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        perror(root);
        return 1;
    }
    test_programs();
    test_scripts();
    test_odd();
    test_config();
    close(root_fd);
    CHECK_INT(sb_tree_remove(AT_FDCWD, root, &err), 0);
    return test_done();
}
