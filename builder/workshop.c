#include "builder/workshop.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"

void sb_workshop_init(struct sb_workshop *shop) {
    pthread_mutex_init(&shop->lock, NULL);
}

void sb_workshop_free(struct sb_workshop *shop) {
    sb_shelf_free(&shop->shelf);
    sb_strings_free(&shop->warned);
    sb_pairs_free(&shop->settled);
    pthread_mutex_destroy(&shop->lock);
}

int sb_workshop_threads(const struct sb_workshop *shop) {
    if (shop->request->jobs > 0)
        return shop->request->jobs;
    if (shop->settings->jobs > 0)
        return (int)shop->settings->jobs;
    return sb_core_count();
}

void sb_workshop_tell(struct sb_workshop *shop, const struct sb_event *event) {
    if (!shop->request->notify)
        return;
    pthread_mutex_lock(&shop->lock);
    shop->request->notify(shop->request->data, event);
    pthread_mutex_unlock(&shop->lock);
}

static void tell_warning(struct sb_workshop *shop, const char *text) {
    const struct sb_event event = {
        .type = SB_EVENT_WARNING, .text = text, .text_len = strlen(text)};
    sb_workshop_tell(shop, &event);
}

void sb_workshop_warn(struct sb_workshop *shop, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tell_warning(shop, text);
}

void sb_workshop_warn_once(struct sb_workshop *shop, const char *key, const char *text) {
    pthread_mutex_lock(&shop->lock);
    bool said = sb_strings_has(&shop->warned, key);
    if (!said)
        sb_strings_add(&shop->warned, key);
    pthread_mutex_unlock(&shop->lock);
    if (!said)
        tell_warning(shop, text);
}
