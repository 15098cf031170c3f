#include "http/login.h"

#include <stdio.h>

int sb_login_main(int argc, char **argv) {
    (void)argc;
    fprintf(stderr, "sbuild-http: %s is not there yet\n", argv[0]);
    return 1;
}

int sb_logout_main(int argc, char **argv) {
    return sb_login_main(argc, argv);
}
