/*
 * registry/retry: what is asked again, when, and for how long: of repositories (registry/remote)
 * and of other servers (steps/fetch).
 */
#ifndef SB_REGISTRY_RETRY_H
#define SB_REGISTRY_RETRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "registry/http.h"

/* Who is told of long pauses: one line, from any thread, of what many may wait for. */
struct sb_retry_watch {
    pthread_mutex_t lock; /* for all below */
    void (*notify)(void *data, const char *text);
    void *data;
    int64_t told;    /* when it was last told of waiting; 0: what was waited for answered */
    char *told_whom; /* of that */
};
void sb_retry_watch_init(struct sb_retry_watch *watch);
void sb_retry_watch_free(struct sb_retry_watch *watch);
/* NULL: nobody. What was set before is not called any more once this returns. */
void sb_retry_watch_set(struct sb_retry_watch *watch, void (*notify)(void *data, const char *text),
                        void *data);

struct sb_retry_policy {
    uint64_t patience; /* milliseconds from the first failure to the last attempt */
    int attempts;      /* at most; 0: as many as patience allows */
    uint64_t base;     /* milliseconds before the second attempt at most; doubled for each more */
    uint64_t limit;    /* … up to this */
};
struct sb_retry {
    struct sb_retry_policy policy;
    const struct sb_cancel *cancel; /* ends pauses; may be NULL */
    struct sb_retry_watch *watch;   /* may be NULL */
    const char *host;               /* for that */
    bool server;                    /* it is of no registry */
    int made;                       /* attempts without progress so far */
    int64_t since;                  /* when the first of them failed; 0: none has */
};

/* How an attempt ended is told by result, response and err, as sb_http_perform left them. Returns 1
 * after a pause: try again. 0: that would not help, or was tried long enough; err is untouched.
 * -1: interrupted, in err. */
int sb_retry_again(struct sb_retry *retry, int result, const struct sb_http_response *response,
                   struct sb_error *err);
/* Something got through: patience begins anew. */
void sb_retry_progress(struct sb_retry *retry);
/* Puts in front of the message how often and how long it was tried, if more than once. */
void sb_retry_context(const struct sb_retry *retry, struct sb_error *err);
/* It has answered: who was told of waiting is told so. */
void sb_retry_answered(const struct sb_retry *retry);
/* True for what may work when repeated. */
bool sb_retry_worth(int result, const struct sb_http_response *response,
                    const struct sb_error *err);
/* A pause of anything up to ms milliseconds, between attempts of one's own. -1 when interrupted or
 * cancelled. */
int sb_retry_pause(const struct sb_cancel *cancel, uint64_t ms, struct sb_error *err);
/* Of a Retry-After header, in seconds or as a date; at most 60 s; 0 for what can't be read. */
uint64_t sb_retry_after_ms(const char *value, int64_t now);

#endif
