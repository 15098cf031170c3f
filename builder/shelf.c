#include "builder/shelf.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct sb_context *sb_shelf_context(const struct sb_shelf *shelf, const char *directory) {
    for (size_t i = 0; i < shelf->context_count && !shelf->closed; i++)
        if (!strcmp(shelf->contexts[i].directory, directory))
            return shelf->contexts[i].context;
    return NULL;
}

bool sb_shelf_put_context(struct sb_shelf *shelf, const char *directory,
                          struct sb_context *context) {
    if (shelf->closed)
        return false;
    SB_GROW(shelf->contexts, shelf->context_count, shelf->context_cap);
    shelf->contexts[shelf->context_count++] = (struct sb_shelf_context){directory, context};
    return true;
}

const struct sb_parts *sb_shelf_layer(const struct sb_shelf *shelf, const struct sb_digest *key) {
    for (size_t i = 0; i < shelf->layer_count && !shelf->closed; i++)
        if (sb_digest_equal(&shelf->layers[i].key, key))
            return &shelf->layers[i].parts;
    return NULL;
}

void sb_shelf_put_layer(struct sb_shelf *shelf, const struct sb_digest *key,
                        const struct sb_parts *parts) {
    if (shelf->closed)
        return;
    SB_GROW(shelf->layers, shelf->layer_count, shelf->layer_cap);
    struct sb_shelf_layer *layer = &shelf->layers[shelf->layer_count++];
    *layer = (struct sb_shelf_layer){.key = *key};
    sb_parts_copy(&layer->parts, parts);
}

void sb_shelf_forget_layers(struct sb_shelf *shelf) {
    while (shelf->layer_count > 0)
        sb_parts_free(&shelf->layers[--shelf->layer_count].parts);
}

void sb_shelf_free(struct sb_shelf *shelf) {
    sb_shelf_forget_layers(shelf);
    sb_recall_close(shelf->recall);
    for (size_t i = 0; i < shelf->context_count; i++)
        sb_context_close(shelf->contexts[i].context);
    free(shelf->contexts);
    free(shelf->layers);
}
