#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int sb_terminal_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

int sb_terminal_height(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2)
        return size.ws_row;
    return 24;
}

/* By name: the others clip it. */
bool sb_terminal_breaks_lines(void) {
    const char *terminal = getenv("TERM");
    return terminal && strcmp(terminal, "linux") != 0 && strncmp(terminal, "screen", 6) != 0;
}
