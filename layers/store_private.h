/*
 * layers/store_private: what the files behind layers/store.h and layers/collect.h share.
 */
#ifndef SB_LAYERS_STORE_PRIVATE_H
#define SB_LAYERS_STORE_PRIVATE_H

#include <pthread.h>
#include <time.h>

#include "layers/arriving.h"
#include "layers/store.h"

#define SB_STORE_VERSION 1 /* the text of sbuild/lock; see docs/formats.md, "store" */

#define SB_BLOBS_DIRECTORY "blobs/sha256"

struct sb_store {
    char *path;
    int fd, private_fd;
    int lock_fd; /* the collector's lock; one open file for all threads */

    char id[40]; /* of live/ID and tmp/ID */
    int live_fd;

    struct sb_blob_source source;              /* fetch is NULL when there is none */
    struct sb_contents_source contents_source; /* open is NULL when there is none */
    struct sb_arrivals arrivals;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t released;
    unsigned holds; /* threads that hold the collector's lock */
    bool exclusive;
    struct timespec start; /* mtime of the live entry */
    int tmp_fd;            /* -1 until wanted */
    char *tmp_path;
    struct sb_digest *written; /* large blobs that this process wrote */
    size_t written_count, written_cap;
};

/* ---- live.c ---- */

/* Makes and locks live/ID, filling id, live_fd and start. */
int sb_live_register(struct sb_store *store, struct sb_error *err);
/* Removes what processes that died left in live/ and tmp/. What can't be removed stays for another
 * time: a store is usable all the same. */
void sb_live_sweep(struct sb_store *store);
/* The start of the oldest other live process; false when there is none. Call it with the exclusive
 * hold, so that the answer stays true. */
bool sb_live_oldest(struct sb_store *store, struct timespec *out);
/* True when that entry of live/ or tmp/ belongs to a process that is alive (this one included). */
bool sb_live_is(struct sb_store *store, const char *id);

/* ---- store.c ---- */

/* As sb_store_hold, but alone: waits for other processes and threads, and keeps them waiting. The
 * thread that has it may call sb_store_hold. */
int sb_store_hold_alone(struct sb_store *store, struct sb_error *err);

/* ---- blob.c ---- */

struct sb_blob_name {
    char text[sizeof SB_BLOBS_DIRECTORY "/" + 64];
};
/* Relative to STORE. */
struct sb_blob_name sb_blob_name(const struct sb_digest *digest);
/* True for a large blob that this process wrote itself, and whose digest it took then. */
bool sb_blob_is_written(struct sb_store *store, const struct sb_digest *digest);
/* As sb_blob_read, but leaves the blob's last use alone. */
int sb_blob_peek(struct sb_store *store, const struct sb_descriptor *descriptor, size_t limit,
                 struct sb_buf *out, struct sb_error *err);

/* ---- index.c ---- */

#define SB_INDEX_LIMIT (16u << 20) /* bytes of index.json: some 50,000 tags */

/* The whole of index.json, "manifests" checked to be an array of objects: a new reference, or NULL.
 * A missing file is an empty index, unless it is required. */
json_t *sb_index_read(struct sb_store *store, bool required, struct sb_error *err);
/* Sorts the entries, and replaces the file. */
int sb_index_write(struct sb_store *store, json_t *root, struct sb_error *err);
/* The lock to hold from reading to writing: a descriptor to close. Whoever holds the collector's
 * lock as well takes that one first. */
int sb_index_lock(struct sb_store *store, struct sb_error *err);
/* The org.opencontainers.image.ref.name of an entry, or NULL. */
const char *sb_index_name(const json_t *entry);

/* ---- resolve.c ---- */

/* The error for a name that is not there, with what is nearest to it. Returns -1. */
int sb_store_unknown(struct sb_store *store, const char *reference, struct sb_error *err);

#endif
