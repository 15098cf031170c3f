#include "deploy/host/ids.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/userdb.h"
#include "deploy/belongings.h"
#include "deploy/host/inside.h"

#define NOTE_LIMIT   64
#define TABLE_LIMIT  (16u << 20)
#define STATUS_LIMIT (1u << 16)
#define TRIES        1024
#define NOBODY       65534u

/* ---- what the host's databases say ---- */

/* "sbuild-1879052310", as sysusers.d gets it. */
static char *account_of(uint32_t id) {
    return sb_format("sbuild-%u", id);
}

/* Who has that number, the caller's; *out is NULL: nobody, or an account that sbuild made. */
static int find_foreign(enum sb_userdb database, uint32_t id, char **out, struct sb_error *err) {
    sb_autofree char *key = sb_format("%u", id), *own = account_of(id), *name = NULL;
    *out = NULL;
    if (sb_userdb_find(database, key, &name, NULL, err) < 0)
        return -1;
    if (name && strcmp(name, own) != 0)
        *out = sb_steal(name);
    return 0;
}

static int find_foreigners(uint32_t id, char **out_user, char **out_group, struct sb_error *err) {
    *out_user = *out_group = NULL;
    if (find_foreign(SB_USERDB_USERS, id, out_user, err) < 0)
        return -1;
    return find_foreign(SB_USERDB_GROUPS, id, out_group, err);
}

/* The account's name is free, or that of this very number: 1, else 0; -1: that can't be known. */
static int is_name_free(uint32_t id, struct sb_error *err) {
    sb_autofree char *own = account_of(id);
    for (int database = SB_USERDB_USERS; database <= SB_USERDB_GROUPS; database++) {
        uint32_t theirs = id;
        if (sb_userdb_find((enum sb_userdb)database, own, NULL, &theirs, err) < 0)
            return -1;
        if (theirs != id)
            return 0;
    }
    return 1;
}

/* Lines "NAME:FIRST:COUNT" of /etc/subuid: numbers that a user's containers have. */
static bool is_in_ranges(const char *path, uint32_t id) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, TABLE_LIMIT, &text, NULL) < 0)
        return false;
    for (const char *line = sb_buf_text(&text); *line;) {
        unsigned long long first, count;
        const char *colon = strchr(line, ':');
        size_t n = strcspn(line, "\n");
        if (colon && colon < line + n && sscanf(colon, ":%llu:%llu", &first, &count) == 2 &&
            id >= first && id - first < count)
            return true;
        line += n + (line[n] == '\n');
    }
    return false;
}

static bool is_subordinate(uint32_t id) {
    return is_in_ranges("/etc/subuid", id) || is_in_ranges("/etc/subgid", id);
}

/* ---- who runs ---- */

static bool has_id(const char *status, const char *key, uint32_t id) {
    const char *line = strstr(status, key);
    unsigned v[4];
    if (!line || sscanf(line + strlen(key), "%u %u %u %u", &v[0], &v[1], &v[2], &v[3]) != 4)
        return false;
    return v[0] == id || v[1] == id || v[2] == id || v[3] == id;
}

static bool is_of_service(int proc, const char *pid, const char *service) {
    static const char *const ends[] = {"", "-blue", "-green"};
    sb_autofree char *path = sb_format("%s/cgroup", pid);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(proc, path, STATUS_LIMIT, &text, NULL) < 0)
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        sb_autofree char *unit = sb_format("%s%s.service", service, ends[i]);
        if (sb_inside_is_of(sb_buf_text(&text), unit))
            return true;
    }
    return false;
}

/* A process with that number as a user, which is not the service's; 0: none. */
static pid_t foreign_process(uint32_t uid, const char *service) {
    sb_autoclosedir DIR *proc = opendir("/proc");
    for (const struct dirent *e; proc && (e = readdir(proc));) {
        sb_autofree char *path = sb_format("%s/status", e->d_name);
        sb_autobuf struct sb_buf text = {0};
        if (isdigit((unsigned char)e->d_name[0]) &&
            sb_file_read(dirfd(proc), path, STATUS_LIMIT, &text, NULL) == 0 &&
            has_id(sb_buf_text(&text), "\nUid:", uid) &&
            !is_of_service(dirfd(proc), e->d_name, service))
            return (pid_t)strtol(e->d_name, NULL, 10);
    }
    return 0;
}

/* ---- what is on record ---- */

static uint32_t parse_note(const char *text) {
    char *end;
    unsigned long long id = strtoull(text, &end, 10);
    return isdigit((unsigned char)*text) && (!*end || !strcmp(end, "\n")) && id >= SB_IDS_FIRST &&
                   id <= SB_IDS_LAST
               ? (uint32_t)id
               : 0;
}

/* *out is 0 when nothing is on record. What can't be read is an error: another number would leave
 * the service's data with the first. */
static int read_note(int dir, const char *service, uint32_t *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    *out = 0;
    if (sb_file_read(dir, service, NOTE_LIMIT, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        return sb_fail(err, own.code, "%s", own.message);
    }
    *out = parse_note(sb_buf_text(&text));
    if (*out)
        return 0;
    sb_fail(err, SB_E_FAILED, SB_IDS "/%s holds no number from %u to %u", service, SB_IDS_FIRST,
            SB_IDS_LAST);
    return sb_error_hint(err, "write the owner of its data there, or remove the file for another");
}

uint32_t sb_ids_known(const char *service) {
    uint32_t id = 0;
    sb_autoclose int dir = open(SB_IDS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        read_note(dir, service, &id, NULL);
    return id;
}

/* The other service that has the number; the caller's, NULL: none. */
static char *other_holder(int dir, const char *service, uint32_t id) {
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *list = fd < 0 ? NULL : fdopendir(fd);
    for (const struct dirent *e; list && (e = readdir(list));) {
        uint32_t theirs = 0;
        if (e->d_name[0] != '.' && strcmp(e->d_name, service) != 0 &&
            read_note(dir, e->d_name, &theirs, NULL) == 0 && theirs == id)
            return sb_strdup(e->d_name);
    }
    return NULL;
}

/* ---- choosing ---- */

/* 1, 0, or -1 when that can't be known. */
static int is_nobodys(int dir, const char *service, uint32_t id, struct sb_error *err) {
    sb_autofree char *other = other_holder(dir, service, id), *user = NULL, *group = NULL;
    if (other || is_subordinate(id) || foreign_process(id, service) != 0)
        return 0;
    if (find_foreigners(id, &user, &group, err) < 0)
        return -1;
    return user || group ? 0 : is_name_free(id, err);
}

static int choose(int dir, const char *service, uint32_t *out, struct sb_error *err) {
    uint32_t id = sb_ids_preferred(service);
    for (int i = 0; i < TRIES; i++, id = id == SB_IDS_LAST ? SB_IDS_FIRST : id + 1) {
        int free_one = is_nobodys(dir, service, id, err);
        if (free_one < 0)
            return sb_error_context(err, "choosing a user number for %s", service);
        if (!free_one)
            continue;
        sb_autofree char *text = sb_format("%u\n", id);
        *out = id;
        return sb_file_write(dir, service, text, strlen(text), 0644, err);
    }
    return sb_fail(err, SB_E_FAILED, "no user number from %u to %u is free for %s", SB_IDS_FIRST,
                   SB_IDS_LAST, service);
}

static int check_known(int dir, const char *service, uint32_t id, struct sb_error *err) {
    sb_autofree char *other = other_holder(dir, service, id), *user = NULL, *group = NULL;
    if (!other && find_foreigners(id, &user, &group, err) < 0)
        return -1;
    if (!user && !group && !other)
        return 0;
    sb_fail(err, SB_E_FAILED, "the user number %u of %s (" SB_IDS "/%s) is also that of %s", id,
            service, service,
            other  ? other
            : user ? user
                   : group);
    return sb_error_hint(err, "give that another one, or remove the file: the service gets another "
                              "then, and its data with it");
}

/* In a container that has a few numbers only. */
static int check_mapped(uint32_t id, struct sb_error *err) {
    static const char *const maps[] = {"/proc/self/uid_map", "/proc/self/gid_map"};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        sb_autobuf struct sb_buf text = {0};
        bool has = sb_file_read(AT_FDCWD, maps[i], STATUS_LIMIT, &text, NULL) < 0;
        for (const char *line = sb_buf_text(&text); *line && !has;) {
            unsigned long long first, count;
            size_t n = strcspn(line, "\n");
            has = sscanf(line, "%llu %*u %llu", &first, &count) == 2 && id >= first &&
                  id - first < count;
            line += n + (line[n] == '\n');
        }
        if (has)
            continue;
        sb_fail(err, SB_E_FAILED, "this container has no user number %u for the service", id);
        return sb_error_hint(err,
                             "give it numbers up to %u (%s says which it has), or bundle with "
                             "harden: {own_ids: false}",
                             SB_IDS_LAST, maps[i]);
    }
    return 0;
}

int sb_ids_own(const char *service, uint32_t *out, struct sb_error *err) {
    if (sb_directory_make(AT_FDCWD, SB_IDS, 0755, err) < 0)
        return -1;
    sb_autoclose int dir = sb_directory_open(AT_FDCWD, SB_IDS, err);
    sb_autoclose int lock = dir < 0 ? -1 : sb_lock_take(dir, ".lock", SB_LOCK_EXCLUSIVE, err);
    if (lock < 0 || read_note(dir, service, out, err) < 0)
        return -1;
    int rc = *out ? check_known(dir, service, *out, err) : choose(dir, service, out, err);
    return rc < 0 ? -1 : check_mapped(*out, err);
}

/* ---- numbers of an image ---- */

static int refuse(const char *service, const char *what, uint32_t id, struct sb_error *err) {
    sb_error_context(err, "%s would run on this host with the %s number %u of its image", service,
                     what, id);
    return sb_error_hint(err, "bundle it without harden: {own_ids: false}, or give its image a "
                              "number that nobody has here");
}

static bool is_ours(uint32_t id) {
    return id >= SB_IDS_FIRST && id <= SB_IDS_LAST;
}

int sb_ids_check_image(const char *service, uint32_t uid, uint32_t gid, struct sb_error *err) {
    sb_autofree char *user = NULL, *group = NULL;
    if ((uid && find_foreign(SB_USERDB_USERS, uid, &user, err) < 0) ||
        ((uid || gid) && find_foreign(SB_USERDB_GROUPS, gid, &group, err) < 0))
        return sb_error_context(err, "%s", service);
    pid_t pid = uid && !user ? foreign_process(uid, service) : 0;
    if (user)
        sb_fail(err, SB_E_FAILED, "that is the account %s", user);
    else if (uid && (uid == NOBODY || is_ours(uid) || is_subordinate(uid)))
        sb_fail(err, SB_E_FAILED,
                "that is for services with own_ids, for containers of this host (/etc/subuid), or "
                "nobody's");
    else if (pid)
        sb_fail(err, SB_E_FAILED, "that is the user of the process %d", (int)pid);
    if (user || err->code)
        return refuse(service, "user", uid, err);
    if (!group && !(gid && is_subordinate(gid)) && !is_ours(gid) && gid != NOBODY)
        return 0;
    sb_fail(err, SB_E_FAILED, "that is the group %s",
            group ? group : "of other services, of containers or of nobody");
    return refuse(service, "group", gid, err);
}

/* By trying: a kernel without them, a limit of none, a container that forbids them. */
bool sb_ids_have_namespaces(void) {
    int status = 1;
    pid_t child = fork();
    if (child == 0)
        _exit(unshare(CLONE_NEWUSER) < 0);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}
