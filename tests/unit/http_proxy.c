/* Which proxy a host is asked by, for what stands in the environment. */
#include "http/proxy.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/unit/test.h"

/* Facts of Go's httpproxy, which Docker, podman and skopeo use, each with a case on either side. */
static void test_no_proxy(void) {
    static const struct {
        const char *list, *host;
        int port;
        bool bypassed;
    } cases[] = {
        {"", "example.com", 443, false},
        {" , ,", "example.com", 443, false},
        {"*", "example.com", 443, true},
        {"*", "2001:db8::1", 443, true},
        {"other.net, *", "example.com", 443, true},
        {"*a", "a", 443, false},
        /* A name, and all below it. */
        {"example.com", "example.com", 443, true},
        {"example.com", "r.example.com", 443, true},
        {"example.com", "a.b.example.com", 5000, true},
        {"example.com", "myexample.com", 443, false},
        {"example.com", "example.com.net", 443, false},
        {"ample.com", "example.com", 443, false},
        {"EXAMPLE.com", "r.Example.COM", 443, true},
        {"example.com.", "example.com", 443, true},
        {"example.com", "example.com.", 443, true},
        {"a.net,example.com", "example.com", 443, true},
        {"a.net , example.com ,b.net", "r.example.com", 443, true},
        {"a.net example.com", "example.com", 443, true},
        /* Only what is below. */
        {".example.com", "r.example.com", 443, true},
        {".example.com", "example.com", 443, false},
        {"*.example.com", "r.example.com", 443, true},
        {"*.example.com", "a.b.example.com", 443, true},
        {"*.example.com", "example.com", 443, false},
        {"*.example.com", "myexample.com", 443, false},
        {"r.*.com", "r.example.com", 443, false},
        {".", "example.com", 443, false},
        /* Ports. */
        {"example.com:5000", "example.com", 5000, true},
        {"example.com:5000", "r.example.com", 5000, true},
        {"example.com:5000", "example.com", 443, false},
        {".example.com:5000", "r.example.com", 5000, true},
        {"*.example.com:5000", "r.example.com", 80, false},
        {"example.com:443", "example.com", 443, true},
        {"example.com:x", "example.com", 443, false},
        {"example.com:", "example.com", 443, false},
        {":443", "example.com", 443, false},
        /* Addresses. */
        {"192.168.1.1", "192.168.1.1", 443, true},
        {"192.168.1.1", "192.168.1.10", 443, false},
        {"192.168.1.1:5000", "192.168.1.1", 5000, true},
        {"192.168.1.1:5000", "192.168.1.1", 5001, false},
        {"168.1.1", "192.168.1.1", 443, false},
        {".1.1", "192.168.1.1", 443, false},
        {"2001:db8::52:0:1", "2001:db8::52:0:1", 443, true},
        {"2001:db8:0:0::52:0:1", "2001:DB8::52:0:1", 443, true},
        {"2001:db8::52:0:1", "2001:db8::52:0:2", 443, false},
        {"[2001:db8::52:0:1]", "2001:db8::52:0:1", 443, true},
        {"[2001:db8::52:0:1]:5000", "2001:db8::52:0:1", 5000, true},
        {"[2001:db8::52:0:1]:5000", "2001:db8::52:0:1", 443, false},
        {"::ffff:10.0.0.1", "10.0.0.1", 443, true},
        {"10.0.0.1", "::ffff:10.0.0.1", 443, true},
        {"example.com", "1000::%.example.com", 443, false},
        {"example.com", "fe80::1%example.com", 443, false},
        /* Networks. */
        {"10.0.0.0/8", "10.255.1.2", 443, true},
        {"10.0.0.0/8", "11.0.0.1", 443, false},
        {"10.0.0.0/30", "10.0.0.3", 443, true},
        {"10.0.0.0/30", "10.0.0.4", 443, false},
        {"10.0.0.7/30", "10.0.0.5", 443, true},
        {"0.0.0.0/0", "1.2.3.4", 443, true},
        {"0.0.0.0/0", "example.com", 443, false},
        {"10.0.0.1/32", "10.0.0.1", 443, true},
        {"10.0.0.0/33", "10.0.0.1", 443, false},
        {"10.0.0.0/", "10.0.0.1", 443, false},
        {"10.0.0.0/-1", "10.0.0.1", 443, false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", 443, true},
        {"2002:db8:a::45/64", "2002:db8:a::123", 443, true},
        {"2002:db8:a::45/64", "2002:db8:b::123", 443, false},
        {"2002:db8:a::/129", "2002:db8:a::", 443, false},
        {"::/0", "2002:db8:a::1", 443, true},
        {"example.com/8", "example.com", 443, false},
        {"10.0.0.0/8", "10.example.com", 443, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK_INT(sb_proxy_bypassed(cases[i].list, cases[i].host, cases[i].port),
                       cases[i].bypassed))
            printf("    NO_PROXY=%s %s:%d\n", cases[i].list, cases[i].host, cases[i].port);
}

static const char *const names[] = {"HTTP_PROXY",  "http_proxy", "HTTPS_PROXY",
                                    "https_proxy", "ALL_PROXY",  "all_proxy",
                                    "NO_PROXY",    "no_proxy",   "REQUEST_METHOD"};

static void test_environment(void) {
    static const struct {
        const char *environment[3][2];
        bool https;
        const char *proxy; /* for example.com */
    } cases[] = {
        {{{0}}, true, ""},
        {{{"HTTP_PROXY", "http://p:1"}}, false, "http://p:1"},
        {{{"http_proxy", "http://p:1"}}, false, "http://p:1"},
        {{{"HTTP_PROXY", "http://p:1"}, {"http_proxy", "http://q:1"}}, false, "http://p:1"},
        {{{"HTTP_PROXY", ""}, {"http_proxy", "http://q:1"}}, false, "http://q:1"},
        {{{"HTTP_PROXY", "http://p:1"}}, true, ""},
        {{{"HTTPS_PROXY", "http://p:1"}}, true, "http://p:1"},
        {{{"https_proxy", "https://p:1"}}, true, "https://p:1"},
        {{{"HTTPS_PROXY", "http://p:1"}}, false, ""},
        {{{"HTTPS_PROXY", "p.example.net:3128"}}, true, "p.example.net:3128"},
        {{{"HTTPS_PROXY", "p"}}, true, "p"},
        {{{"HTTPS_PROXY", "socks5://p:1"}}, true, "socks5h://p:1"},
        {{{"ALL_PROXY", "http://p:1"}}, true, "http://p:1"},
        {{{"all_proxy", "http://p:1"}}, false, "http://p:1"},
        {{{"ALL_PROXY", "http://p:1"}, {"HTTPS_PROXY", "http://q:1"}}, true, "http://q:1"},
        {{{"HTTPS_PROXY", "http://p:1"}, {"NO_PROXY", "example.com"}}, true, ""},
        {{{"HTTPS_PROXY", "http://p:1"}, {"no_proxy", "example.com"}}, true, ""},
        {{{"HTTPS_PROXY", "http://p:1"}, {"NO_PROXY", "x.net"}, {"no_proxy", "example.com"}},
         true,
         "http://p:1"},
        {{{"HTTPS_PROXY", "http://p:1"}, {"NO_PROXY", "example.com:443"}}, true, ""},
        {{{"HTTP_PROXY", "http://p:1"}, {"NO_PROXY", "example.com:443"}}, false, "http://p:1"},
        {{{"HTTP_PROXY", "http://p:1"}, {"REQUEST_METHOD", "GET"}}, false, ""},
        {{{"HTTPS_PROXY", "http://p:1"}, {"REQUEST_METHOD", "GET"}}, true, "http://p:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            unsetenv(names[n]);
        for (size_t n = 0; n < 3 && cases[i].environment[n][0]; n++)
            setenv(cases[i].environment[n][0], cases[i].environment[n][1], 1);
        sb_proxy_init();
        sb_autofree char *proxy =
            sb_proxy_find(cases[i].https, "example.com", cases[i].https ? 443 : 80);
        if (!CHECK_STR(proxy, cases[i].proxy))
            printf("    case %zu\n", i);
    }
}

int main(void) {
    test_no_proxy();
    test_environment();
    return test_done();
}
