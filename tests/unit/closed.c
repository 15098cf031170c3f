/* layers/closed: what of a tree is not everybody's to read. */
#include "layers/closed.h"

#include "tests/unit/layer_test.h"

static struct sb_error err;

static int add(void *data, const char *path, struct sb_error *ignored) {
    (void)ignored;
    sb_buf_addf(data, "%s ", path);
    return 0;
}

static int stop(void *data, const char *path, struct sb_error *own) {
    (void)data;
    return sb_fail(own, SB_E_FAILED, "%s", path);
}

static void test_walk(void) {
    struct layer_test t = layer_test_start();
    sb_autofree char *command = sb_format(
        "set -e; umask 022; mkdir -p %s/walk; cd %s/walk; mkdir -p open closed/deep group none; "
        "touch "
        "open/file closed/file closed/deep/x run group/file; chmod 711 group; chmod 700 closed; "
        "chmod 640 closed/file; chmod 750 run; chmod 0 none; ln -s /etc/shadow link; mkfifo pipe; "
        "chmod 600 pipe; chmod 604 group/file",
        t.dir, t.dir);
    sb_autofree char *said = layer_test_shell(command);
    CHECK_STR(said, "");
    sb_autofree char *path = sb_format("%s/walk", t.dir);
    sb_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autobuf struct sb_buf found = {0};
    CHECK(sb_closed_walk(dir, add, &found, &err) == 0);
    CHECK(strstr(sb_buf_text(&found), "closed ") && strstr(sb_buf_text(&found), "closed/file ") &&
          strstr(sb_buf_text(&found), "run ") && strstr(sb_buf_text(&found), "group "));
    CHECK_INT(found.len, strlen("closed closed/file run group "));
    CHECK(strstr(sb_buf_text(&found), "closed ") < strstr(sb_buf_text(&found), "closed/file "));
    CHECK(sb_closed_walk(dir, stop, NULL, &err) < 0);
    layer_test_end(&t);
}

int main(void) {
    test_walk();
    return test_done();
}
