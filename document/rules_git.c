/* What names of repositories, and in them, may look like. */
#include <string.h>

#include "base/memory.h"
#include "document/rules.h"

static bool check_git_url(const char *text) {
    sb_autofree char *http = !strncmp(text, "git://", 6) ? sb_format("http://%s", text + 6) : NULL;
    return sb_rule_url.check(http ? http : text) && !strpbrk(text, "?#");
}

/* "git@github.com:team/x", "ssh://git@github.com/team/x": what https calls it. */
static void suggest_git_url(const char *text, struct sb_buf *out) {
    bool ssh = !strncmp(text, "ssh://", 6);
    text += ssh ? 6 : 0;
    const char *at = strchr(text, '@'), *host = at ? at + 1 : text, *colon = strchr(host, ':');
    if (strstr(text, "://"))
        return;
    sb_buf_adds(out, "https://");
    if (!ssh && colon)
        sb_buf_addf(out, "%.*s/%s", (int)(colon - host), host, colon + 1);
    else
        sb_buf_adds(out, host);
}

const struct sb_rule sb_rule_git_url = {
    .expected = "a URL with http, https or git, without user and password (the secret "
                "git_credentials has these)",
    .pattern = "^(https?|git)://[A-Za-z0-9._-]+(:[0-9]+)?(/[!-~]*)?$",
    .check = check_git_url,
    .suggest = suggest_git_url,
    .longest = 4000,
};

/* As git check-ref-format has it, and no pattern. */
static bool check_git_ref(const char *text) {
    size_t n = strlen(text);
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p == 0x7f || strchr("~^:?*[\\", *p) ||
            ((p == text || p[-1] == '/') && (*p == '.' || *p == '/')))
            return false;
    return n && *text != '-' && !strchr("/.", text[n - 1]) && !strstr(text, "..") &&
           !strstr(text, "@{") && !strstr(text, "//") && strcmp(text, "@") != 0 &&
           !(n > 5 && !strcmp(text + n - 5, ".lock"));
}

const struct sb_rule sb_rule_git_ref = {
    .expected = "the name of a tag or branch such as v1.2.0, without refs/",
    .check = check_git_ref,
    .number = true,
    .longest = 200,
};

static bool check_commit(const char *text) {
    size_t n = strlen(text);
    return (n == 40 || n == 64) && strspn(text, "0123456789abcdef") == n;
}

const struct sb_rule sb_rule_commit = {
    .expected = "a commit with all its 40 (or 64) digits, as `git rev-parse` prints it",
    .pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$",
    .check = check_commit,
};
