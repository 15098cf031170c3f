#include "deploy/node/placement.h"

#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/host/ids.h"
#include "deploy/node/gpus.h"
#include "document/environment.h"
#include "layers/links.h"

/* The device of a GPU that is not its. */
static bool is_other_gpu(uint64_t gpus, const char *path) {
    static const char prefix[] = "/dev/nvidia";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *digits = path + sizeof prefix - 1;
    char *end;
    unsigned long number = strtoul(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end)
        return false; /* of all of them: nvidiactl, nvidia-uvm */
    return number >= SB_GPU_LIMIT || !(gpus >> number & 1);
}

static void add_matches(uint64_t gpus, const char *pattern, struct sb_strings *out) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat st;
        if (stat(found.gl_pathv[i], &st) == 0 && S_ISCHR(st.st_mode) &&
            !is_other_gpu(gpus, found.gl_pathv[i]))
            sb_strings_add(out, found.gl_pathv[i]);
    }
    globfree(&found);
}

/* Files of a store are labelled as data, and systemd may not run those. With the label of the
 * host's programs a service starts as one that an administrator put into /usr/local/bin: in the
 * domain that the host's policy has for these. What label that is the host knows itself. */
static void find_label(struct sb_node_placement *out) {
    if (access("/sys/fs/selinux/enforce", F_OK) < 0)
        return;
    ssize_t n = getxattr("/usr/bin/env", "security.selinux", out->label, sizeof out->label - 1);
    out->label[n > 0 ? n : 0] = '\0';
    if (*out->label)
        out->placement.label = out->label;
}

void sb_node_placement_start(struct sb_node_placement *out, const struct sb_node *node,
                             const struct sb_description *d, uint64_t gpus) {
    static const char *const devices[] = {"/dev/nvidia[0-9]*",
                                          "/dev/nvidiactl",
                                          "/dev/nvidia-modeset",
                                          "/dev/nvidia-uvm",
                                          "/dev/nvidia-uvm-tools",
                                          "/dev/nvidia-caps/*",
                                          NULL};
    *out = (struct sb_node_placement){0};
    find_label(out);
    out->placement.no_user_namespaces = !sb_ids_have_namespaces();
    if (d->gpu == 0)
        return;
    for (size_t i = 0; devices[i]; i++)
        add_matches(gpus, devices[i], &out->devices);
    out->placement.devices = &out->devices;
    out->placement.gpus = gpus;
    bool closed = !(d->harden_off >> SB_HARDEN_PRIVATE_DEVICES & 1);
    if (gpus && !sb_pairs_get(&d->env, "CUDA_VISIBLE_DEVICES"))
        sb_gpus_environment(node, gpus, closed, &out->env);
    out->placement.env = &out->env;
}

/* ---- the root's directories ---- */

/* Of an overlay, topmost first. None twice, which overlayfs refuses: of a layer that an image has
 * twice the upper one decides, as it has all that the lower one could show. */
static size_t lower_ids(const struct sb_description *d, struct sb_digest *out) {
    size_t n = 0;
    for (size_t i = d->layer_count; i-- > 0;) {
        const struct sb_digest *id = &d->layers[i].layer.diff_id;
        bool again = false;
        for (size_t j = 0; j < n; j++)
            again = again || sb_digest_equal(&out[j], id);
        if (!again)
            out[n++] = *id;
    }
    return n;
}

static char *points_path(const struct sb_node_service *service, uint64_t number) {
    return sb_format("%s/%" PRIu64 "/m", service->path, number);
}

int sb_node_placement_check(const struct sb_node_service *service, const struct sb_description *d,
                            uint64_t number, struct sb_error *err) {
    struct sb_store *store = service->node->store;
    sb_autofree struct sb_digest *ids = sb_alloc((d->layer_count + 1) * sizeof *ids);
    sb_autofree char *points = points_path(service, number);
    size_t n = lower_ids(d, ids), bytes = strlen(points);
    if (sb_description_own_ids(d))
        bytes += strlen(points) + sizeof "4294967295"; /* its top */
    bytes += strlen(points) + 1;                       /* what the host brings */
    for (size_t i = 0; i < n; i++) {
        sb_autofree char *link = sb_link_path(store, &ids[i]);
        bytes += strlen(link) + 1;
    }
    if (bytes <= SB_UNIT_LOWER_LIMIT)
        return 0;
    sb_fail(err, SB_E_FAILED,
            "%s has %zu layers: below %s their names take %zu bytes, and %d fit into a mount",
            service->name, n, sb_store_path(store), bytes, SB_UNIT_LOWER_LIMIT);
    return sb_error_hint(err, "put the store of this node at a shorter path, with --store");
}

int sb_node_placement_at(struct sb_node_placement *p, const struct sb_node_service *service,
                         const struct sb_description *d, uint64_t number, int systemd_version,
                         struct sb_error *err) {
    sb_autofree struct sb_digest *ids = sb_alloc((d->layer_count + 1) * sizeof *ids);
    if (d->root == SB_ROOT_LAYERS) { /* else the host's root is its */
        size_t n = lower_ids(d, ids);
        if (sb_links_make(service->node->store, ids, n, &p->lower, err) < 0)
            return -1;
        sb_strings_take(&p->lower, points_path(service, number));
    }
    p->placement.generation = number;
    p->placement.lower = (const char *const *)p->lower.v;
    p->placement.lower_count = p->lower.n;
    p->placement.requires_path = service->path;
    p->placement.systemd_version = systemd_version;
    sb_autofree char *mend = sb_format("%s/%" PRIu64 "/" SB_GENERATION_MEND, service->path, number);
    if (d->root == SB_ROOT_LAYERS && sb_path_exists(AT_FDCWD, mend))
        sb_node_placement_top(p, sb_steal(mend));
    return 0;
}

/* The path of a program there; NULL when there is none. */
static char *find_program(int root, const char *name, const char *path, const char *workdir) {
    if (strchr(name, '/'))
        return sb_inroot_has_program(root, name, path, workdir)
                   ? name[0] == '/' ? sb_strdup(name) : sb_format("%s/%s", workdir, name)
                   : NULL;
    while (*path) {
        size_t n = strcspn(path, ":");
        sb_autofree char *whole = sb_format("%.*s/%s", (int)n, path, name);
        if (n > 0 && whole[0] == '/' && sb_inroot_has_program(root, whole, path, workdir))
            return sb_steal(whole);
        path += n + (path[n] == ':');
    }
    return NULL;
}

static int look_up_program(struct sb_node_placement *p, const struct sb_description *d, int root,
                           struct sb_error *err) {
    const char *path = SB_DEFAULT_PATH;
    for (size_t i = 0; i < d->env.n; i++)
        if (!strcmp(d->env.v[i].name, "PATH"))
            path = d->env.v[i].value;
    p->program = find_program(root, d->argv.v[0], path, d->workdir);
    p->placement.program = p->program;
    if (p->program)
        return 0;
    return sb_fail(err, SB_E_FAILED, "its program %s is not in its layers",
                   sb_text_shown(d->argv.v[0]).text);
}

static bool is_plain(const char *text) {
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F)
            return false;
    return *text && sb_text_is_for_units(text);
}

/* What systemd says of these is what the host's database has; who runs in an image expects what the
 * image's has. Its own variables win. */
static void tell_who(struct sb_node_placement *p, const struct sb_description *d) {
    /* A user that the image has only a number for has no home: many programs want one. */
    bool own_tmp = !(d->harden_off >> SB_HARDEN_PRIVATE_TMP & 1);
    const char *home = !strcmp(p->user.home, "/") && own_tmp ? "/tmp" : p->user.home;
    const char *const told[][2] = {
        {"HOME", home}, {"USER", p->user.name}, {"LOGNAME", p->user.name}};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (is_plain(told[i][1]) && !sb_pairs_get(&d->env, told[i][0]))
            sb_pairs_set(&p->env, told[i][0], told[i][1]);
    if (d->root == SB_ROOT_LAYERS && !sb_pairs_get(&d->env, "PATH"))
        sb_pairs_set(&p->env, "PATH", SB_DEFAULT_PATH); /* systemd's lacks /bin, or /sbin */
    p->placement.env = &p->env;
}

int sb_node_placement_look(struct sb_node_placement *p, const struct sb_description *d, int root,
                           struct sb_error *err) {
    if (look_up_program(p, d, root, err) < 0 ||
        sb_inroot_user(root, d->user && *d->user ? d->user : NULL, &p->user, err) < 0)
        return -1;
    tell_who(p, d);
    return 0;
}

void sb_node_placement_run_as(struct sb_node_placement *p, uint32_t uid, uint32_t gid) {
    p->placement.has_ids = true;
    p->placement.uid = uid;
    p->placement.gid = gid;
}

void sb_node_placement_top(struct sb_node_placement *p, char *path) {
    sb_strings_take(&p->lower, path);
    memmove(p->lower.v + 1, p->lower.v, (p->lower.n - 1) * sizeof *p->lower.v);
    p->lower.v[0] = path;
    p->placement.lower = (const char *const *)p->lower.v;
    p->placement.lower_count = p->lower.n;
}

void sb_node_placement_free(struct sb_node_placement *p) {
    sb_strings_free(&p->devices);
    sb_strings_free(&p->lower);
    sb_pairs_free(&p->env);
    free(p->program);
    *p = (struct sb_node_placement){0};
}
