/*
 * tests/fuzz/exchanges: what servers answer to sbuild-http: one part of the input for each
 * exchange: status, headers ("name: value", as http/exchange leaves them), an empty line, the body.
 * No more parts: the connection is refused. Takes the place of http/exchange.
 */
#ifndef SB_TESTS_EXCHANGES_H
#define SB_TESTS_EXCHANGES_H

#include <ctype.h>

#include "http/exchange.h"
#include "http/origin.h"
#include "http/secret.h"
#include "tests/fuzz/fuzz.h"

static struct fuzz_parts exchange_answers;
static int exchange_count;

/* Where only this machine and its clouds answer. */
static bool exchange_to_machine(const char *origin) {
    return sb_reach_of_text(strstr(origin, "://") + 3) != SB_REACH_ANY;
}

/* What is sent is whole, and in lines of its own; what is secret goes nowhere without TLS, and to
 * no third party. */
static void exchange_check(const struct sb_exchange *x) {
    sb_autofree char *origin = sb_url_origin(x->url);
    bool secret = x->authorization;
    for (size_t i = 0; x->headers && i < x->headers->n; i++)
        secret = secret || !strncasecmp(x->headers->v[i], "authorization:", 14);
    FUZZ_CHECK(!secret || !strncmp(origin, "https:", 6) || exchange_to_machine(origin));
    for (size_t i = 0; x->headers && i < x->headers->n; i++)
        FUZZ_CHECK(strpbrk(x->headers->v[i], "\r\n") == NULL);
    FUZZ_CHECK(!x->authorization || strpbrk(x->authorization, "\r\n") == NULL);
    FUZZ_CHECK(x->method && !strpbrk(x->method, " \r\n"));
}

static void exchange_add_header(struct sb_exchange *x, char *line) {
    char *colon = strchr(line, ':');
    if (!colon || colon == line || x->answer_headers.n >= SB_HEADER_COUNT_LIMIT)
        return;
    for (char *c = line; *c; c++) {
        if (c < colon)
            *c = (char)tolower((unsigned char)*c);
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    *colon = '\0';
    sb_strings_addf(&x->answer_headers, "%s: %s", line, colon + 1 + strspn(colon + 1, " \t"));
}

int sb_exchange_run(CURL *curl, struct sb_exchange *x, struct sb_error *err) {
    (void)curl;
    exchange_check(x);
    if (!exchange_answers.more || ++exchange_count > 32) {
        sb_fail(err, SB_E_NETWORK, "can't connect");
        return sb_error_reason(err, SB_REASON_LASTING);
    }
    size_t len;
    sb_autofree char *text = fuzz_next(&exchange_answers, &len);
    char *body = strstr(text, "\n\n"), *rest = text;
    size_t body_len = body ? len - (size_t)(body - text) - 2 : 0;
    if (body) {
        *body = '\0';
        body += 2;
    }
    const char *status = strsep(&rest, "\n");
    x->status = atoi(status);
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        exchange_add_header(x, line);
    x->received = body_len;
    if (x->stream && x->status >= 200 && x->status < 300)
        return body_len ? x->stream(x->data, body, body_len, err) : 0;
    if (body_len > x->limit)
        body_len = x->limit;
    if (body_len)
        sb_buf_add(&x->body, body, body_len);
    return 0;
}

#endif
