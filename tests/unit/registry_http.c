/* registry/http: requests and answers, what goes wrong, the program behind it. */
#include <dirent.h>
#include <pthread.h>

#include "tests/unit/http_servers.h"

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
    CHECK_FAILED(larger, SB_REASON_LASTING, "larger than 3145728 bytes");
    request.target = "/endless";
    autoasked struct asked endless = perform(http, &request);
    CHECK_FAILED(endless, SB_REASON_LASTING, "larger than");
    autoasked struct asked headers = get("plain", "/endless-headers");
    CHECK_FAILED(headers, SB_REASON_LASTING, "too many headers");
    autoasked struct asked many = get("plain", "/many-headers");
    CHECK_FAILED(many, SB_REASON_LASTING, "too many headers");
    autoasked struct asked line = get("plain", "/endless-line");
    CHECK_FAILED(line, SB_REASON_LASTING, "too long");
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
    CHECK_FAILED(challenge, SB_REASON_NONE, "strange");
    autoasked struct asked bad = get("plain", "/garbage");
    CHECK_FAILED(bad, SB_REASON_PASSING, "");
}

static void test_breaks(void) {
    autoasked struct asked cut = get("plain", "/short");
    CHECK_FAILED(cut, SB_REASON_PASSING, "closed the connection too early");
    CHECK_INT(cut.response.received, 50);
    autoasked struct asked closed = get("plain", "/close");
    CHECK_FAILED(closed, SB_REASON_PASSING, "closed the connection too early");
    autoasked struct asked stalled = get("plain", "/stall");
    CHECK_FAILED(stalled, SB_REASON_PASSING, "no byte moved");
    autoasked struct asked later = get("plain", "/stall?after=500");
    CHECK_FAILED(later, SB_REASON_PASSING, "no byte moved");
    CHECK_INT(later.response.received, 500);
    autoasked struct asked slow = get("plain", "/trickle"); /* longer than a stall, but it moves */
    CHECK_INT(slow.result, 0);
    CHECK(has(&slow, "tttttt"));
    CHECK(slow.seconds > 2);
    autoasked struct asked silent = get("silent", "/");
    CHECK_FAILED(silent, SB_REASON_PASSING, "");
    autoasked struct asked nobody = ask(http, "GET", "127.0.0.1:1", "/");
    CHECK_FAILED(nobody, SB_REASON_PASSING, "127.0.0.1:1");
    sb_autofree char *host = host_of("plain");
    struct sb_http_request patient = {
        .method = "GET", .host = host, .target = "/stall?seconds=2", .wait_seconds = 10};
    autoasked struct asked waited = perform(http, &patient);
    CHECK_FAILED(waited, SB_REASON_PASSING, "closed the connection too early");
    CHECK(waited.seconds > 1.9);
}

/* A byte now and then, for ever. */
static void *ask_slow(void *data) {
    const char *target = data;
    struct asked *asked = sb_alloc(sizeof *asked);
    *asked = get("plain", target);
    return asked;
}

static void test_slow(void) {
    static char *const targets[] = {"/trickle?count=100", "/trickle?headers=100"};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, ask_slow, targets[i]) == 0);
    for (size_t i = 0; i < 2; i++) {
        void *result;
        CHECK(pthread_join(threads[i], &result) == 0);
        autoasked struct asked asked = *(struct asked *)result;
        free(result);
        CHECK_INT(asked.err.reason, SB_REASON_PASSING);
        CHECK(strstr(asked.err.message, "next to nothing moved for 10 seconds"));
        CHECK(asked.seconds > 9 && asked.seconds < 30);
    }
}

/* ---- the program ---- */

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
    CHECK_FAILED(lost, SB_REASON_PASSING, "sbuild-http ended");
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

int main(void) {
    static void (*const tests[])(void) = {test_methods,      test_bodies,      test_sinks,
                                          test_limits,       test_odd_answers, test_breaks,
                                          test_slow,         test_threads,     test_starting_thread,
                                          test_lost_program, test_interrupt,   NULL};
    return run_tests(__FILE__, tests);
}
