/*
 * layers/store: the blob store, an OCI image layout (image-spec 1.1, image-layout.md), and the
 * private state beside it.
 *
 *     STORE/oci-layout, index.json, blobs/sha256/…     readable by any OCI tool
 *     STORE/sbuild/                                    private: see docs/formats.md
 *         lock            the collector's lock: shared while items are taken into use
 *         live/ID         one locked file for each running process; its mtime is the start
 *         keys/KEY        one lock file for each cache key being built
 *         records/        cache records (builder/cache.h)
 *         origins/        where blobs that are not here can be had (layers/origin.h)
 *         contents/       tables of contents by diff ID (layers/contents.h)
 *         trees/DIFFID/   unpacked layers (layers/trees.h)
 *         caches/         cache directories of recipes
 *         logs/           whole logs of steps
 *         failed/         the root of the step that failed last (builder/failed.h)
 *         tests/          which tests of which images passed (builder/test.h)
 *         pins/           what must stay for longer than a process lives (layers/pin.h)
 *         services/       what runs on this node (deploy/node/node.h)
 *         tmp/            what is being made; swept when its maker is gone
 *
 * Many processes share a store without a daemon. Everything is published by rename after fsync.
 * Whoever starts to rely on an existing item calls sb_store_use on it, which marks it used; the
 * collector (layers/collect.h) never takes an item used since the oldest live process started.
 *
 * Power loss: a blob is on the disk before it has its name, and all names are on the disk before a
 * tag is written; so what a tag names is whole.
 *
 * All calls are safe from several threads of one process.
 */
#ifndef SB_LAYERS_STORE_H
#define SB_LAYERS_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"

#define SB_MEDIA_INDEX           "application/vnd.oci.image.index.v1+json"
#define SB_MEDIA_MANIFEST        "application/vnd.oci.image.manifest.v1+json"
#define SB_MEDIA_CONFIG          "application/vnd.oci.image.config.v1+json"
#define SB_MEDIA_LAYER_TAR       "application/vnd.oci.image.layer.v1.tar"
#define SB_MEDIA_LAYER_GZIP      "application/vnd.oci.image.layer.v1.tar+gzip"
#define SB_MEDIA_LAYER_ZSTD      "application/vnd.oci.image.layer.v1.tar+zstd"
#define SB_MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define SB_MEDIA_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define SB_MEDIA_DOCKER_CONFIG   "application/vnd.docker.container.image.v1+json"
#define SB_MEDIA_DOCKER_LAYER    "application/vnd.docker.image.rootfs.diff.tar.gzip"

#define SB_ANNOTATION_REF_NAME "org.opencontainers.image.ref.name"

#define SB_MANIFEST_LIMIT (4u << 20) /* bytes; the distribution-spec's advice */

/* Plain data; media_type is a static string or owned by whoever owns the descriptor's parent. */
struct sb_descriptor {
    const char *media_type;
    struct sb_digest digest;
    uint64_t size;
};

struct sb_store;

/* Opens the store at path, making it when missing (mode 0755). Registers this process as live. */
int sb_store_open(const char *path, struct sb_store **out, struct sb_error *err);
void sb_store_close(struct sb_store *store);

/* To be called when this process has entered another mount or user namespace, while it has one
 * thread: directories are opened anew, as nothing can be renamed from one mount namespace to
 * another, and what dead processes left is removed that only the new namespace's root may. */
int sb_store_renew(struct sb_store *store, struct sb_error *err);

const char *sb_store_path(const struct sb_store *store); /* as given, made absolute */
int sb_store_fd(const struct sb_store *store);           /* of STORE itself */
int sb_store_private_fd(const struct sb_store *store);   /* of STORE/sbuild */
/* This process's own STORE/sbuild/tmp/ID: made by the first call, removed at close, swept after a
 * crash. -1 and errno when it can't be made. */
int sb_store_tmp_fd(struct sb_store *store);
const char *sb_store_tmp_path(struct sb_store *store); /* absolute path of the same */
/* A path in it that nobody has yet, "…/what-N"; nothing is made. The caller's to free; NULL and err
 * when there is no such directory. */
char *sb_store_tmp_new(struct sb_store *store, const char *what, struct sb_error *err);

/* Writes a file of private state, path relative to STORE: whole, by way of the process's tmp, and
 * not fsynced (sb_file_publish). */
int sb_store_publish(struct sb_store *store, const char *path, const void *data, size_t len,
                     struct sb_error *err);

/* Shared hold on the collector's lock, around "look, then sb_store_use": short, never while waiting
 * for anything. */
int sb_store_hold(struct sb_store *store, struct sb_error *err);
void sb_store_release(struct sb_store *store);

/* Marks a path below STORE as used now. Returns 0, or -1 with SB_E_NOT_FOUND when it is not there.
 */
int sb_store_use(struct sb_store *store, const char *relative_path, struct sb_error *err);
/* The same, to the hour, of what may go at any time: notes, which are read far more often than they
 * are written. dirfd, name: where it is. */
void sb_store_use_note(int dirfd, const char *name);

/* ---- blobs ---- */

/* True when the blob is in the store with that size (0: any); marks it used. */
bool sb_blob_has(struct sb_store *store, const struct sb_digest *digest, uint64_t size);
/* For reading; SB_E_NOT_FOUND when missing, SB_E_INTEGRITY when its size is not the one given
 * (0: any). The content is not read here: verify while reading. A blob of known size that lies in a
 * registry is fetched first, if the store has a source (layers/origin.h): then not to be called
 * with the collector's lock held. */
int sb_blob_open(struct sb_store *store, const struct sb_digest *digest, uint64_t size,
                 struct sb_error *err);
/* Reads a small blob whole, at most limit bytes, and verifies its digest. Fetches nothing:
 * manifests and configs are here, or nowhere. */
int sb_blob_read(struct sb_store *store, const struct sb_descriptor *descriptor, size_t limit,
                 struct sb_buf *out, struct sb_error *err);
/* Path relative to STORE: "blobs/sha256/…"; the caller's to free. */
char *sb_blob_path(const struct sb_digest *digest);

/* Writes a small blob whole. */
int sb_blob_put(struct sb_store *store, const void *data, size_t len, struct sb_digest *out_digest,
                struct sb_error *err);

/* A blob being written. Digest and size are taken as bytes pass. */
struct sb_blob_writer;
int sb_blob_begin(struct sb_store *store, struct sb_blob_writer **out, struct sb_error *err);
/* A large blob goes past the page cache, where disk and file system are up to it: read it with
 * base/uncached. */
/* Before the first byte, when whoever appends verifies the digest as bytes pass: they are not
 * hashed twice, and a reader of the layer may follow them (layers/trees.h, sb_tree_follow). To be
 * committed with that digest, once it was verified, or else aborted. */
void sb_blob_announce(struct sb_blob_writer *writer, const struct sb_digest *digest);
int sb_blob_append(struct sb_blob_writer *writer, const void *data, size_t len,
                   struct sb_error *err);
/* For who wants a blob's bytes while it is still being written: grow is called by whoever appends,
 * and must not wait for anything. The first size bytes are in the file now, and stay as they are;
 * what comes after them may still change. fd, for reading, is open during the call. A blob that is
 * aborted has size 0 at the end; one that is committed is told no more. */
struct sb_blob_watch {
    void (*grow)(void *data, int fd, uint64_t size);
    void *data;
};
/* Before the first byte; watch must outlive the writer. */
void sb_blob_set_watch(struct sb_blob_writer *writer, const struct sb_blob_watch *watch);
/* Publishes, and frees the writer in every case. When expected is given and differs, nothing is
 * published: SB_E_INTEGRITY. */
int sb_blob_commit(struct sb_blob_writer *writer, const struct sb_digest *expected,
                   struct sb_digest *out_digest, uint64_t *out_size, struct sb_error *err);
void sb_blob_abort(struct sb_blob_writer *writer); /* NULL is allowed */

/* ---- what the store does not hold, and others can bring ---- */

/* Fetches one blob whole into the store (sb_blob_begin … sb_blob_commit with the expected digest).
 * Called from any thread; two threads may ask for one blob, then one fetches and the other waits:
 * the store sees to that, across processes too. */
struct sb_blob_source {
    int (*fetch)(void *data, struct sb_store *store, const struct sb_descriptor *blob,
                 const struct sb_strings *origins, struct sb_error *err);
    void *data;
};
/* source is copied; NULL takes it away. Set it before threads start. */
void sb_store_set_source(struct sb_store *store, const struct sb_blob_source *source);

struct sb_layer;
struct sb_contents;
/* Asked by sb_layer_contents (layers/unpack.h) for the table of a layer whose blob is not in the
 * store, before the blob is fetched. -1: it has none; err may be NULL. Called from any thread. */
struct sb_contents_source {
    int (*open)(void *data, struct sb_store *store, const struct sb_layer *layer,
                struct sb_contents **out, struct sb_error *err);
    void *data;
};
/* source is copied; NULL takes it away. Set it before threads start. */
void sb_store_set_contents_source(struct sb_store *store, const struct sb_contents_source *source);

/* ---- tags: entries of index.json, named "NAME:TAG" ---- */

struct sb_tagged {
    char *name; /* "backend:v1.4.2"; the whole org.opencontainers.image.ref.name */
    struct sb_descriptor descriptor; /* media_type is a static string */
};
struct sb_tagged_list {
    struct sb_tagged *v;
    size_t n, cap;
};

/* True for what all OCI tools accept as a name: letters and digits, with one of . _ - : @ + / or --
 * between them. */
bool sb_store_name_valid(const char *name);

/* Points each full name ("backend:v1") at the manifest, in one atomic change of index.json. Entries
 * of the same name are replaced; all else in index.json is kept as it is. Nothing is written when
 * nothing would change. The manifest must be in the store. */
int sb_store_tag(struct sb_store *store, const struct sb_strings *names,
                 const struct sb_descriptor *manifest, struct sb_error *err);
/* The same for names each of which is to stand for something that depends on what it stands for now
 * (NULL: nothing): nobody else changes it meanwhile. */
typedef int sb_store_choose(void *data, const char *name, const struct sb_descriptor *now,
                            struct sb_descriptor *out, struct sb_error *err);
int sb_store_tag_chosen(struct sb_store *store, const struct sb_strings *names,
                        sb_store_choose *choose, void *data, struct sb_error *err);
/* All names, or none when one of them is not there (SB_E_NOT_FOUND). */
int sb_store_untag(struct sb_store *store, const struct sb_strings *names, struct sb_error *err);
/* All tags, sorted by name; free with sb_tagged_list_free. */
int sb_store_tags(struct sb_store *store, struct sb_tagged_list *out, struct sb_error *err);
void sb_tagged_list_free(struct sb_tagged_list *list);

/* Finds an image by "NAME:TAG", "NAME" (then NAME:latest, or its only tag), "sha256:…" or an
 * unambiguous prefix of a digest of 6 digits or more. SB_E_NOT_FOUND names the nearest. */
int sb_store_resolve(struct sb_store *store, const char *reference, struct sb_descriptor *out,
                     struct sb_error *err);

#endif
