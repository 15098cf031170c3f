#include "steps/pruning.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "document/ignore.h"
#include "document/pattern.h"
#include "document/rules.h"
#include "sandbox/inroot.h"

/* ---- categories ---- */

/* What follows directory in path, or NULL when it isn't below. */
static const char *below(const char *path, const char *directory) {
    size_t n = strlen(directory);
    return strncmp(path, directory, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

static bool is_below_any(const char *path, const char *const *directories) {
    for (; *directories; directories++)
        if (below(path, *directories))
            return true;
    return false;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends_in(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && !strcmp(name + n - m, suffix);
}

/* Whether one of path's directories, from the one at start on, has that name. */
static bool has_directory(const char *start, const char *name) {
    size_t n = strlen(name);
    for (const char *slash; (slash = strchr(start, '/')); start = slash + 1)
        if ((size_t)(slash - start) == n && !strncmp(start, name, n))
            return true;
    return false;
}

/* What follows the directory that Python finds modules in; NULL when there is none. */
static const char *below_python(const char *path) {
    static const char *const places[] = {"/dist-packages/", "/site-packages/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *found = strstr(path, places[i]);
        if (found)
            return found + strlen(places[i]);
    }
    const char *version = below(path, "usr/lib");
    if (!version && !(version = below(path, "usr/local/lib")))
        return NULL;
    return strncmp(version, "python", 6) == 0 ? strchr(version, '/') : NULL;
}

/* Copyright files stay: licences ask for it. So do links between packages' directories, by which
 * copyright files are found. */
static bool is_docs(const char *path, bool is_link) {
    static const char *const directories[] = {"usr/share/info",      "usr/share/doc-base",
                                              "usr/share/gtk-doc",   "usr/share/help",
                                              "usr/local/share/doc", NULL};
    const char *rest = below(path, "usr/share/doc");
    if (!rest)
        return is_below_any(path, directories);
    return strcmp(base_name(path), "copyright") != 0 && !(is_link && !strchr(rest, '/'));
}

static bool is_man(const char *path, bool is_link) {
    static const char *const directories[] = {"usr/share/man", "usr/local/share/man",
                                              "usr/local/man", NULL};
    (void)is_link;
    return is_below_any(path, directories);
}

static bool is_locales(const char *path, bool is_link) {
    const char *rest = below(path, "usr/share/locale");
    (void)is_link;
    return rest && strcmp(rest, "locale.alias") != 0;
}

static bool is_pyc(const char *path, bool is_link) {
    (void)is_link;
    return has_directory(path, "__pycache__") && (ends_in(path, ".pyc") || ends_in(path, ".pyo"));
}

static bool is_tests(const char *path, bool is_link) {
    const char *rest = below_python(path);
    (void)is_link;
    return rest && (has_directory(rest, "tests") || has_directory(rest, "test"));
}

static bool is_static(const char *path, bool is_link) {
    const char *name = base_name(path);
    (void)is_link;
    return (!strncmp(name, "lib", 3) && ends_in(name, ".a")) || ends_in(name, ".la");
}

static bool is_headers(const char *path, bool is_link) {
    static const char *const directories[] = {"usr/include", "usr/local/include", NULL};
    const char *rest = below_python(path);
    (void)is_link;
    return is_below_any(path, directories) || (rest && has_directory(rest, "include"));
}

static const struct category {
    const char *name;
    bool (*takes)(const char *path, bool is_link);
    bool keeps_directories;
} categories[] = {
    {"docs", is_docs, false},       {"man", is_man, true},      {"locales", is_locales, false},
    {"pyc", is_pyc, false},         {"tests", is_tests, false}, {"static", is_static, true},
    {"headers", is_headers, false},
};

static const struct category *find_category(const char *name) {
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (!strcmp(categories[i].name, name))
            return &categories[i];
    return NULL;
}

bool sb_prune_takes(const char *category, const char *path, bool is_link) {
    const struct category *found = find_category(category);
    return found && found->takes(path, is_link);
}

/* ---- removing ---- */

enum { DEPTH_LIMIT = 256 }; /* as in a context */

struct pruning {
    const struct category *chosen[sizeof categories / sizeof *categories];
    size_t chosen_count;
    struct sb_ignore *patterns;
    bool whole; /* all of the root, not only what a layer wrote */
    struct sb_buf path;
    int depth;
    struct sb_pruned *out;
    struct sb_error *err;
};

static bool matches(const struct pruning *p, bool is_directory) {
    return p->patterns && sb_ignore_excluded(p->patterns, p->path.data, is_directory);
}

/* *keep: the directory that it is in stays, empty or not. */
static bool takes(const struct pruning *p, bool is_link, bool *keep) {
    if (matches(p, false))
        return true;
    for (size_t i = 0; i < p->chosen_count; i++)
        if (p->chosen[i]->takes(p->path.data, is_link)) {
            *keep = p->chosen[i]->keeps_directories;
            return true;
        }
    return false;
}

static int walk(struct pruning *p, int root, int written, bool *out_keep);

/* A directory that both sides have under that name; emptied, it goes. */
static int visit_directory(struct pruning *p, int root, int written, const char *name) {
    enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
    sb_autoclose int sub_root = openat(root, name, FLAGS);
    int sub_written = sub_root < 0 ? -1 : openat(written, name, FLAGS);
    if (sub_written < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
            return 0;
        return sb_fail_errno(p->err, SB_E_IO, "opening /%s", p->path.data);
    }
    uint64_t before = p->out->files;
    bool keep = false;
    if (walk(p, sub_root, sub_written, &keep) < 0)
        return -1;
    if (p->out->files == before ? !matches(p, true) : keep && !matches(p, true))
        return 0;
    if (unlinkat(root, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST &&
        errno != EBUSY)
        return sb_fail_errno(p->err, SB_E_IO, "removing /%s", p->path.data);
    return 0;
}

static int visit_file(struct pruning *p, int root, const struct stat *st, const char *name,
                      bool *keep) {
    if (!takes(p, S_ISLNK(st->st_mode), keep))
        return 0;
    if (unlinkat(root, name, 0) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(p->err, SB_E_IO, "removing /%s", p->path.data);
    p->out->files++;
    if (st->st_nlink == 1)
        p->out->bytes += (uint64_t)st->st_blocks * 512;
    return 0;
}

static int visit(struct pruning *p, int root, int written, const char *name, bool *keep) {
    struct stat st;
    if (fstatat(written, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(p->err, SB_E_IO, "/%s", p->path.data);
    if (S_ISDIR(st.st_mode))
        return visit_directory(p, root, written, name);
    if (!p->whole && S_ISCHR(st.st_mode) && st.st_rdev == 0)
        return 0; /* a whiteout */
    return visit_file(p, root, &st, name, keep);
}

/* Reads names first: removing while reading may hide some. Takes written over. */
static int list(int written, struct sb_strings *out, struct sb_error *err) {
    sb_autoclosedir DIR *dir = fdopendir(written);
    if (!dir) {
        close(written);
        return sb_fail_errno(err, SB_E_IO, "reading a directory of the layer");
    }
    struct dirent *e;
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            sb_strings_add(out, e->d_name);
    return 0;
}

static int walk(struct pruning *p, int root, int written, bool *out_keep) {
    if (++p->depth > DEPTH_LIMIT) {
        close(written);
        return sb_fail(p->err, SB_E_FAILED, "/%.200s…: more than %d directories deep",
                       sb_buf_text(&p->path), DEPTH_LIMIT);
    }
    sb_autostrings struct sb_strings names = {0};
    sb_autoclose int own = fcntl(written, F_DUPFD_CLOEXEC, 3);
    if (own < 0) {
        close(written);
        return sb_fail_errno(p->err, SB_E_IO, "reading /%s", sb_buf_text(&p->path));
    }
    if (list(written, &names, p->err) < 0)
        return -1;
    size_t len = p->path.len;
    for (size_t i = 0; i < names.n; i++) {
        sb_buf_addf(&p->path, "%s%s", len ? "/" : "", names.v[i]);
        if (visit(p, root, own, names.v[i], out_keep) < 0)
            return -1;
        p->path.len = len;
        p->path.data[len] = '\0';
    }
    p->depth--;
    return sb_interrupt_check(p->err);
}

/* What is named exactly so is removed, too, as exclude: leaves it out. */
static void add_pattern(struct sb_strings *patterns, const char *text) {
    sb_autofree char *written = sb_pattern_without_classes(text);
    sb_strings_add(patterns, text);
    if (written)
        sb_strings_add(patterns, written);
}

size_t sb_prune_directories(const char *pattern) {
    size_t plain = strcspn(pattern, "*?[\\"), n = 0;
    for (size_t i = 1; i < plain; i++)
        if (pattern[i] == '/')
            n = i;
    return n;
}

/* Where /lib is a link to usr/lib, "/lib/a/x" names "/usr/lib/a/x", as for a program in the root.
 * NULL when there is no link on the way. */
static char *through_links(int root, const char *pattern) {
    size_t n = sb_prune_directories(pattern);
    sb_autofree char *directory = sb_format("/%.*s", (int)n, pattern);
    sb_autofree char *clean = sb_path_clean(directory);
    bool exists;
    sb_autofree char *resolved = n ? sb_inroot_resolve(root, clean, &exists, NULL) : NULL;
    if (!resolved || !strcmp(resolved, clean))
        return NULL;
    struct sb_buf out = {0};
    for (const char *c = resolved; *c; c++)
        sb_buf_addf(&out, strchr("*?[\\", *c) ? "\\%c" : "%c", *c);
    sb_buf_adds(&out, pattern + n);
    return sb_buf_steal(&out);
}

int sb_prune_tree(const struct sb_strings *what, int root, int written, struct sb_pruned *out,
                  struct sb_error *err) {
    struct pruning p = {.out = out, .err = err};
    sb_autostrings struct sb_strings patterns = {0};
    for (size_t i = 0; i < what->n; i++) {
        const struct category *category = find_category(what->v[i]);
        bool chosen = !category;
        for (size_t k = 0; k < p.chosen_count; k++)
            chosen |= p.chosen[k] == category;
        if (!category) {
            sb_autofree char *led = through_links(root, what->v[i]);
            add_pattern(&patterns, what->v[i]);
            if (led)
                add_pattern(&patterns, led);
        } else if (!chosen)
            p.chosen[p.chosen_count++] = category;
    }
    struct stat a, b;
    if (fstat(root, &a) < 0 || fstat(written, &b) < 0)
        return sb_fail_errno(err, SB_E_IO, "the root");
    p.whole = a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    p.patterns = patterns.n ? sb_ignore_from(&patterns) : NULL;
    int top = sb_directory_open(written, ".", err);
    bool keep;
    int result = top < 0 ? -1 : walk(&p, root, top, &keep);
    sb_ignore_free(p.patterns);
    sb_buf_free(&p.path);
    return result;
}
