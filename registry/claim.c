/* What several pushes would do at once, and one does for all: the others wait for it. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/process.h"
#include "registry/remote_private.h"

enum { LOOK_UP_MS = 100 }; /* whether it is still wanted */

static void wait_a_little(struct sb_registry *registry) {
    sb_assert_locked(&registry->lock);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_UP_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&registry->unclaimed, &registry->lock, &until);
}

int sb_registry_claim(struct sb_registry *registry, const char *what,
                      const struct sb_cancel *cancel, struct sb_error *err) {
    int failed = 0;
    pthread_mutex_lock(&registry->lock);
    while (!failed && sb_strings_has(&registry->claims, what)) {
        wait_a_little(registry);
        failed = sb_interrupt_check(err) < 0 ? -1 : sb_cancel_check(cancel, err);
    }
    if (!failed)
        sb_strings_add(&registry->claims, what);
    pthread_mutex_unlock(&registry->lock);
    return failed;
}

void sb_registry_unclaim(struct sb_registry *registry, const char *what) {
    struct sb_strings *claims = &registry->claims;
    pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < claims->n; i++)
        if (!strcmp(claims->v[i], what)) {
            free(claims->v[i]);
            claims->v[i] = claims->v[--claims->n];
            break;
        }
    pthread_cond_broadcast(&registry->unclaimed);
    pthread_mutex_unlock(&registry->lock);
}
