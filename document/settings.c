#include "document/settings.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "document/project.h"
#include "document/schema.h"
#include "document/settings_private.h"

#define SIZE_LIMIT    (1u << 20)
#define AT(member)    offsetof(struct sb_settings, member)
#define PARENTS_LIMIT 256
#define LONGEST       1000000 /* seconds */

static const struct sb_key mirror_keys[] = {
    {"debian", SB_KEY_STRING, AT(debian_mirror), .rule = &sb_rule_url,
     .description = "Archive to fetch Debian packages from; never written into an image."},
    {"ubuntu", SB_KEY_STRING, AT(ubuntu_mirror), .rule = &sb_rule_url,
     .description = "Archive to fetch Ubuntu packages from; never written into an image."},
    {"pip", SB_KEY_STRING, AT(pip_index), .rule = &sb_rule_url,
     .description = "Index to fetch Python packages from."},
    {0},
};

static const struct sb_key cache_keys[] = {
    {"from", SB_KEY_STRINGS, AT(cache_from), .rule = &sb_rule_repository, .one_or_many = true,
     .most = 16, .given = AT(cache_from_given),
     .description = "Repositories in which layers that others built are looked for."},
    {"to", SB_KEY_STRING, AT(cache_to), .rule = &sb_rule_repository,
     .description = "Repository that gets the layers that are built here."},
    {0},
};

static const struct sb_key limit_keys[] = {
    {"tasks", SB_KEY_INTEGER, AT(limits.tasks), .least = 16, .most = 4194304, .fallback = "8192",
     .description = "Processes and threads that a step has at the same time."},
    {"memory", SB_KEY_SIZE, AT(limits.memory), .fallback = "nine tenths of the machine's",
     .description = "Memory that a step takes."},
    {"time", SB_KEY_DURATION, AT(limits.time), .fallback = "24h",
     .description = "How long a step runs."},
    {"download", SB_KEY_DURATION, AT(limits.download), .fallback = "6h",
     .description = "How long a download takes, or a fetch of a git step."},
    {0},
};

static const struct sb_key steps_keys[] = {
    {"authorities", SB_KEY_STRING, AT(authorities), .not_empty = true,
     .description = "PEM of authorities that programs of steps trust beside the image's own."},
    {0},
};

/* A new key is not for projects to say (.project), unless no value of it can harm who builds. */
static const struct sb_key keys[] = {
    {"store", SB_KEY_STRING, AT(store), .not_empty = true,
     .description = "Directory of the store, relative to this file's."},
    {"runtime", SB_KEY_STRING, AT(runtime), .not_empty = true,
     .description = "OCI runtime that runs steps: runc, crun, or a path."},
    {"jobs", SB_KEY_INTEGER, AT(jobs), .least = 1, .most = 256, .project = true,
     .fallback = "the number of processors", .description = "How much is done at the same time."},
    {"store_limit", SB_KEY_SIZE, AT(store_limit),
     .description = "Size that sbuild prune brings the store down to: 50G."},
    {"limits", SB_KEY_MAPPING, 0, .keys = limit_keys,
     .description = "What steps and downloads may take before they are ended."},
    {"steps", SB_KEY_MAPPING, 0, .keys = steps_keys, .description = "How steps are run."},
    {"patience", SB_KEY_DURATION, AT(patience), .given = AT(has_patience), .fallback = "3m",
     .description = "How long a registry, proxy or mirror that is away is waited for."},
    {"mirrors", SB_KEY_MAPPING, 0, .keys = mirror_keys,
     .description = "Where to fetch packages from."},
    {"registries", SB_KEY_CUSTOM, AT(registries), .read = sb_registries_read,
     .description = "How registries are spoken to, by host."},
    {"cache", SB_KEY_MAPPING, 0, .keys = cache_keys,
     .description = "Layers that are shared through a registry."},
    {"trust", SB_KEY_STRINGS, AT(trust), .one_or_many = true, .not_empty = true, .most = 1000,
     .description = "Directories beneath which projects are believed as if they were the user's."},
    {0},
};

/* Takes what is not set yet. */
static void add_settings(struct sb_settings *to, struct sb_settings *from) {
    char **texts[][2] = {
        {&to->store, &from->store},
        {&to->runtime, &from->runtime},
        {&to->debian_mirror, &from->debian_mirror},
        {&to->ubuntu_mirror, &from->ubuntu_mirror},
        {&to->pip_index, &from->pip_index},
        {&to->cache_to, &from->cache_to},
        {&to->authorities, &from->authorities},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!*texts[i][0])
            *texts[i][0] = sb_steal(*texts[i][1]);
    if (!to->jobs)
        to->jobs = from->jobs;
    if (!to->store_limit)
        to->store_limit = from->store_limit;
    if (!to->limits.tasks)
        to->limits.tasks = from->limits.tasks;
    if (!to->limits.memory)
        to->limits.memory = from->limits.memory;
    if (!to->limits.time)
        to->limits.time = from->limits.time;
    if (!to->limits.download)
        to->limits.download = from->limits.download;
    if (!to->has_patience && from->has_patience) {
        to->patience = from->patience;
        to->has_patience = true;
    }
    if (!to->cache_from_given) {
        to->cache_from = from->cache_from;
        from->cache_from = (struct sb_strings){0};
        to->cache_from_given = from->cache_from_given;
    }
    sb_registries_add(&to->registries, &from->registries);
    for (size_t i = 0; i < from->trust.n; i++)
        sb_strings_add(&to->trust, from->trust.v[i]);
}

/* ---- one file ---- */

/* Relative to the file, or to the home directory. */
static void resolve_at_home(char **said, const char *path) {
    const char *home = getenv("HOME");
    if (!*said)
        return;
    bool at_home = (*said)[0] == '~' && (!(*said)[1] || (*said)[1] == '/') && home && *home == '/';
    if (at_home) {
        char *whole = sb_format("%s%s", home, *said + 1);
        free(*said);
        *said = whole;
    }
    sb_settings_resolve(said, path);
}

static void explain_project(const char *path, struct sb_error *err) {
    sb_autofree char *dir = sb_path_dirname(path);
    sb_error_hint(err,
                  "move it to ~/.config/sbuild/config.yaml or /etc/sbuild/config.yaml; or, if you "
                  "believe all that this project says, write there: trust: [%s]",
                  dir);
}

/* of_project: it says only what is harmless. */
static int read_settings(const char *path, const struct sb_buf *text, bool of_project,
                         struct sb_settings *out, struct sb_error *err) {
    struct sb_yaml_document *document = NULL;
    if (sb_yaml_parse(sb_buf_text(text), text->len, path, &document, err) < 0)
        return -1;
    struct sb_settings here = {0};
    struct sb_reader reader = {.file = path, .of_project = of_project};
    sb_schema_read(&reader, keys, "settings", sb_yaml_root(document), &here);
    sb_yaml_free(document);
    int result = sb_reader_finish(&reader, err);
    if (result == 0) {
        sb_settings_resolve(&here.store, path);
        resolve_at_home(&here.authorities, path);
        for (size_t i = 0; i < here.trust.n; i++)
            resolve_at_home(&here.trust.v[i], path);
        add_settings(out, &here);
    } else if (reader.said_too_much) {
        explain_project(path, err);
    }
    sb_settings_free(&here);
    return result;
}

/* Of the user or the machine. One that isn't there is fine. */
static int add_file(const char *path, struct sb_settings *out, struct sb_error *err) {
    if (access(path, F_OK) < 0) /* most of them: skip the cost of a message */
        return 0;
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, SIZE_LIMIT, &text, err) < 0)
        return sb_error_context(err, "settings");
    return read_settings(path, &text, false, out, err);
}

/* ---- of a project ---- */

/* One that a stranger put into somebody else's directory is nobody's to follow. */
static int check_owner(const struct sb_project *project, const char *path, struct sb_error *err) {
    struct stat file, dir;
    if (stat(path, &file) < 0 || stat(project->directory, &dir) < 0)
        return sb_fail_errno(err, SB_E_IO, "settings: %s", path);
    if (sb_owner_is_ours(file.st_uid) || file.st_uid == dir.st_uid)
        return 0;
    sb_fail(err, SB_E_RECIPE, "settings: %s belongs to another user (uid %u)", path,
            (unsigned)file.st_uid);
    return sb_error_hint(err, "remove it, or make it your own");
}

static int add_project_file(const struct sb_project *project, const char *path,
                            struct sb_settings *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (check_owner(project, path, err) < 0)
        return -1;
    if (sb_project_read(project, path, SIZE_LIMIT, &text, NULL, err) < 0) {
        sb_error_hint(err, "put the file itself there, or nothing");
        return sb_error_context(err, "settings");
    }
    return read_settings(path, &text, !project->trusted, out, err);
}

/* Above the project: this user's own file, or root's. */
static bool is_own_file(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && sb_owner_is_ours(st.st_uid);
}

static int add_file_above(const char *path, struct sb_settings *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, SIZE_LIMIT, &text, err) < 0)
        return sb_error_context(err, "settings");
    return read_settings(path, &text, true, out, err);
}

static bool is_inside(const struct sb_project *project, const char *directory) {
    for (size_t i = 0; i < project->roots.n; i++)
        if (!project->roots.v[i][1] || sb_path_is_below(directory, project->roots.v[i]))
            return true;
    return false;
}

/* sbuild.yaml in the project's directory, or in the nearest above that has one. */
static int add_nearest(const struct sb_project *project, struct sb_settings *out,
                       struct sb_error *err) {
    sb_autofree char *at = sb_strdup(project->directory);
    for (int i = 0; i < PARENTS_LIMIT; i++) {
        sb_autofree char *path = sb_format("%s/sbuild.yaml", at[1] ? at : "");
        if (is_inside(project, at) && sb_path_exists(AT_FDCWD, path))
            return add_project_file(project, path, out, err);
        if (!is_inside(project, at) && is_own_file(path))
            return add_file_above(path, out, err);
        char *slash = strrchr(at, '/');
        if (!slash || !slash[1])
            return 0;
        slash[slash == at] = '\0';
    }
    return 0;
}

static int add_project(const char *recipe_path, const struct sb_strings *trust,
                       struct sb_settings *out, struct sb_error *err) {
    sb_autofree char *named = recipe_path ? sb_path_dirname(recipe_path) : sb_strdup(".");
    const struct sb_project_trust said = {.trusted = trust};
    struct sb_project project;
    if (sb_project_find(named, &said, &project, NULL) < 0)
        return 0; /* the recipe's own error comes when it is read */
    int failed = add_nearest(&project, out, err);
    sb_project_free(&project);
    return failed;
}

/* ---- all of them ---- */

static int add_user(struct sb_settings *out, struct sb_error *err) {
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    sb_autofree char *path = NULL;
    if (config && *config == '/')
        path = sb_format("%s/sbuild/config.yaml", config);
    else if (home && *home == '/')
        path = sb_format("%s/.config/sbuild/config.yaml", home);
    return path ? add_file(path, out, err) : 0;
}

int sb_settings_load(const char *recipe_path, struct sb_settings *out, struct sb_error *err) {
    struct sb_settings own = {0}; /* the user's and the machine's, which say who is trusted */
    *out = (struct sb_settings){0};
    int failed = add_user(&own, err) < 0 || add_file("/etc/sbuild/config.yaml", &own, err) < 0 ||
                 add_project(recipe_path, &own.trust, out, err) < 0;
    if (failed) {
        sb_settings_free(out);
    } else {
        sb_strings_free(&out->trust); /* a project has no say in that, trusted or not */
        add_settings(out, &own);
    }
    sb_settings_free(&own);
    return failed ? -1 : 0;
}

static uint64_t seconds(uint64_t given, uint64_t fallback) {
    return !given ? fallback : given < LONGEST ? given : LONGEST;
}

struct sb_limits sb_settings_limits(const struct sb_settings *settings) {
    struct sb_limits limits = settings ? settings->limits : (struct sb_limits){0};
    struct sysinfo machine;
    if (!limits.tasks)
        limits.tasks = SB_LIMIT_TASKS;
    if (!limits.memory && sysinfo(&machine) == 0)
        limits.memory = (uint64_t)machine.totalram * machine.mem_unit / 10 * 9;
    limits.time = seconds(limits.time, SB_LIMIT_TIME);
    limits.download = seconds(limits.download, SB_LIMIT_DOWNLOAD);
    return limits;
}

uint64_t sb_settings_download_seconds(const struct sb_settings *settings) {
    return sb_settings_limits(settings).download;
}

void sb_settings_free(struct sb_settings *settings) {
    sb_schema_free(keys, settings);
    sb_registries_free(&settings->registries);
    *settings = (struct sb_settings){0};
}

char *sb_settings_store(const struct sb_settings *settings, const char *flag) {
    const char *environment = getenv("SBUILD_STORE");
    if (flag && *flag)
        return sb_strdup(flag);
    if (environment && *environment)
        return sb_strdup(environment);
    if (settings && settings->store)
        return sb_strdup(settings->store);
    if (geteuid() == 0)
        return sb_strdup("/var/lib/sbuild");
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (data && *data == '/')
        return sb_format("%s/sbuild", data);
    return home && *home == '/' ? sb_format("%s/.local/share/sbuild", home)
                                : sb_format("/var/tmp/sbuild-%u", (unsigned)geteuid());
}
