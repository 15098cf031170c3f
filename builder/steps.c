#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/step.h"
#include "builder/step_kinds.h"

const struct sb_step_kind *const sb_step_kinds[] = {
    &sb_step_kind_apt,
    &sb_step_kind_pip,
    &sb_step_kind_run,
    &sb_step_kind_copy,
    &sb_step_kind_download,
    &sb_step_kind_prune,
    NULL,
};

bool sb_step_downloads(const struct sb_step *step) {
    return step->kind && step->kind->type == SB_STEP_DOWNLOAD && !step->download.extract;
}

bool sb_step_sees_env(const struct sb_step *step) {
    return step->kind->type == SB_STEP_RUN || step->kind->type == SB_STEP_PIP;
}

const struct sb_step_kind *sb_step_kind_find(const char *name) {
    for (size_t i = 0; sb_step_kinds[i]; i++)
        if (!strcmp(sb_step_kinds[i]->name, name))
            return sb_step_kinds[i];
    return NULL;
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
