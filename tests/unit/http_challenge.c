/* What servers say in WWW-Authenticate, what scopes cover, and which token servers are asked. */
#include "base/memory.h"
#include "http/base64.h"
#include "http/challenge.h"
#include "http/realm.h"
#include "http/scope.h"
#include "http/secret.h"
#include "http/token.h"
#include "tests/unit/test.h"

/* "scheme realm=… service=…;scheme …", to be compared with. */
static char *describe(const struct sb_challenges *list) {
    struct sb_buf out = {0};
    for (size_t i = 0; i < list->n; i++) {
        const struct sb_challenge *c = &list->v[i];
        sb_buf_addf(&out, "%s%s", i ? ";" : "", c->scheme);
        const char *const values[] = {c->realm, c->service, c->scope, c->error};
        static const char *const names[] = {"realm", "service", "scope", "error"};
        for (size_t k = 0; k < 4; k++)
            if (values[k])
                sb_buf_addf(&out, " %s=%s", names[k], values[k]);
    }
    return sb_buf_steal(&out);
}

static void good_challenges(void) {
    static const struct {
        const char *header, *wanted;
    } cases[] = {
        {"Basic realm=\"registry\"", "basic realm=registry"},
        {"bAsIc", "basic"},
        {"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope="
         "\"repository:library/alpine:pull\"",
         "bearer realm=https://auth.docker.io/token service=registry.docker.io "
         "scope=repository:library/alpine:pull"},
        {"Bearer realm=\"https://t/\",scope=\"repository:a:pull,push repository:b:pull\"",
         "bearer realm=https://t/ scope=repository:a:pull,push repository:b:pull"},
        {"BEARER REALM=\"https://t/\" , Service = token , error=\"invalid_token\"",
         "bearer realm=https://t/ service=token error=invalid_token"},
        {"Bearer realm=\"say \\\"x\\\" \\\\ y\"", "bearer realm=say \"x\" \\ y"},
        {"Basic realm=\"a, b=c\", Bearer realm=\"https://t/\",service=\"s\"",
         "basic realm=a, b=c;bearer realm=https://t/ service=s"},
        {"Negotiate, Basic realm=\"x\"", "negotiate;basic realm=x"},
        {"Negotiate abc+/==, NTLM, Digest qop=\"auth,auth-int\", nonce=x, realm=\"d\"",
         "negotiate;ntlm;digest realm=d"},
        {" , ,Basic realm=\"x\" ,, ", "basic realm=x"},
        {"Basic realm=\"\"", "basic realm="},
        {"Basic\trealm=x", "basic realm=x"},
        {"Bearer error_description=\"realm=\\\"http://evil\\\"\",realm=\"https://t/\"",
         "bearer realm=https://t/"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autochallenges struct sb_challenges list = {0};
        struct sb_error err = {0};
        CHECK_INT(sb_challenges_parse(cases[i].header, &list, &err), 0);
        sb_autofree char *text = describe(&list);
        CHECK_STR(text, cases[i].wanted);
    }
}

static void bad_challenges(void) {
    static const char *const cases[] = {
        "",
        " , ,",
        "\"Basic\"",
        "=x",
        "Basic realm=\"x",
        "Basic realm=\"x\\",
        "Basic realm=\"x\" charset=\"UTF-8\"", /* no comma */
        "Bearer realm=,service=x",
        "Bearer realm=\"a\",realm=\"b\"",
        "Bearer realm=\"a\nb\"",
        "Basic realm=\"x\";charset=y",
        "Basic (x)",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autochallenges struct sb_challenges list = {0};
        struct sb_error err = {0};
        if (!CHECK_INT(sb_challenges_parse(cases[i], &list, &err), -1))
            printf("    %s\n", cases[i]);
        CHECK_INT(err.code, SB_E_NETWORK);
    }
    struct sb_buf many = {0};
    for (int i = 0; i <= SB_CHALLENGE_LIMIT; i++)
        sb_buf_adds(&many, "Basic, ");
    sb_autochallenges struct sb_challenges list = {0};
    CHECK_INT(sb_challenges_parse(many.data, &list, NULL), -1);
    sb_buf_reset(&many);
    while (many.len < SB_CHALLENGE_TEXT_LIMIT)
        sb_buf_adds(&many, "Basic ,");
    CHECK_INT(sb_challenges_parse(many.data, &list, NULL), -1);
    sb_buf_free(&many);
}

static void scopes(void) {
    sb_autoscopes struct sb_scopes all = {0}, some = {0}, other = {0}, none = {0};
    sb_scopes_add(&all, "repository:team/b:pull repository:team/a:push,pull");
    sb_scopes_add(&all, "repository:team/b:push,pull registry:catalog:*");
    sb_scopes_add(&all, NULL);
    CHECK_INT(all.list.n, 3);
    CHECK_STR(all.list.v[0], "registry:catalog:*");
    CHECK_STR(all.list.v[1], "repository:team/a:pull,push");
    CHECK_STR(all.list.v[2], "repository:team/b:pull,push");
    sb_scopes_add(&some, "repository:team/a:pull");
    sb_scopes_add(&other, "repository:team/a:delete");
    CHECK(sb_scopes_cover(&all, &some));
    CHECK(sb_scopes_cover(&all, &none));
    CHECK(sb_scopes_cover(&none, &none));
    CHECK(!sb_scopes_cover(&some, &all));
    CHECK(!sb_scopes_cover(&all, &other));
    CHECK(sb_scopes_touch(&all, &other));
    CHECK(!sb_scopes_touch(&none, &other));
    sb_scopes_join(&some, &other);
    CHECK_STR(some.list.v[0], "repository:team/a:delete,pull");
    sb_autoscopes struct sb_scopes ports = {0}, star = {0};
    sb_scopes_add(&ports,
                  "repository(plugin):host:5000/a:pull repository(plugin):host:5000/b:pull");
    CHECK_INT(ports.list.n, 2);
    sb_scopes_add(&star, "repository:team/a:*");
    CHECK(sb_scopes_cover(&star, &other));
    for (int i = 0; i < 1000; i++) {
        sb_autofree char *entry = sb_format("repository:r%d:pull", i);
        sb_scopes_add(&ports, entry);
    }
    CHECK_INT(ports.list.n, SB_SCOPE_LIMIT);
    static const char *const repositories[][2] = {
        {NULL, ""},
        {"", ""},
        {"registry:catalog:*", ""},
        {"repository:team/app:pull,push", "team/app"},
        {"registry:catalog:* repository:a:pull repository:b:pull", "a"},
    };
    for (size_t i = 0; i < sizeof repositories / sizeof *repositories; i++) {
        sb_autofree char *name = sb_scope_repository(repositories[i][0]);
        CHECK_STR(name, repositories[i][1]);
    }
}

static void realms(void) {
    static struct sb_host_settings hosts[] = {{.host = "plain.example.com", .plain_http = true},
                                              {.host = "set.example.com"}};
    static const struct sb_http_settings settings = {.hosts = hosts, .host_count = 2};
    static const struct {
        const char *host, *origin, *realm;
        bool allowed;
    } cases[] = {
        {"r.example.com", "https://r.example.com", "https://auth.example.net/token?x=y", true},
        {"r.example.com", "https://r.example.com", "https://10.0.0.7/token", true},
        {"r.example.com", "https://r.example.com", "http://auth.example.net/token", false},
        {"r.example.com", "https://r.example.com", "http://127.0.0.1/token", false},
        {"r.example.com", "https://r.example.com", "ftp://auth.example.net/token", false},
        {"r.example.com", "https://r.example.com", "file:///etc/passwd", false},
        {"r.example.com", "https://r.example.com", "/token", false},
        {"r.example.com", "https://r.example.com", "", false},
        {"r.example.com", "https://r.example.com", "https://169.254.169.254/latest", false},
        {"r.example.com", "https://r.example.com", "https://169.254.170.2/", false},
        {"r.example.com", "https://r.example.com", "https://2852039166/", false}, /* the same */
        {"r.example.com", "https://r.example.com", "https://0xa9fea9fe/", false},
        {"r.example.com", "https://r.example.com", "https://[fe80::1]/", false},
        {"r.example.com", "https://r.example.com", "https://[::ffff:169.254.169.254]/", false},
        {"r.example.com", "https://r.example.com", "https://[fd00:ec2::254]/", false},
        {"r.example.com", "https://r.example.com", "https://metadata.google.internal/", false},
        {"r.example.com", "https://r.example.com", "https://METADATA.google.internal.:443/", false},
        {"127.0.0.1:5000", "http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true},
        {"127.0.0.1:5000", "http://127.0.0.1:5000", "http://localhost:5001/token", true},
        {"127.0.0.1:5000", "https://127.0.0.1:5000", "http://127.0.0.1:5001/token", true},
        {"127.0.0.1:5000", "http://127.0.0.1:5000", "http://auth.example.net/token", false},
        {"127.0.0.1:5000", "http://127.0.0.1:5000", "http://169.254.169.254/token", false},
        {"plain.example.com", "http://plain.example.com", "http://auth.example.net/token", true},
        {"plain.example.com", "http://plain.example.com", "http://169.254.169.254/", false},
        {"set.example.com", "https://set.example.com", "http://set.example.com/token", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_auth_request request = {cases[i].host, cases[i].origin, NULL};
        struct sb_error err = {0};
        sb_autourl CURLU *url = sb_realm_parse(&settings, &request, cases[i].realm, &err);
        if (!CHECK_INT(url != NULL, cases[i].allowed))
            printf("    %s\n", cases[i].realm);
        if (!url)
            CHECK_INT(err.code, SB_E_NETWORK);
    }
    CHECK(sb_realm_origin_is_safe(&settings, "a.example", "https://a.example"));
    CHECK(!sb_realm_origin_is_safe(&settings, "a.example", "http://a.example"));
    CHECK(!sb_realm_origin_is_safe(&settings, "a.example", "http://127.0.0.1.a.example"));
    CHECK(!sb_realm_origin_is_safe(&settings, "set.example.com", "http://set.example.com"));
    CHECK(sb_realm_origin_is_safe(&settings, "plain.example.com", "http://plain.example.com"));
    CHECK(sb_realm_origin_is_safe(&settings, "localhost:5000", "http://localhost:5000"));
    CHECK(sb_realm_origin_is_safe(&settings, "[::1]:5000", "http://[::1]:5000"));
}

static void base64(void) {
    static const char *const cases[][2] = {{"", ""},        {"Zg==", "f"},        {"Zm8=", "fo"},
                                           {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Pj4/", ">>?"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autosecret struct sb_buf text = {0}, bytes = {0};
        sb_base64_encode(cases[i][1], strlen(cases[i][1]), &text);
        CHECK_STR(sb_buf_text(&text), cases[i][0]);
        CHECK_INT(sb_base64_decode(cases[i][0], &bytes), 0);
        CHECK_STR(sb_buf_text(&bytes), cases[i][1]);
    }
    static const char *const bad[] = {"Z",        "Zg",     "Zg=",   "Zg===", "Z===",  "====",
                                      "Zg==Zg==", "Zm9v\n", " Zm9v", "Zm9-",  "Zm 9v", "Zm=v"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sb_autosecret struct sb_buf bytes = {0};
        if (!CHECK_INT(sb_base64_decode(bad[i], &bytes), -1))
            printf("    %s\n", bad[i]);
    }
}

static void token_answers(void) {
    static const struct {
        const char *text, *token;
        double seconds;
    } cases[] = {
        {"{\"token\": \"abc\"}", "abc", 60},
        {"{\"access_token\": \"abc\", \"expires_in\": 300}", "abc", 300},
        {"{\"token\": \"abc\", \"access_token\": \"def\", \"expires_in\": 5}", "abc", 5},
        {"{\"token\": \"\", \"access_token\": \"def\"}", "def", 60},
        {"{\"token\": \"abc\", \"expires_in\": \"300\"}", "abc", 60},
        {"{\"token\": \"abc\", \"expires_in\": -1}", "abc", 60},
        {"{\"token\": \"abc\", \"expires_in\": 1e300}", "abc", 365 * 86400},
        {"{\"token\": \"a\\r\\nX-Evil: b\"}", NULL, 0},
        {"{\"token\": \"a b\"}", NULL, 0},
        {"{\"token\": 7}", NULL, 0},
        {"{}", NULL, 0},
        {"[]", NULL, 0},
        {"\"abc\"", NULL, 0},
        {"", NULL, 0},
        {"{\"token\": \"secret-in-a-broken-answer\"", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autotoken struct sb_token token = {0};
        struct sb_error err = {0};
        int result =
            sb_token_parse(cases[i].text, strlen(cases[i].text), "https://t/", &token, &err);
        CHECK_INT(result, cases[i].token ? 0 : -1);
        CHECK_STR(token.text, cases[i].token);
        CHECK(token.seconds == cases[i].seconds);
        CHECK(!strstr(err.message, "secret"));
    }
}

int main(void) {
    good_challenges();
    bad_challenges();
    scopes();
    realms();
    base64();
    token_answers();
    return test_done();
}
