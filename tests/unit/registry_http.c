/* registry/http with the real sbuild-http, against servers that behave and servers that don't
 * (http_server.py). */
#include "registry/http.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "tests/unit/test.h"

static char *dir;
static json_t *ports;
static struct sb_http *http; /* the one that most tests use: a stall is a second, no settings */

static char *host_of(const char *server) {
    return sb_format("127.0.0.1:%d", (int)sb_json_integer(ports, server, 0));
}

/* What one request gave. */
struct asked {
    int result;
    struct sb_http_response response;
    struct sb_error err;
    double seconds;
};

static void forget(struct asked *asked) {
    sb_http_response_free(&asked->response);
}
#define autoasked __attribute__((cleanup(forget)))

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct asked perform(struct sb_http *by, const struct sb_http_request *request) {
    struct asked asked = {0};
    double start = now();
    asked.result = sb_http_perform(by, request, &asked.response, &asked.err);
    asked.seconds = now() - start;
    return asked;
}

static struct asked ask(struct sb_http *by, const char *method, const char *host,
                        const char *target) {
    struct sb_http_request request = {.method = method, .host = host, .target = target};
    return perform(by, &request);
}

static struct asked get(const char *server, const char *target) {
    sb_autofree char *host = host_of(server);
    return ask(http, "GET", host, target);
}

static bool has(const struct asked *asked, const char *text) {
    bool found = strstr(sb_buf_text(&asked->response.body), text);
    if (!found)
        printf("    in: %s\n    %s\n", sb_buf_text(&asked->response.body), asked->err.message);
    return found;
}

/* It failed, in less than so many seconds, for that reason. */
static void check_failed(const struct asked *asked, int os_errno, const char *message, int line) {
    if (asked->result == 0 || asked->err.code != SB_E_NETWORK ||
        (os_errno && asked->err.os_errno != os_errno) || !strstr(asked->err.message, message) ||
        asked->seconds > 5)
        printf("line %d: result %d, status %d, %s, errno %d, %.1f s: %s\n", line, asked->result,
               asked->response.status, sb_error_name(asked->err.code), asked->err.os_errno,
               asked->seconds, asked->err.message);
    CHECK(asked->result < 0);
    CHECK_INT(asked->err.code, SB_E_NETWORK);
    if (os_errno)
        CHECK_INT(asked->err.os_errno, os_errno);
    CHECK(strstr(asked->err.message, message));
    CHECK(asked->seconds < 5);
}
#define CHECK_FAILED(asked, os_errno, message) check_failed(&(asked), os_errno, message, __LINE__)

/* ---- what should work ---- */

static void test_methods(void) {
    static const char *const methods[] = {"GET", "DELETE", "POST", "PUT", "PATCH"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        sb_autofree char *host = host_of("plain");
        autoasked struct asked a = ask(http, methods[i], host, "/echo?x=%2f&y");
        sb_autofree char *line = sb_format("%s /echo?x=%%2f&y\nlength=0\n", methods[i]);
        CHECK_INT(a.result, 0);
        CHECK_INT(a.response.status, 200);
        CHECK(has(&a, line));
        CHECK(has(&a, "user-agent: sbuild/"));
        CHECK(!strstr(a.response.body.data, "expect:"));
        CHECK(!strstr(a.response.body.data, "accept-encoding:"));
        CHECK(!strstr(a.response.body.data, "content-type:"));
        CHECK(!!strstr(a.response.body.data, "content-length: 0") == (i >= 2));
        CHECK_STR(sb_http_header(&a.response, "x-odd"), "blanks around");
        CHECK_STR(sb_http_header(&a.response, "x-empty"), "");
        CHECK(!sb_http_header(&a.response, "x-od"));
        CHECK_INT(a.response.received, a.response.body.len);
    }
    sb_autofree char *host = host_of("plain");
    autoasked struct asked head = ask(http, "HEAD", host, "/big?n=123456");
    CHECK_INT(head.response.status, 200);
    CHECK_STR(sb_http_header(&head.response, "content-length"), "123456");
    CHECK_INT(head.response.received, 0);
    autoasked struct asked missing = ask(http, "GET", host, "/v2/nothing");
    CHECK_INT(missing.result, 0);
    CHECK_INT(missing.response.status, 404);
    CHECK(has(&missing, "{\"errors\":[]}"));
}

static void test_bodies(void) {
    sb_autofree char *host = host_of("plain");
    sb_autofree char *bytes = sb_alloc(3 << 20);
    struct sb_http_header headers[] = {{"Content-Type", "application/x"}, {"X-Utf8", "ä \"\\"}};
    struct sb_http_request request = {
        .method = "PUT",
        .host = host,
        .target = "/echo",
        .headers = headers,
        .header_count = 2,
        .body_kind = SB_HTTP_BODY_BYTES,
        .body = bytes,
        .body_size = 3 << 20,
    };
    autoasked struct asked large = perform(http, &request);
    CHECK(has(&large, "length=3145728\n") && has(&large, "content-type: application/x\n"));
    CHECK_INT(large.response.sent, 3 << 20);
    request.body_size = 0;
    autoasked struct asked empty = perform(http, &request);
    CHECK(has(&empty, "length=0\n") && has(&empty, "content-length: 0\n"));
    sb_autofree char *path = sb_format("%s/body", dir);
    struct sb_error err = {0};
    CHECK(sb_file_write(AT_FDCWD, path, bytes, 1 << 20, 0600, &err) == 0);
    sb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    request.body_kind = SB_HTTP_BODY_FILE;
    request.body_fd = fd;
    request.body_offset = 1000;
    request.body_size = 500000;
    autoasked struct asked file = perform(http, &request);
    CHECK(has(&file, "length=500000\n"));
    CHECK_INT(lseek(fd, 0, SEEK_CUR), 0);
    request.body_size = 2 << 20; /* more than the file has */
    autoasked struct asked shrunk = perform(http, &request);
    CHECK(shrunk.result < 0);
    CHECK_INT(shrunk.err.code, SB_E_IO);
    request.body_kind = SB_HTTP_BODY_BYTES; /* refused before it was read */
    request.body_size = 3 << 20;
    request.target = "/early";
    autoasked struct asked early = perform(http, &request);
    CHECK_INT(early.response.status, 413);
    CHECK(has(&early, "too large"));
    headers[1].value = "a\r\nX-Other: b";
    autoasked struct asked split = perform(http, &request);
    CHECK(split.result < 0);
    CHECK(strstr(split.err.message, "header"));
    autoasked struct asked after = get("plain", "/echo"); /* the channel goes on */
    CHECK_INT(after.response.status, 200);
}

struct sunk {
    uint64_t bytes, fail_after;
    int heads, status;
    bool in_order;
};

static int sink(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct sunk *sunk = data;
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < len; i++)
        if (byte[i] != (unsigned char)(sunk->bytes + i))
            sunk->in_order = false;
    sunk->bytes += len;
    if (!sunk->heads)
        sunk->in_order = false;
    if (sunk->fail_after && sunk->bytes > sunk->fail_after)
        return sb_fail(err, SB_E_INTEGRITY, "not what was asked for");
    return 0;
}

static int note_head(void *data, const struct sb_http_response *response, struct sb_error *err) {
    (void)err;
    struct sunk *sunk = data;
    sunk->heads++;
    sunk->status = response->status;
    return 0;
}

static void test_sinks(void) {
    sb_autofree char *host = host_of("plain");
    struct sunk sunk = {.in_order = true};
    struct sb_http_request request = {.method = "GET",
                                      .host = host,
                                      .target = "/big?n=30000001",
                                      .sink = sink,
                                      .head = note_head,
                                      .data = &sunk};
    autoasked struct asked a = perform(http, &request);
    CHECK_INT(a.result, 0);
    CHECK_INT(sunk.bytes, 30000001);
    CHECK_INT(a.response.received, 30000001);
    CHECK(sunk.in_order);
    CHECK_INT(sunk.heads, 1);
    CHECK_INT(sunk.status, 200);
    sunk = (struct sunk){.in_order = true, .fail_after = 1000000};
    autoasked struct asked failed = perform(http, &request);
    CHECK(failed.result < 0);
    CHECK_INT(failed.err.code, SB_E_INTEGRITY);
    request.target = "/endless";
    sunk = (struct sunk){.in_order = true, .fail_after = 5000000};
    autoasked struct asked endless = perform(http, &request);
    CHECK_INT(endless.err.code, SB_E_INTEGRITY);
    /* An error's body goes to the response, and is cut. */
    request.target = "/endless?status=500";
    sunk = (struct sunk){0};
    autoasked struct asked error = perform(http, &request);
    CHECK_INT(error.result, 0);
    CHECK_INT(error.response.status, 500);
    CHECK_INT(error.response.body.len, 65536);
    CHECK_INT(sunk.bytes, 0);
    CHECK_INT(sunk.heads, 1);
}

static void test_limits(void) {
    sb_autofree char *host = host_of("plain");
    struct sb_http_request request = {
        .method = "GET", .host = host, .target = "/big?n=3145728", .limit = 3 << 20};
    autoasked struct asked fits = perform(http, &request);
    CHECK_INT(fits.result, 0);
    CHECK_INT(fits.response.body.len, 3 << 20);
    request.target = "/big?n=3145729";
    autoasked struct asked larger = perform(http, &request);
    CHECK_FAILED(larger, EFBIG, "larger than 3145728 bytes");
    request.target = "/endless";
    autoasked struct asked endless = perform(http, &request);
    CHECK_FAILED(endless, EFBIG, "larger than");
    autoasked struct asked headers = get("plain", "/endless-headers");
    CHECK_FAILED(headers, EPROTO, "too many headers");
    autoasked struct asked many = get("plain", "/many-headers");
    CHECK_FAILED(many, EPROTO, "too many headers");
    autoasked struct asked line = get("plain", "/endless-line");
    CHECK_FAILED(line, 0, "");
}

static void test_odd_answers(void) {
    autoasked struct asked early = get("plain", "/continue");
    CHECK_INT(early.response.status, 200);
    CHECK(has(&early, "after 103"));
    CHECK(!sb_http_header(&early.response, "x-early"));
    CHECK_STR(sb_http_header(&early.response, "x-late"), "1");
    autoasked struct asked trailers = get("plain", "/trailers");
    CHECK(has(&trailers, "hello"));
    CHECK(!sb_http_header(&trailers.response, "x-trailer"));
    autoasked struct asked challenge = get("plain", "/auth");
    CHECK_FAILED(challenge, 0, "strange");
    autoasked struct asked bad = get("plain", "/garbage");
    CHECK_FAILED(bad, EAGAIN, "");
}

static void test_breaks(void) {
    autoasked struct asked cut = get("plain", "/short");
    CHECK_FAILED(cut, EAGAIN, "closed the connection too early");
    CHECK_INT(cut.response.received, 50);
    autoasked struct asked closed = get("plain", "/close");
    CHECK_FAILED(closed, EAGAIN, "closed the connection too early");
    autoasked struct asked stalled = get("plain", "/stall");
    CHECK_FAILED(stalled, EAGAIN, "no byte moved");
    autoasked struct asked later = get("plain", "/stall?after=500");
    CHECK_FAILED(later, EAGAIN, "no byte moved");
    CHECK_INT(later.response.received, 500);
    autoasked struct asked slow = get("plain", "/trickle"); /* longer than a stall, but it moves */
    CHECK_INT(slow.result, 0);
    CHECK(has(&slow, "tttttt"));
    CHECK(slow.seconds > 2);
    autoasked struct asked silent = get("silent", "/");
    CHECK_FAILED(silent, EAGAIN, "");
    autoasked struct asked nobody = ask(http, "GET", "127.0.0.1:1", "/");
    CHECK_FAILED(nobody, EAGAIN, "127.0.0.1:1");
    sb_autofree char *host = host_of("plain");
    struct sb_http_request patient = {
        .method = "GET", .host = host, .target = "/stall?seconds=2", .wait_seconds = 10};
    autoasked struct asked waited = perform(http, &patient);
    CHECK_FAILED(waited, EAGAIN, "closed the connection too early");
    CHECK(waited.seconds > 1.9);
}

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
    CHECK_FAILED(loop, EPERM, "more than 5 redirects");
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
        {"http://127.0.0.1:1/%00", ""},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        autoasked struct asked a = redirected("GET", "plain", 302, refused[i].to);
        CHECK_FAILED(a, 0, refused[i].message);
        CHECK(a.err.os_errno != EAGAIN || i == 7);
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
        CHECK_FAILED(a, EPERM, "this machine itself");
        sb_autofree char *url = sb_format("http://%s:%d/echo", names[i], port);
        autoasked struct asked told = ask(by, "GET", host, url); /* as with an upload's Location */
        CHECK_FAILED(told, EPERM, "this machine itself");
    }
    /* Not even a connection is made: nobody listens there, and that is not what it says. */
    autoasked struct asked closed = ask(by, "GET", host, "/redirect?to=http://localhost:1/");
    CHECK_FAILED(closed, EPERM, "this machine itself");
    /* Whoever names it himself may; that connection is kept, and does not serve the redirect. */
    sb_autofree char *local = sb_format("localhost:%d", port);
    autoasked struct asked kept = ask(by, "GET", local, "/echo");
    CHECK_INT(kept.response.status, 200);
    sb_autofree char *back = sb_format("/redirect?to=http://%s/echo", local);
    autoasked struct asked reused = ask(by, "GET", host, back);
    CHECK_FAILED(reused, EPERM, "this machine itself");
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
    CHECK_FAILED(unknown, EPROTO, "unknown authority");
    CHECK(strstr(unknown.err.hint, "certs.d"));
    CHECK(strstr(unknown.err.message, good));
    autoasked struct asked trusted = get_with(&with_ca, good, "/echo");
    CHECK(has(&trusted, "GET /echo\n"));
    autoasked struct asked name = get_with(&with_ca, wrong, "/echo");
    CHECK_FAILED(name, EPROTO, "for another name");
    autoasked struct asked old = get_with(&with_ca, expired, "/echo");
    CHECK_FAILED(old, EPROTO, "has expired");
    struct sb_registry_host any = {.skip_verify = true};
    autoasked struct asked skipped = get_with(&any, wrong, "/echo");
    CHECK_INT(skipped.response.status, 200);
    autoasked struct asked nothing_set = get_with(&none, plain, "/echo");
    CHECK_INT(nothing_set.response.status, 200);
    autoasked struct asked only = get_with(&any, plain, "/echo"); /* set, so not asked */
    CHECK_FAILED(only, EPROTO, "does not speak TLS");
    CHECK(strstr(only.err.hint, "plain_http"));
    sb_autofree char *down = sb_format("/redirect?to=http://%s/echo", plain);
    autoasked struct asked unsafe = get_with(&with_ca, good, down);
    CHECK_FAILED(unsafe, EPERM, "without TLS");
    sb_autofree char *away = sb_format("http://%s/echo", plain);
    autoasked struct asked told = get_with(&with_ca, good, away);
    CHECK_FAILED(told, EPERM, "without TLS");
    sb_autofree char *mirror = sb_format("http://%s/echo", plain);
    autoasked struct asked own_scheme = get_with(&with_ca, plain, mirror);
    CHECK_INT(own_scheme.response.status, 200);

    autoasked struct asked who = get_with(&with_ca, mutual, "/echo");
    CHECK_FAILED(who, EPROTO, "refused the TLS connection");
    CHECK(strstr(who.err.hint, "client certificate"));
    sb_autofree char *mutual13 =
        host_of("mutual13"); /* says so after the handshake, or just closes */
    autoasked struct asked closed = get_with(&with_ca, mutual13, "/echo");
    CHECK_FAILED(closed, 0, mutual13);
    CHECK(strstr(closed.err.hint, "client certificate"));
    sb_autofree char *cert = sb_format("%s/client.crt", dir),
                     *key = sb_format("%s/client.key", dir);
    struct sb_registry_host client = {.ca = ca, .client_cert = cert, .client_key = key};
    autoasked struct asked known = get_with(&client, mutual, "/echo");
    CHECK(has(&known, "GET /echo\n"));
    client.client_key = ca;
    autoasked struct asked no_key = get_with(&client, mutual, "/echo");
    CHECK_FAILED(no_key, EPROTO, "certificate or key");
    struct sb_registry_host no_ca = {.ca = key};
    autoasked struct asked unusable = get_with(&no_ca, good, "/echo");
    CHECK_FAILED(unusable, 0, "client.key can't be used");
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
    CHECK_FAILED(before, EPROTO, "unknown authority");
    copy_to("ca.crt", at_good, "some.crt");
    autoasked struct asked after = ask(by, "GET", good, "/echo");
    CHECK_INT(after.response.status, 200);
    /* What counts for one host does not for another, on the same handle. */
    autoasked struct asked still = ask(by, "GET", mutual, "/echo");
    CHECK_FAILED(still, EPROTO, "unknown authority");
    copy_to("ca.crt", at_mutual, "ca.crt");
    copy_to("client.crt", at_mutual, "client.cert");
    autoasked struct asked half = ask(by, "GET", mutual, "/echo");
    CHECK_FAILED(half, 0, "client.key is not there");
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

/* ---- the program ---- */

static void test_proxy(void) {
    sb_autofree char *proxy = host_of("plain");
    sb_autofree char *url = sb_format("http://%s", proxy);
    struct sb_registry_host set = {.plain_http = true};
    setenv("http_proxy", url, 1);
    autoasked struct asked through = get_with(&set, "registry.test:5000", "/echo");
    CHECK(has(&through, "GET http://registry.test:5000/echo\n"));
    autoasked struct asked inward =
        get_with(&set, "registry.test:5000", "/redirect?to=http://169.254.169.254/x");
    CHECK_FAILED(inward, EPERM, "local link");
    sb_autofree char *other = host_of("other");
    struct sb_registry_host direct_set = {.plain_http = true};
    autoasked struct asked direct = get_with(&direct_set, other, "/echo");
    CHECK(has(&direct, "GET /echo\n")); /* loopback never goes through a proxy */
    setenv("no_proxy", "registry.test", 1);
    autoasked struct asked without = get_with(&set, "registry.test:5000", "/echo");
    CHECK_FAILED(without, 0, "registry.test");
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
    CHECK_FAILED(no_tunnel, EPROTO, "the proxy refused the connection, with status 403");
    unsetenv("HTTPS_PROXY");
}

static void *ask_often(void *data) {
    int *failures = data;
    for (int i = 0; i < 20; i++) {
        autoasked struct asked a = get(i % 2 ? "plain" : "other", "/big?n=300000");
        struct sunk sunk = {.in_order = true};
        sb_autofree char *host = host_of("plain");
        struct sb_http_request request = {.method = "GET",
                                          .host = host,
                                          .target = "/big?n=300000",
                                          .sink = sink,
                                          .head = note_head,
                                          .data = &sunk};
        autoasked struct asked b = perform(http, &request);
        if (a.result == 0 || b.result < 0 || sunk.bytes != 300000 || !sunk.in_order) {
            printf("    %s\n    %s\n", a.err.message, b.err.message);
            ++*failures;
        }
    }
    return NULL;
}

static void test_threads(void) {
    pthread_t threads[8];
    int failures[8] = {0};
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, ask_often, &failures[i]) == 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(failures[i], 0);
    }
}

static void *start_and_ask(void *data) {
    struct sb_http *by = data;
    autoasked struct asked a = get("plain", "/echo");
    (void)by;
    return a.result == 0 ? data : NULL;
}

/* The thread that started the program may end; the program does not end with it. */
static void test_starting_thread(void) {
    struct sb_http *kept = http;
    struct sb_http_options options = {.stall_seconds = 1};
    http = sb_http_new(&options);
    pthread_t thread;
    void *answer = NULL;
    CHECK(pthread_create(&thread, NULL, start_and_ask, http) == 0);
    pthread_join(thread, &answer);
    CHECK(answer == http);
    usleep(50000);
    autoasked struct asked a = get("plain", "/echo");
    CHECK_INT(a.result, 0);
    sb_http_free(http);
    http = kept;
}

/* The process id of a child of this process with that name; 0 when there is none. */
static int child_named(const char *name) {
    sb_autoclosedir DIR *all = opendir("/proc");
    int found = 0;
    for (const struct dirent *entry; all && !found && (entry = readdir(all));) {
        int pid = atoi(entry->d_name), parent = 0;
        char comm[32] = "";
        sb_autofree char *path = sb_format("/proc/%d/stat", pid);
        FILE *file = pid ? fopen(path, "re") : NULL;
        if (file && fscanf(file, "%*d (%31[^)]) %*c %d", comm, &parent) == 2 &&
            parent == getpid() && !strcmp(comm, name))
            found = pid;
        if (file)
            fclose(file);
    }
    return found;
}

static void *kill_later(void *data) {
    usleep(300000);
    kill(*(int *)data, SIGKILL);
    return NULL;
}

static void test_lost_program(void) {
    struct sb_http *kept = http;
    struct sb_http_options options = {.stall_seconds = 10};
    sb_http_free(kept);
    http = sb_http_new(&options);
    autoasked struct asked first = get("plain", "/echo");
    int pid = child_named("sbuild-http");
    if (!CHECK(first.result == 0 && pid > 0))
        return;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, kill_later, &pid) == 0);
    autoasked struct asked lost = get("plain", "/stall");
    CHECK_FAILED(lost, EAGAIN, "sbuild-http ended");
    pthread_join(thread, NULL);
    autoasked struct asked next = get("plain", "/echo");
    if (!CHECK_INT(next.result, 0))
        printf("    %s\n", next.err.message);
    int again = child_named("sbuild-http");
    CHECK(again && again != pid);
    kill(again, SIGKILL); /* between requests */
    usleep(100000);
    autoasked struct asked other = get("plain", "/echo");
    CHECK_INT(other.result, 0);
    int last = child_named("sbuild-http");
    sb_autofree char *limits = sb_format("grep -q 'core file size *0 *0' /proc/%d/limits", last);
    CHECK_INT(system(limits), 0);
    kill(last, SIGTERM); /* not its own matter */
    kill(last, SIGINT);
    usleep(50000);
    CHECK_INT(child_named("sbuild-http"), last);
    sb_http_free(http);
    CHECK_INT(child_named("sbuild-http"), 0);
    http = NULL;
}

static void *interrupt_later(void *data) {
    usleep(300000);
    kill(getpid(), SIGINT);
    return data;
}

/* Last: it stays interrupted. */
static void test_interrupt(void) {
    sb_interrupt_install();
    struct sb_http_options options = {.stall_seconds = 10};
    http = sb_http_new(&options);
    sb_http_prepare(http);
    CHECK(child_named("sbuild-http") > 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, interrupt_later, NULL) == 0);
    autoasked struct asked a = get("plain", "/stall");
    CHECK(a.result < 0);
    CHECK_INT(a.err.code, SB_E_INTERRUPTED);
    CHECK(a.seconds < 2);
    pthread_join(thread, NULL);
    double start = now();
    sb_http_free(http);
    CHECK(now() - start < 3); /* ThreadSanitizer sleeps a second at the end */
}

static pid_t start_servers(int *out_stdin) {
    struct sb_error err = {0};
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        return -1;
    const char *const argv[] = {"python3", "tests/unit/http_server.py", dir, NULL};
    struct sb_process_options process = {
        .argv = argv, .in = in[0], .out = out[1], .err = STDERR_FILENO};
    pid_t pid = sb_process_start(&process, &err);
    close(in[0]);
    close(out[1]);
    *out_stdin = in[1];
    FILE *lines = fdopen(out[0], "r");
    char line[4096];
    if (pid > 0 && lines && fgets(line, sizeof line, lines))
        ports = sb_json_parse(line, strlen(line), &err);
    if (lines)
        fclose(lines);
    return pid;
}

int main(void) {
    char template[] = "/tmp/sb-http-XXXXXX";
    dir = mkdtemp(template);
    const char *build = getenv("SB_BUILD");
    sb_autofree char *program = sb_format("%s/sbuild-http", build ? build : "build/release");
    if (!getenv("SBUILD_HTTP"))
        setenv("SBUILD_HTTP", program, 1);
    if (access(getenv("SBUILD_HTTP"), X_OK) < 0) {
        TEST_SKIP("sbuild-http is not built");
        return test_done();
    }
    sb_autofree char *home = sb_format("%s/home", dir);
    setenv("HOME", home, 1);
    unsetenv("XDG_CONFIG_HOME");
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                          "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        unsetenv(proxies[i]);
    int servers_stdin = -1;
    pid_t servers = start_servers(&servers_stdin);
    if (CHECK(ports)) {
        struct sb_http_options options = {.stall_seconds = 1};
        http = sb_http_new(&options);
        test_methods();
        test_bodies();
        test_sinks();
        test_limits();
        test_odd_answers();
        test_breaks();
        test_redirects();
        test_redirect_inward();
        test_tls();
        test_certs_d();
        test_proxy();
        test_threads();
        test_starting_thread();
        test_lost_program();
        test_interrupt();
    }
    json_decref(ports);
    close(servers_stdin);
    if (servers > 0)
        kill(servers, SIGTERM);
    struct sb_error err = {0};
    sb_tree_remove(AT_FDCWD, dir, &err);
    return test_done();
}
