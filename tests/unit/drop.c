/* Blobs that are not needed any more: only those asked for, and only those that the collector
 * takes. */
#include <sys/stat.h>

#include "base/json.h"
#include "layers/collect.h"
#include "layers/image.h"
#include "layers/pin.h"
#include "tests/unit/layer_test.h"

static struct layer_test t;
static struct sb_error err;

static struct sb_layer put(const char *text) {
    struct sb_layer layer = {
        .diff_id = sb_digest_of(text, strlen(text)),
        .descriptor = {.media_type = SB_MEDIA_LAYER_TAR, .size = strlen(text)}};
    CHECK_INT(sb_blob_put(t.store, text, strlen(text), &layer.descriptor.digest, &err), 0);
    return layer;
}

static bool has(const struct sb_layer *layer) {
    sb_autofree char *path = sb_blob_path(&layer->descriptor.digest);
    return sb_path_exists(sb_store_fd(t.store), path);
}

static void tag(const struct sb_layer *layer) {
    struct sb_image image;
    sb_autostrings struct sb_strings names = {0};
    sb_image_init(&image, sb_platform_architecture(), NULL);
    sb_image_add_layer(&image, layer, NULL, NULL);
    CHECK_INT(sb_image_save(t.store, &image, 0, &err), 0);
    sb_strings_add(&names, "image:v1");
    CHECK_INT(sb_store_tag(t.store, &names, &image.descriptor, &err), 0);
    sb_image_free(&image);
}

static void record(const struct sb_layer *layer) {
    sb_autofree char *path = sb_format("sbuild/records/%s", sb_digest_hex(&layer->diff_id).text);
    sb_autofree char *text = sb_format("{\"version\":1,\"layer\":{\"digest\":\"%s\"}}",
                                       sb_digest_text(&layer->descriptor.digest).text);
    CHECK_INT(sb_file_write(sb_store_fd(t.store), path, text, strlen(text), 0644, &err), 0);
}

static void pin(const struct sb_layer *layer) {
    sb_autostrings struct sb_strings items = {0};
    sb_strings_take(&items, sb_blob_path(&layer->descriptor.digest));
    CHECK_INT(sb_pin_set(t.store, "somebody", &items, &err), 0);
}

/* What an installation does in the end with the blobs of its layers. */
static uint64_t drop(const struct sb_layer *layers, size_t n) {
    struct sb_collect_options options = SB_COLLECT_OPTIONS;
    struct sb_collect_report report;
    sb_autostrings struct sb_strings blobs = {0};
    for (size_t i = 0; i < n; i++)
        sb_strings_take(&blobs, sb_blob_path(&layers[i].descriptor.digest));
    options.only = &blobs;
    CHECK_INT(sb_store_collect(t.store, &options, &report, &err), 0);
    uint64_t freed = report.freed;
    sb_collect_report_free(&report);
    return freed;
}

int main(void) {
    t = layer_test_start();
    struct sb_layer layers[] = {put("tagged"),  put("recorded"), put("pinned"),
                                put("fetched"), put("used"),     put("not asked for")};
    enum { TAGGED, RECORDED, PINNED, FETCHED, USED, OTHER };
    tag(&layers[TAGGED]);
    record(&layers[RECORDED]);
    pin(&layers[PINNED]);
    CHECK_INT(sb_file_write(sb_store_fd(t.store), "sbuild/keys/service-x", "", 0, 0600, &err), 0);
    CHECK_INT(sb_file_write(sb_store_fd(t.store), "sbuild/logs/x", "", 0, 0600, &err), 0);

    /* Another process may use what was used since it began. */
    sb_autofree char *fetched = sb_blob_path(&layers[FETCHED].descriptor.digest);
    struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct sb_store *other;
    CHECK_INT(utimensat(sb_store_fd(t.store), fetched, past, 0), 0);
    CHECK_INT(sb_store_open(sb_store_path(t.store), &other, &err), 0);
    CHECK(sb_blob_has(other, &layers[USED].descriptor.digest, 0));
    CHECK(drop(layers, OTHER) > 0);
    CHECK(!has(&layers[FETCHED]));
    CHECK(has(&layers[TAGGED]) && has(&layers[RECORDED]) && has(&layers[PINNED]));
    CHECK(has(&layers[USED]) && has(&layers[OTHER]));
    sb_store_close(other);

    CHECK(drop(layers, OTHER) > 0);
    CHECK(!has(&layers[USED]) && has(&layers[OTHER]));
    CHECK(has(&layers[TAGGED]) && has(&layers[RECORDED]) && has(&layers[PINNED]));
    CHECK_INT(drop(layers, OTHER), 0);
    /* All else is for a whole collection; this process may hold that lock itself. */
    CHECK(sb_path_exists(sb_store_fd(t.store), "sbuild/keys/service-x"));
    CHECK(sb_path_exists(sb_store_fd(t.store), "sbuild/logs/x"));

    layer_test_end(&t);
    return test_done();
}
