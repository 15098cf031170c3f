#include "base/visible.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

/* Bytes of the character at p, of at most len, and which it is; 0 when it is none. */
static size_t decode(const char *p, size_t len, unsigned *out_code) {
    char one[5] = {0};
    memcpy(one, p, len < 4 ? len : 4);
    size_t n = sb_utf8_length(one);
    unsigned code = (unsigned char)one[0];
    if (n > 1)
        code &= 0xFFu >> (n + 1);
    for (size_t i = 1; i < n; i++)
        code = code << 6 | ((unsigned char)one[i] & 0x3F);
    *out_code = code;
    return n;
}

/* Characters that steer, or that can't be seen and change what is seen: controls, the order of
 * letters, line breaks of Unicode, spaces without width, tags. The joiners U+200C and U+200D are
 * part of how some languages are written. */
static bool is_hidden(unsigned code) {
    static const struct {
        unsigned first, last;
    } ranges[] = {
        {0x00, 0x1F},       {0x7F, 0x9F},     {0x061C, 0x061C}, {0x180E, 0x180E},
        {0x200B, 0x200B},   {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},
        {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB}, {0xFFFE, 0xFFFF}, {0x1D173, 0x1D17A},
        {0xE0000, 0xE0FFF},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    return false;
}

/* How many bytes from text on stay as they are, looked at quickly: nearly all of nearly all text.
 */
static size_t plain_length(const char *text, size_t len) {
    size_t n = 0;
    while (n < len && text[n] >= 0x20 && text[n] < 0x7F && text[n] != '\\')
        n++;
    return n;
}

void sb_visible_add(struct sb_buf *out, const char *text, size_t len, unsigned how) {
    for (size_t at = 0, n; at < len; at += n) {
        const char *p = text + at;
        unsigned code;
        n = plain_length(p, len - at);
        if (n > 0) {
            sb_buf_add(out, p, n);
            continue;
        }
        n = decode(p, len - at, &code);
        if (*p == '\n' || *p == '\t')
            sb_buf_adds(out, how & SB_VISIBLE_LINES ? (char[]){*p, 0} : *p == '\n' ? "\\n" : "\\t");
        else if (*p == '\\' && how & SB_VISIBLE_BACKSLASHES)
            sb_buf_adds(out, "\\\\");
        else if (n > 0 && !is_hidden(code))
            sb_buf_add(out, p, n);
        else
            for (size_t i = 0; i < (n ? n : 1); i++)
                sb_buf_addf(out, "\\x%02x", (unsigned char)p[i]);
        n += !n;
    }
}

char *sb_visible(const char *text, unsigned how) {
    struct sb_buf out = {0};
    sb_buf_adds(&out, "");
    sb_visible_add(&out, text, strlen(text), how);
    return sb_buf_steal(&out);
}

/* ---- what programs print ---- */

/* Bytes of the sequence that p, an ESC or CSI of introducer bytes, begins (ECMA-48): parameters and
 * a final byte, or a string up to its end. A sequence that is cut short goes as far as it goes. */
static size_t sequence_length(const char *p, size_t len, size_t introducer) {
    size_t n = introducer;
    char kind = introducer == 1 ? (n < len ? p[n++] : 0) : '[';
    if (kind == '[') {
        while (n < len && p[n] >= 0x20 && p[n] < 0x40)
            n++;
        return n < len && p[n] >= 0x40 && p[n] < 0x7F ? n + 1 : n;
    }
    if (kind && strchr("]PX^_", kind)) { /* titles and the like, up to BEL or ESC \ */
        while (n < len && p[n] != '\a' && p[n] != '\n' && p[n] != '\033')
            n++;
        return n < len && p[n] == '\a' ? n + 1 : n + 1 < len && p[n] == '\033' ? n + 2 : n;
    }
    while (n < len && kind >= 0x20 && kind < 0x30)
        kind = p[n++];
    return kind == '\n' ? n - 1 : n;
}

void sb_visible_add_output(struct sb_buf *out, const char *text, size_t len) {
    for (size_t at = 0, n; at < len; at += n) {
        const char *p = text + at;
        unsigned code;
        n = decode(p, len - at, &code);
        if (code == 0x1B || (n && code == 0x9B))
            n = sequence_length(p, len - at, n);
        else if (*p == '\n' || *p == '\t')
            sb_buf_addc(out, *p);
        else if (n > 0 && !is_hidden(code))
            sb_buf_add(out, p, n);
        else if (n == 0 && *p)
            sb_buf_addf(out, "\\x%02x", (unsigned char)*p);
        n += !n;
    }
}

/* ---- JSON ---- */

void sb_visible_add_json(struct sb_buf *out, const char *json, size_t len) {
    for (size_t at = 0, n; at < len; at += n) {
        const char *p = json + at;
        unsigned code;
        n = decode(p, len - at, &code);
        if (*p == '\n' || n == 0 || !is_hidden(code))
            sb_buf_add(out, p, n ? n : 1);
        else if (code < 0x10000)
            sb_buf_addf(out, "\\u%04x", code);
        else
            sb_buf_addf(out, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                        0xDC00 + ((code - 0x10000) & 0x3FF));
        n += !n;
    }
}
