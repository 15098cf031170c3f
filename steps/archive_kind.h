/*
 * steps/archive_kind: what a file is that should be unpacked, by its first bytes.
 */
#ifndef SB_STEPS_ARCHIVE_KIND_H
#define SB_STEPS_ARCHIVE_KIND_H

#include <stdbool.h>

#include "base/error.h"

bool sb_archive_is_zip(int fd);

/* Of a file that could not be unpacked: says what it is instead of an archive, and what to do, when
 * that is why (err says that it is no tar). The answer is -1. */
int sb_archive_refuse(int fd, struct sb_error *err);

#endif
