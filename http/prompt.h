/*
 * http/prompt: what is secret, from standard input or typed on the terminal.
 */
#ifndef SB_HTTP_PROMPT_H
#define SB_HTTP_PROMPT_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"

/* Asks on the controlling terminal, without showing what is typed when it is secret. SB_E_USAGE
 * when there is no terminal. out is a secret. */
int sb_prompt(const char *question, bool secret, struct sb_buf *out, struct sb_error *err);

/* All of standard input, without the line's end; at most 64 KiB. */
int sb_prompt_read_stdin(struct sb_buf *out, struct sb_error *err);

#endif
