/* Any bytes as the user that an image names, its passwd and its group: an id, or why there is none.
 */
#include <sys/stat.h>

#include "sandbox/inroot.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int root = -1;
    if (root < 0) {
        root = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        FUZZ_CHECK(mkdirat(root, "etc", 0755) == 0);
    }
    struct fuzz_parts parts = fuzz_parts(data, size);
    size_t passwd_len, group_len;
    sb_autofree char *name = fuzz_next(&parts, NULL);
    sb_autofree char *passwd = fuzz_next(&parts, &passwd_len);
    const char *group = fuzz_rest(&parts, &group_len);
    free(fuzz_directory_file("etc/passwd", passwd, passwd_len));
    free(fuzz_directory_file("etc/group", group, group_len));
    struct sb_user user;
    struct sb_error err = {0};
    if (sb_inroot_user(root, *name ? name : NULL, &user, &err) < 0)
        fuzz_check_error(&err);
    else
        FUZZ_CHECK(user.uid != (uid_t)-1 && user.gid != (gid_t)-1 && user.home[0] == '/' &&
                   user.group_count <= sizeof user.groups / sizeof *user.groups);
    return 0;
}
