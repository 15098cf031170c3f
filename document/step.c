#include "document/step.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "document/schema.h"
#include "layers/entry.h"
#include "layers/whiteout.h"

const struct sb_placing *sb_step_placing(const struct sb_step *step) {
    return step->kind && step->kind->placing ? step->kind->placing(step) : NULL;
}

bool sb_origin_is_context(const struct sb_origin *origin) {
    return !origin->stage && !origin->recipe && !origin->image;
}

struct sb_origin *sb_step_origin(const struct sb_step *step, size_t n) {
    struct sb_placing *placing = (struct sb_placing *)sb_step_placing(step);
    size_t copies = placing && !placing->url;
    if (n < copies)
        return &placing->origin;
    n -= copies;
    return n < step->input_count ? sb_step_origin(&step->inputs[n], 0) : NULL;
}

bool sb_step_copies(const struct sb_step *step) {
    const struct sb_placing *placing = sb_step_placing(step);
    return placing && !placing->url;
}

bool sb_step_downloads(const struct sb_step *step) {
    const struct sb_placing *placing = sb_step_placing(step);
    return placing && placing->url;
}

const struct sb_step_kind *sb_step_kind_find(const char *name) {
    for (size_t i = 0; sb_step_kinds[i]; i++)
        if (!strcmp(sb_step_kinds[i]->name, name))
            return sb_step_kinds[i];
    return NULL;
}

int sb_step_at(const struct sb_step *step, struct sb_error *err) {
    return sb_error_context(err, "%s:%d:%d", step->place.file, step->place.line,
                            step->place.column);
}

bool sb_step_is_whiteout(const char *path) {
    return path && sb_whiteout_is_on(path);
}

void sb_reader_check_names(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                           const char *path) {
    for (size_t n; path && *path; path += n + (path[n] == '/')) {
        n = strcspn(path, "/");
        if (n <= NAME_MAX)
            continue;
        sb_reader_problem(reader, node,
                          "key \"%s\": a name of %zu bytes, %.20s… (no file system holds more "
                          "than %d)",
                          key, n, path, NAME_MAX);
        return;
    }
}

void sb_step_check_path(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                        const char *path) {
    sb_reader_check_names(reader, sb_yaml_get(node, key), key, path);
    if (path && sb_step_is_whiteout(path))
        sb_reader_problem(reader, sb_yaml_get(node, key),
                          "key \"%s\": a layer can't hold a name that begins with \"%s\" (such "
                          "names mean removed files in a layer)",
                          key, SB_WHITEOUT_PREFIX);
}

json_t *sb_step_list(const struct sb_strings *list) {
    json_t *out = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(out, json_string(list->v[i]));
    return out;
}

json_t *sb_step_set(const struct sb_strings *list) {
    sb_autostrings struct sb_strings sorted = {0};
    sb_strings_copy(&sorted, list);
    sb_strings_sort(&sorted);
    json_t *out = json_array();
    for (size_t i = 0; i < sorted.n; i++)
        if (i == 0 || strcmp(sorted.v[i], sorted.v[i - 1]))
            json_array_append_new(out, json_string(sorted.v[i]));
    return out;
}

json_t *sb_step_mode(int32_t mode) {
    return json_sprintf("%04o", (unsigned)mode);
}

char *sb_step_words(const char *kind, const struct sb_strings *words) {
    struct sb_buf out = {0};
    sb_buf_addf(&out, "%s:", kind);
    for (size_t i = 0; i < words->n; i++)
        sb_buf_addf(&out, " %s", words->v[i]);
    return sb_buf_steal(&out);
}

bool sb_step_reserved(const char *path) {
    static const char *const places[] = {"/proc", "/sys", "/dev", NULL};
    for (size_t i = 0; places[i]; i++) {
        size_t len = strlen(places[i]);
        if (!strncmp(path, places[i], len) && (!path[len] || path[len] == '/'))
            return true;
    }
    return !strcmp(path, "/");
}
