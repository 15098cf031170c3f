#include "layers/room.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

enum { FEW_INODES = 8, MOUNTS_LIMIT = 16 << 20 };

static uint64_t bytes_of(const struct statvfs *fs) {
    return (uint64_t)fs->f_bavail * fs->f_frsize;
}

/* Some file systems make inodes as they need them, and count none. */
static bool is_out_of_inodes(const struct statvfs *fs) {
    return fs->f_files > 0 && fs->f_favail < FEW_INODES;
}

bool sb_room_is_out(int fd, uint64_t few) {
    struct statvfs fs;
    return fstatvfs(fd, &fs) == 0 && (bytes_of(&fs) < few || is_out_of_inodes(&fs));
}

static int hint(struct sb_error *err) {
    return sb_error_hint(err,
                         "free some space, run `sbuild prune`, or take another store: --store");
}

int sb_store_room(const struct sb_store *store, uint64_t needed, struct sb_error *err) {
    struct statvfs fs;
    int fd = sb_store_fd(store);
    if (!needed || fstatvfs(fd, &fs) < 0 || bytes_of(&fs) >= needed)
        return 0;
    sb_autofree char *room = sb_room_text(fd);
    sb_fail(err, SB_E_NO_SPACE, "it needs %s of disk, and %s", sb_text_size(needed).text, room);
    return sb_error_hint(err,
                         "free some space, run `sbuild prune`, or take another store: --store");
}

void sb_room_tell(int fd, struct sb_error *err) {
    sb_autofree char *room = sb_room_text(fd);
    sb_error_context(err, "the disk is full: %s", room);
    hint(err);
}

int sb_room_explain(int fd, struct sb_error *err) {
    enum { LITTLE = 64 << 20 };
    if (!err || err->code != SB_E_NO_SPACE || strstr(err->message, " left of ") ||
        !sb_room_is_out(fd, LITTLE))
        return -1;
    sb_room_tell(fd, err);
    return -1;
}

/* Lines of mountinfo: id, parent, MAJOR:MINOR, root, where, options, …, "-", type, what, … The last
 * mount of a device is the one that shows. */
static char *find_mount(dev_t device, char **out_what) {
    sb_autobuf struct sb_buf text = {0};
    char *where = NULL;
    *out_what = NULL;
    if (sb_file_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTS_LIMIT, &text, NULL) < 0 || !text.data)
        return NULL;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        unsigned major_number, minor_number;
        char place[4097], what[4097];
        const char *dash = strstr(line, " - ");
        if (!dash ||
            sscanf(line, "%*s %*s %u:%u %*s %4096s", &major_number, &minor_number, place) != 3 ||
            makedev(major_number, minor_number) != device ||
            sscanf(dash + 3, "%*s %4096s", what) != 1)
            continue;
        if (where && strlen(where) <= strlen(place)) /* others are bound from it */
            continue;
        free(where);
        free(*out_what);
        where = sb_strdup(place);
        *out_what = sb_strdup(what);
    }
    return where;
}

char *sb_room_text(int fd) {
    struct statvfs fs;
    struct stat st;
    if (fstatvfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
        return sb_strdup("the disk is full");
    sb_autofree char *what = NULL;
    sb_autofree char *where = find_mount(st.st_dev, &what);
    sb_autofree char *name = where ? sb_format("%s, where %s is mounted,", where, what)
                                   : sb_strdup("the store's file system");
    sb_autofree char *inodes =
        fs.f_files ? sb_format(" and %llu inodes", (unsigned long long)fs.f_favail) : sb_strdup("");
    return sb_format("%s has %s%s left of %s", name, sb_text_size(bytes_of(&fs)).text, inodes,
                     sb_text_size((uint64_t)fs.f_blocks * fs.f_frsize).text);
}
