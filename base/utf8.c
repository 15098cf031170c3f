#include "base/utf8.h"

static size_t decode(const char *text, unsigned *out) {
    const unsigned char *p = (const unsigned char *)text;
    int more = *p < 0x80 ? 0 : (*p >> 5) == 6 ? 1 : (*p >> 4) == 14 ? 2 : (*p >> 3) == 30 ? 3 : -1;
    if (more < 0 || !*p)
        return 0;
    unsigned code = more == 0 ? *p : *p & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3F);
    }
    static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    *out = code;
    return (size_t)more + 1;
}

size_t sb_utf8_length(const char *text) {
    unsigned code;
    return decode(text, &code);
}

bool sb_utf8_is_noncharacter(const char *text) {
    unsigned code;
    return decode(text, &code) && ((code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF));
}
