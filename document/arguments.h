/*
 * document/arguments: the arguments that every recipe has without declaring them: what it is built
 * for.
 *
 *     PLATFORM       linux/amd64, linux/arm64, linux/arm/v7: with a variant where there are several
 *     PLATFORM_ARCH  amd64, arm64, arm
 *
 * They decide nothing that the platform in a layer's key doesn't: what is made of them is seen by
 * all steps.
 */
#ifndef SB_DOCUMENT_ARGUMENTS_H
#define SB_DOCUMENT_ARGUMENTS_H

#include <stdbool.h>

#include "document/pairs.h"
#include "layers/image.h"

#define SB_ARGUMENT_PLATFORM     "PLATFORM"
#define SB_ARGUMENT_ARCHITECTURE "PLATFORM_ARCH"

#define SB_PLATFORM_BUILD "build" /* in recipes: this machine's platform */

/* Their names; ends in NULL. */
extern const char *const sb_platform_arguments[];
bool sb_argument_is_platform(const char *name);

/* Sets them; NULL is this machine's platform. */
void sb_arguments_add_platform(struct sb_pairs *args, const struct sb_platform *platform);

/* Whether one of them may ever have that value; if not, *out_guess is the one that was meant, or
 * NULL. The caller's to free. */
bool sb_argument_can_be(const char *name, const char *value, char **out_guess);

#endif
