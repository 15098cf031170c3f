/* apt: packages of the distribution that the image is built on. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "document/schema.h"
#include "sandbox/inroot.h"
#include "sandbox/inroot_files.h"
#include "steps/apt_cache.h"
#include "steps/apt_repository.h"
#include "steps/apt_sources.h"
#include "steps/away.h"
#include "steps/kinds.h"
#include "steps/program.h"

/* apt: [packages] or {packages, recommends, components, sources, upgrade}. */
struct apt {
    struct sb_strings packages;
    bool recommends;
    struct sb_strings
        components; /* extra components of the base's own archive to enable, rarely used */
    struct sb_apt_repositories sources;
    bool upgrade; /* what is installed, first */
};

static const struct apt *own(const struct sb_step *step) {
    return step->own;
}

#define AT(member) offsetof(struct apt, member)

static const struct sb_key keys[] = {
    {"packages", SB_KEY_STRINGS, AT(packages), .shorthand = true, .not_empty = true,
     .rule = &sb_rule_package,
     .description = "Packages to install, each NAME, NAME=VERSION or NAME:ARCHITECTURE."},
    {"recommends", SB_KEY_BOOL, AT(recommends), .fallback = "false",
     .description = "Install recommended packages too."},
    {"components", SB_KEY_STRINGS, AT(components), .rule = &sb_rule_component,
     .description = "Further components of the base's own archive to enable for this step."},
    {"sources", SB_KEY_CUSTOM, AT(sources), .read = sb_apt_repositories_read,
     .schema = sb_apt_repositories_schema,
     .description = "Further archives, each with the key that signs it."},
    {"upgrade", SB_KEY_BOOL, AT(upgrade), .fallback = "false",
     .description = "First bring what is installed up to what the archives have."},
    {0},
};

static bool keeps_any(const struct apt *apt) {
    for (size_t i = 0; i < apt->sources.n; i++)
        if (apt->sources.v[i].keep)
            return true;
    return false;
}

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    const struct apt *apt = own(step);
    if (!apt->packages.n && !apt->upgrade && !keeps_any(apt))
        sb_reader_problem(reader, node,
                          "key \"apt\": nothing to install (expected packages, upgrade: true, or a "
                          "source with keep: true)");
}

static void free_own(void *own) {
    sb_apt_repositories_free(&((struct apt *)own)->sources);
}

static void describe(const struct sb_step *step, json_t *out) {
    json_object_set_new(out, "packages", sb_step_set(&own(step)->packages));
    if (own(step)->recommends)
        json_object_set_new(out, "recommends", json_true());
    if (own(step)->components.n)
        json_object_set_new(out, "components", sb_step_set(&own(step)->components));
    if (own(step)->sources.n)
        json_object_set_new(out, "sources", sb_apt_repositories_describe(&own(step)->sources));
    if (own(step)->upgrade)
        json_object_set_new(out, "upgrade", json_true());
}

static int inputs(const struct sb_step *step, struct sb_context *context, struct sb_input_list *out,
                  struct sb_error *err) {
    if (!own(step)->sources.n)
        return 1;
    return sb_apt_repositories_inputs(&own(step)->sources, context, out, err);
}

static int look(const struct sb_step *step, struct sb_context *context, bool deep,
                struct sb_error *err) {
    return sb_apt_repositories_look(&own(step)->sources, context, deep, err);
}

static char *summary(const struct sb_step *step) {
    struct sb_buf out = {0};
    sb_autofree char *packages = sb_step_words("apt", &own(step)->packages);
    sb_buf_addf(&out, "apt:%s%s", own(step)->upgrade ? " upgrade" : "", packages + strlen("apt:"));
    for (size_t i = 0; i < own(step)->sources.n; i++)
        sb_buf_addf(&out, "%s%s %s", i ? ", " : " from ", own(step)->sources.v[i].url,
                    own(step)->sources.v[i].suite);
    return sb_buf_steal(&out);
}

/* ---- running ---- */

/* What stands in the root only while apt runs. */
struct stand_ins {
    struct sb_apt_cache *cache;
    struct sb_mount *v;
    size_t n, cap;
};

static void stand_ins_free(struct stand_ins *s) {
    for (size_t i = 0; i < s->n; i++) {
        free((char *)s->v[i].source);
        free((char *)s->v[i].destination);
    }
    free(s->v);
    sb_apt_cache_free(s->cache);
}

static void add_mount(struct stand_ins *s, const char *source, const char *destination,
                      bool read_only) {
    SB_GROW(s->v, s->n, s->cap);
    s->v[s->n++] = (struct sb_mount){sb_strdup(source), sb_strdup(destination), read_only};
}

static int add_bytes(struct stand_ins *s, const char *destination, const void *bytes, size_t len,
                     mode_t mode, struct sb_error *err) {
    const char *directory = sb_apt_cache_directory(s->cache);
    sb_autofree char *path = sb_format("%s/file-%zu", directory, s->n);
    if (sb_file_write(AT_FDCWD, path, bytes, len, mode, err) < 0)
        return -1;
    add_mount(s, path, destination, true);
    return 0;
}

static int add_file(struct stand_ins *s, const char *destination, const char *text, mode_t mode,
                    struct sb_error *err) {
    return add_bytes(s, destination, text, strlen(text), mode, err);
}

static bool stands_in(const struct stand_ins *s, const char *path) {
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->v[i].destination, path))
            return true;
    return false;
}

static bool ends_in(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && !strcmp(name + n - m, suffix);
}

enum { SOURCES_LIMIT = 1 << 20 };

/* The image's list of archives, with this machine's mirrors and the step's components. */
static int add_sources(struct stand_ins *s, const struct sb_step *step,
                       const struct sb_settings *settings, int root, const char *path,
                       struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0}, changed = {0};
    if (stands_in(s, path) || !sb_inroot_exists(root, path))
        return 0;
    if (sb_inroot_read(root, path, SOURCES_LIMIT, &text, err) < 0)
        return -1;
    if (!sb_apt_sources_rewrite(sb_buf_text(&text), ends_in(path, ".sources"), settings,
                                &own(step)->components, &changed))
        return 0;
    return add_file(s, path, sb_buf_text(&changed), 0644, err);
}

static int add_all_sources(struct stand_ins *s, const struct sb_step *step,
                           const struct sb_settings *settings, int root, struct sb_error *err) {
    if (add_sources(s, step, settings, root, "/etc/apt/sources.list", err) < 0)
        return -1;
    int fd = sb_inroot_open(root, "/etc/apt/sources.list.d", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return 0;
    sb_autoclosedir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return sb_fail_errno(err, SB_E_IO, "/etc/apt/sources.list.d in the image");
    }
    struct dirent *e;
    while ((e = readdir(dir))) {
        if (!ends_in(e->d_name, ".list") && !ends_in(e->d_name, ".sources"))
            continue;
        sb_autofree char *path = sb_format("/etc/apt/sources.list.d/%s", e->d_name);
        if (add_sources(s, step, settings, root, path, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- further archives ---- */

static int write_inside(int root, const char *path, const void *bytes, size_t len, int64_t epoch,
                        struct sb_error *err) {
    sb_autofree char *parent = sb_path_dirname(path);
    sb_autoclose int directory = sb_inroot_directory(root, parent, epoch, err);
    if (directory < 0)
        return -1;
    return sb_file_write(directory, strrchr(path, '/') + 1, bytes, len, 0644, err);
}

/* What is kept lies in the image from here on, and is mirrored as all that lies there. */
static int add_repository(struct stand_ins *s, const struct sb_apt_repository *repository,
                          const struct sb_step_run_context *context, int root,
                          struct sb_error *err) {
    struct sb_apt_repository_files files;
    sb_autobuf struct sb_buf mirrored = {0};
    int failed = sb_apt_repository_files(repository, context->inputs, &files, err);
    const char *key = sb_buf_text(&files.key);
    if (failed) {
        ;
    } else if (repository->keep) {
        failed =
            write_inside(root, files.sources, files.text, strlen(files.text), context->epoch, err);
        if (!failed && files.keyring)
            failed = write_inside(root, files.keyring, key, files.key.len, context->epoch, err);
    } else {
        bool changed = sb_apt_sources_rewrite(files.text, true, context->settings, NULL, &mirrored);
        failed =
            add_file(s, files.sources, changed ? sb_buf_text(&mirrored) : files.text, 0644, err);
        if (!failed && files.keyring)
            failed = add_bytes(s, files.keyring, key, files.key.len, 0644, err);
    }
    sb_apt_repository_files_free(&files);
    return failed;
}

static int add_repositories(struct stand_ins *s, const struct sb_step *step,
                            const struct sb_step_run_context *context, int root,
                            struct sb_error *err) {
    const struct sb_apt_repositories *all = &own(step)->sources;
    for (size_t i = 0; i < all->n; i++)
        if (add_repository(s, &all->v[i], context, root, err) < 0)
            return -1;
    return 0;
}

static int prepare(struct stand_ins *s, const struct sb_step *step,
                   const struct sb_step_run_context *context, struct sb_error *err) {
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    if (root < 0)
        return -1;
    if (!sb_inroot_exists(root, "/usr/bin/apt-get")) {
        sb_fail(err, SB_E_STEP, "there is no apt-get in the image");
        return sb_error_hint(err, "apt steps need a Debian or Ubuntu base: from: {debian: "
                                  "bookworm}");
    }
    if (sb_apt_cache_open(context->store, &s->cache, err) < 0)
        return -1;
    add_mount(s, sb_apt_cache_lists(s->cache), "/var/lib/apt/lists", false);
    add_mount(s, sb_apt_cache_state(s->cache), "/var/cache/apt", false);
    add_mount(s, sb_apt_cache_archives(s->cache), "/var/cache/apt/archives", false);
    /* Images made for Docker throw archives away as soon as they are installed. */
    if (sb_inroot_exists(root, "/etc/apt/apt.conf.d/docker-clean") &&
        add_file(s, "/etc/apt/apt.conf.d/docker-clean", "", 0644, err) < 0)
        return -1;
    /* invoke-rc.d asks it before it starts a service: never. */
    if (add_file(s, "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0755, err) < 0)
        return -1;
    /* An entry of the image's own under that name is shown as the step says it. */
    if (add_repositories(s, step, context, root, err) < 0)
        return -1;
    return add_all_sources(s, step, context->settings, root, err);
}

#define TARGETS "sbuild-targets"

/* apt-get after shell, if there is one, with the words behind it. */
static int run_apt(const struct sb_step *step, struct sb_step_run_context *context,
                   const struct stand_ins *s, const char *shell, const char *name,
                   const struct sb_strings *words, struct sb_error *err) {
    static const char *const options[] = {
        "apt-get", "-q", "-y",
        /* Files of an image need not survive a power cut while they are being made. */
        "-oDPkg::Options::=--force-unsafe-io", "-oDPkg::Options::=--force-confdef",
        "-oDPkg::Options::=--force-confold", "-oDPkg::Use-Pty=0", "-oAcquire::Languages=none",
        "-oAPT::Keep-Downloaded-Packages=true",
        /* Lists as Release files name them, and no others. */
        "-oAcquire::GzipIndexes=false",
        "-oAcquire::IndexTargets::deb-src::Sources::DefaultEnabled=false"};
    sb_autostrings struct sb_strings argv = {0};
    for (size_t i = 0; shell && i < 4; i++)
        sb_strings_add(&argv, (const char *const[]){"sh", "-c", shell, "sh"}[i]);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        sb_strings_add(&argv, options[i]);
    sb_strings_addf(&argv, "-oAcquire::Retries=%u", sb_away_apt_retries(context->registry));
    sb_strings_copy(&argv, words);
    struct sb_pairs env = {0};
    sb_pairs_set(&env, "DEBIAN_FRONTEND", "noninteractive");
    sb_pairs_set(&env, "DEBCONF_NONINTERACTIVE_SEEN", "true");
    struct sb_program program = {.argv = (const char *const *)argv.v,
                                 .name = name,
                                 .env = &env,
                                 .workdir = "/",
                                 .network = step->network_given ? step->network : true,
                                 .no_search = true,
                                 .mounts = s->v,
                                 .mount_count = s->n};
    int result = sb_step_program(step, context, &program, err);
    sb_pairs_free(&env);
    return result;
}

/* Release files first, always anew, and which of the lists that they name apt would have: it tells
 * of those only that are there, so all are, for a moment. Those that are kept are shown to it then;
 * there may be nothing left to fetch. */
static int fetch_lists(const struct sb_step *step, struct sb_step_run_context *context,
                       const struct stand_ins *s, struct sb_error *err) {
    static const char releases[] =
        "\"$@\" -oAcquire::IndexTargets::deb::Packages::DefaultEnabled=false update || exit\n"
        "cd /var/lib/apt/lists && for release in *_InRelease *_Release; do\n"
        "  [ -f \"$release\" ] || continue\n"
        "  pass='/binary-all/d;'\n" /* where apt wants none */
        "  [ \"$(grep -c -e '^Architectures:.* all\\b' \\\n"
        "    -e '^No-Support-for-Architecture-all: Packages' \"$release\")\" != 1 ] || pass=\n"
        "  sed -n \"${pass}s|^ [0-9a-f]\\{64\\}  *[0-9]*  *\\([^ ]*/\\)\\{0,1\\}Packages\\$|\"\\\n"
        "'\\1Packages|;T;y,/,_,;p' \"$release\" |\n"
        "    while read -r list; do : >\"${release%_*}_$list\"; done\n"
        "done\n"
        "\"$@\" indextargets --format '$(FILENAME)' >/var/cache/apt/" TARGETS " || :\n";
    sb_autostrings struct sb_strings words = {0};
    /* A list that could not be fetched is no reason to install what an old one says. */
    sb_strings_add(&words, "-oAPT::Update::Error-Mode=any");
    if (run_apt(step, context, s, releases, "apt-get update", &words, err) < 0)
        return -1;
    int complete = sb_apt_cache_offer_lists(s->cache, TARGETS, err);
    if (complete != 0)
        return complete < 0 ? -1 : 0;
    sb_strings_add(&words, "update");
    return run_apt(step, context, s, NULL, "apt-get update", &words, err);
}

static int update(const struct sb_step *step, struct sb_step_run_context *context,
                  const struct stand_ins *s, struct sb_error *err) {
    if (fetch_lists(step, context, s, err) == 0)
        return 0;
    if (err->code == SB_E_STEP)
        sb_apt_repositories_hint(&own(step)->sources, sb_step_log_said(context->log), err);
    return -1;
}

/* New packages that others need now are installed with them; none is removed. */
static int upgrade(const struct sb_step *step, struct sb_step_run_context *context,
                   const struct stand_ins *s, struct sb_error *err) {
    sb_autostrings struct sb_strings words = {0};
    sb_strings_add(&words, "upgrade");
    sb_strings_add(&words, "--with-new-pkgs");
    sb_strings_add(&words,
                   own(step)->recommends ? "--install-recommends" : "--no-install-recommends");
    return run_apt(step, context, s, NULL, "apt-get upgrade", &words, err);
}

static int install(const struct sb_step *step, struct sb_step_run_context *context,
                   const struct stand_ins *s, struct sb_error *err) {
    sb_autostrings struct sb_strings words = {0};
    sb_strings_add(&words, "install");
    sb_strings_add(&words,
                   own(step)->recommends ? "--install-recommends" : "--no-install-recommends");
    sb_strings_add(&words, "--");
    sb_strings_copy(&words, &own(step)->packages);
    sb_autobuf struct sb_buf name = {0};
    sb_buf_adds(&name, "apt-get install");
    for (size_t i = 0; i < own(step)->packages.n; i++)
        sb_buf_addf(&name, " %s", own(step)->packages.v[i]);
    return run_apt(step, context, s, NULL, name.data, &words, err);
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    __attribute__((cleanup(stand_ins_free))) struct stand_ins s = {0};
    if (prepare(&s, step, context, err) < 0)
        return -1;
    int result = update(step, context, &s, err);
    if (result == 0)
        result = sb_apt_cache_offer_archives(s.cache, err);
    if (result == 0 && own(step)->upgrade)
        result = upgrade(step, context, &s, err);
    if (result == 0 && own(step)->packages.n)
        result = install(step, context, &s, err);
    sb_apt_cache_keep(s.cache);
    return result;
}

const struct sb_step_kind sb_step_kind_apt = {
    .name = "apt",
    .size = sizeof(struct apt),
    .description = "Install Debian or Ubuntu packages.",
    .keys = keys,
    .network = true,
    .runs_programs = true,
    .free = free_own,
    .check = check,
    .describe = describe,
    .inputs = inputs,
    .look = look,
    .summary = summary,
    .run = run,
};
