#include "http/secret.h"

#include <string.h>

#include "base/memory.h"

void sb_secret_free(struct sb_buf *secret) {
    if (secret->data)
        explicit_bzero(secret->data, secret->cap);
    sb_buf_free(secret);
}

void sb_secret_free_text(void *address) {
    char *text = *(char **)address;
    if (text)
        explicit_bzero(text, strlen(text));
    sb_free_pointer(address);
}

void sb_secret_add(struct sb_buf *secret, const void *bytes, size_t len) {
    if (secret->cap - secret->len <= len) { /* one more for the NUL byte */
        struct sb_buf larger = {0};
        sb_buf_reserve(&larger, 2 * (secret->len + len) + 64);
        sb_buf_add(&larger, sb_buf_text(secret), secret->len);
        sb_secret_free(secret);
        *secret = larger;
    }
    sb_buf_add(secret, bytes, len);
}

void sb_secret_adds(struct sb_buf *secret, const char *text) {
    sb_secret_add(secret, text, strlen(text));
}

void sb_secret_hide(struct sb_buf *text, const char *secret) {
    size_t len = secret ? strlen(secret) : 0;
    if (len == 0 || !text->data)
        return;
    for (char *at = text->data;
         (at = memmem(at, text->len - (size_t)(at - text->data), secret, len));)
        memset(at, '*', len);
}
