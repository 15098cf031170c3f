/* Names of images, against the grammar of github.com/distribution/reference. */
#include "registry/reference.h"

#include <stdlib.h>

#include "base/memory.h"
#include "test.h"

#define HEX    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DIGEST "sha256:" HEX
#define A32    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A128   A32 A32 A32 A32

static const struct good {
    const char *text, *whole;
    bool has_host;
} goods[] = {
    {"alpine", "docker.io/library/alpine", false},
    {"alpine:3.20", "docker.io/library/alpine:3.20", false},
    {"alpine@" DIGEST, "docker.io/library/alpine@" DIGEST, false},
    {"alpine:3.20@" DIGEST, "docker.io/library/alpine:3.20@" DIGEST, false},
    {"user/app", "docker.io/user/app", false},
    {"user/app:v1", "docker.io/user/app:v1", false},
    {"library/alpine", "docker.io/library/alpine", false},
    {"a/b/c/d", "docker.io/a/b/c/d", false},
    {"docker.io/alpine", "docker.io/library/alpine", true},
    {"docker.io/user/app", "docker.io/user/app", true},
    {"index.docker.io/alpine", "docker.io/library/alpine", true},
    {"index.docker.io/user/app:x", "docker.io/user/app:x", true},
    {"localhost/app", "localhost/app", true},
    {"localhost:5000/app", "localhost:5000/app", true},
    {"localhost", "docker.io/library/localhost", false},
    {"localhost:5000", "docker.io/library/localhost:5000", false},
    {"host:5000/a/b:tag@" DIGEST, "host:5000/a/b:tag@" DIGEST, true},
    {"host:5000/a", "host:5000/a", true},
    {"test.com/repo:tag", "test.com/repo:tag", true},
    {"test.com:8080/repo", "test.com:8080/repo", true},
    {"REGISTRY.Example.COM/repo", "registry.example.com/repo", true},
    {"LocalHost/a", "localhost/a", true},
    {"Registry:5000/a", "registry:5000/a", true},
    {"lowercase:Uppercase", "docker.io/library/lowercase:Uppercase", false},
    {"127.0.0.1:5000/team/app", "127.0.0.1:5000/team/app", true},
    {"192.168.1.1/a", "192.168.1.1/a", true},
    {"[::1]/a", "[::1]/a", true},
    {"[::1]:5000/a@" DIGEST, "[::1]:5000/a@" DIGEST, true},
    {"[2001:DB8::1]:5000/a:b", "[2001:db8::1]:5000/a:b", true},
    {"[::ffff:1.2.3.4]/a", "[::ffff:1.2.3.4]/a", true},
    {"xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com", true},
    {"a-b.c-d.com/x", "a-b.c-d.com/x", true},
    {"foo_bar.com:8080", "docker.io/library/foo_bar.com:8080", false},
    {"foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080", false},
    {"a__b", "docker.io/library/a__b", false},
    {"a_b.c-d", "docker.io/library/a_b.c-d", false},
    {"a---b/c", "docker.io/a---b/c", false},
    {"0/1", "docker.io/0/1", false},
    {"a:_", "docker.io/library/a:_", false},
    {"a:_.-", "docker.io/library/a:_.-", false},
    {"a:0", "docker.io/library/a:0", false},
    {"a:" A128, "docker.io/library/a:" A128, false},
    {"h.com/" HEX, "h.com/" HEX, true},
    {"123456789012.dkr.ecr.us-west-2.amazonaws.com/team/app:v1",
     "123456789012.dkr.ecr.us-west-2.amazonaws.com/team/app:v1", true},
    {"ecr.h.com:65535/a", "ecr.h.com:65535/a", true},
};

/* What must fail, and what the message says of it. */
static const struct bad {
    const char *text, *says;
} bads[] = {
    {"", "empty"},
    {"/", "host"},
    {"/a", "host"},
    {":", "repository is missing"},
    {":tag", "repository is missing"},
    {"@" DIGEST, "repository is missing"},
    {"h.com/", "repository is missing"},
    {"h.com/:tag", "repository is missing"},
    {"a/", "empty part"},
    {"a//b", "empty part"},
    {"h.com//b", "empty part"},
    {"Alpine", "upper-case"},
    {"user/App", "upper-case"},
    {"h.com/Team/app", "upper-case"},
    {"a/b/C", "upper-case"},
    {"-a", "malformed"},
    {"a-", "malformed"},
    {"a..b", "malformed"},
    {"a___b", "malformed"},
    {"a._b", "malformed"},
    {".a", "malformed"},
    {"a/.", "malformed"},
    {"a/../b", "malformed"},
    {"_a/b", "malformed"},
    {"a b", "malformed"},
    {"a\nb", "malformed"},
    {"\xc3\xa4", "malformed"},
    {"aa/asdf$$^/aa", "malformed"},
    {"a?b", "malformed"},
    {"a%2fb", "malformed"},
    {"a:", "tag after \":\" is missing"},
    {"a:@" DIGEST, "tag after \":\" is missing"},
    {"a:-b", "tag"},
    {"a:.b", "tag"},
    {"a:b:c", "tag"},
    {"a:b/c", "port"},
    {"a/b:c/d", "tag"},
    {"a:b c", "tag"},
    {"a:b\x01", "tag"},
    {"a:\xc3\xa4", "tag"},
    {"a:" A128 "b", "more than 128"},
    {"a@", "digest"},
    {"a@sha256:", "digest"},
    {"a@sha256:" HEX "0", "digest"},
    {"a@SHA256:" HEX, "digest"},
    {"a@sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "digest"},
    {"a@sha512:" HEX HEX, "digest"},
    {"a@" DIGEST ":tag", "digest"},
    {"a@" DIGEST "@" DIGEST, "digest"},
    {"a@tag", "digest"},
    {"http://h.com/a", "scheme"},
    {"https://h.com/a", "scheme"},
    {"docker://h.com/a", "scheme"},
    {"h.com:/a", "port"},
    {"h.com:0/a", "port"},
    {"h.com:65536/a", "port"},
    {"h.com:99999999999/a", "port"},
    {"h.com:5000x/a", "port"},
    {"h.com:5000:5000/a", "port"},
    {"h.com:-1/a", "port"},
    {"-h.com/a", "host"},
    {"h-.com/a", "host"},
    {"h..com/a", "host"},
    {".h.com/a", "host"},
    {"h.com./a", "host"},
    {"h_x.com/a", "host"},
    {"user:password@h.com/a", "no password"},
    {"Uppercase/lowercase", "upper-case"},
    {"User/app:v1", "upper-case"},
    {"h.com\r\nX: y/a", "host"},
    {"h .com/a", "host"},
    {"[::1/a", "IPv6"},
    {"[]:5000/a", "IPv6"},
    {"[::g]:5000/a", "IPv6"},
    {"[fe80::1%eth0]/a", "IPv6"},
    {"[::1]x/a", "port"},
    {"[::1]:/a", "port"},
    {"::1/a", "host"},
    {"a.b/" A128 "/" A128, "more than 255"},
    {HEX, "64 hexadecimal digits"},
    {HEX ":tag", "64 hexadecimal digits"},
};

static void check_good(const struct good *good) {
    struct sb_reference reference, copy = {0}, again = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_reference_has_host(good->text), good->has_host);
    if (!CHECK(sb_reference_parse(good->text, &reference, &err) == 0)) {
        printf("    %s: %s\n", good->text, err.message);
        return;
    }
    sb_reference_copy(&copy, &reference);
    sb_autofree char *whole = sb_reference_text(&copy);
    CHECK_STR(whole, good->whole);
    /* What it writes means the same. */
    CHECK(sb_reference_parse(whole, &again, &err) == 0);
    sb_autofree char *twice = sb_reference_text(&again);
    CHECK_STR(twice, good->whole);
    sb_autofree char *name = sb_reference_name(&reference);
    CHECK(strncmp(name, whole, strlen(name)) == 0);
    sb_reference_free(&reference);
    sb_reference_free(&copy);
    sb_reference_free(&again);
}

static void check_bad(const struct bad *bad) {
    struct sb_reference reference;
    struct sb_error err = {0};
    if (!CHECK(sb_reference_parse(bad->text, &reference, &err) == -1)) {
        printf("    \"%s\" was accepted\n", bad->text);
        return;
    }
    CHECK_INT(err.code, SB_E_USAGE);
    CHECK(!reference.host && !reference.repository && !reference.tag && !reference.has_digest);
    if (!CHECK(strstr(err.message, bad->says) != NULL))
        printf("    \"%s\": %s\n", bad->text, err.message);
    CHECK(!strstr(err.message, "password@"));
    for (const char *p = err.message; *p; p++)
        if (!CHECK((unsigned char)*p >= 0x20))
            break;
}

static void check_limits(void) {
    char text[400] = "h.com/";
    struct sb_reference reference;
    struct sb_error err = {0};
    memset(text + 6, 'a', 249);
    CHECK(sb_reference_parse(text, &reference, &err) == 0);
    sb_reference_free(&reference);
    text[255] = 'a';
    CHECK(sb_reference_parse(text, &reference, &err) == -1);

    char tag[SB_TAG_LIMIT + 2] = {0};
    CHECK(!sb_tag_valid(tag));
    memset(tag, 't', SB_TAG_LIMIT);
    CHECK(sb_tag_valid(tag));
    tag[SB_TAG_LIMIT] = 't';
    CHECK(!sb_tag_valid(tag));
    CHECK(!sb_tag_valid("a/b") && !sb_tag_valid("a b") && !sb_tag_valid("-a"));
    CHECK_STR(sb_registry_endpoint("docker.io"), "registry-1.docker.io");
    CHECK_STR(sb_registry_endpoint("quay.io"), "quay.io");
}

int main(void) {
    for (size_t i = 0; i < sizeof goods / sizeof *goods; i++)
        check_good(&goods[i]);
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++)
        check_bad(&bads[i]);
    check_limits();
    return test_done();
}
