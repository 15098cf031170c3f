/*
 * Files of ours in a root, which programs may replace: they lie in the upper directory, put there
 * and taken away while the overlay is not mounted.
 *
 * What the upper directory had in such a place is set aside meanwhile. Directories on the way come
 * into the upper directory by the kernel's own copying, with all that they are below, and go again
 * when nothing but our file brought them there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "sandbox/inroot.h"
#include "sandbox/root_private.h"

enum { TEXT_LIMIT = 16 << 20 };

/* A directory on the way, as it was before. */
struct step_on_way {
    char *path; /* "etc" */
    bool made;  /* in the upper directory, for us */
    struct stat st;
};

struct sb_root_file_place {
    struct sb_root_point parent; /* where it is missing below */
    char *path;                  /* "etc/hosts", without symlinks */
    char *aside;                 /* what the upper directory had there; NULL: nothing */
    struct step_on_way *way;     /* the deepest last */
    size_t way_count, way_cap;
    bool placed;
    struct stat st;
};

static const char *name_of(const struct sb_root_file_place *place) {
    const char *slash = strrchr(place->path, '/');
    return slash ? slash + 1 : place->path;
}

static bool is_taken(const char *path) {
    static const char *const places[] = {"/proc/", "/sys/", "/dev/", NULL};
    for (size_t i = 0; places[i]; i++)
        if (!strncmp(path, places[i], strlen(places[i])))
            return true;
    return false;
}

/* ---- finding the place ---- */

/* Where the file is to be: a link that leads to what the container mounts is replaced itself. */
static int find_place(int merged, struct sb_root_file *file, struct sb_error *err) {
    struct sb_root_file_place *place = file->place;
    bool exists;
    sb_autofree char *path = sb_inroot_resolve(merged, file->path, &exists, err);
    if (path && is_taken(path)) {
        sb_autofree char *directory = sb_path_dirname(file->path);
        sb_autofree char *parent = sb_inroot_resolve(merged, directory, &exists, err);
        free(sb_steal(path));
        if (parent)
            path = sb_format("%s/%s", parent, strrchr(file->path, '/') + 1);
    }
    if (!path)
        return -1;
    struct stat st;
    sb_autoclose int fd = sb_inroot_open(merged, path, O_PATH | O_NOFOLLOW);
    bool there = fd >= 0 && fstat(fd, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return sb_fail(err, SB_E_FAILED, "%s in the root is a directory, not a file", file->path);
    place->st.st_mode = 0644;
    if (there && S_ISREG(st.st_mode) && !file->secret)
        place->st = st; /* whose, and what mode */
    place->path = sb_strdup(path + 1);
    return 0;
}

/* Whether the directories on the way are in the upper directory already, and what they are. */
static int note_way(int merged, int upper, struct sb_root_file_place *place, struct sb_error *err) {
    for (const char *slash = strchr(place->path, '/'); slash; slash = strchr(slash + 1, '/')) {
        SB_GROW(place->way, place->way_count, place->way_cap);
        struct step_on_way *step = &place->way[place->way_count++];
        *step =
            (struct step_on_way){.path = sb_strndup(place->path, (size_t)(slash - place->path))};
        sb_autoclose int fd = sb_directory_beneath(merged, step->path);
        sb_autoclose int there = sb_directory_beneath(upper, step->path);
        if (fd < 0 || fstat(fd, &step->st) < 0)
            return sb_fail_errno(err, SB_E_FAILED, "/%s in the root", step->path);
        step->made = there < 0;
    }
    if (!place->way_count)
        return 0;
    /* Any change has the kernel copy them: here it is none. */
    const struct step_on_way *last = &place->way[place->way_count - 1];
    sb_autoclose int fd = last->made ? sb_directory_beneath(merged, last->path) : -1;
    if (last->made && (fd < 0 || fchmod(fd, last->st.st_mode & 07777) < 0))
        return sb_fail_errno(err, SB_E_IO, "/%s in the root", last->path);
    return 0;
}

static int find_places(struct sb_root *root, struct sb_root_file *files, size_t count,
                       struct sb_error *err) {
    for (size_t i = 0; i < count; i++) {
        files[i].place = sb_alloc(sizeof *files[i].place);
        sb_autoclose int merged = sb_directory_open(AT_FDCWD, root->merged, err);
        if (merged < 0 || find_place(merged, &files[i], err) < 0)
            return -1;
        sb_autofree char *whole = sb_format("/%s", files[i].place->path);
        sb_autofree char *parent = sb_path_dirname(whole);
        sb_close_descriptor(&merged);
        merged = -1;
        files[i].place->parent = (struct sb_root_point){.path = parent, .directory = true};
        int failed = sb_root_points(root, &files[i].place->parent, 1, err);
        files[i].place->parent.path = NULL;
        if (failed)
            return -1;
    }
    sb_autoclose int merged = sb_directory_open(AT_FDCWD, root->merged, err);
    sb_autoclose int upper = sb_directory_open(AT_FDCWD, root->upper, err);
    if (merged < 0 || upper < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (note_way(merged, upper, files[i].place, err) < 0)
            return -1;
    return 0;
}

/* ---- placing ---- */

static int set_aside(struct sb_root *root, int parent, struct sb_root_file_place *place,
                     struct sb_error *err) {
    struct stat st;
    const char *name = name_of(place);
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "/%s in the root", place->path);
    sb_autofree char *aside = sb_format("%s/aside-%u", root->directory, root->asides++);
    if (renameat(parent, name, AT_FDCWD, aside) < 0)
        return sb_fail_errno(err, SB_E_IO, "setting /%s of the root aside", place->path);
    place->aside = sb_steal(aside);
    return 0;
}

static int write_file(int parent, const struct sb_root_file *file, struct sb_error *err) {
    static const struct timespec times[2];
    struct sb_root_file_place *place = file->place;
    sb_autoclose int fd =
        openat(parent, name_of(place), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "making /%s in the root", place->path);
    if (sb_fd_write(fd, file->text, file->len, place->path, err) < 0)
        return -1;
    if (fchown(fd, place->st.st_uid, place->st.st_gid) < 0 ||
        fchmod(fd, place->st.st_mode & 07777) < 0 || futimens(fd, times) < 0 ||
        fstat(fd, &place->st) < 0)
        return sb_fail_errno(err, SB_E_IO, "making /%s in the root", place->path);
    place->placed = true;
    return 0;
}

static void restore_times(int fd, const struct stat *st) {
    futimens(fd, (const struct timespec[2]){st->st_atim, st->st_mtim});
}

static int place_file(struct sb_root *root, int upper, struct sb_root_file *file,
                      struct sb_error *err) {
    struct sb_root_file_place *place = file->place;
    const struct step_on_way *last = place->way_count ? &place->way[place->way_count - 1] : NULL;
    sb_autoclose int parent =
        last ? sb_directory_beneath(upper, last->path) : fcntl(upper, F_DUPFD_CLOEXEC, 3);
    if (parent < 0)
        return sb_fail_errno(err, SB_E_IO, "/%s in the root", place->path);
    struct stat st;
    if (fstat(parent, &st) < 0 || set_aside(root, parent, place, err) < 0 ||
        write_file(parent, file, err) < 0)
        return -1;
    restore_times(parent, &st);
    return 0;
}

int sb_root_files_place(struct sb_root *root, struct sb_root_file *files, size_t count,
                        struct sb_error *err) {
    if (find_places(root, files, count, err) < 0 || sb_root_unmount_overlay(root, err) < 0)
        return -1;
    sb_autoclose int upper = sb_directory_open(AT_FDCWD, root->upper, err);
    int failed = upper < 0 ? -1 : 0;
    for (size_t i = 0; i < count && !failed; i++)
        failed = place_file(root, upper, &files[i], err);
    return failed || sb_root_mount_overlay(root, err) < 0 ? -1 : 0;
}

/* ---- taking away ---- */

static bool same_time(const struct timespec *a, const struct timespec *b) {
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_untouched(const struct stat *now, const struct stat *then) {
    return now->st_ino == then->st_ino && now->st_dev == then->st_dev &&
           same_time(&now->st_ctim, &then->st_ctim);
}

static int put_back(int parent, struct sb_root_file_place *place, bool there,
                    struct sb_error *err) {
    const char *name = name_of(place);
    if (there && unlinkat(parent, name, 0) < 0)
        return sb_fail_errno(err, SB_E_IO, "removing /%s from the root", place->path);
    if (place->aside && renameat(AT_FDCWD, place->aside, parent, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "putting /%s of the root back", place->path);
    return 0;
}

static int open_file(int parent, const struct sb_root_file_place *place, struct sb_buf *out,
                     struct sb_error *err) {
    sb_autoclose int fd =
        openat(parent, name_of(place), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || sb_fd_read(fd, TEXT_LIMIT, out, NULL) < 0)
        return sb_fail_errno(err, SB_E_IO, "/%s in the root", place->path);
    return sb_steal_fd(&fd);
}

/* What the program made of it, less what is ours. */
static int keep_changes(int fd, const struct sb_root_file *file, const struct sb_buf *text,
                        struct sb_error *err) {
    if (text->len < file->ours || memcmp(sb_buf_text(text), file->text, file->ours) != 0)
        return 0;
    if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return sb_fail_errno(err, SB_E_IO, "/%s in the root", file->place->path);
    return sb_fd_write(fd, text->data + file->ours, text->len - file->ours, file->path, err);
}

static int take_file(int parent, struct sb_root_file *file, struct sb_error *err) {
    struct sb_root_file_place *place = file->place;
    struct stat now;
    if (fstatat(parent, name_of(place), &now, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "/%s in the root", place->path);
    if (is_untouched(&now, &place->st))
        return put_back(parent, place, true, err);
    if (!S_ISREG(now.st_mode) || (now.st_size > TEXT_LIMIT && !file->secret))
        return 0;
    sb_autobuf struct sb_buf text = {0};
    bool large = now.st_size > TEXT_LIMIT;
    sb_autoclose int fd = large ? -1 : open_file(parent, place, &text, err);
    if (fd < 0 && !large)
        return -1;
    bool same =
        !large && text.len == file->len && !memcmp(sb_buf_text(&text), file->text, text.len);
    bool same_mode = now.st_mode == place->st.st_mode && now.st_uid == place->st.st_uid &&
                     now.st_gid == place->st.st_gid;
    file->lost = file->secret && !same;
    if (file->secret || (same && same_mode))
        return put_back(parent, place, true, err);
    return keep_changes(fd, file, &text, err);
}

/* Directories that are there for our file alone. */
static void drop_way(int upper, const struct sb_root_file_place *place) {
    for (size_t i = place->way ? place->way_count : 0; i-- > 0;) {
        const struct step_on_way *step = &place->way[i];
        sb_autoclose int fd = step->made ? sb_directory_beneath(upper, step->path) : -1;
        struct stat now;
        if (fd < 0 || fstat(fd, &now) < 0 || now.st_mode != step->st.st_mode ||
            now.st_uid != step->st.st_uid || now.st_gid != step->st.st_gid ||
            unlinkat(upper, step->path, AT_REMOVEDIR) < 0)
            return;
    }
}

static int take(int upper, struct sb_root_file *file, struct sb_error *err) {
    struct sb_root_file_place *place = file->place;
    const struct step_on_way *last = place->way_count ? &place->way[place->way_count - 1] : NULL;
    sb_autoclose int parent =
        last ? sb_directory_beneath(upper, last->path) : fcntl(upper, F_DUPFD_CLOEXEC, 3);
    struct stat before;
    if (parent < 0 || fstat(parent, &before) < 0)
        return 0; /* the program removed it, or moved it */
    bool alone = last && same_time(&before.st_mtim, &last->st.st_mtim);
    int failed = place->placed ? take_file(parent, file, err) : put_back(parent, place, false, err);
    if (alone)
        restore_times(parent, &before);
    drop_way(upper, place);
    return failed;
}

static void free_place(struct sb_root *root, struct sb_root_file *file) {
    struct sb_root_file_place *place = file->place;
    if (!place)
        return;
    sb_root_points_drop(root, &place->parent, 1);
    for (size_t i = 0; i < place->way_count; i++)
        free(place->way[i].path);
    free(place->way);
    free(place->path);
    free(place->aside);
    free(place);
    file->place = NULL;
}

int sb_root_files_take(struct sb_root *root, struct sb_root_file *files, size_t count,
                       struct sb_error *err) {
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || (files[i].place && (files[i].place->placed || files[i].place->aside));
    int failed = any ? sb_root_unmount_overlay(root, err) : 0;
    sb_autoclose int upper = any ? sb_directory_open(AT_FDCWD, root->upper, err) : -1;
    for (size_t i = count; any && !failed && upper >= 0 && i-- > 0;)
        if (files[i].place && files[i].place->path)
            failed = take(upper, &files[i], err);
    for (size_t i = 0; any && i < count; i++)
        if (files[i].secret && !sb_strings_has(&root->secrets, files[i].text))
            sb_strings_add(&root->secrets, files[i].text);
    if (any && !failed)
        failed = upper < 0 ? -1 : sb_root_mount_overlay(root, err);
    for (size_t i = count; i-- > 0;)
        free_place(root, &files[i]);
    return failed;
}
