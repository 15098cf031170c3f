#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/exporting.h"
#include "cli/show.h"
#include "layers/export.h"
#include "layers/image_index.h"

/* ---- the names that the image gets in the archive ---- */

static int names_of(struct sb_store *store, const struct sb_descriptor *manifest,
                    const struct sb_strings *wanted, struct sb_strings *out, struct sb_error *err) {
    if (wanted->n > 0) {
        for (size_t i = 0; i < wanted->n; i++)
            if (!sb_store_name_valid(wanted->v[i]))
                return sb_fail(err, SB_E_USAGE, "export: --name %s is not a valid name",
                               sb_text_shown(wanted->v[i]).text);
        sb_strings_copy(out, wanted);
        return 0;
    }
    struct sb_tagged_list tags;
    if (sb_store_tags(store, &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < tags.n; i++)
        if (sb_digest_equal(&tags.v[i].descriptor.digest, &manifest->digest))
            sb_strings_add(out, tags.v[i].name);
    sb_tagged_list_free(&tags);
    return 0;
}

/* One name of those that the image has: other tools refuse to choose between two. The one that was
 * asked for, with :latest if that is what it stands for, or the first. */
static void choose_name(const char *asked, struct sb_strings *names) {
    if (names->n == 0)
        return;
    sb_autofree char *latest = sb_format("%s:latest", asked);
    sb_autofree char *chosen = sb_strdup(sb_strings_has(names, asked)    ? asked
                                         : sb_strings_has(names, latest) ? latest
                                                                         : names->v[0]);
    sb_strings_free(names);
    *names = (struct sb_strings){0};
    sb_strings_add(names, chosen);
}

static int parse_form(const char *name, enum sb_export_form *out, struct sb_error *err) {
    static const char *const known[] = {
#define X(form, text) text,
        SB_EXPORT_FORMS(X)
#undef X
            NULL};
    if (sb_export_form_parse(name, out))
        return 0;
    sb_fail(err, SB_E_USAGE, "export: unknown --format %s", sb_text_shown(name).text);
    const char *near = sb_text_nearest(name, known);
    if (near)
        return sb_error_hint(err, "did you mean %s?", near);
    return sb_error_hint(err, "there are oci-archive, docker-archive and rootfs");
}

static int find_names(struct sb_store *store, const struct sb_descriptor *manifest,
                      const char *asked, const struct sb_strings *wanted, struct sb_strings *out,
                      struct sb_error *err) {
    if (names_of(store, manifest, wanted, out, err) < 0)
        return -1;
    if (wanted->n == 0)
        choose_name(asked, out);
    return 0;
}

/* All platforms. */
static int export_index(struct sb_cli_images *images, const char *name,
                        const struct sb_strings *wanted, const char *path, struct sb_error *err) {
    sb_autoimageindex struct sb_image_index index = {0};
    sb_autoindeximages struct sb_index_images its = {0};
    sb_autostrings struct sb_strings names = {0};
    if (sb_image_index_load(images->store, &images->named[0], &index, err) < 0 ||
        sb_index_images_load(images->store, &index, &its, err) < 0)
        return sb_error_context(err, "the image %s", sb_text_shown(name).text);
    for (size_t i = 0; i < its.n; i++)
        if (sb_cli_images_fetch(images, &its.v[i], false, err) < 0)
            return -1;
    if (find_names(images->store, &images->named[0], name, wanted, &names, err) < 0)
        return -1;
    const struct sb_cli_export job = {.command = "export",
                                      .store = images->store,
                                      .names = &names,
                                      .index = &index,
                                      .images = &its};
    return sb_cli_export(&job, path, err);
}

/* The other formats know one image only. A name is the image's where it names that alone. */
static int export_image(const struct sb_common *common, const char *name, const char *platform,
                        enum sb_export_form form, const struct sb_strings *wanted, const char *path,
                        struct sb_error *err) {
    sb_autoimages struct sb_cli_images images = {.platform = platform,
                                                 .whole = form == SB_EXPORT_OCI};
    sb_autostrings struct sb_strings names = {0};
    if (sb_cli_images_open(&images, common, &name, 1, err) < 0)
        return -1;
    if (!images.image[0].config)
        return export_index(&images, name, wanted, path, err);
    if (sb_cli_images_fetch(&images, &images.image[0], false, err) < 0 ||
        find_names(images.store, &images.named[0], name, wanted, &names, err) < 0)
        return -1;
    const struct sb_cli_export job = {.command = "export",
                                      .store = images.store,
                                      .image = &images.image[0],
                                      .form = form,
                                      .names = &names};
    return sb_cli_export(&job, path, err);
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    const char *format = "oci-archive", *path = NULL, *platform = NULL;
    sb_autostrings struct sb_strings names = {0};
    const struct sb_option options[] = {{.name = "format", .letter = 'f', .text = &format},
                                        {.name = "output", .letter = 'o', .text = &path},
                                        {.name = "name", .list = &names},
                                        {.name = "platform", .text = &platform},
                                        {0}};
    sb_autofree const char **arguments = sb_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_export, argc, argv, options, &common, arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    enum sb_export_form form;
    if (sb_options_count(&sb_command_export, count, 1, 1, err) < 0 ||
        parse_form(format, &form, err) < 0)
        return -1;
    return export_image(&common, arguments[0], platform, form, &names, path, err);
}

const struct sb_command sb_command_export = {
    .name = "export",
    .arguments = "IMAGE [--format FORMAT] [-o FILE] [OPTION…]",
    .summary = "write an image to a file, for other tools",
    .help = "The same image gives the same bytes. Every blob is verified on the way.\n\n"
            "options:\n"
            "  -f, --format FORMAT  oci-archive     an OCI layout in a tar: podman load,\n"
            "                                       skopeo, crane (the default)\n"
            "                       docker-archive  what docker load takes\n"
            "                       rootfs          the merged files, as a plain tar; GNU tar\n"
            "                                       needs --delay-directory-restore to set\n"
            "                                       the times of directories\n"
            "  -o, --output FILE    written whole or not at all; - or none: standard output\n"
            "  --name NAME:TAG      name of the image in the archive, instead of the one it\n"
            "                       has; may be given several times\n"
            "  --platform P         of an index, the image for OS/ARCHITECTURE[/VARIANT];\n"
            "                       otherwise an oci-archive has those for all platforms,\n"
            "                       docker-archive and rootfs the one for this machine's\n"
            "  --store DIR          the store to read from\n\n"
            "examples:\n"
            "  sbuild export backend:v1.4.2 -o backend.tar\n"
            "  sbuild export backend --format docker-archive | docker load\n"
            "  sbuild export backend --format rootfs |\n"
            "      tar -C /srv/backend --delay-directory-restore -xpf -\n",
    .run = run,
};
