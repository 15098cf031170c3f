/*
 * base/interrupt: a signal that asks this process to stop, as something to look at.
 *
 * SIGINT, SIGTERM and SIGHUP set a flag and write to a pipe, instead of ending the process: what
 * waits polls the pipe, what works long looks at the flag now and then, and both end as after any
 * other error, so that what they made is cleaned up.
 */
#ifndef SB_BASE_INTERRUPT_H
#define SB_BASE_INTERRUPT_H

#include "base/error.h"

/* Call once, early, before threads. */
void sb_interrupt_install(void);
/* 0, or the signal that asked this process to stop. */
int sb_interrupt_signal(void);
/* Readable once interrupted; for poll. -1 before sb_interrupt_install. */
int sb_interrupt_fd(void);
/* -1 with SB_E_INTERRUPTED once interrupted, else 0. */
int sb_interrupt_check(struct sb_error *err);

#endif
