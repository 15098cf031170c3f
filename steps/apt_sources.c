#include "steps/apt_sources.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define DEBIAN          "http://deb.debian.org/debian"
#define UBUNTU          "http://archive.ubuntu.com/ubuntu"
#define UBUNTU_PORTS    "http://ports.ubuntu.com/ubuntu-ports"
#define UBUNTU_SECURITY "http://security.ubuntu.com/ubuntu"

/* ---- a new list ---- */

static bool is_debian(const char *distribution) {
    return strcmp(distribution, "ubuntu") != 0;
}

const char *sb_apt_mirror(const struct sb_settings *settings, const char *distribution) {
    return is_debian(distribution) ? settings->debian_mirror : settings->ubuntu_mirror;
}

/* Suites that move on without updates and security archives of their own. */
static bool is_rolling(const char *suite) {
    return !strcmp(suite, "sid") || !strcmp(suite, "unstable") || !strcmp(suite, "experimental");
}

/* Debian's security archive lies beside the main one: …/debian and …/debian-security, on
 * snapshot.debian.org with a date after it. The caller's to free. */
static char *security_archive(const struct sb_bootstrap *bootstrap, const char *mirror) {
    if (!is_debian(bootstrap->distribution))
        return sb_strdup(strcmp(mirror, UBUNTU) == 0 ? UBUNTU_SECURITY : mirror);
    for (const char *p = mirror; (p = strstr(p, "/debian")); p++) {
        size_t n = strlen("/debian");
        if (p[n] == '\0' || p[n] == '/')
            return sb_format("%.*s-security%s", (int)((size_t)(p - mirror) + n), mirror, p + n);
    }
    return sb_strdup(mirror);
}

static void add_line(struct sb_strings *out, const char *options, const char *archive,
                     const char *suite, const char *suffix, const char *components) {
    sb_strings_addf(out, "deb %s%s %s%s %s", options, archive, suite, suffix, components);
}

/* Ubuntu's is for the processors that it began with; all others have another. */
static const char *own_archive(const struct sb_bootstrap *bootstrap,
                               const struct sb_platform *platform) {
    const char *architecture = (platform ? platform : sb_platform_own())->architecture;
    bool first = !strcmp(architecture, "amd64") || !strcmp(architecture, "386");
    return is_debian(bootstrap->distribution) ? DEBIAN : first ? UBUNTU : UBUNTU_PORTS;
}

void sb_apt_sources_lines(const struct sb_bootstrap *bootstrap, const struct sb_platform *platform,
                          const char *mirror, const char *keyring, struct sb_strings *out) {
    sb_autofree char *given = sb_strdup(mirror              ? mirror
                                        : bootstrap->mirror ? bootstrap->mirror
                                                            : own_archive(bootstrap, platform));
    for (size_t n = strlen(given); n && given[n - 1] == '/'; n--)
        given[n - 1] = '\0';
    sb_autobuf struct sb_buf components = {0};
    for (size_t i = 0; i < bootstrap->components.n; i++)
        sb_buf_addf(&components, "%s%s", i ? " " : "", bootstrap->components.v[i]);
    if (!components.len)
        sb_buf_adds(&components, "main");
    /* A snapshot's lists are out of date by design. */
    bool snapshot = strstr(given, "://snapshot.");
    sb_autobuf struct sb_buf options = {0};
    if (keyring || snapshot)
        sb_buf_addf(&options, "[%s%s%s%s] ", keyring ? "signed-by=" : "", keyring ? keyring : "",
                    keyring && snapshot ? " " : "", snapshot ? "check-valid-until=no" : "");
    add_line(out, sb_buf_text(&options), given, bootstrap->suite, "", components.data);
    if (is_rolling(bootstrap->suite))
        return;
    sb_autofree char *security = security_archive(bootstrap, given);
    add_line(out, sb_buf_text(&options), given, bootstrap->suite, "-updates", components.data);
    add_line(out, sb_buf_text(&options), security, bootstrap->suite, "-security", components.data);
}

/* ---- an image's list ---- */

/* The archives that a mirror stands in for. */
static const struct {
    const char *host, *path;
    bool ubuntu, security;
} archives[] = {
    {"deb.debian.org", "/debian-security", false, true},
    {"deb.debian.org", "/debian", false, false},
    {"security.debian.org", "/debian-security", false, true},
    {"archive.ubuntu.com", "/ubuntu", true, false},
    {"security.ubuntu.com", "/ubuntu", true, false},
};

static bool add_mirrored(const char *word, size_t len, const struct sb_settings *settings,
                         struct sb_buf *out) {
    sb_autofree char *url = sb_strndup(word, len);
    while (len && url[len - 1] == '/')
        url[--len] = '\0';
    const char *rest = strstr(url, "://");
    for (size_t i = 0; rest && i < sizeof archives / sizeof *archives; i++) {
        const char *mirror = archives[i].ubuntu ? settings->ubuntu_mirror : settings->debian_mirror;
        size_t n = strlen(archives[i].host);
        if (!mirror || strncmp(url, "http", 4) || strncmp(rest + 3, archives[i].host, n) ||
            strcmp(rest + 3 + n, archives[i].path))
            continue;
        static char debian[] = "debian";
        struct sb_bootstrap bootstrap = {.distribution = debian};
        sb_autofree char *trimmed = sb_strdup(mirror);
        for (size_t end = strlen(trimmed); end && trimmed[end - 1] == '/'; end--)
            trimmed[end - 1] = '\0';
        sb_autofree char *security =
            archives[i].security ? security_archive(&bootstrap, trimmed) : NULL;
        sb_buf_adds(out, security ? security : trimmed);
        return true;
    }
    return false;
}

/* Adds those that words [list, end) don't have; only beside main, so that lists of other archives
 * stay as they are. */
static bool add_components(const char *list, const char *end, const struct sb_strings *components,
                           struct sb_buf *out) {
    sb_autostrings struct sb_strings have = {0};
    for (const char *p = list; p < end;) {
        p += strspn(p, " \t");
        size_t n = strcspn(p, " \t\n");
        if (!n)
            break;
        sb_strings_take(&have, sb_strndup(p, n));
        p += n;
    }
    bool changed = false;
    for (size_t i = 0; components && i < components->n && sb_strings_has(&have, "main"); i++)
        if (!sb_strings_has(&have, components->v[i])) {
            sb_buf_addf(out, " %s", components->v[i]);
            changed = true;
        }
    return changed;
}

static bool rewrite_line(const char *line, const char *end, bool deb822,
                         const struct sb_settings *settings, const struct sb_strings *components,
                         struct sb_buf *out) {
    bool uris = deb822 ? !strncasecmp(line, "URIs:", 5) : !strncmp(line, "deb", 3);
    bool listing = deb822 ? !strncasecmp(line, "Components:", 11) : uris;
    bool changed = false;
    const char *p = line;
    while (uris && p < end) {
        size_t gap = strspn(p, " \t");
        sb_buf_add(out, p, gap);
        p += gap;
        size_t n = strcspn(p, " \t\n");
        if (!n)
            break;
        if (add_mirrored(p, n, settings, out))
            changed = true;
        else
            sb_buf_add(out, p, n);
        p += n;
    }
    sb_buf_add(out, p, (size_t)(end - p));
    return (listing && add_components(line, end, components, out)) || changed;
}

bool sb_apt_sources_rewrite(const char *text, bool deb822, const struct sb_settings *settings,
                            const struct sb_strings *components, struct sb_buf *out) {
    bool changed = false;
    while (*text) {
        const char *end = text + strcspn(text, "\n");
        changed |= rewrite_line(text, end, deb822, settings, components, out);
        sb_buf_addc(out, '\n');
        text = *end ? end + 1 : end;
    }
    return changed;
}
