/* What a step gets from outside while it runs, and where in the root. */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/recipe_private.h"

void sb_reader_check_place(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                           const char *path) {
    sb_reader_check_names(reader, node, key, path);
    sb_autofree char *clean = sb_path_clean(path);
    if (sb_step_reserved(clean))
        sb_reader_problem(reader, node,
                          "key \"%s\": expected a place other than /, and not in /proc, /sys or "
                          "/dev, which a step has of its own, found %s",
                          key, sb_text_shown(path).text);
}

/* Of the step's secret, where its file is; NULL when it is a variable. The caller's. */
static char *file_of(const struct sb_step *step, size_t i) {
    if (*step->secret_places.v[i])
        return sb_path_clean(step->secret_places.v[i]);
    return *step->secret_variables.v[i] ? NULL : sb_format("/run/secrets/%s", step->secrets.v[i]);
}

/* A file has nothing below it, and is nothing else. */
static void check_beside(struct sb_reader *reader, const struct sb_yaml *node, const char *file,
                         const char *name, const char *what, const char *path) {
    sb_autofree char *clean = sb_path_clean(path);
    if (sb_path_is_below(clean, file))
        sb_reader_problem(reader, node,
                          "%s: %s lies where the secret %s is a file, %s (expected places apart)",
                          what, sb_text_shown(path).text, name, sb_text_shown(file).text);
}

void sb_step_check_places(struct sb_reader *reader, const struct sb_yaml *node,
                          const struct sb_step *step) {
    for (size_t i = 0; i < step->secrets.n; i++) {
        sb_autofree char *file = file_of(step, i);
        if (!file)
            continue;
        for (size_t k = 0; k < step->caches.n; k++)
            check_beside(reader, node, file, step->secrets.v[i], "key \"cache\"",
                         step->caches.v[k]);
        for (size_t k = 0; k < step->secrets.n; k++) {
            sb_autofree char *other = file_of(step, k);
            bool same = !strcmp(step->secrets.v[k], step->secrets.v[i]);
            bool equal = other && !strcmp(other, file);
            if (other && k != i && !(equal && (same || k < i)))
                check_beside(reader, node, file, step->secrets.v[i], "key \"secrets\"", other);
        }
    }
}
