#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "builder/source.h"
#include "builder/tags.h"
#include "cli/command.h"
#include "cli/show.h"
#include "layers/import.h"

/* NAME:TAG, both of which a registry would take. */
static int check_name(const char *name, struct sb_error *err) {
    const char *colon = strrchr(name, ':');
    if (!colon || strchr(colon, '/') || colon == name) {
        sb_fail(err, SB_E_USAGE, "tag: %s is not NAME:TAG", sb_text_shown(name).text);
        return sb_error_hint(err, "write it as in backend:v1.2.3");
    }
    if (!sb_tag_is_valid(colon + 1)) {
        sb_fail(err, SB_E_USAGE, "tag: %s: %s is not a valid tag", sb_text_shown(name).text,
                sb_text_shown(colon + 1).text);
        sb_autofree char *clean = colon[1] ? sb_tag_clean(colon + 1) : NULL;
        if (clean && sb_tag_is_valid(clean))
            return sb_error_hint(err,
                                 "letters, digits, '_', '.' and '-', at most %d of them, as "
                                 "in %.*s:%.128s",
                                 SB_TAG_LIMIT, (int)(colon - name), name, clean);
        return sb_error_hint(err, "letters, digits, '_', '.' and '-', at most %d of them",
                             SB_TAG_LIMIT);
    }
    if (sb_store_name_valid(name))
        return 0;
    sb_fail(err, SB_E_USAGE, "tag: %s is not a valid name", sb_text_shown(name).text);
    return sb_error_hint(err, "letters and digits, with single '.', '_', '-', ':', '/' between "
                              "them, as in registry.example.com:5000/team/backend:v1.2.3");
}

static int find(struct sb_store *store, const char *image, bool whole, struct sb_descriptor *out,
                struct sb_error *err) {
    return whole && sb_import_is_source(image) ? sb_image_import_whole(store, image, out, err)
                                               : sb_source_find(store, image, out, err);
}

static int add(struct sb_store *store, const char *image, bool whole, const char *const *names,
               size_t count, struct sb_error *err) {
    sb_autostrings struct sb_strings list = {0};
    for (size_t i = 0; i < count; i++) {
        if (check_name(names[i], err) < 0)
            return -1;
        sb_strings_add(&list, names[i]);
    }
    struct sb_descriptor manifest;
    if (find(store, image, whole, &manifest, err) < 0 ||
        sb_store_tag(store, &list, &manifest, err) < 0)
        return -1;
    for (size_t i = 0; i < list.n; i++)
        sb_cli_say("%s is now %s\n", list.v[i], sb_digest_text(&manifest.digest).text);
    return 0;
}

static int drop(struct sb_store *store, const char *const *names, size_t count,
                struct sb_error *err) {
    sb_autostrings struct sb_strings list = {0};
    for (size_t i = 0; i < count; i++)
        sb_strings_add(&list, names[i]);
    if (sb_store_untag(store, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < list.n; i++)
        sb_cli_say("%s is gone\n", list.v[i]);
    sb_cli_say("what only they named goes with the next `sbuild prune`\n");
    return 0;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    bool deleting = false, whole = false;
    const struct sb_option options[] = {{.name = "delete", .letter = 'd', .flag = &deleting},
                                        {.name = "all-platforms", .flag = &whole},
                                        {0}};
    sb_autofree const char **names = sb_alloc((size_t)argc * sizeof *names);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_tag, argc, argv, options, &common, names, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_tag, count, deleting ? 1 : 2, (size_t)argc, err) < 0)
        return -1;
    struct sb_settings settings = {0};
    struct sb_store *store;
    if (sb_cli_open_known(&common, &settings, &store, err) < 0)
        return -1;
    int failed = deleting ? drop(store, names, count, err)
                          : add(store, names[0], whole, names + 1, count - 1, err);
    sb_store_close(store);
    sb_settings_free(&settings);
    return failed;
}

const struct sb_command sb_command_tag = {
    .name = "tag",
    .arguments = "IMAGE NAME:TAG…, or --delete NAME:TAG…",
    .summary = "give an image more names, or take names away",
    .help = "A name that belongs to another image moves to this one; all names of one call\n"
            "are given at once, or none. An image without a name stays until `sbuild prune`.\n\n"
            "options:\n"
            "  -d, --delete     take the names away\n"
            "  --all-platforms  of an index in a file or a layout, bring all images, and not\n"
            "                   this machine's alone\n"
            "  --store DIR      the store to work in\n\n"
            "IMAGE is NAME:TAG, NAME, a digest or its first digits, oci:PATH[:TAG],\n"
            "oci-archive:FILE[:TAG] or docker-archive:FILE; the last three are copied into\n"
            "the store first, so this is how images of other tools get in.\n\n"
            "examples:\n"
            "  sbuild tag backend:v1.4.2 backend:stable\n"
            "  sbuild tag 1f0c3ab2d4e5 backend:rollback\n"
            "  sbuild tag oci-archive:base.tar base:imported\n"
            "  sbuild tag --delete backend:old backend:older\n",
    .run = run,
};
