/* http/origin, http/header, http/settings and http/request: what is decided without a server. */
#include "http/origin.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/memory.h"
#include "http/header.h"
#include "http/request.h"
#include "http/settings.h"
#include "tests/unit/test.h"

static void test_reach(void) {
    static const struct {
        const char *address;
        enum sb_reach reach;
    } cases[] = {
        {"127.0.0.1", SB_REACH_LOOPBACK},
        {"127.9.9.9:5000", SB_REACH_LOOPBACK},
        {"0.0.0.0", SB_REACH_LOOPBACK},
        {"::1", SB_REACH_LOOPBACK},
        {"[::1]:5000", SB_REACH_LOOPBACK},
        {"::", SB_REACH_LOOPBACK},
        {"::ffff:127.0.0.1", SB_REACH_LOOPBACK},
        {"169.254.169.254", SB_REACH_LINK_LOCAL},
        {"169.254.0.1:80", SB_REACH_LINK_LOCAL},
        {"::ffff:169.254.169.254", SB_REACH_LINK_LOCAL},
        {"fe80::1%eth0", SB_REACH_LINK_LOCAL},
        {"febf::1", SB_REACH_LINK_LOCAL},
        {"[fd00:ec2::254]", SB_REACH_LINK_LOCAL},
        {"fd00:ec2::253", SB_REACH_PRIVATE},
        {"fd00:ec2::23", SB_REACH_LINK_LOCAL},
        {"fd20:ce::254", SB_REACH_LINK_LOCAL},
        {"100.100.100.200", SB_REACH_LINK_LOCAL},
        {"100.100.100.201", SB_REACH_PRIVATE},
        {"168.63.129.16:32526", SB_REACH_LINK_LOCAL},
        {"192.0.0.192", SB_REACH_LINK_LOCAL},
        {"64:ff9b::a9fe:a9fe", SB_REACH_LINK_LOCAL},
        {"[64:ff9b::169.254.169.254]:80", SB_REACH_LINK_LOCAL},
        {"64:ff9b:1::a9fe:a9fe", SB_REACH_LINK_LOCAL},
        {"64:ff9b:1:fffe::169.254.170.2", SB_REACH_LINK_LOCAL},
        {"64:ff9b::7f00:1", SB_REACH_LOOPBACK},
        {"64:ff9b::8.8.8.8", SB_REACH_ANY},
        {"::169.254.169.254", SB_REACH_LINK_LOCAL},
        {"::ffff:0:169.254.169.254", SB_REACH_LINK_LOCAL},
        {"::ffff:100.100.100.200", SB_REACH_LINK_LOCAL},
        {"2002:a9fe:a9fe::1", SB_REACH_LINK_LOCAL},
        {"2002:7f00:1::", SB_REACH_LOOPBACK},
        {"2001:db8::a9fe:a9fe", SB_REACH_ANY},
        {"0.1.2.3", SB_REACH_LOOPBACK},
        {"10.0.0.1", SB_REACH_PRIVATE},
        {"172.16.0.1", SB_REACH_PRIVATE},
        {"172.31.255.255", SB_REACH_PRIVATE},
        {"192.168.1.1", SB_REACH_PRIVATE},
        {"100.64.0.1", SB_REACH_PRIVATE},
        {"fec0::1", SB_REACH_PRIVATE},
        {"fc00::1", SB_REACH_PRIVATE},
        {"169.253.1.1", SB_REACH_ANY},
        {"172.32.0.1", SB_REACH_ANY},
        {"100.128.0.1", SB_REACH_ANY},
        {"11.0.0.1", SB_REACH_ANY},
        {"2001:db8::1", SB_REACH_ANY},
        {"registry.example.com", SB_REACH_ANY},
        {"", SB_REACH_ANY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK_INT(sb_reach_of_text(cases[i].address), cases[i].reach))
            printf("    %s\n", cases[i].address);
    static const char *const here[] = {"localhost",   "localhost:5000", "LOCALHOST",
                                       "a.localhost", "127.0.0.1:5000", "[::1]:5000"};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        CHECK(sb_host_is_loopback(here[i]));
    static const char *const there[] = {"notlocalhost", "localhost.example.com", "128.0.0.1",
                                        "x:1"};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        CHECK(!sb_host_is_loopback(there[i]));
}

static void test_urls(void) {
    struct sb_error err = {0};
    sb_autourl CURLU *url = sb_url_parse("HTTPS://user:word@Host.Example:443/a/../b?c=d#e", &err);
    if (!CHECK(url))
        return;
    sb_autofree char *text = sb_url_text(url), *origin = sb_url_origin(url);
    sb_autofree char *authority = sb_url_authority(url), *shown = sb_url_shown(url);
    CHECK(!strstr(text, "word"));
    CHECK(strstr(text, "/a/../b?c=d"));
    CHECK_STR(origin, "https://host.example");
    CHECK_STR(authority, "host.example");
    CHECK_STR(shown, "https://host.example/a/../b");
    CHECK(sb_url_is_https(url));
    static const struct {
        const char *location, *origin;
    } moves[] = {
        {"/x", "https://host.example"},
        {"x?y", "https://host.example"},
        {"//other:80/x", "https://other:80"},
        {"http://other:80/x", "http://other"},
        {"http://[::1]:5000", "http://[::1]:5000"},
        {"http://host.example@other/", "http://other"},
    };
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        sb_autourl CURLU *to = sb_url_resolve(url, moves[i].location, &err);
        sb_autofree char *where = to ? sb_url_origin(to) : NULL;
        CHECK_STR(where, moves[i].origin);
    }
    static const char *const bad[] = {"file:///etc/passwd", "ftp://host/", "data:x", "http://",
                                      "http://a b/", "ldap://h",
                                      /* another host when it is read again */
                                      "https://a%25b/", "https://%32852039166/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!sb_url_parse(bad[i], &err));
        CHECK_INT(err.code, SB_E_NETWORK);
        CHECK(!sb_url_resolve(url, bad[i], &err));
    }
    CHECK(!sb_url_parse("https://user:word@ho st/", &err));
    CHECK(!strstr(err.message, "word"));
}

static void test_settings(void) {
    struct sb_error err = {0};
    struct sb_http_settings settings;
    static const char text[] = "{\"version\": \"" SB_VERSION "\", \"stall\": 7, \"hosts\": ["
                               "{\"host\": \"a:1\", \"plain_http\": true, \"ca\": \"/ca\"},"
                               "{\"host\": \"*\", \"skip_verify\": true}]}";
    CHECK(sb_http_settings_parse(text, strlen(text), &settings, &err) == 0);
    CHECK_INT(settings.stall_seconds, 7);
    const struct sb_host_settings *host = sb_http_settings_host(&settings, "a:1");
    CHECK(host && host->plain_http && !host->skip_verify);
    CHECK_STR(host->ca, "/ca");
    CHECK(sb_http_settings_host(&settings, "b")->skip_verify);
    sb_http_settings_free(&settings);
    static const char old[] = "{\"version\": \"0.0.0\"}";
    CHECK(sb_http_settings_parse(old, strlen(old), &settings, &err) < 0);
    CHECK(strstr(err.message, "0.0.0"));
    CHECK(sb_http_settings_parse("{", 1, &settings, &err) < 0);
}

/* What sbuild never sends, but which must not get through. */
static void test_requests(void) {
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"method\": \"GET\"}",
        "{\"method\": \"GET x\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\"}",
        "{\"method\": \"GET\\r\\n\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\"}",
        "{\"method\": \"GET\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\","
        " \"headers\": [[\"A\", \"b\\nC: d\"]]}",
        "{\"method\": \"GET\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\","
        " \"headers\": [[\"A: x\", \"b\"]]}",
        "{\"method\": \"GET\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\","
        " \"headers\": [[\"A\"]]}",
        "{\"method\": \"PUT\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\","
        " \"body\": \"file\", \"size\": 3}",
        "{\"method\": \"PUT\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\","
        " \"body\": \"bytes\", \"size\": 99999999999}",
        "{\"method\": \"PUT\", \"host\": \"h\", \"endpoint\": \"h\", \"target\": \"/\","
        " \"body\": \"bytes\", \"size\": -1}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sb_error err = {0};
        int ends[2];
        CHECK(sb_channel_pair(ends, &err) == 0);
        sb_autoclose int in = ends[0];
        sb_autoclose int out = ends[1];
        CHECK(sb_channel_send(in, 'R', bad[i], strlen(bad[i]), -1, &err) == 0);
        struct sb_request request;
        sb_autobuf struct sb_buf message = {0};
        if (!CHECK(sb_request_receive(out, &message, &request, &err) < 0))
            printf("    %s\n", bad[i]);
        sb_request_free(&request);
    }
}

static void test_headers(void) {
    sb_autostrings struct sb_strings headers = {0};
    sb_strings_add(&headers, "location-x: no");
    sb_strings_add(&headers, "location: yes");
    sb_strings_add(&headers, "location: no");
    sb_strings_add(&headers, "empty: ");
    CHECK_STR(sb_header_find(&headers, "location"), "yes");
    CHECK_STR(sb_header_find(&headers, "empty"), "");
    CHECK(!sb_header_find(&headers, "loc"));
}

int main(void) {
    test_reach();
    test_urls();
    test_settings();
    test_requests();
    test_headers();
    return test_done();
}
