#include "sandbox/inroot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

enum { LINK_LIMIT = 40, TARGET_LIMIT = 4096, TABLE_LIMIT = 1 << 20 };

int sb_inroot_open(int root, const char *path, int flags) {
    return sb_open_in_root(root, path, (unsigned)flags);
}

/* Takes the first component off rest: NULL at the end. */
static char *next_part(char **rest) {
    char *part;
    while ((part = strsep(rest, "/")) && (!*part || !strcmp(part, ".")))
        continue;
    return part;
}

/* The target of path when it is a symlink; else NULL, and out_exists is whether it is there. */
static char *read_link(int root, const char *path, bool *out_exists) {
    sb_autoclose int fd = sb_inroot_open(root, path, O_PATH | O_NOFOLLOW);
    *out_exists = fd >= 0;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISLNK(st.st_mode))
        return NULL;
    char target[TARGET_LIMIT];
    ssize_t n = readlinkat(fd, "", target, sizeof target - 1);
    return n > 0 ? sb_strndup(target, (size_t)n) : NULL;
}

char *sb_inroot_resolve(int root, const char *path, bool *out_exists, struct sb_error *err) {
    sb_autobuf struct sb_buf at = {0}; /* without symlinks; "" is the root */
    sb_autofree char *pending = sb_strdup(path);
    char *rest = pending;
    int links = 0;
    *out_exists = true;
    for (char *part; (part = next_part(&rest));) {
        size_t before = at.len;
        if (!strcmp(part, "..")) {
            char *slash = at.len ? strrchr(at.data, '/') : NULL;
            if (slash) {
                at.len = (size_t)(slash - at.data);
                *slash = '\0';
            }
            continue;
        }
        sb_buf_addf(&at, "/%s", part);
        bool exists;
        sb_autofree char *target = read_link(root, at.data, &exists);
        *out_exists = *out_exists && exists;
        if (!target)
            continue;
        if (++links > LINK_LIMIT) {
            sb_fail(err, SB_E_FAILED, "%s: too many symbolic links", path);
            sb_error_hint(err, "links of the image lead to one another there");
            return NULL;
        }
        at.len = target[0] == '/' ? 0 : before;
        at.data[at.len] = '\0';
        char *joined = sb_format("%s/%s", target, rest ? rest : "");
        free(pending);
        rest = pending = joined;
    }
    return sb_strdup(at.len ? at.data : "/");
}

static bool is_program(int root, const char *path) {
    sb_autoclose int fd = sb_inroot_open(root, path, O_PATH);
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

bool sb_inroot_has_program(int root, const char *name, const char *path, const char *workdir) {
    if (strchr(name, '/')) {
        sb_autofree char *whole = sb_path_join(workdir, name);
        return is_program(root, whole);
    }
    sb_autofree char *copy = sb_strdup(path);
    char *rest = copy;
    for (char *directory; (directory = strsep(&rest, ":"));) {
        sb_autofree char *in = sb_path_join(workdir, directory);
        sb_autofree char *whole = sb_path_join(in, name);
        if (is_program(root, whole))
            return true;
    }
    return false;
}

/* ---- users ---- */

static int read_table(int root, const char *path, struct sb_buf *out, struct sb_error *err) {
    sb_autoclose int fd = sb_inroot_open(root, path, O_RDONLY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0; /* a root without users: numbers still work */
    if (sb_fd_read(fd, TABLE_LIMIT, out, err) < 0)
        return sb_error_context(err, "%s of the root", path);
    return 0;
}

/* Splits the next line at colons, in place; false at the end of the table. */
static bool next_line(char **rest, char *fields[7], int *count) {
    char *line = strsep(rest, "\n");
    *count = 0;
    while (line && *count < 7)
        fields[(*count)++] = strsep(&line, ":");
    return *rest || *count > 0;
}

static bool parse_id(const char *text, unsigned *out) {
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || value > 4294967294ul)
        return false;
    *out = (unsigned)value;
    return true;
}

/* Fills what passwd says of a name or uid; false when it says nothing. */
static bool find_user(const char *table, const char *name, struct sb_user *out, char **out_name) {
    sb_autofree char *copy = sb_strdup(table);
    char *rest = copy, *fields[7];
    unsigned wanted, uid, gid;
    bool numeric = parse_id(name, &wanted);
    for (int count; rest && next_line(&rest, fields, &count);) {
        if (count < 6 || !parse_id(fields[2], &uid) || !parse_id(fields[3], &gid) ||
            (strcmp(fields[0], name) != 0 && !(numeric && uid == wanted)))
            continue;
        out->uid = uid;
        out->gid = gid;
        if (fields[5][0] == '/' && strlen(fields[5]) < sizeof out->home)
            strcpy(out->home, fields[5]);
        *out_name = sb_strdup(fields[0]);
        if (strlen(fields[0]) < sizeof out->name)
            strcpy(out->name, fields[0]);
        return true;
    }
    if (numeric)
        out->uid = wanted;
    return numeric;
}

static bool find_group(const char *table, const char *name, gid_t *out) {
    sb_autofree char *copy = sb_strdup(table);
    char *rest = copy, *fields[7];
    unsigned gid;
    for (int count; rest && next_line(&rest, fields, &count);) {
        if (count < 3 || !parse_id(fields[2], &gid) || strcmp(fields[0], name) != 0)
            continue;
        *out = gid;
        return true;
    }
    if (!parse_id(name, &gid))
        return false;
    *out = gid;
    return true;
}

static void add_groups(const char *table, const char *user, struct sb_user *out) {
    sb_autofree char *copy = sb_strdup(table);
    char *rest = copy, *fields[7];
    unsigned gid;
    for (int count; rest && next_line(&rest, fields, &count);) {
        if (count < 4 || !parse_id(fields[2], &gid) || gid == out->gid)
            continue;
        for (char *member; (member = strsep(&fields[3], ","));)
            if (!strcmp(member, user) &&
                out->group_count < sizeof out->groups / sizeof out->groups[0])
                out->groups[out->group_count++] = gid;
    }
}

int sb_inroot_user(int root, const char *name, struct sb_user *out, struct sb_error *err) {
    *out = (struct sb_user){.home = "/"};
    if (!name)
        name = "0";
    sb_autobuf struct sb_buf users = {0};
    sb_autobuf struct sb_buf groups = {0};
    if (read_table(root, "etc/passwd", &users, err) < 0 ||
        read_table(root, "etc/group", &groups, err) < 0)
        return -1;
    sb_autofree char *user = sb_strndup(name, strcspn(name, ":"));
    sb_autofree char *known = NULL;
    const char *group = name[strlen(user)] ? name + strlen(user) + 1 : NULL;
    if (!find_user(sb_buf_text(&users), user, out, &known)) {
        sb_fail(err, SB_E_STEP, "the root has no user %s", user);
        return sb_error_hint(err, "its /etc/passwd lists them; a number works always");
    }
    if (out->uid == 0)
        strcpy(out->home, "/root");
    if (group && !find_group(sb_buf_text(&groups), group, &out->gid)) {
        sb_fail(err, SB_E_STEP, "the root has no group %s", group);
        return sb_error_hint(err, "its /etc/group lists them; a number works always");
    }
    if (known && !group)
        add_groups(sb_buf_text(&groups), known, out);
    return 0;
}
