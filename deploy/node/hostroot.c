#include "deploy/node/hostroot.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/ids.h"
#include "deploy/host/initfile.h"
#include "deploy/node/renumber.h"
#include "deploy/units.h"
#include "layers/unpack.h"
#include "sandbox/inroot.h"

#define TEMPORARY SB_TMP_PREFIX "generation"

static int unpack(struct sb_store *store, const struct sb_description *d, int dir,
                  struct sb_error *err) {
    const struct sb_unpack_options options = {.form = SB_UNPACK_APPLY, .powerless = true};
    for (size_t i = 0; i < d->layer_count; i++)
        if (d->layers[i].application &&
            sb_unpack_layer(store, &d->layers[i].layer, dir, &options, err) < 0)
            return -1;
    if (fchmod(dir, 0755) < 0 || syncfs(dir) < 0)
        return sb_fail_errno(err, SB_E_IO, "writing unpacked layers to the disk");
    return 0;
}

static const char *user_of(const struct sb_description *d) {
    return d->user && *d->user ? d->user : NULL;
}

/* A name that the application's own layers don't know says nothing of their owners: then all that
 * is not everybody's is the service's. */
static int give(const struct sb_description *d, int dir, uint32_t id, struct sb_error *err) {
    static const struct sb_user all;
    struct sb_user user;
    struct sb_error unknown = {0};
    if (!sb_description_own_ids(d))
        return 0;
    if (sb_inroot_user(dir, user_of(d), &user, &unknown) < 0)
        user = all;
    return sb_renumber_tree(dir, &user, id, err);
}

int sb_hostroot_ids(const struct sb_node_service *service, const struct sb_description *d,
                    uint32_t *out_uid, uint32_t *out_gid, struct sb_error *err) {
    struct sb_user user;
    sb_autoclose int host = sb_directory_open(AT_FDCWD, "/", err);
    if (host < 0 || sb_inroot_user(host, user_of(d), &user, err) < 0 ||
        sb_ids_check_image(service->name, user.uid, user.gid, err) < 0)
        return -1;
    *out_uid = user.uid;
    *out_gid = user.gid;
    return 0;
}

/* After the application's own files, of which none may be in its way. */
static int complete(const struct sb_description *d, int dir, uint32_t gid, const char *label,
                    struct sb_error *err) {
    return give(d, dir, gid, err) < 0 ? -1 : sb_initfile_write(dir, -1, label, err);
}

static int make(const struct sb_node_service *service, const struct sb_description *d, int parent,
                const char *name, const struct sb_node_placement *here, uint32_t gid,
                struct sb_error *err) {
    if (sb_tree_remove(parent, TEMPORARY, err) < 0)
        return -1;
    if (mkdirat(parent, TEMPORARY, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s/%s", SB_UNIT_HOST_ROOT, service->name);
    sb_autoclose int dir = sb_directory_open(parent, TEMPORARY, err);
    if (dir < 0 || unpack(service->node->store, d, dir, err) < 0 ||
        complete(d, dir, gid, here->placement.label, err) < 0) {
        sb_tree_remove(parent, TEMPORARY, NULL);
        return -1;
    }
    if (renameat(parent, TEMPORARY, parent, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating %s/%s/%s", SB_UNIT_HOST_ROOT, service->name,
                             name);
    return sb_directory_sync(parent, err);
}

int sb_hostroot_make(const struct sb_node_service *service, const struct sb_description *d,
                     const struct sb_node_placement *here, uint32_t gid, struct sb_error *err) {
    uint64_t number = here->placement.generation;
    sb_autofree char *path = sb_format("%s/%s", SB_UNIT_HOST_ROOT, service->name);
    sb_autofree char *name = sb_format("%" PRIu64, number);
    if (sb_directory_make(AT_FDCWD, path, 0750, err) < 0)
        return -1;
    sb_autoclose int parent = sb_directory_open(AT_FDCWD, path, err);
    if (parent < 0)
        return -1;
    if (fchown(parent, 0, gid) < 0 || fchmod(parent, 0750) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    if (!sb_path_exists(parent, name))
        return make(service, d, parent, name, here, gid, err);
    sb_autoclose int dir = sb_directory_open(parent, name, err); /* of before it had that number */
    return dir < 0 ? -1 : complete(d, dir, gid, here->placement.label, err);
}

int sb_hostroot_remove(const struct sb_node_service *service, uint64_t number,
                       struct sb_error *err) {
    sb_autofree char *path = sb_format("%s/%s", SB_UNIT_HOST_ROOT, service->name);
    sb_autofree char *name = sb_format("%" PRIu64, number);
    sb_autoclose int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return 0;
    if (sb_tree_remove(parent, name, err) < 0 || sb_tree_remove(parent, TEMPORARY, err) < 0)
        return sb_error_context(err, "%s", path);
    rmdir(path); /* if no other generation is there */
    return 0;
}
