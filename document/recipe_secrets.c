/* secrets: of steps. */
#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "document/recipe_private.h"

struct secret {
    char *name, *to, *variable;
};

static const struct sb_key secret_keys[] = {
    {"name", SB_KEY_STRING, offsetof(struct secret, name), .required = true, .shorthand = true,
     .rule = &sb_rule_secret, .description = "The secret's name."},
    {"to", SB_KEY_STRING, offsetof(struct secret, to), .rule = &sb_rule_absolute,
     .fallback = "/run/secrets/NAME", .description = "The file that it is while the step runs."},
    {"env", SB_KEY_STRING, offsetof(struct secret, variable), .rule = &sb_rule_env,
     .description = "The environment variable that has it while the step runs."},
    {0},
};

enum { SECRET_LIMIT = 32 }; /* of one step */

static bool has_secret(const struct sb_step *step, const char *name, const char *to,
                       const char *variable) {
    for (size_t i = 0; i < step->secrets.n; i++)
        if (!strcmp(step->secrets.v[i], name) && !strcmp(step->secret_places.v[i], to) &&
            !strcmp(step->secret_variables.v[i], variable))
            return true;
    return false;
}

static void add_secret(struct sb_step *step, const char *name, const char *to,
                       const char *variable) {
    if (has_secret(step, name, to, variable))
        return;
    sb_strings_add(&step->secrets, name);
    sb_strings_add(&step->secret_places, to);
    sb_strings_add(&step->secret_variables, variable);
}

/* One place has one secret. */
static void check_secret(struct sb_reader *reader, const struct sb_yaml *node,
                         const struct sb_step *step, const struct secret *secret) {
    size_t n = secret->to ? strlen(secret->to) : 0;
    if (n && secret->to[n - 1] == '/')
        sb_reader_problem(reader, node, "key \"to\": expected the whole path of a file, found %s",
                          sb_text_shown(secret->to).text);
    if (secret->variable && !strcmp(secret->variable, "PATH"))
        sb_reader_problem(reader, node,
                          "key \"env\": PATH says where programs are, and is told "
                          "when one isn't there (expected another variable)");
    for (size_t i = 0; i < step->secrets.n; i++) {
        bool same = !strcmp(step->secrets.v[i], secret->name);
        if (secret->to && !strcmp(step->secret_places.v[i], secret->to) && !same)
            sb_reader_problem(reader, node, "key \"to\": %s is the secret %s already",
                              sb_text_shown(secret->to).text, step->secrets.v[i]);
        if (secret->variable && !strcmp(step->secret_variables.v[i], secret->variable) && !same)
            sb_reader_problem(reader, node, "key \"env\": %s is the secret %s already",
                              secret->variable, step->secrets.v[i]);
    }
}

static void read_secret(struct sb_reader *reader, const struct sb_yaml *node, void *target) {
    struct sb_step *step = target;
    struct secret secret = {0};
    size_t before = reader->problem_total;
    sb_schema_read(reader, secret_keys, "secrets", node, &secret);
    if (secret.name && reader->problem_total == before)
        check_secret(reader, node, step, &secret);
    if (secret.to && reader->problem_total == before)
        sb_reader_check_place(reader, node, "to", secret.to);
    if (secret.name && reader->problem_total == before)
        add_secret(step, secret.name, secret.to ? secret.to : "",
                   secret.variable ? secret.variable : "");
    sb_schema_free(secret_keys, &secret);
}

void sb_secrets_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                     void *target) {
    sb_schema_read_each(reader, key, node, SECRET_LIMIT, read_secret, target);
}

json_t *sb_secrets_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_one_or_many(json_pack("{s:s}", "$ref", "#/$defs/secret"), SECRET_LIMIT);
}

/* Unless the step has that secret, or another in its place. */
static void add_default_secret(struct sb_step *step, size_t own, const struct sb_step *defaults,
                               size_t which) {
    const char *name = defaults->secrets.v[which], *to = defaults->secret_places.v[which],
               *variable = defaults->secret_variables.v[which];
    for (size_t i = 0; i < own; i++)
        if (!strcmp(step->secrets.v[i], name) || (*to && !strcmp(step->secret_places.v[i], to)) ||
            (*variable && !strcmp(step->secret_variables.v[i], variable)))
            return;
    add_secret(step, name, to, variable);
}

void sb_secrets_add_defaults(struct sb_step *step, const struct sb_step *defaults) {
    size_t own = step->secrets.n;
    for (size_t i = 0; i < defaults->secrets.n; i++)
        add_default_secret(step, own, defaults, i);
}

json_t *sb_secret_schema(void) {
    return sb_schema_of_keys(secret_keys);
}
