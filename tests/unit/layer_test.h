/*
 * tests/unit/layer_test: what the tests of layers share: a store of their own that is removed at
 * the end, and the tar inside a blob.
 */
#ifndef SB_TESTS_UNIT_LAYER_TEST_H
#define SB_TESTS_UNIT_LAYER_TEST_H

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/pack.h"
#include "layers/store.h"
#include "tests/unit/test.h"

struct layer_test {
    char dir[64]; /* a scratch directory; the store is in it */
    struct sb_store *store;
};

static inline void layer_test_die(const char *what, const struct sb_error *err) {
    printf("%s: %s\n", what, err->message);
    exit(1);
}

static inline struct layer_test layer_test_start(void) {
    struct layer_test t = {.dir = "/var/tmp/sbuild-test-XXXXXX"};
    struct sb_error err = {0};
    if (!mkdtemp(t.dir))
        layer_test_die(t.dir, &err);
    sb_autofree char *path = sb_format("%s/store", t.dir);
    if (sb_store_open(path, &t.store, &err) < 0)
        layer_test_die("opening a store", &err);
    return t;
}

static inline void layer_test_end(struct layer_test *t) {
    struct sb_error err = {0};
    sb_store_close(t->store);
    if (sb_tree_remove(AT_FDCWD, t->dir, &err) < 0)
        layer_test_die("removing the scratch directory", &err);
}

/* Runs a shell command; its output, with its exit status in front when that is not 0. */
static inline char *layer_test_shell(const char *command) {
    const char *argv[] = {"sh", "-c", command, NULL};
    struct sb_error err = {0};
    struct sb_buf out = {0};
    int status = sb_process_capture(argv, NULL, 16u << 20, &out, NULL, &err);
    if (status == 0)
        return sb_buf_steal(&out);
    char *text = sb_format("(status %d) %s", status, sb_buf_text(&out));
    sb_buf_free(&out);
    return text;
}

static inline char *layer_test_blob_path(struct layer_test *t, const struct sb_layer *layer) {
    sb_autofree char *relative = sb_blob_path(&layer->descriptor.digest);
    return sb_path_join(sb_store_path(t->store), relative);
}

/* Unpacks a layer's tar to DIR/NAME with the tools that others have, and compares digests and
 * sizes; the path is the caller's to free. */
static inline char *layer_test_tar(struct layer_test *t, const struct sb_layer *layer,
                                   const char *name) {
    sb_autofree char *blob = layer_test_blob_path(t, layer);
    char *tar = sb_format("%s/%s", t->dir, name);
    const char *tool = strstr(layer->descriptor.media_type, "zstd")   ? "zstd -dc"
                       : strstr(layer->descriptor.media_type, "gzip") ? "gzip -dc"
                                                                      : "cat";
    sb_autofree char *command = sb_format(
        "%s <%s >%s && sha256sum <%s | cut -c1-64 | tr -d '\\n' && stat -c ' %%s' %s | tr -d '\\n'"
        " && sha256sum <%s | cut -c1-64 | tr -d '\\n'",
        tool, blob, tar, tar, tar, blob);
    sb_autofree char *said = layer_test_shell(command);
    sb_autofree char *expected = sb_format("%s %llu%s", sb_digest_hex(&layer->diff_id).text,
                                           (unsigned long long)layer->tar_size,
                                           sb_digest_hex(&layer->descriptor.digest).text);
    CHECK_STR(said, expected);
    return tar;
}

#endif
