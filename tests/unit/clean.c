/* What is removed from what a layer wrote, and what stays. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "sandbox/root_private.h"
#include "tests/unit/test.h"

static char *upper;

static void put(const char *path, const char *text, size_t len) {
    sb_autofree char *whole = sb_path_join(upper, path);
    sb_autofree char *parent = sb_path_dirname(whole);
    struct sb_error err = {0};
    CHECK(sb_directory_make(AT_FDCWD, parent, 0755, &err) == 0);
    CHECK(sb_file_write(AT_FDCWD, whole, text, len, 0644, &err) == 0);
}

static bool there(const char *path) {
    sb_autofree char *whole = sb_path_join(upper, path);
    return sb_path_exists(AT_FDCWD, whole);
}

static void check_each(const char *const *paths, bool stays) {
    for (; *paths; paths++)
        if (!CHECK(there(*paths) == stays))
            printf("    %s\n", *paths);
}

int main(void) {
    static const char *const traces[] = {"var/log/dpkg.log",
                                         "var/log/apt/history.log",
                                         "var/lib/apt/lists/partial/x",
                                         "var/cache/apt/pkgcache.bin",
                                         "var/cache/ldconfig/aux-cache",
                                         "var/lib/dpkg/status-old",
                                         "etc/shadow-",
                                         "var/lib/ucf/hashfile.0",
                                         "var/lib/dbus/machine-id",
                                         "root/.wget-hsts",
                                         "root/.cache/pip/http/x",
                                         "root/.npm/_cacache/x",
                                         "home/u/.cache/uv/x",
                                         "home/u/.cache/pypoetry/cache/x",
                                         "home/u/.config/go/telemetry/x",
                                         "home/u/.python_history",
                                         "home/u/.cargo/.global-cache",
                                         "opt/cache/pip/x",
                                         "opt/cargo/.package-cache",
                                         "tmp/.cache/pip/x",
                                         "etc/ssh/ssh_host_rsa_key",
                                         "etc/ssh/ssh_host_rsa_key.pub",
                                         "tmp/pip-build-x/setup.py",
                                         "usr/lib/x/__pycache__/timed.cpython-311.pyc",
                                         NULL};
    static const char *const kept[] = {"var/log/mine.log",
                                       "var/lib/dpkg/status",
                                       "etc/shadow",
                                       "etc/ssh/sshd_config",
                                       "var/lib/ucf/hashfile",
                                       "root/.bashrc",
                                       "root/.npm/mine",
                                       "home/u/.cache/huggingface/hub/model",
                                       "home/u/.cache/pypoetry/virtualenvs/x",
                                       "home/u/.cargo/registry/x",
                                       "home/other/.cache/pip/x",
                                       "opt/cache/torch/x",
                                       "tmp/mine",
                                       "run/mine",
                                       "usr/lib/x/__pycache__/hashed.cpython-311.pyc",
                                       "usr/lib/x/alone.pyc",
                                       NULL};
    static const char timed[16] = {'\xa7', '\r', '\r', '\n', 0};
    static const char hashed[16] = {'\xa7', '\r', '\r', '\n', 3};
    char directory[] = "/var/tmp/sb-clean-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    upper = sb_path_join(directory, "upper");
    for (size_t i = 0; traces[i]; i++)
        put(traces[i], timed, sizeof timed);
    for (size_t i = 0; kept[i]; i++)
        put(kept[i], hashed, sizeof hashed);
    put("usr/lib/x/alone.pyc", timed, sizeof timed); /* a module without source */
    put("etc/machine-id", "0123456789abcdef\n", 17);
    /* A link out of the layer is not followed. */
    put("../outside/history.log", "x", 1);
    sb_autofree char *link = sb_path_join(upper, "var/cache/man");
    CHECK(symlink("../../../outside", link) == 0);
    sb_autofree char *whiteout = sb_path_join(upper, "etc/passwd-");
    bool can_mknod = mknod(whiteout, S_IFCHR, makedev(0, 0)) == 0;

    struct sb_root root = {.upper = upper};
    sb_root_note(&root, SB_ROOT_HOME, "/home/u");
    sb_root_note(&root, SB_ROOT_HOME, "/home/u");
    sb_root_note(&root, SB_ROOT_HOME, "/tmp");
    sb_root_note(&root, SB_ROOT_HOME, "/nowhere/at/all");
    sb_root_note(&root, SB_ROOT_CACHE, "/opt/cache");
    sb_root_note(&root, SB_ROOT_CARGO, "/opt/cargo");
    CHECK_INT(root.homes.n, 3);
    struct sb_error err = {0};
    CHECK_INT(sb_root_clean(&root, &err), 0);
    CHECK_STR(err.message, "");
    check_each(traces, false);
    check_each(kept, true);
    CHECK(there("../outside/history.log"));
    /* Directories that held nothing else. */
    CHECK(!there("tmp/.cache") && !there("home/u/.config") && !there("root/.cache"));
    CHECK(there("root/.npm") && there("opt/cache") && there("opt/cargo"));
    CHECK(!can_mknod || there("etc/passwd-"));
    struct stat st;
    sb_autofree char *id = sb_path_join(upper, "etc/machine-id");
    CHECK(stat(id, &st) == 0 && st.st_size == 0);
    /* Nothing left to do, and nothing there at all. */
    CHECK_INT(sb_root_clean(&root, &err), 0);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    sb_strings_free(&root.homes);
    sb_strings_free(&root.caches);
    sb_strings_free(&root.cargos);
    free(upper);
    return test_done();
}
