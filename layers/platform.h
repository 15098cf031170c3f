/*
 * layers/platform: what an image is made for (image-spec 1.1, image-index.md, "platform").
 *
 * Names are Go's, as OCI has them: linux/amd64, linux/arm64, linux/arm/v7. A variant that is not
 * written means the first that there was: linux/arm64 is linux/arm64/v8.
 */
#ifndef SB_LAYERS_PLATFORM_H
#define SB_LAYERS_PLATFORM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "layers/store.h"

/* Docker marks attestations by this annotation, beside the platform unknown/unknown. */
#define SB_ANNOTATION_REFERENCE_TYPE "vnd.docker.reference.type"

/* "amd64", "arm64", …: of this machine, in Go's spelling as OCI uses it. */
const char *sb_platform_architecture(void);
const char *sb_platform_variant(void); /* "v8" on arm64, else NULL */

/* Strings are the owner's. */
struct sb_platform {
    char *os, *architecture;
    char *variant; /* NULL: none was named */
};
const struct sb_platform *sb_platform_own(void); /* this machine's, with its variant */
bool sb_platform_is_own(const struct sb_platform *platform);
/* Writes the variant down that one without a name means, where images say it: v8 of arm64, v7 of
 * arm. So all machines make the same of it. */
void sb_platform_complete(struct sb_platform *platform);
/* "linux/arm64", "linux/arm/v7"; SB_E_USAGE otherwise. Free with sb_platform_free. */
int sb_platform_parse(const char *text, struct sb_platform *out, struct sb_error *err);
/* What a config or an index's "platform" says, in Go's names; false, and out empty, when it lacks
 * os or architecture, or says that they are unknown, or anything that no platform is called. */
bool sb_platform_read(const json_t *value, struct sb_platform *out);
void sb_platform_copy(struct sb_platform *to, const struct sb_platform *from);
void sb_platform_free(struct sb_platform *platform);
#define sb_autoplatform __attribute__((cleanup(sb_platform_free), unused))

/* A list of them, which it owns. */
struct sb_platforms {
    struct sb_platform *v;
    size_t n, cap;
};
/* Copies it, unless it is there. */
void sb_platforms_add(struct sb_platforms *list, const struct sb_platform *platform);
bool sb_platforms_has(const struct sb_platforms *list, const struct sb_platform *platform);
void sb_platforms_free(struct sb_platforms *list);
#define sb_autoplatforms __attribute__((cleanup(sb_platforms_free), unused))
/* Those that Linux's images are usually made for. */
void sb_platforms_add_usual(struct sb_platforms *list);

/* "linux/arm64", "linux/arm/v7": without a variant that need not be written. The caller's. */
char *sb_platform_text(const struct sb_platform *platform);
/* {"architecture", "os", "variant"}: a new reference. */
json_t *sb_platform_json(const struct sb_platform *platform);
/* By os, architecture and variant: 0 for two that mean the same. */
int sb_platform_compare(const struct sb_platform *a, const struct sb_platform *b);

/* Whether an image whose config names that architecture is for the platform; one that names none
 * is for any. */
bool sb_platform_fits(const struct sb_platform *platform, const char *architecture);
/* The descriptor in an index's "manifests" that fits the platform (NULL: this machine) best. An
 * entry that says less than os and architecture is for any, and taken when no other fits.
 * SB_E_NOT_FOUND names the platforms that there are. */
int sb_platform_choose(const json_t *manifests, const struct sb_platform *platform,
                       struct sb_descriptor *out, struct sb_error *err);

#endif
