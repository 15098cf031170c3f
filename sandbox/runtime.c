#include "sandbox/runtime.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"

#define MEMORY "runtime.json"

enum { MEMORY_VERSION = 1, MEMORY_LIMIT = 65536 };

/* {"version": 1, "boot": ID of this boot, "path": program, "device", "inode", "size", "mtime": of
 * it}. A new reference, or NULL when the program is not there. */
static json_t *describe(const struct sb_runtime *runtime) {
    struct stat st;
    sb_autobuf struct sb_buf boot = {0};
    if (stat(runtime->path, &st) < 0 ||
        sb_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &boot, NULL) < 0)
        return NULL;
    json_t *out = json_object();
    json_object_set_new(out, "version", json_integer(MEMORY_VERSION));
    json_object_set_new(out, "boot",
                        json_stringn(sb_buf_text(&boot), strcspn(sb_buf_text(&boot), "\n")));
    json_object_set_new(out, "path", sb_json_from_bytes(runtime->path));
    json_object_set_new(out, "device", json_integer((json_int_t)st.st_dev));
    json_object_set_new(out, "inode", json_integer((json_int_t)st.st_ino));
    json_object_set_new(out, "size", json_integer(st.st_size));
    json_object_set_new(
        out, "mtime",
        json_integer((json_int_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec));
    return out;
}

void sb_runtime_remember(struct sb_store *store, const struct sb_runtime *runtime) {
    sb_autojson json_t *memory = describe(runtime);
    sb_autobuf struct sb_buf text = {0};
    if (!memory)
        return;
    sb_json_write_pretty(memory, &text);
    sb_file_write(sb_store_private_fd(store), MEMORY, text.data, text.len, 0644, NULL);
}

static void add(struct sb_runtimes *out, const char *program) {
    char *path = sb_process_find(program);
    if (!path)
        return;
    const char *slash = strrchr(path, '/');
    out->v[out->n++] =
        (struct sb_runtime){.path = path, .crun = strstr(slash ? slash : path, "crun") != NULL};
}

/* Puts the one that worked before in front. */
static void recall(struct sb_store *store, struct sb_runtimes *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(sb_store_private_fd(store), MEMORY, MEMORY_LIMIT, &text, NULL) < 0)
        return;
    sb_autojson json_t *memory = sb_json_parse(sb_buf_text(&text), text.len, NULL);
    for (size_t i = 0; i < out->n && memory && !out->remembered; i++) {
        sb_autojson json_t *now = describe(&out->v[i]);
        if (!now || !json_equal(now, memory))
            continue;
        struct sb_runtime known = out->v[i];
        out->v[i] = out->v[0];
        out->v[0] = known;
        out->remembered = true;
    }
}

int sb_runtimes_find(struct sb_store *store, const struct sb_settings *settings,
                     struct sb_runtimes *out, struct sb_error *err) {
    *out = (struct sb_runtimes){0};
    const char *named = settings ? settings->runtime : NULL;
    if (named) {
        add(out, named);
        if (out->n)
            return 0;
        sb_fail(err, SB_E_NOT_FOUND, "the OCI runtime %s is not installed", named);
        return sb_error_hint(err, "it was named by runtime: in the settings, or by --runtime");
    }
    add(out, "crun");
    add(out, "runc");
    recall(store, out);
    if (out->n)
        return 0;
    sb_fail(err, SB_E_NOT_FOUND, "no OCI runtime is installed, and this layer runs programs");
    return sb_error_hint(err, "apt install crun (or runc)");
}

void sb_runtimes_free(struct sb_runtimes *runtimes) {
    for (size_t i = 0; i < runtimes->n; i++)
        free(runtimes->v[i].path);
    *runtimes = (struct sb_runtimes){0};
}
