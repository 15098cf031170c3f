/*
 * sandbox/emulation: whether this machine runs programs of another processor, by itself or through
 * an emulator that its kernel knows (binfmt_misc).
 *
 * It is tried, by a program of a few instructions for that processor, in a root of its own, as
 * steps run in one: what /proc says of handlers need not be there to be read.
 */
#ifndef SB_SANDBOX_EMULATION_H
#define SB_SANDBOX_EMULATION_H

#include "base/error.h"

enum sb_emulation {
    SB_EMULATION_NONE,    /* it can't */
    SB_EMULATION_OUTSIDE, /* only outside of roots: the emulator is not found in them */
    SB_EMULATION_WORKS,   /* also when it can't be tried */
};

/* architecture: in Go's spelling. directory: one of this process's own, where programs may run. */
enum sb_emulation sb_emulation_try(const char *architecture, const char *directory);

/* Says why and what to do, in the hint of an error. Returns -1. */
int sb_emulation_hint(enum sb_emulation emulation, const char *platform, struct sb_error *err);

#endif
