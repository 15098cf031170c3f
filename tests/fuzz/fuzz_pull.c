/*
 * Any documents of a registry as an image that is pulled (tests/fuzz/documents.h; what stands
 * before the first newline is the type that the registry states): refused, or an image of the store
 * that can be loaded. Requests are answered here, without a program beside. The first byte chooses
 * what is named, and whether the store knows it already.
 */
#include <dirent.h>

#include "layers/descriptor.h"
#include "layers/image_index.h"
#include "layers/origin.h"
#include "layers/store_private.h"
#include "registry/pull.h"
#include "tests/fuzz/documents.h"

static struct sb_store *store;
static struct documents documents;
static char *types[DOCUMENTS_MOST];

int sb_http_perform(struct sb_http *http, const struct sb_http_request *request,
                    struct sb_http_response *response, struct sb_error *err) {
    const char *name = strrchr(request->target, '/') + 1;
    struct sb_digest digest;
    size_t which = DOCUMENTS_MOST;
    (void)http;
    *response = (struct sb_http_response){.status = 404};
    bool by_digest = sb_digest_parse(name, &digest, NULL) == 0;
    for (size_t i = documents.n; i-- > 0;)
        if (by_digest ? sb_digest_equal(&digest, &documents.v[i].digest) : i == 0)
            which = i;
    if (which == DOCUMENTS_MOST)
        return 0;
    const struct sb_buf *text = &documents.v[which].text;
    response->status = 200;
    sb_strings_addf(&response->headers, "content-type: %s", types[which]);
    if (request->head && request->head(request->data, response, err) < 0)
        return -1;
    if (request->sink)
        return text->len ? request->sink(request->data, text->data, text->len, err) : 0;
    if (text->len)
        sb_buf_add(&response->body, text->data, text->len);
    return 0;
}

static void empty(const char *directory) {
    int fd = openat(sb_store_fd(store), directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            unlinkat(fd, e->d_name, 0);
    if (dir)
        closedir(dir);
}

/* As what an earlier pull, or another tool, left in index.json. */
static void know_first(void) {
    sb_autofree char *index =
        sb_format("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%.100s\",\"digest\":\"%s\","
                  "\"size\":%zu}]}",
                  strpbrk(types[0], "\"\\") ? "" : types[0],
                  sb_digest_text(&documents.v[0].digest).text, documents.v[0].text.len);
    struct sb_digest digest;
    free(fuzz_directory_file("index.json", index, strlen(index)));
    sb_blob_put(store, sb_buf_text(&documents.v[0].text), documents.v[0].text.len, &digest, NULL);
}

/* What is taken as an index has all of its images. */
static void check_index(const struct sb_descriptor *descriptor) {
    sb_autoimageindex struct sb_image_index index = {0};
    sb_autoindeximages struct sb_index_images images = {0};
    struct sb_error err = {0};
    FUZZ_CHECK(sb_image_index_load(store, descriptor, &index, &err) == 0);
    FUZZ_CHECK(sb_index_images_load(store, &index, &images, &err) == 0);
}

static void pull(const struct sb_reference *reference, bool all_platforms) {
    static const struct sb_registry_options registry_options = {0};
    const struct sb_pull_options options = {.lazy = true, .all_platforms = all_platforms};
    struct sb_registry *registry = sb_registry_new(&registry_options);
    struct sb_pulled pulled;
    struct sb_image image;
    struct sb_error err = {0};
    if (sb_pull_image(registry, store, reference, &options, &pulled, &err) < 0) {
        fuzz_check_error(&err);
    } else if (sb_media_kind(pulled.image.media_type) == SB_MEDIA_KIND_INDEX) {
        check_index(&pulled.image);
    } else {
        FUZZ_CHECK(sb_image_load(store, &pulled.image, &image, &err) == 0);
        sb_image_free(&image);
    }
    sb_registry_free(registry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_error err = {0};
    struct sb_reference reference;
    FUZZ_CHECK(store || sb_store_open(fuzz_directory(), &store, &err) == 0);
    struct fuzz_parts parts = fuzz_parts(data, size);
    unsigned choice = fuzz_choose(&parts, 8);
    documents_read(&parts, &documents, types);
    if (documents.n > 0) {
        sb_autofree char *name =
            sb_format("r.example.com/team/app%s%s", choice & 1 ? "@" : ":v1",
                      choice & 1 ? sb_digest_text(&documents.v[0].digest).text : "");
        FUZZ_CHECK(sb_reference_parse(name, &reference, &err) == 0);
        if (choice & 2)
            know_first();
        pull(&reference, choice & 4);
        sb_reference_free(&reference);
    }
    empty(SB_BLOBS_DIRECTORY);
    empty(SB_ORIGINS_DIRECTORY);
    unlinkat(sb_store_fd(store), "index.json", 0);
    for (size_t i = 0; i < documents.n; i++)
        free(types[i]);
    documents_free(&documents);
    return 0;
}
