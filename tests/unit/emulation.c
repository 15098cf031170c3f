/* sandbox/emulation: whether this machine runs programs of another processor. */
#include "sandbox/emulation.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/platform.h"
#include "tests/unit/test.h"

int main(void) {
    char dir[] = "/var/tmp/sbuild-emulation-XXXXXX";
    struct sb_error err = {0};
    if (!CHECK(mkdtemp(dir)))
        return test_done();
    const char *own = sb_platform_own()->architecture;
    CHECK_INT(sb_emulation_try(own, dir), SB_EMULATION_WORKS);
    CHECK_INT(sb_emulation_try("pdp11", dir), SB_EMULATION_WORKS); /* nobody knows */
    sb_autofree char *probe = sb_path_join(dir, "probe");
    CHECK(!sb_path_exists(AT_FDCWD, probe));
    /* Of two that no machine has both, without an emulator: it says what it is, and stays. */
    const char *other = strcmp(own, "s390x") != 0 ? "s390x" : "arm64";
    enum sb_emulation first = sb_emulation_try(other, dir);
    CHECK_INT(sb_emulation_try(other, dir), first);
    sb_fail(&err, SB_E_FAILED, "x");
    CHECK_INT(sb_emulation_hint(SB_EMULATION_NONE, "linux/arm64", &err), -1);
    CHECK(strstr(err.hint, "qemu-user-static") && strstr(err.hint, "--platform linux/arm64"));
    CHECK_INT(sb_emulation_hint(SB_EMULATION_OUTSIDE, "linux/arm64", &err), -1);
    CHECK(strstr(err.hint, "flag F"));
    CHECK_INT(rmdir(dir), 0);
    return test_done();
}
