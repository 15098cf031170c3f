/* builder/recall: what records said the last time, in one file. */
#include "builder/recall.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/tree.h"
#include "tests/unit/test.h"

static struct sb_store *store;

static void put_record(const struct sb_digest *key, const char *text) {
    struct sb_error err = {0};
    sb_autofree char *path = sb_format("records/%s", sb_digest_hex(key).text);
    CHECK_INT(sb_file_replace(sb_store_private_fd(store), path, text, strlen(text), 0644, &err), 0);
}

static struct sb_parts parts_of(const char *what) {
    struct sb_parts parts = {0};
    for (int i = 0; i < 2; i++) {
        struct sb_layer part = {.tar_size = 1024};
        sb_autofree char *name = sb_format("%s %d", what, i);
        part.descriptor = (struct sb_descriptor){.media_type = SB_MEDIA_LAYER_ZSTD,
                                                 .digest = sb_digest_of(name, strlen(name)),
                                                 .size = 100 + (uint64_t)i};
        part.diff_id = sb_digest_of(what, strlen(what));
        sb_parts_add(&parts, &part);
    }
    return parts;
}

/* How many it recalls of these. */
static int recalled(const char *name, const struct sb_digest *keys, const struct sb_parts *parts,
                    int count) {
    struct sb_recall *recall = sb_recall_open(store, name);
    int n = 0;
    for (int i = 0; i < count; i++) {
        const struct sb_parts *found = sb_recall_find(recall, &keys[i]);
        n += found && CHECK(sb_parts_equal(found, parts));
    }
    sb_recall_close(recall);
    return n;
}

static void damage(const char *path, size_t len) {
    struct sb_buf text = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_file_read(sb_store_private_fd(store), path, 1 << 20, &text, &err), 0);
    CHECK_INT(
        sb_file_write(sb_store_private_fd(store), path, text.data, text.len - len, 0600, &err), 0);
    sb_buf_free(&text);
}

int main(void) {
    char dir[] = "/var/tmp/sbuild-recall-XXXXXX";
    struct sb_error err = {0};
    struct sb_digest keys[3];
    if (!CHECK(mkdtemp(dir)) || !CHECK_INT(sb_store_open(dir, &store, &err), 0))
        return test_done();
    mkdirat(sb_store_private_fd(store), "records", 0755);
    struct sb_parts parts = parts_of("layer");
    sb_recall_close(NULL);
    CHECK(!sb_recall_find(NULL, &keys[0]));
    struct sb_recall *recall = sb_recall_open(store, "one");
    for (int i = 0; i < 3; i++) {
        keys[i] = sb_digest_of(&i, sizeof i);
        if (i < 2)
            put_record(&keys[i], "{}");
        sb_recall_put(recall, &keys[i], &parts); /* the third has no record, and is none */
    }
    sb_recall_close(recall);
    struct statx st;
    bool has_births = statx(sb_store_private_fd(store), "records", 0, STATX_BTIME, &st) == 0 &&
                      (st.stx_mask & STATX_BTIME);
    if (!has_births) { /* then it recalls nothing, and that is all */
        CHECK_INT(recalled("one", keys, &parts, 3), 0);
        return test_done();
    }
    CHECK_INT(recalled("one", keys, &parts, 3), 2);
    CHECK_INT(recalled("another", keys, &parts, 3), 0);
    put_record(&keys[0], "{}"); /* another file of the same name and size */
    CHECK_INT(recalled("one", keys, &parts, 3), 1);
    sb_autofree char *gone = sb_format("records/%s", sb_digest_hex(&keys[1]).text);
    sb_autofree char *kept = sb_format("%s.kept", gone);
    CHECK_INT(renameat(sb_store_private_fd(store), gone, sb_store_private_fd(store), kept), 0);
    CHECK_INT(recalled("one", keys, &parts, 3), 0);
    CHECK_INT(renameat(sb_store_private_fd(store), kept, sb_store_private_fd(store), gone), 0);
    CHECK_INT(recalled("one", keys, &parts, 3), 1);
    struct sb_digest name = sb_digest_of("one", 3);
    sb_autofree char *path = sb_format("recalled/%.32s", sb_digest_hex(&name).text);
    damage(path, 3); /* its end */
    CHECK_INT(recalled("one", keys, &parts, 3), 0);
    sb_parts_free(&parts);
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, dir, &err), 0);
    return test_done();
}
