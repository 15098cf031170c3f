#include "http/challenge.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

#define DIGITS_LETTERS "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN          "!#$%&'*+-.^_`|~" DIGITS_LETTERS
#define TOKEN68        "-._~+/" DIGITS_LETTERS

static void lower(char *text) {
    for (; *text; text++)
        *text = (char)tolower((unsigned char)*text);
}

static void free_challenge(struct sb_challenge *challenge) {
    free(challenge->scheme);
    free(challenge->realm);
    free(challenge->service);
    free(challenge->scope);
    free(challenge->error);
}

void sb_challenges_free(struct sb_challenges *list) {
    for (size_t i = 0; i < list->n; i++)
        free_challenge(&list->v[i]);
    free(list->v);
    *list = (struct sb_challenges){0};
}

const struct sb_challenge *sb_challenges_find(const struct sb_challenges *list,
                                              const char *scheme) {
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->v[i].scheme, scheme))
            return &list->v[i];
    return NULL;
}

static const char *skip_blanks(const char *p) {
    return p + strspn(p, " \t");
}

/* At a quoted-string; NULL when it does not end. */
static const char *parse_quoted(const char *p, struct sb_buf *out) {
    for (p++; *p != '"'; p++) {
        if (*p == '\\')
            p++;
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7F)
            return NULL;
        sb_buf_addc(out, *p);
    }
    return p + 1;
}

/* Is there `name =` at p, and after it more than the "=" that may end a token68? */
static bool is_parameter(const char *p) {
    size_t n = strspn(p, TOKEN);
    const char *equals = skip_blanks(p + n);
    if (n == 0 || *equals != '=')
        return false;
    const char *value = skip_blanks(equals + 1);
    return *value == '"' || strchr(TOKEN, *value ? *value : ',');
}

/* Where the value goes; NULL for a parameter that is not used. */
static char **parameter(struct sb_challenge *challenge, const char *name) {
    return !strcmp(name, "realm")     ? &challenge->realm
           : !strcmp(name, "service") ? &challenge->service
           : !strcmp(name, "scope")   ? &challenge->scope
           : !strcmp(name, "error")   ? &challenge->error
                                      : NULL;
}

static const char *parse_parameter(const char *p, struct sb_challenge *challenge) {
    size_t n = strspn(p, TOKEN);
    sb_autofree char *name = sb_strndup(p, n);
    lower(name);
    p = skip_blanks(skip_blanks(p + n) + 1);
    sb_autobuf struct sb_buf value = {0};
    if (*p == '"') {
        p = parse_quoted(p, &value);
        if (!p)
            return NULL;
    } else {
        n = strspn(p, TOKEN);
        sb_buf_add(&value, p, n);
        p += n;
    }
    char **place = parameter(challenge, name);
    if (place && *place)
        return NULL;
    if (place)
        *place = sb_strdup(sb_buf_text(&value));
    return p;
}

/* What follows a scheme: parameters, each but the first after commas, or one token68. A comma is
 * eaten only before another parameter. */
static const char *parse_rest(const char *p, struct sb_challenge *challenge) {
    const char *start = skip_blanks(p);
    if (start == p || !*start || *start == ',')
        return start;
    if (!is_parameter(start)) {
        size_t n = strspn(start, TOKEN68);
        return n ? skip_blanks(start + n + strspn(start + n, "=")) : NULL;
    }
    for (p = start; is_parameter(p);) {
        p = parse_parameter(p, challenge);
        if (!p)
            return NULL;
        p = skip_blanks(p);
        const char *next = p + strspn(p, ", \t");
        if (!*p || *p != ',' || !is_parameter(next))
            return p;
        p = next;
    }
    return p;
}

static int malformed(const char *why, struct sb_error *err) {
    return sb_fail(err, SB_E_NETWORK, "malformed WWW-Authenticate header: %s", why);
}

int sb_challenges_parse(const char *header, struct sb_challenges *out, struct sb_error *err) {
    if (strnlen(header, SB_CHALLENGE_TEXT_LIMIT + 1) > SB_CHALLENGE_TEXT_LIMIT)
        return malformed("too long", err);
    const char *p = header + strspn(header, ", \t");
    if (!*p)
        return malformed("empty", err);
    while (*p) {
        size_t n = strspn(p, TOKEN);
        if (n == 0)
            return malformed("no scheme where one must be", err);
        if (out->n >= SB_CHALLENGE_LIMIT)
            return malformed("too many challenges", err);
        SB_GROW(out->v, out->n, out->cap);
        struct sb_challenge *challenge = &out->v[out->n++];
        *challenge = (struct sb_challenge){.scheme = sb_strndup(p, n)};
        lower(challenge->scheme);
        p = parse_rest(p + n, challenge);
        if (!p)
            return malformed("a parameter that does not end, or comes twice", err);
        if (*p && *p != ',')
            return malformed("no comma where one must be", err);
        p += strspn(p, ", \t");
    }
    return 0;
}
