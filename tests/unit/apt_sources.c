/* Where packages come from: what an image says, and where this machine fetches. */
#include <stdlib.h>

#include "base/memory.h"
#include "steps/apt_sources.h"
#include "tests/unit/test.h"

static char *lines(const char *distribution, const char *suite, const char *recipe_mirror,
                   const char *mirror, const char *keyring, const char *architecture) {
    const struct sb_platform platform = {.os = (char *)"linux",
                                         .architecture = (char *)architecture};
    struct sb_bootstrap bootstrap = {.distribution = sb_strdup(distribution),
                                     .suite = sb_strdup(suite),
                                     .mirror = recipe_mirror ? sb_strdup(recipe_mirror) : NULL};
    struct sb_strings list = {0};
    struct sb_buf text = {0};
    sb_strings_add(&bootstrap.components, "main");
    sb_strings_add(&bootstrap.components, "contrib");
    sb_apt_sources_lines(&bootstrap, &platform, mirror, keyring, &list);
    for (size_t i = 0; i < list.n; i++)
        sb_buf_addf(&text, "%s\n", list.v[i]);
    sb_strings_free(&list);
    sb_strings_free(&bootstrap.components);
    free(bootstrap.distribution);
    free(bootstrap.suite);
    free(bootstrap.mirror);
    return sb_buf_steal(&text);
}

static void test_lines(void) {
    sb_autofree char *own = lines("debian", "bookworm", NULL, NULL, "/k.gpg", "amd64");
    CHECK_STR(own,
              "deb [signed-by=/k.gpg] http://deb.debian.org/debian bookworm main contrib\n"
              "deb [signed-by=/k.gpg] http://deb.debian.org/debian bookworm-updates main contrib\n"
              "deb [signed-by=/k.gpg] http://deb.debian.org/debian-security bookworm-security main "
              "contrib\n");
    sb_autofree char *mirrored =
        lines("debian", "sid", NULL, "http://cache.lan/debian/", NULL, "amd64");
    CHECK_STR(mirrored, "deb http://cache.lan/debian sid main contrib\n");
    sb_autofree char *snapshot =
        lines("debian", "bookworm", "http://snapshot.debian.org/archive/debian/20250520T000000Z",
              NULL, NULL, "amd64");
    CHECK(strstr(snapshot, "[check-valid-until=no] http://snapshot.debian.org/archive/"
                           "debian-security/20250520T000000Z bookworm-security main") != NULL);
    sb_autofree char *ubuntu = lines("ubuntu", "jammy", NULL, NULL, NULL, "amd64");
    CHECK(strstr(ubuntu, "deb http://security.ubuntu.com/ubuntu jammy-security main") != NULL);
    sb_autofree char *ports = lines("ubuntu", "jammy", NULL, NULL, NULL, "arm64");
    CHECK(strstr(ports, "deb http://ports.ubuntu.com/ubuntu-ports jammy main") == ports);
    CHECK(strstr(ports, "ports.ubuntu.com/ubuntu-ports jammy-security main") != NULL);
}

static char *rewritten(const char *text, bool deb822, const char *mirror, const char *component) {
    struct sb_settings settings = {.debian_mirror = mirror ? sb_strdup(mirror) : NULL};
    struct sb_strings components = {0};
    struct sb_buf out = {0};
    if (component)
        sb_strings_add(&components, component);
    bool changed = sb_apt_sources_rewrite(text, deb822, &settings, &components, &out);
    CHECK(changed == (strcmp(text, sb_buf_text(&out)) != 0));
    free(settings.debian_mirror);
    sb_strings_free(&components);
    return sb_buf_steal(&out);
}

static void test_rewriting(void) {
    static const char list[] =
        "# deb.debian.org\n"
        "deb [signed-by=/k.gpg] http://deb.debian.org/debian/ bookworm main\n"
        "deb http://deb.debian.org/debian-security bookworm-security main\n"
        "deb http://packages.example.org/debian stable main\n"
        "deb http://packages.example.org/flat ./\n";
    sb_autofree char *same = rewritten(list, false, NULL, NULL);
    CHECK_STR(same, list);
    sb_autofree char *mirror = rewritten(list, false, "http://lan/debian", NULL);
    CHECK_STR(mirror, "# deb.debian.org\n"
                      "deb [signed-by=/k.gpg] http://lan/debian bookworm main\n"
                      "deb http://lan/debian-security bookworm-security main\n"
                      "deb http://packages.example.org/debian stable main\n"
                      "deb http://packages.example.org/flat ./\n");
    sb_autofree char *component = rewritten(list, false, NULL, "non-free");
    CHECK(strstr(component, "debian/ bookworm main non-free\n") != NULL);
    CHECK(strstr(component, "flat ./\n") != NULL);
    sb_autofree char *deb822 = rewritten("Types: deb\nURIs: http://deb.debian.org/debian\n"
                                         "Suites: bookworm\nComponents: main contrib\n",
                                         true, "http://lan/debian", "contrib");
    CHECK_STR(deb822, "Types: deb\nURIs: http://lan/debian\nSuites: bookworm\n"
                      "Components: main contrib\n");
}

int main(void) {
    test_lines();
    test_rewriting();
    return test_done();
}
