/*
 * http/challenge: the WWW-Authenticate header (RFC 9110, 11.6.1), in which a server says how it
 * wants to be asked: a list of challenges, each a scheme with parameters or one token68, in a
 * syntax in which commas separate both.
 */
#ifndef SB_HTTP_CHALLENGE_H
#define SB_HTTP_CHALLENGE_H

#include <stddef.h>

#include "base/error.h"

#define SB_CHALLENGE_TEXT_LIMIT 8192 /* bytes of one header */
#define SB_CHALLENGE_LIMIT      16   /* challenges in it */

struct sb_challenge {
    char *scheme; /* in lower case */
    char *realm;  /* of the parameters those that are used here; NULL: not given */
    char *service;
    char *scope;
    char *error; /* "insufficient_scope", "invalid_token" (RFC 6750, 3.1) */
};
struct sb_challenges {
    struct sb_challenge *v;
    size_t n, cap;
};

/* Appends the challenges of one header; -1 when it isn't well-formed. Free out in every case. */
int sb_challenges_parse(const char *header, struct sb_challenges *out, struct sb_error *err);
void sb_challenges_free(struct sb_challenges *list);

/* The first of that scheme; NULL when there is none. */
const struct sb_challenge *sb_challenges_find(const struct sb_challenges *list, const char *scheme);

#define sb_autochallenges __attribute__((cleanup(sb_challenges_free), unused))

#endif
