#include "deploy/node/gpus.h"

#include <ctype.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/node/unitfiles.h"

#define DEVICES     "/dev"
#define DRIVER      "/proc/driver/nvidia/gpus"
#define INFORMATION 8192 /* bytes of what the driver says of a GPU */

static unsigned count(uint64_t gpus) {
    return (unsigned)__builtin_popcountll(gpus);
}

/* "0, 2"; the caller's. */
static char *list_of(uint64_t gpus) {
    struct sb_buf text = {0};
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        if (gpus >> i & 1)
            sb_buf_addf(&text, "%s%d", text.len ? ", " : "", i);
    return sb_buf_steal(&text);
}

/* ---- what there is ---- */

static uint64_t present(const struct sb_node *node) {
    const char *directory = node->devices ? node->devices : DEVICES;
    sb_autoclose int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    uint64_t gpus = 0;
    for (int i = 0; i < SB_GPU_LIMIT && dir >= 0; i++) {
        sb_autofree char *name = sb_format("nvidia%d", i);
        if (sb_path_exists(dir, name))
            gpus |= UINT64_C(1) << i;
    }
    return gpus;
}

/* ---- who has what ---- */

struct holder {
    char *name;
    uint64_t gpus;
    bool shares;
};
struct holders {
    struct holder *v;
    size_t n, cap;
};

static void free_holders(struct holders *holders) {
    for (size_t i = 0; i < holders->n; i++)
        free(holders->v[i].name);
    free(holders->v);
}

/* What a generation of another service has; nothing when it isn't there (yet, or any more). */
static void add_generation(struct holder *holder, const struct sb_node_service *service,
                           uint64_t number) {
    struct sb_generation generation;
    struct sb_description d;
    if (number == 0 || sb_generation_load(service, number, &generation, NULL) < 0)
        return;
    holder->gpus |= generation.gpus;
    if (generation.gpus) {
        bool known = sb_generation_description(service, number, &d, NULL) == 0;
        holder->shares = holder->shares && known && d.gpu_shared;
        if (known)
            sb_description_free(&d);
    }
    sb_generation_free(&generation);
}

static void add_holder(struct holders *holders, const struct sb_node *node, const char *name) {
    struct holder holder = {.shares = true};
    struct sb_node_service *service;
    struct sb_operation operation;
    uint64_t current;
    if (sb_node_service_look(node, name, &service, NULL) < 0)
        return;
    if (sb_node_current(service, &current, NULL) == 0)
        add_generation(&holder, service, current);
    if (sb_operation_load(service, &operation, NULL) == 0 &&
        operation.kind != SB_OPERATION_UNINSTALL) {
        add_generation(&holder, service, operation.from);
        add_generation(&holder, service, operation.to);
    }
    sb_node_service_close(service);
    if (holder.gpus == 0)
        return;
    holder.name = sb_strdup(name);
    SB_GROW(holders->v, holders->n, holders->cap);
    holders->v[holders->n++] = holder;
}

static int find_holders(const struct sb_node_service *service, struct holders *out,
                        struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (sb_node_services(service->node, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.n; i++)
        if (strcmp(names.v[i], service->name) != 0)
            add_holder(out, service->node, names.v[i]);
    return 0;
}

/* ---- choosing ---- */

/* Adds the lowest of these until there are enough. */
static uint64_t take(uint64_t chosen, uint64_t from, unsigned wanted) {
    for (int i = 0; i < SB_GPU_LIMIT && count(chosen) < wanted; i++)
        chosen |= from & UINT64_C(1) << i;
    return chosen;
}

static int refuse(const struct sb_node_service *service, const struct holders *holders,
                  uint64_t there, unsigned wanted, unsigned available, struct sb_error *err) {
    sb_autobuf struct sb_buf who = {0};
    for (size_t i = 0; i < holders->n; i++) {
        uint64_t its = holders->v[i].gpus & there;
        sb_autofree char *list = list_of(its);
        if (its)
            sb_buf_addf(&who, "%s%s has %s%s", who.len ? ", " : "", holders->v[i].name, list,
                        holders->v[i].shares ? " (shared)" : "");
    }
    sb_fail(err, SB_E_FAILED, "%s needs %u of the %u GPUs of this node, and %u %s free: %.600s",
            service->name, wanted, count(there), available, available == 1 ? "is" : "are",
            sb_buf_text(&who));
    return sb_error_hint(err, "uninstall one of them, name the devices (gpu: [0]), or let all who "
                              "are to share say so: gpu: {count: 1, shared: true}");
}

int sb_gpus_choose(const struct sb_node_service *service, const struct sb_description *d,
                   uint64_t preferred, uint64_t *out, struct sb_error *err) {
    struct holders holders = {0};
    *out = d->gpu_devices;
    if (d->gpu == 0 || d->gpu_devices)
        return 0;
    if (find_holders(service, &holders, err) < 0)
        return -1;
    uint64_t there = present(service->node), held = 0, alone = 0;
    for (size_t i = 0; i < holders.n; i++) {
        held |= holders.v[i].gpus;
        alone |= holders.v[i].shares ? 0 : holders.v[i].gpus;
    }
    unsigned wanted = count(there) < d->gpu ? count(there) : d->gpu;
    uint64_t allowed = there & ~(d->gpu_shared ? alone : held);
    uint64_t order[] = {preferred & allowed, allowed & ~held, allowed};
    uint64_t chosen = 0;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        chosen = take(chosen, order[i], wanted);
    int rc = 0;
    if (count(chosen) < wanted)
        rc = refuse(service, &holders, there, wanted, count(allowed), err);
    else
        *out = chosen;
    free_holders(&holders);
    return rc;
}

void sb_gpus_tell(const struct sb_node_service *service, const struct sb_description *d,
                  uint64_t gpus) {
    struct holders holders = {0};
    if (count(gpus) < d->gpu)
        sb_node_say(service->node, "%s asks for %u GPU%s, and this node has %u", service->name,
                    d->gpu, d->gpu == 1 ? "" : "s", count(gpus));
    if (!d->gpu_devices || find_holders(service, &holders, NULL) < 0)
        return;
    for (size_t i = 0; i < holders.n; i++) {
        sb_autofree char *both = list_of(gpus & holders.v[i].gpus);
        if (*both)
            sb_node_say(service->node, "%s: %s has GPU %s as well", service->name,
                        holders.v[i].name, both);
    }
    free_holders(&holders);
}

/* ---- what CUDA is told ---- */

/* The value of a line "GPU UUID: <blanks> GPU-…"; the caller's, or NULL. */
static char *value_of(const char *text, const char *key) {
    const char *line = strstr(text, key);
    if (!line)
        return NULL;
    line += strlen(key);
    line += strspn(line, ": \t");
    return sb_strndup(line, strcspn(line, " \t\r\n"));
}

/* "GPU-" and hex digits by fives; question marks before the GPU is first used. */
static bool is_uuid(const char *text) {
    if (strncmp(text, "GPU-", 4) != 0 || strlen(text) > 80)
        return false;
    for (text += 4; *text; text++)
        if (!isxdigit((unsigned char)*text) && *text != '-')
            return false;
    return true;
}

/* Of each GPU that the driver tells of; the caller's strings. */
static void find_uuids(const struct sb_node *node, char *out[static SB_GPU_LIMIT]) {
    sb_autofree char *pattern = sb_format("%s/*/information", node->driver ? node->driver : DRIVER);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        sb_autobuf struct sb_buf text = {0};
        if (sb_file_read(AT_FDCWD, found.gl_pathv[i], INFORMATION, &text, NULL) < 0)
            continue;
        sb_autofree char *minor = value_of(sb_buf_text(&text), "Device Minor");
        sb_autofree char *uuid = value_of(sb_buf_text(&text), "GPU UUID");
        char *end = NULL;
        unsigned long number =
            minor && isdigit((unsigned char)*minor) ? strtoul(minor, &end, 10) : SB_GPU_LIMIT;
        if (number < SB_GPU_LIMIT && !*end && uuid && is_uuid(uuid) && !out[number])
            out[number] = sb_steal(uuid);
    }
    globfree(&found);
}

void sb_gpus_environment(const struct sb_node *node, uint64_t gpus, bool closed,
                         struct sb_pairs *out) {
    char *uuids[SB_GPU_LIMIT] = {0};
    sb_autobuf struct sb_buf list = {0};
    find_uuids(node, uuids);
    bool known = true;
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        known = known && (!(gpus >> i & 1) || uuids[i]);
    for (int i = 0, nth = 0; i < SB_GPU_LIMIT; i++) {
        if (!(gpus >> i & 1))
            continue;
        sb_buf_adds(&list, list.len ? "," : "");
        if (known)
            sb_buf_adds(&list, uuids[i]);
        else
            sb_buf_addf(&list, "%d", closed ? nth++ : i);
    }
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        free(uuids[i]);
    sb_pairs_set(out, "CUDA_VISIBLE_DEVICES", sb_buf_text(&list));
    if (!known && !closed) /* else the fastest comes first */
        sb_pairs_set(out, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
}

/* ---- what became of it ---- */

unsigned sb_gpus_missing(const struct sb_node *node, const struct sb_description *d,
                         const struct sb_generation *generation) {
    unsigned has = count(generation->gpus & present(node));
    return has < d->gpu ? d->gpu - has : 0;
}

/* Its unit names by UUID only GPUs that the driver tells of; by number, whichever there are. */
static bool names_others(const struct sb_node_service *service, uint64_t number) {
    static const char key[] = "\nEnvironment=\"CUDA_VISIBLE_DEVICES=";
    char *uuids[SB_GPU_LIMIT] = {0};
    sb_autobuf struct sb_buf text = {0};
    bool others = false, any = false;
    find_uuids(service->node, uuids);
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        any = any || uuids[i];
    const char *word = any && sb_unitfiles_read(service, number, SB_UNIT_SERVICE, &text, NULL) == 0
                           ? strstr(sb_buf_text(&text), key)
                           : NULL;
    for (word = word ? word + strlen(key) : ""; *word && *word != '"' && *word != '\n';) {
        size_t n = strcspn(word, ",\"\n");
        bool known = strncmp(word, "GPU-", 4) != 0;
        for (int i = 0; i < SB_GPU_LIMIT; i++)
            known = known || (uuids[i] && strlen(uuids[i]) == n && !strncmp(uuids[i], word, n));
        others = others || !known;
        word += n + (word[n] == ',');
    }
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        free(uuids[i]);
    return others;
}

bool sb_gpus_fit(const struct sb_node_service *service, const struct sb_description *d,
                 const struct sb_generation *generation) {
    uint64_t now;
    struct sb_error ignored = {0};
    if (d->gpu == 0)
        return true;
    if (names_others(service, generation->number))
        return false;
    return sb_gpus_missing(service->node, d, generation) == 0 || d->gpu_devices ||
           sb_gpus_choose(service, d, generation->gpus, &now, &ignored) < 0 ||
           now == generation->gpus;
}

/* ---- modules ---- */

static void run(const char *const *argv) {
    sb_autofree char *program = sb_process_find(argv[0]);
    sb_autobuf struct sb_buf out = {0};
    struct sb_error ignored = {0};
    if (program)
        sb_process_capture(argv, NULL, 1u << 16, &out, NULL, &ignored);
}

static bool has_module(const char *device) {
    sb_autobuf struct sb_buf text = {0};
    return sb_file_read(AT_FDCWD, "/proc/devices", 1u << 20, &text, NULL) == 0 &&
           strstr(sb_buf_text(&text), device);
}

/* Their numbers are what systemd opens them to a service by, at its start. */
void sb_gpus_load(const struct sb_node *node, uint64_t gpus) {
    static const char *const modules[] = {"modprobe", "-qa", "nvidia", "nvidia-uvm", NULL};
    static const char *const shared[] = {"nvidia-modprobe", "-c", "255", "-u", NULL};
    uint64_t there = present(node);
    if (!has_module(" nvidia-uvm\n")) {
        run(modules);
        run(shared);
    }
    for (int i = 0; i < SB_GPU_LIMIT; i++) {
        sb_autofree char *number = sb_format("%d", i);
        const char *const one[] = {"nvidia-modprobe", "-c", number, NULL};
        if (gpus >> i & 1 && !(there >> i & 1))
            run(one);
    }
}
