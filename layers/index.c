/*
 * index.json of the layout: read, checked and written whole. Whoever changes it holds
 * sbuild/index.lock from before reading until after writing; readers need no lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "layers/store_private.h"

static int check(const json_t *root, struct sb_error *err) {
    if (!json_is_object(root))
        return sb_fail(err, SB_E_INTEGRITY, "is not a JSON object");
    if (sb_json_integer(root, "schemaVersion", 0) != 2)
        return sb_fail(err, SB_E_INTEGRITY, "schemaVersion is not 2");
    const json_t *manifests = json_object_get(root, "manifests");
    if (!json_is_array(manifests))
        return sb_fail(err, SB_E_INTEGRITY, "\"manifests\" is not an array");
    size_t i;
    json_t *entry;
    json_array_foreach (manifests, i, entry) {
        if (!json_is_object(entry))
            return sb_fail(err, SB_E_INTEGRITY, "manifests[%zu] is not an object", i);
    }
    return 0;
}

static json_t *parse(const struct sb_buf *text, struct sb_error *err) {
    sb_autojson json_t *root = sb_json_parse(sb_buf_text(text), text->len, err);
    if (!root || check(root, err) < 0)
        return NULL;
    return sb_steal(root);
}

json_t *sb_index_read(struct sb_store *store, bool required, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    json_t *root = NULL;
    if (sb_file_read(store->fd, "index.json", SB_INDEX_LIMIT, &text, &own) == 0) {
        root = parse(&text, &own);
        if (!root)
            sb_error_context(&own, "index.json");
    } else if (own.os_errno == ENOENT && !required) {
        return json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType", SB_MEDIA_INDEX,
                         "manifests");
    }
    if (root)
        return root;
    sb_error_context(&own, "%s", store->path);
    if (!own.hint[0])
        sb_error_hint(&own,
                      "put a good copy of index.json back, or move it away and build again: the "
                      "layers are still cached, only tags are lost");
    if (own.code == SB_E_FAILED)
        own.code = SB_E_INTEGRITY;
    if (err)
        *err = own;
    return NULL;
}

const char *sb_index_name(const json_t *entry) {
    return sb_json_string(json_object_get(entry, "annotations"), SB_ANNOTATION_REF_NAME, NULL);
}

/* ---- writing ---- */

struct sortable {
    json_t *entry;
    const char *name;
    size_t place;
};

static int compare(const void *a, const void *b) {
    const struct sortable *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->place < y->place ? -1 : x->place > y->place;
}

/* By name; entries without one come first, in the order they had. */
static void sort(json_t *root) {
    json_t *manifests = json_object_get(root, "manifests");
    size_t n = json_array_size(manifests);
    sb_autofree struct sortable *list = sb_alloc(n * sizeof *list);
    for (size_t i = 0; i < n; i++) {
        json_t *entry = json_array_get(manifests, i);
        const char *name = sb_index_name(entry);
        list[i] = (struct sortable){json_incref(entry), name ? name : "", i};
    }
    qsort(list, n, sizeof *list, compare);
    for (size_t i = 0; i < n; i++)
        json_array_set_new(manifests, i, list[i].entry);
}

static int replace(struct sb_store *store, int tmp, const struct sb_buf *text,
                   struct sb_error *err) {
    char name[32];
    sb_autoclose int fd = sb_file_temporary(tmp, name, err);
    if (fd < 0)
        return -1;
    int failed = sb_fd_write(fd, text->data, text->len, "index.json", err);
    if (!failed && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || close(sb_steal_fd(&fd)) < 0 ||
                    renameat(tmp, name, store->fd, "index.json") < 0))
        failed = sb_fail_errno(err, SB_E_IO, "writing index.json");
    if (failed)
        unlinkat(tmp, name, 0);
    return failed ? -1 : sb_directory_sync(store->fd, err);
}

int sb_index_write(struct sb_store *store, json_t *root, struct sb_error *err) {
    sort(root);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(root, &text);
    if (text.len > SB_INDEX_LIMIT) {
        sb_fail(err, SB_E_FAILED, "%s/index.json would have more than %u bytes", store->path,
                SB_INDEX_LIMIT);
        return sb_error_hint(err, "remove tags that are not needed any more");
    }
    /* What the index names is to be on the disk before it. */
    sb_autoclose int blobs = sb_directory_open(store->fd, SB_BLOBS_DIRECTORY, err);
    int tmp = sb_store_tmp_fd(store);
    if (tmp < 0)
        sb_fail_errno(err, SB_E_IO, "creating a directory in sbuild/tmp");
    if (blobs < 0 || tmp < 0 || sb_directory_sync(blobs, err) < 0 ||
        replace(store, tmp, &text, err) < 0)
        return sb_error_context(err, "%s", store->path);
    return 0;
}

int sb_index_lock(struct sb_store *store, struct sb_error *err) {
    int fd = sb_lock_take(store->private_fd, "index.lock", SB_LOCK_EXCLUSIVE, err);
    if (fd < 0)
        sb_error_context(err, "%s/sbuild", store->path);
    return fd;
}

/* ---- the tags in it ---- */

static int compare_tagged(const void *a, const void *b) {
    const struct sb_tagged *x = a, *y = b;
    return strcmp(x->name, y->name);
}

int sb_store_tags(struct sb_store *store, struct sb_tagged_list *out, struct sb_error *err) {
    *out = (struct sb_tagged_list){0};
    sb_autojson json_t *root = sb_index_read(store, false, err);
    if (!root)
        return -1;
    size_t i;
    json_t *entry;
    json_array_foreach (json_object_get(root, "manifests"), i, entry) {
        const char *name = sb_index_name(entry);
        struct sb_descriptor descriptor;
        if (!name || sb_descriptor_parse(entry, &descriptor, NULL) < 0 ||
            (sb_media_kind(descriptor.media_type) != SB_MEDIA_KIND_MANIFEST &&
             sb_media_kind(descriptor.media_type) != SB_MEDIA_KIND_INDEX))
            continue;
        SB_GROW(out->v, out->n, out->cap);
        out->v[out->n++] = (struct sb_tagged){sb_strdup(name), descriptor};
    }
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, compare_tagged);
    return 0;
}

void sb_tagged_list_free(struct sb_tagged_list *list) {
    for (size_t i = 0; i < list->n; i++)
        free(list->v[i].name);
    free(list->v);
    *list = (struct sb_tagged_list){0};
}
