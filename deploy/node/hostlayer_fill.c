/* What is in the layer that a host brings: files of the driver, the cache of libraries, mount
 * points. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/host/ldcache.h"
#include "deploy/host/rootview.h"
#include "deploy/node/hostlayer_private.h"
#include "deploy/units.h"
#include "sandbox/inroot.h"

/* ---- directories ---- */

/* Each directory of a path without links, as the root has it. 1: something else is in the way. */
static int make_directories(const struct sb_hostlayer_work *w, const char *path,
                            struct sb_error *err) {
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
static char *make_place(const struct sb_hostlayer_work *w, const char *path, struct sb_error *err) {
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
    sb_autoclose int to = from < 0 ? -1
                                   : openat(pool, SB_HOSTLAYER_TEMPORARY,
                                            O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0 || fstat(from, &st) < 0 || copy_bytes(from, to) < 0 ||
        fchmod(to, st.st_mode & 0111 ? 0755 : 0644) < 0 ||
        renameat(pool, SB_HOSTLAYER_TEMPORARY, pool, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "copying %s", host);
    return 0;
}

static int open_pool(const struct sb_node *node, struct sb_error *err) {
    int private = sb_store_private_fd(node->store);
    if (sb_directory_make(private, SB_HOSTLAYER_POOL, 0700, err) < 0)
        return -1;
    return sb_directory_open(private, SB_HOSTLAYER_POOL, err);
}

static int link_from_pool(const struct sb_hostlayer_work *w, const struct sb_driver_item *item,
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

static int place_item(const struct sb_hostlayer_work *w, const struct sb_driver_item *item,
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
static char *loader_config(const struct sb_hostlayer_work *w) {
    struct sb_buf text = {0};
    static const char *const usual[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib"};
    sb_buf_addf(&text, "include /etc/ld.so.conf\n%s\n/lib/%s\n/usr/lib/%s\n", w->libraries,
                sb_driver_multiarch, sb_driver_multiarch);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        sb_buf_addf(&text, "%s\n", usual[i]);
    return sb_buf_steal(&text);
}

/* A loader without it finds the libraries all the same, in its usual directory. */
static int make_cache(const struct sb_hostlayer_work *w, struct sb_error *err) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autofree const char **lower = sb_alloc((layer->lower_count + 1) * sizeof *lower);
    sb_autofree char *base = sb_format("%s/%" PRIu64, layer->service->path, layer->number);
    sb_autofree char *top = sb_path_join(base, SB_HOSTLAYER_TEMPORARY),
                     *at = sb_path_join(base, "m");
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

static int in_the_way(const struct sb_hostlayer_work *w, const char *path, struct sb_error *err) {
    sb_fail(err, SB_E_FAILED, "nothing can be mounted at %s of %s", path, w->layer->service->name);
    return sb_error_hint(err, "its image has something else there, which is no directory");
}

/* A bundle's own: not where a link of its image leads, which might be to where something else is
 * mounted, in a directory of the host then. */
static int make_own_point(const struct sb_hostlayer_work *w, const char *path,
                          struct sb_error *err) {
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
static int make_point(const struct sb_hostlayer_work *w, const char *point, struct sb_error *err) {
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
static int make_points(const struct sb_hostlayer_work *w, struct sb_error *err) {
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

/* ---- all of it ---- */

int sb_hostlayer_fill(struct sb_hostlayer_work *w, struct sb_error *err) {
    const struct sb_hostlayer *layer = w->layer;
    sb_autofree char *at = sb_format("%s/%" PRIu64 "/m", layer->service->path, layer->number);
    w->view = sb_rootview_open(layer->lower, layer->lower_count, at, err);
    if (w->view < 0 || sb_hostlayer_check_places(w, err) < 0 || make_points(w, err) < 0)
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
