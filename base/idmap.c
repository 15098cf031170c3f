#include "base/idmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { MAP_LIMIT = 1 << 16 };

struct range {
    unsigned inside, outside, count;
};

/* The next range of a map; false at its end. */
static bool next_range(char **map, struct range *out) {
    for (char *line; (line = strsep(map, "\n"));)
        if (sscanf(line, "%u %u %u", &out->inside, &out->outside, &out->count) == 3)
            return true;
    return false;
}

static bool has(const char *path, unsigned id) {
    sb_autobuf struct sb_buf map = {0};
    struct range range;
    if (sb_file_read(AT_FDCWD, path, MAP_LIMIT, &map, NULL) < 0 || !map.data)
        return true; /* who can't look is told by the kernel */
    for (char *rest = map.data; next_range(&rest, &range);)
        if (id >= range.inside && id - range.inside < range.count)
            return true;
    return false;
}

bool sb_idmap_has(uid_t uid, gid_t gid) {
    return has("/proc/self/uid_map", uid) && has("/proc/self/gid_map", gid);
}

/* NULL for a map of one range. */
static char *read_map(const char *path) {
    sb_autobuf struct sb_buf map = {0};
    struct sb_buf out = {0};
    struct range range;
    size_t ranges = 0;
    if (sb_file_read(AT_FDCWD, path, MAP_LIMIT, &map, NULL) < 0 || !map.data)
        return NULL;
    for (char *rest = map.data; next_range(&rest, &range); ranges++)
        sb_buf_addf(&out, "%u %u\n", range.inside, range.outside);
    if (ranges > 1)
        return sb_buf_steal(&out);
    sb_buf_free(&out);
    return NULL;
}

char *sb_idmap_note(void) {
    sb_autofree char *users = read_map("/proc/self/uid_map");
    sb_autofree char *groups = read_map("/proc/self/gid_map");
    if (!users && !groups)
        return NULL;
    return sb_format("%s\n%s", users ? users : "", groups ? groups : "");
}
