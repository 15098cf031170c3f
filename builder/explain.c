#include "builder/explain.h"

#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/memory.h"
#include "context/statcache.h"

/* ---- listings: sorted lines "PATH\0REST\n" ---- */

struct line {
    const char *path, *rest;
    size_t rest_len;
};

/* Takes the next line off a listing; false at its end or where it is damaged. */
static bool next_line(const char **at, const char *end, struct line *out) {
    if (*at >= end)
        return false;
    const char *nul = memchr(*at, '\0', (size_t)(end - *at));
    const char *newline = nul ? memchr(nul, '\n', (size_t)(end - nul)) : NULL;
    if (!newline)
        return false;
    *out = (struct line){*at, nul + 1, (size_t)(newline - nul - 1)};
    *at = newline + 1;
    return true;
}

struct changes {
    size_t count;
    struct sb_buf first; /* "src/main.py changed" */
};

static void note(struct changes *changes, const char *path, const char *what) {
    if (changes->count++ == 0)
        sb_buf_addf(&changes->first, "%s %s", path, what);
}

static bool is_same_line(const struct line *line, const struct sb_buf *now) {
    size_t path = strlen(line->path) + 1;
    return now->len == path + line->rest_len + 1 &&
           !memcmp(now->data + path, line->rest, line->rest_len);
}

/* Files are told by their names in the context, where people know them; gone ones by the image's,
 * if the listing has these. */
static void compare_listings(const char *at, size_t len, const struct sb_copy_list *list,
                             struct changes *out) {
    const char *end = at + len;
    struct line old = {0};
    bool has_old = next_line(&at, end, &old);
    sb_autobuf struct sb_buf text = {0};
    bool gathered = list->n && list->v[list->n - 1].source == list->v[list->n - 1].path;
    for (size_t i = 0; has_old || i < list->n;) {
        const struct sb_copy_entry *e = i < list->n ? &list->v[i] : NULL;
        int order = !has_old ? 1 : !e ? -1 : sb_path_order(old.path, e->path);
        sb_autofree char *name = !e || order < 0 ? sb_format("%s%s", gathered ? "" : "/", old.path)
                                 : e->source && *e->source ? sb_strdup(e->source)
                                                           : sb_format("/%s", e->path);
        sb_buf_reset(&text);
        if (order >= 0)
            sb_copy_listing(&(struct sb_copy_list){.v = (struct sb_copy_entry *)e, .n = 1}, &text);
        if (order < 0)
            note(out, name, "removed");
        else if (order > 0)
            note(out, name, "added");
        else if (!is_same_line(&old, &text))
            note(out, name, "changed");
        if (order <= 0)
            has_old = next_line(&at, end, &old);
        i += order >= 0;
    }
}

/* ---- the JSON of keys ---- */

static bool is_same(const json_t *a, const json_t *b) {
    return (!a && !b) || (a && b && json_equal(a, b));
}

/* The first name whose value differs between two objects; NULL when none does. */
static const char *differing_name(const json_t *a, const json_t *b) {
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)b, name, value) {
        if (!is_same(json_object_get(a, name), value))
            return name;
    }
    json_object_foreach ((json_t *)a, name, value) {
        if (!json_object_get(b, name))
            return name;
    }
    return NULL;
}

static const char *verb(const json_t *a, const json_t *b) {
    return !a ? "added" : !b ? "removed" : "changed";
}

/* The step's own description: for a list of words, which word came or went. */
static void explain_words(const json_t *a, const json_t *b, const char *kind, const char *name,
                          struct sb_buf *out) {
    size_t i;
    json_t *word;
    for (int turn = 0; turn < 2; turn++) {
        const json_t *from = turn ? a : b, *in = turn ? b : a;
        json_array_foreach ((json_t *)from, i, word) {
            bool found = false;
            size_t j;
            json_t *other;
            json_array_foreach ((json_t *)in, j, other) {
                found = found || json_equal(word, other);
            }
            if (!found && json_is_string(word)) {
                sb_buf_addf(out, "%s: %s %s", kind, json_string_value(word),
                            turn ? "removed" : "added");
                return;
            }
        }
    }
    sb_buf_addf(out, "%s: %s changed", kind, name);
}

/* inputs: of a step, by where they are shown. */
static void explain_shown(const json_t *a, const json_t *b, struct sb_buf *out) {
    size_t n = json_array_size(a), m = json_array_size(b);
    for (size_t i = 0; i < n && i < m; i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        if (json_equal(x, y))
            continue;
        sb_buf_addf(out, "the input %s changed", sb_json_string(y, "to", ""));
        return;
    }
    sb_buf_addf(out, "%zu inputs instead of %zu", m, n);
}

static void explain_step(const json_t *a, const json_t *b, size_t number, struct sb_buf *out) {
    const char *kind = sb_json_string(b, "kind", "step");
    if (strcmp(kind, sb_json_string(a, "kind", "")) != 0) {
        sb_buf_addf(out, "step %zu is now %s", number + 1, kind);
        return;
    }
    static const struct {
        const char *key, *what;
    } maps[] = {{"args", "argument"},
                {"secrets", "secret"},
                {"inputs", "file"},
                {"env", "environment variable"},
                {"own_env", "environment variable"}};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        const json_t *x = json_object_get(a, maps[i].key), *y = json_object_get(b, maps[i].key);
        const char *name = differing_name(x, y);
        if (name) {
            sb_buf_addf(out, "%s %s %s", maps[i].what, name,
                        verb(json_object_get(x, name), json_object_get(y, name)));
            return;
        }
    }
    if (!is_same(json_object_get(a, "shown"), json_object_get(b, "shown"))) {
        explain_shown(json_object_get(a, "shown"), json_object_get(b, "shown"), out);
        return;
    }
    const json_t *x = json_object_get(a, "does"), *y = json_object_get(b, "does");
    const char *name = differing_name(x, y);
    if (name)
        explain_words(json_object_get(x, name), json_object_get(y, name), kind, name, out);
    else
        sb_buf_addf(out, "%s: %s changed", kind, differing_name(a, b));
}

static void explain_steps(const json_t *a, const json_t *b, struct sb_buf *out) {
    size_t n = json_array_size(a), m = json_array_size(b);
    for (size_t i = 0; i < n && i < m; i++) {
        if (json_equal(json_array_get(a, i), json_array_get(b, i)))
            continue;
        explain_step(json_array_get(a, i), json_array_get(b, i), i, out);
        return;
    }
    sb_buf_addf(out, "%zu steps instead of %zu", m, n);
}

static void explain_key(const json_t *a, const json_t *b, struct sb_buf *out) {
    static const struct {
        const char *key, *text;
    } plain[] = {{"version", "made by another version of sbuild"},
                 {"kind", "it is another kind of layer"},
                 {"platform", "the platform changed"},
                 {"environment", "made by another version of sbuild"},
                 {"bootstrap", "the bootstrap changed"}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!is_same(json_object_get(a, plain[i].key), json_object_get(b, plain[i].key))) {
            sb_buf_adds(out, plain[i].text);
            return;
        }
    }
    const json_t *x = json_object_get(a, "steps"), *y = json_object_get(b, "steps");
    if (!is_same(x, y)) {
        explain_steps(x, y, out);
        return;
    }
    const char *name = differing_name(json_object_get(a, "env"), json_object_get(b, "env"));
    if (name) {
        sb_buf_addf(out, "environment variable %s changed", name);
        return;
    }
    if (!is_same(json_object_get(a, "below"), json_object_get(b, "below"))) {
        sb_buf_adds(out, "a layer below changed");
        return;
    }
    name = differing_name(a, b);
    sb_buf_addf(out, "%s changed", name ? name : "nothing");
}

const json_t *sb_explain_copy_step(const json_t *old_key, const json_t *new_key,
                                   size_t *out_number) {
    const json_t *x = json_object_get(old_key, "steps"), *y = json_object_get(new_key, "steps");
    size_t copies = 0;
    for (size_t i = 0; i < json_array_size(x) && i < json_array_size(y); i++) {
        const json_t *a = json_array_get(x, i), *b = json_array_get(y, i);
        bool copy = !strcmp(sb_json_string(b, "kind", ""), "copy");
        if (json_equal(a, b)) {
            copies += copy;
            continue;
        }
        *out_number = copies;
        return copy && !strcmp(sb_json_string(a, "kind", ""), "copy") ? a : NULL;
    }
    return NULL;
}

char *sb_explain_change(const json_t *old_key, const json_t *new_key, const char *old_listing,
                        size_t old_len, const struct sb_copy_list *new_list) {
    struct sb_buf out = {0};
    if (old_len > 0 && new_list && new_list->n > 0) {
        struct changes changes = {0};
        compare_listings(old_listing, old_len, new_list, &changes);
        if (changes.count > 0)
            sb_buf_adds(&out, sb_buf_text(&changes.first));
        if (changes.count > 1)
            sb_buf_addf(&out, " and %zu more", changes.count - 1);
        sb_buf_free(&changes.first);
    }
    if (out.len == 0)
        explain_key(old_key, new_key, &out);
    return sb_buf_steal(&out);
}
