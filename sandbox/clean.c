/*
 * What package managers leave in a layer, and what two builds of it would not agree on. Found by
 * building twice and comparing; docs/recipe.md, "What is removed", is for users what the table is
 * here.
 *
 * The upper directory is all that this layer wrote, so nothing of the layers below is ever touched.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/tree.h"
#include "sandbox/root_private.h"

enum action {
    REMOVE, /* files, links and whole directories */
    EMPTY,  /* a file stays, without content */
};

static const struct rule {
    const char *directory; /* no symlink is followed on the way */
    const char *name;      /* a pattern of the names in it */
    enum action action;
} rules[] = {
    /* logs say when things happened */
    {"var/log", "dpkg.log", REMOVE},
    {"var/log", "alternatives.log", REMOVE},
    {"var/log", "bootstrap.log", REMOVE},
    {"var/log", "fontconfig.log", REMOVE},
    {"var/log/apt", "*", REMOVE},
    /* what can be fetched or computed again */
    {"var/lib/apt/lists", "*", REMOVE},
    {"var/cache/apt", "*", REMOVE},
    {"var/cache/ldconfig", "aux-cache", REMOVE},
    {"var/cache/man", "*", REMOVE},
    {"var/cache/fontconfig", "*", REMOVE},
    /* earlier versions of files */
    {"var/lib/dpkg", "*-old", REMOVE},
    {"var/cache/debconf", "*-old", REMOVE},
    {"var/lib/ucf", "*.[0-9]", REMOVE},
    {"etc", "passwd-", REMOVE},
    {"etc", "group-", REMOVE},
    {"etc", "shadow-", REMOVE},
    {"etc", "gshadow-", REMOVE},
    {"etc", "subuid-", REMOVE},
    {"etc", "subgid-", REMOVE},
    /* what each machine is to make for itself */
    {"etc", "machine-id", EMPTY},
    {"var/lib/dbus", "machine-id", REMOVE},
    {"var/lib/systemd", "random-seed", REMOVE},
    {"etc/ssh", "ssh_host_*_key", REMOVE},
    {"etc/ssh", "ssh_host_*_key.pub", REMOVE},
    {"etc/resolvconf/resolv.conf.d", "original", REMOVE},
    {"etc", ".resolv.conf.systemd-resolved.bak", REMOVE},
    /* traces of programs */
    {"tmp", "hsperfdata_*", REMOVE},
    {"tmp", "pip-*", REMOVE},
};

/* In each directory that was HOME: histories, and what differs from one build to the next. */
static const struct rule home_rules[] = {
    {".", ".bash_history", REMOVE},
    {".", ".ash_history", REMOVE},
    {".", ".zsh_history", REMOVE},
    {".", ".python_history", REMOVE},
    {".", ".node_repl_history", REMOVE},
    {".", ".sqlite_history", REMOVE},
    {".", ".psql_history", REMOVE},
    {".", ".mysql_history", REMOVE},
    {".", ".rediscli_history", REMOVE},
    {".", ".wget-hsts", REMOVE},
    {".", ".lesshst", REMOVE},
    {".", ".viminfo", REMOVE},
    {".", ".rnd", REMOVE},
    {".", ".ccache", REMOVE},
    {".npm", "_cacache", REMOVE},
    {".npm", "_logs", REMOVE},
    {".npm", "_update-notifier-last-checked", REMOVE},
    {".composer", "cache", REMOVE},
    {".config/go", "telemetry", REMOVE},
    {".gnupg", "random_seed", REMOVE},
    {".local/state", "lesshst", REMOVE},
    {".nv", "ComputeCache", REMOVE},
};

/* In each ~/.cache and XDG_CACHE_HOME: caches of tools that fetch or compute them again, and are
 * there for those who build alone. Not what programs take for their data when they run: models
 * (huggingface, torch, whisper), browsers (ms-playwright, puppeteer), environments (pre-commit,
 * pypoetry/virtualenvs), lists of fonts (matplotlib). */
static const struct rule cache_rules[] = {
    {".", "pip", REMOVE},
    {".", "uv", REMOVE},
    {".", "go-build", REMOVE},
    {".", "yarn", REMOVE},
    {".", "node-gyp", REMOVE},
    {".", "pipenv", REMOVE},
    {".", "ccache", REMOVE},
    {".", "sccache", REMOVE},
    {".", "composer", REMOVE},
    {".", "conda", REMOVE},
    {".", "fontconfig", REMOVE},
    {".", "mesa_shader_cache*", REMOVE},
    {".", "motd.legal-displayed", REMOVE},
    {"pypoetry", "cache", REMOVE},
    {"pypoetry", "artifacts", REMOVE},
};

/* In each ~/.cargo and CARGO_HOME: when what was last used. */
static const struct rule cargo_rules[] = {
    {".", ".global-cache*", REMOVE},
    {".", ".package-cache*", REMOVE},
};

/* A whiteout is no trace: the layer removed a file of the layers below. */
static bool is_whiteout(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

/* Whether there was something, goes to *out_removed. */
static int apply(const struct rule *rule, int dir, const char *name, bool *out_removed,
                 struct sb_error *err) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "%s/%s", rule->directory, name);
    if (is_whiteout(&st))
        return 0;
    if (rule->action == REMOVE && !S_ISLNK(st.st_mode)) {
        *out_removed = true;
        return sb_tree_remove(dir, name, err);
    }
    if (rule->action == EMPTY && S_ISREG(st.st_mode) && st.st_size) {
        sb_autoclose int fd = openat(dir, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return sb_fail_errno(err, SB_E_IO, "emptying %s/%s", rule->directory, name);
    }
    return 0;
}

static int apply_rule(const struct rule *rule, int root, bool *out_removed, struct sb_error *err) {
    int fd = sb_directory_beneath(root, rule->directory);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                   ? 0
                   : sb_fail_errno(err, SB_E_IO, "%s", rule->directory);
    sb_autoclosedir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return sb_fail_errno(err, SB_E_IO, "%s", rule->directory);
    }
    struct dirent *e;
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            fnmatch(rule->name, e->d_name, 0) == 0 &&
            apply(rule, fd, e->d_name, out_removed, err) < 0)
            return -1;
    return 0;
}

/* ---- homes ---- */

/* A directory that was there for nothing else goes too, unless it hides one below. */
static bool drop_empty(int root, const char *path) {
    sb_autofree char *parent = sb_path_dirname(path);
    const char *slash = strrchr(path, '/');
    sb_autoclose int at = sb_directory_beneath(root, parent);
    sb_autoclose int fd = sb_directory_beneath(root, path);
    char value;
    if (at < 0 || fd < 0 || fgetxattr(fd, "trusted.overlay.opaque", &value, 1) >= 0 ||
        fgetxattr(fd, "user.overlay.opaque", &value, 1) >= 0)
        return false;
    return unlinkat(at, slash ? slash + 1 : path, AT_REMOVEDIR) == 0;
}

/* path: of a directory in the upper one, "root"; rules are relative to it, or below it. */
static int apply_below(const struct rule *list, size_t count, int upper, const char *path,
                       bool drop, struct sb_error *err) {
    bool any = false;
    sb_autoclose int base = sb_directory_beneath(upper, path);
    if (base < 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        bool removed = false;
        if (apply_rule(&list[i], base, &removed, err) < 0)
            return sb_error_context(err, "removing traces in /%s", path);
        sb_autofree char *directory = sb_strdup(list[i].directory);
        while (removed && strcmp(directory, ".") != 0 && drop_empty(base, directory)) {
            char *up = sb_path_dirname(directory);
            free(directory);
            directory = up;
        }
        any = any || removed;
    }
    if (drop && any)
        drop_empty(upper, path);
    return 0;
}

#define APPLY(rules, upper, path, drop, err)                                                       \
    apply_below(rules, sizeof(rules) / sizeof *(rules), upper, path, drop, err)

static const char *relative(const char *path) {
    path += strspn(path, "/");
    return *path ? path : ".";
}

static int clean_home(int upper, const char *home, struct sb_error *err) {
    sb_autofree char *cache = sb_path_join(home, ".cache");
    sb_autofree char *cargo = sb_path_join(home, ".cargo");
    return APPLY(home_rules, upper, home, false, err) < 0 ||
                   APPLY(cache_rules, upper, cache, true, err) < 0 ||
                   APPLY(cargo_rules, upper, cargo, true, err) < 0
               ? -1
               : 0;
}

static int clean_homes(const struct sb_root *root, int upper, struct sb_error *err) {
    if (clean_home(upper, "root", err) < 0)
        return -1;
    for (size_t i = 0; i < root->homes.n; i++)
        if (clean_home(upper, relative(root->homes.v[i]), err) < 0)
            return -1;
    for (size_t i = 0; i < root->caches.n; i++)
        if (APPLY(cache_rules, upper, relative(root->caches.v[i]), false, err) < 0)
            return -1;
    for (size_t i = 0; i < root->cargos.n; i++)
        if (APPLY(cargo_rules, upper, relative(root->cargos.v[i]), false, err) < 0)
            return -1;
    return 0;
}

/* ---- Python's caches ---- */

/* Whether a .pyc file names its source by time (PEP 552: the flags after the magic number are 0);
 * such a file is out of date as soon as times are rewritten, and differs with them. */
static bool by_time(int dir, const char *name) {
    size_t n = strlen(name);
    unsigned char head[8];
    if (n < 5 || strcmp(name + n - 4, ".pyc") != 0)
        return false;
    sb_autoclose int fd = openat(dir, name, SB_FILE_FLAGS | O_NOFOLLOW);
    return fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
           !(head[4] | head[5] | head[6] | head[7]);
}

static bool in_cache(const char *path) {
    static const char cache[] = "__pycache__/";
    const char *name = strrchr(path, '/');
    size_t before = name ? (size_t)(name + 1 - path) : 0;
    return before >= strlen(cache) &&
           !strncmp(path + before - strlen(cache), cache, strlen(cache)) &&
           (before == strlen(cache) || path[before - strlen(cache) - 1] == '/');
}

/* ---- copies of this machine's files ---- */

/* Packages that look after resolv.conf keep a copy of what they found. */
static bool may_be_copy(const struct sb_tree_entry *e) {
    return !strncmp(e->path, "etc/", 4) || !strncmp(e->path, "run/", 4) ||
           strstr(e->name, "resolv") != NULL;
}

static bool is_copy(const struct sb_tree_entry *e, const struct sb_strings *texts) {
    sb_autobuf struct sb_buf found = {0};
    struct stat st;
    for (size_t i = 0; i < texts->n; i++) {
        size_t len = strlen(texts->v[i]);
        if (fstatat(e->dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            (size_t)st.st_size != len)
            continue;
        sb_autoclose int fd = openat(e->dir, e->name, SB_FILE_FLAGS | O_NOFOLLOW);
        sb_buf_reset(&found);
        if (fd >= 0 && sb_fd_read(fd, len, &found, NULL) == 0 && found.len == len &&
            !memcmp(found.data, texts->v[i], len))
            return true;
    }
    return false;
}

static int clean_file(void *self, const struct sb_tree_entry *e, struct sb_error *err) {
    const struct sb_root *root = self;
    if (e->type != DT_REG)
        return 0;
    bool python = in_cache(e->path) && by_time(e->dir, e->name);
    if (!python && !(root->secrets.n && may_be_copy(e) && is_copy(e, &root->secrets)))
        return 0;
    return unlinkat(e->dir, e->name, 0) < 0
               ? sb_fail_errno(err, SB_E_IO, "removing %.200s", e->path)
               : 0;
}

int sb_root_clean(struct sb_root *root, struct sb_error *err) {
    sb_autoclose int upper = sb_directory_open(AT_FDCWD, sb_root_upper(root), err);
    if (upper < 0)
        return -1;
    bool removed = false;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (apply_rule(&rules[i], upper, &removed, err) < 0)
            return sb_error_context(err, "removing traces");
    if (clean_homes(root, upper, err) < 0)
        return -1;
    return sb_tree_walk(upper, ".", clean_file, NULL, root, err);
}
