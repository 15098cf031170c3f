#include "base/cancel.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"

struct sb_cancel {
    atomic_bool is_set;
    int fd; /* -1 when there are no descriptors left: then it is noticed later */
};

struct sb_cancel *sb_cancel_new(void) {
    struct sb_cancel *cancel = sb_alloc(sizeof *cancel);
    cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return cancel;
}

void sb_cancel_free(struct sb_cancel *cancel) {
    if (!cancel)
        return;
    if (cancel->fd >= 0)
        close(cancel->fd);
    free(cancel);
}

void sb_cancel_set(struct sb_cancel *cancel) {
    const uint64_t one = 1;
    if (!cancel || atomic_exchange(&cancel->is_set, true) || cancel->fd < 0)
        return;
    (void)!write(cancel->fd, &one, sizeof one);
}

int sb_cancel_fd(const struct sb_cancel *cancel) {
    return cancel ? cancel->fd : -1;
}

int sb_cancel_check(const struct sb_cancel *cancel, struct sb_error *err) {
    if (!cancel || !atomic_load(&cancel->is_set))
        return 0;
    return sb_fail(err, SB_E_INTERRUPTED, "left off, as something else failed");
}
