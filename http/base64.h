/*
 * http/base64: of credentials, so memory is overwritten before it is freed (http/secret).
 */
#ifndef SB_HTTP_BASE64_H
#define SB_HTTP_BASE64_H

#include <stddef.h>

#include "base/buffer.h"

/* Appends; both sides hold secrets. */
void sb_base64_encode(const void *bytes, size_t len, struct sb_buf *out);

/* Appends the bytes. -1 unless text is whole groups of four of the standard alphabet, padded. */
int sb_base64_decode(const char *text, struct sb_buf *out);

#endif
