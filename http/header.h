/*
 * http/header: headers of an answer, each "name: value" with the name in lower case.
 */
#ifndef SB_HTTP_HEADER_H
#define SB_HTTP_HEADER_H

#include "base/buffer.h"

/* The value of the first header of that lower-case name; NULL when there is none. */
const char *sb_header_find(const struct sb_strings *headers, const char *name);

#endif
