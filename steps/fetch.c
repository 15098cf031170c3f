#include "steps/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/room.h"
#include "registry/http.h"
#include "registry/remote.h"

enum {
    STALL = 60,      /* seconds without a byte */
    BREAK_LIMIT = 5, /* times that it broke off without getting further than before */
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
    struct sb_store *store;
    struct sb_registry *registry;
    const char *url;
    int fd;         /* of the file that it becomes */
    uint64_t size;  /* what there is of it */
    uint64_t best;  /* the most that there ever was */
    uint64_t total; /* as the server says; 0: it doesn't */
    char *version;  /* the server's name for what it sends: a strong ETag, or NULL */
    bool no_ranges; /* it answers for others than those that are asked for */
    bool resumed;   /* it was put together of several answers */
    bool got;       /* this attempt got a byte */
};

static uint64_t number(const char *text) {
    char *end;
    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    return *end || errno ? 0 : value;
}

static int begin_anew(struct download *d, const char *why, struct sb_error *err) {
    d->size = 0;
    d->no_ranges = true;
    sb_fail(err, SB_E_NETWORK, "%s", why);
    return sb_error_reason(err, SB_REASON_PASSING);
}

static bool is_strong(const char *tag) {
    return tag && *tag == '"';
}

/* The part that was asked for, of the same file. */
static int check_part(struct download *d, const struct sb_http_response *response,
                      struct sb_error *err) {
    uint64_t from, to;
    char total[24] = "";
    const char *range = sb_http_header(response, "content-range");
    const char *version = sb_http_header(response, "etag");
    if (!range || sscanf(range, "bytes %" SCNu64 "-%" SCNu64 "/%23[0-9]", &from, &to, total) < 2 ||
        from != d->size || to < from)
        return begin_anew(d, "the server sends another part than was asked for", err);
    if ((d->version && version && strcmp(version, d->version) != 0) ||
        (d->total && *total && number(total) != d->total))
        return begin_anew(d, "the file was changed on the server meanwhile", err);
    if (*total)
        d->total = number(total);
    d->resumed = d->resumed || d->size > 0;
    return 0;
}

/* A server that doesn't go on where we stopped begins anew. */
static int on_head(void *data, const struct sb_http_response *response, struct sb_error *err) {
    struct download *d = data;
    if (response->status == 206 && check_part(d, response, err) < 0)
        return -1;
    if (response->status != 206 && response->status / 100 == 2) {
        const char *version = sb_http_header(response, "etag");
        free(d->version);
        d->version = is_strong(version) ? sb_strdup(version) : NULL;
        d->total = number(sb_http_header(response, "content-length"));
        d->size = 0;
        d->resumed = false;
    }
    if (d->total > SIZE_LIMIT)
        return sb_fail(err, SB_E_NETWORK, "it is larger than %s", sb_text_size(SIZE_LIMIT).text);
    if (ftruncate(d->fd, (off_t)d->size) < 0 || lseek(d->fd, (off_t)d->size, SEEK_SET) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing a downloaded file");
    return sb_store_room(d->store, d->total > d->size ? d->total - d->size : 0, err);
}

static int on_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    struct download *d = data;
    if (d->size + len > SIZE_LIMIT)
        return sb_fail(err, SB_E_NETWORK, "it is larger than %s", sb_text_size(SIZE_LIMIT).text);
    if (sb_fd_write(d->fd, bytes, len, "a downloaded file", err) < 0)
        return -1;
    d->size += len;
    d->got = d->got || len > 0;
    return 0;
}

static int refused(struct download *d, const struct sb_http_response *response,
                   struct sb_error *err) {
    const char *range = sb_http_header(response, "content-range");
    if (response->status == 416 && d->size > 0) {
        if (range && !strncmp(range, "bytes */", 8) && number(range + 8) == d->size)
            return 0; /* all was here already */
        return begin_anew(d, "the server has less than was fetched", err);
    }
    sb_fail(err, SB_E_NETWORK, "the server answers with status %d", response->status);
    if (response->status == 401 || response->status == 403)
        sb_error_hint(err, "a download has no password: is the file there for everybody?");
    else if (response->status == 404 || response->status == 410)
        sb_error_hint(err, "it is not there (any more): look for another URL of the same file; its "
                           "digest alone counts");
    if (sb_retry_worth(0, response, err))
        sb_error_reason(err, SB_REASON_PASSING);
    return -1;
}

/* Once. */
static int attempt(struct sb_http *http, struct download *d, uint64_t seconds,
                   struct sb_http_response *response, struct sb_error *err) {
    sb_autofree char *range = sb_format("bytes=%" PRIu64 "-", d->size);
    const struct sb_http_header headers[] = {{"Range", range}, {"If-Range", d->version}};
    bool part = d->size > 0 && !d->no_ranges;
    struct sb_http_request request = {.method = "GET",
                                      .host = "",
                                      .target = d->url,
                                      .headers = headers,
                                      .header_count = part ? 1 + (d->version != NULL) : 0,
                                      .sink = on_bytes,
                                      .head = on_head,
                                      .data = d,
                                      .download = true,
                                      .timeout_seconds = (int)seconds};
    d->got = false;
    int result = sb_http_perform(http, &request, response, err);
    if (result == 0 && response->status / 100 != 2)
        return refused(d, response, err);
    if (result < 0 || !d->total || d->size >= d->total)
        return result;
    sb_fail(err, SB_E_NETWORK, "the server sent %" PRIu64 " of %" PRIu64 " bytes", d->size,
            d->total);
    return sb_error_reason(err, SB_REASON_PASSING);
}

static int64_t seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec;
}

static char *host_of(const char *url) {
    sb_autofree char *public = sb_fetch_public_url(url);
    const char *host = strstr(public, "://");
    host = host ? host + 3 : public;
    return sb_strndup(host, strcspn(host, "/"));
}

/* 1: again. Bytes that bring it no further are no progress, but show that the server is there. */
static int after(struct download *d, struct sb_retry *retry, int *breaks,
                 const struct sb_http_response *response, struct sb_error *err) {
    bool refused = response->status >= 400 && response->status != 416;
    if (err->code != SB_E_NETWORK || err->reason != SB_REASON_PASSING)
        return 0;
    if (d->got || d->size > d->best)
        sb_retry_progress(retry);
    if (d->size > d->best) {
        d->best = d->size;
        *breaks = 0;
    } else if (d->got && ++*breaks >= BREAK_LIMIT) {
        sb_error_context(err, "it broke off %d times", *breaks);
        return 0;
    }
    struct sb_error failure = *err;
    int again = sb_retry_again(retry, refused ? 0 : -1, response, &failure);
    if (again < 0)
        *err = failure;
    return again;
}

/* What broke off goes on where it stopped. */
static int transfer(struct download *d, uint64_t limit, struct sb_error *err) {
    const struct sb_http_options options = {.stall_seconds = STALL};
    struct sb_http *http = sb_http_new(&options);
    sb_autofree char *host = host_of(d->url);
    struct sb_retry retry = sb_registry_retry(d->registry, host);
    retry.server = true;
    int64_t end = seconds_now() + (int64_t)limit, left = (int64_t)limit;
    int result = 1, breaks = 0;
    while (result > 0 && left > 0) {
        struct sb_http_response response = {0};
        sb_error_clear(err);
        result = attempt(http, d, (uint64_t)left, &response, err);
        if (result == 0)
            sb_retry_answered(&retry);
        else
            result = after(d, &retry, &breaks, &response, err) > 0 ? 1 : -1;
        sb_http_response_free(&response);
        left = end - seconds_now();
    }
    sb_http_free(http);
    if (result != 0 && err->code == SB_E_NETWORK && left <= 0) {
        sb_fail(err, SB_E_NETWORK, "it takes longer than %s", sb_text_seconds((double)limit).text);
        sb_error_hint(err, "the settings' limits: {download: TIME} allow more");
    } else if (result != 0 && err->code == SB_E_NETWORK) {
        sb_retry_context(&retry, err);
    }
    return result ? -1 : 0;
}

static int download(struct download *d, uint64_t limit, struct sb_step_log *log,
                    struct sb_error *err) {
    sb_autofree char *shown = sb_fetch_public_url(d->url);
    sb_autofree char *line = sb_format("fetching %s\n", shown);
    sb_step_log_say(log, line);
    if (transfer(d, limit, err) == 0)
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

/* What was put together of several answers, or may have ended early without a word, is fetched
 * whole once more when it is not what it should be. */
static int fetch_right(struct download *d, const struct sb_digest *digest, uint64_t seconds,
                       struct sb_step_log *log, struct sb_error *err) {
    if (download(d, seconds, log, err) < 0)
        return -1;
    struct sb_error wrong = {0};
    if (lseek(d->fd, 0, SEEK_SET) < 0)
        return sb_fail_errno(err, SB_E_IO, "reading a downloaded file");
    if (check_digest(d->fd, d->url, digest, &wrong) == 0)
        return 0;
    bool doubtful = wrong.code == SB_E_INTEGRITY && (d->resumed || !d->total);
    if (doubtful) {
        sb_step_log_say(log, "it is not whole, or put together wrongly: once more\n");
        d->size = d->best = d->total = 0;
        d->no_ranges = true;
        if (download(d, seconds, log, err) < 0)
            return -1;
        if (lseek(d->fd, 0, SEEK_SET) < 0)
            return sb_fail_errno(err, SB_E_IO, "reading a downloaded file");
        return check_digest(d->fd, d->url, digest, err);
    }
    if (err)
        *err = wrong;
    return -1;
}

int sb_fetch(struct sb_store *store, struct sb_registry *registry, const char *url,
             const struct sb_digest *digest, uint64_t seconds, struct sb_step_log *log,
             struct sb_error *err) {
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
    struct download d = {.store = store, .registry = registry, .url = url, .fd = fd};
    int failed = fetch_right(&d, digest, seconds, log, err);
    free(d.version);
    failed = failed || sb_directory_make(private, "caches/downloads", 0755, err) < 0;
    if (!failed &&
        (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(tmp, name, private, path) < 0))
        failed = sb_fail_errno(err, SB_E_IO, "keeping %s", path);
    if (!failed)
        return fd;
    sb_room_explain(fd, err);
    unlinkat(tmp, name, 0);
    close(fd);
    return -1;
}
