/*
 * http/secret: memory that held a password, token or key is overwritten before it is freed.
 *
 *     sb_autosecret struct sb_buf header = {0};
 */
#ifndef SB_HTTP_SECRET_H
#define SB_HTTP_SECRET_H

#include "base/buffer.h"

void sb_secret_free(struct sb_buf *secret);
void sb_secret_free_text(void *address); /* of a char *; NULL is allowed */
/* As sb_buf_add, but what it moves away from is overwritten as well. */
void sb_secret_add(struct sb_buf *secret, const void *bytes, size_t len);
void sb_secret_adds(struct sb_buf *secret, const char *text);

#define sb_autosecret     __attribute__((cleanup(sb_secret_free), unused))
#define sb_autosecrettext __attribute__((cleanup(sb_secret_free_text), unused))

/* Overwrites what a server repeats of a secret, before any of it is shown; secret may be NULL. */
void sb_secret_hide(struct sb_buf *text, const char *secret);

#endif
