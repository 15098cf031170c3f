#include "deploy/node/dropins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/units.h"

static char *shared_name(const struct sb_node_service *service) {
    return sb_format("%s.d", service->unit);
}

static char *own_name(const struct sb_node_service *service, const char *colour) {
    sb_autofree char *unit = sb_unit_service_name(service->name, colour);
    return sb_format("%s.d", unit);
}

/* A link that another colour's unit was lent, which says so by where it leads. */
static bool is_lent(int dir, const char *name, const char *shared) {
    sb_autofree char *to = sb_format("../%s/%s", shared, name);
    char text[512];
    ssize_t n = readlinkat(dir, name, text, sizeof text);
    return n >= 0 && (size_t)n == strlen(to) && !memcmp(text, to, (size_t)n);
}

/* Names of the drop-ins in a unit's directory, those that were lent to it or its own; none when it
 * is not there. An administrator's may be symlinks as well. */
static void add_names(int units, const char *directory, const char *shared, bool lent,
                      struct sb_strings *out) {
    int fd = openat(units, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        size_t n = strlen(e->d_name);
        if (n > 5 && !strcmp(e->d_name + n - 5, ".conf") &&
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) && is_lent(fd, e->d_name, shared) == lent)
            sb_strings_add(out, e->d_name);
    }
}

/* The same; returns the directory of all units, or -1. */
static int list(const struct sb_node_service *service, const char *directory, bool lent,
                struct sb_strings *out, struct sb_error *err) {
    sb_autofree char *shared = shared_name(service);
    int units = sb_directory_open(AT_FDCWD, sb_node_units(service->node), err);
    if (units >= 0)
        add_names(units, directory, shared, lent, out);
    return units;
}

int sb_dropins_gather(const struct sb_node_service *service, const char *colour,
                      struct sb_error *err) {
    sb_autofree char *shared = shared_name(service), *own = own_name(service, colour);
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int units = list(service, own, false, &names, err);
    if (units < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        sb_autofree char *from = sb_format("%s/%s", own, names.v[i]);
        sb_autofree char *to = sb_format("%s/%s", shared, names.v[i]);
        if (sb_directory_make(units, shared, 0755, err) < 0)
            return -1;
        if (renameat(units, from, units, to) < 0)
            return sb_fail_errno(err, SB_E_IO, "moving %s to %s", from, to);
    }
    unlinkat(units, own, AT_REMOVEDIR); /* if nothing is in it */
    return 0;
}

int sb_dropins_lend(const struct sb_node_service *service, const char *colour,
                    struct sb_error *err) {
    sb_autofree char *shared = shared_name(service), *own = own_name(service, colour);
    sb_autostrings struct sb_strings names = {0};
    if (sb_dropins_gather(service, colour, err) < 0 ||
        sb_dropins_take_back(service, colour, err) < 0)
        return -1;
    sb_autoclose int units = list(service, shared, false, &names, err);
    if (units < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        sb_autofree char *link = sb_format("%s/%s", own, names.v[i]);
        sb_autofree char *to = sb_format("../%s/%s", shared, names.v[i]);
        if (sb_directory_make(units, own, 0755, err) < 0)
            return -1;
        if (symlinkat(to, units, link) < 0 && errno != EEXIST)
            return sb_fail_errno(err, SB_E_IO, "linking %s", link);
    }
    return 0;
}

int sb_dropins_take_back(const struct sb_node_service *service, const char *colour,
                         struct sb_error *err) {
    sb_autofree char *shared = shared_name(service), *own = own_name(service, colour);
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int units = list(service, own, true, &names, err);
    if (units < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++) {
        sb_autofree char *link = sb_format("%s/%s", own, names.v[i]);
        if (unlinkat(units, link, 0) < 0 && errno != ENOENT)
            return sb_fail_errno(err, SB_E_IO, "removing %s", link);
    }
    unlinkat(units, own, AT_REMOVEDIR); /* if nothing is in them */
    unlinkat(units, shared, AT_REMOVEDIR);
    return 0;
}

/* ---- what they mount ---- */

/* "-/srv/models:/models:rbind", "/scratch:size=1G": from where, and to where. */
static void add_mount(const char *word, bool bind, struct sb_strings *out) {
    struct stat st;
    word += strspn(word, "-+");
    size_t n = strcspn(word, ":");
    sb_autofree char *from = sb_strndup(word, n);
    const char *second = word[n] == ':' ? word + n + 1 : "";
    sb_autofree char *to =
        bind && *second ? sb_strndup(second, strcspn(second, ":")) : sb_strdup(from);
    sb_autofree char *path = *to == '/' && !strpbrk(to, "\"'\\%") ? sb_path_clean(to) : NULL;
    if (!path || !path[1])
        return;
    bool file = bind && stat(from, &st) == 0 && !S_ISDIR(st.st_mode);
    sb_strings_addf(out, "%s%s", path, file ? "" : "/");
}

static void add_line(const char *line, struct sb_strings *out) {
    static const char *const keys[] = {"BindPaths=", "BindReadOnlyPaths=", "TemporaryFileSystem="};
    line += strspn(line, " \t");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strncmp(line, keys[i], strlen(keys[i])) != 0)
            continue;
        for (const char *word = line + strlen(keys[i]); *word;) {
            word += strspn(word, " \t");
            size_t n = strcspn(word, " \t");
            sb_autofree char *one = sb_strndup(word, n);
            if (n)
                add_mount(one, i < 2, out);
            word += n;
        }
    }
}

/* A backslash at a line's end joins it with the next. */
static void add_text(char *text, struct sb_strings *out) {
    for (char *p = text; (p = strstr(p, "\\\n"));)
        p[0] = p[1] = ' ';
    for (char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        bool last = !line[n];
        line[n] = '\0';
        add_line(line, out);
        line += n + !last;
    }
}

static void add_file(int dir, const char *name, struct sb_strings *out) {
    size_t n = strlen(name);
    sb_autobuf struct sb_buf text = {0};
    if (n > 5 && !strcmp(name + n - 5, ".conf") &&
        sb_file_read(dir, name, SB_UNIT_TEXT_LIMIT, &text, NULL) == 0 && text.len)
        add_text(text.data, out);
}

void sb_dropins_mounts(const struct sb_node_service *service, struct sb_strings *out) {
    const char *const above[] = {sb_node_units(service->node), "/run/systemd/system"};
    sb_autofree char *shared = shared_name(service);
    sb_autofree char *blue = own_name(service, sb_colours[0]);
    sb_autofree char *green = own_name(service, sb_colours[1]);
    const char *const directories[] = {"service.d", shared, blue, green};
    for (size_t i = 0; i < 8; i++) {
        sb_autofree char *path = sb_path_join(above[i / 4], directories[i % 4]);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        for (struct dirent *e; dir && (e = readdir(dir));)
            add_file(fd, e->d_name, out);
    }
    sb_strings_sort(out);
}
