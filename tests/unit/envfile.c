/* deploy/host/envfile: what systemd would silently alter is refused, with its line. That systemd
 * reads what is accepted as it says is shown on nodes (tests/e2e/node-processes.sh). */
#include "deploy/host/envfile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

static void test_accepted(void) {
    static const char *const texts[] = {
        "",
        "\n\n",
        "A=1",
        "A=1\nB=2\n",
        "A=\n",
        "A=''\n",
        "# a comment\n; another\n  # a third\nA=1\n",
        "  A = 1  \n",
        "A=x#y\n",
        "A=#y\n",
        "A=$HOME ${X} `y`\n",
        "A=it's \"so\"\n",
        "A='a\\b \"x\" # $y'\n",
        "A=\"a\\\"b\\\\c\\$d\\`e # f\"\n",
        "A='one\ntwo'\nB=1\n",
        "A=\"one\n\ntwo\"   \n",
        "A=1\r\nB='2'\r\n\r\n# x\r\n",
        "A=\xc3\xa4\xe2\x82\xac\n",
        "A=x=y=z\n",
        "_a1=tab\there\n",
        "exported=1\nexport=2\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sb_error err = {0};
        if (!CHECK_INT(sb_envfile_check_text("f", texts[i], strlen(texts[i]), &err), 0))
            printf("    %s: %s\n", texts[i], err.message);
    }
}

static void test_refused(void) {
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"PW=a\\b\n", "f:1: has a \\ that systemd would take out"},
        {"A=1\nexport X=1\n", "f:2: begins with export"},
        {"export\tX=1", "f:1: begins with export"},
        {"A=1\n\nB\n", "f:3: has no ="},
        {"A=1\\\nB=2\n", "f:1: has a \\"},
        {"A-B=1\n", "f:1: has a name"},
        {"A.B=1\n", "f:1: has a name"},
        {"1A=1\n", "f:1: does not begin"},
        {"=1\n", "f:1: does not begin"},
        {"A=x # a comment\n", "f:1: has a # behind a blank"},
        {"A=\"x\" # a comment\n", "f:1: goes on behind"},
        {"A=\"x\"y\n", "f:1: goes on behind"},
        {"A='x'\"y\"\n", "f:1: goes on behind"},
        {"A='x\nB=1\n", "f:1: has a quote that is not closed"},
        {"A=\"x\\\"\n", "f:1: has a quote that is not closed"},
        {"A=\"x\\", "f:1: has a quote that is not closed"},
        {"A=\"a\\nb\"\n", "f:1: has a \\ in"},
        {"A=1\n# c\\\nB=2\n", "f:2: is a comment that ends in"},
        {"A='1\r\n2'\n", "f:1: has a line that ends in CR LF"},
        {"A=\xff\n", "f:1: is not UTF-8"},
        {"A=1\nB='\xc3'\n", "f:2: is not UTF-8"},
        {"A=1\nB=\xef\xbf\xbe\n", "f:2: is not UTF-8"}, /* U+FFFE */
        {"\xef\xbb\xbf"
         "A=1\n",
         "f:1: begins with a byte order mark"},
        {"A=1\nB=\x1b[0m\n", "f:2: has a control character"},
        {"A=1\r2\n", "f:1: has a control character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_error err = {0};
        CHECK_INT(sb_envfile_check_text("f", cases[i].text, strlen(cases[i].text), &err), -1);
        if (!CHECK(strstr(err.message, cases[i].said)))
            printf("    %s: %s\n", cases[i].text, err.message);
        CHECK(err.hint[0]);
    }
    struct sb_error err = {0};
    CHECK_INT(sb_envfile_check_text("f", "A=1\0B", 5, &err), -1);
    CHECK(strstr(err.message, "control character"));
}

static void test_files(void) {
    struct sb_error err = {0};
    char dir[] = "/tmp/sb-envfile-XXXXXX", path[4200];
    if (!CHECK(mkdtemp(dir) != NULL))
        return;
    snprintf(path, sizeof path, "%s/none.env", dir);
    CHECK_INT(sb_envfile_check(path, &err), 0);
    CHECK_INT(mkfifo(path, 0600), 0);
    CHECK_INT(sb_envfile_check(path, &err), -1);
    CHECK(strstr(err.message, "FIFO"));
    unlink(path);
    CHECK_INT(mkdir(path, 0700), 0);
    CHECK_INT(sb_envfile_check(path, &err), -1);
    rmdir(path);
    rmdir(dir);
}

int main(void) {
    test_accepted();
    test_refused();
    test_files();
    return test_done();
}
