/* What platforms are called. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "document/arguments.h"
#include "document/rules.h"

#define PLATFORM "linux/[a-z0-9]+(/v[0-9]+)?"

static bool check_platform(const char *text) {
    sb_autofree char *guess = NULL;
    return sb_argument_can_be(SB_ARGUMENT_PLATFORM, text, &guess);
}

static void suggest_platform(const char *text, struct sb_buf *out) {
    sb_autofree char *guess = NULL;
    if (!sb_argument_can_be(SB_ARGUMENT_PLATFORM, text, &guess) && guess)
        sb_buf_adds(out, guess);
}

const struct sb_rule sb_rule_platform = {
    .expected = "a platform such as linux/amd64 or linux/arm64",
    .pattern = "^" PLATFORM "$",
    .check = check_platform,
    .suggest = suggest_platform,
};

static bool check_stage_platform(const char *text) {
    return !strcmp(text, SB_PLATFORM_BUILD) || check_platform(text);
}

static void suggest_stage_platform(const char *text, struct sb_buf *out) {
    const char *words[] = {"build", "native", "host", "BUILDPLATFORM", "buildplatform"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i]))
            sb_buf_adds(out, SB_PLATFORM_BUILD);
    if (out->len == 0)
        suggest_platform(text, out);
}

const struct sb_rule sb_rule_stage_platform = {
    .expected = "build, or a platform such as linux/amd64",
    .pattern = "^(" SB_PLATFORM_BUILD "|" PLATFORM ")$",
    .check = check_stage_platform,
    .suggest = suggest_stage_platform,
};
