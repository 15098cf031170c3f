#include "deploy/host/ports.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/inside.h"
#include "deploy/host/systemd.h"

#define LINE_BYTES   512
#define CGROUP_LIMIT (64u << 10)
#define ESTABLISHED  1 /* states of linux/include/net/tcp_states.h */
#define SYN_RECEIVED 3
#define CLOSE_WAIT   8
#define LISTENS      10

static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};

/* The next socket of that port. */
static bool next_socket(FILE *table, uint16_t port, unsigned *out_state, unsigned long *out_inode) {
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, table)) {
        unsigned local;
        *out_inode = 0; /* of one that no process has any more */
        if (sscanf(line,
                   " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                   &local, out_state, out_inode) >= 2 &&
            local == port)
            return true;
    }
    return false;
}

void sb_port_use_read(FILE *table, uint16_t port, struct sb_port_use *use) {
    unsigned state;
    unsigned long inode;
    while (next_socket(table, port, &state, &inode)) {
        use->listens = use->listens || state == LISTENS;
        use->connections += state == ESTABLISHED || state == SYN_RECEIVED || state == CLOSE_WAIT;
    }
}

struct sb_port_use sb_port_use(uint16_t port) {
    struct sb_port_use use = {0};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        FILE *table = fopen(tables[i], "re");
        if (!table)
            continue;
        sb_port_use_read(table, port, &use);
        fclose(table);
    }
    return use;
}

/* ---- whose it is ---- */

/* "socket:[1234]", as links in /proc/PID/fd lead to. */
static void find_listeners(uint16_t port, struct sb_strings *out) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        FILE *table = fopen(tables[i], "re");
        unsigned state;
        unsigned long inode;
        while (table && next_socket(table, port, &state, &inode))
            if (state == LISTENS)
                sb_strings_addf(out, "socket:[%lu]", inode);
        if (table)
            fclose(table);
    }
}

static bool is_of(int proc, const char *pid, const char *group) {
    sb_autofree char *path = sb_format("%s/cgroup", pid);
    sb_autobuf struct sb_buf text = {0};
    return !strcmp(pid, "1") || (sb_file_read(proc, path, CGROUP_LIMIT, &text, NULL) == 0 &&
                                 sb_inside_is_below(sb_buf_text(&text), group));
}

static bool has_any(int proc, const char *pid, const struct sb_strings *sockets) {
    sb_autofree char *path = sb_format("%s/fd", pid);
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return false;
    }
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char to[64];
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, to, sizeof to - 1);
        to[n > 0 ? n : 0] = '\0';
        if (sb_strings_has(sockets, to))
            return true;
    }
    return false;
}

bool sb_port_is_of(uint16_t port, const char *unit) {
    sb_autostrings struct sb_strings sockets = {0};
    struct sb_pairs properties;
    find_listeners(port, &sockets);
    if (sockets.n == 0 || sb_systemd_properties(unit, "ControlGroup", &properties, NULL) < 0)
        return false;
    const char *value = sb_pairs_get(&properties, "ControlGroup");
    sb_autofree char *group = value && *value ? sb_strdup(value) : NULL; /* else it doesn't run */
    sb_pairs_free(&properties);
    sb_autoclosedir DIR *proc = group ? opendir("/proc") : NULL;
    for (const struct dirent *entry; proc && (entry = readdir(proc));)
        if (isdigit((unsigned char)entry->d_name[0]) && is_of(dirfd(proc), entry->d_name, group) &&
            has_any(dirfd(proc), entry->d_name, &sockets))
            return true;
    return false;
}
