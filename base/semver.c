#include "base/semver.h"

#include <ctype.h>
#include <string.h>

#include "base/memory.h"

static bool parse_number(const char **p, uint64_t *out) {
    if (!isdigit((unsigned char)**p) || (**p == '0' && isdigit((unsigned char)(*p)[1])))
        return false;
    uint64_t value = 0;
    for (; isdigit((unsigned char)**p); (*p)++) {
        if (value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (uint64_t)(**p - '0');
    }
    *out = value;
    return true;
}

/* Dot-separated identifiers up to end; numeric ones without leading zeros where that is asked. */
static bool parse_identifiers(const char *text, size_t len, bool no_zeros, char *out, size_t size) {
    if (len == 0 || len >= size)
        return false;
    for (size_t i = 0; i < len;) {
        size_t n = 0;
        bool digits = true;
        for (; i + n < len && text[i + n] != '.'; n++) {
            unsigned char c = (unsigned char)text[i + n];
            if (!isalnum(c) && c != '-')
                return false;
            digits = digits && isdigit(c);
        }
        if (n == 0 || (no_zeros && digits && n > 1 && text[i] == '0') || i + n + 1 == len)
            return false;
        i += n + 1;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

bool sb_semver_parse(const char *text, struct sb_semver *out) {
    *out = (struct sb_semver){0};
    const char *p = text + (*text == 'v');
    if (strlen(p) >= SB_SEMVER_LIMIT)
        return false;
    if (!parse_number(&p, &out->major) || *p++ != '.' || !parse_number(&p, &out->minor) ||
        *p++ != '.' || !parse_number(&p, &out->patch))
        return false;
    if (*p == '-') {
        size_t n = strcspn(++p, "+");
        if (!parse_identifiers(p, n, true, out->prerelease, sizeof out->prerelease))
            return false;
        p += n;
    }
    if (*p == '+') {
        p++;
        return parse_identifiers(p, strlen(p), false, out->build, sizeof out->build);
    }
    return *p == '\0';
}

static int compare_numbers(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static int compare_identifiers(const char *a, size_t n, const char *b, size_t m) {
    bool x = strspn(a, "0123456789") >= n, y = strspn(b, "0123456789") >= m;
    if (x != y)
        return x ? -1 : 1; /* numeric identifiers are lower */
    if (x && n != m)
        return n < m ? -1 : 1;
    int order = memcmp(a, b, n < m ? n : m);
    return order ? order : compare_numbers(n, m);
}

static int compare_prereleases(const char *a, const char *b) {
    if (!*a || !*b)
        return !*a - !*b; /* a release is higher than its pre-releases */
    for (;;) {
        size_t n = strcspn(a, "."), m = strcspn(b, ".");
        int order = compare_identifiers(a, n, b, m);
        if (order)
            return order;
        if (!a[n] || !b[m])
            return (a[n] != '\0') - (b[m] != '\0');
        a += n + 1;
        b += m + 1;
    }
}

int sb_semver_compare(const struct sb_semver *a, const struct sb_semver *b) {
    int order = compare_numbers(a->major, b->major);
    order = order ? order : compare_numbers(a->minor, b->minor);
    order = order ? order : compare_numbers(a->patch, b->patch);
    return order ? order : compare_prereleases(a->prerelease, b->prerelease);
}

int sb_semver_order(const struct sb_semver *a, const struct sb_semver *b) {
    int order = sb_semver_compare(a, b);
    if (order || !strcmp(a->build, b->build))
        return order;
    /* compare_prereleases takes "" for the highest, and here it is the lowest. */
    return !*a->build || !*b->build ? !!*a->build - !!*b->build
                                    : compare_prereleases(a->build, b->build);
}

char *sb_semver_text(const struct sb_semver *v) {
    return sb_format("%llu.%llu.%llu%s%s%s%s", (unsigned long long)v->major,
                     (unsigned long long)v->minor, (unsigned long long)v->patch,
                     *v->prerelease ? "-" : "", v->prerelease, *v->build ? "+" : "", v->build);
}
