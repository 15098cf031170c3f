/*
 * What listeners are told: one event at a time, from whichever thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "builder/target.h"

static void tell(struct sb_build *build, const struct sb_event *event) {
    if (!build->request->notify)
        return;
    pthread_mutex_lock(&build->notify_lock);
    build->request->notify(build->request->data, event);
    pthread_mutex_unlock(&build->notify_lock);
}

void sb_target_notify(struct sb_target *target, size_t result, enum sb_event_type type,
                      const char *text, size_t text_len) {
    const struct sb_event event = {.type = type,
                                   .id = target->first_id + result,
                                   .layer = &target->results[result],
                                   .text = text,
                                   .text_len = text_len};
    tell(target->build, &event);
}

void sb_target_notify_growth(struct sb_target *target, size_t result,
                             const struct sb_layer_growth *growth) {
    const struct sb_event event = {.type = SB_EVENT_LAYER_GROW,
                                   .id = target->first_id + result,
                                   .layer = &target->results[result],
                                   .growth = growth};
    tell(target->build, &event);
}

void sb_build_warn(struct sb_build *build, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const struct sb_event event = {
        .type = SB_EVENT_WARNING, .text = text, .text_len = strlen(text)};
    tell(build, &event);
}

void sb_build_warn_once(struct sb_build *build, const char *key, const char *text) {
    pthread_mutex_lock(&build->notify_lock);
    bool said = sb_strings_has(&build->warned, key);
    if (!said)
        sb_strings_add(&build->warned, key);
    pthread_mutex_unlock(&build->notify_lock);
    const struct sb_event event = {
        .type = SB_EVENT_WARNING, .text = text, .text_len = strlen(text)};
    if (!said)
        tell(build, &event);
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
    sb_build_warn_once(target->build, text, text);
}
