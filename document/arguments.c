#include "document/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

const char *const sb_platform_arguments[] = {SB_ARGUMENT_PLATFORM, SB_ARGUMENT_ARCHITECTURE, NULL};

bool sb_argument_is_platform(const char *name) {
    return !strcmp(name, SB_ARGUMENT_PLATFORM) || !strcmp(name, SB_ARGUMENT_ARCHITECTURE);
}

/* "linux/arm64/v8" is written without the variant, as there is no other. */
static char *platform_text(const char *architecture, const char *variant) {
    bool plain = !variant || !strcmp(architecture, "arm64");
    return sb_format("linux/%s%s%s", architecture, plain ? "" : "/", plain ? "" : variant);
}

void sb_arguments_add_platform(struct sb_pairs *args, const struct sb_platform *platform) {
    if (!platform)
        platform = sb_platform_own();
    sb_autofree char *text = sb_platform_text(platform);
    sb_pairs_set(args, SB_ARGUMENT_PLATFORM, text);
    sb_pairs_set(args, SB_ARGUMENT_ARCHITECTURE, platform->architecture);
}

/* ---- values that somebody compares them with ---- */

/* As Go spells them, of Linux. */
static const char *const architectures[] = {"386",    "amd64",   "arm",      "arm64",   "loong64",
                                            "mips",   "mips64",  "mips64le", "ppc64le", "ppc64",
                                            "mipsle", "riscv64", "s390x",    NULL};

static const struct {
    const char *written, *meant;
} others[] = {{"x86_64", "amd64"}, {"x86-64", "amd64"}, {"x64", "amd64"},      {"i386", "386"},
              {"i686", "386"},     {"x86", "386"},      {"aarch64", "arm64"},  {"armhf", "arm"},
              {"armv7l", "arm"},   {"armel", "arm"},    {"ppc64el", "ppc64le"}};

static bool is_architecture(const char *text) {
    for (size_t i = 0; architectures[i]; i++)
        if (!strcmp(architectures[i], text))
            return true;
    return false;
}

static const char *nearest_architecture(const char *text) {
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcasecmp(others[i].written, text))
            return others[i].meant;
    return sb_text_nearest(text, architectures);
}

static bool check_platform(const char *value, char **out_guess) {
    struct sb_platform platform;
    struct sb_error ignored = {0};
    if (sb_platform_parse(value, &platform, &ignored) < 0) {
        const char *nearest = nearest_architecture(value);
        *out_guess = nearest ? platform_text(nearest, NULL) : NULL;
        return false;
    }
    bool known = is_architecture(platform.architecture);
    const char *nearest =
        known ? platform.architecture : nearest_architecture(platform.architecture);
    sb_autofree char *right = nearest ? platform_text(nearest, platform.variant) : NULL;
    sb_platform_free(&platform);
    if (right && !strcmp(right, value))
        return true;
    *out_guess = sb_steal(right);
    return false;
}

bool sb_argument_can_be(const char *name, const char *value, char **out_guess) {
    *out_guess = NULL;
    if (!strcmp(name, SB_ARGUMENT_PLATFORM))
        return check_platform(value, out_guess);
    if (strcmp(name, SB_ARGUMENT_ARCHITECTURE) != 0 || is_architecture(value))
        return true;
    const char *nearest = nearest_architecture(value);
    *out_guess = nearest ? sb_strdup(nearest) : NULL;
    return false;
}
