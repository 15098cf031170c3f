#include "layers/image.h"

#include <stdlib.h>

#include "base/memory.h"
#include "layers/image_private.h"

void sb_image_init(struct sb_image *out, const char *architecture, const char *variant) {
    *out = (struct sb_image){0};
    out->config =
        json_pack("{s:s, s:s, s:{}}", "architecture", architecture, "os", "linux", "config");
    if (variant)
        json_object_set_new(out->config, "variant", json_string(variant));
}

int sb_image_check_layers(const struct sb_image *image, size_t count, struct sb_error *err) {
    size_t most = image->artifact_type ? SB_ARTIFACT_LAYER_LIMIT : SB_LAYER_LIMIT;
    if (count <= most)
        return 0;
    return sb_fail(err, SB_E_FAILED, "the image has %zu layers, and at most %zu are allowed", count,
                   most);
}

static struct sb_image_layer *grow(struct sb_image *image) {
    SB_GROW(image->layers, image->layer_count, image->layer_cap);
    struct sb_image_layer *layer = &image->layers[image->layer_count++];
    *layer = (struct sb_image_layer){0};
    return layer;
}

void sb_image_add_layer(struct sb_image *image, const struct sb_layer *layer, const char *name,
                        const char *created_by) {
    struct sb_image_layer *to = grow(image);
    to->layer = *layer;
    to->name = name ? sb_strdup(name) : NULL;
    to->created_by = created_by ? sb_strdup(created_by) : NULL;
}

void sb_image_copy(struct sb_image *to, const struct sb_image *from) {
    *to = (struct sb_image){.config = json_deep_copy(from->config),
                            .annotations = json_deep_copy(from->annotations),
                            .descriptor = from->descriptor,
                            .config_descriptor = from->config_descriptor,
                            .subject = from->subject};
    to->artifact_type = from->artifact_type ? sb_strdup(from->artifact_type) : NULL;
    for (size_t i = 0; i < from->layer_count; i++) {
        const struct sb_image_layer *layer = &from->layers[i];
        sb_image_add_layer(to, &layer->layer, layer->name, layer->created_by);
        to->layers[i].annotations = json_deep_copy(layer->annotations);
        to->layers[i].urls = json_deep_copy(layer->urls);
    }
}

void sb_image_free(struct sb_image *image) {
    for (size_t i = 0; i < image->layer_count; i++) {
        free(image->layers[i].name);
        free(image->layers[i].created_by);
        json_decref(image->layers[i].annotations);
        json_decref(image->layers[i].urls);
    }
    free(image->layers);
    free(image->artifact_type);
    json_decref(image->config);
    json_decref(image->annotations);
    *image = (struct sb_image){0};
}
