/* document/arguments: what is built for, as every recipe has it. */
#include "document/arguments.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static void check_platform(const char *text, const char *platform, const char *architecture) {
    struct sb_platform parsed;
    struct sb_error err = {0};
    struct sb_pairs args = {0};
    CHECK_INT(sb_platform_parse(text, &parsed, &err), 0);
    sb_arguments_add_platform(&args, &parsed);
    CHECK_STR(sb_pairs_get(&args, "PLATFORM"), platform);
    CHECK_STR(sb_pairs_get(&args, "PLATFORM_ARCH"), architecture);
    /* What it is, it can be. */
    char *guess;
    CHECK(sb_argument_can_be("PLATFORM", platform, &guess) && !guess);
    CHECK(sb_argument_can_be("PLATFORM_ARCH", architecture, &guess) && !guess);
    sb_pairs_free(&args);
    sb_platform_free(&parsed);
}

static void check_never(const char *name, const char *value, const char *meant) {
    char *guess = NULL;
    CHECK(!sb_argument_can_be(name, value, &guess));
    CHECK_STR(guess ? guess : "", meant);
    free(guess);
}

int main(void) {
    check_platform("linux/amd64", "linux/amd64", "amd64");
    check_platform("linux/arm64", "linux/arm64", "arm64");
    check_platform("linux/arm64/v8", "linux/arm64", "arm64");
    check_platform("linux/arm/v7", "linux/arm/v7", "arm");
    check_platform("linux/riscv64", "linux/riscv64", "riscv64");
    check_never("PLATFORM_ARCH", "x86_64", "amd64");
    check_never("PLATFORM_ARCH", "AARCH64", "arm64");
    check_never("PLATFORM_ARCH", "amd46", "amd64");
    check_never("PLATFORM_ARCH", "linux/amd64", "");
    check_never("PLATFORM_ARCH", "", "");
    check_never("PLATFORM", "arm64", "linux/arm64");
    check_never("PLATFORM", "linux/aarch64/v8", "linux/arm64");
    check_never("PLATFORM", "linux/arm64/v8", "linux/arm64");
    check_never("PLATFORM", "darwin/arm64", "linux/arm64");
    check_never("PLATFORM", "linux/", "");
    check_never("PLATFORM", "linux/arm/v7/x", "");
    char *guess;
    CHECK(sb_argument_can_be("OTHER", "x86_64", &guess));
    CHECK(sb_argument_is_platform("PLATFORM") && sb_argument_is_platform("PLATFORM_ARCH"));
    CHECK(!sb_argument_is_platform("PLATFORM_") && !sb_argument_is_platform("platform"));
    struct sb_pairs here = {0};
    sb_arguments_add_platform(&here, NULL);
    CHECK_STR(sb_pairs_get(&here, "PLATFORM_ARCH"), sb_platform_architecture());
    sb_pairs_free(&here);
    return test_done();
}
