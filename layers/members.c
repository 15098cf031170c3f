#include "layers/members.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/frames.h"
#include "layers/reader.h"
#include "layers/walk.h"

#define MEMBER_LIMIT 100000
#define LINK_LIMIT   8

struct scan {
    struct sb_store *store;
    struct sb_members *members;
    bool pack_layers;
};

static bool parse_blob_path(const char *path, struct sb_digest *out) {
    static const char prefix[] = "blobs/sha256/";
    size_t n = strlen(prefix);
    return !strncmp(path, prefix, n) && strlen(path) == n + 64 &&
           sb_digest_parse_hex(path + n, out);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* Whether the content, by its first bytes, is a tar that nothing compresses yet. */
static bool is_plain_tar(const char *path, const unsigned char *p, size_t len) {
    bool compressed =
        len >= 4 && ((p[0] == 0x1f && p[1] == 0x8b) || !memcmp(p, "\x28\xb5\x2f\xfd", 4));
    bool marked = len >= 262 && !memcmp(p + 257, "ustar", 5);
    return !compressed && (marked || ends_with(path, ".tar"));
}

static struct sb_member *add_member(struct scan *s, const char *path, struct sb_error *err) {
    struct sb_members *m = s->members;
    if (m->n >= MEMBER_LIMIT) {
        sb_fail(err, SB_E_INTEGRITY, "the archive has more than %d files", MEMBER_LIMIT);
        return NULL;
    }
    SB_GROW(m->v, m->n, m->cap);
    m->v[m->n++] = (struct sb_member){0};
    *sb_map_put(&m->index, path) = m->n;
    return &m->v[m->n - 1];
}

/* ---- content ---- */

/* The next bytes, which must follow those before: an archive of blobs has no holes. */
static int next_bytes(struct sb_entry_data *data, uint64_t at, const void **out, size_t *out_len,
                      struct sb_error *err) {
    uint64_t offset;
    if (sb_entry_data_next(data, out, out_len, &offset, err) < 0)
        return -1;
    if (offset != at)
        return sb_fail(err, SB_E_INTEGRITY, "has holes");
    return 0;
}

static int store_blob(struct scan *s, struct sb_member *member, const struct sb_digest *expected,
                      const void *first, size_t len, struct sb_entry_data *data,
                      struct sb_error *err) {
    struct sb_blob_writer *writer;
    uint64_t size = 0;
    if (sb_blob_begin(s->store, &writer, err) < 0)
        return -1;
    while (len > 0) {
        size += len;
        if (sb_blob_append(writer, first, len, err) < 0 ||
            next_bytes(data, size, &first, &len, err) < 0) {
            sb_blob_abort(writer);
            return -1;
        }
    }
    struct sb_descriptor *d = &member->layer.descriptor;
    if (sb_blob_commit(writer, expected, &d->digest, &d->size, err) < 0)
        return -1;
    member->digest = d->digest;
    return 0;
}

static int pack_layer(struct scan *s, struct sb_member *member, const struct sb_digest *expected,
                      const void *first, size_t len, struct sb_entry_data *data,
                      struct sb_error *err) {
    struct sb_frames *frames;
    uint64_t size = 0;
    if (sb_frames_start(s->store, &(struct sb_pack_options){0}, &frames, err) < 0)
        return -1;
    while (len > 0) {
        size += len;
        if (sb_frames_put(frames, first, len, err) < 0 ||
            next_bytes(data, size, &first, &len, err) < 0) {
            sb_frames_abort(frames);
            return -1;
        }
    }
    if (sb_frames_finish(frames, &member->layer, err) < 0)
        return -1;
    member->packed = true;
    member->digest = member->layer.diff_id;
    if (expected && !sb_digest_equal(expected, &member->digest))
        return sb_fail(err, SB_E_INTEGRITY, "has the digest %s: it is damaged",
                       sb_digest_text(&member->digest).text);
    return 0;
}

static int read_file(struct scan *s, const struct sb_entry *entry, struct sb_entry_data *data,
                     struct sb_error *err) {
    struct sb_digest named;
    bool is_blob = parse_blob_path(entry->path, &named);
    struct sb_member *member = add_member(s, entry->path, err);
    const void *first;
    size_t len;
    if (!member)
        return -1;
    if (is_blob && sb_blob_has(s->store, &named, entry->size)) {
        member->digest = member->layer.descriptor.digest = named;
        member->layer.descriptor.size = entry->size;
        return 0;
    }
    if (next_bytes(data, 0, &first, &len, err) < 0)
        return -1;
    bool pack = s->pack_layers && is_plain_tar(entry->path, first, len);
    return (pack ? pack_layer : store_blob)(s, member, is_blob ? &named : NULL, first, len, data,
                                            err);
}

/* ---- entries ---- */

static int read_link(struct scan *s, const struct sb_entry *entry, struct sb_error *err) {
    struct sb_member *member = add_member(s, entry->path, err);
    if (!member)
        return -1;
    if (entry->hard_link) {
        member->link = sb_strdup(entry->link);
        return 0;
    }
    sb_autofree char *parent = sb_path_dirname(entry->path);
    sb_autofree char *joined = sb_path_join(parent, entry->link);
    member->link = sb_path_clean(joined);
    return 0;
}

static int visit(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                 struct sb_error *err) {
    struct scan *s = self;
    int rc = 0;
    if (entry->hard_link || S_ISLNK(entry->mode))
        rc = read_link(s, entry, err);
    else if (S_ISREG(entry->mode))
        rc = read_file(s, entry, data, err);
    return rc < 0 ? sb_error_context(err, "%s", entry->path) : 0;
}

int sb_members_read(struct sb_store *store, int fd, bool pack_layers, struct sb_members *out,
                    struct sb_error *err) {
    struct scan s = {.store = store, .members = out, .pack_layers = pack_layers};
    struct sb_layer_reader *reader;
    if (sb_layer_reader_fd(fd, &reader, err) < 0)
        return -1;
    if (sb_layer_reader_walk(reader, visit, &s, err) < 0) {
        sb_layer_reader_abort(reader);
        return -1;
    }
    return sb_layer_reader_finish(reader, NULL, NULL, err);
}

const struct sb_member *sb_members_find(const struct sb_members *members, const char *path) {
    for (int links = 0; links < LINK_LIMIT; links++) {
        const uint64_t *found = sb_map_find(&members->index, path);
        if (!found)
            return NULL;
        const struct sb_member *member = &members->v[*found - 1];
        if (!member->link)
            return member;
        path = member->link;
    }
    return NULL;
}

json_t *sb_members_json(struct sb_store *store, const struct sb_members *members, const char *path,
                        size_t limit, struct sb_error *err) {
    const struct sb_member *member = sb_members_find(members, path);
    sb_autobuf struct sb_buf text = {0};
    if (!member) {
        sb_fail(err, SB_E_NOT_FOUND, "the archive has no %s", path);
        return NULL;
    }
    if (sb_blob_read(store, &member->layer.descriptor, limit, &text, err) < 0)
        return NULL;
    json_t *value = sb_json_parse(sb_buf_text(&text), text.len, err);
    if (!value)
        sb_error_context(err, "%s", path);
    return value;
}

void sb_members_free(struct sb_members *members) {
    for (size_t i = 0; i < members->n; i++)
        free(members->v[i].link);
    free(members->v);
    sb_map_free(&members->index);
    *members = (struct sb_members){0};
}
