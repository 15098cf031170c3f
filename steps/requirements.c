#include "steps/requirements.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/ignore.h"

#define BLANKS " \t\f\v"

enum { DEPTH_LIMIT = 32, NAME_LIMIT = 10000 };

struct reading {
    const struct sb_context *context;
    struct sb_requirements *out;
    const char *chain[DEPTH_LIMIT]; /* files that include one another, the first first */
    int depth;
    const char *file; /* being read, in the context; NULL: the recipe */
    int line;
    struct sb_error *err;
};

/* ---- mistakes ---- */

static int fail(struct reading *r, enum sb_error_code code, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int fail(struct reading *r, enum sb_error_code code, const char *hint, const char *fmt,
                ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (r->file)
        sb_fail(r->err, code, "%s/%s:%d: %s", sb_context_path(r->context), r->file, r->line, text);
    else
        sb_fail(r->err, code, "%s", text);
    return hint ? sb_error_hint(r->err, "%s", hint) : -1;
}

/* ---- paths ---- */

/* Relative to directory (NULL: the context), clean; NULL and an error when it leads out. */
static char *place(struct reading *r, const char *directory, const char *path) {
    sb_autofree char *joined = directory ? sb_path_join(directory, path) : sb_strdup(path);
    sb_autofree char *clean = sb_path_clean(joined);
    if (strstr(path, "${")) {
        fail(r, SB_E_RECIPE, "write the path itself: it has to be known before the step runs",
             "%s: a path with an environment variable", path);
        return NULL;
    }
    if (!strcmp(clean, "..") || !strncmp(clean, "../", 3)) {
        fail(r, SB_E_RECIPE, "move context: up, so that it lies beneath",
             "%s lies outside the context %s", path, sb_context_path(r->context));
        return NULL;
    }
    return sb_steal(clean);
}

/* The type of what is there; 0 when nothing is; -1 and an error. */
static int type_of(struct reading *r, const char *path) {
    struct stat st;
    sb_autoclose int fd =
        sb_open_beneath(sb_context_fd(r->context), path, O_PATH, SB_BENEATH_NO_LINKS);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 && errno == ELOOP)
        return fail(r, SB_E_RECIPE, "name what the link leads to",
                    "%s: pip's files may not be reached through symbolic links", path);
    if (fd < 0 || fstat(fd, &st) < 0)
        return sb_fail_errno(r->err, SB_E_IO, "%s/%s", sb_context_path(r->context), path);
    return (int)(st.st_mode & S_IFMT);
}

static int fail_missing(struct reading *r, const char *said, const char *path) {
    return fail(r, SB_E_NOT_FOUND, NULL, "%s: there is no %s in the context %s", said, path,
                sb_context_path(r->context));
}

static int add(struct reading *r, struct sb_strings *list, const char *path) {
    const struct sb_requirements *all = r->out;
    if (sb_strings_has(list, path))
        return 0;
    if (all->files.n + all->projects.n + all->archives.n + all->links.n >= NAME_LIMIT)
        return fail(r, SB_E_RECIPE, NULL, "more than %d files and directories are named",
                    NAME_LIMIT);
    sb_strings_add(list, path);
    return 0;
}

/* ---- one name ---- */

static bool is_url(const char *text) {
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
    return n > 1 && !strncmp(text + n, "://", 3);
}

static bool is_archive(const char *path) {
    static const char *const ends[] = {".whl", ".zip",     ".tar.gz", ".tgz",
                                       ".tar", ".tar.bz2", ".tbz",    ".txz",
                                       ".tlz", ".tar.xz",  ".tar.lz", ".tar.lzma"};
    size_t n = strlen(path);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n > strlen(ends[i]) && !strcasecmp(path + n - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

char *sb_requirements_without_extras(const char *path) {
    size_t n = strlen(path);
    const char *open = n && path[n - 1] == ']' ? strrchr(path, '[') : NULL;
    return open && open > path ? sb_strndup(path, (size_t)(open - path)) : sb_strdup(path);
}

/* A project or an archive, relative to the context. must: it can be nothing else. */
static int add_local(struct reading *r, const char *said, bool must) {
    sb_autofree char *bare = sb_requirements_without_extras(said);
    if (bare[0] == '/')
        return 0; /* of the image */
    sb_autofree char *path = place(r, NULL, bare);
    int type = path ? type_of(r, path) : -1;
    if (type < 0)
        return -1;
    if (type == S_IFDIR)
        return add(r, &r->out->projects, path);
    if (type == S_IFREG)
        return add(r, &r->out->archives, path);
    return must ? fail_missing(r, said, path) : 0;
}

static int hex(char c) {
    const char *digits = "0123456789abcdef", *at = strchr(digits, tolower((unsigned char)c));
    return c && at ? (int)(at - digits) : -1;
}

/* What follows "file:", as far as it is a path: NULL for one of the image, or of another host. */
static char *path_of_url(const char *rest) {
    if (!strncmp(rest, "//", 2))
        return NULL; /* file:///a, file://host/a: absolute */
    struct sb_buf out = {0};
    for (; *rest && !strchr("#?", *rest); rest++) {
        int high = *rest == '%' ? hex(rest[1]) : -1, low = high >= 0 ? hex(rest[2]) : -1;
        sb_buf_addc(&out, low >= 0 ? (char)(high << 4 | low) : *rest);
        rest += low >= 0 ? 2 : 0;
    }
    return sb_buf_steal(&out);
}

static int add_reference(struct reading *r, const char *said, bool must) {
    if (!strncasecmp(said, "file:", 5)) {
        sb_autofree char *path = path_of_url(said + 5);
        return path && *path ? add_local(r, path, true) : 0;
    }
    if (is_url(said))
        return 0;
    return add_local(r, said, must);
}

/* "name[extra] @ URL": where the URL begins; NULL when it is none. */
static const char *after_at(const char *text) {
    const char *p = text;
    while (isalnum((unsigned char)*p) || (*p && strchr("._-", *p)))
        p++;
    p += strspn(p, BLANKS);
    if (*p == '[')
        p += strcspn(p, "]") + (strchr(p, ']') != NULL);
    p += strspn(p, BLANKS);
    if (p == text || *p != '@')
        return NULL;
    return p + 1 + strspn(p + 1, BLANKS);
}

static void trim_end(char *text) {
    size_t n = strlen(text);
    while (n > 0 && strchr(BLANKS, text[n - 1]))
        text[--n] = '\0';
}

/* A requirement specifier, maybe with markers behind a semicolon. */
static int add_requirement(struct reading *r, const char *text) {
    const char *at = after_at(text), *said = at ? at : text;
    bool url = is_url(said) || !strncasecmp(said, "file:", 5);
    const char *marker = url ? strstr(said, " ;") : strchr(said, ';');
    sb_autofree char *name = marker ? sb_strndup(said, (size_t)(marker - said)) : sb_strdup(said);
    trim_end(name);
    if (url)
        return add_reference(r, name, true);
    if (at)
        return 0; /* pip refuses it */
    sb_autofree char *bare = sb_requirements_without_extras(name);
    bool path = *bare == '.' || strchr(bare, '/');
    return path || is_archive(bare) ? add_local(r, name, path) : 0;
}

static int add_file(struct reading *r, const char *said, const char *path);

/* -r and -c: relative to the file that says it. */
static int add_nested(struct reading *r, const char *said) {
    if (is_url(said) || !strncasecmp(said, "file:", 5) || *said == '/')
        return 0;
    sb_autofree char *directory = sb_path_dirname(r->file);
    sb_autofree char *path = place(r, directory, said);
    return path ? add_file(r, said, path) : -1;
}

/* Relative to the file, if it is there, or else to the context. */
static int add_links(struct reading *r, const char *said) {
    if (is_url(said) || !strncasecmp(said, "file:", 5) || *said == '/')
        return 0;
    sb_autofree char *directory = sb_path_dirname(r->file);
    sb_autofree char *joined = sb_path_join(directory, said);
    sb_autofree char *beside = sb_path_clean(joined);
    bool outside = !strcmp(beside, "..") || !strncmp(beside, "../", 3);
    int type = outside ? 0 : type_of(r, beside);
    if (type != 0)
        return type < 0 ? -1 : add(r, &r->out->links, beside);
    sb_autofree char *path = place(r, NULL, said);
    type = path ? type_of(r, path) : -1;
    if (type == 0)
        return fail_missing(r, said, path);
    return type < 0 ? -1 : add(r, &r->out->links, path);
}

/* ---- one line ---- */

/* Takes the next word off, as a shell would; false at the end. */
static bool next_word(const char **text, struct sb_buf *out) {
    const char *p = *text + strspn(*text, BLANKS);
    sb_buf_reset(out);
    sb_buf_reserve(out, 1);
    out->data[0] = '\0';
    if (!*p)
        return false;
    for (char quote = 0; *p && (quote || !strchr(BLANKS, *p)); p++) {
        if (quote ? *p == quote : *p == '"' || *p == '\'')
            quote = quote ? 0 : *p;
        else if (*p == '\\' && quote != '\'' && p[1])
            sb_buf_addc(out, *++p);
        else
            sb_buf_addc(out, *p);
    }
    *text = p;
    return true;
}

/* The value when the word is that option, be it the next word; NULL when it is another. */
static char *option_value(const char *word, const char *letter, const char *name,
                          const char **rest) {
    size_t n = strlen(name);
    if (!strcmp(word, letter) || !strcmp(word, name)) {
        struct sb_buf value = {0};
        next_word(rest, &value);
        return sb_buf_steal(&value);
    }
    if (!strncmp(word, name, n) && word[n] == '=')
        return sb_strdup(word + n + 1);
    if (!strncmp(word, letter, 2) && word[1] != '-')
        return sb_strdup(word + 2);
    return NULL;
}

static int add_editable(struct reading *r, const char *said) {
    return add_reference(r, said, true);
}

static int read_option(struct reading *r, const char *word, const char **rest) {
    static const struct {
        const char *letter, *name;
        int (*add)(struct reading *r, const char *said);
    } options[] = {{"-r", "--requirement", add_nested},
                   {"-c", "--constraint", add_nested},
                   {"-e", "--editable", add_editable},
                   {"-f", "--find-links", add_links}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        sb_autofree char *value = option_value(word, options[i].letter, options[i].name, rest);
        if (value)
            return *value ? options[i].add(r, value) : 0;
    }
    return 0;
}

/* A requirement, and then options; or options alone. */
static int read_line(struct reading *r, const char *text) {
    sb_autobuf struct sb_buf word = {0};
    const char *options = text;
    while (*options && *options != '-') {
        options += strcspn(options, BLANKS);
        options += strspn(options, BLANKS);
    }
    sb_autofree char *requirement = sb_strndup(text, (size_t)(options - text));
    trim_end(requirement);
    if (*requirement && add_requirement(r, requirement) < 0)
        return -1;
    while (next_word(&options, &word))
        if (read_option(r, word.data, &options) < 0)
            return -1;
    return 0;
}

/* ---- files ---- */

static bool is_comment(const char *line) {
    return line[strspn(line, BLANKS)] == '#';
}

/* A comment begins at the start, or after a blank. */
static void drop_comment(char *line) {
    for (char *p = line; (p = strchr(p, '#')); p++)
        if (p == line || strchr(BLANKS, p[-1])) {
            *p = '\0';
            break;
        }
    trim_end(line);
}

static int read_whole(struct reading *r, struct sb_buf *line) {
    sb_buf_reserve(line, 1);
    line->data[line->len] = '\0';
    drop_comment(line->data);
    int failed = read_line(r, line->data + strspn(line->data, BLANKS));
    sb_buf_reset(line);
    return failed;
}

/* Joins lines that end in a backslash; a comment ends what goes on. */
static int read_text(struct reading *r, char *text) {
    sb_autobuf struct sb_buf whole = {0};
    int number = 0, first = 0;
    for (char *line; (line = strsep(&text, "\n"));) {
        number++;
        line[strcspn(line, "\r")] = '\0';
        size_t n = strlen(line);
        bool goes_on = n > 0 && line[n - 1] == '\\' && !is_comment(line);
        while (goes_on && n > 0 && line[n - 1] == '\\')
            line[--n] = '\0';
        first = first ? first : number;
        sb_buf_addf(&whole, "%s%s", is_comment(line) ? " " : "", line);
        if (goes_on && text)
            continue;
        r->line = first;
        first = 0;
        if (read_whole(r, &whole) < 0)
            return -1;
    }
    return 0;
}

static int read_file(struct reading *r, const char *path) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_beneath_read(sb_context_fd(r->context), path, SB_BENEATH_NO_LINKS,
                        SB_REQUIREMENTS_SIZE_LIMIT, &text, r->err) < 0)
        return sb_error_context(r->err, "%s", sb_context_path(r->context));
    struct reading inner = *r;
    inner.file = path;
    inner.line = 0;
    inner.chain[inner.depth++] = path;
    sb_buf_reserve(&text, 1);
    text.data[text.len] = '\0';
    bool mark = text.len >= 3 && !memcmp(text.data, "\xEF\xBB\xBF", 3);
    return read_text(&inner, text.data + (mark ? 3 : 0));
}

static int add_file(struct reading *r, const char *said, const char *path) {
    for (int i = 0; i < r->depth; i++)
        if (!strcmp(r->chain[i], path))
            return fail(r, SB_E_RECIPE, NULL, "%s includes itself", path);
    if (sb_strings_has(&r->out->files, path))
        return 0;
    if (r->depth == DEPTH_LIMIT)
        return fail(r, SB_E_RECIPE, NULL, "%s: files that include one another more than %d deep",
                    said, DEPTH_LIMIT);
    int type = type_of(r, path);
    if (type < 0)
        return -1;
    if (type == 0)
        return fail_missing(r, said, path);
    if (type != S_IFREG)
        return fail(r, SB_E_RECIPE, NULL, "%s: not a file", said);
    if (add(r, &r->out->files, path) < 0)
        return -1;
    return read_file(r, path);
}

/* ---- a step ---- */

static int read_files(struct reading *r, const struct sb_strings *files) {
    for (size_t i = 0; i < files->n; i++) {
        sb_autofree char *path = place(r, NULL, files->v[i]);
        if (!path || add_file(r, files->v[i], path) < 0)
            return -1;
    }
    return 0;
}

int sb_requirements_read(const struct sb_pip *pip, const struct sb_context *context,
                         struct sb_requirements *out, struct sb_error *err) {
    struct reading r = {.context = context, .out = out, .err = err};
    if (read_files(&r, &pip->requirements) < 0 || read_files(&r, &pip->constraints) < 0)
        return -1;
    for (size_t i = 0; i < pip->projects.n; i++)
        if (add_local(&r, pip->projects.v[i], true) < 0)
            return -1;
    if (!pip->find_links)
        return 0;
    sb_autofree char *links = place(&r, NULL, pip->find_links);
    int type = links ? type_of(&r, links) : -1;
    if (type == 0)
        return fail_missing(&r, pip->find_links, links);
    return type < 0 ? -1 : add(&r, &out->links, links);
}

void sb_requirements_free(struct sb_requirements *requirements) {
    sb_strings_free(&requirements->files);
    sb_strings_free(&requirements->projects);
    sb_strings_free(&requirements->archives);
    sb_strings_free(&requirements->links);
}

/* One path; exclude is NULL for what isn't a project. */
typedef int visit_path(void *self, const char *path, const struct sb_ignore *exclude,
                       struct sb_error *err);

static int visit(const struct sb_requirements *requirements, visit_path *one, void *self,
                 struct sb_error *err) {
    static const char *const left[] = {".git",          ".hg",   ".svn", "**/__pycache__",
                                       "**/*.egg-info", ".venv", ".tox", ".nox"};
    const struct sb_strings *plain[] = {&requirements->files, &requirements->archives,
                                        &requirements->links};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        for (size_t j = 0; j < plain[i]->n; j++)
            if (one(self, plain[i]->v[j], NULL, err) < 0)
                return -1;
    sb_autostrings struct sb_strings patterns = {0};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        sb_strings_add(&patterns, left[i]);
    struct sb_ignore *exclude = sb_ignore_from(&patterns);
    int failed = 0;
    for (size_t i = 0; i < requirements->projects.n && !failed; i++)
        failed = one(self, requirements->projects.v[i], exclude, err);
    sb_ignore_free(exclude);
    return failed;
}

struct visitor {
    struct sb_context *context;
    struct sb_input_list *out;
    bool deep;
};

static int scan_one(void *self, const char *path, const struct sb_ignore *exclude,
                    struct sb_error *err) {
    const struct visitor *v = self;
    return sb_context_scan(v->context, path, exclude, v->out, err);
}

static int check_one(void *self, const char *path, const struct sb_ignore *exclude,
                     struct sb_error *err) {
    const struct visitor *v = self;
    return sb_context_check_path(v->context, path, exclude, v->deep, err);
}

int sb_requirements_scan(const struct sb_requirements *requirements, struct sb_context *context,
                         struct sb_input_list *out, struct sb_error *err) {
    struct visitor v = {.context = context, .out = out};
    return visit(requirements, scan_one, &v, err);
}

int sb_requirements_look(const struct sb_requirements *requirements, struct sb_context *context,
                         bool deep, struct sb_error *err) {
    struct visitor v = {.context = context, .deep = deep};
    return visit(requirements, check_one, &v, err);
}

/* ---- editable ---- */

/* Where the value of -e begins in a line; NULL when it has none. */
static char *editable_value(char *line) {
    line += strspn(line, BLANKS);
    char *value = !strncmp(line, "--editable", 10) ? line + 10
                  : !strncmp(line, "-e", 2)        ? line + 2
                                                   : NULL;
    if (!value || (line[1] == '-' && !strchr(BLANKS "=", *value)))
        return NULL;
    value += *value == '=' && line[1] == '-';
    return value + strspn(value, BLANKS);
}

void sb_requirements_unlink(char *text) {
    for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char *end = line + strcspn(line, "\n"), kept = *end;
        *end = '\0';
        char *value = editable_value(line);
        bool url = value && (!strncasecmp(value, "file:", 5) || is_url(value));
        if (value && *value && *value != '/' && !(url && strncasecmp(value, "file:", 5) != 0)) {
            char *start = line + strspn(line, BLANKS);
            memset(start, ' ', (size_t)(value - start));
            if (!url && !strchr("\"'", *value)) /* "pkg" alone would be a name */
                memcpy(value - 2, "./", 2);
        }
        *end = kept;
    }
}
