/*
 * sbuild-http: the program that speaks HTTP for sbuild, so that passwords, tokens and foreign bytes
 * are in a process of their own. sbuild starts it; it is not meant to be started by hand.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "http/login.h"
#include "http/serve.h"

/* Nobody but root may look into this process's memory, and no core of it is written. */
static void keep_secrets(void) {
    prctl(PR_SET_DUMPABLE, 0);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

static int is_channel(int fd) {
    int type = 0;
    socklen_t len = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

int main(int argc, char **argv) {
    keep_secrets();
    if (argc > 1 && !strcmp(argv[1], "login"))
        return sb_login_main(argc - 1, argv + 1);
    if (argc > 1 && !strcmp(argv[1], "logout"))
        return sb_logout_main(argc - 1, argv + 1);
    if (argc > 1 || !is_channel(0)) {
        fputs("sbuild-http is started by sbuild; see sbuild --help\n", stderr);
        return 2;
    }
    /* It ends when sbuild does: the channel is closed then. Until then an interruption is sbuild's
     * matter; and the thread of sbuild that started it may end before the process does. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, 0);
    return sb_serve(0);
}
