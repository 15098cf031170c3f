#include "steps/script.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/thread.h"

/* ---- lines ---- */

struct line {
    const char *text;
    size_t len;
};

static bool next_line(const char **at, struct line *out) {
    const char *text = *at;
    if (!*text)
        return false;
    size_t len = strcspn(text, "\n");
    *at = text + len + (text[len] == '\n');
    while (len && strchr(" \t\r", text[len - 1]))
        len--;
    while (len && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    *out = (struct line){text, len};
    return true;
}

static bool says_nothing(const struct line *line) {
    return line->len == 0 || *line->text == '#';
}

size_t sb_script_lines(const char *script) {
    size_t count = 0;
    struct line line;
    while (next_line(&script, &line))
        count += !says_nothing(&line);
    return count;
}

static bool is_word(const char *text, size_t len, const char *const *words) {
    for (; *words; words++)
        if (strlen(*words) == len && !memcmp(text, *words, len))
            return true;
    return false;
}

static bool begins_with(const struct line *line, const char *const *words) {
    size_t len = 0;
    while (len < line->len && !strchr(" \t;|&<>", line->text[len]))
        len++;
    return is_word(line->text, len, words);
}

static bool ends_with(const struct line *line, const char *const *words) {
    size_t end = line->len, start;
    while (end && line->text[end - 1] == ';')
        end--;
    for (start = end; start && !strchr(" \t;", line->text[start - 1]);)
        start--;
    return is_word(line->text + start, end - start, words);
}

/* ---- commands of several lines ---- */

static bool is_continued(const struct line *line) {
    static const char *const operators[] = {"&&", "||", "|", "\\", NULL};
    return ends_with(line, operators) || (line->len && line->text[line->len - 1] == '\\');
}

static bool closes(const struct line *line) {
    static const char *const words[] = {"fi", "done", "esac", "}", ")", NULL};
    return begins_with(line, words);
}

static bool opens(const struct line *line) {
    static const char *const first[] = {"if", "for", "while", "until", "case", NULL};
    static const char *const last[] = {"do", "then", "{", "(", "$(", NULL};
    static const char *const between[] = {"then", "do", "else", "elif", NULL};
    static const char *const end[] = {"fi", "done", "esac", "}", NULL};
    if (begins_with(line, first))
        return !ends_with(line, end);
    return ends_with(line, last) && !begins_with(line, between);
}

/* Where what is closed in a line was opened; the line itself when that can't be seen. */
static size_t find_opening(const struct line *lines, size_t at) {
    size_t depth = 0;
    for (size_t i = at + 1; i-- > 0;) {
        if (closes(&lines[i]) && !opens(&lines[i]))
            depth++;
        else if (opens(&lines[i]) && --depth == 0)
            return i;
    }
    return at;
}

/* "EOF", of "cat <<EOF" above it. */
static size_t find_here_document(const struct line *lines, size_t at) {
    const struct line *end = &lines[at];
    for (size_t i = at; i-- > 0;) {
        const char *mark = memmem(lines[i].text, lines[i].len, "<<", 2);
        size_t left = mark ? lines[i].len - (size_t)(mark - lines[i].text) : 0;
        while (left && strchr("<- '\"\\", *mark)) {
            mark++;
            left--;
        }
        if (mark && left >= end->len && !memcmp(mark, end->text, end->len) &&
            (left == end->len || strchr(" '\";|&>)", mark[end->len])))
            return i;
    }
    return at;
}

static size_t find_first(const struct line *lines, size_t at) {
    size_t first = closes(&lines[at]) ? find_opening(lines, at) : find_here_document(lines, at);
    while (first > 0 && is_continued(&lines[first - 1]) && !says_nothing(&lines[first - 1]))
        first--;
    return first;
}

char *sb_script_command(const char *script, size_t line, size_t *out_first) {
    struct line *lines = NULL;
    size_t count = 0, cap = 0;
    for (struct line l; count < line && next_line(&script, &l);) {
        SB_GROW(lines, count, cap);
        lines[count++] = l;
    }
    while (count && says_nothing(&lines[count - 1]))
        count--;
    size_t first = count ? find_first(lines, count - 1) : 0;
    struct sb_buf out = {0};
    for (size_t i = first; i < count; i++) {
        bool slash = lines[i].len && lines[i].text[lines[i].len - 1] == '\\';
        size_t len = lines[i].len - slash;
        while (slash && len && strchr(" \t", lines[i].text[len - 1]))
            len--;
        sb_buf_add(&out, lines[i].text, len);
        if (i + 1 < count)
            sb_buf_addc(&out, is_continued(&lines[i]) ? ' ' : '\n');
    }
    free(lines);
    *out_first = first + 1;
    sb_buf_text(&out);
    return out.data ? sb_buf_steal(&out) : sb_strdup("");
}

/* ---- shells ---- */

bool sb_script_is_read_by(const struct sb_strings *shell) {
    static const char *const shells[] = {"sh", "dash", "ash", "bash", NULL};
    size_t i = 0;
    for (; i < shell->n && i < 2; i++) {
        const char *slash = strrchr(shell->v[i], '/');
        const char *name = slash ? slash + 1 : shell->v[i];
        if (is_word(name, strlen(name), shells))
            break;
        if (i || strcmp(name, "busybox") != 0)
            return false;
    }
    if (i == shell->n)
        return false;
    while (++i < shell->n) {
        const char *word = shell->v[i];
        bool option = *word == '-' || *word == '+';
        bool names_one = !option && shell->v[i - 1][0] == '-' && strchr(shell->v[i - 1], 'o');
        if (option ? word[1] == '\0' || !strcmp(word, "--") ||
                         (word[1] != '-' && strpbrk(word, "csinD"))
                   : !names_one)
            return false;
    }
    return true;
}

/* ---- feeding ---- */

struct sb_script_feed {
    int fifo, stop;
    const char *left; /* what is still to be written */
    size_t written;   /* lines, whole */
    size_t read;
    pthread_t thread;
};

/* What of the next line fits; it is written when the FIFO, of one page, is empty. */
static bool feed_more(struct sb_script_feed *feed) {
    size_t len = strcspn(feed->left, "\n");
    bool whole = feed->left[len] == '\n';
    ssize_t n = write(feed->fifo, feed->left, len + whole);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    feed->left += n;
    if ((size_t)n == len + whole)
        feed->written++;
    return true;
}

static void *feed_thread(void *data) {
    struct sb_script_feed *feed = data;
    struct pollfd fds[2] = {{.fd = feed->fifo, .events = POLLOUT},
                            {.fd = feed->stop, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (fds[1].revents)
            return NULL;
        if (!(fds[0].revents & POLLOUT))
            continue;
        feed->read = feed->written;
        if (!*feed->left) {
            close(sb_steal_fd(&feed->fifo)); /* the shell comes to the end */
            return NULL;
        }
        if (!feed_more(feed))
            return NULL;
    }
}

static void free_feed(struct sb_script_feed *feed) {
    sb_close_descriptor(&feed->fifo);
    sb_close_descriptor(&feed->stop);
    free(feed);
}

int sb_script_feed_start(int dirfd, const char *name, const char *script,
                         struct sb_script_feed **out) {
    struct sb_script_feed *feed = sb_alloc(sizeof *feed);
    feed->fifo = feed->stop = -1;
    feed->left = script;
    bool made = mkfifoat(dirfd, name, 0600) == 0;
    /* To read, too: it is not to end, nor to be waited for, before the shell has opened it. */
    if (made && fchmodat(dirfd, name, 0444, 0) == 0)
        feed->fifo = openat(dirfd, name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    feed->stop = eventfd(0, EFD_CLOEXEC);
    long page = sysconf(_SC_PAGESIZE);
    if (feed->fifo >= 0 && feed->stop >= 0 && fcntl(feed->fifo, F_SETPIPE_SZ, (int)page) == page &&
        sb_thread_start(&feed->thread, feed_thread, feed) == 0) {
        *out = feed;
        return 0;
    }
    free_feed(feed);
    if (made)
        unlinkat(dirfd, name, 0);
    return -1;
}

size_t sb_script_feed_stop(struct sb_script_feed *feed) {
    uint64_t one = 1;
    ssize_t ignored = write(feed->stop, &one, sizeof one);
    (void)ignored;
    pthread_join(feed->thread, NULL);
    struct pollfd empty = {.fd = feed->fifo, .events = POLLOUT};
    size_t read = feed->fifo >= 0 && poll(&empty, 1, 0) == 1 && empty.revents & POLLOUT
                      ? feed->written
                      : feed->read;
    free_feed(feed);
    return read;
}
