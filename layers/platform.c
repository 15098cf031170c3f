#include "layers/platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "layers/descriptor.h"

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

const struct sb_platform *sb_platform_own(void) {
    static const struct sb_platform own = {
        .os = (char *)"linux", .architecture = (char *)ARCHITECTURE, .variant = (char *)VARIANT};
    return &own;
}

/* ---- platforms as text ---- */

static bool is_word(const char *text) {
    size_t len = strlen(text);
    return len > 0 && len <= 40 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}

int sb_platform_parse(const char *text, struct sb_platform *out, struct sb_error *err) {
    sb_autofree char *copy = sb_strdup(text);
    char *rest = copy, *parts[3] = {0};
    size_t n = 0;
    for (char *part; n < 3 && (part = strsep(&rest, "/")); n++)
        parts[n] = part;
    *out = (struct sb_platform){0};
    if (n < 2 || rest || !is_word(parts[0]) || !is_word(parts[1]) ||
        (parts[2] && !is_word(parts[2]))) {
        sb_fail(err, SB_E_USAGE, "%s is not a platform", sb_text_shown(text).text);
        return sb_error_hint(err, "write it as linux/amd64 or linux/arm/v7");
    }
    out->os = sb_strdup(parts[0]);
    out->architecture = sb_strdup(parts[1]);
    out->variant = parts[2] ? sb_strdup(parts[2]) : NULL;
    return 0;
}

void sb_platform_free(struct sb_platform *platform) {
    free(platform->os);
    free(platform->architecture);
    free(platform->variant);
    *platform = (struct sb_platform){0};
}

/* ---- platforms as documents have them ---- */

/* What some tools write instead of Go's names, and where it is no more than a variant of one. */
static const struct {
    const char *written, *architecture, *variant;
} synonyms[] = {
    {"x86_64", "amd64", NULL},  {"x86-64", "amd64", NULL}, {"i386", "386", NULL},
    {"aarch64", "arm64", NULL}, {"armhf", "arm", "v7"},    {"armel", "arm", "v6"},
};

struct words {
    const char *architecture, *variant; /* "": not said */
};

static struct words words_of(const char *architecture, const char *variant) {
    struct words words = {.architecture = architecture, .variant = variant};
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (!strcasecmp(architecture, synonyms[i].written)) {
            words.architecture = synonyms[i].architecture;
            if (synonyms[i].variant)
                words.variant = synonyms[i].variant;
        }
    return words;
}

/* A variant that is not written means the first that there was. */
static const char *default_variant(const char *architecture) {
    return !strcmp(architecture, "arm64")   ? "v8"
           : !strcmp(architecture, "arm")   ? "v7"
           : !strcmp(architecture, "amd64") ? "v1"
                                            : "";
}

/* "7" is "v7". */
static struct normal_variant {
    char text[44];
} normal_variant(const char *architecture, const char *variant) {
    struct normal_variant out;
    const char *its = *variant ? variant : default_variant(architecture);
    bool bare = its[0] >= '0' && its[0] <= '9' && !its[1];
    snprintf(out.text, sizeof out.text, "%s%.40s", bare ? "v" : "", its);
    return out;
}

void sb_platform_complete(struct sb_platform *platform) {
    const char *variant = default_variant(platform->architecture);
    if (!platform->variant && !strncmp(platform->architecture, "arm", 3) && *variant)
        platform->variant = sb_strdup(variant);
}

bool sb_platform_read(const json_t *value, struct sb_platform *out) {
    const char *os = sb_json_string(value, "os", "");
    struct words words =
        words_of(sb_json_string(value, "architecture", ""), sb_json_string(value, "variant", ""));
    *out = (struct sb_platform){0};
    if (!is_word(os) || !strcmp(os, "unknown") || !is_word(words.architecture) ||
        !strcmp(words.architecture, "unknown") || (*words.variant && !is_word(words.variant)))
        return false;
    out->os = sb_strdup(os);
    out->architecture = sb_strdup(words.architecture);
    out->variant =
        *words.variant ? sb_strdup(normal_variant(words.architecture, words.variant).text) : NULL;
    return true;
}

void sb_platform_copy(struct sb_platform *to, const struct sb_platform *from) {
    *to = (struct sb_platform){.os = sb_strdup(from->os),
                               .architecture = sb_strdup(from->architecture),
                               .variant = from->variant ? sb_strdup(from->variant) : NULL};
}

char *sb_platform_text(const struct sb_platform *platform) {
    const char *variant = platform->variant ? platform->variant : "";
    bool said = *variant && strcmp(variant, default_variant(platform->architecture)) != 0;
    /* 32-bit ARM's has always been written. */
    said = said || (*variant && !strcmp(platform->architecture, "arm"));
    return sb_format("%s/%s%s%s", platform->os, platform->architecture, said ? "/" : "",
                     said ? variant : "");
}

json_t *sb_platform_json(const struct sb_platform *platform) {
    return json_pack("{s:s, s:s, s:s*}", "architecture", platform->architecture, "os", platform->os,
                     "variant", platform->variant);
}

int sb_platform_compare(const struct sb_platform *a, const struct sb_platform *b) {
    int order = strcmp(a->os, b->os);
    if (order == 0)
        order = strcmp(a->architecture, b->architecture);
    if (order != 0)
        return order;
    struct normal_variant x = normal_variant(a->architecture, a->variant ? a->variant : ""),
                          y = normal_variant(b->architecture, b->variant ? b->variant : "");
    return strcmp(x.text, y.text);
}

/* ---- lists ---- */

bool sb_platforms_has(const struct sb_platforms *list, const struct sb_platform *platform) {
    for (size_t i = 0; i < list->n; i++)
        if (sb_platform_compare(&list->v[i], platform) == 0)
            return true;
    return false;
}

void sb_platforms_add(struct sb_platforms *list, const struct sb_platform *platform) {
    if (sb_platforms_has(list, platform))
        return;
    SB_GROW(list->v, list->n, list->cap);
    sb_platform_copy(&list->v[list->n++], platform);
}

void sb_platforms_free(struct sb_platforms *list) {
    for (size_t i = 0; i < list->n; i++)
        sb_platform_free(&list->v[i]);
    free(list->v);
    *list = (struct sb_platforms){0};
}

void sb_platforms_add_usual(struct sb_platforms *list) {
    static const char *const usual[][2] = {
        {"amd64", NULL},   {"arm64", NULL},   {"arm", "v7"},   {"arm", "v6"},     {"386", NULL},
        {"riscv64", NULL}, {"ppc64le", NULL}, {"s390x", NULL}, {"loong64", NULL},
    };
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        sb_platforms_add(list, &(struct sb_platform){.os = (char *)"linux",
                                                     .architecture = (char *)usual[i][0],
                                                     .variant = (char *)usual[i][1]});
}

/* ---- choosing ---- */

bool sb_platform_fits(const struct sb_platform *platform, const char *architecture) {
    struct words its = words_of(architecture, "");
    return !*architecture || !strcmp(its.architecture, platform->architecture);
}

/* 0: not for that platform; the higher the better. */
static int score(const json_t *entry, const struct sb_platform *wanted) {
    const json_t *platform = json_object_get(entry, "platform");
    const char *os = sb_json_string(platform, "os", "");
    struct words words = words_of(sb_json_string(platform, "architecture", ""),
                                  sb_json_string(platform, "variant", ""));
    if ((*os && strcasecmp(os, wanted->os) != 0) ||
        (*words.architecture && strcmp(words.architecture, wanted->architecture) != 0))
        return 0;
    if (!*words.architecture) /* what says nothing may be for anything */
        return 1;
    const char *standard = default_variant(wanted->architecture);
    const char *variant = wanted->variant ? wanted->variant : standard;
    struct normal_variant normal = normal_variant(wanted->architecture, words.variant);
    const char *its = normal.text;
    if (!strcmp(its, variant))
        return 1000;
    /* A processor runs what was made for older ones of its kind; the newest of them is best. */
    bool versions = its[0] == 'v' && variant[0] == 'v' && strlen(its) == 2 && strlen(variant) == 2;
    return versions && its[1] < variant[1] ? 2 + its[1] : 0;
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

int sb_platform_choose(const json_t *manifests, const struct sb_platform *platform,
                       struct sb_descriptor *out, struct sb_error *err) {
    const struct sb_platform *wanted = platform ? platform : sb_platform_own();
    sb_autobuf struct sb_buf others = {0};
    int best = 0;
    size_t i;
    json_t *entry;
    json_array_foreach (manifests, i, entry) {
        struct sb_descriptor descriptor;
        if (json_object_get(json_object_get(entry, "annotations"), SB_ANNOTATION_REFERENCE_TYPE) ||
            sb_descriptor_parse(entry, &descriptor, NULL) < 0)
            continue;
        enum sb_media_kind kind = sb_media_kind(descriptor.media_type);
        if (kind != SB_MEDIA_KIND_MANIFEST && kind != SB_MEDIA_KIND_INDEX)
            continue;
        int its = score(entry, wanted);
        if (its == 0)
            describe(entry, &others);
        if (its > best) {
            best = its;
            *out = descriptor;
        }
    }
    if (best > 0)
        return 0;
    sb_fail(err, SB_E_NOT_FOUND, "the image is not made for %s/%s%s%s", wanted->os,
            wanted->architecture, wanted->variant ? "/" : "",
            wanted->variant ? wanted->variant : "");
    if (others.len > 0)
        sb_error_hint(err, "it is made for %s", others.data);
    return -1;
}

bool sb_platform_is_own(const struct sb_platform *platform) {
    return sb_platform_compare(platform, sb_platform_own()) == 0;
}
