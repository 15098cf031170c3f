/* context/telltale: what is warned of, and what is not; the lines that leave it out. */
#include "context/telltale.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "tests/unit/test.h"

static void test_names(void) {
    static const struct {
        const char *path;
        bool directory, told;
    } table[] = {
        {".git", true, true},
        {".git", false, false}, /* of a submodule or a worktree: a path and no more */
        {"a/b/.git", true, true},
        {".github", true, false},
        {".gitignore", false, false},
        {".env", false, true},
        {".env", true, false}, /* a virtual environment */
        {"conf/.env", false, true},
        {".env.local", false, true},
        {".env.production.local", false, true},
        {".env.example", false, false},
        {".env.production", false, false},
        {".envrc", false, false},
        {"env", false, false},
        {".ssh", true, true},
        {"home/.ssh", true, true},
        {"id_rsa", false, true},
        {"id_rsa.pub", false, false},
        {"id_ed25519", false, true},
        {"id_map", false, false},
        {".docker/config.json", false, true},
        {"x/.docker/config.json", false, true},
        {"config.json", false, false},
        {"docker/config.json", false, false},
        {".kube/config", false, true},
        {"config", false, false},
        {".netrc", false, true},
        {".npmrc", false, false},
        {"cacert.pem", false, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!CHECK_INT(
                sb_telltale_is(table[i].path, table[i].directory ? S_IFDIR | 0755 : S_IFREG | 0644),
                table[i].told))
            printf("    %s\n", table[i].path);
}

static void test_text(void) {
    struct sb_telltale told = SB_TELLTALE_START;
    CHECK(!sb_telltale_text(&told, "a.yaml:3", "/ctx", ".dockerignore"));
    sb_telltale_add(&told, "x/.docker/config.json");
    sb_telltale_add(&told, ".env");
    sb_autofree char *text = sb_telltale_text(&told, "a.yaml:3", "/ctx", ".dockerignore");
    CHECK_STR(text, "a.yaml:3: the image gets .env, x/.docker/config.json; if it isn't meant to, "
                    "add to /ctx/.dockerignore:\n.env\n**/.docker/config.json");
    for (int i = 0; i < 200; i++) {
        sb_autofree char *path = sb_format("module-%03d/.env", i);
        sb_telltale_add(&told, path);
    }
    sb_autofree char *many = sb_telltale_text(&told, NULL, "/ctx", ".sbuildignore");
    CHECK_STR(many, "the image gets .env, module-000/.env, module-001/.env, module-002/.env, "
                    "module-003/.env and 197 more; if it isn't meant to, add to "
                    "/ctx/.sbuildignore:\n.env\n**/.env\n**/.docker/config.json");
    sb_telltale_free(&told);
}

int main(void) {
    test_names();
    test_text();
    return test_done();
}
