#include "context/path_set.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "layers/whiteout.h"

enum { BITS = 40, TEXT_LIMIT = 1 << 20 };

/* Kinds of paths in a set. */
enum { DIRECTORY = 'd', OTHER = 'f', HIDDEN = 'w', HIDDEN_BELOW = 'o' };

/* FNV-1a of 64 bits over the kind and the path, mixed, of which the uppermost 40 bits count. */
static uint64_t number_of(char kind, const char *path, size_t len) {
    uint64_t x = (UINT64_C(0xcbf29ce484222325) ^ (unsigned char)kind) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < len; i++)
        x = (x ^ (unsigned char)path[i]) * UINT64_C(0x100000001b3);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (x ^ x >> 32) >> (64 - BITS);
}

void sb_path_set_free(struct sb_path_set *set) {
    free(set->v);
    free(set->text);
    *set = (struct sb_path_set){0};
}

/* ---- as text: a count, and the differences between numbers, in base64 ----
 *
 * Rice's code: of each difference what is above its lowest bits as so many ones and a zero, then
 * these bits, the highest first. */

/* So many that what is above them is about 1. */
static unsigned lowest_bits(size_t count) {
    unsigned bits = BITS;
    for (; count > 0 && bits > 0; count >>= 1)
        bits--;
    return bits;
}

struct bits {
    struct sb_buf bytes;
    unsigned char last;
    unsigned used; /* of last */
};

static void put_bit(struct bits *b, unsigned bit) {
    b->last = (unsigned char)(b->last << 1 | bit);
    if (++b->used < 8)
        return;
    sb_buf_addc(&b->bytes, (char)b->last);
    b->last = 0;
    b->used = 0;
}

static char *write_text(const struct sb_path_set *set) {
    struct bits b = {0};
    unsigned low = lowest_bits(set->n);
    uint64_t before = 0;
    for (size_t i = 0; i < set->n; i++) {
        uint64_t difference = set->v[i] - before;
        before = set->v[i];
        for (uint64_t ones = difference >> low; ones > 0; ones--)
            put_bit(&b, 1);
        put_bit(&b, 0);
        for (unsigned bit = low; bit-- > 0;)
            put_bit(&b, difference >> bit & 1);
    }
    while (b.used > 0)
        put_bit(&b, 0);
    size_t room = 4 * ((b.bytes.len + 2) / 3) + 1;
    sb_autofree char *base64 = sb_alloc(room);
    EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)sb_buf_text(&b.bytes),
                    (int)b.bytes.len);
    sb_buf_free(&b.bytes);
    return sb_format("%zu %s", set->n, base64);
}

struct reader {
    const unsigned char *bytes;
    size_t at, end; /* in bits */
};

static int get_bit(struct reader *r) {
    if (r->at == r->end)
        return -1;
    int bit = r->bytes[r->at / 8] >> (7 - r->at % 8) & 1;
    r->at++;
    return bit;
}

static bool read_number(struct reader *r, unsigned low, uint64_t *out) {
    uint64_t value = 0;
    int bit;
    while ((bit = get_bit(r)) == 1)
        value++;
    if (bit < 0)
        return false;
    if (r->end - r->at < low || value >> (BITS - low))
        return false;
    uint64_t word; /* there are so many bytes more */
    memcpy(&word, r->bytes + r->at / 8, sizeof word);
    if (low > 0)
        value = value << low | be64toh(word) << r->at % 8 >> (64 - low);
    r->at += low;
    *out = value;
    return true;
}

static bool read_numbers(struct reader *r, struct sb_path_set *out) {
    unsigned low = lowest_bits(out->n);
    uint64_t value = 0, difference;
    for (size_t i = 0; i < out->n; i++) {
        if (!read_number(r, low, &difference) || (i > 0 && difference == 0))
            return false;
        value += difference;
        if (value >> BITS)
            return false;
        out->v[i] = value;
    }
    return true;
}

bool sb_path_set_read(const char *text, struct sb_path_set *out) {
    *out = (struct sb_path_set){0};
    char *end;
    size_t len = strlen(text);
    if (len > TEXT_LIMIT || text[0] < '0' || text[0] > '9')
        return false;
    unsigned long count = strtoul(text, &end, 10);
    const char *base64 = end + 1;
    size_t base64_len = *end == ' ' ? strlen(base64) : 1;
    if (base64_len % 4 != 0 || count > base64_len * 6)
        return false;
    sb_autofree unsigned char *bytes = sb_alloc(base64_len + sizeof(uint64_t));
    int n = base64_len ? EVP_DecodeBlock(bytes, (const unsigned char *)base64, (int)base64_len) : 0;
    if (n < 0)
        return false;
    struct reader r = {bytes, 0, (size_t)n * 8};
    out->n = count;
    out->v = sb_alloc((count + 1) * sizeof *out->v);
    out->text = sb_strdup(text);
    if (read_numbers(&r, out))
        return true;
    sb_path_set_free(out);
    return false;
}

/* ---- of a layer ---- */

struct maker {
    const struct sb_contents *layer;
    struct sb_path_set *out;
    size_t cap;
    struct sb_buf parent; /* the last one that was seen to */
};

static void add(struct maker *m, char kind, const char *path, size_t len) {
    SB_GROW(m->out->v, m->out->n, m->cap);
    m->out->v[m->out->n++] = number_of(kind, path, len);
}

/* Directories that the layer has no entry of, only something in them; whiteouts alone make none. */
static void add_implied(struct maker *m, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (m->parent.len == len && !strncmp(sb_buf_text(&m->parent), path, len))
        return;
    sb_buf_reset(&m->parent);
    sb_buf_add(&m->parent, path, len);
    for (size_t end = 0; end < len;) {
        struct sb_entry e;
        end += 1 + strcspn(path + end + 1, "/");
        sb_autofree char *parent = sb_strndup(path, end);
        if (!sb_contents_find(m->layer, parent, &e))
            add(m, DIRECTORY, parent, end);
    }
}

static void add_entry(struct maker *m, const struct sb_entry *e, bool files) {
    enum sb_whiteout kind = sb_whiteout_kind(e->path);
    bool directory = S_ISDIR(e->mode) && !e->hard_link;
    if (kind == SB_WHITEOUT_HIDES || kind == SB_WHITEOUT_HIDES_BELOW) {
        sb_autofree char *target = sb_whiteout_target(e->path);
        add(m, kind == SB_WHITEOUT_HIDES ? HIDDEN : HIDDEN_BELOW, target, strlen(target));
    } else if (kind == SB_WHITEOUT_NO && (directory || files)) {
        add(m, directory ? DIRECTORY : OTHER, e->path, strlen(e->path));
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void sb_path_set_make(const struct sb_contents *layer, bool files, struct sb_path_set *out) {
    struct maker m = {.layer = layer, .out = out};
    *out = (struct sb_path_set){0};
    for (size_t i = 0; i < sb_contents_count(layer); i++) {
        struct sb_entry e;
        sb_contents_get(layer, i, &e);
        if (sb_whiteout_kind(e.path) == SB_WHITEOUT_NO)
            add_implied(&m, e.path);
        add_entry(&m, &e, files);
    }
    sb_buf_free(&m.parent);
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, compare);
    size_t n = 0;
    for (size_t i = 0; i < out->n; i++)
        if (n == 0 || out->v[i] != out->v[n - 1])
            out->v[n++] = out->v[i];
    out->n = n;
    out->text = write_text(out);
}

/* ---- asking ---- */

static bool has(const struct sb_path_set *set, char kind, const char *path, size_t len) {
    uint64_t wanted = number_of(kind, path, len);
    return set->n && bsearch(&wanted, set->v, set->n, sizeof *set->v, compare);
}

/* Whether the layer hides what lower ones have at path. */
static bool hides(const struct sb_path_set *set, const char *path) {
    if (has(set, HIDDEN_BELOW, "", 0) || has(set, HIDDEN, path, strlen(path)))
        return true;
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        size_t len = (size_t)(end - path);
        if (has(set, HIDDEN, path, len) || has(set, HIDDEN_BELOW, path, len) ||
            has(set, OTHER, path, len))
            return true;
    }
    return false;
}

enum sb_path_known sb_path_sets_find(const struct sb_path_set *sets, size_t count,
                                     const char *path) {
    for (size_t i = count; i-- > 0;) {
        if (has(&sets[i], DIRECTORY, path, strlen(path)))
            return SB_PATH_DIRECTORY;
        if (has(&sets[i], OTHER, path, strlen(path)))
            return SB_PATH_OTHER;
        if (hides(&sets[i], path))
            return SB_PATH_NONE;
    }
    return SB_PATH_NONE;
}
