#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/files.h"
#include "cli/show.h"
#include "layers/unpack.h"

struct list {
    const struct sb_image *image;
    struct sb_files files;
    size_t first, end; /* of the list that are shown */
    size_t skip;       /* bytes of paths that are the directory being shown */
    bool recursive, layers, bytes, json;
    int owner_width, size_width, layer_width;
    size_t shown;
};

/* ---- which files ---- */

/* A path that leads through symlinks, as a process in the container would find it. */
static int resolve(struct sb_store *store, const struct sb_image *image, const char *path,
                   char **out, struct sb_error *err) {
    struct sb_contents *contents[SB_ARTIFACT_LAYER_LIMIT];
    struct sb_stack stack = {.v = contents};
    int failed = 0;
    while (!failed && stack.n < image->layer_count) {
        failed = sb_layer_contents(store, &image->layers[stack.n].layer, &contents[stack.n], err);
        stack.n += !failed;
    }
    if (!failed)
        failed = sb_stack_resolve(&stack, path, out, err);
    while (stack.n > 0)
        sb_contents_close(contents[--stack.n]);
    return failed;
}

/* The lowest directory on the way to path that is there. */
static char *existing_parent(const struct sb_files *files, const char *path) {
    char *parent = sb_path_dirname(path);
    while (strcmp(parent, ".") != 0 && sb_files_find(files, parent) == files->n) {
        char *above = sb_path_dirname(parent);
        free(parent);
        parent = above;
    }
    return parent;
}

static int not_found(const struct list *list, const char *image, const char *path,
                     struct sb_error *err) {
    sb_fail(err, SB_E_NOT_FOUND, "there is no %s in the image %s", sb_text_shown(path).text, image);
    sb_autofree char *parent = existing_parent(&list->files, path);
    bool root = !strcmp(parent, ".");
    size_t n = root ? 0 : strlen(parent) + 1;
    sb_autostrings struct sb_strings names = {0};
    for (size_t i = 0; i < list->files.n; i++) {
        const char *other = list->files.v[i].entry.path;
        if (strlen(other) > n && strncmp(other, path, n) == 0 && !strchr(other + n, '/'))
            sb_strings_add(&names, other);
    }
    const char *near = names.n ? sb_text_nearest(path, (const char *const *)names.v) : NULL;
    if (near)
        return sb_error_hint(err, "did you mean %s?", sb_text_shown(near).text);
    return sb_error_hint(err, "sbuild ls %s%s%s lists what there is", image, root ? "" : " ",
                         root ? "" : parent);
}

/* A symlink itself is shown only when it leads to no directory, as ls does with a slash behind. */
static int choose(struct list *list, struct sb_store *store, const char *image, const char *path,
                  struct sb_error *err) {
    struct sb_files *files = &list->files;
    sb_autofree char *clean = sb_path_clean(path);
    const char *relative = clean + strspn(clean, "/");
    list->end = files->n;
    if (!*relative || !strcmp(relative, "."))
        return 0;
    sb_autofree char *target = NULL;
    if (resolve(store, list->image, relative, &target, err) < 0)
        return -1;
    if (!target || !*target)
        return 0;
    size_t at = sb_files_find(files, target), itself = sb_files_find(files, relative);
    if (itself < files->n && (at == files->n || !S_ISDIR(files->v[at].entry.mode)))
        at = itself;
    if (at == files->n)
        return not_found(list, image, relative, err);
    list->first = at;
    list->end = at + 1;
    if (!S_ISDIR(files->v[at].entry.mode))
        return 0;
    list->first = at + 1;
    list->end = sb_files_after(files, at);
    list->skip = strlen(files->v[at].entry.path) + 1;
    return 0;
}

/* The index after a file that was shown. */
static size_t next(const struct list *list, size_t i) {
    return list->recursive ? i + 1 : sb_files_after(&list->files, i);
}

/* ---- one line ---- */

struct cells {
    char owner[32], size[32];
    const char *layer;
    char number[24];
};

static void fill_cells(const struct list *list, const struct sb_file *file, struct cells *out) {
    const struct sb_entry *e = &file->entry;
    snprintf(out->owner, sizeof out->owner, "%u:%u", e->uid, e->gid);
    if (S_ISCHR(e->mode) || S_ISBLK(e->mode))
        snprintf(out->size, sizeof out->size, "%u, %u", e->device_major, e->device_minor);
    else if (S_ISLNK(e->mode) || S_ISFIFO(e->mode) || e->hard_link)
        snprintf(out->size, sizeof out->size, "-");
    else if (list->bytes)
        snprintf(out->size, sizeof out->size, "%llu", (unsigned long long)file->total);
    else
        snprintf(out->size, sizeof out->size, "%s", sb_text_size(file->total).text);
    out->layer = list->image->layers[file->layer].name;
    if (!out->layer) {
        snprintf(out->number, sizeof out->number, "#%zu", file->layer + 1);
        out->layer = out->number;
    }
}

static void widen(int *width, const char *text) {
    int n = (int)strlen(text);
    *width = n > *width ? n : *width;
}

/* Columns are as wide as the files shown need; nothing is kept, as there may be many. */
static void measure(struct list *list) {
    for (size_t i = list->first; i < list->end; i = next(list, i)) {
        struct cells cells;
        fill_cells(list, &list->files.v[i], &cells);
        widen(&list->owner_width, cells.owner);
        widen(&list->size_width, cells.size);
        if (list->layers)
            widen(&list->layer_width, cells.layer);
    }
}

static void print_line(const struct list *list, const struct sb_file *file) {
    const struct sb_entry *e = &file->entry;
    struct cells cells;
    fill_cells(list, file, &cells);
    sb_autofree char *path = sb_show_path(e->path + list->skip);
    sb_autofree char *layer = sb_show_text(cells.layer);
    sb_autofree char *link = e->link ? sb_show_path(e->link) : NULL;
    sb_cli_print("%s  %-*s  %*s  %s  ", sb_show_mode(e->mode).text, list->owner_width, cells.owner,
                 list->size_width, cells.size, sb_show_time(e->mtime).text);
    if (list->layers)
        sb_cli_print("%-*s  ", list->layer_width, layer);
    sb_cli_print("%s%s%s%s\n", path, S_ISDIR(e->mode) && !e->hard_link ? "/" : "",
                 !link          ? ""
                 : e->hard_link ? " = /"
                                : " -> ",
                 link ? link : "");
}

static json_t *file_json(const struct list *list, const struct sb_file *file) {
    const struct sb_entry *e = &file->entry;
    char mode[16];
    snprintf(mode, sizeof mode, "%04o", (unsigned)e->mode & 07777);
    json_t *out = json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:I}", "path",
                            sb_json_from_bytes(e->path), "type", sb_show_type(e), "mode", mode,
                            "uid", (json_int_t)e->uid, "gid", (json_int_t)e->gid, "size",
                            (json_int_t)file->total, "mtime", (json_int_t)e->mtime);
    if (e->link)
        json_object_set_new(out, "target", sb_json_from_bytes(e->link));
    if (S_ISCHR(e->mode) || S_ISBLK(e->mode))
        json_object_set_new(
            out, "device",
            json_pack("[I, I]", (json_int_t)e->device_major, (json_int_t)e->device_minor));
    const struct sb_image_layer *layer = &list->image->layers[file->layer];
    json_object_set_new(out, "layer", json_integer((json_int_t)file->layer + 1));
    if (layer->name)
        json_object_set_new(out, "layer_name", json_string(layer->name));
    return out;
}

static int print_files(struct list *list, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    measure(list);
    if (list->json)
        sb_cli_print("[");
    for (size_t i = list->first; i < list->end && !sb_cli_print_ended(); i = next(list, i)) {
        if (sb_interrupt_check(err) < 0)
            return -1;
        if (!list->json) {
            print_line(list, &list->files.v[i]);
            continue;
        }
        sb_autojson json_t *file = file_json(list, &list->files.v[i]);
        sb_buf_reset(&text);
        sb_cli_add_json(file, &text);
        sb_cli_print("%s\n%s", list->shown++ ? "," : "", text.data);
    }
    if (list->json)
        sb_cli_print("\n]\n");
    return sb_cli_flush(err);
}

/* ---- the command ---- */

static int ls(struct list *list, const struct sb_common *common, const char *platform,
              const char *name, const char *path, struct sb_error *err) {
    sb_autoimages struct sb_cli_images images = {.platform = platform};
    if (sb_cli_images_open(&images, common, &name, 1, err) < 0 ||
        sb_cli_images_fetch(&images, &images.image[0], true, err) < 0)
        return -1;
    list->image = &images.image[0];
    int failed = sb_files_open(images.store, list->image, &list->files, err);
    if (!failed)
        failed = choose(list, images.store, name, path, err);
    if (!failed)
        failed = print_files(list, err);
    sb_files_close(&list->files);
    return failed;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    struct list list = {0};
    const char *platform = NULL;
    const struct sb_option options[] = {
        {.name = "recursive", .letter = 'R', .flag = &list.recursive},
        {.name = "layers", .letter = 'l', .flag = &list.layers},
        {.name = "bytes", .letter = 'b', .flag = &list.bytes},
        {.name = "platform", .text = &platform},
        {0}};
    sb_autofree const char **arguments = sb_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_ls, argc, argv, options, &common, arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_ls, count, 1, 2, err) < 0)
        return -1;
    list.json = common.json;
    return ls(&list, &common, platform, arguments[0], count > 1 ? arguments[1] : "", err);
}

const struct sb_command sb_command_ls = {
    .name = "ls",
    .arguments = "IMAGE [PATH] [OPTION…]",
    .summary = "list the files of an image, with their sizes",
    .help = "The files as a container sees them, all layers merged: mode, owner, size, time\n"
            "(UTC) and name. The size of a directory is that of all files below it. \"->\"\n"
            "leads to the target of a symlink, \"=\" to the file that a hard link repeats.\n"
            "Symlinks in PATH are followed. What can't be printed of a name becomes \\xNN;\n"
            "in JSON, where it is no UTF-8 or has a %, %XX.\n\n"
            "options:\n"
            "  -R, --recursive  everything below, with paths relative to PATH\n"
            "  -l, --layers     also the layer that each file comes from\n"
            "  -b, --bytes      sizes in bytes\n"
            "  --platform P     of an index, the image for OS/ARCHITECTURE[/VARIANT],\n"
            "                   instead of this machine's\n"
            "  --json           one JSON array, an object for each file\n"
            "  --store DIR      the store to look into\n\n"
            "examples:\n"
            "  sbuild ls backend:v1.4.2\n"
            "  sbuild ls backend /app -R --layers\n"
            "  sbuild ls backend -R -b | grep '^-' | sort -k3 -n | tail   # largest files\n",
    .run = run,
};
