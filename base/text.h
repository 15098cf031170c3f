/*
 * base/text: numbers and names as people write them.
 */
#ifndef SB_BASE_TEXT_H
#define SB_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The candidate nearest to text by edit distance, when near enough to be a misspelling; NULL
 * otherwise. candidates ends in NULL. */
const char *sb_text_nearest(const char *text, const char *const *candidates);

struct sb_text_size {
    char text[24];
};
/* "1.18 GB", "300 B": decimal units, three digits, as `du --si` would. By value. */
struct sb_text_size sb_text_size(uint64_t bytes);
/* "0.02 s", "12.4 s", "3 min 07 s". */
struct sb_text_size sb_text_seconds(double seconds);

/* "8G", "512M", "1.5Gi", "1000": K, M, G, T are powers of 1000, Ki… of 1024; false if malformed. */
bool sb_text_parse_size(const char *text, uint64_t *out);
/* "60s", "10m", "1h30m", "90": seconds; false if malformed. */
bool sb_text_parse_duration(const char *text, uint64_t *out_seconds);

struct sb_text_shown {
    char text[128];
};
/* Foreign text for a message: in quotes, control characters escaped, user and password of a URL
 * left out, cut with "…" when long. By value. */
struct sb_text_shown sb_text_shown(const char *text);

/* True for well-formed UTF-8 without NUL. */
bool sb_text_is_utf8(const char *text);
/* UTF-8 as systemd takes it, which refuses a whole file for a character such as U+FFFE. */
bool sb_text_is_for_units(const char *text);

#endif
