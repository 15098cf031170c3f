/* registry/http: where redirects may lead, whom TLS trusts, proxies. */
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>

#include "tests/unit/http_servers.h"

/* ---- redirects ---- */

static struct asked redirected(const char *method, const char *server, int status, const char *to) {
    sb_autofree char *host = host_of(server);
    sb_autofree char *target = sb_format("/redirect?status=%d&to=%s", status, to);
    struct sb_http_header header = {"Authorization", "Basic c2VjcmV0"};
    struct sb_http_request request = {.method = method,
                                      .host = host,
                                      .target = target,
                                      .headers = &header,
                                      .header_count = 1,
                                      .body_kind = SB_HTTP_BODY_BYTES,
                                      .body = "12345",
                                      .body_size = strcmp(method, "GET") ? 5 : 0};
    if (!strcmp(method, "GET"))
        request.body_kind = SB_HTTP_BODY_NONE;
    return perform(http, &request);
}

static void test_redirects(void) {
    sb_autofree char *other = host_of("other");
    sb_autofree char *elsewhere = sb_format("http://%s/echo", other);
    autoasked struct asked same = redirected("GET", "plain", 302, "/echo?a");
    CHECK(has(&same, "GET /echo?a\n") && has(&same, "authorization: Basic"));
    autoasked struct asked away = redirected("GET", "plain", 307, elsewhere);
    CHECK(has(&away, "GET /echo\n"));
    CHECK(!strstr(sb_buf_text(&away.response.body), "authorization"));
    autoasked struct asked loop = get("plain", "/loop");
    CHECK_FAILED(loop, SB_REASON_FORBIDDEN, "more than 5 redirects");
    autoasked struct asked put = redirected("PUT", "plain", 307, "/echo");
    CHECK(has(&put, "PUT /echo\n") && has(&put, "length=5\n"));
    autoasked struct asked put_away = redirected("PUT", "plain", 307, elsewhere);
    CHECK_INT(put_away.response.status, 307); /* not followed */
    autoasked struct asked post = redirected("POST", "plain", 302, "/echo");
    CHECK_INT(post.response.status, 302);
    static const struct {
        const char *to, *message;
    } refused[] = {
        {"file:///etc/passwd", "neither http: nor https:"},
        {"gopher://127.0.0.1/", "neither http: nor https:"},
        {"http://169.254.169.254/latest/meta-data/", "local link"},
        {"http://[fe80::1]/", "local link"},
        {"http://[fd00:ec2::254]/", "local link"},
        {"http://[::ffff:169.254.169.254]/", "local link"},
        {"http://2852039166/", "local link"}, /* 169.254.169.254 */
        {"http://0xa9.0376.43518/", "local link"},
        {"http://169.254.169.254:80@169.254.169.254/", "local link"},
        {"http://[64:ff9b::a9fe:a9fe]/", "local link"},
        {"http://[::169.254.169.254]/", "local link"},
        {"http://[2002:a9fe:a9fe::]/", "local link"},
        {"http://100.100.100.200/", "local link"},
        {"http://168.63.129.16/", "local link"},
        {"http://127.0.0.1:1/%00", ""},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        autoasked struct asked a = redirected("GET", "plain", 302, refused[i].to);
        CHECK_FAILED(a, SB_REASON_NONE, refused[i].message);
        CHECK(a.err.reason != SB_REASON_PASSING || !*refused[i].message);
    }
    /* Nor where a reference says so: whoever wrote the recipe did not set up this machine. */
    static const char *const local[] = {"169.254.169.254", "169.254.169.254:80", "[fe80::1]:5000",
                                        "[64:ff9b::a9fe:a9fe]", "100.100.100.200:80"};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        autoasked struct asked a = ask(http, "GET", local[i], "/v2/");
        CHECK_FAILED(a, SB_REASON_FORBIDDEN, "is an address of the local link");
    }
    autoasked struct asked down = redirected("GET", "good", 302, elsewhere);
    CHECK(down.result < 0); /* its certificate is not trusted here; test_tls follows it */
}

/* An address of this machine that is not loopback; NULL when there is none. */
static char *own_address(void) {
    struct ifaddrs *all = NULL;
    char *found = NULL;
    if (getifaddrs(&all) < 0)
        return NULL;
    for (struct ifaddrs *a = all; a && !found; a = a->ifa_next) {
        char text[64];
        if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET &&
            !getnameinfo(a->ifa_addr, sizeof(struct sockaddr_in), text, sizeof text, NULL, 0,
                         NI_NUMERICHOST) &&
            strncmp(text, "127.", 4) != 0)
            found = sb_strdup(text);
    }
    freeifaddrs(all);
    return found;
}

static void test_redirect_inward(void) {
    sb_autofree char *address = own_address();
    if (!address) {
        TEST_SKIP("this machine has no address but loopback");
        return;
    }
    sb_autofree char *host =
        sb_format("%s:%d", address, (int)sb_json_integer(ports, "everywhere", 0));
    struct sb_registry_host set = {.host = host, .plain_http = true};
    struct sb_registry_hosts hosts = {&set, 1, 1};
    struct sb_http_options options = {.hosts = &hosts, .stall_seconds = 1};
    struct sb_http *by = sb_http_new(&options);
    autoasked struct asked direct = ask(by, "GET", host, "/echo");
    CHECK_INT(direct.response.status, 200);
    int port = (int)sb_json_integer(ports, "other", 0);
    /* "localhost" shows that the address counts, not how the URL is written. */
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sb_autofree char *target = sb_format("/redirect?to=http://%s:%d/echo", names[i], port);
        autoasked struct asked a = ask(by, "GET", host, target);
        CHECK_FAILED(a, SB_REASON_FORBIDDEN, "this machine itself");
        sb_autofree char *url = sb_format("http://%s:%d/echo", names[i], port);
        autoasked struct asked told = ask(by, "GET", host, url); /* as with an upload's Location */
        CHECK_FAILED(told, SB_REASON_FORBIDDEN, "this machine itself");
    }
    /* Not even a connection is made: nobody listens there, and that is not what it says. */
    autoasked struct asked closed = ask(by, "GET", host, "/redirect?to=http://localhost:1/");
    CHECK_FAILED(closed, SB_REASON_FORBIDDEN, "this machine itself");
    /* Whoever names it himself may; that connection is kept, and does not serve the redirect. */
    sb_autofree char *local = sb_format("localhost:%d", port);
    autoasked struct asked kept = ask(by, "GET", local, "/echo");
    CHECK_INT(kept.response.status, 200);
    sb_autofree char *back = sb_format("/redirect?to=http://%s/echo", local);
    autoasked struct asked reused = ask(by, "GET", host, back);
    CHECK_FAILED(reused, SB_REASON_FORBIDDEN, "this machine itself");
    sb_http_free(by);
}

/* ---- TLS ---- */

static struct asked get_with(const struct sb_registry_host *set, const char *host,
                             const char *target) {
    struct sb_registry_host copy = *set;
    copy.host = (char *)host;
    struct sb_registry_hosts hosts = {&copy, 1, 1};
    struct sb_http_options options = {.hosts = &hosts, .stall_seconds = 1};
    struct sb_http *by = sb_http_new(&options);
    struct asked asked = ask(by, "GET", host, target);
    sb_http_free(by);
    return asked;
}

static void test_tls(void) {
    sb_autofree char *ca = sb_format("%s/ca.crt", dir);
    struct sb_registry_host with_ca = {.ca = ca}, none = {0};
    sb_autofree char *good = host_of("good"), *wrong = host_of("wrong");
    sb_autofree char *expired = host_of("expired"), *mutual = host_of("mutual");
    sb_autofree char *plain = host_of("plain");
    autoasked struct asked unknown = ask(http, "GET", good, "/echo");
    CHECK_FAILED(unknown, SB_REASON_LASTING, "unknown authority");
    CHECK(strstr(unknown.err.hint, "certs.d"));
    CHECK(strstr(unknown.err.message, good));
    autoasked struct asked trusted = get_with(&with_ca, good, "/echo");
    CHECK(has(&trusted, "GET /echo\n"));
    autoasked struct asked name = get_with(&with_ca, wrong, "/echo");
    CHECK_FAILED(name, SB_REASON_LASTING, "for another name");
    autoasked struct asked old = get_with(&with_ca, expired, "/echo");
    CHECK_FAILED(old, SB_REASON_LASTING, "has expired");
    struct sb_registry_host any = {.skip_verify = true};
    autoasked struct asked skipped = get_with(&any, wrong, "/echo");
    CHECK_INT(skipped.response.status, 200);
    autoasked struct asked nothing_set = get_with(&none, plain, "/echo");
    CHECK_INT(nothing_set.response.status, 200);
    autoasked struct asked only = get_with(&any, plain, "/echo"); /* set, so not asked */
    CHECK_FAILED(only, SB_REASON_LASTING, "does not speak TLS");
    CHECK(strstr(only.err.hint, "plain_http"));
    sb_autofree char *down = sb_format("/redirect?to=http://%s/echo", plain);
    autoasked struct asked unsafe = get_with(&with_ca, good, down);
    CHECK_FAILED(unsafe, SB_REASON_FORBIDDEN, "without TLS");
    sb_autofree char *away = sb_format("http://%s/echo", plain);
    autoasked struct asked told = get_with(&with_ca, good, away);
    CHECK_FAILED(told, SB_REASON_FORBIDDEN, "without TLS");
    sb_autofree char *mirror = sb_format("http://%s/echo", plain);
    autoasked struct asked own_scheme = get_with(&with_ca, plain, mirror);
    CHECK_INT(own_scheme.response.status, 200);

    autoasked struct asked who = get_with(&with_ca, mutual, "/echo");
    CHECK_FAILED(who, SB_REASON_LASTING, "refused the TLS connection");
    CHECK(strstr(who.err.hint, "client certificate"));
    sb_autofree char *mutual13 =
        host_of("mutual13"); /* says so after the handshake, or just closes */
    autoasked struct asked closed = get_with(&with_ca, mutual13, "/echo");
    CHECK_FAILED(closed, SB_REASON_NONE, mutual13);
    CHECK(strstr(closed.err.hint, "client certificate"));
    sb_autofree char *cert = sb_format("%s/client.crt", dir),
                     *key = sb_format("%s/client.key", dir);
    struct sb_registry_host client = {.ca = ca, .client_cert = cert, .client_key = key};
    autoasked struct asked known = get_with(&client, mutual, "/echo");
    CHECK(has(&known, "GET /echo\n"));
    client.client_key = ca;
    autoasked struct asked no_key = get_with(&client, mutual, "/echo");
    CHECK_FAILED(no_key, SB_REASON_LASTING, "certificate or key");
    struct sb_registry_host no_ca = {.ca = key};
    autoasked struct asked unusable = get_with(&no_ca, good, "/echo");
    CHECK_FAILED(unusable, SB_REASON_NONE, "client.key can't be used");
}

static void copy_to(const char *from, const char *to_dir, const char *name) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf bytes = {0};
    sb_autofree char *path = sb_format("%s/%s", dir, from);
    sb_autofree char *to = sb_format("%s/%s", to_dir, name);
    CHECK(sb_directory_make(AT_FDCWD, to_dir, 0755, &err) == 0 &&
          sb_file_read(AT_FDCWD, path, 1 << 20, &bytes, &err) == 0 &&
          sb_file_write(AT_FDCWD, to, bytes.data, bytes.len, 0600, &err) == 0);
}

static void test_certs_d(void) {
    sb_autofree char *good = host_of("good"), *mutual = host_of("mutual");
    sb_autofree char *at_good = sb_format("%s/home/.docker/certs.d/%s", dir, good);
    sb_autofree char *at_mutual = sb_format("%s/home/.config/containers/certs.d/%s", dir, mutual);
    struct sb_http_options options = {.stall_seconds = 1};
    struct sb_http *by = sb_http_new(&options);
    autoasked struct asked before = ask(by, "GET", good, "/echo");
    CHECK_FAILED(before, SB_REASON_LASTING, "unknown authority");
    copy_to("ca.crt", at_good, "some.crt");
    autoasked struct asked after = ask(by, "GET", good, "/echo");
    CHECK_INT(after.response.status, 200);
    /* What counts for one host does not for another, on the same handle. */
    autoasked struct asked still = ask(by, "GET", mutual, "/echo");
    CHECK_FAILED(still, SB_REASON_LASTING, "unknown authority");
    copy_to("ca.crt", at_mutual, "ca.crt");
    copy_to("client.key", at_mutual, "client.key");
    autoasked struct asked lone = ask(by, "GET", mutual, "/echo");
    CHECK_FAILED(lone, SB_REASON_NONE, "client.cert is not there");
    sb_autofree char *key = sb_format("%s/client.key", at_mutual);
    CHECK(unlink(key) == 0);
    copy_to("client.crt", at_mutual, "client.cert");
    autoasked struct asked half = ask(by, "GET", mutual, "/echo");
    CHECK_FAILED(half, SB_REASON_NONE, "client.key is not there");
    copy_to("client.key", at_mutual, "client.key");
    autoasked struct asked whole = ask(by, "GET", mutual, "/echo");
    CHECK_INT(whole.response.status, 200);
    /* A registry's authorities vouch for where it redirects, its client certificate stays. */
    sb_autofree char *to_good = sb_format("/redirect?to=https://%s/echo", good);
    autoasked struct asked redirect = ask(by, "GET", mutual, to_good);
    CHECK(has(&redirect, "GET /echo\n"));
    sb_autofree char *to_mutual = sb_format("/redirect?to=https://%s/echo", mutual);
    autoasked struct asked twice = ask(by, "GET", good, to_mutual);
    CHECK_INT(twice.response.status, 200); /* by that host's own directory */
    sb_http_free(by);
}

static void test_proxy(void) {
    sb_autofree char *proxy = host_of("plain");
    sb_autofree char *url = sb_format("http://%s", proxy);
    struct sb_registry_host set = {.plain_http = true};
    setenv("http_proxy", url, 1);
    autoasked struct asked through = get_with(&set, "registry.test:5000", "/echo");
    CHECK(has(&through, "GET http://registry.test:5000/echo\n"));
    autoasked struct asked inward =
        get_with(&set, "registry.test:5000", "/redirect?to=http://169.254.169.254/x");
    CHECK_FAILED(inward, SB_REASON_FORBIDDEN, "local link");
    sb_autofree char *other = host_of("other");
    struct sb_registry_host direct_set = {.plain_http = true};
    autoasked struct asked direct = get_with(&direct_set, other, "/echo");
    CHECK(has(&direct, "GET /echo\n")); /* loopback never goes through a proxy */
    setenv("no_proxy", "registry.test", 1);
    autoasked struct asked without = get_with(&set, "registry.test:5000", "/echo");
    CHECK_FAILED(without, SB_REASON_NONE, "registry.test");
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    setenv("HTTPS_PROXY", url, 1);
    sb_autofree char *ca = sb_format("%s/ca.crt", dir);
    struct sb_registry_host with_ca = {.ca = ca};
    int port = (int)sb_json_integer(ports, "good", 0);
    sb_autofree char *host = sb_format("registry.test:%d", port);
    autoasked struct asked tunnel = get_with(&with_ca, host, "/echo");
    CHECK(has(&tunnel, "GET /echo\n"));
    sb_autofree char *refused = sb_format("refused.test:%d", port);
    autoasked struct asked no_tunnel = get_with(&with_ca, refused, "/echo");
    CHECK_FAILED(no_tunnel, SB_REASON_LASTING, "the proxy refused the connection, with status 403");
    setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1", 1);
    autoasked struct asked no_proxy = get_with(&with_ca, host, "/echo");
    CHECK_FAILED(no_proxy, SB_REASON_PASSING, "can't connect to the proxy 127.0.0.1 port 1: ");
    unsetenv("HTTPS_PROXY");
}

int main(void) {
    static void (*const tests[])(void) = {test_redirects, test_redirect_inward, test_tls,
                                          test_certs_d,   test_proxy,           NULL};
    return run_tests(__FILE__, tests);
}
