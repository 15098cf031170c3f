#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "base/visible.h"

/* Damerau-Levenshtein with adjacent swaps, of the first 63 bytes. */
static size_t edit_distance(const char *a, const char *b) {
    enum { MAX = 64 };
    size_t n = strnlen(a, MAX - 1), m = strnlen(b, MAX - 1);
    size_t d[MAX][MAX];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            size_t cost = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
            size_t best = d[i - 1][j - 1] + cost;
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *sb_text_nearest(const char *text, const char *const *candidates) {
    const char *nearest = NULL;
    size_t best = strlen(text) / 3 + 2; /* a third of the letters wrong is not a misspelling */
    for (; *candidates; candidates++) {
        size_t distance = edit_distance(text, *candidates);
        if (distance < best && distance < strlen(*candidates)) {
            best = distance;
            nearest = *candidates;
        }
    }
    return nearest;
}

struct sb_text_size sb_text_size(uint64_t bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    struct sb_text_size out;
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    int decimals = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(out.text, sizeof out.text, "%.*f %s", decimals, value, units[unit]);
    return out;
}

struct sb_text_size sb_text_seconds(double seconds) {
    struct sb_text_size out;
    if (seconds < 99.95)
        snprintf(out.text, sizeof out.text, "%.*f s", seconds < 9.995 ? 2 : 1, seconds);
    else
        snprintf(out.text, sizeof out.text, "%d min %02d s", (int)(seconds / 60) % 100000,
                 (int)seconds % 60);
    return out;
}

bool sb_text_parse_size(const char *text, uint64_t *out) {
    size_t digits = strspn(text, "0123456789."); /* and no "0x10", no "1e9" */
    char *end;
    double value = strtod(text, &end);
    if (!isdigit((unsigned char)text[0]) || end != text + digits)
        return false;
    static const char units[] = "KMGTP";
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    double factor = 1;
    if (unit) {
        end++;
        double base = *end == 'i' ? 1024 : 1000;
        end += *end == 'i';
        for (long i = 0; i <= unit - units; i++)
            factor *= base;
    }
    end += *end == 'B';
    if (*end || !(value * factor < 9e18))
        return false;
    *out = (uint64_t)(value * factor);
    return true;
}

bool sb_text_parse_duration(const char *text, uint64_t *out_seconds) {
    uint64_t total = 0;
    if (!*text)
        return false;
    for (const char *p = text; *p;) {
        if (!isdigit((unsigned char)*p))
            return false;
        char *end;
        unsigned long long value = strtoull(p, &end, 10);
        if (value > 1000000000)
            return false;
        uint64_t unit = *end == 'h' ? 3600 : *end == 'm' ? 60 : *end == 'd' ? 86400 : 1;
        if (*end && !strchr("dhms", *end))
            return false;
        total += value * unit;
        p = end + (*end != '\0');
    }
    *out_seconds = total;
    return true;
}

bool sb_text_is_utf8(const char *text) {
    for (size_t n; *text; text += n) {
        n = sb_utf8_length(text);
        if (n == 0)
            return false;
    }
    return true;
}

bool sb_text_is_for_units(const char *text) {
    for (size_t n; *text; text += n) {
        n = sb_utf8_length(text);
        if (n == 0 || sb_utf8_is_noncharacter(text))
            return false;
    }
    return true;
}

/* What stands between "://" and "@" in a URL; false when there is nothing. */
static bool find_credentials(const char *text, const char **start, const char **end) {
    const char *scheme = strstr(text, "://");
    if (!scheme)
        return false;
    *start = scheme + 3;
    *end = memrchr(*start, '@', strcspn(*start, "/?# "));
    return *end != NULL;
}

struct sb_text_shown sb_text_shown(const char *text) {
    enum { ROOM = sizeof((struct sb_text_shown *)0)->text - sizeof "\"…\"" };
    struct sb_text_shown out;
    sb_autobuf struct sb_buf whole = {0};
    const char *hidden, *resume;
    size_t len = strnlen(text, ROOM * 4); /* more than is shown, credentials left out */
    if (find_credentials(text, &hidden, &resume)) {
        sb_visible_add(&whole, text, (size_t)(hidden - text), SB_VISIBLE_ONE_LINE);
        sb_buf_adds(&whole, "…");
        text = resume;
        len = strnlen(text, ROOM * 4);
    }
    sb_visible_add(&whole, text, len, SB_VISIBLE_ONE_LINE);
    size_t n = whole.len;
    if (n > ROOM)
        for (n = ROOM; n > 0 && ((unsigned char)whole.data[n] & 0xC0) == 0x80;)
            n--; /* don't cut a character in two */
    snprintf(out.text, sizeof out.text, "\"%.*s%s\"", (int)n, sb_buf_text(&whole),
             n < whole.len ? "…" : "");
    return out;
}
