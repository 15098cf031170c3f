/*
 * base/visible: text of foreign origin (names in layers, what a program or a server said) on its
 * way to a terminal or a log.
 *
 * A terminal obeys control characters, also those of U+0080 to U+009F, and shows text in another
 * order than its bytes after some characters that can't be seen. None of these gets through: each
 * byte of one becomes "\xNN", as does a byte that is no UTF-8. All that cli/ prints goes this way
 * once more, so that nothing depends on who made a message.
 */
#ifndef SB_BASE_VISIBLE_H
#define SB_BASE_VISIBLE_H

#include "base/buffer.h"

enum sb_visible_how {
    SB_VISIBLE_ONE_LINE = 0,    /* "\n" and "\t" are written as such: one text, one line */
    SB_VISIBLE_LINES = 1,       /* line breaks and tabs stay */
    SB_VISIBLE_BACKSLASHES = 2, /* "\" becomes "\\": different texts stay different */
};

/* Appends. how: or-ed together. */
void sb_visible_add(struct sb_buf *out, const char *text, size_t len, unsigned how);
/* The same as a new string, the caller's to free. */
char *sb_visible(const char *text, unsigned how);

/* What a program printed, for a line of progress: sequences that steer a terminal (colours, titles)
 * are left out whole, as is what else can't be seen; line breaks and tabs stay. */
void sb_visible_add_output(struct sb_buf *out, const char *text, size_t len);

/* JSON text stays JSON of the same meaning: such characters, all within strings, become \uNNNN. */
void sb_visible_add_json(struct sb_buf *out, const char *json, size_t len);

#endif
