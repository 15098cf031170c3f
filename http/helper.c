#include "http/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "http/secret.h"

int sb_helper_timeout_ms = 120 * 1000;

enum {
    INPUT_LIMIT = 48 << 10, /* fits into a pipe, so that it can be written before anyone reads */
    OUTPUT_LIMIT = 64 << 10,
};

/* Their user name for what is an identity token in fact. */
static const char token_user[] = "<token>";

static int check_name(const char *name, struct sb_error *err) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (n > 0 && n <= 64 && !name[n])
        return 0;
    return sb_fail(err, SB_E_FAILED, "%s is not the name of a credential helper",
                   sb_text_shown(name).text);
}

/* A pipe that already holds all input. */
static int full_pipe(const struct sb_buf *input, struct sb_error *err) {
    int ends[2];
    if (input->len > INPUT_LIMIT)
        return sb_fail(err, SB_E_FAILED, "more than %d bytes for a credential helper", INPUT_LIMIT);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    sb_autoclose int out = ends[0], in = ends[1];
    fcntl(in, F_SETFL, O_NONBLOCK);
    if (write(in, sb_buf_text(input), input->len) != (ssize_t)input->len)
        return sb_fail_errno(err, SB_E_FAILED, "writing to a pipe");
    return sb_steal_fd(&out);
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Waits until fd can be read; false when the time is over. */
static bool ready_before(int fd, long long end) {
    for (;;) {
        long long left = end - now_ms();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int n = left > 0 ? poll(&ready, 1, (int)left) : 0;
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

static int too_slow(const char *program, struct sb_error *err) {
    return sb_fail(err, SB_E_FAILED, "%s: no answer within %d s", program,
                   (sb_helper_timeout_ms + 999) / 1000);
}

/* Reads to the end of what it writes. */
static int read_answer(int fd, long long end, const char *program, struct sb_buf *out,
                       struct sb_error *err) {
    char chunk[4096];
    ssize_t n;
    do {
        if (!ready_before(fd, end))
            return too_slow(program, err);
        n = read(fd, chunk, sizeof chunk);
        if (n > 0)
            sb_secret_add(out, chunk, (size_t)n);
        if (out->len > OUTPUT_LIMIT)
            n = sb_fail(err, SB_E_FAILED, "%s: more than %d bytes of output", program,
                        OUTPUT_LIMIT);
        else if (n < 0)
            sb_fail_errno(err, SB_E_FAILED, "reading from %s", program);
    } while (n > 0);
    explicit_bzero(chunk, sizeof chunk);
    return n < 0 ? -1 : 0;
}

static int wait_for_end(pid_t pid, long long end, const char *program, struct sb_error *err) {
    sb_autoclose int process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process >= 0 && !ready_before(process, end))
        return too_slow(program, err);
    return 0;
}

/* Returns its exit status, or -1; out gets what it wrote to stdout. */
static int run(const char *name, const char *verb, const struct sb_buf *input, struct sb_buf *out,
               struct sb_error *err) {
    if (check_name(name, err) < 0)
        return -1;
    sb_autofree char *program = sb_format("docker-credential-%s", name);
    sb_autoclose int in = full_pipe(input, err);
    int ends[2];
    if (in < 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a pipe");
    sb_autoclose int answer = ends[0];
    const char *argv[] = {program, verb, NULL};
    struct sb_process_options options = {
        .argv = argv, .in = in, .out = ends[1], .err = -1, .new_group = true};
    pid_t pid = sb_process_start(&options, err);
    close(ends[1]);
    if (pid < 0)
        return -1;
    long long end = now_ms() + sb_helper_timeout_ms;
    if (read_answer(answer, end, program, out, err) < 0 ||
        wait_for_end(pid, end, program, err) < 0) {
        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return -1;
    }
    return sb_process_wait(pid, err);
}

/* What helpers say when they have nothing (credentials.errCredentialsNotFoundMessage and others).
 */
static bool says_none(const struct sb_buf *out) {
    const char *text = sb_buf_text(out);
    return strstr(text, "credentials not found") || strstr(text, "no credentials");
}

/* Helpers tell what went wrong on stdout: its first line. Not of one that was told a secret, which
 * it may repeat in some form. */
static int failed(const char *name, const char *verb, int status, struct sb_buf *out,
                  struct sb_error *err) {
    sb_buf_addc(out, '\0');
    out->data[strcspn(out->data, "\r\n")] = '\0';
    bool tell = *out->data && strcmp(verb, "store") != 0;
    return sb_fail(err, SB_E_FAILED, "docker-credential-%s %s failed with status %d%s%s", name,
                   verb, status, tell ? ": " : "", tell ? sb_text_shown(out->data).text : "");
}

/* A copy that isn't empty; NULL otherwise. */
static char *take(const json_t *object, const char *key) {
    const char *text = sb_json_string(object, key, "");
    return *text ? sb_strdup(text) : NULL;
}

/* jansson's own messages quote the text, and may not be shown. */
static int parse(const char *name, const struct sb_buf *answer, struct sb_credential *out,
                 struct sb_error *err) {
    json_error_t ignored;
    sb_autojson json_t *object = json_loadb(sb_buf_text(answer), answer->len, 0, &ignored);
    out->user = take(object, "Username");
    char *secret = take(object, "Secret");
    if (out->user && !strcmp(out->user, token_user)) {
        sb_free_pointer(&out->user);
        out->user = NULL;
        out->identity_token = secret;
    } else {
        out->password = secret;
    }
    out->source = sb_format("docker-credential-%s", name);
    if (sb_credential_given(out))
        return 1;
    sb_credential_free(out);
    return sb_fail(err, SB_E_FAILED,
                   "docker-credential-%s get: the answer has no user name and secret", name);
}

int sb_helper_get(const char *name, const char *server, struct sb_credential *out,
                  struct sb_error *err) {
    *out = (struct sb_credential){0};
    sb_autobuf struct sb_buf input = {0};
    sb_autosecret struct sb_buf answer = {0};
    sb_buf_adds(&input, server);
    int status = run(name, "get", &input, &answer, err);
    if (status < 0)
        return -1;
    if (status != 0)
        return says_none(&answer) ? 0 : failed(name, "get", status, &answer, err);
    return parse(name, &answer, out, err);
}

int sb_helper_store(const char *name, const char *server, const struct sb_credential *credential,
                    struct sb_error *err) {
    const char *secret =
        credential->identity_token ? credential->identity_token : credential->password;
    sb_autojson json_t *object =
        json_pack("{s:s,s:s,s:s}", "ServerURL", server, "Username",
                  credential->identity_token ? token_user : credential->user, "Secret", secret);
    if (!object)
        return sb_fail(err, SB_E_FAILED, "user name and password must be UTF-8 for a helper");
    char *text = json_dumps(object, JSON_COMPACT);
    sb_autosecret struct sb_buf input = {0}, answer = {0};
    sb_secret_adds(&input, text);
    sb_secret_free_text(&text);
    int status = run(name, "store", &input, &answer, err);
    if (status < 0)
        return -1;
    return status ? failed(name, "store", status, &answer, err) : 0;
}

int sb_helper_erase(const char *name, const char *server, struct sb_error *err) {
    sb_autobuf struct sb_buf input = {0};
    sb_autosecret struct sb_buf answer = {0};
    sb_buf_adds(&input, server);
    int status = run(name, "erase", &input, &answer, err);
    if (status < 0)
        return -1;
    if (status == 0)
        return 1;
    return says_none(&answer) ? 0 : failed(name, "erase", status, &answer, err);
}
