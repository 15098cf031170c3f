/*
 * builder/cache_record: a cache record in a registry, as an image manifest of an ordinary
 * repository, tagged by its key (docs/formats.md, "Cache records in a registry").
 *
 * The manifest alone tells all that a look-up needs: the descriptors of the layer's parts, and in
 * annotations their diff IDs and what made them. They are the image's own blobs; beside them may
 * lie their tables of contents. The config makes it an image that every registry takes, and tells
 * people what the key stands for.
 */
#ifndef SB_BUILDER_CACHE_RECORD_H
#define SB_BUILDER_CACHE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "layers/parts.h"
#include "layers/store.h"

/* A table of contents (docs/formats.md, "Tables of contents") travels as a layer with one file of
 * this name, so that all that a record has is what any image has: some registries and scanners
 * refuse everything else. */
#define SB_CACHE_CONTENTS_NAME   "contents"
#define SB_CACHE_CONTENTS_MEDIA  SB_MEDIA_LAYER_GZIP
#define SB_CACHE_CONTENTS_LIMIT  (64u << 20)  /* bytes of the blob */
#define SB_CACHE_CONTENTS_UNPACK (256u << 20) /* of the table */

struct sb_cache_record {
    struct sb_digest key;
    struct sb_parts parts;
    struct sb_descriptor *contents; /* of each part; NULL: none */
    char *recipe, *name;            /* of who built it: for people */
    double seconds;
    /* Seconds since 1970: when the record was written, or last said to be in use. */
    int64_t created;
};
void sb_cache_record_free(struct sb_cache_record *record);

struct sb_cache_tag {
    char text[sizeof "k1-" + 64];
};
struct sb_cache_tag sb_cache_record_tag(const struct sb_digest *key);
/* True for what sb_cache_record_tag makes. */
bool sb_cache_record_is_tag(const char *tag);

/* Foreign bytes: SB_E_INTEGRITY says what is wrong with them. On failure out is empty. */
int sb_cache_record_parse(const char *text, size_t len, struct sb_cache_record *out,
                          struct sb_error *err);
/* Bytes of all blobs. */
uint64_t sb_cache_record_size(const struct sb_cache_record *record);
/* The config; contents_diff_ids: those of the layers with the parts' tables of contents, NULL for
 * none. key: the JSON that the key is the digest of. */
void sb_cache_record_config(const struct sb_cache_record *record,
                            const struct sb_digest *contents_diff_ids, const json_t *key,
                            struct sb_buf *out);
void sb_cache_record_print(const struct sb_cache_record *record, const struct sb_descriptor *config,
                           struct sb_buf *out);
/* The same manifest, written now: a record that is in use, so that pruning spares it. text must be
 * one that sb_cache_record_parse took. */
int sb_cache_record_renew(const char *text, size_t len, int64_t now, struct sb_buf *out,
                          struct sb_error *err);

#endif
