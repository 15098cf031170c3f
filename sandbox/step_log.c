#include "sandbox/step_log.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "layers/room.h"

enum { TAIL_LIMIT = 64 * 1024, NO_ROOM = 1 << 20 }; /* bytes */

/* Bytes of the tail that may hold a word whose end has just come; memmem, without case. */
static bool says(const char *text, size_t len, const char *word) {
    size_t n = strlen(word);
    for (; len >= n; text++, len--)
        if (((unsigned char)*text | 0x20) == (unsigned char)*word && !strncasecmp(text, word, n))
            return true;
    return false;
}

/* Programs remove what they began to write as they fail: later the disk isn't full any more. What
 * says it of other file systems is not believed. */
static void look_for_full(struct sb_step_log *log, size_t len) {
    static const struct {
        const char *text;
        bool certain;
    } words[] = {{"no space left on device", false},
                 {"enospc", false},
                 {"disk quota exceeded", true},
                 {"you don't have enough free space in /", true} /* apt, before it begins */};
    const struct sb_buf *tail = &log->tail;
    for (size_t i = 0; i < sizeof words / sizeof *words && log->disk && !log->full; i++) {
        size_t seen = len + strlen(words[i].text) - 1; /* a part may have come before */
        seen = seen < log->own ? seen : log->own;
        if (says(tail->data + tail->len - seen, seen, words[i].text))
            log->full = words[i].certain || sb_room_is_out(log->disk, SB_STEP_LITTLE_ROOM);
    }
}

void sb_step_log_write(struct sb_step_log *log, const char *text, size_t len) {
    if (len == 0)
        return;
    if (log->fd >= 0)
        sb_fd_write(log->fd, text, len, "the log", NULL);
    if (log->line)
        log->line(log->data, text, len);
    if (len > TAIL_LIMIT) {
        text += len - TAIL_LIMIT;
        len = TAIL_LIMIT;
    }
    struct sb_buf *tail = &log->tail;
    if (tail->len + len > TAIL_LIMIT) {
        /* Half of it goes at once, so that little is moved for each line. */
        size_t keep = len < TAIL_LIMIT / 2 ? TAIL_LIMIT / 2 : TAIL_LIMIT - len;
        size_t drop = tail->len > keep ? tail->len - keep : 0;
        if (drop) {
            memmove(tail->data, tail->data + drop, tail->len - drop);
            tail->len -= drop;
            tail->data[tail->len] = '\0';
        }
    }
    sb_buf_add(tail, text, len);
    log->own = log->own + len < tail->len ? log->own + len : tail->len;
    look_for_full(log, len);
}

void sb_step_log_say(struct sb_step_log *log, const char *lines) {
    const struct sb_buf *tail = &log->tail;
    if (tail->len > 0 && tail->data[tail->len - 1] != '\n')
        sb_step_log_write(log, "\n", 1);
    sb_step_log_write(log, lines, strlen(lines));
}

void sb_step_log_begin(struct sb_step_log *log) {
    log->own = 0;
    log->full = false;
}

const char *sb_step_log_said(const struct sb_step_log *log) {
    return log->own ? log->tail.data + log->tail.len - log->own : "";
}

void sb_step_log_last_lines(const struct sb_step_log *log, int max, struct sb_buf *out) {
    const struct sb_buf *tail = &log->tail;
    size_t start = tail->len;
    int lines = 0;
    while (start > 0) {
        if (tail->data[start - 1] == '\n' && start < tail->len && ++lines == max)
            break;
        start--;
    }
    if (tail->len)
        sb_buf_add(out, tail->data + start, tail->len - start);
}

int sb_step_log_full(const struct sb_step_log *log, struct sb_error *err) {
    if (!log->disk || (!log->full && !sb_room_is_out(log->disk, NO_ROOM)))
        return -1; /* (not all programs say why they could not write) */
    err->code = SB_E_NO_SPACE;
    sb_room_tell(log->disk, err);
    return -1;
}
