#include "base/idmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { MAP_LIMIT = 1 << 16 };

/* NULL for a map of one range. */
static char *read_map(const char *path) {
    sb_autobuf struct sb_buf map = {0};
    struct sb_buf out = {0};
    unsigned inside, outside, count;
    size_t ranges = 0;
    if (sb_file_read(AT_FDCWD, path, MAP_LIMIT, &map, NULL) < 0 || !map.data)
        return NULL;
    char *rest = map.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (sscanf(line, "%u %u %u", &inside, &outside, &count) != 3)
            continue;
        sb_buf_addf(&out, "%u %u\n", inside, outside);
        ranges++;
    }
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
