/*
 * document/image_config: what a recipe's image: section makes of the base's image config.
 */
#ifndef SB_DOCUMENT_IMAGE_CONFIG_H
#define SB_DOCUMENT_IMAGE_CONFIG_H

#include "document/recipe.h"
#include "layers/image.h"

/* Applies user, workdir, entrypoint, cmd, ports, volumes, labels and stop signal, and the
 * environment that sb_image_environment gave. As with a Dockerfile, an entrypoint without a cmd
 * clears the base's cmd. */
void sb_image_configure(struct sb_image *image, const struct sb_recipe_image *settings,
                        const struct sb_pairs *env);

/* How the service's health is asked for, to who heeds that of a config; that of the base is not
 * this service's. After sb_image_configure. */
void sb_image_say_health(struct sb_image *image, const struct sb_service *service);

/* A label, unless the recipe gives one itself. */
void sb_image_say_version(struct sb_image *image, const struct sb_recipe_image *settings,
                          const char *version);
#define SB_LABEL_VERSION "org.opencontainers.image.version"

/* Gives a new distribution's image the PATH that its programs are in: runtimes that read the config
 * as it is have no other. */
void sb_image_add_path(struct sb_image *image);

/* The environment that the image has, and then the recipe's own on top; free with sb_pairs_free,
 * after an error too. args: of the recipe's own, those alone that are made of no other argument;
 * NULL: all. */
int sb_image_environment(const struct sb_image *image, const struct sb_recipe *recipe,
                         const struct sb_strings *args, struct sb_pairs *out, struct sb_error *err);
/* The working directory likewise, absolute; the caller's to free. */
char *sb_image_workdir(const struct sb_image *image, const struct sb_recipe_image *settings);

#endif
