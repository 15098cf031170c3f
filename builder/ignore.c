#include "builder/ignore.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "builder/pattern.h"

struct item {
    struct sb_pattern *pattern;
    bool takes_back; /* "!" */
};

struct sb_ignore {
    struct item *v;
    size_t n, cap;
    bool any_takes_back;
};

/* Length of a white-space character at p, or 0: those of ASCII and of Unicode's White_Space. */
static size_t space_size(const char *p, size_t len) {
    static const char *const wide[] = {"\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004",
                                       "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
                                       "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
    if (len >= 1 && strchr(" \t\n\v\f\r", *p) && *p)
        return 1;
    if (len >= 2 && (!memcmp(p, "\xC2\x85", 2) || !memcmp(p, "\xC2\xA0", 2)))
        return 2;
    for (size_t i = 0; len >= 3 && i < sizeof wide / sizeof *wide; i++)
        if (!memcmp(p, wide[i], 3))
            return 3;
    return 0;
}

static void trim(const char **text, size_t *len) {
    size_t n;
    while ((n = space_size(*text, *len))) {
        *text += n;
        *len -= n;
    }
    for (size_t back = 1; back <= 3 && back <= *len; back++) {
        if (space_size(*text + *len - back, back) == back) {
            *len -= back;
            back = 0;
        }
    }
}

/* Compiles a trimmed pattern; *problem is left alone when all is well. */
static void add(struct sb_ignore *ignore, const char *text, size_t len, const char **problem) {
    bool takes_back = len > 0 && *text == '!';
    if (takes_back) {
        text++;
        len--;
        trim(&text, &len);
    }
    if (len == 0) {
        if (takes_back)
            *problem = "nothing follows the !";
        return;
    }
    if (memchr(text, '\0', len)) {
        *problem = "a NUL byte";
        return;
    }
    sb_autofree char *whole = sb_strndup(text, len);
    sb_autofree char *clean = sb_path_clean(whole);
    if (takes_back && !strcmp(clean, "/")) {
        *problem = "nothing but / follows the !";
        return;
    }
    struct sb_pattern *pattern =
        sb_pattern_compile(clean[0] == '/' && clean[1] ? clean + 1 : clean, problem);
    if (!pattern)
        return;
    SB_GROW(ignore->v, ignore->n, ignore->cap);
    ignore->v[ignore->n++] = (struct item){pattern, takes_back};
    ignore->any_takes_back |= takes_back;
}

int sb_ignore_parse(const char *text, size_t len, const char *origin, struct sb_ignore **out,
                    struct sb_error *err) {
    struct sb_ignore *ignore = sb_alloc(sizeof *ignore);
    const char *end = text + len;
    if (len >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3))
        text += 3;
    for (int line = 1; text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t n = (size_t)((newline ? newline : end) - text);
        const char *pattern = text;
        const char *problem = NULL;
        if (*pattern != '#') {
            trim(&pattern, &n);
            add(ignore, pattern, n, &problem);
        }
        if (problem) {
            sb_ignore_free(ignore);
            return sb_fail(err, SB_E_RECIPE, "%s:%d:1: malformed pattern: %s", origin, line,
                           problem);
        }
        text = newline ? newline + 1 : end;
    }
    *out = ignore;
    return 0;
}

struct sb_ignore *sb_ignore_from(const struct sb_strings *patterns) {
    struct sb_ignore *ignore = sb_alloc(sizeof *ignore);
    for (size_t i = 0; i < patterns->n; i++) {
        const char *text = patterns->v[i], *problem = NULL;
        size_t len = strlen(text);
        trim(&text, &len);
        add(ignore, text, len, &problem);
    }
    return ignore;
}

bool sb_ignore_valid(const char *pattern) {
    struct sb_ignore ignore = {0};
    const char *problem = NULL;
    size_t len = strlen(pattern);
    trim(&pattern, &len);
    add(&ignore, pattern, len, &problem);
    bool valid = ignore.n > 0;
    for (size_t i = 0; i < ignore.n; i++)
        sb_pattern_free(ignore.v[i].pattern);
    free(ignore.v);
    return valid;
}

void sb_ignore_free(struct sb_ignore *ignore) {
    if (!ignore)
        return;
    for (size_t i = 0; i < ignore->n; i++)
        sb_pattern_free(ignore->v[i].pattern);
    free(ignore->v);
    free(ignore);
}

/* One step on the way to a path, as Docker walks: hit[i] tells that a pattern decided something
 * about a directory above, and so it does here; the others are asked only when they would change
 * what is decided so far. Returns whether the path is left out. */
static bool decide(const struct sb_ignore *ignore, const char *path, size_t len, bool *hit) {
    bool out = false;
    for (size_t i = 0; i < ignore->n && !sb_interrupt_signal(); i++) {
        const struct item *item = &ignore->v[i];
        if (!hit[i] && item->takes_back == out)
            hit[i] = sb_pattern_match(item->pattern, path, len, false);
        if (hit[i])
            out = !item->takes_back;
    }
    return out;
}

static bool excluded_by_steps(const struct sb_ignore *ignore, const char *path, size_t len) {
    enum { FEW = 256 };
    bool few[FEW] = {0};
    sb_autofree bool *many = ignore->n > FEW ? sb_alloc(ignore->n) : NULL;
    bool *hit = many ? many : few;
    for (size_t at = 1; at < len; at++)
        if (path[at] == '/')
            decide(ignore, path, at, hit);
    return decide(ignore, path, len, hit);
}

/* Long lists of long patterns take long: once interrupted, the answer doesn't matter any more. */
bool sb_ignore_excluded(const struct sb_ignore *ignore, const char *path, bool is_directory) {
    (void)is_directory;
    size_t len = strlen(path);
    if (ignore->any_takes_back)
        return excluded_by_steps(ignore, path, len);
    for (size_t i = 0; i < ignore->n && !sb_interrupt_signal(); i++)
        if (sb_pattern_match(ignore->v[i].pattern, path, len, true))
            return true;
    return false;
}

bool sb_ignore_may_reinclude_below(const struct sb_ignore *ignore, const char *directory) {
    if (!ignore->any_takes_back)
        return false;
    size_t len = strlen(directory);
    for (size_t i = 0; i < ignore->n; i++)
        if (ignore->v[i].takes_back && sb_pattern_reaches(ignore->v[i].pattern, directory, len))
            return true;
    return false;
}
