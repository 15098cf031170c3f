#include "builder/workdir.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "builder/inroot.h"
#include "builder/inroot_files.h"
#include "builder/statcache.h"

/* ---- in a root ---- */

static bool is_mounted(const char *path, const struct sb_step_mounts *mounts) {
    static const char *const always[] = {"/proc", "/sys", "/dev"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (sb_path_is_below(path, always[i]))
            return true;
    for (size_t i = 0; mounts && i < mounts->n; i++)
        if (sb_path_is_below(path, mounts->v[i].destination))
            return true;
    return false;
}

int sb_workdir_make(int root, const char *workdir, const struct sb_step_mounts *mounts,
                    const struct sb_user *owner, int64_t epoch, struct sb_error *err) {
    sb_autoclose int there = sb_inroot_open(root, workdir, O_PATH | O_DIRECTORY);
    if (there >= 0)
        return 0;
    bool exists;
    sb_autofree char *resolved = sb_inroot_resolve(root, workdir, &exists, err);
    if (!resolved)
        return -1;
    if (is_mounted(resolved, mounts))
        return 0;
    sb_autoclose int other = sb_inroot_open(root, resolved, O_PATH | O_NOFOLLOW);
    if (other >= 0)
        return sb_fail(err, SB_E_STEP, "the workdir %s is not a directory in the root", workdir);
    sb_autoclose int made = sb_inroot_directory(root, resolved, epoch, err);
    if (made < 0)
        return sb_error_context(err, "making the workdir %s", workdir);
    if (owner && fchown(made, owner->uid, owner->gid) < 0)
        return sb_fail_errno(err, SB_E_STEP, "giving the workdir %s to its user", workdir);
    return 0;
}

/* ---- in a copy layer ---- */

/* Where the path is in the list, or would be. */
static size_t find(const struct sb_copy_list *list, const char *path, bool *found) {
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sb_path_order(list->v[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < list->n && !strcmp(list->v[low].path, path);
    return low;
}

static void insert(struct sb_copy_list *list, size_t at, const struct sb_copy_entry *entry) {
    SB_GROW(list->v, list->n, list->cap);
    memmove(&list->v[at + 1], &list->v[at], (list->n - at) * sizeof *list->v);
    list->v[at] = *entry;
    list->n++;
}

static int fail_taken(const char *workdir, const char *path, struct sb_error *err) {
    sb_fail(err, SB_E_RECIPE, "the workdir /%s can't be a directory: /%s is a file", workdir, path);
    return sb_error_hint(err, "end to: of the copy with a / if it is to go into the directory");
}

/* One directory of the path. 1: what leads there is a link of this very layer, and nothing more is
 * known. */
static int add_one(struct sb_copy_list *list, const struct sb_stack *stack, const char *workdir,
                   const char *path, struct sb_error *err) {
    bool found;
    size_t at = find(list, path, &found);
    struct sb_entry below;
    struct sb_copy_entry entry = {.mode = S_IFDIR | 0755};
    if (found && S_ISDIR(list->v[at].mode))
        return 0;
    if (found)
        return S_ISLNK(list->v[at].mode) ? 1 : fail_taken(workdir, path, err);
    if (sb_stack_find(stack, path, &below)) {
        if (!S_ISDIR(below.mode))
            return fail_taken(workdir, path, err);
        entry.mode = below.mode;
        entry.uid = below.uid;
        entry.gid = below.gid;
    }
    entry.path = sb_arena_strdup(&list->arena, path);
    insert(list, at, &entry);
    return 0;
}

int sb_workdir_add(struct sb_copy_list *list, const struct sb_stack *stack, const char *workdir,
                   struct sb_error *err) {
    sb_autofree char *clean = sb_path_clean(workdir);
    sb_autofree char *resolved = NULL;
    struct sb_entry below;
    bool found;
    if (sb_stack_resolve(stack, clean + 1, &resolved, err) < 0)
        return sb_error_context(err, "the workdir %s", workdir);
    if (!*resolved)
        return 0;
    find(list, resolved, &found);
    if (!found && sb_stack_find(stack, resolved, &below) && S_ISDIR(below.mode))
        return 0;
    for (char *end = resolved; *end;) {
        end += strcspn(end, "/");
        char kept = *end;
        *end = '\0';
        int rc = add_one(list, stack, clean + 1, resolved, err);
        *end = kept;
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        end += kept == '/';
    }
    return 0;
}
