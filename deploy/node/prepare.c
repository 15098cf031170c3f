#include "deploy/node/prepare.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/ids.h"
#include "deploy/host/initfile.h"
#include "deploy/host/native.h"
#include "deploy/host/rootview.h"
#include "deploy/node/hostlayer.h"
#include "deploy/node/hostroot.h"
#include "deploy/node/owners.h"
#include "deploy/node/placement.h"
#include "deploy/node/renumber.h"
#include "deploy/node/unitfiles.h"
#include "deploy/node/volumes.h"
#include "document/environment.h"
#include "layers/mend.h"
#include "layers/trees.h"
#include "layers/unpack.h"

#define TEMPORARY SB_TMP_PREFIX "generation"

/* ---- the directory ---- */

static int make_point(int root, const char *name, struct sb_error *err) {
    size_t n = strlen(name);
    bool directory = n > 0 && name[n - 1] == '/';
    sb_autofree char *path = directory ? sb_strndup(name, n - 1) : sb_path_dirname(name);
    if (sb_directory_make(root, path, 0755, err) < 0)
        return -1;
    if (directory)
        return 0;
    sb_autoclose int fd = openat(root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? sb_fail_errno(err, SB_E_IO, "creating the mount point %s", name) : 0;
}

/* The root is read-only: its lowest directory has the mount points that layers may lack. */
static int make_points(int dir, const struct sb_description *d, struct sb_error *err) {
    sb_autostrings struct sb_strings points = {0};
    if (mkdirat(dir, "m", 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating mount points");
    sb_autoclose int root = sb_directory_open(dir, "m", err);
    if (root < 0)
        return -1;
    sb_units_mount_points(d, &points);
    for (size_t i = 0; i < points.n; i++)
        if (make_point(root, points.v[i], err) < 0)
            return -1;
    return make_point(root, SB_INIT_DIRECTORY "/", err);
}

/* What the trees can't say by themselves. Without a layer's table of contents, which came with its
 * tree, the root is what the trees alone make of it. */
static int make_mend(const struct sb_node_service *service, const struct sb_description *d,
                     struct sb_error *err) {
    struct sb_store *store = service->node->store;
    sb_autofree const struct sb_layer **layers = sb_alloc((d->layer_count + 1) * sizeof *layers);
    sb_autostrings struct sb_strings trees = {0};
    for (size_t i = 0; i < d->layer_count; i++) {
        const struct sb_layer *layer = layers[i] = &d->layers[i].layer;
        struct sb_contents *contents = NULL;
        struct sb_error why = {0};
        if (sb_layer_contents(store, layer, &contents, &why) < 0) {
            sb_node_say(service->node,
                        "directories of %s may have other modes and owners than in its image, as "
                        "the table of contents of a layer is not to be had: %s",
                        service->name, why.message);
            return 0;
        }
        sb_contents_close(contents);
        sb_autofree char *tree = sb_tree_path(&layer->diff_id);
        sb_strings_take(&trees, sb_format("%s/%s/fs", sb_store_path(store), tree));
    }
    sb_autofree char *below = sb_format("%s/" TEMPORARY "/m", service->path);
    sb_autofree char *path = sb_format("%s/" TEMPORARY "/" SB_GENERATION_MEND, service->path);
    const struct sb_mend_stack what = {layers, (const char *const *)trees.v, trees.n, below};
    bool made;
    return sb_mend_make(store, &what, path, &made, err);
}

static int fill(const struct sb_node_service *service, int dir, const struct sb_description *d,
                const struct sb_generation *generation, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    sb_description_write(d, &text);
    if (sb_file_write(dir, "description.json", text.data, text.len, 0644, err) < 0 ||
        make_points(dir, d, err) < 0 ||
        (d->root == SB_ROOT_LAYERS && make_mend(service, d, err) < 0) ||
        sb_generation_write(dir, generation, err) < 0)
        return -1;
    /* Directories are not synced one by one. */
    return syncfs(dir) < 0 ? sb_fail_errno(err, SB_E_IO, "writing a generation") : 0;
}

static void describe(const struct sb_description *d, struct sb_generation *generation) {
    generation->state = SB_GENERATION_PREPARED;
    generation->image = d->image.digest;
    generation->version = d->version ? sb_strdup(d->version) : NULL;
    generation->installed = time(NULL);
    for (size_t i = 0; i < d->layer_count && d->root == SB_ROOT_LAYERS; i++)
        sb_strings_take(&generation->trees, sb_tree_path(&d->layers[i].layer.diff_id));
}

int sb_prepare_generation(const struct sb_node_service *service, const struct sb_description *d,
                          struct sb_generation *generation, struct sb_error *err) {
    sb_autofree char *name = sb_format("%" PRIu64, generation->number);
    describe(d, generation);
    if (sb_tree_remove(service->fd, TEMPORARY, err) < 0)
        return -1;
    if (mkdirat(service->fd, TEMPORARY, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s/%s", service->path, name);
    sb_autoclose int dir = sb_directory_open(service->fd, TEMPORARY, err);
    if (dir < 0 || fill(service, dir, d, generation, err) < 0) {
        sb_tree_remove(service->fd, TEMPORARY, NULL);
        return sb_error_context(err, "%s/%s", service->path, name);
    }
    if (renameat(service->fd, TEMPORARY, service->fd, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s/%s", service->path, name);
    if (sb_directory_sync(service->fd, err) < 0)
        return -1;
    return sb_node_pin(service, err);
}

/* ---- the units ---- */

/* By its mount unit, as at each boot. */
static int mount_root(const struct sb_node_service *service, const struct sb_description *d,
                      const struct sb_node_placement *here, struct sb_error *err) {
    struct sb_units units;
    if (sb_units_generate(d, &here->placement, &units, err) < 0)
        return -1;
    const struct sb_unit *mount = sb_units_find(&units, SB_UNIT_MOUNT);
    int rc = 0;
    if (mount) {
        struct sb_unit one = *mount;
        const struct sb_units only = {.v = &one, .n = 1};
        rc = sb_unitfiles_keep(service, here->placement.generation, &only, err);
        if (rc == 0)
            rc = sb_unitfiles_mount(service, here->placement.generation, err);
    }
    sb_units_free(&units);
    return rc;
}

static int keep_colour(const struct sb_node_service *service, const struct sb_description *d,
                       const struct sb_node_placement *here, uint16_t port, const char *colour,
                       struct sb_error *err) {
    struct sb_placement placement = here->placement;
    struct sb_units units;
    placement.colour = colour;
    placement.port = port;
    if (sb_units_generate(d, &placement, &units, err) < 0)
        return -1;
    const char *text = sb_units_find(&units, SB_UNIT_SERVICE)->text;
    sb_autofree char *file =
        sb_generation_coloured_unit(service, placement.generation, port, colour);
    sb_autofree char *directory = sb_path_dirname(file);
    int rc = sb_directory_make(service->fd, directory, 0755, err);
    if (rc == 0)
        rc = sb_file_write(service->fd, file, text, strlen(text), 0644, err);
    sb_units_free(&units);
    return rc;
}

/* Which colour and which port it will have is known when it is its turn. */
static int keep_colours(const struct sb_node_service *service, const struct sb_description *d,
                        const struct sb_node_placement *here, struct sb_error *err) {
    for (int i = 0; i < SB_COLOURS; i++)
        if (keep_colour(service, d, here, d->port, sb_colours[i], err) < 0 ||
            keep_colour(service, d, here, d->spare_port, sb_colours[i], err) < 0)
            return -1;
    return 0;
}

/* All of them; in colours that of the service has others in its place. */
static int keep_units(const struct sb_node_service *service, const struct sb_description *d,
                      const struct sb_node_placement *here, struct sb_error *err) {
    struct sb_units units;
    bool coloured = d->strategy == SB_STRATEGY_BLUE_GREEN;
    if ((coloured && keep_colours(service, d, here, err) < 0) ||
        sb_units_generate(d, &here->placement, &units, err) < 0)
        return -1;
    const struct sb_units rest = {.v = units.v + coloured, .n = units.n - coloured};
    int rc = sb_unitfiles_keep(service, here->placement.generation, &rest, err);
    sb_units_free(&units);
    return rc;
}

/* ---- who it runs as ---- */

/* Of another service: what its unit says that it runs with. */
static int compare_numbers(const struct sb_node_service *service, const char *name, uint32_t uid,
                           struct sb_error *err) {
    sb_autofree char *unit = sb_format("%s.service", name);
    sb_autofree char *path = sb_path_join(sb_node_units(service->node), unit);
    sb_autobuf struct sb_buf text = {0};
    uint32_t theirs, group;
    if (!strcmp(name, service->name) ||
        sb_file_read(AT_FDCWD, path, SB_UNIT_TEXT_LIMIT, &text, NULL) < 0)
        return 0;
    sb_unit_ids_parse(sb_buf_text(&text), &theirs, &group);
    if (theirs != uid)
        return 0;
    sb_fail(err, SB_E_FAILED, "the user number %u of the image of %s is that of the service %s",
            uid, service->name, name);
    return sb_error_hint(err, "each could read the other's secrets: bundle one without harden: "
                              "{own_ids: false}");
}

/* The image's numbers, which nobody else may have here. */
static int take_image_ids(const struct sb_node_service *service, struct sb_node_placement *here,
                          struct sb_error *err) {
    const struct sb_user *user = &here->user;
    sb_autostrings struct sb_strings names = {0};
    if (sb_ids_check_image(service->name, user->uid, user->gid, err) < 0 ||
        sb_node_services(service->node, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.n && user->uid; i++)
        if (compare_numbers(service, names.v[i], user->uid, err) < 0)
            return -1;
    sb_node_placement_run_as(here, user->uid, user->gid);
    return 0;
}

/* Above all else. */
static int add_host(const struct sb_node_service *service, const struct sb_description *d,
                    struct sb_node_placement *here, struct sb_error *err) {
    const struct sb_hostlayer layer = {.service = service,
                                       .description = d,
                                       .number = here->placement.generation,
                                       .lower = here->placement.lower,
                                       .lower_count = here->placement.lower_count,
                                       .uid = here->placement.uid};
    if (sb_hostlayer_make(&layer, err) < 0)
        return -1;
    sb_node_placement_top(here, sb_hostlayer_path(service, layer.number));
    return 0;
}

/* Generations of before there was one get it when their units are made anew. */
static int write_init(const struct sb_node_service *service, uint64_t number,
                      struct sb_error *err) {
    sb_autofree char *points = sb_format("%" PRIu64 "/m", number);
    sb_autoclose int dir = sb_directory_open(service->fd, points, err);
    return dir < 0 ? -1
                   : sb_initfile_write(dir, sb_store_private_fd(service->node->store), NULL, err);
}

/* Of a new one: what ran here runs. */
static int check_native(const struct sb_description *d, const struct sb_generation *generation,
                        const struct sb_node_placement *here, int root, struct sb_error *err) {
    sb_autoplatform struct sb_platform accepted = {0};
    if (generation->state != SB_GENERATION_PREPARED)
        return 0;
    if (generation->platform && sb_platform_parse(generation->platform, &accepted, err) < 0)
        return -1;
    const char *path = sb_pairs_get(&d->env, "PATH");
    const struct sb_native_program program = {root, here->program, path ? path : SB_DEFAULT_PATH,
                                              d->workdir};
    return sb_native_check_program(&program, accepted.os ? &accepted : NULL, err);
}

/* Layers alone: the root as it is without what is the node's. */
static int look(const struct sb_node_service *service, const struct sb_description *d,
                const struct sb_generation *generation, struct sb_node_placement *here,
                struct sb_error *err) {
    uint64_t number = here->placement.generation;
    sb_autofree char *at = sb_format("%s/%" PRIu64 "/m", service->path, number);
    if (write_init(service, number, err) < 0)
        return -1;
    sb_autoclose int root =
        sb_rootview_open(here->placement.lower, here->placement.lower_count, at, err);
    if (root < 0 || sb_node_placement_look(here, d, root, err) < 0 ||
        check_native(d, generation, here, root, err) < 0)
        return -1;
    if (!sb_description_own_ids(d)) {
        if (take_image_ids(service, here, err) < 0)
            return -1;
    } else {
        uint32_t id;
        sb_autofree char *top = NULL;
        if (sb_ids_own(service->name, &id, err) < 0 || sb_owners_check(service, d, id, err) < 0 ||
            sb_renumber_make(service, d, number, root, &here->user, id, &top, err) < 0)
            return -1;
        sb_node_placement_run_as(here, id, id);
        sb_node_placement_top(here, sb_steal(top));
        here->placement.renumbered = true;
    }
    if (add_host(service, d, here, err) < 0)
        return -1;
    return sb_volumes_make(d, root, here->placement.uid, here->placement.gid, SB_VOLUMES, err);
}

/* Where the roots are: a local user could run their programs. Who was there before this mode was
 * made it when the mount units of other services were started. */
static int close_roots(struct sb_error *err) {
    if (sb_directory_make(AT_FDCWD, SB_UNIT_ROOTS, 0700, err) < 0)
        return -1;
    return chmod(SB_UNIT_ROOTS, 0700) < 0 ? sb_fail_errno(err, SB_E_IO, SB_UNIT_ROOTS) : 0;
}

static int look_and_keep(const struct sb_node_service *service, const struct sb_description *d,
                         const struct sb_generation *generation, struct sb_node_placement *here,
                         struct sb_error *err) {
    if (d->root == SB_ROOT_LAYERS) {
        if (look(service, d, generation, here, err) < 0 || close_roots(err) < 0 ||
            mount_root(service, d, here, err) < 0)
            return -1;
    } else {
        uint32_t uid = 0, gid = 0;
        if ((sb_description_own_ids(d) ? sb_ids_own(service->name, &uid, err)
                                       : sb_hostroot_ids(service, d, &uid, &gid, err)) < 0)
            return -1;
        gid = sb_description_own_ids(d) ? uid : gid;
        sb_node_placement_run_as(here, uid, gid);
        if ((sb_description_own_ids(d) && sb_owners_check(service, d, uid, err) < 0) ||
            sb_hostroot_make(service, d, here, gid, err) < 0)
            return -1;
    }
    return keep_units(service, d, here, err);
}

int sb_prepare_units(const struct sb_node_service *service, const struct sb_description *d,
                     const struct sb_generation *generation, int systemd_version,
                     struct sb_error *err) {
    struct sb_node_placement here;
    sb_node_placement_start(&here, service->node, d, generation->gpus);
    int rc = sb_node_placement_at(&here, service, d, generation->number, systemd_version, err);
    here.placement.bundle = &generation->bundle;
    if (rc == 0)
        rc = look_and_keep(service, d, generation, &here, err);
    sb_node_placement_free(&here);
    return rc;
}
