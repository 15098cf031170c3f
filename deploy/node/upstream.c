#include "deploy/node/upstream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/units.h"

/* untold: a file that is there from before the change until the proxy was told, for whoever takes
 * over from a killed process. */
static void tell_proxy(const struct sb_node *node, int dir, const char *untold) {
    static const char program[] = SB_UNIT_UPSTREAMS "/" SB_UPSTREAM_RELOAD;
    const char *const argv[] = {program, NULL};
    sb_autobuf struct sb_buf out = {0}, said = {0};
    struct sb_error own = {0};
    int status =
        access(program, X_OK) < 0 ? 0 : sb_process_capture(argv, "/", 1u << 16, &out, &said, &own);
    if (status != 0)
        sb_node_say(node, "%s failed (status %d): %.300s", program, status,
                    status < 0 ? own.message : sb_buf_text(&said));
    unlinkat(dir, untold, 0);
}

static bool points_to(int dir, const char *upstream, const char *file) {
    char now[300];
    ssize_t n = readlinkat(dir, upstream, now, sizeof now);
    return n > 0 && (size_t)n == strlen(file) && !memcmp(now, file, (size_t)n) &&
           sb_path_exists(dir, file);
}

int sb_upstream_point(const struct sb_node *node, const char *upstream, uint16_t port,
                      struct sb_error *err) {
    sb_autofree char *file = sb_format(".%s.%u", upstream, port);
    sb_autofree char *text = sb_format("server 127.0.0.1:%u;\n", port);
    sb_autofree char *temporary = sb_format(".%s.new", upstream);
    sb_autofree char *untold = sb_format(".%s.untold", upstream);
    if (sb_directory_make(AT_FDCWD, SB_UNIT_UPSTREAMS, 0755, err) < 0)
        return -1;
    sb_autoclose int dir = sb_directory_open(AT_FDCWD, SB_UNIT_UPSTREAMS, err);
    if (dir < 0)
        return -1;
    if (points_to(dir, upstream, file)) {
        if (sb_path_exists(dir, untold))
            tell_proxy(node, dir, untold);
        return 0;
    }
    if (sb_file_write(dir, file, text, strlen(text), 0644, err) < 0 ||
        sb_file_write(dir, untold, "", 0, 0644, err) < 0)
        return -1;
    unlinkat(dir, temporary, 0);
    if (symlinkat(file, dir, temporary) < 0 || renameat(dir, temporary, dir, upstream) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing %s/%s", SB_UNIT_UPSTREAMS, upstream);
    if (sb_directory_sync(dir, err) < 0)
        return -1;
    tell_proxy(node, dir, untold);
    return 0;
}

/* ".UPSTREAM.PORT", and what a process that was killed left. */
static bool belongs_to(const char *name, const char *upstream) {
    size_t n = strlen(upstream);
    if (*name != '.' || strncmp(name + 1, upstream, n) != 0 || name[n + 1] != '.')
        return false;
    const char *rest = name + n + 2;
    return !strcmp(rest, "new") || !strcmp(rest, "untold") ||
           (*rest && !rest[strspn(rest, "0123456789")]);
}

int sb_upstream_remove(const char *upstream, struct sb_error *err) {
    int fd = open(SB_UNIT_UPSTREAMS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return 0;
    }
    char to[300];
    ssize_t n = readlinkat(fd, upstream, to, sizeof to - 1);
    to[n < 0 ? 0 : n] = '\0';
    if (belongs_to(to, upstream) && unlinkat(fd, upstream, 0) < 0)
        return sb_fail_errno(err, SB_E_IO, "removing %s/%s", SB_UNIT_UPSTREAMS, upstream);
    for (struct dirent *e; (e = readdir(dir));)
        if (belongs_to(e->d_name, upstream) && unlinkat(fd, e->d_name, 0) < 0 && errno != ENOENT)
            return sb_fail_errno(err, SB_E_IO, "removing %s/%s", SB_UNIT_UPSTREAMS, e->d_name);
    return 0;
}
