/* Rules of service:, which end in unit files: what they accept can be written there as it is. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"
#include "document/rules.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define ALNUM LOWER UPPER DIGIT

static bool only(const char *text, const char *set) {
    return *text && text[strspn(text, set)] == '\0';
}

/* ---- schedules ---- */

static const char *const often[] = {"minutely", "hourly",   "daily",     "weekly",       "monthly",
                                    "yearly",   "annually", "quarterly", "semiannually", NULL};

static bool is_often(const char *word) {
    for (size_t i = 0; often[i]; i++)
        if (!strcasecmp(often[i], word))
            return true;
    return false;
}

static bool is_day(const char *text, size_t len) {
    static const char *const days[] = {"monday", "tuesday",  "wednesday", "thursday",
                                       "friday", "saturday", "sunday"};
    for (size_t i = 0; i < sizeof days / sizeof *days; i++)
        if ((len == 3 || len == strlen(days[i])) && !strncasecmp(days[i], text, len))
            return true;
    return false;
}

/* "Mon", "Mon,Wed..Fri" */
static bool is_weekdays(const char *word) {
    for (;;) {
        size_t n = strspn(word, LOWER UPPER);
        if (!is_day(word, n))
            return false;
        word += n;
        if (!*word)
            return true;
        size_t separator = !strncmp(word, "..", 2) ? 2 : *word == ',' ? 1 : 0;
        if (!separator)
            return false;
        word += separator;
    }
}

/* One part of a date or time: "*", "05", "1,15", "8..18", "0/15", "*" and "/5" behind it. */
static bool is_part(const char *text, size_t len) {
    bool value = false;
    for (size_t i = 0; i < len; i++) {
        if (isdigit((unsigned char)text[i]) || text[i] == '*') {
            value = true;
        } else if (!value) {
            return false;
        } else if (text[i] == '.' && i + 1 < len && text[i + 1] == '.') {
            i++;
            value = false;
        } else if (text[i] == '.' && i + 1 < len && isdigit((unsigned char)text[i + 1])) {
            value = false; /* a fraction of a second */
        } else if (strchr(",/", text[i])) {
            value = false;
        } else {
            return false;
        }
    }
    return value;
}

/* "*-*-01", "05-12", "2026-*~03"; "03:00", "*:0/15:00" */
static bool is_parts(const char *word, const char *separators) {
    size_t parts = 0;
    for (;; parts++) {
        size_t n = strcspn(word, separators);
        if (!is_part(word, n))
            return false;
        if (!word[n])
            break;
        word += n + 1;
    }
    return parts == 1 || parts == 2;
}

/* "UTC", "Europe/Berlin", "Etc/GMT+5" */
static bool is_zone(const char *word) {
    return strchr(UPPER, *word) && only(word, ALNUM "/_+-") && strlen(word) >= 3;
}

static bool check_schedule(const char *text) {
    sb_autofree char *copy = sb_strdup(text);
    char *rest = copy;
    int stage = 0; /* what came already: 1 days, 2 date, 3 time or a word, 4 zone */
    if (!*text || text[strlen(text) - 1] == ' ')
        return false;
    for (char *word; (word = strsep(&rest, " "));) {
        int kind = is_weekdays(word)              ? 1
                   : strchr(word, ':')            ? (is_parts(word, ":") ? 3 : 0)
                   : is_parts(word, "-~")         ? 2
                   : is_often(word) && stage == 0 ? 3
                   : is_zone(word) && stage > 0   ? 4
                                                  : 0;
        if (kind <= stage)
            return false;
        stage = kind;
    }
    return stage > 0;
}

const struct sb_rule sb_rule_schedule = {
    .expected =
        "a time as systemd writes it, such as daily, \"*-*-* 03:00\" or \"Mon..Fri *:0/15\"",
    .pattern = "^[A-Za-z0-9*]([A-Za-z0-9*,./:~_+ -]*[A-Za-z0-9*])?$",
    .check = check_schedule,
    .nearest = often,
    .longest = 200,
};

/* ---- names ---- */

static const char *const unit_types[] = {".service", ".socket", ".target", ".mount", ".path",
                                         ".timer",   ".device", ".slice",  NULL};

static bool check_unit(const char *text) {
    if (!only(text, ALNUM ":_.@-") || !strchr(ALNUM "_", *text))
        return false;
    for (size_t i = 0; unit_types[i]; i++)
        if (!strcmp(text, unit_types[i]))
            return false;
    return true;
}

/* Targets that stand for something being there, and start nothing that the host doesn't start.
 * Every other one is a state of the whole machine: to require it would be to bring that about. */
static const char *const passive_targets[] = {"basic.target",
                                              "local-fs.target",
                                              "network-online.target",
                                              "network.target",
                                              "nss-lookup.target",
                                              "nss-user-lookup.target",
                                              "remote-fs.target",
                                              "sockets.target",
                                              "swap.target",
                                              "sysinit.target",
                                              "time-set.target",
                                              "time-sync.target",
                                              NULL};

/* Systemd's own services do what they are for and end, or change what state the machine is in;
 * these others can need. */
static const char *const systemd_services[] = {"systemd-journald",
                                               "systemd-logind",
                                               "systemd-networkd",
                                               "systemd-networkd-wait-online",
                                               "systemd-resolved",
                                               "systemd-timesyncd",
                                               "systemd-time-wait-sync",
                                               "systemd-udevd",
                                               NULL};

static bool is_in(const char *text, size_t len, const char *const *list) {
    for (; *list; list++)
        if (strlen(*list) == len && !strncmp(*list, text, len))
            return true;
    return false;
}

static bool is_shell_or_systemds(const char *unit, size_t len) {
    static const char *const shells[] = {"debug-shell", "rescue", "emergency", NULL};
    static const char systemd[] = "systemd-", initrd[] = "initrd-";
    return is_in(unit, len, shells) || !strncmp(unit, initrd, sizeof initrd - 1) ||
           (!strncmp(unit, systemd, sizeof systemd - 1) && !is_in(unit, len, systemd_services));
}

bool sb_unit_is_requirable(const char *unit) {
    static const char *const kinds[] = {".service", ".socket", ".mount", ".path",
                                        ".timer",   ".device", NULL};
    static const char *const others[] = {".slice", ".scope", ".swap", ".automount", NULL};
    const char *dot = strrchr(unit, '.'), *at = strchr(unit, '@');
    if (at && (at[1] == '.' || !at[1])) /* a template, which is nothing by itself */
        return false;
    if (dot && !strcmp(dot, ".target"))
        return is_in(unit, strlen(unit), passive_targets);
    if (dot && is_in(dot, strlen(dot), others))
        return false;
    bool whole = dot && is_in(dot, strlen(dot), kinds); /* else it is a service's name */
    return !is_shell_or_systemds(unit, whole ? (size_t)(dot - unit) : strlen(unit));
}

const struct sb_rule sb_rule_unit = {
    .expected = "the name of a service such as backend, or of a unit such as postgresql.service",
    .pattern = "^[A-Za-z0-9_][A-Za-z0-9:_.@-]*$",
    .check = check_unit,
    .longest = 128,
};

static bool check_file(const char *text) {
    return only(text, ALNUM "_.-") && *text != '.' && *text != '-';
}

const struct sb_rule sb_rule_file = {
    .expected = "a plain name of a file such as backend.conf, without a directory",
    .pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
    .check = check_file,
    .longest = 128,
};

/* ---- paths ---- */

static bool check_mount(const char *text) {
    if (*text != '/' || !only(text, ALNUM "/_.@+-") || !text[strspn(text, "/")] ||
        text[strlen(text) - 1] == '/')
        return false;
    for (const char *p = text; *p; p += strcspn(p, "/")) {
        p++;
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && *p == '.') || (n == 2 && !strncmp(p, "..", 2)))
            return false;
    }
    return true;
}

static void suggest_mount(const char *text, struct sb_buf *out) {
    sb_buf_addf(out, "%s%s", *text == '/' ? "" : "/", text);
    while (out->len > 1 && out->data[out->len - 1] == '/')
        out->data[--out->len] = '\0';
}

const struct sb_rule sb_rule_mount = {
    .expected = "an absolute path of letters, digits and _ . @ + - such as /data",
    .pattern = "^(/([A-Za-z0-9_@+-]|[.][A-Za-z0-9_@+-]|[.][.][A-Za-z0-9_.@+-])[A-Za-z0-9_.@+-]*)+$",
    .check = check_mount,
    .suggest = suggest_mount,
    .longest = 1000,
};

bool sb_mounts_meet(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), least = n < m ? n : m;
    return !strncmp(a, b, least) && (n == m || (n < m ? b : a)[least] == '/');
}

static bool meets_any(const char *path, const char *const *list) {
    for (; *list; list++)
        if (sb_mounts_meet(path, *list))
            return true;
    return false;
}

/* Where systemd mounts what every service gets. In a directory of the host it would make the
 * places for that. */
bool sb_mount_is_for_host(const char *inside) {
    static const char *const mounted[] = {"/dev", "/proc",    "/sys",       "/run",
                                          "/tmp", "/var/tmp", "/etc/hosts", "/etc/resolv.conf",
                                          NULL};
    static const char *const above[] = {"/var/lib", "/var/cache", "/var/log", NULL};
    for (size_t i = 0; above[i]; i++)
        if (!strcmp(inside, above[i]))
            return false;
    return !meets_any(inside, mounted);
}

/* Which of the rest it may see, the node says. */
static bool check_host(const char *text) {
    static const char *const never[] = {
        "/boot", "/dev", "/etc",     "/proc",           "/root",
        "/run",  "/sys", "/var/run", "/var/lib/sbuild", "/var/lib/sbuild-volumes",
        NULL};
    return check_mount(text) && !meets_any(text, never);
}

const struct sb_rule sb_rule_host = {
    .expected = "an absolute path of letters, digits and _ . @ + - such as /srv/models; none in "
                "/boot, /dev, /etc, /proc, /root, /run, /sys, and none that has these in it",
    .pattern = "^(/([A-Za-z0-9_@+-]|[.][A-Za-z0-9_@+-]|[.][.][A-Za-z0-9_.@+-])[A-Za-z0-9_.@+-]*)+$",
    .check = check_host,
    .suggest = suggest_mount,
    .longest = 1000,
};

static const char *const devices[] = {"infiniband", NULL};

static bool check_device(const char *text) {
    return !strcmp(text, devices[0]);
}

const struct sb_rule sb_rule_device = {
    .expected = "infiniband",
    .pattern = "^infiniband$",
    .check = check_device,
    .nearest = devices,
};

/* ---- limits and hosts ---- */

static bool check_limit(const char *text) {
    uint64_t bytes;
    return !strcmp(text, "unlimited") || (sb_text_parse_size(text, &bytes) && bytes <= INT64_MAX);
}

const struct sb_rule sb_rule_limit = {
    .expected = "a size such as 64Mi, or unlimited",
    .pattern = "^(unlimited|[0-9]+([.][0-9]*)?([KMGTPkmgtp]i?)?B?)$",
    .check = check_limit,
    .number = true,
    .most = INT64_MAX,
    .longest = 40,
};

static bool check_http_host(const char *text) {
    size_t n =
        *text == '[' ? strspn(text + 1, "0123456789abcdefABCDEF:.") + 1 : strspn(text, ALNUM "._-");
    const char *rest = text + n;
    if (*text == '[' && *rest++ != ']')
        return false;
    if (n == 0 || (*text == '[' && n == 1))
        return false;
    if (*rest == ':') {
        size_t digits = strspn(rest + 1, DIGIT);
        rest = digits > 0 && digits < 6 ? rest + 1 + digits : rest;
    }
    return !*rest;
}

const struct sb_rule sb_rule_http_host = {
    .expected = "a host such as api.example.com",
    .pattern = "^([A-Za-z0-9._-]+|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?$",
    .check = check_http_host,
    .longest = 255,
};
