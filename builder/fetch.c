#include "builder/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

enum {
    RESUMES = 3,                  /* a transfer that broke off goes on where it stopped */
    SIZE_LIMIT_BLOCKS = 64 << 21, /* 64 GiB, in the 512 bytes of ulimit -f */
};

char *sb_fetch_public_url(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    size_t authority = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority);
    const char *start = at ? at + 1 : host;
    return sb_format("%.*s%.*s", (int)(host - url), url, (int)strcspn(start, "?#"), start);
}

/* ---- curl ---- */

/* The URL is in a file of its own, as arguments are for everyone to read. */
static int write_config(int dir, const char *name, const char *url, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    sb_buf_adds(&text, "url = \"");
    for (const char *p = url; *p; p++) {
        if (*p == '"' || *p == '\\')
            sb_buf_addc(&text, '\\');
        sb_buf_addc(&text, *p);
    }
    sb_buf_adds(&text, "\"\n");
    return sb_file_write(dir, name, text.data, text.len, 0600, err);
}

static int run_curl(const char *config, const char *target, bool resume, struct sb_step_log *log,
                    struct sb_error *err) {
    sb_autofree char *limit = sb_format("ulimit -f %d; exec \"$@\"", SIZE_LIMIT_BLOCKS);
    const char *const argv[] = {"sh",
                                "-c",
                                limit,
                                "sh",
                                "curl",
                                "--disable",
                                "--config",
                                config,
                                "--output",
                                target,
                                "--fail",
                                "--silent",
                                "--show-error",
                                "--location",
                                "--max-redirs",
                                "10",
                                "--proto",
                                "=http,https",
                                "--proto-redir",
                                "=http,https",
                                "--globoff",
                                "--connect-timeout",
                                "30",
                                "--speed-limit",
                                "1",
                                "--speed-time",
                                "60",
                                "--retry",
                                "3",
                                resume ? "--continue-at" : NULL,
                                "-",
                                NULL};
    struct sb_host_program program = {.argv = argv};
    return sb_host_program(&program, log, err);
}

static int64_t size_of(int dir, const char *name) {
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (int64_t)st.st_size : 0;
}

static int transfer(struct sb_store *store, const char *url, const char *name,
                    struct sb_step_log *log, struct sb_error *err) {
    int tmp = sb_store_tmp_fd(store);
    sb_autofree char *config_name = sb_format("%s.url", name);
    sb_autofree char *config = sb_path_join(sb_store_tmp_path(store), config_name);
    sb_autofree char *target = sb_path_join(sb_store_tmp_path(store), name);
    if (write_config(tmp, config_name, url, err) < 0)
        return -1;
    int result = run_curl(config, target, false, log, err);
    int64_t before = 0, now;
    for (int i = 0; i < RESUMES && result < 0 && err->code == SB_E_STEP; i++) {
        if ((now = size_of(tmp, name)) <= before)
            break;
        before = now;
        sb_error_clear(err);
        result = run_curl(config, target, true, log, err);
    }
    unlinkat(tmp, config_name, 0);
    if (result == 0 || err->code == SB_E_INTERRUPTED)
        return result;
    sb_autofree char *shown = sb_fetch_public_url(url);
    sb_autobuf struct sb_buf lines = {0};
    sb_step_log_last_lines(log, 3, &lines);
    while (lines.len && lines.data[lines.len - 1] == '\n')
        lines.data[--lines.len] = '\0';
    sb_fail(err, SB_E_NETWORK, "fetching %s failed: %s", shown,
            lines.len ? lines.data : "curl gave no reason");
    return sb_error_hint(err, "is the URL right, and does this machine reach it? A proxy is taken "
                              "from http_proxy and https_proxy");
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
             struct sb_step_log *log, struct sb_error *err) {
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
    int fd = -1;
    if (transfer(store, url, name, log, err) == 0) {
        fd = openat(tmp, name, SB_FILE_FLAGS | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) /* curl makes no file of nothing */
            fd = openat(tmp, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
            sb_fail_errno(err, SB_E_IO, "opening what was fetched");
    }
    int failed = fd < 0 || check_digest(fd, url, digest, err) < 0 ||
                 sb_directory_make(private, "caches/downloads", 0755, err) < 0;
    if (!failed &&
        (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(tmp, name, private, path) < 0))
        failed = sb_fail_errno(err, SB_E_IO, "keeping %s", path);
    if (!failed)
        return fd;
    unlinkat(tmp, name, 0);
    if (fd >= 0)
        close(fd);
    return -1;
}
