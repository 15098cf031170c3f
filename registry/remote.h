/*
 * registry/remote: one repository of a registry (distribution-spec 1.1): manifests, blobs, tags,
 * uploads.
 *
 *     struct sb_registry *registry = sb_registry_new(&options);
 *     struct sb_remote *remote = sb_remote_open(registry, "127.0.0.1:5000", "team/app");
 *     sb_remote_manifest_get(remote, "v1", &manifest, &err)
 *     sb_remote_free(remote); sb_registry_free(registry);
 *
 * Everything that a server answers is checked: sizes are bounded before memory is taken, digests
 * and sizes are verified. What fails for a while (408, 429, 5xx, refused, reset, stall, a name that
 * can't be looked up) is repeated with back-off and jitter, `Retry-After` honoured, until patience
 * ends; an interrupted upload or download goes on where it stopped. What then still fails is
 * SB_E_NETWORK, naming registry and repository; a wrong digest or size is SB_E_INTEGRITY; what the
 * server does not have is SB_E_NOT_FOUND (the command line makes it exit status 5).
 *
 * All calls may be made from several threads at once.
 */
#ifndef SB_REGISTRY_REMOTE_H
#define SB_REGISTRY_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "layers/store.h"
#include "registry/http.h"
#include "registry/retry.h"

struct sb_registry_options {
    struct sb_http_options http;
    int64_t patience; /* seconds that a registry, a proxy or a mirror which is away is waited for;
                         0: SB_REGISTRY_PATIENCE; -1: none. SBUILD_PATIENCE wins */
};
#define SB_REGISTRY_PATIENCE 180 /* more than most restarts take */

/* What all repositories share: the program that speaks HTTP, what is known of each host. options
 * is copied; hosts must outlive it. */
struct sb_registry;
struct sb_registry *sb_registry_new(const struct sb_registry_options *options);
void sb_registry_free(struct sb_registry *registry); /* NULL is allowed */
/* The registry's own; for requests that are of no repository. */
struct sb_http *sb_registry_http(struct sb_registry *registry);

/* As sb_http_prepare: for who will soon ask, while there is something else to do. */
void sb_registry_prepare(struct sb_registry *registry);

/* One line for people, from any thread, while something is waited for: what, why, for how long. */
typedef void sb_registry_notify(void *data, const char *text);
/* NULL: nobody. What was set before is not called any more once this returns. */
void sb_registry_tell(struct sb_registry *registry, sb_registry_notify *notify, void *data);

/* As patient as the registry's settings, or SBUILD_PATIENCE, say; registry may be NULL. For
 * requests that are of no repository. */
struct sb_retry sb_registry_retry(struct sb_registry *registry, const char *host);

/* Bytes of bodies that went over the network so far, both ways. */
void sb_registry_traffic(struct sb_registry *registry, uint64_t *out_sent, uint64_t *out_received);

/* Waits until nobody else in this process has claimed it: what several threads would do at once,
 * one does, and the others find it done. Claim one thing at a time. -1 when interrupted or
 * cancelled. */
int sb_registry_claim(struct sb_registry *registry, const char *what,
                      const struct sb_cancel *cancel, struct sb_error *err);
void sb_registry_unclaim(struct sb_registry *registry, const char *what);

struct sb_remote;
/* Never fails, asks nobody. */
struct sb_remote *sb_remote_open(struct sb_registry *registry, const char *host,
                                 const char *repository);
void sb_remote_free(struct sb_remote *remote); /* NULL is allowed */
const char *sb_remote_host(const struct sb_remote *remote);
const char *sb_remote_repository(const struct sb_remote *remote);
struct sb_registry *sb_remote_registry(const struct sb_remote *remote);

/* Asks for push rights with the first token already, for a repository that will be written to. */
void sb_remote_will_push(struct sb_remote *remote);

/* What is asked of it ends with SB_E_INTERRUPTED once that is set. It must outlive the remote. */
void sb_remote_set_cancel(struct sb_remote *remote, const struct sb_cancel *cancel);

/* For what can be done without: a request gets only a few attempts, and while it has never answered
 * only that many. */
void sb_remote_set_attempts(struct sb_remote *remote, int attempts);

/* Between attempts of one's own: anything up to ms milliseconds. -1 when interrupted. */
int sb_remote_pause(const struct sb_remote *remote, uint64_t ms, struct sb_error *err);

/* ---- manifests ---- */

struct sb_manifest {
    struct sb_descriptor descriptor; /* media_type is a static string, or NULL for one not known */
    char *media_type;                /* as the server said it */
    struct sb_buf bytes;
};
void sb_manifest_free(struct sb_manifest *manifest);

/* By tag or "sha256:…"; the bytes' digest is verified against a digest that was asked for, and
 * against the one that the server states. Manifests and indexes of OCI and Docker; mirrors are
 * asked first. */
int sb_remote_manifest_get(struct sb_remote *remote, const char *reference, struct sb_manifest *out,
                           struct sb_error *err);
/* The same of the registry itself: what a tag is now, mirrors may learn later. */
int sb_remote_manifest_get_own(struct sb_remote *remote, const char *reference,
                               struct sb_manifest *out, struct sb_error *err);
/* Digest, size and type only. 1: it is there, 0: it isn't, -1. A server that refuses HEAD in
 * whatever way, or does not say all of this, is asked for the whole manifest. */
int sb_remote_manifest_head(struct sb_remote *remote, const char *reference,
                            struct sb_descriptor *out, struct sb_error *err);
/* The answer's digest must be that of the bytes. A registry that says that it lacks a blob of it
 * leaves SB_REASON_MISSING. A tag that the registry holds to be immutable and
 * that names something else already is an error that says so, with SB_REASON_IMMUTABLE. */
int sb_remote_manifest_put(struct sb_remote *remote, const char *reference, const char *media_type,
                           const void *bytes, size_t len, struct sb_error *err);
/* The same if the tag names before, or nothing where that is NULL: 1: put; 0: it names something
 * else now. A registry that knows no conditions (RFC 9110, If-Match) puts it in any case. */
int sb_remote_manifest_put_if(struct sb_remote *remote, const char *tag,
                              const struct sb_digest *before, const char *media_type,
                              const void *bytes, size_t len, struct sb_error *err);
/* 1: deleted, 0: was not there; SB_E_NETWORK when the registry does not allow it. */
int sb_remote_manifest_delete(struct sb_remote *remote, const char *reference,
                              struct sb_error *err);
/* All tags, over all pages; at most limit, beyond it an error. */
int sb_remote_tags(struct sb_remote *remote, size_t limit, struct sb_strings *out,
                   struct sb_error *err);

/* ---- blobs ---- */

/* 1: it is there with that size, 0: it isn't, -1. By GET where HEAD is refused. */
int sb_remote_blob_head(struct sb_remote *remote, const struct sb_descriptor *blob,
                        struct sb_error *err);

/* Sends the blob's bytes, in order and each once, to sink, verifying size and digest: at the end,
 * SB_E_INTEGRITY tells that what sink got was not the blob, and must be thrown away. Goes on where
 * a connection broke. Mirrors are asked first. */
int sb_remote_blob_get(struct sb_remote *remote, const struct sb_descriptor *blob,
                       int (*sink)(void *data, const void *bytes, size_t len, struct sb_error *err),
                       void *data, struct sb_error *err);
/* The same from a URL that the registry's manifest names for it; no credentials go there. */
int sb_remote_blob_get_url(struct sb_remote *remote, const struct sb_descriptor *blob,
                           const char *url,
                           int (*sink)(void *data, const void *bytes, size_t len,
                                       struct sb_error *err),
                           void *data, struct sb_error *err);
/* A small blob into memory. */
int sb_remote_blob_read(struct sb_remote *remote, const struct sb_descriptor *blob, size_t limit,
                        struct sb_buf *out, struct sb_error *err);

/* Asks the registry to take the blob from another of its repositories. 1: done. 0: it wants to be
 * sent the blob: *out_session (may be NULL) is then an upload that it has opened already, for
 * sb_remote_blob_put; the caller's to free. */
int sb_remote_blob_mount(struct sb_remote *remote, const struct sb_digest *digest,
                         const char *from_repository, char **out_session, struct sb_error *err);

/* Whether this account may push there, found out by an upload that is begun and given up. 0: as far
 * as can be told; -1: not, or the registry can't be reached. */
int sb_remote_may_push(struct sb_remote *remote, struct sb_error *err);

struct sb_remote_upload {
    struct sb_descriptor blob;
    int fd;              /* an open file that has the blob from its beginning; used with pread */
    const char *session; /* of sb_remote_blob_mount; NULL: a new one */
    bool unverified;     /* don't ask for it afterwards: a manifest that needs it will show */
    void (*progress)(void *data, uint64_t sent); /* bytes of this blob so far; may be NULL */
    void *data;
    /* For a blob that is still being written; blob and fd may then change until it is whole. Waits
     * until its file has wanted bytes, or is whole. 0: blob.size says how many there are, and that
     * isn't all of them; 1: all are there, blob and fd are what they will be; -1: there will be no
     * such blob, or it isn't needed. NULL: it is whole. */
    int (*more)(void *data, uint64_t wanted, struct sb_descriptor *blob, int *fd,
                struct sb_error *err);
};
/* Bytes of one request of an upload: as many as may be sent again after a failure. */
uint64_t sb_remote_upload_chunk(const struct sb_remote *remote);
/* Uploads whatever the registry has; ask sb_remote_blob_head before. In one request where the
 * registry takes that, in chunks where it must be; after a failure only what the registry does not
 * have yet is sent again. The registry verifies the digest, and is asked whether it has the blob
 * afterwards, unless that is not wanted. What was begun in vain the registry is told to forget. */
int sb_remote_blob_put(struct sb_remote *remote, const struct sb_remote_upload *upload,
                       struct sb_error *err);
int sb_remote_blob_put_bytes(struct sb_remote *remote, const void *bytes, size_t len,
                             struct sb_digest *out_digest, struct sb_error *err);

#endif
