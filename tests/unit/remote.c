/*
 * The parts of registry/remote that need no server. With arguments it is a client for end-to-end
 * tests (tests/e2e/remote.sh), see usage().
 */
#include "registry/remote.h"

#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "base/memory.h"
#include "registry/remote_private.h"
#include "remote_client.h"
#include "test.h"

/* ---- retry ---- */

static struct sb_http_response answer(int status, const char *header, const char *body) {
    struct sb_http_response response = {.status = status};
    if (header)
        sb_strings_add(&response.headers, header);
    if (body)
        sb_buf_adds(&response.body, body);
    return response;
}

static void check_retry_after(void) {
    const int64_t now = 1750000000; /* Sun, 15 Jun 2025 15:06:40 GMT */
    static const struct {
        const char *value;
        uint64_t ms;
    } cases[] = {
        {"0", 0},
        {"1", 1000},
        {"59", 59000},
        {"60", 60000},
        {"61", 60000},
        {"999999999999999999999999", 60000},
        {"-5", 0},
        {"", 0},
        {"soon", 0},
        {"1.5", 0},
        {"5 s", 0},
        {"Sun, 15 Jun 2025 15:06:43 GMT", 3000},
        {"Sun, 15 Jun 2025 15:06:40 GMT", 0},
        {"Sun, 15 Jun 2025 15:00:00 GMT", 0},
        {"Mon, 15 Jun 2026 15:06:40 GMT", 60000},
        {"Sun, 15 Jun 2025", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK_INT(sb_retry_after_ms(cases[i].value, now), cases[i].ms))
            printf("    \"%s\"\n", cases[i].value);
}

static void check_retry(void) {
    static const int again[] = {408, 425, 429, 500, 502, 503, 504};
    static const int not_again[] = {200, 201, 206, 301, 400, 401, 403,
                                    404, 405, 409, 413, 416, 501};
    struct sb_error err = {0};
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        CHECK(sb_retry_worth(0, &(struct sb_http_response){.status = again[i]}, &err));
    for (size_t i = 0; i < sizeof not_again / sizeof *not_again; i++)
        CHECK(!sb_retry_worth(0, &(struct sb_http_response){.status = not_again[i]}, &err));
    const struct sb_error reset = {.code = SB_E_NETWORK, .reason = SB_REASON_PASSING};
    CHECK(sb_retry_worth(-1, NULL, &reset));
    CHECK(!sb_retry_worth(-1, NULL, &(struct sb_error){.code = SB_E_NETWORK}));
    CHECK(!sb_retry_worth(-1, NULL,
                          &(struct sb_error){.code = SB_E_IO, .reason = SB_REASON_PASSING}));

    struct sb_retry retry = {.policy = {.patience = 1000, .attempts = 3, .base = 1, .limit = 2}};
    err = reset;
    CHECK_INT(sb_retry_again(&retry, -1, NULL, &err), 1);
    CHECK_INT(sb_retry_again(&retry, -1, NULL, &err), 1);
    CHECK_INT(sb_retry_again(&retry, -1, NULL, &err), 0);
    CHECK_INT(retry.made, 3);
}

/* Time counts, not attempts; something that got through begins it anew. */
static void check_patience(void) {
    const struct sb_error reset = {.code = SB_E_NETWORK, .reason = SB_REASON_PASSING};
    struct sb_error err = reset;
    struct sb_retry retry = {.policy = {.patience = 150, .base = 1, .limit = 4}};
    int made = 0;
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    while (sb_retry_again(&retry, -1, NULL, &err) > 0)
        made++;
    clock_gettime(CLOCK_MONOTONIC, &after);
    int64_t ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    CHECK(made > 10);
    CHECK(ms >= 145 && ms < 5000);
    CHECK_INT(sb_retry_again(&retry, -1, NULL, &err), 0);
    sb_retry_progress(&retry);
    CHECK_INT(sb_retry_again(&retry, -1, NULL, &err), 1);
    /* None at all, and what no time helps. */
    retry = (struct sb_retry){.policy = {.patience = 0, .base = 1, .limit = 4}};
    CHECK_INT(sb_retry_again(&retry, -1, NULL, &err), 0);
    retry = (struct sb_retry){.policy = {.patience = 100000, .base = 1, .limit = 4}};
    struct sb_http_response denied = answer(403, NULL, NULL);
    CHECK_INT(sb_retry_again(&retry, 0, &denied, &err), 0);
    /* A server's own wish is added, and bounded. */
    struct sb_http_response busy = answer(503, "retry-after: 1", NULL);
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK_INT(sb_retry_again(&retry, 0, &busy, &err), 1);
    clock_gettime(CLOCK_MONOTONIC, &after);
    ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    CHECK(ms >= 990 && ms < 5000);
    sb_http_response_free(&busy);
    sb_http_response_free(&denied);
}

/* ---- what servers say ---- */

static void check_refused(struct sb_remote *remote) {
    static const struct {
        int status;
        const char *body, *message, *hint;
        enum sb_error_code code;
    } cases[] = {
        {400, "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"no\"}]}",
         "TAG_INVALID: no (status 400)", "", SB_E_NETWORK},
        {404,
         "{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"x\",\"detail\":{\"name\":\"a\"}}]}",
         "NAME_UNKNOWN: x ({\"name\":\"a\"}) (status 404)", "created first", SB_E_NOT_FOUND},
        {404, "<html>nginx</html>", "not found (status 404)", "", SB_E_NOT_FOUND},
        {401, NULL, "not logged in, or not with an account that may do this (status 401)",
         "sbuild login 127.0.0.1:5000", SB_E_NETWORK},
        {403, "{\"errors\":[{\"code\":\"DENIED\"}]}", "DENIED (status 403)", "sbuild login",
         SB_E_NETWORK},
        {405, NULL, "the registry does not allow that (status 405)", "read-only", SB_E_NETWORK},
        {413, NULL, "too large for the registry, or for a proxy before it (status 413)",
         "client_max_body_size", SB_E_NETWORK},
        {429, "{\"errors\":[{\"message\":\"slow\\r\\ndown\\u0007\\u009b\"}]}",
         "slow  down   (status 429)", "later", SB_E_NETWORK},
        {500, "{\"errors\":\"x\"}", "the registry failed (status 500)", "later", SB_E_NETWORK},
        {503, "[1]", "the registry is not available (status 503)", "later", SB_E_NETWORK},
        {403, "{\"message\":\"no such luck\"}", "no such luck (status 403)", "", SB_E_NETWORK},
        {418, "{\"errors\":[]}", "an unexpected answer (status 418)", "", SB_E_NETWORK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_http_response response = answer(cases[i].status, NULL, cases[i].body);
        struct sb_error err = {0};
        sb_autofree char *whole =
            sb_format("registry 127.0.0.1:5000: repository team/app: PUT x: %s", cases[i].message);
        CHECK_INT(sb_remote_refused(remote, &response, "PUT x", &err), -1);
        CHECK_STR(err.message, whole);
        CHECK_INT(err.code, cases[i].code);
        if (!CHECK(strstr(err.hint, cases[i].hint) != NULL))
            printf("    %s\n", err.hint);
        sb_http_response_free(&response);
    }
}

static void check_long_refusal(struct sb_remote *remote) {
    sb_autojson json_t *errors = json_array();
    char text[5000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 1000; i++)
        json_array_append_new(errors, json_pack("{s:s, s:s}", "code", "C", "message", text));
    sb_autojson json_t *body = json_pack("{s:O}", "errors", errors);
    struct sb_http_response response = {.status = 400};
    sb_json_write(body, &response.body);
    struct sb_error err = {0};
    sb_remote_refused(remote, &response, "PUT x", &err);
    CHECK(strlen(err.message) < 1200);
    CHECK(sb_remote_said(&response, "C"));
    CHECK(!sb_remote_said(&response, "D"));
    sb_http_response_free(&response);
}

static void check_digest_header(void) {
    const struct sb_digest digest = sb_digest_of("x", 1);
    sb_autofree char *right = sb_format("docker-content-digest: %s", sb_digest_text(&digest).text);
    static const char wrong[] = "docker-content-digest: sha256:"
                                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const struct {
        const char *header;
        int result;
    } cases[] = {{right, 1},
                 {wrong, -1},
                 {NULL, 0},
                 {"docker-content-digest: sha256:x", -1},
                 {"docker-content-digest: sha512:00", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_http_response response = answer(200, cases[i].header, NULL);
        struct sb_error err = {0};
        CHECK_INT(sb_remote_check_digest(&response, &digest, &err), cases[i].result);
        CHECK_INT(err.code, cases[i].result < 0 ? SB_E_INTEGRITY : SB_E_NONE);
        sb_http_response_free(&response);
    }
}

/* ---- URLs that servers name ---- */

static void check_locations(struct sb_remote *remote) {
    static const char base[] = "/v2/team/app/blobs/uploads/?mount=x";
    static const struct {
        const char *location;
        bool elsewhere;
        const char *target; /* NULL: refused */
    } cases[] = {
        {"/v2/team/app/blobs/uploads/1?_state=a%3D", false,
         "/v2/team/app/blobs/uploads/1?_state=a%3D"},
        {"http://127.0.0.1:5000/v2/x", false, "/v2/x"},
        {"https://127.0.0.1:5000/v2/x?y", false, "/v2/x?y"},
        {"HTTP://127.0.0.1:5000", false, "/"},
        {"http://127.0.0.1:5000?a", false, "/?a"},
        {"//127.0.0.1:5000/v2/x", false, "/v2/x"},
        {"?n=1", false, "/v2/team/app/blobs/uploads/?n=1"},
        {"2?n=1", false, "/v2/team/app/blobs/uploads/2?n=1"},
        {"https://blobs.example.com/a?b", true, "https://blobs.example.com/a?b"},
        {"https://blobs.example.com/a?b", false, NULL},
        {"http://blobs.example.com/a?b", true, NULL},
        {"http://169.254.169.254/latest", true, NULL},
        {"http://127.0.0.1:5001/", true, NULL},
        {"http://127.0.0.1/", true, NULL},
        {"http://127.0.0.1:5000@evil.example/", true, NULL},
        {"https://127.0.0.1:5000@evil.example/", true, NULL},
        {"file:///etc/passwd", true, NULL},
        {"gopher://127.0.0.1:5000/", true, NULL},
        {"//evil.example/x", false, NULL},
        {"/v2/x\r\nHost: y", true, NULL},
        {"/v2/a b", true, NULL},
        {"", true, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autofree char *target = NULL;
        struct sb_error err = {0};
        int result =
            sb_remote_location(remote, base, cases[i].location, cases[i].elsewhere, &target, &err);
        CHECK_INT(result, cases[i].target ? 0 : -1);
        CHECK_STR(target, cases[i].target);
        CHECK_INT(err.code, cases[i].target ? SB_E_NONE : SB_E_NETWORK);
    }
}

/* The port that goes without saying may be said. */
static void check_default_ports(struct sb_registry *registry) {
    static const struct {
        const char *host, *location;
        bool same;
    } cases[] = {
        {"r.example", "https://r.example:443/x", true},
        {"r.example:443", "https://r.example/x", true},
        {"r.example", "https://R.example/x", true},
        {"r.example", "http://r.example:80/x", true},
        {"r.example", "https://r.example:444/x", false},
        {"r.example", "https://r.example.evil/x", false},
        {"docker.io", "https://registry-1.docker.io/x", true},
        {"docker.io", "https://docker.io/x", false},
        {"[::1]:5000", "http://[::1]:5000/x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_remote *remote = sb_remote_open(registry, cases[i].host, "a");
        sb_autofree char *target = NULL;
        struct sb_error err = {0};
        int result = sb_remote_location(remote, "/v2/", cases[i].location, false, &target, &err);
        if (!CHECK_INT(result, cases[i].same ? 0 : -1))
            printf("    %s at %s\n", cases[i].location, cases[i].host);
        CHECK_STR(target, cases[i].same ? "/x" : NULL);
        sb_remote_free(remote);
    }
}

static void check_pages(struct sb_remote *remote) {
    static const struct {
        const char *header, *target;
    } cases[] = {
        {NULL, NULL},
        {"link: </v2/team/app/tags/list?last=b&n=2>; rel=\"next\"",
         "/v2/team/app/tags/list?last=b&n=2"},
        {"link: <x>; rel=\"prev\", </y>; rel=\"next\"", "/y"},
        {"link: </y>; rel=next", "/y"},
        {"link: <?n=2&last=c>; rel=\"next\"", "/v2/team/app/tags/list?n=2&last=c"},
        {"link: </y>; rel=\"prev\"", NULL},
        {"link: </y", NULL},
        {"link: nonsense", NULL},
        {"link: <", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_http_response response = answer(200, cases[i].header, NULL);
        sb_autofree char *target = NULL;
        struct sb_error err = {0};
        CHECK_INT(
            sb_remote_next_page(remote, "/v2/team/app/tags/list?n=2", &response, &target, &err), 0);
        CHECK_STR(target, cases[i].target);
        sb_http_response_free(&response);
    }
}

static void check_ranges(void) {
    static const struct {
        const char *value;
        bool fine;
        uint64_t out;
    } cases[] = {
        {"0-0", true, 1},
        {"0-1023", true, 1024},
        {"bytes=0-9", true, 10},
        {"0-", false, 0},
        {"1-5", false, 0},
        {"", false, 0},
        {"0--1", false, 0},
        {"0-9x", false, 0},
        {"0- 9", false, 0},
        {"0-99999999999999999999", false, 0},
        {"0-9223372036854775807", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t out = 0;
        CHECK_INT(sb_session_range(cases[i].value, &out), cases[i].fine);
        CHECK_INT(out, cases[i].out);
    }
}

/* ---- sources ---- */

static void check_mirrors(void) {
    struct sb_registry_host host = {.host = "docker.io"};
    sb_strings_add(&host.mirrors, "https://mirror.example.com");
    sb_strings_add(&host.mirrors, "http://127.0.0.1:5001/hub/");
    const struct sb_registry_hosts hosts = {.v = &host, .n = 1, .cap = 1};
    const struct sb_registry_options options = {.http = {.hosts = &hosts}};
    struct sb_registry *registry = sb_registry_new(&options);
    struct sb_remote *remote = sb_remote_open(registry, "docker.io", "library/alpine");
    struct sb_remote_sources sources = {0};
    sb_remote_sources(remote, true, &sources);
    if (CHECK_INT(sources.n, 3)) {
        CHECK_STR(sources.v[0].base, "https://mirror.example.com/v2/library/alpine");
        CHECK_STR(sources.v[0].host, "mirror.example.com");
        CHECK_STR(sources.v[1].base, "http://127.0.0.1:5001/v2/hub/library/alpine");
        CHECK_STR(sources.v[1].host, "127.0.0.1:5001");
        CHECK_STR(sources.v[1].scope, "repository:hub/library/alpine:pull");
        CHECK_STR(sources.v[2].base, "/v2/library/alpine");
        CHECK_STR(sources.v[2].host, "docker.io");
        CHECK(!sources.v[2].mirror);
    }
    sb_remote_sources_free(&sources);
    sb_registry_add_trait(registry, "https://mirror.example.com", SB_TRAIT_LIED);
    sb_remote_sources(remote, true, &sources);
    CHECK_INT(sources.n, 2);
    sb_remote_sources_free(&sources);
    sb_remote_will_push(remote);
    sb_remote_sources(remote, true, &sources);
    CHECK_INT(sources.n, 1);
    sb_remote_sources_free(&sources);
    sb_remote_free(remote);
    sb_registry_free(registry);
    sb_strings_free(&host.mirrors);
}

int main(int argc, char **argv) {
    if (argc > 1)
        return client_main(argc, argv);
    const struct sb_registry_options options = {0};
    struct sb_registry *registry = sb_registry_new(&options);
    struct sb_remote *remote = sb_remote_open(registry, "127.0.0.1:5000", "team/app");
    check_retry_after();
    check_retry();
    check_patience();
    check_refused(remote);
    check_long_refusal(remote);
    check_digest_header();
    check_locations(remote);
    check_default_ports(registry);
    check_pages(remote);
    check_ranges();
    check_mirrors();
    sb_remote_free(remote);
    sb_registry_free(registry);
    return test_done();
}
