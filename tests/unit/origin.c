/* Where blobs can be had that the store lacks, and fetching them when they are opened. */
#include "layers/origin.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/collect.h"
#include "layers/image.h"
#include "tests/unit/test.h"

static char *directory;
static struct sb_store *store;
static struct sb_error err;

static struct sb_descriptor blob_of(const char *text) {
    return (struct sb_descriptor){SB_MEDIA_LAYER_TAR, sb_digest_of(text, strlen(text)),
                                  strlen(text)};
}

static void check_origins(const struct sb_digest *digest, const char *expected) {
    sb_autostrings struct sb_strings names = {0};
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_blob_origins(store, digest, &names, &err), 0);
    for (size_t i = 0; i < names.n; i++)
        sb_buf_addf(&text, "%s%s", i ? " " : "", names.v[i]);
    CHECK_STR(sb_buf_text(&text), expected);
}

static void test_names(void) {
    struct sb_descriptor blob = blob_of("names");
    check_origins(&blob.digest, "");
    CHECK(!sb_blob_known(store, &blob.digest, blob.size));
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "a:5000/x", &err), 0);
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "b/y", &err), 0);
    check_origins(&blob.digest, "b/y a:5000/x");
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "b/y", &err), 0);
    check_origins(&blob.digest, "b/y a:5000/x");
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "a:5000/x", &err), 0);
    check_origins(&blob.digest, "a:5000/x b/y");
    CHECK(sb_blob_known(store, &blob.digest, blob.size));
    for (int i = 0; i < SB_ORIGINS_LIMIT + 2; i++) {
        sb_autofree char *name = sb_format("h/%d", i);
        CHECK_INT(sb_blob_add_origin(store, &blob.digest, name, &err), 0);
    }
    check_origins(&blob.digest, "h/9 h/8 h/7 h/6 h/5 h/4 h/3 h/2");
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "two words/x", &err), -1);
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "nowhere", &err), -1);
    sb_error_clear(&err);
}

/* What a power cut or another tool left. */
static void test_damage(void) {
    struct sb_descriptor blob = blob_of("damage");
    sb_autofree char *path = sb_format("sbuild/origins/%s", sb_digest_hex(&blob.digest).text);
    static const char text[] = "h/good\n\n\001\002/x\nno-slash\nh/cut-off";
    CHECK_INT(sb_file_write(sb_store_fd(store), path, text, strlen(text), 0644, &err), 0);
    check_origins(&blob.digest, "h/good");
    CHECK_INT(sb_file_write(sb_store_fd(store), path, "", 0, 0644, &err), 0);
    CHECK(!sb_blob_known(store, &blob.digest, blob.size));
}

/* ---- fetching ---- */

struct source {
    const char *text;
    atomic_int calls, wrong; /* not CHECKed where it happens, for that may be in a thread */
    int slow;
    bool lies;
};

static int fetch(void *data, struct sb_store *to, const struct sb_descriptor *blob,
                 const struct sb_strings *origins, struct sb_error *e) {
    struct source *source = data;
    atomic_fetch_add(&source->calls, 1);
    atomic_fetch_add(&source->wrong, strcmp(origins->v[0], "host/repository") != 0);
    nanosleep(&(struct timespec){.tv_nsec = source->slow * 1000000L}, NULL);
    struct sb_blob_writer *writer;
    if (sb_blob_begin(to, &writer, e) < 0)
        return -1;
    atomic_fetch_add(&source->wrong,
                     sb_blob_append(writer, source->text, strlen(source->text), e) != 0);
    return sb_blob_commit(writer, source->lies ? NULL : &blob->digest, NULL, NULL, e);
}

static void test_fetch(void) {
    struct sb_descriptor blob = blob_of("fetch");
    struct source data = {.text = "fetch"};
    struct sb_blob_source source = {fetch, &data};
    CHECK_INT(sb_blob_need(store, &blob, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK_STR(err.hint, "");
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "host/repository", &err), 0);
    CHECK_INT(sb_blob_open(store, &blob.digest, blob.size, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(strstr(err.hint, "pull") != NULL);
    sb_error_clear(&err);

    sb_store_set_source(store, &source);
    CHECK_INT(sb_blob_open(store, &blob.digest, 0, NULL), -1); /* how much would it be? */
    sb_autobuf struct sb_buf text = {0};
    CHECK_INT(sb_blob_read(store, &blob, 100, &text, NULL), -1); /* documents are here, or not */
    CHECK_INT(data.calls, 0);
    sb_autoclose int fd = sb_blob_open(store, &blob.digest, blob.size, &err);
    CHECK(fd >= 0);
    CHECK_INT(data.calls, 1);
    CHECK_INT(sb_blob_need(store, &blob, &err), 0);
    CHECK_INT(data.calls, 1);
    CHECK_INT(data.wrong, 0);
    CHECK_INT(sb_blob_open(store, &blob.digest, blob.size + 1, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY); /* as before: a damaged store is not mended in silence */
    sb_store_set_source(store, NULL);
}

/* A source that brings something else. */
static void test_wrong(void) {
    struct sb_descriptor blob = blob_of("right");
    struct source data = {.text = "wrong"};
    struct sb_blob_source source = {fetch, &data};
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "host/repository", &err), 0);
    sb_store_set_source(store, &source);
    CHECK_INT(sb_blob_need(store, &blob, &err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    data.lies = true;
    CHECK_INT(sb_blob_need(store, &blob, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(!sb_blob_has(store, &blob.digest, 0));
    sb_store_set_source(store, NULL);
    sb_error_clear(&err);
}

static void *need_thread(void *data) {
    struct sb_error own = {0};
    return sb_blob_need(store, data, &own) == 0 ? data : NULL;
}

static void test_threads(void) {
    struct sb_descriptor blob = blob_of("threads");
    struct source data = {.text = "threads", .slow = 30};
    struct sb_blob_source source = {fetch, &data};
    CHECK_INT(sb_blob_add_origin(store, &blob.digest, "host/repository", &err), 0);
    sb_store_set_source(store, &source);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, need_thread, &blob), 0);
    for (int i = 0; i < 4; i++) {
        void *done;
        pthread_join(threads[i], &done);
        CHECK(done == &blob);
    }
    CHECK_INT(data.calls, 1);
    CHECK_INT(data.wrong, 0);
    sb_store_set_source(store, NULL);
}

/* ---- the collector ---- */

static void collect(void) {
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    CHECK_INT(sb_store_collect(store, &options, &report, &err), 0);
    sb_collect_report_free(&report);
}

static void put_record(const char *name, const struct sb_digest *digest) {
    sb_autofree char *path = sb_format("sbuild/records/%s", sb_digest_hex(digest).text);
    sb_autofree char *text =
        sb_format("{\"version\":1,\"name\":\"%s\",\"layer\":{\"digest\":\"%s\"}}", name,
                  sb_digest_text(digest).text);
    CHECK_INT(sb_file_write(sb_store_fd(store), path, text, strlen(text), 0644, &err), 0);
}

static void test_collect(void) {
    struct sb_descriptor of_image = blob_of("of an image"), of_record = blob_of("of a record"),
                         of_none = blob_of("of none");
    struct sb_layer layer = {.diff_id = of_image.digest, .descriptor = of_image};
    CHECK_INT(sb_blob_add_origin(store, &of_image.digest, "h/image", &err), 0);
    CHECK_INT(sb_blob_add_origin(store, &of_record.digest, "h/record", &err), 0);
    CHECK_INT(sb_blob_add_origin(store, &of_none.digest, "h/none", &err), 0);
    put_record("remote", &of_record.digest);
    struct sb_image image;
    sb_image_init(&image, sb_platform_architecture(), NULL);
    sb_image_add_layer(&image, &layer, "base", NULL);
    CHECK_INT(sb_image_save(store, &image, 0, &err), 0);
    sb_autostrings struct sb_strings names = {0};
    sb_strings_add(&names, "h/image:v1");
    CHECK_INT(sb_store_tag(store, &names, &image.descriptor, &err), 0);
    sb_image_free(&image);

    collect();
    check_origins(&of_image.digest, "h/image");
    check_origins(&of_record.digest, "h/record");
    check_origins(&of_none.digest, "");
    sb_autofree char *record =
        sb_format("sbuild/records/%s", sb_digest_hex(&of_record.digest).text);
    CHECK(sb_path_exists(sb_store_fd(store), record));
    CHECK_INT(sb_store_untag(store, &names, &err), 0);
    collect();
    check_origins(&of_image.digest, "");
    check_origins(&of_record.digest, "h/record");
    struct sb_store_usage usage;
    CHECK_INT(sb_store_usage(store, &usage, &err), 0);
    CHECK_INT(usage.kinds[SB_ITEM_ORIGIN].count, 1);
}

int main(void) {
    char template[] = "/tmp/sb-origin.XXXXXX";
    directory = mkdtemp(template);
    if (!CHECK(directory != NULL) || !CHECK_INT(sb_store_open(directory, &store, &err), 0))
        return test_done();
    test_names();
    test_damage();
    test_fetch();
    test_wrong();
    test_threads();
    test_collect();
    sb_store_close(store);
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
