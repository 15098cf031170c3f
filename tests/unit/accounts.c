/* deploy/host/accounts: names of an image for another number. */
#include "deploy/host/accounts.h"

#include "base/memory.h"
#include "tests/unit/test.h"

static void test_tables(void) {
    static const struct {
        const char *table, *changed;
        uint32_t old;
        bool groups;
    } cases[] = {
        {"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/app:/bin/sh\n",
         "root:x:0:0:root:/root:/bin/sh\napp:x:77:77::/app:/bin/sh\napp:x:1000:1000::/app:/bin/"
         "sh\n",
         1000, false},
        {"root:x:0:0:root:/root:/bin/sh\n",
         "root:x:77:77:root:/root:/bin/sh\nroot:x:0:0:root:/root:/bin/sh\n", 0, false},
        {"app:x:1000:app\n", "app:x:77:app\napp:x:1000:app\n", 1000, true},
        {"app:x:1000", "", 1000, true},
        {"app:x:1000:5", "app:x:77:77\napp:x:1000:5\n", 1000, false},
        {"app:x:10000:1:::\napp:x::1:::\n:::\n\nx\napp:x:-1:1:::\napp:x: 1000:1:::\n", "", 1000,
         false},
        {"", "", 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autobuf struct sb_buf out = {0};
        bool any = sb_accounts_renumber(cases[i].table, cases[i].old, 77, cases[i].groups, &out);
        CHECK_INT(any, *cases[i].changed != 0);
        if (any)
            CHECK_STR(sb_buf_text(&out), cases[i].changed);
    }
}

int main(void) {
    test_tables();
    return test_done();
}
