#include "document/ignore.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "document/pattern.h"
#include "document/pattern_index.h"

struct item {
    struct sb_pattern *pattern;
    char *text;      /* clean, without "!" */
    bool takes_back; /* "!" */
};

/* Asking so many patterns one after the other is as fast as looking them up. */
enum { FEW = 32 };

struct sb_ignore {
    struct item *v;
    size_t n, cap;
    bool any_takes_back;
    struct sb_pattern_index *index; /* NULL: of few */
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
    const char *anchored = clean[0] == '/' && clean[1] ? clean + 1 : clean;
    struct sb_pattern *pattern = sb_pattern_compile(anchored, problem);
    if (!pattern)
        return;
    SB_GROW(ignore->v, ignore->n, ignore->cap);
    ignore->v[ignore->n++] = (struct item){pattern, sb_strdup(anchored), takes_back};
    ignore->any_takes_back |= takes_back;
}

static const struct sb_pattern *pattern_at(const void *ignore, size_t number) {
    return ((const struct sb_ignore *)ignore)->v[number].pattern;
}

static void complete(struct sb_ignore *ignore) {
    if (ignore->n > FEW)
        ignore->index = sb_pattern_index_new(ignore->n, pattern_at, ignore);
}

static void release(struct sb_ignore *ignore) {
    for (size_t i = 0; i < ignore->n; i++) {
        sb_pattern_free(ignore->v[i].pattern);
        free(ignore->v[i].text);
    }
    free(ignore->v);
    sb_pattern_index_free(ignore->index);
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
    complete(ignore);
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
    complete(ignore);
    return ignore;
}

bool sb_ignore_valid(const char *pattern) {
    struct sb_ignore ignore = {0};
    const char *problem = NULL;
    size_t len = strlen(pattern);
    trim(&pattern, &len);
    add(&ignore, pattern, len, &problem);
    bool valid = ignore.n > 0;
    release(&ignore);
    return valid;
}

void sb_ignore_free(struct sb_ignore *ignore) {
    if (!ignore)
        return;
    release(ignore);
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
    bool hit[FEW] = {0};
    for (size_t at = 1; at < len; at++)
        if (path[at] == '/')
            decide(ignore, path, at, hit);
    return decide(ignore, path, len, hit);
}

/* The same for many patterns. hits: the numbers of those that decided something above, in order;
 * only they and what the index finds can decide here. next: room for the hits of this step. */
struct steps {
    struct sb_pattern_numbers found, hits, next;
};

static void add_hit(struct sb_pattern_numbers *hits, uint32_t number) {
    SB_GROW(hits->v, hits->n, hits->cap);
    hits->v[hits->n++] = number;
}

static bool decide_among(const struct sb_ignore *ignore, const char *path, size_t len,
                         struct steps *s) {
    bool out = false;
    sb_pattern_index_find(ignore->index, path, len, &s->found);
    s->next.n = 0;
    for (size_t f = 0, h = 0; (f < s->found.n || h < s->hits.n) && !sb_interrupt_signal();) {
        bool hit = h < s->hits.n && (f == s->found.n || s->hits.v[h] <= s->found.v[f]);
        uint32_t number = hit ? s->hits.v[h++] : s->found.v[f];
        f += f < s->found.n && s->found.v[f] == number;
        const struct item *item = &ignore->v[number];
        if (!hit && item->takes_back == out)
            hit = sb_pattern_match(item->pattern, path, len, false);
        if (!hit)
            continue;
        add_hit(&s->next, number);
        out = !item->takes_back;
    }
    struct sb_pattern_numbers before = s->hits;
    s->hits = s->next;
    s->next = before;
    return out;
}

static bool excluded_by_index(const struct sb_ignore *ignore, const char *path, size_t len) {
    struct steps s = {0};
    bool out = false;
    for (size_t at = 1; at <= len; at++)
        if (at == len || path[at] == '/') {
            out = decide_among(ignore, path, at, &s);
            if (out && !ignore->any_takes_back)
                break;
        }
    free(s.found.v);
    free(s.hits.v);
    free(s.next.v);
    return out;
}

/* Long lists of long patterns take long: once interrupted, the answer doesn't matter any more. */
bool sb_ignore_excluded(const struct sb_ignore *ignore, const char *path, bool is_directory) {
    (void)is_directory;
    size_t len = strlen(path);
    sb_assert(path[0] != '/' && !strstr(path, "//"));
    if (len == 0) /* the top itself: patterns are of what is in it */
        return false;
    if (ignore->index)
        return excluded_by_index(ignore, path, len);
    if (ignore->any_takes_back)
        return excluded_by_steps(ignore, path, len);
    for (size_t i = 0; i < ignore->n && !sb_interrupt_signal(); i++)
        if (sb_pattern_match(ignore->v[i].pattern, path, len, true))
            return true;
    return false;
}

static bool reaches_below(const struct sb_ignore *ignore, const char *directory, bool takes_back) {
    size_t len = strlen(directory);
    for (size_t i = 0; i < ignore->n && !sb_interrupt_signal(); i++)
        if (ignore->v[i].takes_back == takes_back &&
            sb_pattern_reaches(ignore->v[i].pattern, directory, len))
            return true;
    return false;
}

bool sb_ignore_may_reinclude_below(const struct sb_ignore *ignore, const char *directory) {
    return ignore->any_takes_back && reaches_below(ignore, directory, true);
}

bool sb_ignore_may_exclude_below(const struct sb_ignore *ignore, const char *directory) {
    return reaches_below(ignore, directory, false);
}

/* Whether a part of a pattern's path stands for the name: all of it, or two characters and more
 * before a wildcard. */
static bool part_is(const char *part, size_t len, const char *name) {
    size_t literal = 0;
    while (literal < len && !strchr("*?[\\", part[literal]))
        literal++;
    return literal == len ? strlen(name) == len && !strncmp(part, name, len)
                          : literal >= 2 && !strncmp(part, name, literal);
}

bool sb_ignore_mentions(const struct sb_ignore *ignore, const char *name, bool takes_back) {
    for (size_t i = 0; i < ignore->n && !sb_interrupt_signal(); i++) {
        if (ignore->v[i].takes_back != takes_back)
            continue;
        for (const char *part = ignore->v[i].text; *part; part += *part == '/') {
            size_t len = strcspn(part, "/");
            if (part_is(part, len, name))
                return true;
            part += len;
        }
    }
    return false;
}
