/* prune: removing what an image can do without. */
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/schema.h"
#include "steps/execution.h"
#include "steps/kinds.h"
#include "steps/pruning.h"

/* What to remove from what the layer's earlier steps wrote, or from the whole file system when it
 * is a layer of its own. */
struct prune {
    struct sb_strings what; /* docs, pyc, tests, man, locales, static, headers, or "glob" */
};

static const struct prune *own(const struct sb_step *step) {
    return step->own;
}

static const struct sb_key keys[] = {
    {"what", SB_KEY_STRINGS, offsetof(struct prune, what), .shorthand = true, .required = true,
     .not_empty = true, .rule = &sb_rule_prune,
     .description = "Categories (docs, man, locales, pyc, tests, static, headers) and patterns "
                    "such as /opt/**/*.a."},
    {0},
};

static void describe(const struct sb_step *step, json_t *out) {
    json_object_set_new(out, "what", sb_step_set(&own(step)->what));
    for (size_t i = 0; i < own(step)->what.n; i++)
        if (sb_prune_directories(own(step)->what.v[i]) > 0)
            json_object_set_new(out, "follows", json_true());
}

static char *summary(const struct sb_step *step) {
    return sb_step_words("prune", &own(step)->what);
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    bool alone = context->layer && context->layer->step_count == 1;
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    if (root < 0)
        return -1;
    sb_autoclose int written = sb_directory_open(
        AT_FDCWD, alone ? sb_root_path(context->root) : sb_root_upper(context->root), err);
    if (written < 0)
        return -1;
    struct sb_pruned pruned = {0};
    if (sb_prune_tree(&own(step)->what, root, written, &pruned, err) < 0)
        return -1;
    sb_autofree char *text =
        sb_format("prune: %llu files removed, %s\n", (unsigned long long)pruned.files,
                  sb_text_size(pruned.bytes).text);
    sb_step_log_say(context->log, text);
    return 0;
}

const struct sb_step_kind sb_step_kind_prune = {
    .name = "prune",
    .size = sizeof(struct prune),
    .description = "Remove what the image can do without, from what the layer's earlier steps "
                   "wrote, or from everything when it is a layer of its own.",
    .keys = keys,
    .describe = describe,
    .summary = summary,
    .run = run,
};
