#include "builder/tags.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

/* ---- git, date, names ---- */

void sb_tags_git(const struct sb_git *git, struct sb_strings *out) {
    const char *dirty = git->dirty ? "-dirty" : "";
    sb_strings_addf(out, "%s%s", git->abbreviated, dirty);
    if (!git->branch[0])
        return;
    size_t room = SB_TAG_LIMIT - strlen("-") - strlen(git->abbreviated) - strlen(dirty);
    sb_autofree char *cut = sb_tag_clean(git->branch);
    cut[strnlen(cut, room)] = '\0';
    sb_autofree char *branch = sb_tag_clean(cut); /* a cut may end in a separator */
    if (*branch)
        sb_strings_addf(out, "%s-%s%s", branch, git->abbreviated, dirty);
}

void sb_tags_date(int64_t seconds, struct sb_strings *out) {
    const int64_t last = 253402300799; /* of the year 9999 */
    time_t when = (time_t)(seconds < 0 ? 0 : seconds > last ? last : seconds);
    struct tm tm;
    char text[32];
    gmtime_r(&when, &tm);
    strftime(text, sizeof text, "%Y%m%d-%H%M%S", &tm);
    sb_strings_add(out, text);
}

bool sb_tag_is_date(const char *tag) {
    return strlen(tag) == 15 && strspn(tag, "0123456789") == 8 && tag[8] == '-' &&
           strspn(tag + 9, "0123456789") == 6;
}

static bool is_tag_character(char c, bool first) {
    return isalnum((unsigned char)c) || c == '_' || (!first && (c == '.' || c == '-'));
}

bool sb_tag_is_valid(const char *tag) {
    size_t n = strlen(tag);
    if (n == 0 || n > SB_TAG_LIMIT)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_tag_character(tag[i], i == 0))
            return false;
    return true;
}

char *sb_tag_clean(const char *text) {
    struct sb_buf out = {0};
    for (const char *p = text; *p; p++) {
        bool plain = isalnum((unsigned char)*p);
        bool separated = out.len == 0 || !isalnum((unsigned char)out.data[out.len - 1]);
        if (plain)
            sb_buf_addc(&out, *p);
        else if (!separated)
            sb_buf_addc(&out, strchr("._-", *p) ? *p : '-');
    }
    while (out.len > 0 && !isalnum((unsigned char)out.data[out.len - 1]))
        out.data[--out.len] = '\0';
    return sb_buf_steal(&out);
}
