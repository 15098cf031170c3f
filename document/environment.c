#include "document/environment.h"

#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/arguments.h"

/* "${A}${A}" of long values, again and again, must not fill the memory. */
#define ADDED_LIMIT (4u << 20)

enum { CANDIDATE_LIMIT = 1000 };

static const char *value_of(const struct sb_pairs *env, const char *name) {
    const char *value = sb_pairs_get(env, name);
    return !value && !strcmp(name, "PATH") ? SB_DEFAULT_PATH : value;
}

static size_t add_names(const struct sb_pairs *pairs, const char **names, size_t n) {
    for (size_t i = 0; pairs && i < pairs->n && n < CANDIDATE_LIMIT; i++)
        names[n++] = pairs->v[i].name;
    return n;
}

static int fail_unknown(const struct sb_pairs *env, const struct sb_pairs *args, const char *file,
                        const struct sb_pair *pair, const char *name, struct sb_error *err) {
    sb_autofree const char **names = sb_alloc((CANDIDATE_LIMIT + 1) * sizeof *names);
    add_names(env, names, add_names(args, names, 0));
    const char *nearest = sb_text_nearest(name, names);
    sb_autofree char *guess = nearest ? sb_format("did you mean ${%s}?", nearest)
                                      : sb_strdup("leave it out, or write $$ for a dollar sign");
    return sb_fail(err, SB_E_RECIPE,
                   "%s:%d:%d: key \"%s\": ${%.60s} is neither in args, nor a variable of the base "
                   "or above (%s)",
                   file, pair->line, pair->column, pair->name, name, guess);
}

static int expand(const struct sb_pairs *env, const struct sb_pairs *args, const char *file,
                  const struct sb_pair *pair, struct sb_buf *out, struct sb_error *err) {
    for (const char *p = pair->value; *p;) {
        size_t n = strcspn(p, "$");
        sb_buf_add(out, p, n);
        p += n;
        if (p[0] && p[1] == '$') {
            sb_buf_addc(out, '$');
            p += 2;
        } else if (p[0]) {
            size_t len = strcspn(p + 2, "}");
            sb_autofree char *name = sb_strndup(p + 2, len);
            const char *value = value_of(env, name);
            if (!value)
                return fail_unknown(env, args, file, pair, name, err);
            sb_buf_adds(out, value);
            p += 2 + len + 1;
        }
        if (out->len > ADDED_LIMIT)
            return sb_fail(err, SB_E_RECIPE, "%s:%d:%d: key \"%s\": a value of more than %u bytes",
                           file, pair->line, pair->column, pair->name, ADDED_LIMIT);
    }
    return 0;
}

/* ---- what is made of arguments ---- */

static void inherit_named(struct sb_pair *pair, const char *name, const struct sb_pair *above,
                          size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct sb_strings *args = &above[i].made_of;
        for (size_t k = 0; k < args->n && !strcmp(above[i].name, name); k++)
            if (!sb_strings_has(&pair->made_of, args->v[k]))
                sb_strings_add(&pair->made_of, args->v[k]);
    }
}

static void inherit(struct sb_pair *pair, const struct sb_pair *above, size_t count) {
    bool any = false;
    for (size_t i = 0; i < count && !any; i++)
        any = above[i].made_of.n > 0;
    if (!any)
        return;
    for (const char *p = pair->value; (p = strchr(p, '$')); p += 2) {
        if (p[1] != '{')
            continue;
        sb_autofree char *name = sb_strndup(p + 2, strcspn(p + 2, "}"));
        inherit_named(pair, name, above, count);
    }
}

void sb_environment_inherit(struct sb_pairs *templates) {
    size_t last = templates->n - 1;
    inherit(&templates->v[last], templates->v, last);
}

void sb_environment_inherit_all(struct sb_pairs *templates, const struct sb_pairs *above) {
    for (size_t i = 0; i < templates->n; i++) {
        inherit(&templates->v[i], above->v, above->n);
        inherit(&templates->v[i], templates->v, i);
    }
}

const char *sb_environment_hidden(const struct sb_pair *pair, const struct sb_strings *seen) {
    for (size_t i = 0; seen && i < pair->made_of.n; i++)
        if (!sb_argument_is_platform(pair->made_of.v[i]) &&
            !sb_strings_has(seen, pair->made_of.v[i]))
            return pair->made_of.v[i];
    return NULL;
}

/* ---- all ---- */

int sb_environment_add(struct sb_pairs *env, const struct sb_pairs *templates,
                       const struct sb_pairs *args, const struct sb_strings *seen, const char *file,
                       struct sb_error *err) {
    size_t total = 0;
    for (size_t i = 0; i < templates->n; i++) {
        sb_autobuf struct sb_buf value = {0};
        const struct sb_pair *pair = &templates->v[i];
        if (sb_environment_hidden(pair, seen))
            continue;
        if (expand(env, args, file, pair, &value, err) < 0)
            return -1;
        total += value.len;
        if (total > ADDED_LIMIT)
            return sb_fail(err, SB_E_RECIPE, "%s:%d:%d: key \"%s\": values of more than %u bytes",
                           file, pair->line, pair->column, pair->name, ADDED_LIMIT);
        sb_pairs_set(env, pair->name, sb_buf_text(&value));
    }
    return 0;
}

static bool has(const struct sb_strings *list, const char *text, size_t len) {
    for (size_t i = 0; i < list->n; i++)
        if (strlen(list->v[i]) == len && !strncmp(list->v[i], text, len))
            return true;
    return false;
}

void sb_environment_add_path(struct sb_pairs *env, const struct sb_strings *directories) {
    if (directories->n == 0)
        return;
    sb_autobuf struct sb_buf path = {0};
    for (size_t i = 0; i < directories->n; i++)
        sb_buf_addf(&path, "%s%s", i ? ":" : "", directories->v[i]);
    for (const char *rest = value_of(env, "PATH"); *rest;) {
        size_t n = strcspn(rest, ":");
        if (!has(directories, rest, n))
            sb_buf_addf(&path, ":%.*s", (int)n, rest);
        rest += n + (rest[n] == ':');
    }
    sb_pairs_set(env, "PATH", path.data);
}
