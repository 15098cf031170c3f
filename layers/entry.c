#include "layers/entry.h"

#include <string.h>

int sb_names_too_many(const char *what, struct sb_error *err) {
    sb_fail(err, SB_E_INTEGRITY,
            "the names and extended attributes in %s take more than %llu bytes", what,
            SB_NAMES_LIMIT);
    return sb_error_hint(err,
                         "each entry counts with %d bytes, its name, its target and its "
                         "attributes: fewer or shorter ones are needed",
                         SB_ENTRY_COST);
}

int sb_names_count(uint64_t *total, const struct sb_entry *entry, const char *what,
                   struct sb_error *err) {
    uint64_t n = SB_ENTRY_COST + strlen(entry->path) + (entry->link ? strlen(entry->link) : 0);
    for (size_t i = 0; i < entry->xattr_count; i++)
        n += strlen(entry->xattrs[i].name) + entry->xattrs[i].value_len;
    *total += n;
    if (*total <= SB_NAMES_LIMIT)
        return 0;
    sb_names_too_many(what, err);
    return sb_error_context(err, "%.200s", entry->path);
}
