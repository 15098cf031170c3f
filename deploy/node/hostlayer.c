#include "deploy/node/hostlayer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/tree.h"
#include "deploy/node/dropins.h"
#include "deploy/node/gpus.h"
#include "deploy/node/hostlayer_private.h"
#include "deploy/node/unitfiles.h"
#include "deploy/units.h"

#define FORMAT "1"
#define LINK   "h"
#define PREFIX "h-"

char *sb_hostlayer_path(const struct sb_node_service *service, uint64_t number) {
    return sb_format("%s/%" PRIu64 "/" LINK, service->path, number);
}

static int build(struct sb_hostlayer_work *w, const char *name, struct sb_error *err) {
    if (sb_tree_remove(w->dir, SB_HOSTLAYER_TEMPORARY, err) < 0)
        return -1;
    if (mkdirat(w->dir, SB_HOSTLAYER_TEMPORARY, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a directory");
    w->top = sb_directory_open(w->dir, SB_HOSTLAYER_TEMPORARY, err);
    int rc = w->top < 0 ? -1 : sb_hostlayer_fill(w, err);
    if (rc == 0 &&
        (fchmod(w->top, 0755) < 0 || renameat(w->dir, SB_HOSTLAYER_TEMPORARY, w->dir, name) < 0))
        rc = sb_fail_errno(err, SB_E_IO, "creating %s", name);
    sb_close_descriptor(&w->top);
    sb_close_descriptor(&w->view);
    if (rc < 0)
        sb_tree_remove(w->dir, SB_HOSTLAYER_TEMPORARY, NULL);
    return rc;
}

static void identify(const struct sb_hostlayer_work *w, char out[static 40]) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text, FORMAT "\n%u\n", w->driver.n ? layer->uid : 0); /* who reads libraries */
    sb_driver_identify(&w->driver, &text);
    for (size_t i = 0; i < layer->description->host.n; i++)
        sb_buf_addf(&text, "%s\n", layer->description->host.v[i].value);
    for (size_t i = 0; i < w->points.n; i++)
        sb_buf_addf(&text, "%s\n", w->points.v[i]);
    const struct sb_digest id = sb_digest_of(text.data, text.len);
    snprintf(out, 40, PREFIX "%.32s", sb_digest_hex(&id).text);
}

static bool is_current(const struct sb_hostlayer_work *w, const char *name) {
    char to[64];
    ssize_t n = readlinkat(w->dir, LINK, to, sizeof to);
    return n == (ssize_t)strlen(name) && !memcmp(to, name, (size_t)n) &&
           sb_path_exists(w->dir, name);
}

static int make_current(const struct sb_hostlayer_work *w, const char *name, struct sb_error *err) {
    static const char temporary[] = SB_HOSTLAYER_TEMPORARY "-link";
    unlinkat(w->dir, temporary, 0);
    if (symlinkat(name, w->dir, temporary) < 0 || renameat(w->dir, temporary, w->dir, LINK) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", name);
    return sb_directory_sync(w->dir, err);
}

/* All others than that: they are there until the root is mounted without them. */
static void find_others(const struct sb_hostlayer_work *w, const char *name,
                        struct sb_strings *out) {
    int fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (!strncmp(e->d_name, PREFIX, strlen(PREFIX)) && strcmp(e->d_name, name) != 0)
            sb_strings_add(out, e->d_name);
}

static void sweep(const struct sb_node *node) {
    int fd = openat(sb_store_private_fd(node->store), SB_HOSTLAYER_POOL,
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            st.st_nlink == 1)
            unlinkat(fd, e->d_name, 0);
}

static int lock(const struct sb_node *node, struct sb_error *err) {
    return sb_lock_take(sb_store_private_fd(node->store), "keys/driver", SB_LOCK_EXCLUSIVE, err);
}

void sb_hostlayer_sweep(const struct sb_node *node) {
    sb_autoclose int locked = lock(node, NULL);
    if (locked >= 0)
        sweep(node);
}

/* ---- the root, mounted again ---- */

static bool is_mounted(const char *root) {
    sb_autofree char *above = sb_path_dirname(root);
    struct stat st, parent;
    return lstat(root, &st) == 0 && lstat(above, &parent) == 0 && st.st_dev != parent.st_dev;
}

/* What the mount unit says after "Options="; the caller's, or NULL. */
static char *options_of(const struct sb_node_service *service, uint64_t number) {
    static const char key[] = "\nOptions=";
    sb_autobuf struct sb_buf text = {0};
    if (sb_unitfiles_read(service, number, SB_UNIT_MOUNT, &text, NULL) < 0)
        return NULL;
    const char *line = strstr(sb_buf_text(&text), key);
    line = line ? line + strlen(key) : NULL;
    return line ? sb_strndup(line, strcspn(line, "\n")) : NULL;
}

/* "ro,nodev,nosuid," are flags of mount(2); the rest is overlayfs' own. */
static const char *take_flags(const char *options, unsigned long *out) {
    static const struct {
        const char *name;
        unsigned long flag;
    } flags[] = {{"ro,", MS_RDONLY}, {"nodev,", MS_NODEV}, {"nosuid,", MS_NOSUID}};
    *out = 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (!strncmp(options, flags[i].name, strlen(flags[i].name))) {
            *out |= flags[i].flag;
            options += strlen(flags[i].name);
        }
    return options;
}

/* By the kernel itself: asking systemd for it would stop the service, whose start this may be a
 * part of. What still runs in the old one keeps it until it ends. */
static int mount_again(const struct sb_node_service *service, uint64_t number, const char *root,
                       struct sb_error *err) {
    unsigned long flags;
    sb_autofree char *options = options_of(service, number);
    if (!options)
        return 0;
    const char *data = take_flags(options, &flags);
    if (umount2(root, UMOUNT_NOFOLLOW | MNT_DETACH) < 0 ||
        mount("overlay", root, "overlay", flags, data) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "mounting %s again", root);
    return 0;
}

static int settle(const struct sb_hostlayer_work *w, const char *name, bool changed,
                  struct sb_error *err) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autofree char *root = sb_unit_root_path(layer->service->name, layer->number);
    sb_autostrings struct sb_strings others = {0};
    find_others(w, name, &others);
    if ((changed || others.n) && is_mounted(root) &&
        mount_again(layer->service, layer->number, root, err) < 0)
        return -1;
    for (size_t i = 0; i < others.n; i++)
        if (sb_tree_remove(w->dir, others.v[i], err) < 0)
            return -1;
    if (others.n)
        sweep(w->node);
    return 0;
}

static int look(struct sb_hostlayer_work *w, char name[static 40], struct sb_error *err) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autofree char *path = sb_format("%s/%" PRIu64, layer->service->path, layer->number);
    if (layer->description->gpu)
        sb_driver_find(w->node->host ? w->node->host : "", &w->driver);
    sb_dropins_mounts(layer->service, &w->points);
    w->dir = sb_directory_open(AT_FDCWD, path, err);
    identify(w, name);
    return w->dir < 0 ? -1 : 0;
}

static int make(struct sb_hostlayer_work *w, struct sb_error *err) {
    char name[40];
    if (look(w, name, err) < 0)
        return -1;
    bool changed = !is_current(w, name);
    if (changed && ((!sb_path_exists(w->dir, name) && build(w, name, err) < 0) ||
                    make_current(w, name, err) < 0))
        return -1;
    return settle(w, name, changed, err);
}

static struct sb_hostlayer_work begin(const struct sb_hostlayer *layer) {
    return (struct sb_hostlayer_work){
        .layer = layer, .node = layer->service->node, .dir = -1, .top = -1, .view = -1};
}

static void end(struct sb_hostlayer_work *w) {
    sb_close_descriptor(&w->dir);
    sb_driver_free(&w->driver);
    sb_strings_free(&w->points);
    free(w->libraries);
}

int sb_hostlayer_make(const struct sb_hostlayer *layer, struct sb_error *err) {
    struct sb_hostlayer_work w = begin(layer);
    sb_autoclose int locked = lock(w.node, err);
    int rc = locked < 0 ? -1 : make(&w, err);
    end(&w);
    return rc < 0 ? sb_error_context(err, "what this host brings to generation %" PRIu64 " of %s",
                                     layer->number, layer->service->name)
                  : 0;
}

/* ---- of a generation that is there ---- */

struct kept {
    struct sb_description description;
    struct sb_strings lower; /* of its root */
    bool has;                /* such a layer */
    struct sb_hostlayer layer;
};

static void free_kept(struct kept *kept) {
    sb_description_free(&kept->description);
    sb_strings_free(&kept->lower);
}

static int load(const struct sb_node_service *service, uint64_t number, struct kept *out,
                struct sb_error *err) {
    sb_autofree char *options = options_of(service, number);
    sb_autofree char *own = sb_hostlayer_path(service, number);
    sb_autobuf struct sb_buf unit = {0};
    uint32_t uid = 0, gid;
    const char *list = options ? strstr(options, "lowerdir=") : NULL;
    *out = (struct kept){0};
    if (sb_generation_description(service, number, &out->description, err) < 0)
        return -1;
    for (list = list ? list + strlen("lowerdir=") : ""; *list;) {
        size_t n = strcspn(list, ":");
        sb_strings_take(&out->lower, sb_strndup(list, n));
        list += n + (list[n] == ':');
    }
    if (sb_unitfiles_read(service, number, SB_UNIT_SERVICE, &unit, NULL) == 0)
        sb_unit_ids_parse(sb_buf_text(&unit), &uid, &gid);
    out->has = out->lower.n >= 3 && !strcmp(out->lower.v[0], own);
    out->layer = (struct sb_hostlayer){.service = service, .number = number, .uid = uid};
    if (out->has) {
        out->layer.lower = (const char *const *)out->lower.v + 1;
        out->layer.lower_count = out->lower.n - 1;
    }
    return 0;
}

int sb_hostlayer_renew(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err) {
    struct kept kept;
    if (load(service, number, &kept, err) < 0)
        return -1;
    kept.layer.description = &kept.description;
    int rc = kept.has ? sb_hostlayer_make(&kept.layer, err) : 0;
    free_kept(&kept);
    return rc;
}

bool sb_hostlayer_fits(const struct sb_node_service *service, uint64_t number) {
    struct kept kept;
    char name[40];
    if (load(service, number, &kept, NULL) < 0)
        return true; /* others tell what is wrong */
    kept.layer.description = &kept.description;
    struct sb_hostlayer_work w = begin(&kept.layer);
    bool fits =
        kept.description.root == SB_ROOT_HOST ||
        (kept.has ? look(&w, name, NULL) < 0 || is_current(&w, name) : !kept.description.gpu);
    end(&w);
    free_kept(&kept);
    return fits;
}

int sb_hostlayer_renew_root(const struct sb_node *node, const char *root, struct sb_error *err) {
    struct sb_node_service *service;
    const char *slash = strrchr(root, '/');
    char *end = NULL;
    bool ours =
        slash && sb_path_is_below(root, SB_UNIT_ROOTS) && slash[1] >= '1' && slash[1] <= '9';
    uint64_t number = ours ? strtoull(slash + 1, &end, 10) : 0;
    if (!ours || *end || slash - root <= (ptrdiff_t)strlen(SB_UNIT_ROOTS))
        return sb_fail(err, SB_E_USAGE, "%s is no root of a service", sb_text_shown(root).text);
    sb_autofree char *name = sb_strndup(root + strlen(SB_UNIT_ROOTS) + 1,
                                        (size_t)(slash - root) - strlen(SB_UNIT_ROOTS) - 1);
    if (sb_node_service_look(node, name, &service, err) < 0)
        return -1;
    struct sb_generation generation;
    if (sb_generation_load(service, number, &generation, NULL) == 0) {
        sb_gpus_load(node, generation.gpus);
        sb_generation_free(&generation);
    }
    int rc = sb_hostlayer_renew(service, number, err);
    sb_node_service_close(service);
    return rc;
}
