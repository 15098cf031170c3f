/*
 * base/cancel: one thread tells others that what they do is of no use any more.
 *
 * Who waits, waits for the descriptor as well; who works asks now and then. It can't be taken back.
 * NULL stands for what is never cancelled.
 */
#ifndef SB_BASE_CANCEL_H
#define SB_BASE_CANCEL_H

#include "base/error.h"

struct sb_cancel;

struct sb_cancel *sb_cancel_new(void);
void sb_cancel_free(struct sb_cancel *cancel);
/* From any thread. */
void sb_cancel_set(struct sb_cancel *cancel);
/* Readable once cancelled; for poll. -1 when there is none. */
int sb_cancel_fd(const struct sb_cancel *cancel);
/* -1 with SB_E_INTERRUPTED once cancelled, else 0. */
int sb_cancel_check(const struct sb_cancel *cancel, struct sb_error *err);

#endif
