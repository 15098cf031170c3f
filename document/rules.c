#include "document/rules.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "document/ignore.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define ALPHA LOWER UPPER
#define ALNUM LOWER UPPER DIGIT

static bool only(const char *text, const char *set) {
    return *text && !text[strspn(text, set)];
}

static bool starts(const char *text, const char *set) {
    return *text && strchr(set, *text);
}

/* Words of set joined by single separators: "a.b-c". */
static bool joined(const char *text, const char *set, const char *separators) {
    for (;;) {
        size_t n = strspn(text, set);
        if (n == 0)
            return false;
        text += n;
        if (!*text)
            return true;
        if (!strchr(separators, *text++))
            return false;
    }
}

static bool is_number(const char *text, uint64_t most) {
    return only(text, DIGIT) && strlen(text) < 12 && strtoull(text, NULL, 10) <= most;
}

static bool has_control(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            return true;
    return false;
}

/* ---- names ---- */

static bool check_name(const char *text) {
    return joined(text, LOWER DIGIT, "._-");
}

/* Lower case, and "-" for what can't stand in a name. */
static void suggest_name(const char *text, struct sb_buf *out) {
    for (; *text; text++) {
        char c = (char)tolower((unsigned char)*text);
        bool fits = strchr(LOWER DIGIT "._", c) != NULL;
        bool after_word = out->len && strchr(LOWER DIGIT, out->data[out->len - 1]);
        if (fits && (strchr(LOWER DIGIT, c) || after_word))
            sb_buf_addc(out, c);
        else if (after_word)
            sb_buf_addc(out, '-');
    }
    while (out->len && strchr("._-", out->data[out->len - 1]))
        out->data[--out->len] = '\0';
}

const struct sb_rule sb_rule_name = {
    .expected = "a name of lower-case letters and digits, joined by . _ or -",
    .pattern = "^[a-z0-9]+([._-][a-z0-9]+)*$",
    .check = check_name,
    .suggest = suggest_name,
    .number = true,
    .longest = 128,
};

static bool check_env(const char *text) {
    return starts(text, ALPHA "_") && only(text, ALNUM "_");
}

static void suggest_env(const char *text, struct sb_buf *out) {
    for (; *text; text++)
        sb_buf_addc(out, strchr(ALNUM, *text) ? *text : '_');
}

const struct sb_rule sb_rule_env = {
    .expected = "a name of letters, digits and _ that starts with no digit",
    .pattern = "^[A-Za-z_][A-Za-z0-9_]*$",
    .check = check_env,
    .suggest = suggest_env,
    .longest = 256,
};

static bool check_label(const char *text) {
    return only(text, ALNUM "_./:@+-");
}

const struct sb_rule sb_rule_label = {
    .expected = "a label's name of letters, digits and _ . / : @ + -",
    .pattern = "^[A-Za-z0-9_./:@+-]+$",
    .check = check_label,
    .longest = 512,
};

static bool check_secret(const char *text) {
    return starts(text, ALNUM "_") && only(text, ALNUM "_.-");
}

const struct sb_rule sb_rule_secret = {
    .expected = "a secret's name of letters, digits and _ . -",
    .pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
    .check = check_secret,
    .number = true,
    .longest = 128,
};

/* ---- versions ---- */

static bool check_identifiers(const char *text, size_t len, bool numbers_plain) {
    for (size_t at = 0;; at++) {
        size_t n = strspn(text + at, ALNUM "-");
        n = at + n > len ? len - at : n;
        if (n == 0)
            return false;
        if (numbers_plain && n > 1 && text[at] == '0' && strspn(text + at, DIGIT) >= n)
            return false;
        at += n;
        if (at == len)
            return true;
        if (text[at] != '.')
            return false;
    }
}

static bool check_version(const char *text) {
    for (int part = 0; part < 3; part++) {
        size_t n = strspn(text, DIGIT);
        if (n == 0 || n > 18 || (n > 1 && *text == '0') || (part < 2 && text[n] != '.'))
            return false;
        text += n + (part < 2);
    }
    const char *plus = strchr(text, '+');
    size_t len = plus ? (size_t)(plus - text) : strlen(text);
    if (plus && !check_identifiers(plus + 1, strlen(plus + 1), false))
        return false;
    return len == 0 || (*text == '-' && check_identifiers(text + 1, len - 1, true));
}

/* Without a leading v, with the numbers that are missing, without zeros in front. */
static void suggest_version(const char *text, struct sb_buf *out) {
    text += *text == 'v' || *text == 'V';
    for (int part = 0; part < 3; part++) {
        while (*text == '0' && isdigit((unsigned char)text[1]))
            text++;
        size_t n = strspn(text, DIGIT);
        sb_buf_addf(out, "%s%.*s", part ? "." : "", n ? (int)n : 1, n ? text : "0");
        text += n;
        text += *text == '.' && part < 2;
    }
    sb_buf_adds(out, text);
}

#define NUMBER     "(0|[1-9][0-9]{0,17})"
#define PRERELEASE "(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
const struct sb_rule sb_rule_version = {
    .expected = "a semantic version such as 1.4.2",
    .pattern = "^" NUMBER "[.]" NUMBER "[.]" NUMBER "(-" PRERELEASE "([.]" PRERELEASE ")*)?"
               "([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?$",
    .check = check_version,
    .suggest = suggest_version,
    .longest = 128,
};

/* ---- images ---- */

static bool check_component(const char *text, size_t len) {
    for (size_t at = 0;;) {
        size_t n = strspn(text + at, LOWER DIGIT);
        n = at + n > len ? len - at : n;
        if (n == 0)
            return false;
        at += n;
        if (at == len)
            return true;
        size_t dashes = strspn(text + at, "-");
        if (dashes)
            at += dashes;
        else if (text[at] == '_')
            at += text[at + 1] == '_' ? 2 : 1;
        else if (text[at++] != '.')
            return false;
        if (at > len)
            return false;
    }
}

static bool check_host(const char *text, size_t len) {
    const char *colon = memchr(text, ':', len);
    size_t n = colon ? (size_t)(colon - text) : len;
    if (colon &&
        (colon + 1 == text + len || strspn(colon + 1, DIGIT) < len - n - 1 || len - n - 1 > 5))
        return false;
    for (size_t at = 0; at < n; at++) { /* words of letters, digits and inner dashes */
        size_t word = strspn(text + at, ALNUM "-");
        word = at + word > n ? n - at : word;
        if (word == 0 || text[at] == '-' || text[at + word - 1] == '-')
            return false;
        at += word;
        if (at < n && (text[at] != '.' || at + 1 == n))
            return false;
    }
    return n > 0;
}

/* The first part is a host when it has a dot, a port, a capital, or is localhost. */
static bool check_repository(const char *text) {
    const char *slash = strchr(text, '/');
    if (slash) {
        size_t n = (size_t)(slash - text);
        bool host = strcspn(text, ".:" UPPER) < n || (n == 9 && !strncmp(text, "localhost", 9));
        if (host && !check_host(text, n))
            return false;
        text = host ? slash + 1 : text;
    }
    for (;; text = slash + 1) {
        slash = strchr(text, '/');
        if (!check_component(text, slash ? (size_t)(slash - text) : strlen(text)))
            return false;
        if (!slash)
            return true;
    }
}

/* Lower case, without a scheme, a tag or a digest. */
static void suggest_repository(const char *text, struct sb_buf *out) {
    const char *scheme = strstr(text, "://");
    text = scheme ? scheme + 3 : text;
    size_t len = strcspn(text, "@");
    const char *slash = memrchr(text, '/', len);
    const char *name = slash ? slash : text;
    const char *colon = memchr(name, ':', len - (size_t)(name - text));
    len = colon ? (size_t)(colon - text) : len;
    for (size_t i = 0; i < len; i++)
        sb_buf_addc(out, (char)tolower((unsigned char)text[i]));
    while (out->len && out->data[out->len - 1] == '/')
        out->data[--out->len] = '\0';
}

#define WORD "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
#define HOST WORD "([.]" WORD ")*(:[0-9]{1,5})?"
#define PART "[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*"
const struct sb_rule sb_rule_repository = {
    .expected = "a repository such as registry.example.com/team/app, in lower case and without tag",
    .pattern = "^(" HOST "/)?" PART "(/" PART ")*$",
    .check = check_repository,
    .suggest = suggest_repository,
    .longest = 255,
};

static bool check_user_part(const char *text, size_t len) {
    if (strspn(text, DIGIT) >= len)
        return len > 0 && len < 11 && strtoull(text, NULL, 10) < UINT32_MAX;
    return strchr(ALPHA "_", *text) && strspn(text, ALNUM "_.-") >= len;
}

static bool check_user(const char *text) {
    size_t n = strcspn(text, ":");
    return n && check_user_part(text, n) &&
           (!text[n] || (text[n + 1] && check_user_part(text + n + 1, strlen(text + n + 1))));
}

#define ACCOUNT "([0-9]{1,10}|[A-Za-z_][A-Za-z0-9_.-]*)"
const struct sb_rule sb_rule_user = {
    .expected = "a user such as \"1000:1000\" or app",
    .pattern = "^" ACCOUNT "(:" ACCOUNT ")?$",
    .check = check_user,
    .number = true,
    .longest = 128,
};

static bool check_port(const char *text) {
    size_t n = strspn(text, DIGIT);
    unsigned long port = n && n < 6 ? strtoul(text, NULL, 10) : 0;
    return port >= 1 && port <= 65535 && *text != '0' &&
           (!text[n] || !strcmp(text + n, "/tcp") || !strcmp(text + n, "/udp"));
}

const struct sb_rule sb_rule_port = {
    .expected = "a port from 1 to 65535, with /tcp or /udp if needed",
    .pattern = "^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|"
               "6553[0-5])(/(tcp|udp))?$",
    .check = check_port,
    .number = true,
    .most = 65535,
};

static const char *const signals[] = {"SIGTERM", "SIGINT",  "SIGQUIT",  "SIGKILL", "SIGHUP",
                                      "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGPWR",  "SIGABRT",
                                      "SIGALRM", "SIGCONT", "SIGSTOP",  "SIGIO",   NULL};

static bool check_signal(const char *text) {
    for (size_t i = 0; signals[i]; i++)
        if (!strcmp(signals[i], text))
            return true;
    return is_number(text, 64) && *text != '0';
}

static void suggest_signal(const char *text, struct sb_buf *out) {
    sb_buf_adds(out, "SIG");
    for (; *text; text++)
        sb_buf_addc(out, (char)toupper((unsigned char)*text));
}

const struct sb_rule sb_rule_signal = {
    .expected = "a signal such as SIGTERM",
    .pattern = "^(SIG(TERM|INT|QUIT|KILL|HUP|USR1|USR2|WINCH|PWR|ABRT|ALRM|CONT|STOP|IO)|"
               "[1-9]|[1-5][0-9]|6[0-4])$",
    .check = check_signal,
    .suggest = suggest_signal,
    .nearest = signals,
    .number = true,
    .most = 64,
};

static bool check_http_path(const char *text) {
    if (*text != '/')
        return false;
    for (; *text; text++)
        if (*text < '!' || *text > '~')
            return false;
    return true;
}

static void suggest_http_path(const char *text, struct sb_buf *out) {
    sb_rule_absolute.suggest(text, out);
}

const struct sb_rule sb_rule_http_path = {
    .expected = "the path of a URL such as /health",
    .pattern = "^/[!-~]*$",
    .check = check_http_path,
    .suggest = suggest_http_path,
    .longest = 2000,
};

/* ---- packages and downloads ---- */

/* An optional part that starts with mark. */
static bool skip_part(const char **text, char mark, const char *set) {
    if (**text != mark)
        return true;
    size_t n = strspn(*text + 1, set);
    *text += n + 1;
    return n > 0;
}

static bool check_package(const char *text) {
    if (!starts(text, LOWER DIGIT))
        return false;
    text += strspn(text, LOWER DIGIT "+.-");
    return skip_part(&text, ':', LOWER DIGIT "-") && skip_part(&text, '=', ALNUM ".+:~-") &&
           skip_part(&text, '/', LOWER DIGIT "-") && !*text;
}

static void suggest_lower(const char *text, struct sb_buf *out) {
    for (; *text; text++)
        sb_buf_addc(out, (char)tolower((unsigned char)*text));
}

const struct sb_rule sb_rule_package = {
    .expected = "a package such as python3 or python3=3.11.2-1",
    .pattern = "^[a-z0-9][a-z0-9+.-]*(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?(/[a-z0-9-]+)?$",
    .check = check_package,
    .suggest = suggest_lower,
    .longest = 512,
};

static bool check_requirement(const char *text) {
    return starts(text, ALNUM) && !has_control(text);
}

const struct sb_rule sb_rule_requirement = {
    .expected = "a requirement such as fastapi==0.115.0",
    .pattern = "^[A-Za-z0-9][^\x01-\x1F\x7F]*$",
    .check = check_requirement,
    .longest = 4000,
};

static bool check_component_name(const char *text) {
    return starts(text, LOWER) && only(text, LOWER DIGIT "-");
}

const struct sb_rule sb_rule_component = {
    .expected = "a component of an archive such as non-free",
    .pattern = "^[a-z][a-z0-9-]*$",
    .check = check_component_name,
    .suggest = suggest_lower,
    .longest = 128,
};

static bool check_suite(const char *text) {
    return starts(text, LOWER) && only(text, LOWER DIGIT ".-");
}

const struct sb_rule sb_rule_suite = {
    .expected = "a suite such as bookworm",
    .pattern = "^[a-z][a-z0-9.-]*$",
    .check = check_suite,
    .suggest = suggest_lower,
    .longest = 128,
};

/* Of the form "stable/updates", and of archives without suites: "/", "./", "ubuntu2204/". */
static bool check_suite_path(const char *text) {
    return starts(text, LOWER UPPER DIGIT "./") && only(text, LOWER UPPER DIGIT "./_~-") &&
           sb_rule_in_image.check(text);
}

const struct sb_rule sb_rule_suite_path = {
    .expected = "a suite such as stable, or a path that ends in / for an archive without suites",
    .pattern = "^[A-Za-z0-9./][A-Za-z0-9._/~-]*$",
    .check = check_suite_path,
    .longest = 128,
};

/* No user and password: what is in a URL ends up in logs and in the image's history. */
static bool check_url(const char *text) {
    const char *host = !strncmp(text, "https://", 8)  ? text + 8
                       : !strncmp(text, "http://", 7) ? text + 7
                                                      : NULL;
    size_t n = host ? strspn(host, ALNUM "._-") : 0;
    if (n == 0)
        return false;
    const char *p = host + n;
    if (!skip_part(&p, ':', DIGIT) || (*p && !strchr("/?#", *p)))
        return false;
    for (; *p; p++)
        if (*p < '!' || *p > '~')
            return false;
    return true;
}

static void suggest_url(const char *text, struct sb_buf *out) {
    if (!strstr(text, "://"))
        sb_buf_addf(out, "https://%s", text);
}

const struct sb_rule sb_rule_url = {
    .expected = "a URL with http or https, without user and password",
    .pattern = "^https?://[A-Za-z0-9._-]+(:[0-9]+)?([/?#][!-~]*)?$",
    .check = check_url,
    .suggest = suggest_url,
    .longest = 4000,
};

static bool check_sha256(const char *text) {
    return strlen(text) == 64 && only(text, DIGIT "abcdefABCDEF");
}

static void suggest_sha256(const char *text, struct sb_buf *out) {
    if (!strncmp(text, "sha256:", 7))
        sb_buf_adds(out, text + 7);
}

const struct sb_rule sb_rule_sha256 = {
    .expected = "a SHA-256 of 64 hexadecimal digits",
    .pattern = "^[0-9a-fA-F]{64}$",
    .check = check_sha256,
    .suggest = suggest_sha256,
};

/* ---- the rest ---- */

const char *const sb_prune_categories[] = {"docs",  "man",    "locales", "pyc",
                                           "tests", "static", "headers", NULL};

static bool check_prune(const char *text) {
    for (size_t i = 0; sb_prune_categories[i]; i++)
        if (!strcmp(sb_prune_categories[i], text))
            return true;
    return strpbrk(text, "/*?[") && *text != '!' && sb_ignore_valid(text);
}

const struct sb_rule sb_rule_prune = {
    .expected = "one of docs, man, locales, pyc, tests, static, headers, or a pattern such as "
                "/opt/**/*.a",
    .pattern = "^(docs|man|locales|pyc|tests|static|headers|[^!]*[/*?[].*)$",
    .check = check_prune,
    .nearest = sb_prune_categories,
    .longest = 4000,
};

static bool check_cpu(const char *text) {
    size_t n = strspn(text, DIGIT);
    if (n == 0 || n > 5 || (*text == '0' && n > 1))
        return false;
    bool fraction = text[n] == '.' && only(text + n + 1, DIGIT);
    return (!text[n] || fraction) && text[strspn(text, "0.")];
}

const struct sb_rule sb_rule_cpu = {
    .expected = "a number of processors such as 2 or 1.5",
    .pattern = "^([1-9][0-9]{0,4}([.][0-9]+)?|0[.][0-9]*[1-9][0-9]*)$",
    .check = check_cpu,
    .number = true,
    .longest = 16,
};
