#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/process.h"
#include "registry/remote_private.h"

enum { LONGEST_WAIT = 60 }; /* seconds that a server may ask for */

bool sb_retry_worth(int result, const struct sb_http_response *response,
                    const struct sb_error *err) {
    if (result < 0)
        return err->code == SB_E_NETWORK && err->os_errno == EAGAIN;
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

/* Full jitter: anything from nothing to the delay, so that those who failed together do not come
 * back together. */
static uint64_t jitter(uint64_t delay) {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint64_t)clock();
    return random % (delay + 1);
}

static int wait_ms(const struct sb_cancel *cancel, uint64_t ms, struct sb_error *err) {
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int64_t left = (int64_t)ms;;) {
        if (sb_interrupt_check(err) < 0 || sb_cancel_check(cancel, err) < 0)
            return -1;
        if (left <= 0)
            return 0;
        struct pollfd enough[2] = {{.fd = sb_interrupt_fd(), .events = POLLIN},
                                   {.fd = sb_cancel_fd(cancel), .events = POLLIN}};
        (void)poll(enough, 2, (int)left);
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = (int64_t)ms -
               ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
    }
}

int sb_remote_pause(const struct sb_remote *remote, uint64_t ms, struct sb_error *err) {
    return wait_ms(remote->cancel, jitter(ms), err);
}

int sb_retry_again(struct sb_retry *retry, int result, const struct sb_http_response *response,
                   struct sb_error *err) {
    const struct sb_retry_policy *policy = &retry->policy;
    int most = result < 0 && policy->unanswered ? policy->unanswered : policy->attempts;
    retry->made++;
    if (!sb_retry_worth(result, response, err) || retry->made >= most)
        return 0;
    uint64_t delay = retry->policy.base;
    for (int i = 1; i < retry->made && delay < retry->policy.limit; i++)
        delay *= 2;
    delay = jitter(delay < retry->policy.limit ? delay : retry->policy.limit);
    const char *after = result == 0 ? sb_http_header(response, "retry-after") : NULL;
    if (after)
        delay += sb_retry_after_ms(after, (int64_t)time(NULL));
    return wait_ms(retry->cancel, delay, err) < 0 ? -1 : 1;
}
