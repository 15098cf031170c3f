#include "deploy/hostlayer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/tree.h"
#include "builder/inroot.h"
#include "deploy/driver.h"
#include "deploy/dropins.h"
#include "deploy/gpus.h"
#include "deploy/ldcache.h"
#include "deploy/rootview.h"
#include "deploy/unitfiles.h"
#include "deploy/units.h"

#define FORMAT    "1"
#define LINK      "h"
#define PREFIX    "h-"
#define TEMPORARY SB_TMP_PREFIX "h"
#define POOL      "driver"

struct work {
    const struct sb_hostlayer *layer;
    const struct sb_node *node;
    struct sb_driver driver;
    struct sb_strings points; /* of drop-ins: with a slash at the end those of directories */
    int dir, top, view;       /* N/, the layer that is made, the root without it */
    char *libraries;          /* the directory of libraries in the root */
};

char *sb_hostlayer_path(const struct sb_node_service *service, uint64_t number) {
    return sb_format("%s/%" PRIu64 "/" LINK, service->path, number);
}

/* ---- directories ---- */

/* Each directory of a path without links, as the root has it. 1: something else is in the way. */
static int make_directories(const struct work *w, const char *path, struct sb_error *err) {
    for (const char *p = path + 1; *p;) {
        size_t n = strcspn(p, "/");
        sb_autofree char *one = sb_strndup(path + 1, (size_t)(p + n - path - 1));
        struct stat st = {.st_mode = S_IFDIR | 0755};
        p += n + (p[n] == '/');
        sb_autoclose int there =
            sb_open_beneath(w->view, one, O_PATH | O_NOFOLLOW, SB_BENEATH_NO_LINKS);
        if (there >= 0 && (fstat(there, &st) < 0 || !S_ISDIR(st.st_mode)))
            return 1;
        if (mkdirat(w->top, one, 0700) < 0) {
            if (errno != EEXIST)
                return sb_fail_errno(err, SB_E_IO, "creating %s", sb_text_shown(one).text);
            continue;
        }
        if (fchownat(w->top, one, st.st_uid, st.st_gid, 0) < 0 ||
            fchmodat(w->top, one, st.st_mode & 01777, 0) < 0)
            return sb_fail_errno(err, SB_E_IO, "creating %s", sb_text_shown(one).text);
    }
    return 0;
}

/* Where that path leads in the root, its last part left as it is: its directory is made. NULL with
 * no error where it can't be, as something else is there. */
static char *make_place(const struct work *w, const char *path, struct sb_error *err) {
    bool there;
    sb_autofree char *parent = sb_path_dirname(path);
    sb_autofree char *real = sb_inroot_resolve(w->view, parent, &there, err);
    int rc = real ? make_directories(w, real, err) : -1;
    return rc == 0 ? sb_format("%s%s", strcmp(real, "/") ? real + 1 : "",
                               strrchr(path, '/') + !strcmp(real, "/"))
                   : NULL;
}

/* ---- files of the driver ---- */

static int copy_bytes(int from, int to) {
    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, 1u << 30, 0);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            break;
    }
    char *piece = sb_alloc(1u << 20); /* goes on where it stopped: both have positions */
    ssize_t n;
    while ((n = read(from, piece, 1u << 20)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || sb_fd_write(to, piece, (size_t)n, "a copy", NULL) < 0)
            break;
    }
    free(piece);
    return n == 0 ? 0 : -1;
}

static int copy_to(const char *host, int pool, const char *name, struct sb_error *err) {
    struct stat st;
    sb_autoclose int from = open(host, SB_FILE_FLAGS);
    sb_autoclose int to =
        from < 0 ? -1 : openat(pool, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0 || fstat(from, &st) < 0 || copy_bytes(from, to) < 0 ||
        fchmod(to, st.st_mode & 0111 ? 0755 : 0644) < 0 ||
        renameat(pool, TEMPORARY, pool, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", host);
    return 0;
}

static int open_pool(const struct sb_node *node, struct sb_error *err) {
    int private = sb_store_private_fd(node->store);
    if (sb_directory_make(private, POOL, 0700, err) < 0)
        return -1;
    return sb_directory_open(private, POOL, err);
}

static int link_from_pool(const struct work *w, const struct sb_driver_item *item,
                          const char *place, struct sb_error *err) {
    const struct sb_driver one = {.v = (struct sb_driver_item *)(uintptr_t)item, .n = 1};
    sb_autobuf struct sb_buf text = {0};
    sb_driver_identify(&one, &text);
    const struct sb_digest id = sb_digest_of(sb_buf_text(&text), text.len);
    const char *name = sb_digest_hex(&id).text;
    sb_autoclose int pool = open_pool(w->node, err);
    if (pool < 0 || (!sb_path_exists(pool, name) && copy_to(item->host, pool, name, err) < 0))
        return -1;
    return linkat(pool, name, w->top, place, 0) < 0
               ? sb_fail_errno(err, SB_E_IO, "linking %s", item->host)
               : 0;
}

static int place_item(const struct work *w, const struct sb_driver_item *item,
                      struct sb_error *err) {
    struct sb_error own = {0};
    sb_autofree char *path =
        *item->inside == '/' ? sb_strdup(item->inside) : sb_path_join(w->libraries, item->inside);
    sb_autofree char *place = make_place(w, path, &own);
    if (!place && own.code) {
        *err = own;
        return -1;
    }
    if (!place || sb_path_exists(w->top, place))
        return 0;
    if (item->target)
        return symlinkat(item->target, w->top, place) < 0
                   ? sb_fail_errno(err, SB_E_IO, "creating %s", path)
                   : 0;
    if (access(item->host, F_OK) < 0 || /* gone meanwhile: the next start looks again */
        linkat(AT_FDCWD, item->host, w->top, place, 0) == 0)
        return 0;
    return link_from_pool(w, item, place, err);
}

/* ---- libraries ---- */

static bool is_directory(int view, const char *path) {
    sb_autoclose int fd = sb_inroot_open(view, path, O_PATH | O_DIRECTORY);
    return fd >= 0;
}

/* Where its libc is, and so its loader looks; where /lib and /usr/lib are two, in the second. */
static char *find_libraries(int view, struct sb_error *err) {
    sb_autofree char *own = sb_format("/usr/lib/%s", sb_driver_multiarch);
    const struct {
        const char *libc, *chosen;
    } places[] = {{own, own},
                  {own + strlen("/usr"), own},
                  {"/usr/lib64", "/usr/lib64"},
                  {"/lib64", "/usr/lib64"},
                  {"/usr/lib", "/usr/lib"},
                  {"/lib", "/usr/lib"}};
    const char *chosen = !is_directory(view, own) && is_directory(view, "/usr/lib64")
                             ? "/usr/lib64"
                             : own; /* of a root without one */
    bool there;
    for (size_t i = sizeof places / sizeof *places; i-- > 0;) {
        sb_autofree char *libc = sb_path_join(places[i].libc, "libc.so.6");
        sb_autoclose int fd = sb_inroot_open(view, libc, O_PATH);
        chosen = fd >= 0 ? places[i].chosen : chosen;
    }
    return sb_inroot_resolve(view, chosen, &there, err);
}

/* What an image says of its libraries comes first, so that what it brings to be preferred (CUDA's
 * compat) stays so. Then the directories of any distribution, as the host's ldconfig knows those of
 * the host. */
static char *loader_config(const struct work *w) {
    struct sb_buf text = {0};
    static const char *const usual[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib"};
    sb_buf_addf(&text, "include /etc/ld.so.conf\n%s\n/lib/%s\n/usr/lib/%s\n", w->libraries,
                sb_driver_multiarch, sb_driver_multiarch);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        sb_buf_addf(&text, "%s\n", usual[i]);
    return sb_buf_steal(&text);
}

/* A loader without it finds the libraries all the same, in its usual directory. */
static int make_cache(const struct work *w, struct sb_error *err) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autofree const char **lower = sb_alloc((layer->lower_count + 1) * sizeof *lower);
    sb_autofree char *base = sb_format("%s/%" PRIu64, layer->service->path, layer->number);
    sb_autofree char *top = sb_path_join(base, TEMPORARY), *at = sb_path_join(base, "m");
    sb_autofree char *config = loader_config(w);
    sb_autobuf struct sb_buf cache = {0};
    struct sb_error own = {0};
    lower[0] = top;
    memcpy(lower + 1, layer->lower, layer->lower_count * sizeof *lower);
    if (sb_ldcache_make(lower, layer->lower_count + 1, at, config, layer->uid, &cache, &own) < 0) {
        sb_node_say(w->node, "%s: its list of libraries is without the driver's: %.500s",
                    layer->service->name, own.message);
        return 0;
    }
    sb_autofree char *place = make_place(w, "/etc/ld.so.cache", &own);
    if (!place) {
        *err = own;
        return own.code ? -1 : 0;
    }
    return sb_file_write(w->top, place, cache.data, cache.len, 0644, err);
}

/* ---- mount points ---- */

static int in_the_way(const struct work *w, const char *path, struct sb_error *err) {
    sb_fail(err, SB_E_FAILED, "nothing can be mounted at %s of %s", path, w->layer->service->name);
    return sb_error_hint(err, "its image has something else there, which is no directory");
}

/* A bundle's own: not where a link of its image leads, which might be to where something else is
 * mounted, in a directory of the host then. */
static int make_own_point(const struct work *w, const char *path, struct sb_error *err) {
    bool there;
    sb_autofree char *real = sb_inroot_resolve(w->view, path, &there, err);
    if (!real)
        return -1;
    if (strcmp(real, path) != 0) {
        sb_fail(err, SB_E_FAILED, "%s of %s leads through a symbolic link of its image", path,
                w->layer->service->name);
        return sb_error_hint(err, "name %s in its recipe", real);
    }
    int rc = make_directories(w, path, err);
    return rc > 0 ? in_the_way(w, path, err) : rc;
}

/* An operator's: what can't be had is told by systemd, when it starts. */
static int make_point(const struct work *w, const char *point, struct sb_error *err) {
    size_t n = strlen(point);
    bool there, directory = point[n - 1] == '/';
    sb_autofree char *path = sb_strndup(point, n - directory);
    struct sb_error own = {0};
    sb_autofree char *real = sb_inroot_resolve(w->view, path, &there, &own);
    if (!real || there || !real[1])
        return 0;
    if (directory)
        return make_directories(w, real, err) < 0 ? -1 : 0;
    sb_autofree char *place = make_place(w, real, &own);
    if (!place)
        return 0;
    sb_autoclose int fd = openat(w->top, place, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? sb_fail_errno(err, SB_E_IO, "creating the mount point %s", path) : 0;
}

/* Those that every root has are in its lowest layer, but for where links of the image lead. */
static int make_points(const struct work *w, struct sb_error *err) {
    const struct sb_pairs *host = &w->layer->description->host;
    sb_autostrings struct sb_strings usual = {0};
    sb_units_mount_points(w->layer->description, &usual);
    for (size_t i = 0; i < usual.n; i++) {
        sb_autofree char *point = sb_format("/%s", usual.v[i]);
        if (make_point(w, point, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < host->n; i++)
        if (make_own_point(w, host->v[i].value, err) < 0)
            return -1;
    for (size_t i = 0; i < w->points.n; i++)
        if (make_point(w, w->points.v[i], err) < 0)
            return -1;
    return 0;
}

/* ---- the layer ---- */

static int fill(struct work *w, struct sb_error *err) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autofree char *at = sb_format("%s/%" PRIu64 "/m", layer->service->path, layer->number);
    w->view = sb_rootview_open(layer->lower, layer->lower_count, at, err);
    if (w->view < 0 || make_points(w, err) < 0)
        return -1;
    if (w->driver.n > 0) {
        w->libraries = find_libraries(w->view, err);
        if (!w->libraries)
            return -1;
        for (size_t i = 0; i < w->driver.n; i++)
            if (place_item(w, &w->driver.v[i], err) < 0)
                return -1;
        if (make_cache(w, err) < 0)
            return -1;
    }
    return syncfs(w->top) < 0 ? sb_fail_errno(err, SB_E_IO, "writing what the host brings") : 0;
}

static int build(struct work *w, const char *name, struct sb_error *err) {
    if (sb_tree_remove(w->dir, TEMPORARY, err) < 0)
        return -1;
    if (mkdirat(w->dir, TEMPORARY, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating a directory");
    w->top = sb_directory_open(w->dir, TEMPORARY, err);
    int rc = w->top < 0 ? -1 : fill(w, err);
    if (rc == 0 && (fchmod(w->top, 0755) < 0 || renameat(w->dir, TEMPORARY, w->dir, name) < 0))
        rc = sb_fail_errno(err, SB_E_IO, "creating %s", name);
    sb_close_descriptor(&w->top);
    sb_close_descriptor(&w->view);
    if (rc < 0)
        sb_tree_remove(w->dir, TEMPORARY, NULL);
    return rc;
}

static void identify(const struct work *w, char out[static 40]) {
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

static bool is_current(const struct work *w, const char *name) {
    char to[64];
    ssize_t n = readlinkat(w->dir, LINK, to, sizeof to);
    return n == (ssize_t)strlen(name) && !memcmp(to, name, (size_t)n) &&
           sb_path_exists(w->dir, name);
}

static int make_current(const struct work *w, const char *name, struct sb_error *err) {
    static const char temporary[] = TEMPORARY "-link";
    unlinkat(w->dir, temporary, 0);
    if (symlinkat(name, w->dir, temporary) < 0 || renameat(w->dir, temporary, w->dir, LINK) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s", name);
    return sb_directory_sync(w->dir, err);
}

/* All others than that: they are there until the root is mounted without them. */
static void find_others(const struct work *w, const char *name, struct sb_strings *out) {
    int fd = openat(w->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (!strncmp(e->d_name, PREFIX, strlen(PREFIX)) && strcmp(e->d_name, name) != 0)
            sb_strings_add(out, e->d_name);
}

static void sweep(const struct sb_node *node) {
    int fd = openat(sb_store_private_fd(node->store), POOL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

static int settle(const struct work *w, const char *name, bool changed, struct sb_error *err) {
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

static int look(struct work *w, char name[static 40], struct sb_error *err) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autofree char *path = sb_format("%s/%" PRIu64, layer->service->path, layer->number);
    if (layer->description->gpu)
        sb_driver_find(w->node->host ? w->node->host : "", &w->driver);
    sb_dropins_mounts(layer->service, &w->points);
    w->dir = sb_directory_open(AT_FDCWD, path, err);
    identify(w, name);
    return w->dir < 0 ? -1 : 0;
}

static int make(struct work *w, struct sb_error *err) {
    char name[40];
    if (look(w, name, err) < 0)
        return -1;
    bool changed = !is_current(w, name);
    if (changed && ((!sb_path_exists(w->dir, name) && build(w, name, err) < 0) ||
                    make_current(w, name, err) < 0))
        return -1;
    return settle(w, name, changed, err);
}

static struct work begin(const struct sb_hostlayer *layer) {
    return (struct work){.layer = layer,
                         .node = layer->service ? layer->service->node : NULL,
                         .dir = -1,
                         .top = -1,
                         .view = -1};
}

static void end(struct work *w) {
    sb_close_descriptor(&w->dir);
    sb_driver_free(&w->driver);
    sb_strings_free(&w->points);
    free(w->libraries);
}

int sb_hostlayer_make(const struct sb_hostlayer *layer, struct sb_error *err) {
    struct work w = begin(layer);
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
    if (out->has)
        out->layer = (struct sb_hostlayer){.service = service,
                                           .number = number,
                                           .lower = (const char *const *)out->lower.v + 1,
                                           .lower_count = out->lower.n - 1,
                                           .uid = uid};
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
    struct work w = begin(&kept.layer);
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
