/*
 * registry/remote_private: what the files of registry/remote share. Nobody else includes it.
 *
 *     remote.c           what registries and repositories are; making requests
 *     claim.c            what is done once in a process
 *     remote_error.c     a server's refusal as a message
 *     remote_link.c      URLs that a server names: Location, Link
 *     remote_manifest.c  remote_blob.c  remote_upload.c  remote_session.c  remote_tags.c  attach.c
 */
#ifndef SB_REGISTRY_REMOTE_PRIVATE_H
#define SB_REGISTRY_REMOTE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "registry/remote.h"

/* ---- remote.c ---- */

/* What was learned of a host or mirror while this process ran. */
enum sb_trait {
    SB_TRAIT_NO_REFERRERS = 1, /* has no referrers API */
    SB_TRAIT_ONE_PUT = 2,      /* refuses blobs in several chunks */
    SB_TRAIT_SMALL_BODIES = 4, /* refuses large bodies */
    SB_TRAIT_LIED = 8,         /* a mirror whose content was not what its digest says */
    SB_TRAIT_NO_HEAD = 16,     /* says of a manifest by GET what it does not by HEAD */
};

#define SB_UPLOAD_CHUNK (64u << 20)

struct sb_known;
struct sb_registry {
    struct sb_registry_options options;
    struct sb_retry_policy retry;
    uint64_t chunk; /* bytes of one request of an upload */
    struct sb_http *http;
    struct sb_retry_watch watch;
    pthread_mutex_t lock; /* for all below */
    uint64_t sent, received;
    struct sb_known *known;
    size_t known_count, known_cap;
    struct sb_strings claims;
    pthread_cond_t unclaimed;
};

struct sb_remote {
    struct sb_registry *registry;
    char *host, *repository;
    char *scope_pull, *scope_push, *scope_delete;
    atomic_bool push, answered;
    int attempts;                   /* at a request before it has answered; 0: as always */
    const struct sb_cancel *cancel; /* may be NULL */
};

bool sb_registry_has_trait(struct sb_registry *registry, const char *name, enum sb_trait trait);
void sb_registry_add_trait(struct sb_registry *registry, const char *name, enum sb_trait trait);

/* A request to the repository; target is used, not copied. */
struct sb_http_request sb_remote_request(struct sb_remote *remote, const char *method,
                                         const char *target);
struct sb_retry sb_remote_retry(const struct sb_remote *remote);

/* One attempt: sb_http_perform, counted. */
int sb_remote_once(struct sb_remote *remote, const struct sb_http_request *request,
                   struct sb_http_response *response, struct sb_error *err);
/* Repeated while that helps. A failure names registry, repository and what ("GET manifest v1");
 * any answer is success. Free response in every case. */
int sb_remote_perform(struct sb_remote *remote, const struct sb_http_request *request,
                      const char *what, struct sb_http_response *response, struct sb_error *err);
/* Puts "registry …: repository …: what: " in front of the message. Returns -1. */
int sb_remote_context(const struct sb_remote *remote, const char *what, struct sb_error *err);

#define sb_autoresponse __attribute__((cleanup(sb_http_response_free), unused))

/* Where reading may be tried: mirrors first, unless this repository is written to. */
struct sb_remote_source {
    const char *mirror; /* as in the settings; NULL: the registry itself */
    char *base;         /* "/v2/team/app" or "https://mirror.example.com/v2/team/app" */
    const char *url;    /* of what is asked for, instead; NULL */
    char *host;         /* whose credentials and TLS settings count */
    char *scope;        /* NULL: the remote's own */
    bool hopeless;      /* asking it again would not help */
};
struct sb_remote_sources {
    struct sb_remote_source *v;
    size_t n, cap;
};
void sb_remote_sources(struct sb_remote *remote, bool mirrors, struct sb_remote_sources *out);
void sb_remote_sources_free(struct sb_remote_sources *sources);
/* A GET of something below the source's base; target is used, not copied. */
struct sb_http_request sb_remote_source_request(struct sb_remote *remote,
                                                const struct sb_remote_source *source,
                                                const char *target);
/* One attempt at one source. 0: done; 1: it answered otherwise, as response tells; -1: not, as err
 * tells; -2: that, and no other source would help. Repeats itself while it gets on, and says so by
 * sb_retry_progress. */
typedef int sb_remote_source_attempt(void *data, const struct sb_remote_source *source,
                                     struct sb_retry *retry, struct sb_http_response *response,
                                     struct sb_error *err);
/* One source after the other, and all of them again while that may help one: a mirror that is away
 * costs nothing where the registry answers. What the registry itself says is the last word. kind
 * and name are for messages ("blob", "sha256:…"). */
int sb_remote_sources_try(struct sb_remote *remote, struct sb_remote_sources *sources,
                          const char *kind, const char *name, sb_remote_source_attempt *attempt,
                          void *data, struct sb_error *err);
#define sb_autosources __attribute__((cleanup(sb_remote_sources_free), unused))

/* ---- remote_error.c ---- */

/* An answer that is not what was hoped for, as an error: what the server said of it, bounded and
 * without control characters, and a hint. Returns -1. */
int sb_remote_refused(const struct sb_remote *remote, const struct sb_http_response *response,
                      const char *what, struct sb_error *err);
/* True when one of the error codes in the answer's body is this ("NAME_UNKNOWN"). */
bool sb_remote_said(const struct sb_http_response *response, const char *code);
/* Checks a Docker-Content-Digest header, if there is one of SHA-256. 1: equal, 0: none, -1. */
int sb_remote_check_digest(const struct sb_http_response *response, const struct sb_digest *wanted,
                           struct sb_error *err);

/* The answer's body as a JSON object, a new reference; NULL and SB_E_NETWORK when it isn't one. */
json_t *sb_remote_json(const struct sb_http_response *response, struct sb_error *err);

/* ---- remote_link.c ---- */

/* A Location, or the URL of a Link, that the answer to a request for base gave, as the target of
 * another request. On the registry itself it becomes a path. One elsewhere must be https, and is
 * allowed only where elsewhere is true. */
int sb_remote_location(const struct sb_remote *remote, const char *base, const char *location,
                       bool elsewhere, char **out_target, struct sb_error *err);
/* The URL of the Link header with rel="next", as a target; *out_target NULL when there is none. */
int sb_remote_next_page(const struct sb_remote *remote, const char *base,
                        const struct sb_http_response *response, char **out_target,
                        struct sb_error *err);

/* ---- remote_session.c: one upload session of the registry ---- */

struct sb_session {
    struct sb_remote *remote;
    char *target;       /* of its next request; NULL: none is open */
    uint64_t offset;    /* bytes that the registry has */
    uint64_t min_chunk; /* it wants no smaller ones, but the last */
};
int sb_session_open(struct sb_session *session, struct sb_error *err);
/* Takes Location and Range of the answer to a chunk that ended at expected. */
int sb_session_accepted(struct sb_session *session, const struct sb_http_response *response,
                        uint64_t expected, struct sb_error *err);
/* Asks where the session stands; sent is the offset behind all that was ever sent. Leaves target
 * NULL when it is gone, or can't be relied on. */
int sb_session_ask(struct sb_session *session, uint64_t sent, struct sb_error *err);
/* Tells the registry, if possible, to forget it; also when this process was interrupted. */
void sb_session_cancel(struct sb_session *session);
/* "0-1023": bytes received, 1024; false for what can't be read. "0-0" is none for some registries,
 * one byte for others: *out is 1. */
bool sb_session_range(const char *value, uint64_t *out);

/* ---- remote_manifest.c ---- */

/* sb_remote_manifest_put; *out_subject (may be NULL) tells whether the registry has understood the
 * manifest's "subject". */
int sb_remote_manifest_send(struct sb_remote *remote, const char *reference, const char *media_type,
                            const void *bytes, size_t len, bool *out_subject, struct sb_error *err);

#endif
