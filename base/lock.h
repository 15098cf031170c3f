/*
 * base/lock: advisory locks between processes, held on a file by flock(2).
 *
 * A lock is the descriptor: closing it, or dying, lets go. Lock files are never removed by their
 * holders, so two processes can't hold "the same" lock on two inodes.
 */
#ifndef SB_BASE_LOCK_H
#define SB_BASE_LOCK_H

#include <stdbool.h>

#include "base/error.h"

enum sb_lock_mode {
    SB_LOCK_SHARED,
    SB_LOCK_EXCLUSIVE,
};

/* Waits for the lock, creating the file when missing. Its mode is 0600: whoever may read it could
 * hold the lock. Ends with SB_E_INTERRUPTED when
 * the process is interrupted meanwhile. Returns the descriptor, or -1. */
int sb_lock_take(int dirfd, const char *path, enum sb_lock_mode mode, struct sb_error *err);

/* The same without waiting: -1 with os_errno EWOULDBLOCK in err when another holds it. */
int sb_lock_try(int dirfd, const char *path, enum sb_lock_mode mode, struct sb_error *err);

#endif
