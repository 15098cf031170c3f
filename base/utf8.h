/*
 * base/utf8: the characters that text is made of (RFC 3629).
 */
#ifndef SB_BASE_UTF8_H
#define SB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the well-formed character that text, which ends in NUL, begins with; 0 when it
 * begins with none. */
size_t sb_utf8_length(const char *text);
/* Whether that is one that never stands for anything, such as U+FFFE. */
bool sb_utf8_is_noncharacter(const char *text);

#endif
