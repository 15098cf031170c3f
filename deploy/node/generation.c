#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "deploy/node/hostroot.h"
#include "deploy/node/node.h"
#include "deploy/units.h"
#include "layers/pin.h"

#define RECORD_LIMIT (4u << 20)

const char *sb_generation_state_name(enum sb_generation_state state) {
    static const char *const names[] = {
#define X(value, name) [value] = name,
        SB_GENERATION_STATES(X)
#undef X
    };
    return names[state];
}

void sb_generation_free(struct sb_generation *generation) {
    free(generation->reference);
    free(generation->provenance);
    free(generation->version);
    free(generation->platform);
    free(generation->failure);
    free(generation->journal);
    sb_strings_free(&generation->trees);
    *generation = (struct sb_generation){0};
}

/* ---- record.json ---- */

static char *copy(const json_t *value, const char *key) {
    const char *text = sb_json_string(value, key, NULL);
    return text ? sb_strdup(text) : NULL;
}

static uint64_t read_gpus(const json_t *list) {
    uint64_t gpus = 0;
    size_t i;
    json_t *gpu;
    json_array_foreach (list, i, gpu) {
        json_int_t number = json_integer_value(gpu);
        if (json_is_integer(gpu) && number >= 0 && number < SB_GPU_LIMIT)
            gpus |= UINT64_C(1) << number;
    }
    return gpus;
}

bool sb_generation_ran_well(const struct sb_node_service *service, uint64_t number) {
    struct sb_generation generation;
    if (sb_generation_load(service, number, &generation, NULL) < 0)
        return false;
    bool well = generation.state == SB_GENERATION_HEALTHY;
    sb_generation_free(&generation);
    return well;
}

json_t *sb_generation_gpus_json(const struct sb_generation *generation) {
    json_t *list = json_array();
    for (int i = 0; i < SB_GPU_LIMIT; i++)
        if (generation->gpus >> i & 1)
            json_array_append_new(list, json_integer(i));
    return list;
}

static int read_record(const json_t *value, struct sb_generation *out, struct sb_error *err) {
    if (sb_json_integer(value, "version", 0) != 1)
        return sb_fail(err, SB_E_FAILED, "a record of another sbuild");
    const char *state = sb_json_string(value, "state", "");
    for (int i = SB_GENERATION_PREPARED; i <= SB_GENERATION_FAILED; i++)
        if (!strcmp(state, sb_generation_state_name((enum sb_generation_state)i)))
            out->state = (enum sb_generation_state)i;
    out->reference = copy(value, "reference");
    out->provenance = copy(value, "provenance");
    out->version = copy(value, "image_version");
    out->platform = copy(value, "platform");
    out->failure = copy(value, "failure");
    out->journal = copy(value, "journal");
    out->installed = sb_json_integer(value, "installed", 0);
    out->since = sb_json_integer(value, "since", 0);
    out->gpus = read_gpus(json_object_get(value, "gpus"));
    size_t i;
    json_t *tree;
    json_array_foreach (json_object_get(value, "trees"), i, tree) {
        sb_strings_add(&out->trees, json_string_value(tree) ? json_string_value(tree) : "");
    }
    if (sb_digest_parse(sb_json_string(value, "bundle", ""), &out->bundle, err) < 0)
        return -1;
    return sb_digest_parse(sb_json_string(value, "image", ""), &out->image, err);
}

int sb_generation_load(const struct sb_node_service *service, uint64_t number,
                       struct sb_generation *out, struct sb_error *err) {
    *out = (struct sb_generation){.number = number};
    sb_autofree char *path = sb_format("%" PRIu64 "/record.json", number);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(service->fd, path, RECORD_LIMIT, &text, err) < 0)
        return sb_error_context(err, "generation %" PRIu64 " of %s", number, service->name);
    sb_autojson json_t *value = sb_json_parse(sb_buf_text(&text), text.len, err);
    if (!value || read_record(value, out, err) < 0) {
        sb_generation_free(out);
        return sb_error_context(err, "%s/%s", service->path, path);
    }
    return 0;
}

static void set_text(json_t *object, const char *key, const char *text) {
    json_t *value = text ? json_string(text) : NULL;
    if (text)
        json_object_set_new(object, key, value ? value : sb_json_from_bytes(text));
}

int sb_generation_write(int dirfd, const struct sb_generation *generation, struct sb_error *err) {
    json_t *trees = json_array();
    for (size_t i = 0; i < generation->trees.n; i++)
        json_array_append_new(trees, json_string(generation->trees.v[i]));
    sb_autojson json_t *value = json_pack(
        "{s:i, s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "version", 1, "state",
        sb_generation_state_name(generation->state), "bundle",
        sb_digest_text(&generation->bundle).text, "image", sb_digest_text(&generation->image).text,
        "installed", (json_int_t)generation->installed, "since", (json_int_t)generation->since,
        "trees", trees, "gpus", sb_generation_gpus_json(generation));
    set_text(value, "reference", generation->reference);
    set_text(value, "provenance", generation->provenance);
    set_text(value, "image_version", generation->version);
    set_text(value, "platform", generation->platform);
    set_text(value, "failure", generation->failure);
    set_text(value, "journal", generation->journal);
    sb_autobuf struct sb_buf text = {0};
    sb_json_write_pretty(value, &text);
    return sb_file_write(dirfd, "record.json", text.data, text.len, 0644, err);
}

int sb_generation_save(const struct sb_node_service *service,
                       const struct sb_generation *generation, struct sb_error *err) {
    sb_autofree char *path = sb_format("%" PRIu64, generation->number);
    sb_autoclose int dir = sb_directory_open(service->fd, path, err);
    if (dir < 0 || sb_generation_write(dir, generation, err) < 0)
        return sb_error_context(err, "the record of generation %" PRIu64 " of %s",
                                generation->number, service->name);
    return 0;
}

static int read_description(const struct sb_node_service *service, const char *directory,
                            struct sb_description *out, struct sb_error *err) {
    sb_autofree char *path = sb_path_join(directory, "description.json");
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(service->fd, path, SB_DESCRIPTION_LIMIT, &text, err) < 0)
        return -1;
    if (sb_description_parse(sb_buf_text(&text), text.len, out, err) < 0)
        return sb_error_context(err, "%s/%s", service->path, path);
    return 0;
}

int sb_generation_description(const struct sb_node_service *service, uint64_t number,
                              struct sb_description *out, struct sb_error *err) {
    sb_autofree char *name = sb_format("%" PRIu64, number);
    return read_description(service, name, out, err);
}

char *sb_generation_coloured_unit(const struct sb_node_service *service, uint64_t number,
                                  uint16_t port, const char *colour) {
    sb_autofree char *unit = sb_unit_service_name(service->name, colour);
    return sb_format("%" PRIu64 "/units/%u/%s", number, port, unit);
}

/* ---- all of them ---- */

static int compare_numbers(const void *a, const void *b) {
    const struct sb_generation *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

int sb_generations(const struct sb_node_service *service, struct sb_generation_list *out,
                   struct sb_error *err) {
    *out = (struct sb_generation_list){0};
    int fd = openat(service->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return sb_fail_errno(err, SB_E_IO, "reading %s", service->path);
    }
    for (struct dirent *e; (e = readdir(dir));) {
        char *end;
        uint64_t number = strtoull(e->d_name, &end, 10);
        struct sb_generation one;
        if (*end || number == 0 || sb_generation_load(service, number, &one, NULL) < 0)
            continue;
        SB_GROW(out->v, out->n, out->cap);
        out->v[out->n++] = one;
    }
    if (out->n > 1)
        qsort(out->v, out->n, sizeof *out->v, compare_numbers);
    return 0;
}

void sb_generation_list_free(struct sb_generation_list *list) {
    for (size_t i = 0; i < list->n; i++)
        sb_generation_free(&list->v[i]);
    free(list->v);
    *list = (struct sb_generation_list){0};
}

#define REMOVED SB_TMP_PREFIX "removed-"

/* What root: host unpacked goes before the description that says so. */
static int remove_whole(const struct sb_node_service *service, uint64_t number, const char *away,
                        struct sb_error *err) {
    struct sb_description d;
    if (read_description(service, away, &d, NULL) == 0) {
        bool host = d.root == SB_ROOT_HOST;
        sb_description_free(&d);
        if (host && sb_hostroot_remove(service, number, err) < 0)
            return -1;
    }
    return sb_tree_remove(service->fd, away, err);
}

/* Out of sight first, so that half a generation is never taken for a whole one. */
int sb_generation_remove(const struct sb_node_service *service, uint64_t number,
                         struct sb_error *err) {
    sb_autofree char *name = sb_format("%" PRIu64, number);
    sb_autofree char *away = sb_format(REMOVED "%" PRIu64, number);
    if (remove_whole(service, number, away, err) < 0)
        return -1;
    if (renameat(service->fd, name, service->fd, away) < 0 && errno != ENOENT)
        return sb_fail_errno(err, SB_E_IO, "removing %s/%s", service->path, name);
    return remove_whole(service, number, away, err);
}

void sb_generation_sweep(const struct sb_node_service *service) {
    int fd = openat(service->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (strncmp(e->d_name, SB_TMP_PREFIX, strlen(SB_TMP_PREFIX)) != 0)
            continue;
        if (!strncmp(e->d_name, REMOVED, strlen(REMOVED)))
            remove_whole(service, strtoull(e->d_name + strlen(REMOVED), NULL, 10), e->d_name, NULL);
        else
            sb_tree_remove(service->fd, e->d_name, NULL);
    }
}

/* A tree, and the table of contents of the layer that it was made of: the next generation needs it
 * (layers/mend.h), and the layer itself is gone by then. */
static void add_tree(const struct sb_store *store, const char *tree, struct sb_strings *items) {
    static const char trees[] = "sbuild/trees/";
    if (sb_strings_has(items, tree))
        return;
    sb_strings_add(items, tree);
    if (strncmp(tree, trees, strlen(trees)) != 0)
        return;
    sb_autofree char *contents = sb_format("sbuild/contents/%s", tree + strlen(trees));
    if (sb_path_exists(sb_store_fd(store), contents))
        sb_strings_add(items, contents);
}

int sb_node_pin(const struct sb_node_service *service, struct sb_error *err) {
    struct sb_generation_list list;
    if (sb_generations(service, &list, err) < 0)
        return -1;
    sb_autostrings struct sb_strings items = {0};
    for (size_t i = 0; i < list.n; i++)
        for (size_t j = 0; j < list.v[i].trees.n && list.v[i].state != SB_GENERATION_FAILED; j++)
            add_tree(service->node->store, list.v[i].trees.v[j], &items);
    sb_generation_list_free(&list);
    sb_autofree char *name = sb_format("service-%s", service->name);
    if (items.n == 0)
        return sb_pin_remove(service->node->store, name, err);
    return sb_pin_set(service->node->store, name, &items, err);
}
