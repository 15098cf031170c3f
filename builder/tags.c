#include "builder/tags.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

/* ---- semver ---- */

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
    if (strlen(p) >= SB_TAG_LIMIT)
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

/* A version as its tag is written: with "v", and "_" where the version has "+". */
static bool parse_tag(const char *tag, struct sb_semver *out) {
    char text[SB_TAG_LIMIT + 1];
    size_t n = strlen(tag);
    if (tag[0] != 'v' || n > SB_TAG_LIMIT)
        return false;
    memcpy(text, tag, n + 1);
    char *build = strchr(text, '_');
    if (build)
        *build = '+';
    return sb_semver_parse(text, out);
}

void sb_tags_semver(const struct sb_semver *v, const struct sb_strings *existing,
                    struct sb_strings *out) {
    unsigned long long major = v->major, minor = v->minor, patch = v->patch;
    sb_autofree char *whole =
        sb_format("v%llu.%llu.%llu%s%s%s%s", major, minor, patch, *v->prerelease ? "-" : "",
                  v->prerelease, *v->build ? "_" : "", v->build);
    sb_strings_add(out, whole);
    if (*v->prerelease)
        return;
    bool newest = true, newest_major = true, newest_minor = true;
    for (size_t i = 0; i < existing->n; i++) {
        struct sb_semver other;
        if (!parse_tag(existing->v[i], &other) || *other.prerelease ||
            sb_semver_compare(&other, v) <= 0)
            continue;
        newest = false;
        newest_major = newest_major && other.major != v->major;
        newest_minor = newest_minor && (other.major != v->major || other.minor != v->minor);
    }
    if (newest_minor)
        sb_strings_addf(out, "v%llu.%llu", major, minor);
    if (newest_major)
        sb_strings_addf(out, "v%llu", major);
    if (newest)
        sb_strings_add(out, "latest");
}

/* ---- git, date, names ---- */

void sb_tags_git(const struct sb_git *git, struct sb_strings *out) {
    const char *dirty = git->dirty ? "-dirty" : "";
    sb_strings_addf(out, "%s%s", git->abbreviated, dirty);
    if (!git->branch[0])
        return;
    size_t room = SB_TAG_LIMIT - strlen("-") - strlen(git->abbreviated) - strlen(dirty);
    sb_autofree char *cut = sb_tag_clean(git->branch);
    cut[strnlen(cut, room)] = '\0';
    sb_autofree char *branch = sb_tag_clean(cut); /* a cut may end in a separator */
    if (*branch)
        sb_strings_addf(out, "%s-%s%s", branch, git->abbreviated, dirty);
}

void sb_tags_date(int64_t seconds, struct sb_strings *out) {
    const int64_t last = 253402300799; /* of the year 9999 */
    time_t when = (time_t)(seconds < 0 ? 0 : seconds > last ? last : seconds);
    struct tm tm;
    char text[32];
    gmtime_r(&when, &tm);
    strftime(text, sizeof text, "%Y%m%d-%H%M%S", &tm);
    sb_strings_add(out, text);
}

bool sb_tag_is_date(const char *tag) {
    return strlen(tag) == 15 && strspn(tag, "0123456789") == 8 && tag[8] == '-' &&
           strspn(tag + 9, "0123456789") == 6;
}

static bool is_tag_character(char c, bool first) {
    return isalnum((unsigned char)c) || c == '_' || (!first && (c == '.' || c == '-'));
}

bool sb_tag_is_valid(const char *tag) {
    size_t n = strlen(tag);
    if (n == 0 || n > SB_TAG_LIMIT)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_tag_character(tag[i], i == 0))
            return false;
    return true;
}

char *sb_tag_clean(const char *text) {
    struct sb_buf out = {0};
    for (const char *p = text; *p; p++) {
        bool plain = isalnum((unsigned char)*p);
        bool separated = out.len == 0 || !isalnum((unsigned char)out.data[out.len - 1]);
        if (plain)
            sb_buf_addc(&out, *p);
        else if (!separated)
            sb_buf_addc(&out, strchr("._-", *p) ? *p : '-');
    }
    while (out.len > 0 && !isalnum((unsigned char)out.data[out.len - 1]))
        out.data[--out.len] = '\0';
    return sb_buf_steal(&out);
}
