/*
 * builder/workshop: what all targets of a build have in common: where they work, by whose wishes,
 * and whom they tell. A target knows its workshop, and neither the build nor targets that it has no
 * edge to.
 */
#ifndef SB_BUILDER_WORKSHOP_H
#define SB_BUILDER_WORKSHOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "builder/request.h"
#include "builder/shelf.h"
#include "document/pairs.h"
#include "document/settings.h"
#include "layers/store.h"

struct sb_remote_cache;

struct sb_workshop {
    /* Set when the build is made: */
    struct sb_store *store;
    const struct sb_settings *settings;
    const struct sb_build_request *request;
    struct sb_remote_cache *remote; /* NULL without a shared cache */
    int64_t epoch;
    bool shows_platforms; /* they are told of */
    /* That what all targets read is there, and with deep, that it may be read; data is the build.
     */
    int (*check_inputs)(void *data, bool deep, struct sb_error *err);
    void *data;
    struct sb_shelf shelf; /* of who is at work alone */
    /* From any thread: */
    atomic_size_t next_id; /* of events */
    atomic_bool rejected;  /* a record of the shared cache was found to be wrong */
    pthread_mutex_t lock;
    struct sb_strings warned; /* what was, under lock */
    struct sb_pairs
        settled; /* names that may move, to what they stand for in this build; likewise */
};

void sb_workshop_init(struct sb_workshop *shop);
void sb_workshop_free(struct sb_workshop *shop);

/* That compress, for one layer; as many targets are at work at once. */
int sb_workshop_threads(const struct sb_workshop *shop);

/* To whoever listens to the build, one event at a time. */
void sb_workshop_tell(struct sb_workshop *shop, const struct sb_event *event);
void sb_workshop_warn(struct sb_workshop *shop, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Of several with one key only the first is told. */
void sb_workshop_warn_once(struct sb_workshop *shop, const char *key, const char *text);

#endif
