#include "registry/fetch.h"

#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "registry/reference.h"

#define TELL_EVERY   (1u << 20) /* bytes */
#define FEW_ATTEMPTS 2          /* at one of several places */

void sb_fetch_tell(const struct sb_fetch_watch *watch, enum sb_transfer_state state,
                   const struct sb_descriptor *blob, uint64_t bytes, const char *where) {
    if (!watch->notify)
        return;
    struct sb_transfer_event event = {
        .state = state, .sending = watch->sending, .blob = blob, .bytes = bytes, .where = where};
    watch->notify(watch->data, &event);
}

int sb_registry_failed(struct sb_error *err) {
    if (err && (err->code == SB_E_NOT_FOUND || err->code == SB_E_FAILED))
        err->code = SB_E_NETWORK;
    return -1;
}

/* ---- one blob, from one place ---- */

struct arrival {
    struct sb_blob_writer *writer;
    const struct sb_fetch_watch *watch;
    const struct sb_descriptor *blob;
    const char *where;
    uint64_t bytes, told;
};

static int arrive(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct arrival *a = data;
    if (sb_interrupt_check(err) < 0 || sb_blob_append(a->writer, bytes, len, err) < 0)
        return -1;
    a->bytes += len;
    if (a->bytes - a->told >= TELL_EVERY) {
        a->told = a->bytes;
        sb_fetch_tell(a->watch, SB_TRANSFER_PROGRESS, a->blob, a->bytes, a->where);
    }
    return 0;
}

/* url: NULL where the repository has it. */
static int fetch_from(const struct sb_fetch_source *source, struct sb_remote *remote,
                      const char *url, const char *where, struct sb_store *store,
                      const struct sb_descriptor *blob, struct sb_error *err) {
    struct arrival arrival = {.watch = &source->watch, .blob = blob, .where = where};
    if (sb_blob_begin(store, &arrival.writer, err) < 0)
        return -1;
    sb_blob_announce(arrival.writer, &blob->digest); /* sb_remote_blob_get verifies it */
    sb_fetch_tell(arrival.watch, SB_TRANSFER_START, blob, 0, where);
    if ((url ? sb_remote_blob_get_url(remote, blob, url, arrive, &arrival, err)
             : sb_remote_blob_get(remote, blob, arrive, &arrival, err)) < 0) {
        sb_blob_abort(arrival.writer);
        return -1;
    }
    if (sb_blob_commit(arrival.writer, &blob->digest, NULL, NULL, err) < 0)
        return -1;
    sb_fetch_tell(arrival.watch, SB_TRANSFER_DONE, blob, blob->size, where);
    return 0;
}

/* ---- from wherever it is ---- */

/* attempts: how many at most, 0: as patience has it. */
static int fetch_from_origin(const struct sb_fetch_source *source, const char *origin, int attempts,
                             struct sb_store *store, const struct sb_descriptor *blob,
                             struct sb_error *err) {
    struct sb_reference place;
    const char *bar = strchr(origin, '|'); /* sb_origin_url */
    sb_autofree char *url = bar ? sb_strndup(origin, (size_t)(bar - origin)) : NULL;
    const char *where = bar ? bar + 1 : origin;
    if (sb_reference_parse(where, &place, err) < 0)
        return -1;
    struct sb_remote *remote = sb_remote_open(source->registry, place.host, place.repository);
    sb_remote_set_cancel(remote, source->cancel);
    if (attempts)
        sb_remote_set_attempts(remote, attempts);
    int rc = fetch_from(source, remote, url, where, store, blob, err);
    sb_remote_free(remote);
    sb_reference_free(&place);
    return rc;
}

/* Another place may help where one does not have the blob, or can't be reached, or lies. */
static bool may_be_elsewhere(const struct sb_error *err) {
    return err->code == SB_E_NETWORK || err->code == SB_E_NOT_FOUND ||
           err->code == SB_E_INTEGRITY || err->code == SB_E_USAGE;
}

/* 1: none has it now, and one may later, when only those that may are asked (*out_later: which). */
static int fetch_round(const struct sb_fetch_source *source, const struct sb_strings *origins,
                       int attempts, struct sb_store *store, const struct sb_descriptor *blob,
                       struct sb_strings *out_later, struct sb_error *err) {
    struct sb_error own;
    for (size_t i = 0; i < origins->n; i++) {
        own = (struct sb_error){0};
        if (fetch_from_origin(source, origins->v[i], attempts, store, blob, &own) == 0)
            return 0;
        if (i == 0 || !may_be_elsewhere(&own))
            *err = own;
        if (!may_be_elsewhere(&own))
            return -1;
        if (own.code == SB_E_NETWORK && own.reason == SB_REASON_PASSING)
            sb_strings_add(out_later, origins->v[i]);
    }
    return out_later->n > 0 ? 1 : -1;
}

/* One that is away is waited for only when no other has the blob. */
int sb_fetch_from_origins(void *data, struct sb_store *store, const struct sb_descriptor *blob,
                          const struct sb_strings *origins, struct sb_error *err) {
    struct sb_error failure = {0};
    sb_autostrings struct sb_strings later = {0}, ignored = {0};
    int rc = origins->n == 1
                 ? fetch_round(data, origins, 0, store, blob, &ignored, &failure)
                 : fetch_round(data, origins, FEW_ATTEMPTS, store, blob, &later, &failure);
    if (rc > 0 && later.n > 0)
        rc = fetch_round(data, &later, 0, store, blob, &ignored, &failure);
    if (rc == 0)
        return 0;
    if (err)
        *err = failure;
    return sb_registry_failed(err);
}
