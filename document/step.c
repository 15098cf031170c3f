#include "document/step.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "document/schema.h"
#include "layers/entry.h"

const struct sb_placing *sb_step_placing(const struct sb_step *step) {
    return step->kind && step->kind->placing ? step->kind->placing(step) : NULL;
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
    const size_t n = strlen(SB_WHITEOUT_PREFIX);
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (!strncmp(p, SB_WHITEOUT_PREFIX, n))
            return true;
    }
    return false;
}

void sb_step_check_path(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                        const char *path) {
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
