/* base/userdb: what this machine's own getent says, and programs of that name that say odd things.
 */
#include "base/userdb.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/test.h"

static void test_real(void) {
    struct sb_error err = {0};
    sb_autofree char *user = NULL, *group = NULL, *nobody = NULL;
    uint32_t id = 7;
    CHECK_INT(sb_userdb_find(SB_USERDB_USERS, "0", &user, &id, &err), 1);
    CHECK_STR(user, "root");
    CHECK_INT(id, 0);
    CHECK_INT(sb_userdb_find(SB_USERDB_GROUPS, "root", &group, NULL, &err), 1);
    CHECK_STR(group, "root");
    CHECK_INT(sb_userdb_find(SB_USERDB_USERS, "1879048199", &nobody, &id, &err), 0);
    CHECK_INT(sb_userdb_find(SB_USERDB_GROUPS, "sbuild-1879048199", &nobody, &id, &err), 0);
    CHECK(!nobody);
    CHECK_STR(err.message, "");
}

static void test_odd(const char *dir) {
    static const struct {
        const char *script, *name;
        uint32_t id;
        int found;
    } cases[] = {
        {"echo 'a b:x:4294967295:5:::'", "a b", 4294967295u, 1},
        {"echo 'many:x:12:'; yes member | head -c 3000000 | tr '\\n' ','", "many", 12, 1},
        {"echo 'x:x:4294967296:'", "", 0, -1},
        {"echo 'x:x:-1:'", "", 0, -1},
        {"echo 'x:x'", "", 0, -1},
        {"echo ':x:1:'", "", 0, -1},
        {"", "", 0, -1},
        {"exit 1", "", 0, -1},
        {"exit 2", "", 0, 0},
        {"kill -KILL $$", "", 0, -1},
        {"yes x:x:1:", "x", 1, -1}, /* no end */
    };
    sb_autofree char *path = sb_format("%s/getent", dir);
    sb_autofree char *all = sb_format("%s:/usr/bin:/bin", dir);
    setenv("PATH", all, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_error err = {0};
        sb_autofree char *name = NULL;
        sb_autofree char *text = sb_format("#!/bin/sh\n%s\n", cases[i].script);
        uint32_t id = 0;
        CHECK(sb_file_write(AT_FDCWD, path, text, strlen(text), 0755, &err) == 0);
        CHECK_INT(sb_userdb_find(SB_USERDB_USERS, "somebody", &name, &id, &err), cases[i].found);
        CHECK_STR(name ? name : "", cases[i].found == 1 ? cases[i].name : "");
        CHECK_INT(id, cases[i].found == 1 ? cases[i].id : 0);
        CHECK_INT(err.code != 0, cases[i].found < 0);
        CHECK(cases[i].found >= 0 || strstr(err.message, "somebody"));
        CHECK(cases[i].found >= 0 || strstr(err.hint, "getent passwd somebody"));
    }
    unlink(path);
}

int main(void) {
    char dir[] = "/tmp/sb-userdb.XXXXXX";
    test_real();
    if (CHECK(mkdtemp(dir)))
        test_odd(dir);
    rmdir(dir);
    return test_done();
}
