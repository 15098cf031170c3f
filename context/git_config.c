#include "context/git_config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

enum { CONFIG_LIMIT = 1 << 20 };

/* What can decide whether a file differs from what git has of it, and can do nothing else; and how
 * names are shortened. A key that names a program or a path is none of these. */
static const char *const harmless[] = {"core.abbrev",
                                       "core.autocrlf",
                                       "core.checkroundtripencoding",
                                       "core.checkstat",
                                       "core.eol",
                                       "core.filemode",
                                       "core.ignorecase",
                                       "core.precomposeunicode",
                                       "core.sparsecheckout",
                                       "core.symlinks",
                                       "core.trustctime",
                                       "core.sparsecheckoutcone",
                                       "extensions.objectformat",
                                       "extensions.refstorage",
                                       NULL};

static bool is_harmless(const char *key, const char *value) {
    size_t i = 0;
    while (harmless[i] && strcmp(harmless[i], key) != 0)
        i++;
    size_t n = 0;
    while (isalnum((unsigned char)value[n]) || value[n] == '-' || value[n] == '_')
        n++;
    return harmless[i] && !value[n] && n <= 32;
}

/* "key\nvalue\0" each; a key alone is true. */
void sb_git_config_read(const struct sb_buf *list, sb_git_config_visit *visit, void *data) {
    const char *p = sb_buf_text(list), *end = p + list->len;
    while (p < end) {
        size_t n = strnlen(p, (size_t)(end - p));
        const char *newline = memchr(p, '\n', n);
        sb_autofree char *key = sb_strndup(p, newline ? (size_t)(newline - p) : n);
        sb_autofree char *value =
            newline ? sb_strndup(newline + 1, (size_t)(p + n - newline - 1)) : sb_strdup("true");
        visit(data, key, value);
        p += n + 1;
    }
}

void sb_git_config_add(void *data, const char *key, const char *value) {
    const char *dot = strrchr(key, '.');
    if (is_harmless(key, value))
        sb_buf_addf(data, "[%.*s]\n\t%s = %s\n", (int)(dot - key), key, dot + 1, value);
}

/* Beyond those of a checkout: where this user has attributes for all. */
void sb_git_config_add_own(void *data, const char *key, const char *value) {
    if (strcmp(key, "core.attributesfile") != 0) {
        if (strncmp(key, "extensions.", 11) != 0)
            sb_git_config_add(data, key, value);
        return;
    }
    sb_buf_adds(data, "[core]\n\tattributesFile = \"");
    for (; *value; value++)
        if (*value == '"' || *value == '\\')
            sb_buf_addf(data, "\\%c", *value);
        else if ((unsigned char)*value >= ' ')
            sb_buf_addc(data, *value);
    sb_buf_adds(data, "\"\n");
}

/* ---- whether there is any ---- */

static bool has_word(const char *line, const char *word) {
    return strcasestr(line, word) != NULL;
}

/* By the last part of each key's name, wherever it stands in the line. */
static bool line_matters(const char *line) {
    char text[32] = "";
    const char *start = line + strspn(line, " \t");
    size_t n = strcspn(start, "\r");
    if (n < sizeof text)
        memcpy(text, start, n);
    if (!strcasecmp(text, "filemode = true")) /* as git init writes it */
        return false;
    for (size_t i = 0; harmless[i]; i++)
        if (has_word(line, strchr(harmless[i], '.') + 1))
            return true;
    return false;
}

bool sb_git_config_matters(const char *text) {
    sb_autofree char *copy = sb_strdup(text);
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (line_matters(line))
            return true;
    return false;
}

static bool is_plain_file(const char *path, bool stranger) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error why = {0};
    if (sb_file_read(AT_FDCWD, path, CONFIG_LIMIT, &text, &why) < 0)
        return why.code == SB_E_NOT_FOUND;
    const char *p = sb_buf_text(&text);
    return strlen(p) == text.len && !sb_git_config_matters(p) && !has_word(p, "include") &&
           !has_word(p, "attributesfile") && !(stranger && has_word(p, "safe"));
}

bool sb_git_config_is_plain(bool stranger) {
    const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
    for (char **e = environ; *e; e++)
        if (!strncmp(*e, "GIT_CONFIG_", 11) && strncmp(*e, "GIT_CONFIG_NOSYSTEM=", 20) != 0)
            return false;
    sb_autofree char *git = sb_process_find("git");
    if (!git || strcmp(git, "/usr/bin/git") != 0 || !home) /* others keep the machine's elsewhere */
        return false;
    sb_autofree char *own = sb_format("%s/.gitconfig", home);
    sb_autofree char *other = config && *config ? sb_format("%s/git/config", config)
                                                : sb_format("%s/.config/git/config", home);
    return is_plain_file("/etc/gitconfig", stranger) && is_plain_file(own, stranger) &&
           is_plain_file(other, stranger);
}
