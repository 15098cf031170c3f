/*
 * base/clock: how long something takes.
 */
#ifndef SB_BASE_CLOCK_H
#define SB_BASE_CLOCK_H

/* Seconds since some moment, the same for all processes of this boot; never set back. */
double sb_clock_seconds(void);

#endif
