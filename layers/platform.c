/*
 * The platform of this machine, and which image of an index is for it (image-spec 1.1,
 * image-index.md, "platform").
 */
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "layers/descriptor.h"
#include "layers/image_private.h"

/* Docker marks attestations by this annotation, beside the platform unknown/unknown. */
#define ANNOTATION_REFERENCE_TYPE "vnd.docker.reference.type"

#if defined __x86_64__
#define ARCHITECTURE "amd64"
#define VARIANT      NULL
#elif defined __aarch64__
#define ARCHITECTURE "arm64"
#define VARIANT      "v8"
#elif defined __arm__
#define ARCHITECTURE "arm"
#define VARIANT      "v7"
#elif defined __i386__
#define ARCHITECTURE "386"
#define VARIANT      NULL
#elif defined __riscv && __riscv_xlen == 64
#define ARCHITECTURE "riscv64"
#define VARIANT      NULL
#elif defined __powerpc64__ && defined __LITTLE_ENDIAN__
#define ARCHITECTURE "ppc64le"
#define VARIANT      NULL
#elif defined __s390x__
#define ARCHITECTURE "s390x"
#define VARIANT      NULL
#else
#error "name this processor as Go does, here"
#endif

const char *sb_platform_architecture(void) {
    return ARCHITECTURE;
}

const char *sb_platform_variant(void) {
    return VARIANT;
}

/* A variant that is not written means the first that there was. */
static const char *default_variant(const char *architecture) {
    return !strcmp(architecture, "arm64")   ? "v8"
           : !strcmp(architecture, "arm")   ? "v7"
           : !strcmp(architecture, "amd64") ? "v1"
                                            : "";
}

/* 0: not for this machine; the higher the better. */
static int score(const json_t *entry) {
    const json_t *platform = json_object_get(entry, "platform");
    if (!json_is_object(platform))
        return 1;
    const char *architecture = sb_json_string(platform, "architecture", "");
    if (strcmp(sb_json_string(platform, "os", ""), "linux") != 0 ||
        strcmp(architecture, ARCHITECTURE) != 0)
        return 0;
    const char *standard = default_variant(ARCHITECTURE);
    const char *mine = VARIANT;
    const char *its = sb_json_string(platform, "variant", standard);
    if (!strcmp(its, mine ? mine : standard))
        return 3;
    /* 32-bit ARM runs what was made for older ones. */
    return !strcmp(ARCHITECTURE, "arm") && strcmp(its, standard) < 0 ? 2 : 0;
}

static void describe(const json_t *entry, struct sb_buf *out) {
    const json_t *platform = json_object_get(entry, "platform");
    const char *variant = sb_json_string(platform, "variant", NULL);
    if (out->len < 1000)
        sb_buf_addf(out, "%s%.40s/%.40s%s%.40s", out->len ? ", " : "",
                    sb_json_string(platform, "os", "unknown"),
                    sb_json_string(platform, "architecture", "unknown"), variant ? "/" : "",
                    variant ? variant : "");
}

int sb_platform_choose(const json_t *manifests, struct sb_descriptor *out, struct sb_error *err) {
    sb_autobuf struct sb_buf others = {0};
    int best = 0;
    size_t i;
    json_t *entry;
    json_array_foreach (manifests, i, entry) {
        struct sb_descriptor descriptor;
        if (json_object_get(json_object_get(entry, "annotations"), ANNOTATION_REFERENCE_TYPE) ||
            sb_descriptor_parse(entry, &descriptor, NULL) < 0)
            continue;
        enum sb_media_kind kind = sb_media_kind(descriptor.media_type);
        if (kind != SB_MEDIA_KIND_MANIFEST && kind != SB_MEDIA_KIND_INDEX)
            continue;
        int its = score(entry);
        if (its == 0)
            describe(entry, &others);
        if (its > best) {
            best = its;
            *out = descriptor;
        }
    }
    if (best > 0)
        return 0;
    sb_fail(err, SB_E_NOT_FOUND, "the image is not made for linux/%s", ARCHITECTURE);
    if (others.len > 0)
        sb_error_hint(err, "it is made for %s", others.data);
    return -1;
}
