#include "builder/settings.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "builder/schema.h"
#include "builder/settings_private.h"

#define SIZE_LIMIT    (1u << 20)
#define AT(member)    offsetof(struct sb_settings, member)
#define PARENTS_LIMIT 256

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

static const struct sb_key keys[] = {
    {"store", SB_KEY_STRING, AT(store), .not_empty = true,
     .description = "Directory of the store, relative to this file's."},
    {"runtime", SB_KEY_STRING, AT(runtime), .not_empty = true,
     .description = "OCI runtime that runs steps: runc, crun, or a path."},
    {"jobs", SB_KEY_INTEGER, AT(jobs), .least = 1, .most = 256,
     .fallback = "the number of processors", .description = "How much is done at the same time."},
    {"store_limit", SB_KEY_SIZE, AT(store_limit),
     .description = "Size that sbuild prune brings the store down to: 50G."},
    {"patience", SB_KEY_DURATION, AT(patience), .given = AT(has_patience), .fallback = "3m",
     .description = "How long a registry, proxy or mirror that is away is waited for."},
    {"mirrors", SB_KEY_MAPPING, 0, .keys = mirror_keys,
     .description = "Where to fetch packages from."},
    {"registries", SB_KEY_CUSTOM, AT(registries), .read = sb_registries_read,
     .description = "How registries are spoken to, by host."},
    {"cache", SB_KEY_MAPPING, 0, .keys = cache_keys,
     .description = "Layers that are shared through a registry."},
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
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!*texts[i][0])
            *texts[i][0] = sb_steal(*texts[i][1]);
    if (!to->jobs)
        to->jobs = from->jobs;
    if (!to->store_limit)
        to->store_limit = from->store_limit;
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
}

/* A file that isn't there is fine. */
static int add_file(const char *path, struct sb_settings *out, struct sb_error *err) {
    if (access(path, F_OK) < 0) /* most of them: skip the cost of a message */
        return 0;
    sb_autobuf struct sb_buf text = {0};
    struct sb_yaml_document *document = NULL;
    if (sb_file_read(AT_FDCWD, path, SIZE_LIMIT, &text, err) < 0)
        return sb_error_context(err, "settings");
    if (sb_yaml_parse(sb_buf_text(&text), text.len, path, &document, err) < 0)
        return -1;
    struct sb_settings here = {0};
    struct sb_reader reader = {.file = path};
    sb_schema_read(&reader, keys, "settings", sb_yaml_root(document), &here);
    sb_yaml_free(document);
    int result = sb_reader_finish(&reader, err);
    if (result == 0) {
        sb_settings_resolve(&here.store, path);
        add_settings(out, &here);
    }
    sb_settings_free(&here);
    return result;
}

/* Settings name a program to run: a file that someone else left above the recipe isn't followed. */
static int check_owner(const char *path, const char *recipe_dir, struct sb_error *err) {
    struct stat file, dir;
    if (stat(path, &file) < 0 || stat(recipe_dir, &dir) < 0)
        return sb_fail_errno(err, SB_E_IO, "settings: %s", path);
    if (file.st_uid == 0 || file.st_uid == geteuid() || file.st_uid == dir.st_uid)
        return 0;
    sb_fail(err, SB_E_RECIPE, "settings: %s belongs to another user (uid %u)", path,
            (unsigned)file.st_uid);
    return sb_error_hint(err, "remove it, or make it your own");
}

/* sbuild.yaml in the recipe's directory, or in the nearest above that has one. */
static int add_project(const char *recipe_path, struct sb_settings *out, struct sb_error *err) {
    sb_autofree char *named = recipe_path ? sb_path_dirname(recipe_path) : sb_strdup(".");
    sb_autofree char *real = realpath(named, NULL);
    if (!real) /* the recipe's own error comes when it is read */
        return 0;
    for (int i = 0; i < PARENTS_LIMIT; i++) {
        sb_autofree char *path = sb_format("%s/sbuild.yaml", strcmp(real, "/") ? real : "");
        if (access(path, F_OK) == 0)
            return check_owner(path, named, err) < 0 ? -1 : add_file(path, out, err);
        char *slash = strrchr(real, '/');
        if (!slash || !slash[1])
            return 0;
        slash[slash == real] = '\0';
    }
    return 0;
}

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
    *out = (struct sb_settings){0};
    if (add_project(recipe_path, out, err) < 0 || add_user(out, err) < 0 ||
        add_file("/etc/sbuild/config.yaml", out, err) < 0) {
        sb_settings_free(out);
        return -1;
    }
    return 0;
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
