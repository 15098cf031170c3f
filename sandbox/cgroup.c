#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "sandbox/egress.h"

#define PREFIX "sbuild-step-"

enum { TEXT_LIMIT = 4 << 20, DROPS = 50 };

static bool read_text(const char *directory, const char *name, struct sb_buf *out) {
    sb_autofree char *path = sb_path_join(directory, name);
    struct sb_error ignored = {0};
    sb_buf_reset(out);
    return sb_file_read(AT_FDCWD, path, TEXT_LIMIT, out, &ignored) == 0 && out->data;
}

static bool write_text(const char *directory, const char *name, const char *text) {
    sb_autofree char *path = sb_path_join(directory, name);
    sb_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* Whether a word stands in a list, apart by one of the delimiters. */
static bool has_word(const char *list, const char *word, const char *delimiters) {
    size_t len = strlen(word);
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, delimiters);
        if (n == len && !strncmp(p, word, n))
            return true;
        p += n + (p[n] != '\0');
    }
    return false;
}

/* ---- where this process is ---- */

/* The line of /proc/self/cgroup, "N:CONTROLLERS:PATH", of a controller, or of version 2 for "". */
static char *own_path(const char *controller) {
    sb_autobuf struct sb_buf text = {0};
    if (!read_text("/proc/self", "cgroup", &text))
        return NULL;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        strsep(&line, ":");
        const char *controllers = strsep(&line, ":");
        if (line && (*controller ? has_word(controllers, controller, ",") : !*controllers))
            return sb_strdup(line);
    }
    return NULL;
}

/* Where that is mounted: a line of /proc/self/mountinfo is "ID PARENT DEVICE ROOT POINT OPTIONS … -
 * TYPE SOURCE OPTIONS". */
static char *own_directory(const char *controller) {
    sb_autofree char *path = own_path(controller);
    sb_autobuf struct sb_buf text = {0};
    if (!path || !read_text("/proc/self", "mountinfo", &text))
        return NULL;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *kind = strstr(line, " - ");
        char root[1024], point[1024], type[32], options[512];
        if (!kind || sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 ||
            sscanf(kind + 3, "%31s %*s %511s", type, options) != 2 ||
            strcmp(type, *controller ? "cgroup" : "cgroup2") != 0 ||
            (*controller && !has_word(options, controller, ",")))
            continue;
        size_t len = strcmp(root, "/") ? strlen(root) : 0;
        if (!strncmp(path, root, len) && (!path[len] || path[len] == '/'))
            return sb_format("%s%s", point, strcmp(path + len, "/") ? path + len : "");
    }
    return NULL;
}

/* ---- making ---- */

/* What killed builds left; rmdir fails while somebody is in. */
static void sweep(const char *parent) {
    sb_autoclosedir DIR *dir = opendir(parent);
    struct dirent *e;
    while (dir && (e = readdir(dir))) {
        int pid;
        if (sscanf(e->d_name, PREFIX "%d-", &pid) == 1 && kill(pid, 0) < 0 && errno == ESRCH)
            unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
    }
}

/* The caller's; NULL when it can't be made. */
static char *make_below(const char *parent, struct sb_cgroup *out) {
    static atomic_uint count;
    sweep(parent);
    sb_autofree char *path =
        sb_format("%s/" PREFIX "%d-%u", parent, (int)getpid(), atomic_fetch_add(&count, 1));
    if (mkdir(path, 0755) < 0)
        return NULL;
    sb_strings_add(&out->directories, path);
    return sb_steal(path);
}

static bool set(const char *directory, const char *name, uint64_t value) {
    sb_autofree char *text = sb_format("%" PRIu64, value);
    return write_text(directory, name, text);
}

static void make_first(const char *controller, const char *file, uint64_t value,
                       struct sb_cgroup *out, char **out_which) {
    sb_autofree char *own = value ? own_directory(controller) : NULL;
    sb_autofree char *made = own ? make_below(own, out) : NULL;
    if (made && set(made, file, value))
        *out_which = sb_steal(made);
}

static bool controls(const char *directory, const char *controller) {
    sb_autobuf struct sb_buf text = {0};
    return read_text(directory, "cgroup.subtree_control", &text) &&
           has_word(text.data, controller, " \n");
}

/* A smaller limit of the group that is left. */
static uint64_t at_most(const char *own, const char *file, uint64_t value) {
    sb_autobuf struct sb_buf text = {0};
    uint64_t limit;
    return own && read_text(own, file, &text) && sscanf(text.data, "%" SCNu64, &limit) == 1 &&
                   limit < value
               ? limit
               : value;
}

static void make_second(uint64_t tasks, uint64_t memory, struct sb_cgroup *out) {
    sb_autofree char *own = own_directory("");
    if (!own || (!tasks && !memory))
        return;
    const char *needed = tasks ? "pids" : "memory", *leaving = NULL;
    if (!controls(own, needed)) /* refused, where it has processes and is not the root */
        write_text(own, "cgroup.subtree_control", "+pids +memory");
    sb_autofree char *parent = sb_strdup(own);
    if (!controls(own, needed)) {
        char *slash = strrchr(parent, '/');
        *slash = '\0';
        leaving = own;
        if (!controls(parent, needed))
            return;
    }
    sb_autofree char *made = make_below(parent, out);
    if (!made)
        return;
    if (tasks && set(made, "pids.max", at_most(leaving, "pids.max", tasks)))
        out->tasks = sb_strdup(made);
    if (memory && set(made, "memory.max", at_most(leaving, "memory.max", memory)))
        out->memory = sb_strdup(made);
    out->second = sb_steal(made);
}

/* A group that controls nothing can be below one that has processes. */
static void add_filter(struct sb_cgroup *out) {
    sb_autofree char *own = out->second ? NULL : own_directory("");
    if (own)
        out->second = make_below(own, out);
    if (out->second)
        sb_egress_filter(out->second);
}

void sb_cgroup_make(uint64_t tasks, uint64_t memory, bool filter, struct sb_cgroup *out) {
    *out = (struct sb_cgroup){0};
    make_first("pids", "pids.max", tasks, out, &out->tasks);
    make_first("memory", "memory.limit_in_bytes", memory, out, &out->memory);
    make_second(out->tasks ? 0 : tasks, out->memory ? 0 : memory, out);
    if (filter)
        add_filter(out);
}

/* ---- afterwards ---- */

static bool counted(const char *directory, const char *file, const char *what) {
    sb_autobuf struct sb_buf text = {0};
    uint64_t count = 0;
    const char *found =
        directory && read_text(directory, file, &text) ? strstr(text.data, what) : NULL;
    return found && sscanf(found + strlen(what), " %" SCNu64, &count) == 1 && count > 0;
}

bool sb_cgroup_met_tasks(const struct sb_cgroup *cgroup) {
    return counted(cgroup->tasks, "pids.events", "max");
}

bool sb_cgroup_met_memory(const struct sb_cgroup *cgroup) {
    return counted(cgroup->memory, "memory.events", "oom_kill") ||
           counted(cgroup->memory, "memory.oom_control", "oom_kill ");
}

void sb_cgroup_drop(struct sb_cgroup *cgroup) {
    const struct timespec moment = {.tv_nsec = 10000000};
    for (size_t i = 0; i < cgroup->directories.n; i++)
        for (int tries = 0; tries < DROPS && rmdir(cgroup->directories.v[i]) < 0 && errno == EBUSY;
             tries++) /* the last process may still be on its way out */
            nanosleep(&moment, NULL);
    sb_strings_free(&cgroup->directories);
    free(cgroup->tasks);
    free(cgroup->memory);
    free(cgroup->second);
    *cgroup = (struct sb_cgroup){0};
}
