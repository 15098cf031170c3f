#include "http/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/memory.h"
#include "http/secret.h"

#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

void sb_base64_encode(const void *bytes, size_t len, struct sb_buf *out) {
    sb_autosecret struct sb_buf text = {0};
    sb_buf_reserve(&text, (len + 2) / 3 * 4 + 1);
    int n = EVP_EncodeBlock((unsigned char *)text.data, bytes, (int)len);
    sb_secret_add(out, text.data, (size_t)n);
}

int sb_base64_decode(const char *text, struct sb_buf *out) {
    size_t len = strlen(text), plain = strspn(text, ALPHABET);
    size_t padding = len - plain;
    if (len % 4 || padding > 2 || len > INT_MAX || strspn(text + plain, "=") != padding)
        return -1;
    sb_autosecret struct sb_buf bytes = {0};
    sb_buf_reserve(&bytes, len / 4 * 3 + 1);
    int n = EVP_DecodeBlock((unsigned char *)bytes.data, (const unsigned char *)text, (int)len);
    if (n < 0 || (size_t)n < padding)
        return -1;
    sb_secret_add(out, bytes.data, (size_t)n - padding);
    return 0;
}
