#include "deploy/host/envfile.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#define VALUE_LIMIT (128u << 10) /* Linux' own, of one variable */

struct reading {
    const char *path, *at, *end;
    unsigned line;
    struct sb_error *err;
};

static int refuse(const struct reading *r, unsigned line, const char *what, const char *hint) {
    sb_fail(r->err, SB_E_FAILED, "%s:%u: %s", r->path, line, what);
    return sb_error_hint(r->err, "%s", hint);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool ends_line(const struct reading *r, const char *p) {
    return p == r->end || *p == '\n' || (*p == '\r' && (p + 1 == r->end || p[1] == '\n'));
}

static void skip_blanks(struct reading *r) {
    while (r->at < r->end && is_blank(*r->at))
        r->at++;
}

static void skip_line(struct reading *r) {
    while (r->at < r->end && *r->at != '\n')
        r->at++;
    if (r->at < r->end) {
        r->at++;
        r->line++;
    }
}

/* ---- what all of it must be ---- */

static int check_bytes(struct reading *r, const char *text, size_t len) {
    unsigned line = 1;
    if (len >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3))
        return refuse(r, 1, "begins with a byte order mark, which would be part of the first name",
                      "save it as UTF-8 without one");
    for (const char *p = text; p < text + len; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '\n')
            line++;
        else if ((c < ' ' && c != '\t' && !(c == '\r' && ends_line(r, p))) || c == 0x7f)
            return refuse(r, line,
                          "has a control character, for which systemd leaves the variable out",
                          "write it without, or put the value into a secret");
    }
    line = 1;
    for (const char *p = text; p < text + len; line++) {
        const char *newline = memchr(p, '\n', (size_t)(text + len - p));
        size_t n = (size_t)((newline ? newline : text + len) - p);
        sb_autofree char *one = sb_strndup(p, n);
        if (!sb_text_is_for_units(one))
            return refuse(
                r, line,
                "is not UTF-8, or has a character such as U+FFFE: systemd would not read the "
                "file at all",
                "save it as UTF-8, or put the value into a secret");
        p += n + 1;
    }
    return 0;
}

/* ---- values ---- */

/* In quotes, over several lines too. */
static int read_quoted(struct reading *r) {
    char quote = *r->at++;
    unsigned began = r->line;
    for (; r->at < r->end && *r->at != quote; r->at++) {
        if (*r->at == '\r')
            return refuse(r, r->line, "has a line that ends in CR LF in quotes",
                          "save it with lines that end in LF");
        if (*r->at == '\n')
            r->line++;
        if (quote == '"' && *r->at == '\\') {
            if (r->at + 1 < r->end && !strchr("\"\\$`", r->at[1]))
                return refuse(r, r->line,
                              "has a \\ in \"…\" that a shell, docker and systemd don't read alike",
                              "write the value in single quotes, as it is to be, or \\\\ for a \\");
            r->at++;
        }
    }
    if (r->at >= r->end)
        return refuse(r, began, "has a quote that is not closed",
                      "close it; one that is meant stands in quotes of the other kind");
    r->at++;
    skip_blanks(r);
    if (!ends_line(r, r->at))
        return refuse(r, r->line, "goes on behind the closing quote",
                      "put all of the value into the quotes, and comments on lines of their own");
    return 0;
}

static int read_bare(struct reading *r) {
    for (const char *p = r->at; !ends_line(r, p); p++) {
        if (*p == '\\')
            return refuse(r, r->line, "has a \\ that systemd would take out of the value",
                          "write the value in single quotes: NAME='a\\b'");
        if (*p == '#' && p > r->at && is_blank(p[-1]))
            return refuse(r, r->line, "has a # behind a blank, which would be part of the value",
                          "put comments on lines of their own; what is meant stands in quotes");
    }
    return 0;
}

static int read_value(struct reading *r) {
    const char *start = r->at;
    skip_blanks(r);
    bool quoted = r->at < r->end && (*r->at == '"' || *r->at == '\'');
    int rc = quoted ? read_quoted(r) : read_bare(r);
    if (rc == 0 && !quoted)
        while (!ends_line(r, r->at))
            r->at++;
    if (rc == 0 && r->at - start > VALUE_LIMIT)
        return refuse(r, r->line, "is longer than a variable can be", "shorten it");
    return rc;
}

/* ---- lines ---- */

static int read_variable(struct reading *r) {
    const char *name = r->at, *p = name;
    if (!strncmp(name, "export", 6) && r->end - name > 6 && is_blank(name[6]))
        return refuse(r, r->line, "begins with export: systemd would leave the variable out",
                      "write NAME=VALUE alone");
    while (p < r->end && *p != '=' && *p != '\n')
        p++;
    if (p == r->end || *p != '=')
        return refuse(r, r->line, "has no =: systemd would leave it out",
                      "write NAME=VALUE; begin a comment with #");
    const char *end = p;
    while (end > name && is_blank(end[-1]))
        end--;
    if (end == name || isdigit((unsigned char)*name))
        return refuse(r, r->line, "does not begin with the name of a variable", "write NAME=VALUE");
    for (const char *c = name; c < end; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return refuse(
                r, r->line,
                "has a name that systemd would leave out: names have letters, digits and _",
                "write NAME=VALUE");
    r->at = p + 1;
    return read_value(r);
}

int sb_envfile_check_text(const char *path, const char *text, size_t len, struct sb_error *err) {
    struct reading r = {.path = path, .at = text, .end = text + len, .line = 1, .err = err};
    if (check_bytes(&r, text, len) < 0)
        return -1;
    while (r.at < r.end) {
        skip_blanks(&r);
        bool nothing = ends_line(&r, r.at) || *r.at == '#' || *r.at == ';';
        /* systemd goes on with a comment behind a \ at its end. */
        if (nothing && !ends_line(&r, r.at)) {
            const char *newline = memchr(r.at, '\n', (size_t)(r.end - r.at));
            if (newline && newline[-1] == '\\')
                return refuse(&r, r.line,
                              "is a comment that ends in \\: the next line would be one",
                              "leave out the \\");
        }
        if (!nothing && read_variable(&r) < 0)
            return -1;
        skip_line(&r);
    }
    return 0;
}

int sb_envfile_check(const char *path, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    if (sb_file_read(AT_FDCWD, path, SB_ENVFILE_LIMIT, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        sb_fail(err, SB_E_FAILED, "variables for the service can't be read: %.800s", own.message);
        return -1;
    }
    return sb_envfile_check_text(path, sb_buf_text(&text), text.len, err);
}
