/*
 * tests/fuzz/layers: entries of several layers from a few bytes each, in names that meet: the same
 * directory, link and whiteout again and again, where chance alone would never name one twice.
 *
 * An entry: a byte for its kind (its low bits; the others say more), then its path and, for links,
 * what it leads to, each a byte a component, the last one with its high bit set.
 */
#ifndef SB_TESTS_LAYERS_H
#define SB_TESTS_LAYERS_H

#include <sys/stat.h>

#include "base/buffer.h"
#include "layers/entry.h"
#include "tests/fuzz/fuzz.h"

enum { LAYERS_MOST = 4, ENTRIES_MOST = 64 };

struct made_entry {
    struct sb_entry entry;
    size_t layer;
    char *path, *link;
};
struct made_layers {
    struct made_entry v[ENTRIES_MOST];
    size_t n, layers;
};

static const char *const layer_names[] = {
    "a",   "b",    "c",   "d",   ".wh.a", ".wh.b", ".wh.c", ".wh..wh..opq", "..",
    ".",   "",     "etc", "usr", "bin",   ".wh.",  ".wh..", ".wh..wh.plnk", ".wh..wh.a",
    "a-b", "\xff", "a.b", "A",   "%",     "n\n",
};

static char *layer_path(const uint8_t **at, const uint8_t *end) {
    struct sb_buf path = {0};
    sb_buf_reserve(&path, 1);
    for (int i = 0; i < 12 && *at < end; i++) {
        uint8_t byte = *(*at)++;
        if (i > 0)
            sb_buf_addc(&path, '/');
        sb_buf_adds(&path, layer_names[(byte & 0x7f) % (sizeof layer_names / sizeof *layer_names)]);
        if (byte & 0x80)
            break;
    }
    sb_buf_addc(&path, '\0');
    return sb_buf_steal(&path);
}

static void layer_entry(struct made_entry *made, uint8_t kind, const uint8_t **at,
                        const uint8_t *end) {
    static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFREG,
                                   S_IFCHR, S_IFIFO, S_IFBLK, S_IFDIR};
    static const mode_t modes[] = {0755, 0644, 04755, 01777, 0, 0700, 02755, 07777};
    struct sb_entry *e = &made->entry;
    unsigned type = kind & 7;
    made->path = layer_path(at, end);
    e->path = made->path;
    e->mode = types[type] | modes[kind >> 3 & 7];
    e->hard_link = type == 3;
    if (type == 2 || type == 3) {
        made->link = layer_path(at, end);
        e->link = made->link;
    }
    e->size = type == 0 && *at < end ? **at % 4 : 0;
    e->uid = kind & 0x80 ? 1000 : 0;
    e->device_minor = type == 4 && (kind & 0x40) ? 1 : 0;
    e->mtime = 1577836800;
}

static void made_layers_read(const uint8_t *data, size_t size, struct made_layers *out) {
    const uint8_t *at = data, *end = data + size;
    *out = (struct made_layers){.layers = 1};
    while (at < end && out->n < ENTRIES_MOST) {
        uint8_t kind = *at++;
        if (kind == 0xff) { /* the next layer above */
            if (out->layers < LAYERS_MOST)
                out->layers++;
            continue;
        }
        struct made_entry *made = &out->v[out->n++];
        made->layer = out->layers - 1;
        layer_entry(made, kind, &at, end);
    }
}

static void made_layers_free(struct made_layers *layers) {
    for (size_t i = 0; i < layers->n; i++) {
        free(layers->v[i].path);
        free(layers->v[i].link);
    }
}

#endif
