#include "document/pattern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

enum state_type {
    CHAR,   /* one character */
    ANY,    /* "?" */
    STAR,   /* "*": stays on everything but "/", or is left at once */
    CLASS,  /* "[…]" */
    ENTRY,  /* "**" before something: into the next state, or past it */
    INSIDE, /* stays on everything, is left by "/" */
    ALL,    /* "**" at the end */
    END,
};

struct range {
    uint32_t low, high;
};

struct state {
    enum state_type type;
    bool negated;     /* CLASS */
    uint32_t ch;      /* CHAR */
    uint32_t range;   /* CLASS: the first in ranges */
    uint32_t range_n; /* CLASS */
};

/* Most patterns need no states at all; the others are first tried by their literal ends. */
enum shape {
    EXACT,  /* literal */
    PREFIX, /* literal** */
    SUFFIX, /* **literal; with a slash between them, from the start of a name only */
    STATES,
};

struct sb_pattern {
    enum shape shape;
    bool from_name; /* SUFFIX */
    char *head;     /* literal bytes that a match starts with */
    char *tail;     /* … ends in (SUFFIX, STATES) */
    char *inner;    /* the longest that a match has anywhere (STATES) */
    size_t head_len, tail_len, inner_len;
    struct state *states;
    size_t state_n, state_cap;
    struct range *ranges;
    size_t range_n, range_cap;
};

/* ---- characters ---- */

static uint32_t decode_wide(const char *text, size_t len, size_t *size) {
    const unsigned char *p = (const unsigned char *)text;
    size_t n = (*p >> 5) == 6 ? 2 : (*p >> 4) == 14 ? 3 : (*p >> 3) == 30 ? 4 : 0;
    *size = 1;
    if (n == 0 || n > len)
        return 0x110000u + *p;
    uint32_t code = *p & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0x110000u + *p;
        code = code << 6 | (p[i] & 0x3Fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[n])
        return 0x110000u + *p;
    *size = n;
    return code;
}

/* The character at text, and its length; a byte that is not UTF-8 is a character of its own. */
static inline uint32_t decode(const char *text, size_t len, size_t *size) {
    *size = 1;
    return (unsigned char)*text < 0x80 ? (uint32_t)*text : decode_wide(text, len, size);
}

/* ---- compiling ---- */

struct compiler {
    struct sb_pattern *pattern;
    const char *p, *end;
    const char **problem;
};

static struct state *add_state(struct compiler *c, enum state_type type) {
    struct sb_pattern *pattern = c->pattern;
    SB_GROW(pattern->states, pattern->state_n, pattern->state_cap);
    struct state *state = &pattern->states[pattern->state_n++];
    *state = (struct state){.type = type};
    return state;
}

static bool fail(struct compiler *c, const char *problem) {
    *c->problem = problem;
    return false;
}

static uint32_t take(struct compiler *c) {
    size_t size;
    uint32_t ch = decode(c->p, (size_t)(c->end - c->p), &size);
    c->p += size;
    return ch;
}

/* One end of a range in a class. */
static bool take_class_char(struct compiler *c, uint32_t *out) {
    if (c->p == c->end || *c->p == ']' || *c->p == '-')
        return fail(c, "a character is missing in […]");
    if (*c->p == '\\' && ++c->p == c->end)
        return fail(c, "[ is not closed");
    *out = take(c);
    return true;
}

static bool compile_class(struct compiler *c) {
    struct sb_pattern *pattern = c->pattern;
    size_t first = pattern->range_n;
    bool negated = c->p < c->end && *c->p == '^';
    c->p += negated;
    do {
        struct range range;
        if (c->p == c->end)
            return fail(c, "[ is not closed");
        if (!take_class_char(c, &range.low))
            return false;
        range.high = range.low;
        if (c->p < c->end && *c->p == '-') {
            c->p++;
            if (!take_class_char(c, &range.high))
                return false;
        }
        if (range.high < range.low)
            return fail(c, "a range in […] is backwards");
        SB_GROW(pattern->ranges, pattern->range_n, pattern->range_cap);
        pattern->ranges[pattern->range_n++] = range;
        if (c->p == c->end)
            return fail(c, "[ is not closed");
    } while (*c->p != ']');
    c->p++;
    struct state *state = add_state(c, CLASS);
    state->negated = negated;
    state->range = (uint32_t)first;
    state->range_n = (uint32_t)(pattern->range_n - first);
    return true;
}

static void compile_double_star(struct compiler *c) {
    c->p++;
    if (c->p < c->end && *c->p == '/')
        c->p++;
    size_t n = c->pattern->state_n;
    if (c->p == c->end) {
        add_state(c, ALL);
    } else if (n < 2 || c->pattern->states[n - 2].type != ENTRY) { /* twice says no more */
        add_state(c, ENTRY);
        add_state(c, INSIDE);
    }
}

static bool compile_states(struct compiler *c) {
    while (c->p < c->end) {
        char ch = *c->p;
        if (ch == '*') {
            c->p++;
            if (c->p < c->end && *c->p == '*')
                compile_double_star(c);
            else
                add_state(c, STAR);
        } else if (ch == '?') {
            c->p++;
            add_state(c, ANY);
        } else if (ch == '[') {
            c->p++;
            if (!compile_class(c))
                return false;
        } else {
            if (ch == '\\' && ++c->p == c->end)
                return fail(c, "a backslash at the end");
            uint32_t code = take(c);
            add_state(c, CHAR)->ch = code;
        }
    }
    add_state(c, END);
    return true;
}

/* Splits off what is literal at both ends. A backslash or a class ends a literal. */
static void find_shape(struct sb_pattern *pattern, const char *text) {
    size_t len = strlen(text), head = strcspn(text, "*?[]\\");
    size_t tail = len;
    while (tail > head && !strchr("*?[]\\", text[tail - 1]))
        tail--;
    if (tail > head && text[tail - 1] == '\\')
        tail++; /* the character after a backslash belongs to it */
    tail = tail > len ? len : tail;
    bool stars = tail - head == 2 && text[head] == '*' && text[head + 1] == '*';
    if (head == len)
        pattern->shape = EXACT;
    else if (stars && tail == len)
        pattern->shape = PREFIX;
    else if (stars && head == 0)
        pattern->shape = SUFFIX;
    else
        pattern->shape = STATES;
    if (pattern->shape == SUFFIX && text[tail] == '/') {
        pattern->from_name = true;
        tail++;
    } else if (pattern->shape == STATES && tail >= 2 && text[tail - 1] == '*' &&
               text[tail - 2] == '*' && text[tail] == '/') {
        tail++; /* the slash is part of "**" and need not be there */
    }
    pattern->head = sb_strndup(text, head);
    pattern->head_len = head;
    pattern->tail = sb_strdup(text + tail);
    pattern->tail_len = len - tail;
}

/* decode, backwards; out has room for 4. */
static size_t encode(uint32_t ch, char *out) {
    if (ch >= 0x110000u || ch < 0x80) {
        out[0] = (char)(ch & 0xFF);
        return 1;
    }
    size_t n = ch < 0x800 ? 2 : ch < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, ch >>= 6)
        out[i] = (char)(0x80 | (ch & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xFF) | ch);
    return n;
}

/* Looked for first: far cheaper than following states. */
static void find_inner(struct sb_pattern *pattern) {
    size_t best = 0, best_len = 0, start = 0;
    for (size_t i = 0; i < pattern->state_n; i++) {
        if (pattern->states[i].type != CHAR) {
            start = i + 1;
        } else if (i + 1 - start > best_len) {
            best = start;
            best_len = i + 1 - start;
        }
    }
    pattern->inner = sb_alloc(best_len * 4 + 1);
    for (size_t i = 0; i < best_len; i++)
        pattern->inner_len +=
            encode(pattern->states[best + i].ch, pattern->inner + pattern->inner_len);
}

struct sb_pattern *sb_pattern_compile(const char *text, const char **problem) {
    const char *ignored;
    size_t len = strlen(text);
    struct compiler c = {.p = text, .end = text + len, .problem = problem ? problem : &ignored};
    if (len > SB_PATTERN_LIMIT) {
        *c.problem = "longer than any path";
        return NULL;
    }
    c.pattern = sb_alloc(sizeof *c.pattern);
    if (!compile_states(&c)) {
        sb_pattern_free(c.pattern);
        return NULL;
    }
    find_shape(c.pattern, text);
    if (c.pattern->shape == STATES)
        find_inner(c.pattern);
    return c.pattern;
}

char *sb_pattern_without_classes(const char *text) {
    if (!strchr(text, '['))
        return NULL;
    struct sb_buf out = {0};
    for (const char *p = text; *p; p++) {
        if (*p == '[')
            sb_buf_addc(&out, '\\');
        sb_buf_addc(&out, *p);
        if (*p == '\\' && p[1])
            sb_buf_addc(&out, *++p);
    }
    return sb_buf_steal(&out);
}

void sb_pattern_free(struct sb_pattern *pattern) {
    if (!pattern)
        return;
    free(pattern->head);
    free(pattern->tail);
    free(pattern->inner);
    free(pattern->states);
    free(pattern->ranges);
    free(pattern);
}

/* ---- matching ---- */

#define WORDS ((SB_PATTERN_LIMIT + 2 + 63) / 64)

struct set {
    uint64_t bits[WORDS];
    size_t words;
};

/* Enters a state, and those that it leads to without a character. */
static inline void enter(const struct sb_pattern *pattern, uint64_t *set, size_t i) {
    for (;;) {
        enum state_type type = pattern->states[i].type;
        if (type == ENTRY) {
            set[(i + 1) / 64] |= 1ull << (i + 1) % 64;
            i += 2;
            continue;
        }
        set[i / 64] |= 1ull << i % 64;
        if (type != STAR && type != ALL)
            return;
        i++;
    }
}

static bool in_class(const struct sb_pattern *pattern, const struct state *state, uint32_t ch) {
    for (uint32_t i = 0; i < state->range_n; i++) {
        const struct range *range = &pattern->ranges[state->range + i];
        if (ch >= range->low && ch <= range->high)
            return !state->negated;
    }
    return state->negated;
}

static inline void advance(const struct sb_pattern *pattern, uint64_t *next, size_t i,
                           uint32_t ch) {
    const struct state *state = &pattern->states[i];
    bool stays = state->type == INSIDE || state->type == ALL || (state->type == STAR && ch != '/');
    bool leaves = (state->type == CHAR && ch == state->ch) || (state->type == ANY && ch != '/') ||
                  (state->type == INSIDE && ch == '/') ||
                  (state->type == CLASS && in_class(pattern, state, ch));
    if (stays)
        next[i / 64] |= 1ull << i % 64;
    if (stays && state->type != INSIDE)
        enter(pattern, next, i + 1);
    if (leaves)
        enter(pattern, next, i + 1);
}

/* Replaces the set by what follows a character; false when nothing does. */
static inline bool step(const struct sb_pattern *pattern, struct set *set, uint32_t ch) {
    if (set->words == 1) { /* nearly always */
        uint64_t next = 0;
        for (uint64_t bits = set->bits[0]; bits; bits &= bits - 1)
            advance(pattern, &next, (size_t)__builtin_ctzll(bits), ch);
        set->bits[0] = next;
        return next != 0;
    }
    uint64_t next[WORDS], any = 0;
    memset(next, 0, set->words * sizeof *next);
    for (size_t word = 0; word < set->words; word++)
        for (uint64_t bits = set->bits[word]; bits; bits &= bits - 1)
            advance(pattern, next, word * 64 + (size_t)__builtin_ctzll(bits), ch);
    for (size_t word = 0; word < set->words; word++)
        any |= set->bits[word] = next[word];
    return any != 0;
}

/* Whether only "**" goes on: until the next slash nothing else can start. */
static inline bool waits_for_slash(const struct sb_pattern *pattern, const struct set *set) {
    uint64_t bits = set->bits[0];
    return set->words == 1 && !(bits & (bits - 1)) && bits &&
           pattern->states[__builtin_ctzll(bits)].type == INSIDE;
}

static void start(const struct sb_pattern *pattern, struct set *set) {
    set->words = (pattern->state_n + 63) / 64;
    memset(set->bits, 0, set->words * sizeof *set->bits);
    enter(pattern, set->bits, 0);
}

static bool at_end(const struct sb_pattern *pattern, const struct set *set) {
    size_t last = pattern->state_n - 1;
    return set->bits[last / 64] >> last % 64 & 1;
}

static bool match_states(const struct sb_pattern *pattern, const char *path, size_t len,
                         bool parents) {
    struct set set;
    start(pattern, &set);
    for (size_t at = 0; at < len;) {
        size_t size;
        if (waits_for_slash(pattern, &set)) {
            const char *slash = memchr(path + at, '/', len - at);
            if (!slash)
                return false;
            at = (size_t)(slash - path);
        }
        if (parents && path[at] == '/' && at_end(pattern, &set))
            return true;
        if (!step(pattern, &set, decode(path + at, len - at, &size)))
            return false;
        at += size;
    }
    return at_end(pattern, &set);
}

/* Whether the tail ends at p, and begins with a name when it has to. */
static bool tail_fits(const struct sb_pattern *pattern, const char *path, const char *p,
                      bool from_name) {
    return !memcmp(p, pattern->tail, pattern->tail_len) &&
           (!from_name || p == path || p[-1] == '/');
}

/* Whether the tail ends the path, or with parents a directory on the way to it. */
static bool has_tail(const struct sb_pattern *pattern, const char *path, size_t len, bool parents,
                     bool from_name) {
    size_t n = pattern->tail_len;
    if (n > len)
        return false;
    if (n == 0 || tail_fits(pattern, path, path + len - n, from_name))
        return true;
    if (!parents)
        return false;
    for (const char *p = path; (p = memchr(p, '/', len - (size_t)(p - path))); p++)
        if ((size_t)(p - path) >= n && tail_fits(pattern, path, p - n, from_name))
            return true;
    return false;
}

bool sb_pattern_match(const struct sb_pattern *pattern, const char *path, size_t len,
                      bool parents) {
    size_t n = pattern->head_len;
    if (n && (len < n || path[0] != pattern->head[0] || memcmp(path, pattern->head, n)))
        return false;
    switch (pattern->shape) {
    case EXACT:
        return len == n || (parents && path[n] == '/');
    case PREFIX:
        return true;
    case SUFFIX:
        return has_tail(pattern, path, len, parents, pattern->from_name);
    case STATES:
        return memmem(path, len, pattern->inner, pattern->inner_len) &&
               has_tail(pattern, path, len, parents, false) &&
               match_states(pattern, path, len, parents);
    }
    return false;
}

bool sb_pattern_reaches(const struct sb_pattern *pattern, const char *directory, size_t len) {
    size_t shared = len < pattern->head_len ? len : pattern->head_len;
    if (memcmp(directory, pattern->head, shared) != 0)
        return false;
    struct set set;
    start(pattern, &set);
    for (size_t at = 0; at < len;) {
        size_t size;
        if (!step(pattern, &set, decode(directory + at, len - at, &size)))
            return false;
        at += size;
    }
    return step(pattern, &set, '/');
}

const char *sb_pattern_head(const struct sb_pattern *pattern, size_t *out_len) {
    *out_len = pattern->head_len;
    return pattern->head;
}

const char *sb_pattern_tail(const struct sb_pattern *pattern, size_t *out_len) {
    *out_len = pattern->tail_len;
    return pattern->tail;
}

bool sb_pattern_has_wildcard(const char *text) {
    return strpbrk(text, "*?[\\") != NULL;
}
