#include "builder/recall.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"

#define VERSION "1"

enum {
    SIZE_LIMIT = 4 << 20,
    ENTRY_LIMIT = 4096,
};

/* Which file a record is: no other ever has the same time of birth and number. */
struct identity {
    uint64_t inode, born_s, born_ns, size;
};

struct entry {
    struct sb_digest key;
    struct identity record;
    struct sb_parts parts;
    bool used;
};

struct sb_recall {
    struct sb_store *store;
    char *path; /* relative to STORE/sbuild */
    struct entry *v;
    size_t n, cap, next; /* next: where the one that is asked for now most likely is */
    bool changed;
};

static const char *const media_types[] = {SB_MEDIA_LAYER_ZSTD, SB_MEDIA_LAYER_GZIP,
                                          SB_MEDIA_LAYER_TAR};
enum { MEDIA_TYPES = sizeof media_types / sizeof *media_types };

static bool identify(struct sb_store *store, const struct sb_digest *key, struct identity *out) {
    sb_autofree char *path = sb_format("records/%s", sb_digest_hex(key).text);
    struct statx st;
    if (statx(sb_store_private_fd(store), path, AT_SYMLINK_NOFOLLOW,
              STATX_INO | STATX_SIZE | STATX_BTIME, &st) < 0 ||
        !(st.stx_mask & STATX_BTIME))
        return false;
    *out = (struct identity){st.stx_ino, (uint64_t)st.stx_btime.tv_sec, st.stx_btime.tv_nsec,
                             st.stx_size};
    return true;
}

static bool is_same(const struct identity *a, const struct identity *b) {
    return a->inode == b->inode && a->born_s == b->born_s && a->born_ns == b->born_ns &&
           a->size == b->size;
}

/* ---- reading ---- */

static const char *next_word(char **rest) {
    char *word = strsep(rest, " ");
    return word ? word : "";
}

static bool next_number(char **rest, uint64_t *out) {
    const char *word = next_word(rest);
    char *end;
    *out = strtoull(word, &end, 10);
    return *word >= '0' && *word <= '9' && !*end;
}

static bool next_digest(char **rest, struct sb_digest *out) {
    return sb_digest_parse_hex(next_word(rest), out);
}

static bool read_part(char **rest, struct sb_layer *out) {
    uint64_t media;
    *out = (struct sb_layer){0};
    if (!next_number(rest, &media) || media >= MEDIA_TYPES)
        return false;
    out->descriptor.media_type = media_types[media];
    return next_digest(rest, &out->descriptor.digest) && next_number(rest, &out->descriptor.size) &&
           next_digest(rest, &out->diff_id) && next_number(rest, &out->tar_size);
}

static bool read_entry(char *line, struct entry *out) {
    uint64_t parts;
    if (!next_digest(&line, &out->key) || !next_number(&line, &out->record.inode) ||
        !next_number(&line, &out->record.born_s) || !next_number(&line, &out->record.born_ns) ||
        !next_number(&line, &out->record.size))
        return false;
    if (!next_number(&line, &parts) || parts == 0 || parts > SB_PARTS_LIMIT)
        return false;
    for (uint64_t i = 0; i < parts; i++) {
        struct sb_layer part;
        if (!read_part(&line, &part))
            return false;
        sb_parts_add(&out->parts, &part);
    }
    return !line;
}

static void free_entries(struct sb_recall *recall) {
    for (size_t i = 0; i < recall->n; i++)
        sb_parts_free(&recall->v[i].parts);
    recall->n = 0;
}

static struct entry *add_entry(struct sb_recall *recall) {
    SB_GROW(recall->v, recall->n, recall->cap);
    recall->v[recall->n] = (struct entry){0};
    return &recall->v[recall->n++];
}

/* The last line says how many there are: nothing is believed of a file that ends before. */
static bool read_all(struct sb_recall *recall, char *text) {
    char *rest = text;
    const char *first = strsep(&rest, "\n");
    if (!first || strcmp(first, VERSION) != 0)
        return false;
    for (char *line; (line = strsep(&rest, "\n"));) {
        uint64_t count;
        if (!strncmp(line, "end ", 4)) {
            line += 4;
            return next_number(&line, &count) && count == recall->n;
        }
        if (recall->n == ENTRY_LIMIT || !read_entry(line, add_entry(recall)))
            return false;
    }
    return false;
}

struct sb_recall *sb_recall_open(struct sb_store *store, const char *name) {
    struct sb_recall *recall = sb_alloc(sizeof *recall);
    struct sb_digest digest = sb_digest_of(name, strlen(name));
    sb_autobuf struct sb_buf text = {0};
    recall->store = store;
    recall->path = sb_format("recalled/%.32s", sb_digest_hex(&digest).text);
    if (sb_file_read(sb_store_private_fd(store), recall->path, SIZE_LIMIT, &text, NULL) == 0 &&
        text.len > 0 && !read_all(recall, text.data))
        free_entries(recall);
    return recall;
}

/* ---- writing ---- */

static void print_entry(const struct entry *e, struct sb_buf *out) {
    sb_buf_addf(out, "%s %llu %llu %llu %llu %zu", sb_digest_hex(&e->key).text,
                (unsigned long long)e->record.inode, (unsigned long long)e->record.born_s,
                (unsigned long long)e->record.born_ns, (unsigned long long)e->record.size,
                e->parts.n);
    for (size_t i = 0; i < e->parts.n; i++) {
        const struct sb_layer *part = &e->parts.v[i];
        size_t media = 0;
        while (media < MEDIA_TYPES && strcmp(media_types[media], part->descriptor.media_type) != 0)
            media++;
        sb_buf_addf(out, " %zu %s %llu", media, sb_digest_hex(&part->descriptor.digest).text,
                    (unsigned long long)part->descriptor.size);
        sb_buf_addf(out, " %s %llu", sb_digest_hex(&part->diff_id).text,
                    (unsigned long long)part->tar_size);
    }
    sb_buf_addc(out, '\n');
}

/* What was not asked for is of other arguments, or gone: it stays as long as there is room. */
static void write_all(const struct sb_recall *recall) {
    sb_autobuf struct sb_buf text = {0};
    bool all = recall->n <= ENTRY_LIMIT / 2;
    size_t count = 0;
    sb_buf_adds(&text, VERSION "\n");
    for (size_t i = 0; i < recall->n && count < ENTRY_LIMIT; i++) {
        if (!all && !recall->v[i].used)
            continue;
        print_entry(&recall->v[i], &text);
        count++;
    }
    sb_buf_addf(&text, "end %zu\n", count);
    sb_autofree char *path = sb_format("sbuild/%s", recall->path);
    if (sb_directory_make(sb_store_private_fd(recall->store), "recalled", 0755, NULL) == 0)
        sb_store_publish(recall->store, path, text.data, text.len, NULL);
}

void sb_recall_close(struct sb_recall *recall) {
    if (!recall)
        return;
    if (recall->changed)
        write_all(recall);
    else
        sb_store_use_note(sb_store_private_fd(recall->store), recall->path);
    free_entries(recall);
    free(recall->v);
    free(recall->path);
    free(recall);
}

/* ---- asking ---- */

static struct entry *find(struct sb_recall *recall, const struct sb_digest *key) {
    for (size_t i = 0; i < recall->n; i++) {
        size_t at = (recall->next + i) % recall->n;
        if (!sb_digest_equal(&recall->v[at].key, key))
            continue;
        recall->next = (at + 1) % recall->n;
        recall->v[at].used = true;
        return &recall->v[at];
    }
    return NULL;
}

const struct sb_parts *sb_recall_find(struct sb_recall *recall, const struct sb_digest *key) {
    struct identity now;
    const struct entry *entry = recall ? find(recall, key) : NULL;
    if (!entry || !identify(recall->store, key, &now) || !is_same(&now, &entry->record))
        return NULL;
    return &entry->parts;
}

void sb_recall_put(struct sb_recall *recall, const struct sb_digest *key,
                   const struct sb_parts *parts) {
    struct identity now;
    if (!recall || !identify(recall->store, key, &now))
        return;
    struct entry *entry = find(recall, key);
    if (!entry) {
        entry = add_entry(recall);
        entry->key = *key;
        entry->used = true;
    }
    entry->record = now;
    sb_parts_free(&entry->parts);
    sb_parts_copy(&entry->parts, parts);
    recall->changed = true;
}
