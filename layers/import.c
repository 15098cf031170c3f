#include "layers/import.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/stream.h"
#include "layers/descriptor.h"
#include "layers/image.h"
#include "layers/image_index.h"
#include "layers/image_private.h"
#include "layers/members.h"

#define INDEX_DEPTH 3
#define COPY_SIZE   (256u << 10)

enum form { OCI, OCI_ARCHIVE, DOCKER_ARCHIVE };

static const char *const prefixes[] = {
    [OCI] = "oci:",
    [OCI_ARCHIVE] = "oci-archive:",
    [DOCKER_ARCHIVE] = "docker-archive:",
};

static bool parse_form(const char *source, enum form *out, const char **out_rest) {
    for (int i = OCI; i <= DOCKER_ARCHIVE; i++) {
        size_t n = strlen(prefixes[i]);
        if (strncmp(source, prefixes[i], n) != 0)
            continue;
        *out = (enum form)i;
        *out_rest = source + n;
        return true;
    }
    return false;
}

bool sb_import_is_source(const char *source) {
    enum form form;
    const char *rest;
    return parse_form(source, &form, &rest);
}

/* ---- an OCI layout: a directory, or members of an archive that are blobs already ---- */

struct layout {
    const struct sb_platform *platform; /* NULL: this machine's */
    struct sb_store *store;
    int dirfd;  /* -1: an archive */
    bool whole; /* of an index, all images */
};

static int copy(struct sb_blob_writer *writer, int fd, uint64_t size, struct sb_error *err) {
    sb_autofree char *buf = sb_realloc(NULL, COPY_SIZE, 1);
    uint64_t left = size;
    for (;;) {
        ssize_t n = read(fd, buf, COPY_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sb_fail_errno(err, SB_E_IO, "reading");
        if (n == 0)
            return 0;
        if ((uint64_t)n > left)
            return sb_fail(err, SB_E_INTEGRITY, "has more than %llu bytes",
                           (unsigned long long)size);
        left -= (uint64_t)n;
        if (sb_interrupt_check(err) < 0 || sb_blob_append(writer, buf, (size_t)n, err) < 0)
            return -1;
    }
}

static int copy_blob(struct layout *l, const struct sb_descriptor *d, struct sb_error *err) {
    sb_autofree char *path = sb_blob_path(&d->digest);
    struct stat st;
    struct sb_blob_writer *writer;
    sb_autoclose int fd = sb_beneath_open(l->dirfd, path, 0, &st, err);
    if (fd < 0 && !err->os_errno) /* a link, or no file at all */
        err->code = SB_E_INTEGRITY;
    if (fd < 0)
        return -1;
    if ((uint64_t)st.st_size != d->size)
        return sb_fail(err, SB_E_INTEGRITY, "%s is no file of %llu bytes", path,
                       (unsigned long long)d->size);
    if (sb_blob_begin(l->store, &writer, err) < 0)
        return -1;
    if (copy(writer, fd, d->size, err) < 0) {
        sb_blob_abort(writer);
        return sb_error_context(err, "%s", path);
    }
    if (sb_blob_commit(writer, &d->digest, NULL, NULL, err) < 0)
        return sb_error_context(err, "%s", path);
    return 0;
}

/* Makes sure that the blob is in the store. */
static int need_blob(struct layout *l, const struct sb_descriptor *d, struct sb_error *err) {
    if (sb_blob_has(l->store, &d->digest, d->size))
        return 0;
    if (l->dirfd >= 0)
        return copy_blob(l, d, err);
    return sb_fail(err, SB_E_NOT_FOUND, "the archive has no blob %s of %llu bytes",
                   sb_digest_text(&d->digest).text, (unsigned long long)d->size);
}

static json_t *need_json(struct layout *l, const struct sb_descriptor *d, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (d->size > SB_MANIFEST_LIMIT) {
        sb_fail(err, SB_E_INTEGRITY, "the manifest %s has %llu bytes, and at most %u are allowed",
                sb_digest_text(&d->digest).text, (unsigned long long)d->size, SB_MANIFEST_LIMIT);
        return NULL;
    }
    if (need_blob(l, d, err) < 0 || sb_blob_read(l->store, d, SB_MANIFEST_LIMIT, &text, err) < 0)
        return NULL;
    json_t *value = sb_json_parse(sb_buf_text(&text), text.len, err);
    if (!value)
        sb_error_context(err, "the manifest %s", sb_digest_text(&d->digest).text);
    return value;
}

/* ---- which image ---- */

static const char *name_of(const json_t *entry) {
    return sb_json_string(json_object_get(entry, "annotations"), SB_ANNOTATION_REF_NAME, NULL);
}

/* "v1" means "v1", or "NAME:v1" as sbuild's own stores have it. */
static bool is_tagged(const json_t *entry, const char *tag) {
    const char *name = name_of(entry);
    size_t n = name ? strlen(name) : 0, m = strlen(tag);
    return name &&
           (!strcmp(name, tag) || (n > m && name[n - m - 1] == ':' && !strcmp(name + n - m, tag)));
}

static int many_images(const json_t *manifests, const char *tag, struct sb_error *err) {
    sb_autobuf struct sb_buf names = {0};
    size_t i;
    json_t *entry;
    json_array_foreach (manifests, i, entry) {
        if (name_of(entry) && names.len < 300)
            sb_buf_addf(&names, "%s%.80s", names.len ? ", " : "", name_of(entry));
    }
    if (tag)
        sb_fail(err, SB_E_NOT_FOUND, "it has no image with the tag %s", tag);
    else if (json_array_size(manifests) == 0)
        sb_fail(err, SB_E_NOT_FOUND, "it has no image");
    else
        sb_fail(err, SB_E_NOT_FOUND, "it has several images: say which with :TAG");
    if (names.len > 0)
        sb_error_hint(err, "its tags are %s", names.data);
    return -1;
}

/* Takes from index.json what the tag means. */
static int choose(const json_t *index, const char *tag, const struct sb_platform *platform,
                  struct sb_descriptor *out, struct sb_error *err) {
    const json_t *manifests = json_object_get(index, "manifests");
    sb_autojson json_t *matches = json_array();
    bool named = false, same = true;
    size_t i;
    json_t *entry;
    json_array_foreach (manifests, i, entry) {
        if (tag && !is_tagged(entry, tag))
            continue;
        json_array_append(matches, entry);
        named = named || name_of(entry);
        same = same && !strcmp(sb_json_string(entry, "digest", ""),
                               sb_json_string(json_array_get(matches, 0), "digest", "-"));
    }
    if (json_array_size(matches) > 0 && same)
        return sb_descriptor_parse(json_array_get(matches, 0), out, err);
    if (json_array_size(matches) > 0 && (tag || !named))
        return sb_platform_choose(matches, platform, out, err);
    return many_images(manifests, tag, err);
}

/* All is checked before gigabytes are copied. */
static int import_image(struct layout *l, struct sb_descriptor *out, struct sb_error *err) {
    struct sb_image image;
    sb_autojson json_t *manifest = need_json(l, out, err);
    struct sb_descriptor config;
    if (!manifest || sb_descriptor_parse(json_object_get(manifest, "config"), &config, err) < 0)
        return -1;
    if (config.size > SB_CONFIG_LIMIT)
        return sb_fail(err, SB_E_INTEGRITY, "the image config is too large");
    if (need_blob(l, &config, err) < 0 || sb_image_load(l->store, out, &image, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < image.layer_count; i++)
        rc = need_blob(l, &image.layers[i].layer.descriptor, err);
    *out = image.descriptor;
    sb_image_free(&image);
    return rc;
}

/* With all its images for Linux. */
static int import_index(struct layout *l, const struct sb_descriptor *descriptor,
                        struct sb_error *err) {
    sb_autojson json_t *document = need_json(l, descriptor, err);
    sb_autoimageindex struct sb_image_index index = {0};
    if (!document || sb_image_index_load(l->store, descriptor, &index, err) < 0)
        return -1;
    size_t images = 0;
    for (size_t i = 0; i < index.n; i++) {
        struct sb_descriptor image = index.v[i].descriptor;
        if (!sb_index_entry_is_image(&index.v[i]))
            continue;
        images++;
        if (import_image(l, &image, err) < 0)
            return -1;
    }
    return images ? 0 : sb_fail(err, SB_E_NOT_FOUND, "the index has no image for Linux");
}

static int import_layout(struct layout *l, const json_t *index, const char *tag,
                         struct sb_descriptor *out, struct sb_error *err) {
    if (choose(index, tag, l->platform, out, err) < 0)
        return -1;
    if (l->whole && sb_media_kind(out->media_type) == SB_MEDIA_KIND_INDEX)
        return import_index(l, out, err);
    for (int depth = 0; sb_media_kind(out->media_type) == SB_MEDIA_KIND_INDEX; depth++) {
        if (depth == INDEX_DEPTH)
            return sb_fail(err, SB_E_INTEGRITY, "its indexes lead to indexes without end");
        sb_autojson json_t *inner = need_json(l, out, err);
        if (!inner ||
            sb_platform_choose(json_object_get(inner, "manifests"), l->platform, out, err) < 0)
            return -1;
    }
    return import_image(l, out, err);
}

/* ---- sources ---- */

/* PATH[:TAG], where either may have colons: PATH is the shortest that exists. */
static char *split_tag(const char *rest, const char **out_tag) {
    *out_tag = NULL;
    for (const char *colon = strchr(rest, ':'); colon; colon = strchr(colon + 1, ':')) {
        char *path = sb_strndup(rest, (size_t)(colon - rest));
        if (colon > rest && sb_path_exists(AT_FDCWD, path) && colon[1]) {
            *out_tag = colon + 1;
            return path;
        }
        sb_free_pointer(&path);
    }
    return sb_strdup(rest);
}

char *sb_import_path(const char *source) {
    enum form form;
    const char *rest, *tag;
    return parse_form(source, &form, &rest) ? split_tag(rest, &tag) : NULL;
}

static int import_directory(struct sb_store *store, const char *path, const char *tag,
                            const struct sb_platform *platform, bool whole,
                            struct sb_descriptor *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct layout l = {.store = store, .platform = platform, .whole = whole};
    sb_autoclose int fd = l.dirfd = sb_directory_open(AT_FDCWD, path, err);
    if (fd < 0)
        return -1;
    if (sb_beneath_read(fd, "index.json", 0, SB_MANIFEST_LIMIT, &text, err) < 0)
        return sb_error_hint(err, "this is no OCI image layout");
    sb_autojson json_t *index = sb_json_parse(sb_buf_text(&text), text.len, err);
    if (!index)
        return sb_error_context(err, "index.json");
    return import_layout(&l, index, tag, out, err);
}

static int import_archive(struct sb_store *store, enum form form, const char *path, const char *tag,
                          const struct sb_platform *platform, bool whole, struct sb_descriptor *out,
                          struct sb_error *err) {
    __attribute__((cleanup(sb_members_free))) struct sb_members members = {0};
    sb_autoclose int fd = sb_stream_open(path, err);
    if (fd < 0)
        return -1;
    if (sb_members_read(store, fd, form == DOCKER_ARCHIVE, &members, err) < 0)
        return -1;
    if (form == DOCKER_ARCHIVE)
        return sb_import_docker(store, &members, tag, out, err);
    struct layout l = {.store = store, .platform = platform, .whole = whole, .dirfd = -1};
    sb_autojson json_t *index =
        sb_members_json(store, &members, "index.json", SB_MANIFEST_LIMIT, err);
    return index ? import_layout(&l, index, tag, out, err) : -1;
}

static int import(struct sb_store *store, const char *source, const struct sb_platform *platform,
                  bool whole, struct sb_descriptor *out, struct sb_error *err) {
    enum form form;
    const char *rest, *tag;
    if (!parse_form(source, &form, &rest)) {
        sb_fail(err, SB_E_USAGE, "\"%s\" is no source of images", source);
        return sb_error_hint(err, "write oci:PATH[:TAG], oci-archive:FILE[:TAG] or "
                                  "docker-archive:FILE[:TAG]");
    }
    sb_autofree char *path = split_tag(rest, &tag);
    int rc = form == OCI ? import_directory(store, path, tag, platform, whole, out, err)
                         : import_archive(store, form, path, tag, platform, whole, out, err);
    if (rc < 0)
        return sb_error_context(err, "%s", source);
    if (form != DOCKER_ARCHIVE)
        return 0;
    struct sb_image image; /* checked like any other */
    if (sb_image_load(store, out, &image, err) < 0)
        return sb_error_context(err, "%s", source);
    sb_image_free(&image);
    return 0;
}

int sb_image_import_for(struct sb_store *store, const char *source,
                        const struct sb_platform *platform, struct sb_descriptor *out,
                        struct sb_error *err) {
    return import(store, source, platform, false, out, err);
}

int sb_image_import_whole(struct sb_store *store, const char *source, struct sb_descriptor *out,
                          struct sb_error *err) {
    return import(store, source, NULL, true, out, err);
}

int sb_image_import(struct sb_store *store, const char *source, struct sb_descriptor *out,
                    struct sb_error *err) {
    return import(store, source, NULL, false, out, err);
}
