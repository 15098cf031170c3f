/*
 * layers/origin: blobs that the store knows of, but does not hold.
 *
 * An image whose base lies in a registry is in the store as manifest and config alone. For each
 * layer that is not there the store keeps where it can be had: STORE/sbuild/origins/HEX, the names
 * of repositories ("host/repository"), one a line, the best first. Whoever can fetch (registry/)
 * says so with sb_store_set_source; then sb_blob_open, and with it all that reads layers, brings a
 * missing blob in by itself. Origins count as used like blobs, and are collected like them.
 */
#ifndef SB_LAYERS_ORIGIN_H
#define SB_LAYERS_ORIGIN_H

#include "base/buffer.h"
#include "base/error.h"
#include "layers/store.h"

#define SB_ORIGINS_LIMIT 8 /* names kept for one blob */

#define SB_ORIGINS_DIRECTORY "sbuild/origins"

struct sb_origin_name {
    char text[sizeof SB_ORIGINS_DIRECTORY "/" + 64];
};
/* Of the file, relative to STORE. */
struct sb_origin_name sb_origin_name(const struct sb_digest *digest);

/* Puts a name in front of those known for that blob. */
int sb_blob_add_origin(struct sb_store *store, const struct sb_digest *digest, const char *name,
                       struct sb_error *err);
/* A place "URL|HOST/REPOSITORY": what that repository's manifest says where the blob is as well.
 * The caller's to free; NULL for a URL that is none of http: or https:, or can't be kept. */
char *sb_origin_url(const char *repository, const char *url);
/* Appends the names; none when nothing is known. Marks the origin used. */
int sb_blob_origins(struct sb_store *store, const struct sb_digest *digest, struct sb_strings *out,
                    struct sb_error *err);
/* True when the blob is in the store, or an origin of it is known; marks both used. */
bool sb_blob_known(struct sb_store *store, const struct sb_digest *digest, uint64_t size);

/* Makes sure that the blob is in the store. SB_E_NOT_FOUND when it isn't, and no origin or source
 * is known. */
int sb_blob_need(struct sb_store *store, const struct sb_descriptor *blob, struct sb_error *err);
/* The same by a source of one's own. *out_fetched (may be NULL): it was not there before. */
int sb_blob_need_from(struct sb_store *store, const struct sb_descriptor *blob,
                      const struct sb_blob_source *source, bool *out_fetched, struct sb_error *err);

#endif
