/*
 * cli/terminal: the terminal that standard error is.
 */
#ifndef SB_CLI_TERMINAL_H
#define SB_CLI_TERMINAL_H

#include <stdbool.h>

/* In characters; something usual when it doesn't say. */
int sb_terminal_width(void);
int sb_terminal_height(void);
/* Whether it breaks what is longer than a line once its window shrinks. */
bool sb_terminal_breaks_lines(void);

#endif
