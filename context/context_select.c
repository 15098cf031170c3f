/*
 * What the sources of a copy step stand for: paths, or wildcards that are looked for in the context
 * as its ignore file leaves it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "context/context_private.h"
#include "document/pattern.h"

/* ---- what the ignore file leaves ---- */

enum { DEPTH_LIMIT = 256 }; /* as in context/scan.c */

static int fail_reading(const struct sb_context *c, const char *path, struct sb_error *err) {
    sb_fail_errno(err, SB_E_IO, "%s/%s", c->path, path);
    if (err && err->os_errno == EACCES)
        sb_error_hint(err, SB_UNREADABLE_HINT);
    return -1;
}

/* Opens a directory in an open one; -1 when it is none, or not there any more; -2 and err. */
static int open_below(const struct sb_context *c, int parent, const char *name, const char *path,
                      struct sb_error *err) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 || errno == ENOTDIR || errno == ELOOP || errno == ENOENT)
        return fd;
    fail_reading(c, path, err);
    return -2;
}

/* Whether something below a directory that is left out is taken back. */
static int has_below(const struct sb_context *c, int fd, const char *path, int depth,
                     struct sb_error *err) {
    struct sb_arena arena = {0};
    struct sb_names names = {0};
    int has = 0;
    if (sb_interrupt_check(err) < 0)
        has = -1;
    else if (depth > DEPTH_LIMIT)
        has = sb_fail(err, SB_E_FAILED, "%s/%s: more than %d directories deep", c->path, path,
                      DEPTH_LIMIT);
    else if (sb_names_read(fd, &names, &arena) < 0)
        has = fail_reading(c, path, err);
    for (size_t i = 0; i < names.n && has == 0; i++) {
        const char *below = sb_arena_join(&arena, path, names.v[i]);
        if (!sb_ignore_excluded(c->ignore, below, false)) {
            struct stat st;
            has = fstatat(fd, names.v[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISSOCK(st.st_mode);
        } else if (sb_ignore_may_reinclude_below(c->ignore, below)) {
            sb_autoclose int sub = open_below(c, fd, names.v[i], below, err);
            has = sub == -2 ? -1 : sub < 0 ? 0 : has_below(c, sub, below, depth + 1, err);
        }
    }
    free(names.v);
    sb_arena_free(&arena);
    return has;
}

int sb_context_has(const struct sb_context *c, const char *path, bool directory,
                   struct sb_error *err) {
    if (!c->ignore || !sb_ignore_excluded(c->ignore, path, directory))
        return 1;
    if (!directory || !sb_ignore_may_reinclude_below(c->ignore, path))
        return 0;
    sb_autoclose int fd = sb_open_beneath(c->fd, path, O_RDONLY | O_DIRECTORY, SB_BENEATH_NO_LINKS);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : fail_reading(c, path, err);
    return has_below(c, fd, path, 1, err);
}

/* ---- a path that exists as it is written ---- */

/* Nobody calls a file "*": a part of stars alone is a wildcard always. */
static bool is_stars(const char *part, size_t len) {
    return strspn(part, "*") >= len;
}

static void add_literal(struct sb_buf *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (strchr("*?[\\", text[i]))
            sb_buf_addc(out, '\\');
        sb_buf_addc(out, text[i]);
    }
}

/* The pattern with the parts at its beginning that exist below the directory made literal; NULL
 * when none with a wildcard does. *out_whole: all of it exists. */
static char *written_as(const struct sb_context *c, const char *directory, const char *pattern,
                        bool *out_whole) {
    struct sb_buf out = {0};
    bool changed = false;
    const char *part = pattern;
    *out_whole = false;
    for (;;) {
        size_t len = strcspn(part, "/"), end = (size_t)(part + len - pattern);
        sb_autofree char *name = sb_strndup(part, len);
        if (sb_pattern_has_wildcard(name)) {
            sb_autofree char *upto = sb_strndup(pattern, end);
            sb_autofree char *path = sb_path_join(directory, upto);
            sb_autoclose int fd =
                is_stars(part, len)
                    ? -1
                    : sb_open_beneath(c->fd, path, O_PATH | O_NOFOLLOW, SB_BENEATH_NO_LINKS);
            if (fd < 0)
                break;
            changed = true;
        }
        add_literal(&out, part, len);
        part += len;
        if (!*part) {
            *out_whole = true;
            break;
        }
        sb_buf_addc(&out, *part++);
    }
    sb_buf_adds(&out, part);
    if (changed)
        return sb_buf_steal(&out);
    sb_buf_free(&out);
    return NULL;
}

/* ---- wildcards ---- */

struct source {
    char *path;
    bool found; /* by a wildcard */
    bool directory;
    bool dropped; /* by include or exclude */
};

struct sources {
    struct source *v;
    size_t n, cap;
};

static void sources_free(struct sources *sources) {
    for (size_t i = 0; i < sources->n; i++)
        free(sources->v[i].path);
    free(sources->v);
}
#define autosources __attribute__((cleanup(sources_free)))

static void add_source(struct sources *sources, const char *path) {
    SB_GROW(sources->v, sources->n, sources->cap);
    sources->v[sources->n++] = (struct source){.path = sb_strdup(path)};
}

static void add_found(struct sources *sources, const char *path, bool directory) {
    add_source(sources, path);
    sources->v[sources->n - 1].found = true;
    sources->v[sources->n - 1].directory = directory;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* By their own names, then as wildcards found them. */
static int compare_names(const void *a, const void *b) {
    const struct source *x = *(const struct source *const *)a;
    const struct source *y = *(const struct source *const *)b;
    int order = strcmp(base_name(x->path), base_name(y->path));
    return order ? order : (x > y) - (x < y);
}

struct search {
    struct sb_context *context;
    const struct sb_pattern *pattern;
    struct sources *out;
    char *left_out; /* the first match that isn't part of the context */
    struct sb_error *err;
};

static int take_match(struct search *s, int fd, const char *name, const char *path) {
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail_reading(s->context, path, s->err);
    if (S_ISREG(st.st_mode) && sb_outputs_has(&s->context->outputs, &st, fd, name)) {
        if (!sb_strings_has(&s->context->left_out, path))
            sb_strings_add(&s->context->left_out, path);
        return 0;
    }
    if (S_ISSOCK(st.st_mode) || sb_same_inode(&st, &s->context->store))
        return 0;
    int has = sb_context_has(s->context, path, S_ISDIR(st.st_mode), s->err);
    if (has > 0)
        add_found(s->out, path, S_ISDIR(st.st_mode));
    else if (has == 0 && !s->left_out)
        s->left_out = sb_strdup(path);
    return has < 0 ? -1 : 0;
}

/* What is below a match is part of it. Directories that the pattern can't reach aren't opened. */
static int search_below(struct search *s, int fd, const char *path, int depth) {
    struct sb_arena arena = {0};
    struct sb_names names = {0};
    int result = sb_interrupt_check(s->err);
    if (result == 0 && depth > DEPTH_LIMIT)
        result = sb_fail(s->err, SB_E_FAILED, "%s/%s: more than %d directories deep",
                         s->context->path, path, DEPTH_LIMIT);
    if (result == 0 && sb_names_read(fd, &names, &arena) < 0)
        result = fail_reading(s->context, path, s->err);
    for (size_t i = 0; i < names.n && result == 0; i++) {
        const char *below = sb_arena_join(&arena, path, names.v[i]);
        size_t len = strlen(below);
        if (sb_pattern_match(s->pattern, below, len, false)) {
            result = take_match(s, fd, names.v[i], below);
        } else if (sb_pattern_reaches(s->pattern, below, len)) {
            sb_autoclose int sub = open_below(s->context, fd, names.v[i], below, s->err);
            struct stat st;
            if (sub == -2)
                result = -1;
            else if (sub >= 0 && fstat(sub, &st) == 0 && !sb_same_inode(&st, &s->context->store))
                result = search_below(s, sub, below, depth + 1);
        }
    }
    free(names.v);
    sb_arena_free(&arena);
    return result;
}

/* The first part of a path that is a link, before any wildcard; the caller's, or NULL. */
static char *find_link(const struct sb_context *c, const char *pattern) {
    for (const char *end = strchr(pattern, '/'); end; end = strchr(end + 1, '/')) {
        char *upto = sb_strndup(pattern, (size_t)(end - pattern));
        struct stat st;
        if (fstatat(c->fd, upto, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
            return upto;
        free(upto);
    }
    return NULL;
}

static int fail_unmatched(const struct sb_context *c, const char *source, const char *pattern,
                          const char *left_out, struct sb_error *err) {
    if (c->tree.find)
        return sb_fail(err, SB_E_NOT_FOUND, "%s/%s: nothing there matches", c->path, source);
    sb_fail(err, SB_E_NOT_FOUND, "%s: nothing in the context %s matches", source, c->path);
    sb_autofree char *link = find_link(c, pattern);
    if (left_out)
        sb_error_hint(err, "%s would, but %s leaves it out: add !%s to it", left_out,
                      c->ignore_name, left_out);
    else if (link)
        sb_error_hint(err, "%s is a symbolic link, which isn't followed: name what it leads to",
                      link);
    return -1;
}

/* In shells "!" negates a class, in this language it is a character: taken for the one where the
 * other is meant, it would copy just what was to stay. */
static bool has_shell_class(const char *pattern) {
    for (const char *p = pattern; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (p[0] == '[' && p[1] == '!')
            return true;
    }
    return false;
}

static int search(struct sb_context *c, const char *source, const char *pattern,
                  struct sources *out, struct sb_error *err) {
    const char *problem = "[! begins no negated class, [^ does";
    struct sb_pattern *compiled =
        has_shell_class(pattern) ? NULL : sb_pattern_compile(pattern, &problem);
    if (!compiled) {
        sb_fail(err, SB_E_RECIPE, "%s: malformed pattern: %s", source, problem);
        return sb_error_hint(err, "a backslash before a character takes it as it is");
    }
    struct search s = {.context = c, .pattern = compiled, .out = out, .err = err};
    size_t before = out->n;
    int result = search_below(&s, c->fd, "", 1);
    if (result == 0 && out->n == before)
        result = fail_unmatched(c, source, pattern, s.left_out, err);
    free(s.left_out);
    sb_pattern_free(compiled);
    return result;
}

static int expand(struct sb_context *c, const char *source, struct sources *out,
                  struct sb_error *err) {
    sb_autofree char *clean = sb_context_clean(c, source, err);
    if (!clean)
        return -1;
    if (!sb_pattern_has_wildcard(clean)) {
        int failed = sb_context_follow(c, source, &clean, err);
        if (!failed)
            add_source(out, clean);
        return failed;
    }
    bool whole;
    sb_autofree char *written = written_as(c, ".", clean, &whole);
    struct stat st;
    if (whole && fstatat(c->fd, clean, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        int has = sb_context_has(c, clean, S_ISDIR(st.st_mode), err);
        if (has > 0)
            add_source(out, clean);
        if (has != 0)
            return has < 0 ? -1 : 0;
    }
    return search(c, source, written ? written : clean, out, err);
}

/* ---- include and exclude ---- */

/* A pattern that lets something in means just what is written, where that exists; one that leaves
 * something out means that too. */
static void add_pattern(const struct sb_context *c, const char *source, const char *text,
                        bool lets_in, struct sb_strings *out) {
    const char *bare = text + strspn(text, " \t\r\n");
    bool takes_back = *bare == '!', whole;
    sb_autofree char *clean = sb_path_clean(bare + takes_back + strspn(bare + takes_back, " \t"));
    const char *anchored = clean + (*clean == '/');
    bool narrow = lets_in != takes_back;
    sb_autofree char *written = !strchr(clean, '[') ? NULL
                                : narrow            ? written_as(c, source, anchored, &whole)
                                                    : sb_pattern_without_classes(anchored);
    if (!written || !narrow)
        sb_strings_add(out, text);
    if (written)
        sb_strings_addf(out, "%s%s", takes_back ? "!" : "", written);
}

static struct sb_ignore *compile(const struct sb_context *c, const char *source,
                                 const struct sb_strings *patterns, bool lets_in) {
    if (!patterns || patterns->n == 0)
        return NULL;
    sb_autostrings struct sb_strings list = {0};
    for (size_t i = 0; i < patterns->n; i++)
        add_pattern(c, source, patterns->v[i], lets_in, &list);
    return sb_ignore_from(&list);
}

/* Both are relative to each source; only patterns with a class can differ between two. */
struct filter {
    const struct sb_context *context;
    const struct sb_selection *selection;
    struct sb_ignore *include, *exclude;
    bool same;
};

static bool has_class(const struct sb_strings *patterns) {
    for (size_t i = 0; patterns && i < patterns->n; i++)
        if (strchr(patterns->v[i], '['))
            return true;
    return false;
}

static void filter_free(struct filter *f) {
    sb_ignore_free(f->include);
    sb_ignore_free(f->exclude);
    f->include = f->exclude = NULL;
}
#define autofilter __attribute__((cleanup(filter_free)))

static void filter_for(struct filter *f, const char *source) {
    if (f->same)
        return;
    const struct sb_selection *s = f->selection;
    filter_free(f);
    f->include = compile(f->context, source, s->include, true);
    f->exclude = compile(f->context, source, s->exclude, false);
    f->same = !has_class(s->include) && !has_class(s->exclude);
}

/* Of a file that a wildcard found. */
static bool is_dropped(const struct filter *f, const char *path) {
    const char *name = base_name(path);
    return (f->exclude && sb_ignore_excluded(f->exclude, name, false)) ||
           (f->include && !sb_ignore_excluded(f->include, name, false));
}

/* ---- all sources of a step ---- */

void sb_input_lists_free(struct sb_input_lists *lists) {
    for (size_t i = 0; i < lists->n; i++)
        sb_input_list_free(&lists->v[i]);
    free(lists->v);
    *lists = (struct sb_input_lists){0};
}

static void warn(const struct sb_context *c, const struct sb_selection *selection,
                 const struct sb_telltale *told) {
    sb_autofree char *key = sb_telltale_text(told, NULL, c->path, c->ignore_name);
    sb_autofree char *text = sb_telltale_text(told, selection->place, c->path, c->ignore_name);
    if (text && c->listener.warn)
        c->listener.warn(c->listener.data, key, text);
}

/* Of two files of one name that wildcards found, only the later gets anywhere. */
static void warn_same_names(const struct sb_context *c, const struct sb_selection *selection,
                            const struct sources *sources) {
    sb_autofree const struct source **files = sb_alloc((sources->n + 1) * sizeof *files);
    size_t n = 0;
    for (size_t i = 0; i < sources->n; i++)
        if (sources->v[i].found && !sources->v[i].directory && !sources->v[i].dropped)
            files[n++] = &sources->v[i];
    if (n > 1)
        qsort(files, n, sizeof *files, compare_names);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(base_name(files[i - 1]->path), base_name(files[i]->path)) != 0)
            continue;
        sb_autofree char *text = sb_format(
            "%s%s%s and %s have one name, and only the later is copied; to keep their directories, "
            "name one above them in from:, and the pattern in include:",
            selection->place ? selection->place : "", selection->place ? ": " : "",
            files[i - 1]->path, files[i]->path);
        if (c->listener.warn)
            c->listener.warn(c->listener.data, text, text);
        return;
    }
}

/* A file may be none of those that are meant; an empty directory alone never is. */
static void warn_nothing(const struct sb_context *c, const struct sb_selection *selection,
                         const struct sb_input_lists *lists) {
    if (!c->listener.warn || !selection->include || selection->include->n == 0)
        return;
    for (size_t i = 0; i < lists->n; i++)
        if (lists->v[i].n != 1 || !S_ISDIR(lists->v[i].v[0].mode))
            return;
    sb_autofree char *text = sb_format(
        "%s%snothing in %s%s matches include:, or exclude: and %s leave it out: an empty directory "
        "is copied",
        selection->place ? selection->place : "", selection->place ? ": " : "",
        selection->from->v[0], selection->from->n > 1 ? " and the other sources" : "",
        c->ignore_name);
    c->listener.warn(c->listener.data, text, text);
}

/* Of a source that a wildcard found; named holds the sources as the recipe writes them. */
static void note(const struct sb_input_list *list, const struct sb_ignore *named,
                 struct sb_telltale *told) {
    const struct sb_input *source = &list->v[0];
    if (S_ISDIR(source->mode) && list->n == 1)
        return;
    if (sb_telltale_is(source->path, source->mode) &&
        !sb_ignore_mentions(named, base_name(source->path), false))
        sb_telltale_add(told, source->path);
}

static int fail_dropped(const struct sb_selection *selection, struct sb_error *err) {
    sb_fail(err, SB_E_NOT_FOUND, "%s: include and exclude leave nothing of it",
            selection->from->v[0]);
    return sb_error_hint(err, "they are held against the names of files that a wildcard finds");
}

/* Whether the path leads into what would be told of: no more is said of what is in it. */
static bool leads_into_told(const char *path) {
    for (const char *end = path; *end; end += *end == '/') {
        end += strcspn(end, "/");
        sb_autofree char *upto = sb_strndup(path, (size_t)(end - path));
        if (sb_telltale_is(upto, S_IFDIR))
            return true;
    }
    return false;
}

static int take(struct sb_context *c, struct source *source, struct filter *filter,
                struct sb_telltale *told, bool check, struct sb_input_lists *out,
                struct sb_error *err) {
    filter_for(filter, source->path);
    source->dropped = source->found && !source->directory && is_dropped(filter, source->path);
    if (source->dropped)
        return 0;
    const struct sb_scan how = {.include = filter->include,
                                .exclude = filter->exclude,
                                .check = check,
                                .told =
                                    c->tree.find || leads_into_told(source->path) ? NULL : told};
    struct sb_input_list list = {0};
    if (sb_context_take(c, source->path, &how, &list, err) < 0) {
        sb_input_list_free(&list);
        return -1;
    }
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n++] = list;
    return 0;
}

static int find(struct sb_context *c, const struct sb_selection *selection, struct sources *out,
                struct sb_error *err) {
    for (size_t i = 0; i < selection->from->n; i++)
        if (expand(c, selection->from->v[i], out, err) < 0)
            return -1;
    return 0;
}

static int select_all(struct sb_context *c, const struct sb_selection *selection, bool check,
                      struct sb_input_lists *out, struct sb_error *err) {
    autosources struct sources sources = {0};
    autofilter struct filter filter = {.context = c, .selection = selection};
    struct sb_telltale told = SB_TELLTALE_START;
    struct sb_ignore *named = sb_ignore_from(selection->from);
    int result = find(c, selection, &sources, err);
    for (size_t i = 0; i < sources.n && result == 0; i++) {
        size_t before = out->n;
        result = take(c, &sources.v[i], &filter, &told, check, out, err);
        if (result == 0 && sources.v[i].found && out->n > before && !c->tree.find)
            note(&out->v[before], named, &told);
    }
    if (result == 0 && out->n == 0)
        result = fail_dropped(selection, err);
    if (result == 0) {
        warn(c, selection, &told);
        warn_same_names(c, selection, &sources);
        warn_nothing(c, selection, out);
    }
    sb_ignore_free(named);
    sb_telltale_free(&told);
    return result;
}

int sb_context_select(struct sb_context *context, const struct sb_selection *selection,
                      struct sb_input_lists *out, struct sb_error *err) {
    return select_all(context, selection, false, out, err);
}

/* That each source is there, and no more than that. */
static int check_there(struct sb_context *c, const struct sb_selection *selection,
                       struct sb_error *err) {
    autosources struct sources sources = {0};
    int result = find(c, selection, &sources, err);
    for (size_t i = 0; i < sources.n && result == 0; i++) {
        const struct sb_scan how = {.check = true, .alone = true};
        struct sb_input_list list = {0};
        if (!sources.v[i].found)
            result = sb_context_take(c, sources.v[i].path, &how, &list, err);
        sb_input_list_free(&list);
    }
    return result;
}

int sb_context_check(struct sb_context *context, const struct sb_selection *selection, bool deep,
                     struct sb_error *err) {
    if (!deep)
        return check_there(context, selection, err);
    struct sb_input_lists lists = {0};
    int result = select_all(context, selection, true, &lists, err);
    sb_input_lists_free(&lists);
    return result;
}
