/* The collector: what it takes, in which order, and what it leaves to live processes. */
#include "layers/collect.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/image.h"
#include "tests/unit/test.h"

static char *directory;
static struct sb_error err;

static struct sb_store *open_store(const char *name) {
    sb_autofree char *path = sb_path_join(directory, name);
    struct sb_store *store;
    if (!CHECK(sb_store_open(path, &store, &err) == 0)) {
        printf("%s\n", err.message);
        exit(1);
    }
    return store;
}

/* Items of 40 kB, last used so many seconds after 2001. */
enum { SIZE = 40000 };

static void set_use(struct sb_store *store, const char *path, int seconds) {
    struct timespec times[2] = {{.tv_sec = 1000000000 + seconds}, {.tv_sec = 1000000000 + seconds}};
    CHECK_INT(utimensat(sb_store_fd(store), path, times, 0), 0);
}

static struct sb_digest put(struct sb_store *store, const char *text, size_t len) {
    struct sb_digest digest;
    CHECK_INT(sb_blob_put(store, text, len, &digest, &err), 0);
    return digest;
}

static struct sb_layer put_layer(struct sb_store *store, const char *content, int use) {
    sb_autofree char *text = sb_alloc(SIZE);
    memcpy(text, content, strlen(content));
    struct sb_layer layer = {.diff_id = sb_digest_of(content, strlen(content)),
                             .descriptor = {.media_type = SB_MEDIA_LAYER_TAR, .size = SIZE}};
    layer.descriptor.digest = put(store, text, SIZE);
    sb_autofree char *path = sb_blob_path(&layer.descriptor.digest);
    set_use(store, path, use);
    return layer;
}

static void write_file(struct sb_store *store, const char *path, const char *text, int use) {
    sb_autofree char *parent = sb_path_dirname(path);
    CHECK_INT(sb_directory_make(sb_store_fd(store), parent, 0755, &err), 0);
    CHECK_INT(sb_file_write(sb_store_fd(store), path, text, strlen(text), 0644, &err), 0);
    set_use(store, path, use);
}

static void make_directory(struct sb_store *store, const char *path, int use) {
    sb_autofree char *data = sb_alloc(SIZE), *file = sb_format("%s/usr/file", path);
    memset(data, 'x', SIZE - 1);
    write_file(store, file, data, use);
    set_use(store, path, use);
}

static char *tree_path(const struct sb_layer *layer) {
    return sb_format("sbuild/trees/%s", sb_digest_hex(&layer->diff_id).text);
}

static void put_tree(struct sb_store *store, const struct sb_layer *layer, int use) {
    sb_autofree char *tree = tree_path(layer);
    sb_autofree char *contents =
        sb_format("sbuild/contents/%s", sb_digest_hex(&layer->diff_id).text);
    make_directory(store, tree, use);
    write_file(store, contents, "contents", use);
}

static char *listing_path(const char *record) {
    struct sb_digest key = sb_digest_of(record, strlen(record));
    return sb_format("sbuild/listings/%s", sb_digest_hex(&key).text);
}

static bool has(struct sb_store *store, const char *path) {
    return sb_path_exists(sb_store_fd(store), path);
}

static bool has_listing(struct sb_store *store, const char *record) {
    sb_autofree char *path = listing_path(record);
    return has(store, path);
}

/* Its key is the hash of the name, and so is the digest of its listing. Without a count it is one
 * of version 1, of one layer. */
static char *put_record_of(struct sb_store *store, const char *name, const struct sb_layer *parts,
                           size_t count, int use) {
    struct sb_digest key = sb_digest_of(name, strlen(name));
    char *path = sb_format("sbuild/records/%s", sb_digest_hex(&key).text);
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text, "{\"key\":{\"content\":\"%s\"},%s", sb_digest_text(&key).text,
                count ? "\"parts\":[" : "\"layer\":");
    for (size_t i = 0; i < (count ? count : 1); i++)
        sb_buf_addf(&text, "%s{\"digest\":\"%s\",\"diff_id\":\"%s\",\"size\":%d}", i ? "," : "",
                    sb_digest_text(&parts[i].descriptor.digest).text,
                    sb_digest_text(&parts[i].diff_id).text, SIZE);
    sb_buf_adds(&text, count ? "]}" : "}");
    write_file(store, path, text.data, use);
    sb_autofree char *listing = listing_path(name);
    write_file(store, listing, "a\nb\n", use);
    return path;
}

static char *put_record(struct sb_store *store, const char *name, const struct sb_layer *layer,
                        int use) {
    return put_record_of(store, name, layer, 0, use);
}

static struct sb_descriptor put_image(struct sb_store *store, const char *name,
                                      const struct sb_layer *layers, size_t n, int use) {
    struct sb_image image;
    sb_image_init(&image, sb_platform_architecture(), NULL);
    json_object_set_new(image.config, "author", json_string(name));
    for (size_t i = 0; i < n; i++)
        sb_image_add_layer(&image, &layers[i], NULL, NULL);
    CHECK_INT(sb_image_save(store, &image, 0, &err), 0);
    struct sb_descriptor d = image.descriptor;
    sb_autofree char *config = sb_blob_path(&image.config_descriptor.digest),
                     *manifest = sb_blob_path(&d.digest);
    sb_image_free(&image);
    sb_autostrings struct sb_strings names = {0};
    sb_strings_add(&names, name);
    CHECK_INT(sb_store_tag(store, &names, &d, &err), 0);
    set_use(store, config, use);
    set_use(store, manifest, use);
    return d;
}

static bool has_blob(struct sb_store *store, const struct sb_layer *layer) {
    sb_autofree char *path = sb_blob_path(&layer->descriptor.digest);
    return has(store, path);
}

static bool has_tree(struct sb_store *store, const struct sb_layer *layer) {
    sb_autofree char *path = tree_path(layer);
    return has(store, path);
}

static struct sb_collect_report collect(struct sb_store *store,
                                        const struct sb_collect_options *options) {
    struct sb_collect_report report;
    if (!CHECK(sb_store_collect(store, options, &report, &err) == 0))
        printf("%s\n", err.message);
    return report;
}

/* Bytes as du counts them. */
static uint64_t disk_usage(struct sb_store *store) {
    const char *const argv[] = {"du", "-s", "--block-size=1", sb_store_path(store), NULL};
    sb_autobuf struct sb_buf out = {0};
    CHECK_INT(sb_process_capture(argv, NULL, 4096, &out, NULL, &err), 0);
    return strtoull(sb_buf_text(&out), NULL, 10);
}

/* ---- without options: only what nothing needs ---- */

static void test_stale(void) {
    struct sb_store *store = open_store("stale");
    struct sb_layer tagged = put_layer(store, "tagged", 1), cached = put_layer(store, "cached", 2),
                    loose = put_layer(store, "loose", 3), lost = put_layer(store, "lost", 4);
    put_image(store, "a:v1", &tagged, 1, 5);
    put_tree(store, &tagged, 1);
    put_tree(store, &cached, 1);
    put_tree(store, &loose, 1);
    sb_autofree char *good = put_record(store, "good", &cached, 1);
    sb_autofree char *bad = put_record(store, "bad", &lost, 1);
    sb_autofree char *path = sb_blob_path(&lost.descriptor.digest);
    CHECK_INT(unlinkat(sb_store_fd(store), path, 0), 0);
    sb_autofree char *broken = put_record(store, "broken", &loose, 1);
    write_file(store, broken, "{", 1);
    make_directory(store, "sbuild/caches/pip", 1);
    CHECK_INT(linkat(sb_store_fd(store), "sbuild/caches/pip/usr/file", sb_store_fd(store),
                     "sbuild/caches/pip/link", 0),
              0);
    write_file(store, "sbuild/logs/1.log", "log", 1);
    write_file(store, "sbuild/records/.tmp-1", "half", 1);
    write_file(store, "sbuild/last/.tmp-3", "half", 1);
    write_file(store, "sbuild/last/0123", "a record", 1);
    write_file(store, "sbuild/stat/0123", "stats", 1);
    write_file(store, ".tmp-2", "half", 1);
    make_directory(store, "sbuild/tmp/4-dead", 1);
    write_file(store, "sbuild/keys/k", "", 1);
    write_file(store, "sbuild/local-key", "secret", 1);
    write_file(store, "blobs/sha256/README", "not ours", 1);

    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.dry_run = true;
    uint64_t before = disk_usage(store);
    struct sb_collect_report report = collect(store, &options);
    uint64_t would = report.freed;
    CHECK(report.freed > 2 * SIZE && disk_usage(store) == before);
    CHECK(has_blob(store, &loose));
    options.dry_run = false;
    report = collect(store, &options);
    CHECK_INT(report.freed, would);
    CHECK_INT(report.removed[SB_ITEM_BLOB].count, 1);
    CHECK_INT(report.removed[SB_ITEM_TREE].count, 1);
    CHECK_INT(report.removed[SB_ITEM_CONTENTS].count, 1);
    CHECK_INT(report.removed[SB_ITEM_RECORD].count, 2);
    CHECK_INT(report.removed[SB_ITEM_TEMPORARY].count, 4);
    CHECK_INT(report.removed[SB_ITEM_LISTING].count, 2);
    CHECK(has_listing(store, "good") && !has_listing(store, "bad"));
    CHECK(has(store, "sbuild/last/0123") && has(store, "sbuild/stat/0123"));
    CHECK_INT(report.removed[SB_ITEM_CACHE].count, 0);
    CHECK_INT(report.tags.n, 0);
    CHECK(has_blob(store, &tagged) && has_blob(store, &cached) && !has_blob(store, &loose));
    CHECK(has_tree(store, &tagged) && has_tree(store, &cached) && !has_tree(store, &loose));
    CHECK(has(store, good) && !has(store, bad) && !has(store, broken));
    CHECK(has(store, "sbuild/caches/pip/usr/file") && has(store, "sbuild/logs/1.log"));
    CHECK(!has(store, "sbuild/records/.tmp-1") && !has(store, ".tmp-2"));
    CHECK(!has(store, "sbuild/tmp/4-dead") && !has(store, "sbuild/keys/k"));
    CHECK(has(store, "sbuild/local-key") && has(store, "blobs/sha256/README"));

    struct sb_store_usage usage;
    CHECK_INT(sb_store_usage(store, &usage, &err), 0);
    CHECK_INT(usage.kinds[SB_ITEM_BLOB].count, 4);
    CHECK_INT(usage.kinds[SB_ITEM_TREE].count, 2);
    CHECK_INT(usage.kinds[SB_ITEM_RECORD].count, 1);
    sb_store_close(store);
    store = open_store("stale"); /* without a tmp of its own */
    CHECK_INT(sb_store_usage(store, &usage, &err), 0);
    CHECK_INT(usage.total, disk_usage(store));
    CHECK_INT(usage.total, report.left);
    sb_store_close(store);
}

/* ---- a cap, and its order ---- */

static struct sb_layer layers[4];
static char *records[2];

/* a:v1 has layers 0 and 1, b:v1 and b:latest 0 and 2; layer 3 is known to a record alone. */
static struct sb_store *make_full(const char *name) {
    struct sb_store *store = open_store(name);
    static const char *const contents[] = {"zero", "one", "two", "three"};
    for (int i = 0; i < 4; i++) {
        layers[i] = put_layer(store, contents[i], i);
        put_tree(store, &layers[i], 100 - i);
    }
    struct sb_layer pair[2] = {layers[0], layers[2]};
    put_image(store, "a:v1", layers, 2, 50);
    put_image(store, "b:v1", pair, 2, 60);
    struct sb_descriptor b;
    sb_autostrings struct sb_strings latest = {0};
    sb_strings_add(&latest, "b:latest");
    CHECK_INT(sb_store_resolve(store, "b:v1", &b, &err), 0);
    CHECK_INT(sb_store_tag(store, &latest, &b, &err), 0);
    sb_autofree char *manifest = sb_blob_path(&b.digest);
    set_use(store, manifest, 60);
    records[0] = put_record(store, "r0", &layers[0], 10);
    records[1] = put_record(store, "r3", &layers[3], 20);
    make_directory(store, "sbuild/caches/pip", 30);
    write_file(store, "sbuild/logs/1.log", "log", 1);
    write_file(store, "sbuild/stat/0123", "stats", 1);
    return store;
}

static void end_full(struct sb_store *store) {
    sb_store_close(store);
    free(records[0]);
    free(records[1]);
}

static uint64_t total(struct sb_store *store) {
    struct sb_store_usage usage;
    CHECK_INT(sb_store_usage(store, &usage, &err), 0);
    return usage.total;
}

/* What an installation takes back: of what nobody needs, nothing but its own. */
static void test_only(void) {
    struct sb_store *store = open_store("only");
    struct sb_layer tagged = put_layer(store, "tagged", 1), mine = put_layer(store, "mine", 1),
                    other = put_layer(store, "other", 1);
    put_image(store, "a:v1", &tagged, 1, 5);
    put_tree(store, &mine, 1);
    put_tree(store, &other, 1);
    write_file(store, "sbuild/keys/mine", "", 1); /* a lock that it holds itself */
    sb_autostrings struct sb_strings only = {0};
    sb_strings_take(&only, tree_path(&mine));
    sb_strings_take(&only, sb_blob_path(&mine.descriptor.digest));
    sb_strings_take(&only, sb_blob_path(&tagged.descriptor.digest));
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.only = &only;
    struct sb_collect_report report = collect(store, &options);
    CHECK(report.freed > 2 * SIZE);
    sb_collect_report_free(&report);
    CHECK(!has_blob(store, &mine) && !has_tree(store, &mine) && has_blob(store, &tagged));
    CHECK(has_blob(store, &other) && has_tree(store, &other) && has(store, "sbuild/keys/mine"));
    sb_store_close(store);
}

/* A record of two parts keeps both and their trees, as long as both are there. */
static void test_parts(void) {
    struct sb_store *store = open_store("parts");
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_layer both[2] = {put_layer(store, "lower", 1), put_layer(store, "upper", 2)};
    struct sb_layer half[2] = {put_layer(store, "here", 3), put_layer(store, "gone", 4)};
    sb_autofree char *gone = sb_blob_path(&half[1].descriptor.digest);
    put_tree(store, &both[1], 1);
    CHECK_INT(unlinkat(sb_store_fd(store), gone, 0), 0);
    free(put_record_of(store, "both", both, 2, 10));
    free(put_record_of(store, "half", half, 2, 10));
    struct sb_collect_report report = collect(store, &options);
    CHECK(has_blob(store, &both[0]) && has_blob(store, &both[1]) && has_tree(store, &both[1]));
    CHECK(!has_blob(store, &half[0]));
    sb_collect_report_free(&report);
    sb_store_close(store);
}

static void test_cap(void) {
    struct sb_store *store = make_full("cap");
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.max_size = total(store) - 2 * SIZE; /* two trees, the longest unused */
    struct sb_collect_report report = collect(store, &options);
    CHECK(report.left <= options.max_size && disk_usage(store) <= options.max_size + 8192);
    CHECK_INT(report.removed[SB_ITEM_TREE].count, 2);
    CHECK(!has_tree(store, &layers[3]) && !has_tree(store, &layers[2]));
    CHECK(has_tree(store, &layers[1]) && has_tree(store, &layers[0]));
    CHECK(has(store, "sbuild/caches/pip"));

    options.max_size = report.left - 3 * SIZE; /* both trees and the cache directory */
    report = collect(store, &options);
    CHECK(!has_tree(store, &layers[0]) && !has(store, "sbuild/caches/pip"));
    CHECK(has(store, records[0]) && has(store, records[1]));

    /* A record and the blob that nothing else needs; not the one whose blob an image has. */
    options.max_size = report.left - SIZE;
    report = collect(store, &options);
    CHECK(has(store, records[0]) && !has(store, records[1]) && !has_blob(store, &layers[3]));
    CHECK(has(store, "sbuild/logs/1.log") && has_blob(store, &layers[0]));
    CHECK(has_listing(store, "r0") && !has_listing(store, "r3"));
    CHECK_INT(report.tags.n, 0);

    options.max_size = report.left - SIZE;
    options.keep_tagged = true;
    report = collect(store, &options);
    CHECK(!has(store, "sbuild/logs/1.log") && !has(store, "sbuild/stat/0123"));
    CHECK(report.tags.n == 0 && report.left > options.max_size && report.held == 0);

    options.keep_tagged = false; /* the older image; what the newer shares with it stays */
    report = collect(store, &options);
    CHECK_INT(report.tags.n, 1);
    CHECK_STR(report.tags.v[0], "a:v1");
    sb_collect_report_free(&report);
    CHECK(has_blob(store, &layers[0]) && !has_blob(store, &layers[1]));
    CHECK(has_blob(store, &layers[2]));

    options.max_size = 0;
    report = collect(store, &options);
    CHECK_INT(report.tags.n, 2);
    CHECK_STR(report.tags.v[0], "b:latest");
    sb_collect_report_free(&report);
    struct sb_tagged_list tags;
    CHECK_INT(sb_store_tags(store, &tags, &err), 0);
    CHECK_INT(tags.n, 0);
    struct sb_store_usage usage;
    CHECK_INT(sb_store_usage(store, &usage, &err), 0);
    CHECK_INT(usage.total - usage.kinds[SB_ITEM_OTHER].bytes - usage.kinds[SB_ITEM_TEMPORARY].bytes,
              0);
    end_full(store);
}

static void test_older_than(void) {
    struct sb_store *store = make_full("older");
    CHECK_INT(sb_store_use(store, "sbuild/caches/pip", &err), 0);
    CHECK_INT(sb_store_use(store, records[1], &err), 0);
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.older_than = 3600;
    struct sb_collect_report report = collect(store, &options);
    CHECK_INT(report.removed[SB_ITEM_TREE].count, 4);
    CHECK_INT(report.removed[SB_ITEM_RECORD].count, 0); /* one was used, an image has the other's */
    CHECK_INT(report.removed[SB_ITEM_LOG].count, 1);
    CHECK_INT(report.tags.n, 0);
    CHECK(has(store, "sbuild/caches/pip") && has(store, records[1]) && has(store, records[0]));
    for (int i = 0; i < 4; i++)
        CHECK(has_blob(store, &layers[i]));
    end_full(store);
}

/* Of each name the last ones, however many tags they have. */
static void test_keep_images(void) {
    struct sb_store *store = open_store("keep");
    const char *const names[] = {"a:v1",
                                 "a:v2",
                                 "a:v3",
                                 "a:bundle-v1",
                                 "b:v1",
                                 "host:5000/team/a:v1",
                                 "host:5000/team/a:v2"};
    struct sb_layer all[7];
    struct sb_descriptor images[7];
    sb_autostrings struct sb_strings kept = {0};
    for (int i = 0; i < 7; i++) {
        all[i] = put_layer(store, names[i], 1);
        images[i] = put_image(store, names[i], &all[i], 1, i + 1);
        sb_strings_take(&kept, put_record(store, names[i], &all[i], i + 1));
    }
    sb_autostrings struct sb_strings more = {0};
    sb_strings_add(&more, "a:latest");
    sb_strings_add(&more, "a:zzz");
    CHECK_INT(sb_store_tag(store, &more, &images[2], &err), 0);
    sb_autostrings struct sb_strings other = {0}; /* under another name it is the only one */
    sb_strings_add(&other, "c:v1");
    CHECK_INT(sb_store_tag(store, &other, &images[1], &err), 0);
    for (int i = 0; i < 7; i++) {
        sb_autofree char *manifest = sb_blob_path(&images[i].digest);
        set_use(store, manifest, i + 1);
    }
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.keep_images = 1;
    options.dry_run = true;
    struct sb_collect_report report = collect(store, &options);
    CHECK_INT(report.tags.n, 3);
    sb_collect_report_free(&report);
    CHECK(has_blob(store, &all[0]));
    options.dry_run = false;
    report = collect(store, &options);
    if (CHECK_INT(report.tags.n, 3)) {
        CHECK_STR(report.tags.v[0], "a:v1");
        CHECK_STR(report.tags.v[1], "a:v2");
        CHECK_STR(report.tags.v[2], "host:5000/team/a:v1");
    }
    sb_collect_report_free(&report);
    for (int i = 0; i < 7; i++) {
        bool stays = i != 0 && i != 5;
        CHECK_INT(has_blob(store, &all[i]), stays);
        CHECK_INT(has(store, kept.v[i]), stays);
    }
    sb_store_close(store);
}

/* ---- beside other processes ---- */

struct child {
    pid_t pid;
    int in, out;
};

/* A process that opens the store, uses some items, says so, and lives until told. With a delay it
 * says so first, and then uses them, all under one hold. */
static struct child start_user(const char *name, const char *const *paths, unsigned delay) {
    int to[2], from[2];
    CHECK(pipe(to) == 0 && pipe(from) == 0);
    struct child child = {fork(), to[1], from[0]};
    if (child.pid == 0) {
        close(to[1]);
        struct sb_store *store = open_store(name);
        char byte = '!';
        if (sb_store_hold(store, &err) < 0 || (delay && write(from[1], &byte, 1) != 1))
            _exit(1);
        usleep(delay);
        for (; *paths; paths++)
            if (sb_store_use(store, *paths, &err) < 0)
                _exit(2);
        sb_store_release(store);
        if ((!delay && write(from[1], &byte, 1) != 1) || read(to[0], &byte, 1) < 0)
            _exit(1);
        sb_store_close(store);
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    char byte;
    CHECK_INT(read(child.out, &byte, 1), 1);
    return child;
}

static void end_user(struct child *child) {
    int status;
    close(child->in);
    close(child->out);
    waitpid(child->pid, &status, 0);
    CHECK_INT(status, 0);
}

static void test_held(void) {
    struct sb_store *store = make_full("held");
    write_file(store, "sbuild/keys/k", "", 1);
    sb_autofree char *tree = tree_path(&layers[2]);
    sb_autofree char *blob = sb_blob_path(&layers[1].descriptor.digest);
    const char *const paths[] = {tree, blob, records[1], "sbuild/caches/pip", NULL};
    struct child child = start_user("held", paths, 0);
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.max_size = 0;
    struct sb_collect_report report = collect(store, &options);
    CHECK(has(store, tree) && has(store, blob) && has(store, records[1]));
    CHECK(has(store, "sbuild/caches/pip"));
    CHECK(has_blob(store, &layers[3])); /* the record that is held needs it */
    CHECK(!has_tree(store, &layers[1]) && !has(store, records[0]));
    CHECK(report.held > 3 * SIZE);
    CHECK(report.left > report.held);
    CHECK_INT(report.tags.n, 3);
    sb_collect_report_free(&report);
    CHECK(has(store, "sbuild/keys/k"));
    end_user(&child);
    report = collect(store, &options);
    CHECK(!has(store, tree) && !has(store, blob) && !has(store, records[1]));
    CHECK(!has_blob(store, &layers[3]) && !has(store, "sbuild/keys/k"));
    CHECK_INT(report.held, 0);
    end_full(store);
}

/* An image whose manifest is held keeps its tags and all its layers. */
static void test_held_image(void) {
    struct sb_store *store = make_full("held-image");
    struct sb_descriptor a;
    CHECK_INT(sb_store_resolve(store, "a:v1", &a, &err), 0);
    sb_autofree char *manifest = sb_blob_path(&a.digest);
    set_use(store, manifest, 1);
    const char *const paths[] = {manifest, NULL};
    struct child child = start_user("held-image", paths, 0);
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.max_size = 0;
    struct sb_collect_report report = collect(store, &options);
    CHECK_INT(report.tags.n, 2);
    CHECK(has_blob(store, &layers[0]) && has_blob(store, &layers[1]));
    CHECK(!has_blob(store, &layers[2]));
    sb_collect_report_free(&report);
    end_user(&child);
    end_full(store);
}

/* The collector waits for whoever is between looking an item up and using it. */
static void test_waits(void) {
    struct sb_store *store = make_full("waits");
    sb_autofree char *tree = tree_path(&layers[2]);
    const char *const paths[] = {tree, records[0], NULL};
    struct child child = start_user("waits", paths, 100000);
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.max_size = 0;
    struct sb_collect_report report = collect(store, &options);
    CHECK(has(store, tree) && has(store, records[0]) && !has(store, records[1]));
    sb_collect_report_free(&report);
    end_user(&child);
    end_full(store);
}

/* Many builders look items up and rely on them while a collector takes all it can. */
static void test_beside_builders(void) {
    struct sb_store *store = open_store("beside");
    enum { BUILDERS = 3, ROUNDS = 40 };
    pid_t pids[BUILDERS];
    for (int i = 0; i < BUILDERS; i++) {
        pids[i] = fork();
        if (pids[i] != 0)
            continue;
        for (int round = 0; round < ROUNDS; round++) {
            struct sb_store *own = open_store("beside");
            sb_autofree char *text = sb_format("blob %d", round % 5);
            struct sb_digest digest = sb_digest_of(text, strlen(text));
            if (!sb_blob_has(own, &digest, strlen(text)) &&
                sb_blob_put(own, text, strlen(text), &digest, &err) < 0)
                _exit(2);
            usleep(500);
            int fd = sb_blob_open(own, &digest, strlen(text), &err); /* relied on: it is there */
            if (fd < 0)
                _exit(3);
            close(fd);
            sb_store_close(own);
        }
        _exit(0);
    }
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    options.max_size = 0;
    uint64_t taken = 0;
    for (int left = BUILDERS; left > 0;) {
        struct sb_collect_report report = collect(store, &options);
        taken += report.removed[SB_ITEM_BLOB].count;
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0) {
            left--;
            CHECK_INT(WEXITSTATUS(status), 0);
        }
        usleep(200);
    }
    CHECK(taken > 0);
    sb_store_close(store);
}

/* All that index.json names is there. */
static void check_whole(struct sb_store *store) {
    struct sb_tagged_list tags;
    CHECK_INT(sb_store_tags(store, &tags, &err), 0);
    for (size_t i = 0; i < tags.n; i++) {
        struct sb_image image;
        if (!CHECK(sb_image_peek(store, &tags.v[i].descriptor, &image, &err) == 0))
            printf("    %s: %s\n", tags.v[i].name, err.message);
        for (size_t j = 0; j < image.layer_count; j++)
            CHECK(has_blob(store, &image.layers[j].layer));
        sb_image_free(&image);
    }
    sb_tagged_list_free(&tags);
}

static void test_killed(void) {
    for (unsigned round = 0; round < 30; round++) {
        struct sb_store *store = make_full("killed");
        struct sb_collect_options options = SB_COLLECT_OPTIONS;
        options.max_size = round % 2 ? 0 : total(store) / 4;
        end_full(store);
        pid_t pid = fork();
        if (pid == 0) {
            store = open_store("killed");
            struct sb_collect_report report;
            sb_store_collect(store, &options, &report, &err);
            sb_store_close(store);
            _exit(0);
        }
        usleep(800 + 100 * round);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        store = open_store("killed");
        check_whole(store);
        struct sb_store_usage usage;
        CHECK_INT(sb_store_usage(store, &usage, &err), 0);
        CHECK_INT(usage.kinds[SB_ITEM_TEMPORARY].count, 0);
        sb_store_close(store);
    }
}

/* ---- what it can't understand, it does not touch ---- */

static void test_damaged(void) {
    struct sb_store *store = make_full("damaged");
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    options.max_size = 0;
    struct sb_descriptor b;
    CHECK_INT(sb_store_resolve(store, "b:v1", &b, &err), 0);
    sb_autofree char *manifest = sb_blob_path(&b.digest);
    int fd = openat(sb_store_fd(store), manifest, O_WRONLY);
    CHECK_INT(write(fd, "[", 1), 1);
    close(fd);
    CHECK_INT(sb_store_collect(store, &options, &report, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    CHECK(strstr(err.hint, "b:") != NULL);
    CHECK_INT(report.freed, 0);
    sb_collect_report_free(&report);
    CHECK_INT(sb_file_write(sb_store_fd(store), "index.json", "{}", 2, 0644, &err), 0);
    CHECK_INT(sb_store_collect(store, &options, &report, &err), -1);
    CHECK(strstr(err.message, "index.json") != NULL);
    CHECK_INT(unlinkat(sb_store_fd(store), "index.json", 0), 0);
    CHECK_INT(sb_store_collect(store, &options, &report, &err), -1);
    CHECK(has_blob(store, &layers[0]) && has_tree(store, &layers[0]));
    CHECK_INT(sb_store_hold(store, &err), 0); /* its lock is free again */
    sb_store_release(store);
    end_full(store);
}

int main(void) {
    char template[] = "/var/tmp/sb-collect-XXXXXX";
    if (!(directory = mkdtemp(template)))
        return 1;
    test_stale();
    test_only();
    test_cap();
    test_parts();
    test_older_than();
    test_keep_images();
    test_held();
    test_held_image();
    test_waits();
    test_beside_builders();
    test_killed();
    test_damaged();
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
