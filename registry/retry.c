#include "registry/retry.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"

enum {
    LONGEST_WAIT = 60, /* seconds that a server may ask for */
    TELL_AFTER = 2000, /* milliseconds: shorter waits nobody has to know of */
    TELL_EVERY = 30000,
};

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool sb_retry_worth(int result, const struct sb_http_response *response,
                    const struct sb_error *err) {
    if (result < 0)
        return err->code == SB_E_NETWORK && err->reason == SB_REASON_PASSING;
    switch (response->status) {
    case 408: /* request timeout */
    case 425: /* too early */
    case 429: /* too many requests */
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    default:
        return false;
    }
}

uint64_t sb_retry_after_ms(const char *value, int64_t now) {
    char *end;
    errno = 0;
    long seconds = strtol(value, &end, 10);
    bool endless = errno == ERANGE && seconds > 0;
    if (end == value) {
        struct tm date = {0};
        end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &date);
        if (!end)
            return 0;
        int64_t until = timegm(&date);
        seconds = until - now > LONGEST_WAIT ? LONGEST_WAIT : (long)(until - now);
    }
    if (*end || seconds <= 0)
        return 0;
    return (uint64_t)(seconds > LONGEST_WAIT || endless ? LONGEST_WAIT : seconds) * 1000;
}

/* Anything from nothing to the delay, so that those who failed together do not come back together.
 */
static uint64_t jitter(uint64_t delay) {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint64_t)clock();
    return random % (delay + 1);
}

static int wait_ms(const struct sb_cancel *cancel, uint64_t ms, struct sb_error *err) {
    const int64_t end = clock_ms() + (int64_t)ms;
    for (int64_t left = (int64_t)ms;;) {
        if (sb_interrupt_check(err) < 0 || sb_cancel_check(cancel, err) < 0)
            return -1;
        if (left <= 0)
            return 0;
        struct pollfd enough[2] = {{.fd = sb_interrupt_fd(), .events = POLLIN},
                                   {.fd = sb_cancel_fd(cancel), .events = POLLIN}};
        (void)poll(enough, 2, (int)left);
        left = end - clock_ms();
    }
}

int sb_retry_pause(const struct sb_cancel *cancel, uint64_t ms, struct sb_error *err) {
    return wait_ms(cancel, jitter(ms), err);
}

/* ---- telling ---- */

void sb_retry_watch_init(struct sb_retry_watch *watch) {
    *watch = (struct sb_retry_watch){0};
    pthread_mutex_init(&watch->lock, NULL);
}

void sb_retry_watch_free(struct sb_retry_watch *watch) {
    free(watch->told_whom);
    pthread_mutex_destroy(&watch->lock);
}

void sb_retry_watch_set(struct sb_retry_watch *watch, void (*notify)(void *data, const char *text),
                        void *data) {
    pthread_mutex_lock(&watch->lock);
    watch->notify = notify;
    watch->data = data;
    pthread_mutex_unlock(&watch->lock);
}

static char *why(int result, const struct sb_http_response *response, const struct sb_error *err) {
    return result < 0 ? sb_strdup(sb_text_shown(err->message).text)
                      : sb_format("status %d", response->status);
}

static char *whom(const struct sb_retry *retry) {
    return sb_format("%s%s", retry->server ? "" : "registry ", retry->host);
}

/* Many threads may wait for the same: one line does for all. */
static void tell(const struct sb_retry *retry, int64_t waited, uint64_t delay, int result,
                 const struct sb_http_response *response, const struct sb_error *err) {
    struct sb_retry_watch *watch = retry->watch;
    if (!watch || waited + (int64_t)delay < TELL_AFTER)
        return;
    int64_t now = clock_ms();
    sb_autofree char *reason = why(result, response, err);
    sb_autofree char *name = whom(retry);
    sb_autofree char *text =
        sb_format("%s: %s; waiting for it for %s more at most", name, reason,
                  sb_text_seconds((double)(retry->policy.patience - waited) / 1000).text);
    pthread_mutex_lock(&watch->lock);
    bool due = !watch->told || now - watch->told >= TELL_EVERY;
    if (due && watch->notify)
        watch->notify(watch->data, text);
    if (due) {
        watch->told = now;
        free(watch->told_whom);
        watch->told_whom = sb_steal(name);
    }
    pthread_mutex_unlock(&watch->lock);
}

void sb_retry_answered(const struct sb_retry *retry) {
    struct sb_retry_watch *watch = retry->watch;
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    sb_autofree char *name = watch->told ? whom(retry) : NULL;
    bool told = name && !strcmp(watch->told_whom, name);
    if (told)
        watch->told = 0;
    if (told && watch->notify) {
        sb_autofree char *text = sb_format("%s: it answers again", name);
        watch->notify(watch->data, text);
    }
    pthread_mutex_unlock(&watch->lock);
}

/* ---- again ---- */

void sb_retry_progress(struct sb_retry *retry) {
    retry->made = 0;
    retry->since = 0;
}

void sb_retry_context(const struct sb_retry *retry, struct sb_error *err) {
    double waited = retry->since ? (double)(clock_ms() - retry->since) / 1000 : 0;
    if (retry->made < 2)
        return;
    if (waited < 1)
        sb_error_context(err, "after %d attempts", retry->made);
    else
        sb_error_context(err, "after %d attempts in %s", retry->made, sb_text_seconds(waited).text);
}

int sb_retry_again(struct sb_retry *retry, int result, const struct sb_http_response *response,
                   struct sb_error *err) {
    const struct sb_retry_policy *policy = &retry->policy;
    retry->made++;
    if (!sb_retry_worth(result, response, err))
        return 0;
    int64_t now = clock_ms();
    if (!retry->since)
        retry->since = now;
    int64_t waited = now - retry->since, left = (int64_t)policy->patience - waited;
    if (left <= 0 || (policy->attempts && retry->made >= policy->attempts))
        return 0;
    uint64_t delay = policy->base;
    for (int i = 1; i < retry->made && delay < policy->limit; i++)
        delay *= 2;
    delay = delay < policy->limit ? delay : policy->limit;
    delay = delay / 2 + jitter(delay - delay / 2);
    if (delay > (uint64_t)left) /* the last attempt is made when patience ends */
        delay = (uint64_t)left;
    const char *after = result == 0 ? sb_http_header(response, "retry-after") : NULL;
    if (after)
        delay += sb_retry_after_ms(after, (int64_t)time(NULL));
    tell(retry, waited, delay, result, response, err);
    return wait_ms(retry->cancel, delay, err) < 0 ? -1 : 1;
}
