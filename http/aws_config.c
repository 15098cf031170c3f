#include "http/aws_config.h"

#include <ctype.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

const char *sb_aws_env(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *sb_aws_profile(void) {
    const char *name = sb_aws_env("AWS_PROFILE");
    if (!name)
        name = sb_aws_env("AWS_DEFAULT_PROFILE");
    return name ? name : "default";
}

/* ---- lookup ---- */

const char *sb_aws_config_get(const struct sb_aws_config *config, const char *profile,
                              const char *key) {
    for (size_t i = 0; i < config->n; i++)
        if (!strcmp(config->v[i].profile, profile) && !strcmp(config->v[i].key, key))
            return config->v[i].value;
    return NULL;
}

bool sb_aws_config_has(const struct sb_aws_config *config, const char *profile) {
    for (size_t i = 0; i < config->n; i++)
        if (!strcmp(config->v[i].profile, profile))
            return true;
    return false;
}

static void set(struct sb_aws_config *config, const char *profile, const char *key,
                const char *value, size_t first) {
    for (size_t i = 0; i < config->n; i++) {
        struct sb_aws_setting *old = &config->v[i];
        if (strcmp(old->profile, profile) != 0 || strcmp(old->key, key) != 0)
            continue;
        if (i < first) /* of the file that was read before, which wins */
            return;
        explicit_bzero(old->value, strlen(old->value));
        free(old->value);
        old->value = sb_strdup(value);
        return;
    }
    SB_GROW(config->v, config->n, config->cap);
    config->v[config->n++] =
        (struct sb_aws_setting){sb_strdup(profile), sb_strdup(key), sb_strdup(value)};
}

void sb_aws_config_free(struct sb_aws_config *config) {
    for (size_t i = 0; i < config->n; i++) {
        free(config->v[i].profile);
        free(config->v[i].key);
        explicit_bzero(config->v[i].value, strlen(config->v[i].value));
        free(config->v[i].value);
    }
    free(config->v);
    free(config->config_path);
    free(config->credentials_path);
    *config = (struct sb_aws_config){0};
}

/* ---- parsing ---- */

static char *trim(char *text) {
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

/* "[profile NAME]" to NAME; NULL for a section that is no profile. line has its brackets off. */
static char *section_profile(char *name, bool is_credentials) {
    name = trim(name);
    if (is_credentials || !strcmp(name, "default"))
        return name;
    if (strncmp(name, "profile", 7) != 0 || !isspace((unsigned char)name[7]))
        return NULL;
    name = trim(name + 7);
    size_t len = strlen(name);
    if (len > 1 && (*name == '"' || *name == '\'') && name[len - 1] == *name) {
        name[len - 1] = '\0';
        name++;
    }
    return name;
}

/* A comment ends a value only after a blank: keys hold "#" and ";" now and then. */
static char *value_of(char *text) {
    for (char *p = text; *p; p++)
        if ((*p == '#' || *p == ';') && (p == text || isspace((unsigned char)p[-1])))
            *p = '\0';
    return trim(text);
}

static int parse_line(struct sb_aws_config *config, char *line, char **profile, bool *in_section,
                      bool is_credentials, size_t first) {
    if (*line == '#' || *line == ';' || isspace((unsigned char)*line) || !*line)
        return 0; /* also: what continues or nests */
    if (*line == '[') {
        char *end = strchr(line, ']');
        if (!end)
            return -1;
        *end = '\0';
        char *name = section_profile(line + 1, is_credentials);
        free(*profile);
        *profile = name ? sb_strdup(name) : NULL;
        *in_section = true;
        return 0;
    }
    char *equals = strchr(line, '=');
    if (!equals || !*in_section)
        return -1;
    *equals = '\0';
    char *key = trim(line);
    for (char *p = key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (!*key)
        return -1;
    if (*profile)
        set(config, *profile, key, value_of(equals + 1), first);
    return 0;
}

int sb_aws_config_parse(struct sb_aws_config *config, const char *text, const char *path,
                        bool is_credentials, struct sb_error *err) {
    size_t len = strlen(text), first = config->n;
    char *copy = sb_strdup(text), *rest = copy;
    if (!strncmp(rest, "\xEF\xBB\xBF", 3))
        rest += 3;
    sb_autofree char *profile = NULL;
    bool in_section = false;
    int number = 0, result = 0;
    for (char *line; result == 0 && (line = strsep(&rest, "\n"));) {
        number++;
        if (parse_line(config, line, &profile, &in_section, is_credentials, first) < 0)
            result = sb_fail(err, SB_E_NETWORK, "%s:%d: expected \"[profile]\" or \"key = value\"",
                             path, number);
    }
    explicit_bzero(copy, len);
    free(copy);
    return result;
}

/* ---- files ---- */

static char *file_path(const char *variable, const char *name) {
    const char *path = sb_aws_env(variable), *home = sb_aws_env("HOME");
    if (path && (strncmp(path, "~/", 2) != 0 || !home))
        return sb_strdup(path);
    if (!home) {
        const struct passwd *user = getpwuid(getuid());
        home = user ? user->pw_dir : "/";
    }
    return path ? sb_format("%s%s", home, path + 1) : sb_format("%s/.aws/%s", home, name);
}

static int load_file(struct sb_aws_config *config, const char *path, bool is_credentials,
                     struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error why = {0};
    if (sb_file_read(AT_FDCWD, path, SB_AWS_CONFIG_LIMIT, &text, &why) < 0) {
        if (why.code == SB_E_NOT_FOUND)
            return 0;
        return sb_fail(err, SB_E_NETWORK, "%s", why.message);
    }
    int result = sb_aws_config_parse(config, sb_buf_text(&text), path, is_credentials, err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    return result;
}

int sb_aws_config_load(struct sb_aws_config *out, struct sb_error *err) {
    *out = (struct sb_aws_config){
        .credentials_path = file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        .config_path = file_path("AWS_CONFIG_FILE", "config"),
    };
    if (load_file(out, out->credentials_path, true, err) == 0 &&
        load_file(out, out->config_path, false, err) == 0)
        return 0;
    sb_aws_config_free(out);
    return -1;
}
