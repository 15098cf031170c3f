/*
 * layers/image_private: what the files behind layers/image.h share.
 */
#ifndef SB_LAYERS_IMAGE_PRIVATE_H
#define SB_LAYERS_IMAGE_PRIVATE_H

#include "layers/image.h"

/* Whether it may have so many layers; SB_E_FAILED. */
int sb_image_check_layers(const struct sb_image *image, size_t count, struct sb_error *err);

/* True for an entry of a config's history that made a layer. */
bool sb_history_has_layer(const json_t *entry);

#endif
