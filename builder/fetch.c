#include "builder/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "registry/http.h"

enum {
    TRIES = 4,  /* without a byte more */
    STALL = 60, /* seconds without a byte */
};
#define SIZE_LIMIT (64ull << 30) /* bytes */

char *sb_fetch_public_url(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    const char *start = at ? at + 1 : host;
    return sb_format("%.*s%.*s", (int)(host - url), url, (int)strcspn(start, "?#"), start);
}

/* ---- transfers ---- */

struct download {
    const char *url;
    int fd; /* of the file that it becomes */
    uint64_t size;
    int status;
};

/* A server that doesn't go on where we stopped begins anew. */
static int on_head(void *data, const struct sb_http_response *response, struct sb_error *err) {
    struct download *d = data;
    d->status = response->status;
    if (response->status != 206 && response->status / 100 == 2)
        d->size = 0;
    const char *range = sb_http_header(response, "content-range");
    uint64_t from;
    if (response->status == 206 &&
        (!range || sscanf(range, "bytes %" SCNu64 "-", &from) != 1 || from != d->size))
        return sb_fail(err, SB_E_NETWORK, "the server sends another part than was asked for");
    if (ftruncate(d->fd, (off_t)d->size) < 0 || lseek(d->fd, (off_t)d->size, SEEK_SET) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing a downloaded file");
    return 0;
}

static int on_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct download *d = data;
    if (d->size + len > SIZE_LIMIT)
        return sb_fail(err, SB_E_NETWORK, "it is larger than %s", sb_text_size(SIZE_LIMIT).text);
    if (sb_fd_write(d->fd, bytes, len, "a downloaded file", err) < 0)
        return -1;
    d->size += len;
    return 0;
}

/* Once. 1: it may work when it is repeated. */
static int attempt(struct sb_http *http, struct download *d, uint64_t seconds,
                   struct sb_error *err) {
    sb_autofree char *range = sb_format("bytes=%" PRIu64 "-", d->size);
    const struct sb_http_header header = {"Range", range};
    struct sb_http_request request = {.method = "GET",
                                      .host = "",
                                      .target = d->url,
                                      .headers = &header,
                                      .header_count = d->size ? 1 : 0,
                                      .sink = on_bytes,
                                      .head = on_head,
                                      .data = d,
                                      .download = true,
                                      .timeout_seconds = (int)seconds};
    struct sb_http_response response;
    d->status = 0;
    int result = sb_http_perform(http, &request, &response, err);
    if (result == 0 && response.status / 100 != 2) {
        int status = response.status;
        if (status == 416) /* it is shorter than what we have */
            d->size = 0;
        result = sb_fail(err, SB_E_NETWORK, "the server answers with status %d", status);
        if (status == 408 || status == 416 || status == 429 || status >= 500)
            err->os_errno = EAGAIN;
    }
    sb_http_response_free(&response);
    if (result == 0 || err->code != SB_E_NETWORK || err->os_errno != EAGAIN)
        return result;
    return 1;
}

static int64_t seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec;
}

/* What broke off goes on where it stopped, as long as that leads anywhere. */
static int transfer(struct download *d, uint64_t limit, struct sb_error *err) {
    const struct sb_http_options options = {.stall_seconds = STALL};
    struct sb_http *http = sb_http_new(&options);
    int64_t end = seconds_now() + (int64_t)limit, left;
    int result = 1;
    for (int tries = 0; result > 0 && tries < TRIES; tries++) {
        uint64_t before = d->size;
        if ((left = end - seconds_now()) <= 0)
            break;
        if (tries)
            sb_error_clear(err);
        result = attempt(http, d, (uint64_t)left, err);
        if (d->size > before)
            tries = 0;
        else if (result > 0 && tries + 1 < TRIES)
            poll(&(struct pollfd){.fd = sb_interrupt_fd(), .events = POLLIN}, 1, 1000 << tries);
    }
    sb_http_free(http);
    if (result > 0 && seconds_now() >= end) {
        sb_fail(err, SB_E_NETWORK, "it takes longer than %s", sb_text_seconds((double)limit).text);
        sb_error_hint(err, "the settings' limits: {download: TIME} allow more");
    }
    return result ? -1 : 0;
}

static int download(const char *url, int fd, uint64_t limit, struct sb_step_log *log,
                    struct sb_error *err) {
    sb_autofree char *shown = sb_fetch_public_url(url);
    struct download d = {.url = url, .fd = fd};
    sb_autofree char *line = sb_format("fetching %s\n", shown);
    sb_step_log_write(log, line, strlen(line));
    if (transfer(&d, limit, err) == 0)
        return 0;
    if (err->code == SB_E_NETWORK && !*err->hint)
        sb_error_hint(err, "is the URL right, and does this machine reach it? A proxy is taken "
                           "from http_proxy and https_proxy");
    return sb_error_context(err, "fetching %s failed", shown);
}

/* ---- the cache ---- */

static int check_digest(int fd, const char *url, const struct sb_digest *expected,
                        struct sb_error *err) {
    struct sb_digest found;
    uint64_t size;
    if (sb_digest_of_fd(fd, &found, &size, err) < 0)
        return -1;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return sb_fail_errno(err, SB_E_IO, "reading a downloaded file");
    if (sb_digest_equal(&found, expected))
        return 0;
    sb_autofree char *shown = sb_fetch_public_url(url);
    sb_fail(err, SB_E_INTEGRITY,
            "%s is not the file that the recipe means: its digest is %s (%s), "
            "the recipe says %s",
            shown, sb_digest_text(&found).text, sb_text_size(size).text,
            sb_digest_text(expected).text);
    return sb_error_hint(err, "if the file was changed on purpose, and you trust the new one, put "
                              "its digest into the recipe");
}

/* A kept file that is still what its name says; -1 when there is none. */
static int open_kept(struct sb_store *store, const char *path, const char *url,
                     const struct sb_digest *digest) {
    int private = sb_store_private_fd(store);
    if (sb_store_hold(store, NULL) < 0)
        return -1;
    int fd = openat(private, path, SB_FILE_FLAGS | O_NOFOLLOW);
    if (fd >= 0)
        sb_store_use(store, "sbuild/caches/downloads", NULL);
    sb_store_release(store);
    if (fd >= 0 && check_digest(fd, url, digest, NULL) < 0) {
        close(fd);
        unlinkat(private, path, 0);
        return -1;
    }
    return fd;
}

int sb_fetch(struct sb_store *store, const char *url, const struct sb_digest *digest,
             uint64_t seconds, struct sb_step_log *log, struct sb_error *err) {
    static atomic_uint count;
    int tmp = sb_store_tmp_fd(store), private = sb_store_private_fd(store);
    if (tmp < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a temporary directory in %s",
                             sb_store_path(store));
    sb_autofree char *path = sb_format("caches/downloads/%s", sb_digest_hex(digest).text);
    int kept = open_kept(store, path, url, digest);
    if (kept >= 0)
        return kept;
    sb_autofree char *name = sb_format("download-%u", atomic_fetch_add(&count, 1));
    int fd = openat(tmp, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a temporary file");
    int failed = download(url, fd, seconds, log, err);
    if (!failed && lseek(fd, 0, SEEK_SET) < 0)
        failed = sb_fail_errno(err, SB_E_IO, "reading a downloaded file");
    failed = failed || check_digest(fd, url, digest, err) < 0 ||
             sb_directory_make(private, "caches/downloads", 0755, err) < 0;
    if (!failed &&
        (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(tmp, name, private, path) < 0))
        failed = sb_fail_errno(err, SB_E_IO, "keeping %s", path);
    if (!failed)
        return fd;
    unlinkat(tmp, name, 0);
    close(fd);
    return -1;
}
