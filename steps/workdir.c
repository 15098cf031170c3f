#include "steps/workdir.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "context/statcache.h"
#include "sandbox/inroot.h"
#include "sandbox/inroot_files.h"

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
        return sb_error_context(err, "the workdir");
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

char *sb_workdir_home_of(const char *workdir, const char *user) {
    size_t len = user ? strcspn(user, ":") : 0;
    if (!len || (user[0] >= '0' && user[0] <= '9'))
        return NULL;
    sb_autofree char *name = sb_strndup(user, len);
    sb_autofree char *home = sb_format("/home/%s", name);
    return sb_path_is_below(workdir, home) ? sb_steal(name) : NULL;
}

bool sb_workdir_awaits_user(int root, const char *workdir, const char *user) {
    sb_autofree char *name = sb_workdir_home_of(workdir, user);
    sb_autoclose int there = name ? sb_inroot_open(root, workdir, O_PATH | O_DIRECTORY) : -1;
    struct sb_user known;
    struct sb_error ignored = {0};
    return name && there < 0 && sb_inroot_user(root, name, &known, &ignored) < 0;
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

struct below {
    const struct sb_copy_ground *ground;
    struct sb_stack_cursor *cursor;
};

static bool find_below(void *self, const char *path, struct sb_entry *out) {
    const struct below *below = self;
    return sb_copy_ground_find(below->ground, below->cursor, path, out);
}

/* One directory of the path. 1: what leads there is a link of this very layer, and nothing more is
 * known. */
static int add_one(struct sb_copy_list *list, struct below *below, const char *workdir,
                   const char *path, struct sb_error *err) {
    bool found;
    size_t at = find(list, path, &found);
    struct sb_entry there;
    struct sb_copy_entry entry = {.mode = S_IFDIR | 0755};
    if (found && S_ISDIR(list->v[at].mode))
        return 0;
    if (found)
        return S_ISLNK(list->v[at].mode) ? 1 : fail_taken(workdir, path, err);
    if (find_below(below, path, &there)) {
        if (!S_ISDIR(there.mode))
            return fail_taken(workdir, path, err);
        entry.mode = there.mode;
        entry.uid = there.uid;
        entry.gid = there.gid;
    }
    entry.path = sb_arena_strdup(&list->arena, path);
    entry.step = list->n ? list->v[0].step : NULL;
    insert(list, at, &entry);
    return 0;
}

static int add_all(struct sb_copy_list *list, struct below *below, const char *workdir,
                   struct sb_error *err) {
    const struct sb_lookup lookup = {find_below, below, below->ground->stack->n + 1};
    sb_autofree char *resolved = NULL;
    struct sb_entry there;
    uint64_t steps = 0;
    bool found;
    if (sb_lookup_resolve(&lookup, workdir, &steps, &resolved, err) < 0)
        return sb_error_context(err, "the workdir /%s", workdir);
    if (!*resolved)
        return 0;
    find(list, resolved, &found);
    if (!found && find_below(below, resolved, &there) && S_ISDIR(there.mode))
        return 0;
    for (char *end = resolved; *end;) {
        end += strcspn(end, "/");
        char kept = *end;
        *end = '\0';
        int rc = add_one(list, below, workdir, resolved, err);
        *end = kept;
        if (rc != 0)
            return rc < 0 ? -1 : 0;
        end += kept == '/';
    }
    return 0;
}

int sb_workdir_add(struct sb_copy_list *list, const struct sb_copy_ground *ground,
                   const char *workdir, struct sb_error *err) {
    sb_autofree char *clean = sb_path_clean(workdir);
    struct below below = {ground, sb_stack_cursor_new(ground->stack)};
    int failed = add_all(list, &below, clean + 1, err);
    sb_stack_cursor_free(below.cursor);
    return failed;
}
