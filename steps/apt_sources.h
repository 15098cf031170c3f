/*
 * steps/apt_sources: where packages come from: lines for a new root file system, and the image's
 * own list as it is while a step runs.
 *
 * Two things are kept apart: what an image says (the distribution's own archive, or the recipe's
 * mirror), and where this machine fetches from (settings, mirrors:), which no image ever names.
 */
#ifndef SB_STEPS_APT_SOURCES_H
#define SB_STEPS_APT_SOURCES_H

#include "base/buffer.h"
#include "base/error.h"
#include "document/recipe.h"
#include "document/settings.h"

/* The lines of sources.list: the suite, its updates and its security archive, with the components
 * asked for. platform: NULL is this machine's; Ubuntu has two archives. mirror: NULL for the
 * recipe's, or else the distribution's own. keyring: a path for signed-by, or NULL. */
void sb_apt_sources_lines(const struct sb_bootstrap *bootstrap, const struct sb_platform *platform,
                          const char *mirror, const char *keyring, struct sb_strings *out);

/* The settings' mirror for a distribution, or NULL. */
const char *sb_apt_mirror(const struct sb_settings *settings, const char *distribution);

/* A sources file (one-line format, or deb822 for NAME.sources) with the settings' mirrors instead
 * of the distributions' own archives, and with components added wherever main is enabled. Returns
 * whether anything changed. */
bool sb_apt_sources_rewrite(const char *text, bool deb822, const struct sb_settings *settings,
                            const struct sb_strings *components, struct sb_buf *out);

#endif
