#include "deploy/node/claim.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/systemd.h"
#include "deploy/units.h"

#define NOTE_LIMIT (64u << 10)

/* ---- names ---- */

/* sbuild-recover.service, sbuild-auto-NAME.timer; systemd's own, also those that it may have some
 * day; the aliases that D-Bus starts services by. */
static int check_prefix(const struct sb_node_service *service, struct sb_error *err) {
    static const char *const taken[][2] = {
        {"sbuild-", "sbuild's"}, {"systemd-", "systemd's"}, {"dbus-", "D-Bus's"}};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (strncmp(service->name, taken[i][0], strlen(taken[i][0])) != 0)
            continue;
        sb_fail(err, SB_E_FAILED, "%s: names that begin with %s are %s own", service->name,
                taken[i][0], taken[i][1]);
        return sb_error_hint(err, "install under another name with --name");
    }
    return 0;
}

/* Directories below /var/lib, /var/cache and /var/log that systemd and its like, tools of
 * containers and of packages take programs, images, rules or commands from, or keep other services'
 * data in, as soon as they are there. Most make theirs at their first use alone. */
static int check_directory_name(const struct sb_node_service *service,
                                const struct sb_description *d, struct sb_error *err) {
    static const char *const meaning[] = {
        "cloud",      "cni",     "confexts", "confexts.mutable", "containerd",
        "containers", "dkms",    "docker",   "extensions",       "extensions.mutable",
        "flatpak",    "journal", "kubelet",  "ldconfig",         "libvirt",
        "lxc",        "lxd",     "machines", "pcrlock.d",        "polkit-1",
        "portables",  "private", "rancher",  "sbuild",           "snapd"};
    bool any = false;
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        any = any || d->directories[i];
    for (size_t i = 0; any && i < sizeof meaning / sizeof *meaning; i++) {
        if (strcmp(service->name, meaning[i]) != 0)
            continue;
        sb_fail(
            err, SB_E_FAILED,
            "%s: directories of that name mean something to this host, and can't be a service's",
            service->name);
        return sb_error_hint(err, "install under another name with --name");
    }
    return 0;
}

/* ---- units ---- */

/* A unit of the distribution, or of an administrator, is never taken over. */
static int check_unit(const struct sb_node_service *service, const char *unit,
                      struct sb_error *err) {
    struct sb_unit_status status;
    struct sb_unit_mark mark;
    sb_autofree char *own = sb_path_join(sb_node_units(service->node), unit);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, own, SB_UNIT_TEXT_LIMIT, &text, NULL) == 0) {
        if (sb_unit_mark_parse(sb_buf_text(&text), &mark) && !strcmp(mark.name, service->name))
            return 0;
        sb_fail(err, SB_E_FAILED, "%s is not a unit that sbuild wrote for %s", own, service->name);
        return sb_error_hint(err, "install under another name with --name, or remove that unit "
                                  "first");
    }
    if (sb_systemd_status(unit, &status, err) < 0)
        return -1;
    if (!*status.fragment || !strcmp(status.fragment, own) || access(status.fragment, F_OK) < 0)
        return 0;
    sb_fail(err, SB_E_FAILED, "%s is a unit of this machine already (%s)", unit, status.fragment);
    return sb_error_hint(err, "install under another name with --name");
}

bool sb_claim_is_unit_of_sbuild(const struct sb_node *node, const char *unit) {
    struct sb_unit_mark mark;
    sb_autobuf struct sb_buf text = {0};
    sb_autofree char *path = sb_path_join(sb_node_units(node), unit);
    return !strchr(unit, '/') &&
           sb_file_read(AT_FDCWD, path, SB_UNIT_TEXT_LIMIT, &text, NULL) == 0 &&
           sb_unit_mark_parse(sb_buf_text(&text), &mark);
}

/* Files of a unit that an administrator wrote, whole or as drop-ins: "" when there are none, or
 * none says the name. */
static bool file_says(const char *paths, const char *unit) {
    while (*paths) {
        size_t n = strcspn(paths, " ");
        sb_autofree char *path = sb_strndup(paths, n);
        sb_autobuf struct sb_buf text = {0};
        if (!strncmp(path, "/etc/", 5) &&
            sb_file_read(AT_FDCWD, path, SB_UNIT_TEXT_LIMIT, &text, NULL) == 0 &&
            strstr(sb_buf_text(&text), unit))
            return true;
        paths += n + (paths[n] == ' ');
    }
    return false;
}

/* An administrator wants it so: by a link of `systemctl enable` or by hand, or in a file. */
static bool is_by_administrator(const struct sb_node_service *service, const char *other) {
    static const char *const links[] = {"wants", "requires", "upholds"};
    struct stat st;
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        sb_autofree char *path =
            sb_format("%s/%s.%s/%s", sb_node_units(service->node), other, links[i], service->unit);
        if (lstat(path, &st) == 0)
            return true;
    }
    struct sb_pairs files;
    if (sb_systemd_properties(other, "FragmentPath,DropInPaths", &files, NULL) < 0)
        return false;
    const char *fragment = sb_pairs_get(&files, "FragmentPath");
    const char *dropins = sb_pairs_get(&files, "DropInPaths");
    bool says = (fragment && file_says(fragment, service->unit)) ||
                (dropins && file_says(dropins, service->unit));
    sb_pairs_free(&files);
    return says;
}

static int check_mentions(const struct sb_node_service *service, const struct sb_pair *property,
                          struct sb_error *err) {
    for (const char *word = property->value; *word;) {
        size_t n = strcspn(word, " ");
        sb_autofree char *other = sb_strndup(word, n);
        word += n + (word[n] == ' ');
        if (n == 0 || sb_claim_is_unit_of_sbuild(service->node, other) ||
            is_by_administrator(service, other))
            continue;
        sb_fail(err, SB_E_FAILED, "%s of this machine speaks of a %s, which it does not have (%s)",
                other, service->unit, property->name);
        return sb_error_hint(err,
                             "install under another name with --name; or with --name %s, if it is "
                             "to be that",
                             service->name);
    }
    return 0;
}

int sb_claim_check_mentions(const struct sb_node_service *service, struct sb_error *err) {
    static const char properties[] = "Before,RequiredBy,RequisiteOf,WantedBy,BoundBy,UpheldBy,"
                                     "ConflictedBy,OnSuccessOf,OnFailureOf,TriggeredBy";
    struct sb_unit_status status;
    struct sb_pairs others;
    if (sb_claim_is_unit_of_sbuild(service->node, service->unit))
        return 0;
    if (sb_systemd_status(service->unit, &status, err) < 0)
        return -1;
    if (strcmp(status.load, "not-found") != 0) /* its own properties would be looked at */
        return 0;
    if (sb_systemd_properties(service->unit, properties, &others, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < others.n && rc == 0; i++)
        rc = check_mentions(service, &others.v[i], err);
    sb_pairs_free(&others);
    return rc;
}

int sb_claim_check_units(const struct sb_node_service *service, const struct sb_description *d,
                         struct sb_error *err) {
    sb_autofree char *timer = sb_format("%s.timer", service->name);
    sb_autofree char *timer_path = sb_path_join(sb_node_units(service->node), timer);
    if (check_prefix(service, err) < 0 || check_directory_name(service, d, err) < 0)
        return -1;
    if (check_unit(service, service->unit, err) < 0)
        return -1;
    /* One of that name, left by a service with a schedule, is removed: so it must be ours. */
    if ((d->schedule || access(timer_path, F_OK) == 0) && check_unit(service, timer, err) < 0)
        return -1;
    for (int i = 0; i < SB_COLOURS && d->strategy == SB_STRATEGY_BLUE_GREEN; i++) {
        sb_autofree char *coloured = sb_unit_service_name(service->name, sb_colours[i]);
        if (check_unit(service, coloured, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- directories ---- */

static void add_claims(const struct sb_description *d, struct sb_strings *out) {
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        if (d->directories[i])
            sb_strings_take(out, sb_service_directory_path(d->name, (enum sb_service_directory)i));
    if (d->root == SB_ROOT_HOST)
        sb_strings_addf(out, "%s/%s", SB_UNIT_HOST_ROOT, d->name);
}

int sb_claim_read_lines(const char *path, struct sb_strings *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    if (sb_file_read(AT_FDCWD, path, NOTE_LIMIT, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        *err = own;
        return -1;
    }
    for (const char *line = sb_buf_text(&text); *line;) {
        size_t n = strcspn(line, "\n");
        if (n > 0)
            sb_strings_take(out, sb_strndup(line, n));
        line += n + (line[n] == '\n');
    }
    return 0;
}

static int read_note(const char *name, struct sb_strings *out, struct sb_error *err) {
    sb_autofree char *path = sb_format(SB_CLAIM_DIRECTORIES "/%s", name);
    return sb_claim_read_lines(path, out, err);
}

/* What the generation that runs has already is the service's. */
static void add_current(const struct sb_node_service *service, struct sb_strings *out) {
    struct sb_description d;
    uint64_t current;
    if (sb_node_current(service, &current, NULL) < 0 || current == 0 ||
        sb_generation_description(service, current, &d, NULL) < 0)
        return;
    if (!strcmp(d.name, service->name))
        add_claims(&d, out);
    sb_description_free(&d);
}

int sb_claim_check_directories(const struct sb_node_service *service,
                               const struct sb_description *d, struct sb_error *err) {
    sb_autostrings struct sb_strings wanted = {0}, noted = {0};
    add_claims(d, &wanted);
    if (wanted.n == 0)
        return 0;
    if (read_note(service->name, &noted, err) < 0)
        return -1;
    add_current(service, &noted);
    for (size_t i = 0; i < wanted.n; i++) {
        struct stat st;
        if (sb_strings_has(&noted, wanted.v[i]) || lstat(wanted.v[i], &st) < 0)
            continue;
        sb_fail(
            err, SB_E_FAILED,
            "%s is there already, and may be another program's: a service named %s would get it",
            wanted.v[i], service->name);
        return sb_error_hint(err,
                             "install under another name with --name; if it is to be this "
                             "service's, write the line %s into " SB_CLAIM_DIRECTORIES "/%s",
                             wanted.v[i], service->name);
    }
    return 0;
}

/* ---- the upstream file ---- */

static char *upstream_path(const struct sb_description *d) {
    return d->upstream ? sb_format(SB_UNIT_UPSTREAMS "/%s", d->upstream) : NULL;
}

/* Any generation may have made it. */
static bool had_upstream(const struct sb_node_service *service, const char *upstream) {
    struct sb_generation_list list;
    bool had = false;
    if (sb_generations(service, &list, NULL) < 0)
        return false;
    for (size_t i = 0; i < list.n && !had; i++) {
        struct sb_description d;
        if (sb_generation_description(service, list.v[i].number, &d, NULL) < 0)
            continue;
        had = d.upstream && !strcmp(d.upstream, upstream);
        sb_description_free(&d);
    }
    sb_generation_list_free(&list);
    return had;
}

/* Noted as another service's, which may be gone for a while. */
static int check_noted(const struct sb_node_service *service, const char *path,
                       struct sb_error *err) {
    int fd = open(SB_CLAIM_DIRECTORIES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return 0;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        sb_autostrings struct sb_strings theirs = {0};
        if (!sb_service_name_valid(e->d_name) || !strcmp(e->d_name, service->name))
            continue;
        if (read_note(e->d_name, &theirs, err) < 0)
            return -1;
        if (!sb_strings_has(&theirs, path))
            continue;
        sb_fail(err, SB_E_FAILED, "the upstream file %s is that of the service %s", path,
                e->d_name);
        return sb_error_hint(err,
                             "bundle it with another upstream; if %s is to have it no more, remove "
                             "its line from " SB_CLAIM_DIRECTORIES "/%s",
                             e->d_name, e->d_name);
    }
    return 0;
}

int sb_claim_check_upstream(const struct sb_node_service *service, const struct sb_description *d,
                            struct sb_error *err) {
    sb_autostrings struct sb_strings noted = {0};
    sb_autofree char *path = upstream_path(d);
    struct stat st;
    if (!path)
        return 0;
    if (check_noted(service, path, err) < 0 || read_note(service->name, &noted, err) < 0)
        return -1;
    if (sb_strings_has(&noted, path) || lstat(path, &st) < 0 || had_upstream(service, d->upstream))
        return 0;
    sb_fail(err, SB_E_FAILED, "%s is there already, and not the service %s's", path, service->name);
    return sb_error_hint(
        err,
        "bundle it with another upstream; if it is to be this service's, write the "
        "line %s into " SB_CLAIM_DIRECTORIES "/%s",
        path, service->name);
}

int sb_claim_note(const struct sb_node_service *service, const struct sb_description *d,
                  struct sb_error *err) {
    sb_autostrings struct sb_strings wanted = {0}, noted = {0};
    sb_autofree char *upstream = upstream_path(d);
    add_claims(d, &wanted);
    if (upstream)
        sb_strings_add(&wanted, upstream);
    if (wanted.n == 0)
        return 0;
    if (read_note(service->name, &noted, err) < 0)
        return -1;
    size_t before = noted.n;
    for (size_t i = 0; i < wanted.n; i++)
        if (!sb_strings_has(&noted, wanted.v[i]))
            sb_strings_add(&noted, wanted.v[i]);
    if (noted.n == before)
        return 0;
    sb_autobuf struct sb_buf text = {0};
    for (size_t i = 0; i < noted.n; i++)
        sb_buf_addf(&text, "%s\n", noted.v[i]);
    sb_autofree char *path = sb_format(SB_CLAIM_DIRECTORIES "/%s", service->name);
    if (sb_directory_make(AT_FDCWD, SB_CLAIM_DIRECTORIES, 0755, err) < 0)
        return -1;
    return sb_file_write(AT_FDCWD, path, text.data, text.len, 0644, err);
}
