/*
 * Any bytes as what a node keeps of a service: the record of a generation, the operation under way,
 * the tag that it follows, its unit file. The first byte chooses: refused, or the same when it is
 * written and read again.
 */
#include <sys/stat.h>

#include "deploy/node/follow.h"
#include "deploy/node/node.h"
#include "deploy/units.h"
#include "tests/fuzz/fuzz.h"

static struct sb_store *store;
static struct sb_node node;
static struct sb_node_service service;

static void start(void) {
    struct sb_error err = {0};
    sb_autofree char *generation = sb_format("%s/1", fuzz_directory());
    FUZZ_CHECK(sb_store_open(fuzz_directory(), &store, &err) == 0 && mkdir(generation, 0755) == 0);
    node = (struct sb_node){.store = store, .units = fuzz_directory()};
    service = (struct sb_node_service){
        .node = &node, .name = (char *)"backend", .unit = (char *)"backend.service", .lock = -1};
    service.path = fuzz_directory_path;
    service.fd = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void record(const char *text, size_t len) {
    struct sb_generation one, again;
    struct sb_error err = {0};
    free(fuzz_directory_file("1/record.json", text, len));
    if (sb_generation_load(&service, 1, &one, &err) < 0) {
        fuzz_check_error(&err);
        return;
    }
    FUZZ_CHECK(sb_generation_save(&service, &one, &err) == 0);
    FUZZ_CHECK(sb_generation_load(&service, 1, &again, &err) == 0);
    FUZZ_CHECK(one.state == again.state && one.gpus == again.gpus && one.since == again.since &&
               one.trees.n == again.trees.n && sb_digest_equal(&one.image, &again.image));
    sb_generation_free(&one);
    sb_generation_free(&again);
}

static void operation(const char *text, size_t len) {
    struct sb_operation one, again;
    struct sb_error err = {0};
    free(fuzz_directory_file("operation.json", text, len));
    if (sb_operation_load(&service, &one, &err) < 0) {
        fuzz_check_error(&err);
        return;
    }
    FUZZ_CHECK(sb_operation_save(&service, &one, &err) == 0);
    FUZZ_CHECK(sb_operation_load(&service, &again, &err) == 0);
    FUZZ_CHECK(one.kind == again.kind && one.to == again.to && one.from == again.from &&
               one.back == again.back && one.wait == again.wait);
}

static void follow(const char *text, size_t len) {
    struct sb_follow one;
    struct sb_error err = {0};
    const struct sb_digest digest = sb_digest_of(text, len);
    free(fuzz_directory_file("follow.json", text, len));
    if (sb_follow_load(&service, &one, &err) < 0) {
        fuzz_check_error(&err);
        return;
    }
    sb_follow_refuse(&service, &digest);
    if (one.reference)
        FUZZ_CHECK(sb_follow_refused(&service, &digest));
    sb_follow_free(&one);
}

static void unit(const char *text, size_t len) {
    struct sb_unit_mark mark;
    struct sb_node_slot slot;
    struct sb_error err = {0};
    if (sb_unit_mark_parse(text, &mark))
        FUZZ_CHECK(sb_service_name_valid(mark.name));
    free(fuzz_directory_file("backend.service", text, len));
    if (sb_node_slot(&service, &slot, &err) < 0)
        fuzz_check_error(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const kinds[])(const char *, size_t) = {record, operation, follow, unit};
    if (!store)
        start();
    struct fuzz_parts parts = fuzz_parts(data, size);
    unsigned kind = fuzz_choose(&parts, 4);
    size_t len;
    sb_autofree char *text = fuzz_next(&parts, &len);
    kinds[kind](text, len);
    return 0;
}
