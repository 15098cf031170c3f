#include "registry/reference.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/text.h"

/* Locale plays no part in a grammar of ASCII. */
static bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
static bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_letter_or_digit(char c) {
    return is_lower(c) || is_upper(c) || is_digit(c);
}

static void make_lower(char *text) {
    for (; *text; text++)
        if (is_upper(*text))
            *text = (char)(*text - 'A' + 'a');
}

/* The length of the first part when it is a host, 0 when it isn't. */
static size_t host_length(const char *text) {
    size_t len = strcspn(text, "/@");
    if (text[len] != '/')
        return 0;
    bool named = len == strlen("localhost") && !strncmp(text, "localhost", len);
    for (size_t i = 0; i < len; i++)
        named = named || text[i] == '.' || text[i] == ':' || is_upper(text[i]);
    return named ? len : 0;
}

bool sb_reference_has_host(const char *text) {
    return host_length(text) > 0;
}

const char *sb_registry_endpoint(const char *host) {
    return strcmp(host, "docker.io") == 0 ? "registry-1.docker.io" : host;
}

bool sb_tag_valid(const char *tag) {
    size_t len = 0;
    for (; tag[len]; len++) {
        char c = tag[len];
        if (!is_letter_or_digit(c) && c != '_' && (len == 0 || (c != '.' && c != '-')))
            return false;
        if (len >= SB_TAG_LIMIT)
            return false;
    }
    return len > 0;
}

/* ---- host ---- */

static bool port_valid(const char *port) {
    size_t len = strspn(port, "0123456789");
    if (len == 0 || len > 5 || port[len])
        return false;
    long value = strtol(port, NULL, 10);
    return value >= 1 && value <= 65535;
}

/* Components of letters, digits and inner hyphens, with dots between them. */
static bool domain_valid(const char *text, size_t len) {
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool first = i == 0 || text[i - 1] == '.', last = i + 1 == len || text[i + 1] == '.';
        if (is_letter_or_digit(text[i]))
            continue;
        if ((text[i] != '-' && text[i] != '.') || first || last)
            return false;
    }
    return true;
}

static bool ipv6_valid(const char *text, size_t len) {
    struct in6_addr ignored;
    char address[INET6_ADDRSTRLEN];
    if (len >= sizeof address)
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    return inet_pton(AF_INET6, address, &ignored) == 1;
}

static int check_host(const char *host, struct sb_error *err) {
    const char *port;
    if (host[0] == '[') {
        size_t len = strcspn(host, "]");
        if (!host[len] || !ipv6_valid(host + 1, len - 1))
            return sb_fail(err, SB_E_USAGE, "the host %s is not an IPv6 address in brackets",
                           sb_text_shown(host).text);
        port = host + len + 1;
    } else {
        size_t len = strcspn(host, ":");
        if (!domain_valid(host, len))
            return sb_fail(err, SB_E_USAGE,
                           "the host %s may only have letters, digits and inner hyphens, with "
                           "dots between them",
                           sb_text_shown(host).text);
        port = host + len;
    }
    if (*port && (*port != ':' || !port_valid(port + 1)))
        return sb_fail(err, SB_E_USAGE,
                       "the port in %s must be a number from 1 to 65535, after a colon",
                       sb_text_shown(host).text);
    return 0;
}

static int parse_host(const char *text, size_t len, char **out, struct sb_error *err) {
    sb_autofree char *host = sb_strndup(text, len);
    if (check_host(host, err) < 0)
        return -1;
    struct sb_text_shown written = sb_text_shown(host);
    make_lower(host);
    /* In lower case nobody could tell it from a part of a repository. */
    if (!strpbrk(host, ".:") && strcmp(host, "localhost") != 0)
        return sb_fail(err, SB_E_USAGE,
                       "%s has an upper-case letter: a repository must be lower-case, and a host "
                       "needs a dot or a port",
                       written.text);
    *out = strcmp(host, "index.docker.io") == 0 ? sb_strdup("docker.io") : sb_steal(host);
    return 0;
}

/* ---- repository ---- */

/* The length of what may stand between letters and digits: ".", "_", "__", or hyphens; 0 for
 * anything else. */
static size_t separator_length(const char *text) {
    size_t hyphens = strspn(text, "-");
    if (hyphens)
        return hyphens;
    if (text[0] == '_')
        return text[1] == '_' ? 2 : 1;
    return text[0] == '.';
}

static bool component_valid(const char *text, size_t len) {
    for (size_t i = 0; i < len;) {
        if (!is_lower(text[i]) && !is_digit(text[i]))
            return false;
        while (i < len && (is_lower(text[i]) || is_digit(text[i])))
            i++;
        if (i == len)
            return true;
        size_t separator = separator_length(text + i);
        if (separator == 0)
            return false;
        i += separator;
    }
    return false;
}

static int check_repository(const char *repository, struct sb_error *err) {
    if (!*repository)
        return sb_fail(err, SB_E_USAGE, "the repository is missing");
    for (const char *part = repository;; part++) {
        size_t len = strcspn(part, "/");
        if (!component_valid(part, len)) {
            bool upper = false;
            for (size_t i = 0; i < len; i++)
                upper = upper || is_upper(part[i]);
            sb_fail(err, SB_E_USAGE,
                    "the repository %s %s; each part must be lower-case letters and digits, with "
                    "\".\", \"_\", \"__\" or hyphens between them",
                    sb_text_shown(repository).text,
                    len == 0 ? "has an empty part"
                    : upper  ? "has an upper-case letter"
                             : "is malformed");
            return -1;
        }
        part += len;
        if (!*part)
            return 0;
    }
}

static int parse_repository(const char *text, size_t len, bool has_host, struct sb_reference *out,
                            struct sb_error *err) {
    out->repository = sb_strndup(text, len);
    if (check_repository(out->repository, err) < 0)
        return -1;
    struct sb_digest ignored;
    if (!has_host && sb_digest_parse_hex(out->repository, &ignored)) {
        sb_fail(err, SB_E_USAGE, "64 hexadecimal digits are not a repository");
        return sb_error_hint(err, "for an image by its digest, write sha256:%s",
                             sb_digest_hex(&ignored).text);
    }
    if (strcmp(out->host, "docker.io") == 0 && !strchr(out->repository, '/')) {
        char *whole = sb_format("library/%s", out->repository);
        free(out->repository);
        out->repository = whole;
    }
    if (strlen(out->host) + 1 + strlen(out->repository) > SB_REPOSITORY_LIMIT)
        return sb_fail(err, SB_E_USAGE, "host and repository have more than %d characters",
                       SB_REPOSITORY_LIMIT);
    return 0;
}

/* ---- tag and digest ---- */

static int parse_tag(const char *text, size_t len, char **out, struct sb_error *err) {
    *out = sb_strndup(text, len);
    if (sb_tag_valid(*out))
        return 0;
    if (len == 0)
        return sb_fail(err, SB_E_USAGE, "the tag after \":\" is missing");
    if (len > SB_TAG_LIMIT)
        return sb_fail(err, SB_E_USAGE, "the tag %s has more than %d characters",
                       sb_text_shown(*out).text, SB_TAG_LIMIT);
    return sb_fail(err, SB_E_USAGE,
                   "the tag %s may only have letters, digits, \"_\", \".\" and \"-\", and must "
                   "not begin with one of the last two",
                   sb_text_shown(*out).text);
}

static int parse_digest(const char *text, struct sb_digest *out, struct sb_error *err) {
    struct sb_error detail = {0};
    if (sb_digest_parse(text, out, &detail) == 0)
        return 0;
    return sb_fail(err, SB_E_USAGE,
                   "the digest %s after \"@\" must be sha256: and 64 lower-case hexadecimal digits",
                   sb_text_shown(text).text);
}

static int parse(const char *text, struct sb_reference *out, struct sb_error *err) {
    if (!*text)
        return sb_fail(err, SB_E_USAGE, "the name is empty");
    if (strstr(text, "://"))
        return sb_fail(err, SB_E_USAGE, "a name has no scheme: leave out what ends in \"://\"");
    size_t host = host_length(text);
    if (host == 0 && text[0] == '/')
        return sb_fail(err, SB_E_USAGE, "the host before \"/\" is missing");
    if (host == 0)
        out->host = sb_strdup("docker.io");
    else if (parse_host(text, host, &out->host, err) < 0)
        return -1;
    const char *repository = host ? text + host + 1 : text;
    size_t name = strcspn(repository, ":@");
    if (parse_repository(repository, name, host > 0, out, err) < 0)
        return -1;
    const char *rest = repository + name;
    if (*rest == ':') {
        size_t tag = strcspn(rest + 1, "@");
        if (parse_tag(rest + 1, tag, &out->tag, err) < 0)
            return -1;
        rest += 1 + tag;
    }
    if (!*rest)
        return 0;
    out->has_digest = true;
    return parse_digest(rest + 1, &out->digest, err);
}

/* "user:password@host/…" is no name, and must not be shown. */
static bool has_credentials(const char *text) {
    size_t first = strcspn(text, "/@");
    return text[first] == '@' && strncmp(text + first + 1, "sha", 3) != 0 &&
           strcspn(text, ":") < first && strchr(text + first, '/');
}

int sb_reference_parse(const char *text, struct sb_reference *out, struct sb_error *err) {
    *out = (struct sb_reference){0};
    if (has_credentials(text)) {
        sb_fail(err, SB_E_USAGE, "the name of an image holds no user and no password");
        return sb_error_hint(err, "give them to `sbuild login`");
    }
    if (parse(text, out, err) == 0)
        return 0;
    sb_reference_free(out);
    return sb_error_context(err, "the image name %s", sb_text_shown(text).text);
}

void sb_reference_free(struct sb_reference *reference) {
    free(reference->host);
    free(reference->repository);
    free(reference->tag);
    *reference = (struct sb_reference){0};
}

void sb_reference_copy(struct sb_reference *to, const struct sb_reference *from) {
    *to = *from;
    to->host = from->host ? sb_strdup(from->host) : NULL;
    to->repository = from->repository ? sb_strdup(from->repository) : NULL;
    to->tag = from->tag ? sb_strdup(from->tag) : NULL;
}

char *sb_reference_name(const struct sb_reference *reference) {
    return sb_format("%s/%s", reference->host, reference->repository);
}

char *sb_reference_text(const struct sb_reference *reference) {
    struct sb_buf out = {0};
    sb_buf_addf(&out, "%s/%s", reference->host, reference->repository);
    if (reference->tag)
        sb_buf_addf(&out, ":%s", reference->tag);
    if (reference->has_digest)
        sb_buf_addf(&out, "@%s", sb_digest_text(&reference->digest).text);
    return sb_buf_steal(&out);
}
