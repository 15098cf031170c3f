#include "http/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "http/secret.h"

enum { SECRET_LIMIT = 64 << 10 };

static volatile sig_atomic_t caught;

static void on_signal(int signal_number) {
    caught = signal_number;
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP};
enum { SIGNALS = sizeof signals / sizeof *signals };

/* Returns -1 when a signal or the end of input came before the end of the line. */
static int read_line(int terminal, struct sb_buf *out) {
    char c;
    ssize_t n;
    while ((n = read(terminal, &c, 1)) == 1 && c != '\n')
        if (out->len < SECRET_LIMIT)
            sb_secret_add(out, &c, 1);
    c = '\0';
    return n == 1 ? 0 : -1;
}

static int ask(int terminal, const char *question, struct sb_buf *out) {
    return write(terminal, question, strlen(question)) < 0 ? -1 : read_line(terminal, out);
}

/* The terminal gets its echo back whatever happens meanwhile. What is typed before it is off is
 * thrown away, so the question comes after that. */
static int ask_hidden(int terminal, const char *question, struct sb_buf *out) {
    struct termios shown, hidden;
    if (tcgetattr(terminal, &shown) < 0)
        return ask(terminal, question, out);
    struct sigaction action = {.sa_handler = on_signal}, before[SIGNALS];
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, &before[i]);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    hidden.c_lflag |= ECHONL;
    tcsetattr(terminal, TCSAFLUSH, &hidden);
    int result = ask(terminal, question, out);
    tcsetattr(terminal, TCSAFLUSH, &shown);
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
    return result;
}

int sb_prompt(const char *question, bool secret, struct sb_buf *out, struct sb_error *err) {
    sb_autoclose int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (terminal < 0)
        return sb_fail(err, SB_E_USAGE, "there is no terminal to ask on");
    caught = 0;
    if ((secret ? ask_hidden : ask)(terminal, question, out) == 0)
        return 0;
    if (caught)
        raise(caught);
    return sb_fail(err, SB_E_INTERRUPTED, "nothing was typed");
}

int sb_prompt_read_stdin(struct sb_buf *out, struct sb_error *err) {
    sb_secret_add(out, "", 0);
    sb_buf_reserve(out, 2 * SECRET_LIMIT); /* never moved */
    if (sb_fd_read(STDIN_FILENO, SECRET_LIMIT, out, err) < 0)
        return sb_error_context(err, "standard input");
    if (out->len > 0 && out->data[out->len - 1] == '\n')
        out->data[--out->len] = '\0';
    if (out->len > 0 && out->data[out->len - 1] == '\r')
        out->data[--out->len] = '\0';
    return 0;
}
