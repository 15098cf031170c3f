/*
 * What listeners are told: one event at a time, from whichever thread.
 */
#include "base/memory.h"
#include "builder/target.h"

void sb_target_notify(struct sb_target *target, size_t result, enum sb_event_type type,
                      const char *text, size_t text_len) {
    const struct sb_event event = {.type = type,
                                   .id = target->first_id + result,
                                   .layer = &target->results[result],
                                   .text = text,
                                   .text_len = text_len};
    sb_workshop_tell(target->shop, &event);
}

void sb_target_notify_growth(struct sb_target *target, size_t result,
                             const struct sb_layer_growth *growth) {
    const struct sb_event event = {.type = SB_EVENT_LAYER_GROW,
                                   .id = target->first_id + result,
                                   .layer = &target->results[result],
                                   .growth = growth};
    sb_workshop_tell(target->shop, &event);
}

void sb_target_warn_outputs(struct sb_target *target) {
    if (!target->context)
        return;
    const struct sb_strings *paths = sb_context_left_out(target->context);
    if (paths->n == 0)
        return;
    sb_autofree char *more =
        paths->n > 1 ? sb_format(" and %zu more", paths->n - 1) : sb_strdup("");
    sb_autofree char *text = sb_format(
        "%s: left out %s%s, which sbuild wrote; name them in .sbuildignore, and they are left out "
        "everywhere",
        target->recipe->path, paths->v[0], more);
    sb_workshop_warn_once(target->shop, text, text);
}
