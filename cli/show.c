#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/visible.h"
#include "builder/base_layers.h"
#include "builder/source.h"
#include "cli/progress.h"
#include "cli/registry.h"
#include "layers/descriptor.h"
#include "layers/origin.h"

static int load_image(struct sb_cli_images *images, size_t i, const struct sb_platform *platform,
                      struct sb_error *err) {
    bool index = sb_media_kind(images->named[i].media_type) == SB_MEDIA_KIND_INDEX;
    const char *architecture;
    if (index && images->whole && !platform)
        return 0;
    if (sb_image_load_for(images->store, &images->named[i], platform, &images->image[i], err) < 0)
        return -1;
    architecture = sb_json_string(images->image[i].config, "architecture", "");
    if (!platform || index || sb_platform_fits(platform, architecture))
        return 0;
    return sb_fail(err, SB_E_NOT_FOUND, "is made for linux/%.40s, not for %s", architecture,
                   images->platform);
}

int sb_cli_images_open(struct sb_cli_images *images, const struct sb_common *common,
                       const char *const *names, size_t count, struct sb_error *err) {
    sb_autoplatform struct sb_platform platform = {0};
    if (images->platform && sb_platform_parse(images->platform, &platform, err) < 0)
        return sb_error_context(err, "--platform");
    if (sb_cli_open_known(common, &images->settings, &images->store, err) < 0)
        return -1;
    struct sb_registry_options options = {0};
    sb_settings_registry(&images->settings, &options);
    images->registry = sb_registry_new(&options);
    sb_registry_tell(images->registry, sb_cli_registry_say, NULL);
    images->source.registry = images->registry;
    sb_pull_install_source(&images->source, images->store);
    for (size_t i = 0; i < count; i++) {
        if (sb_source_find(images->store, names[i], &images->named[i], err) < 0)
            return -1;
        if (load_image(images, i, images->platform ? &platform : NULL, err) < 0)
            return sb_error_context(err, "the image %s", names[i]);
    }
    return 0;
}

int sb_cli_images_fetch(struct sb_cli_images *images, const struct sb_image *image,
                        bool only_unlisted, struct sb_error *err) {
    struct sb_base_layers_missing absent =
        sb_base_layers_absent(images->store, image, only_unlisted);
    if (absent.count == 0)
        return 0;
    sb_cli_say("fetching %zu layer%s, %s\n", absent.count, absent.count == 1 ? "" : "s",
               sb_text_size(absent.bytes).text);
    struct sb_progress *progress;
    if (sb_progress_new("auto", false, &progress, err) < 0)
        return -1;
    images->source.notify = sb_progress_transfer;
    images->source.data = progress;
    sb_progress_watch(progress, images->registry);
    int failed = sb_base_layers_fetch(images->store, image, only_unlisted, err);
    images->source.notify = NULL;
    sb_progress_free(progress);
    return failed;
}

bool sb_show_is_here(const struct sb_store *store, const struct sb_digest *blob) {
    sb_autofree char *path = sb_blob_path(blob);
    return sb_path_exists(sb_store_fd(store), path);
}

void sb_cli_images_close(struct sb_cli_images *images) {
    if (!images->store)
        return;
    sb_image_free(&images->image[0]);
    sb_image_free(&images->image[1]);
    sb_store_set_source(images->store, NULL);
    sb_registry_free(images->registry);
    sb_store_close(images->store);
    sb_settings_free(&images->settings);
    images->store = NULL;
}

struct sb_short_text sb_show_digest(const struct sb_digest *digest) {
    struct sb_short_text out;
    snprintf(out.text, sizeof out.text, "%.12s", sb_digest_hex(digest).text);
    return out;
}

struct sb_short_text sb_show_mode(mode_t mode) {
    static const struct {
        mode_t bit;
        char letter;
    } bits[] = {{0400, 'r'}, {0200, 'w'}, {0100, 'x'}, {0040, 'r'}, {0020, 'w'},
                {0010, 'x'}, {0004, 'r'}, {0002, 'w'}, {0001, 'x'}};
    struct sb_short_text out = {{0}};
    out.text[0] = S_ISDIR(mode)    ? 'd'
                  : S_ISLNK(mode)  ? 'l'
                  : S_ISCHR(mode)  ? 'c'
                  : S_ISBLK(mode)  ? 'b'
                  : S_ISFIFO(mode) ? 'p'
                  : S_ISSOCK(mode) ? 's'
                                   : '-';
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        out.text[1 + i] = mode & bits[i].bit ? bits[i].letter : '-';
    if (mode & S_ISUID)
        out.text[3] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        out.text[6] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        out.text[9] = mode & S_IXOTH ? 't' : 'T';
    return out;
}

const char *sb_show_type(const struct sb_entry *e) {
    return e->hard_link        ? "hard link"
           : S_ISDIR(e->mode)  ? "directory"
           : S_ISLNK(e->mode)  ? "symlink"
           : S_ISCHR(e->mode)  ? "character device"
           : S_ISBLK(e->mode)  ? "block device"
           : S_ISFIFO(e->mode) ? "fifo"
                               : "file";
}

struct sb_short_text sb_show_time(int64_t seconds) {
    struct sb_short_text out = {"-"};
    time_t when = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&when, &tm))
        strftime(out.text, sizeof out.text, "%Y-%m-%d %H:%M", &tm);
    return out;
}

char *sb_show_text(const char *text) {
    return sb_visible(text, SB_VISIBLE_ONE_LINE);
}

char *sb_show_path(const char *path) {
    return sb_visible(path, SB_VISIBLE_BACKSLASHES);
}

json_t *sb_json_from_digest(const struct sb_digest *digest) {
    return json_string(sb_digest_text(digest).text);
}

json_t *sb_show_index_entry(const struct sb_index_entry *entry) {
    sb_autofree char *platform = entry->platform.os ? sb_platform_text(&entry->platform) : NULL;
    return json_pack("{s:s*, s:O*, s:O*, s:O*}", "platform", platform, "digest",
                     json_object_get(entry->json, "digest"), "media_type",
                     json_object_get(entry->json, "mediaType"), "annotations",
                     json_object_get(entry->json, "annotations"));
}

char *sb_show_index_platform(const struct sb_index_entry *entry) {
    return entry->platform.os ? sb_platform_text(&entry->platform) : sb_strdup("-");
}
