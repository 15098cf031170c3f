#include "registry/join.h"

#include <stdlib.h>
#include <string.h>

#include "base/jobs.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "registry/reference.h"

enum {
    ROUNDS = 24, /* of reading, and putting what has to be: others may come between each */
    PAUSE_MS = 50,
    ASKED_AT_ONCE = 8,
};

void sb_joined_free(struct sb_joined *joined) {
    sb_buf_free(&joined->bytes);
    sb_strings_free(&joined->beside);
    sb_strings_free(&joined->overtaken);
    sb_strings_free(&joined->dropped);
    free(joined->adopted);
    free(joined->replaced);
    *joined = (struct sb_joined){0};
}

/* ---- markers ---- */

char *sb_join_marker(const char *tag, const struct sb_platform *platform) {
    sb_autofree char *suffix = sb_platform_text(platform);
    for (char *slash = suffix; (slash = strchr(slash, '/'));)
        *slash = '-';
    size_t n = strlen(tag), room = SB_TAG_LIMIT - strlen(suffix) - 1;
    if (n <= room)
        return sb_format("%s-%s", tag, suffix);
    struct sb_digest digest = sb_digest_of(tag, n); /* two long tags may begin alike */
    return sb_format("%.*s-%.8s-%s", (int)(room - 9), tag, sb_digest_hex(&digest).text, suffix);
}

/* What the config of an image says, which is read from the repository. */
static int read_platform(const struct sb_join *join, const struct sb_manifest *manifest,
                         struct sb_platform *out, char **out_artifact, struct sb_error *err) {
    sb_autojson json_t *document =
        sb_json_parse(sb_buf_text(&manifest->bytes), manifest->bytes.len, err);
    const char *artifact = sb_json_string(document, "artifactType", NULL);
    struct sb_descriptor config;
    sb_autobuf struct sb_buf text = {0};
    *out = (struct sb_platform){0};
    *out_artifact = artifact ? sb_strdup(artifact) : NULL;
    if (sb_descriptor_parse(json_object_get(document, "config"), &config, NULL) < 0 ||
        sb_media_kind(config.media_type) != SB_MEDIA_KIND_CONFIG || config.size > SB_CONFIG_LIMIT)
        return 0;
    if (sb_remote_blob_read(join->remote, &config, SB_CONFIG_LIMIT, &text, err) < 0)
        return err->code == SB_E_NOT_FOUND ? 0 : -1;
    sb_autojson json_t *value = sb_json_parse(sb_buf_text(&text), text.len, NULL);
    sb_platform_read(value, out);
    return 0;
}

struct marker {
    const struct sb_join *join;
    struct sb_platform platform;
    char *tag;
    bool there;
    struct sb_descriptor names;
};
struct markers {
    struct marker *v;
    size_t n;
};

static int ask_marker(void *data, struct sb_error *err) {
    struct marker *m = data;
    int found = sb_remote_manifest_head(m->join->remote, m->tag, &m->names, err);
    m->there = found > 0;
    return found < 0 ? -1 : 0;
}

static void markers_free(struct markers *markers) {
    for (size_t i = 0; i < markers->n; i++) {
        sb_platform_free(&markers->v[i].platform);
        free(markers->v[i].tag);
    }
    free(markers->v);
}

static int ask_markers(const struct sb_join *join, const char *tag,
                       const struct sb_platforms *platforms, struct markers *out,
                       struct sb_error *err) {
    out->v = sb_alloc((platforms->n + 1) * sizeof *out->v);
    out->n = platforms->n;
    struct sb_jobs *jobs = sb_jobs_new(ASKED_AT_ONCE);
    for (size_t i = 0; i < out->n; i++) {
        struct marker *m = &out->v[i];
        *m = (struct marker){.join = join, .tag = sb_join_marker(tag, &platforms->v[i])};
        sb_platform_copy(&m->platform, &platforms->v[i]);
        sb_jobs_add(jobs, ask_marker, m);
    }
    int rc = sb_jobs_wait(jobs, err);
    sb_jobs_free(jobs);
    return rc;
}

static int take_image(const struct marker *m, const struct sb_manifest *manifest,
                      struct sb_image_index *index, struct sb_error *err) {
    sb_autoplatform struct sb_platform platform;
    sb_autofree char *artifact = NULL;
    if (read_platform(m->join, manifest, &platform, &artifact, err) < 0)
        return -1;
    if (!platform.os || sb_platform_compare(&platform, &m->platform) != 0)
        return 0;
    return sb_image_index_put_descriptor(index, &manifest->descriptor, &m->platform, artifact);
}

/* What a marker names goes into the index, if it is an image of its platform, or an index that has
 * one, as other tools' are. 1: that changes it. */
static int take_marker(const struct marker *m, struct sb_image_index *index, struct sb_error *err) {
    struct sb_manifest manifest = {0};
    struct sb_image_index its = {0};
    struct sb_error own = {0};
    if (sb_remote_manifest_get_own(m->join->remote, m->tag, &manifest, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND) /* gone since */
            return 0;
        *err = own;
        return -1;
    }
    int rc = 0;
    enum sb_media_kind kind = sb_media_kind(manifest.descriptor.media_type);
    if (kind == SB_MEDIA_KIND_MANIFEST) {
        rc = take_image(m, &manifest, index, err);
    } else if (kind == SB_MEDIA_KIND_INDEX &&
               sb_image_index_parse(sb_buf_text(&manifest.bytes), manifest.bytes.len,
                                    &manifest.descriptor, &its, NULL) == 0) {
        const struct sb_index_entry *image = sb_image_index_find(&its, &m->platform);
        rc = image        ? sb_image_index_put_entry(index, image)
             : its.n == 0 ? sb_image_index_remove(index, &m->platform)
                          : 0;
    }
    sb_image_index_free(&its);
    sb_manifest_free(&manifest);
    return rc;
}

/* ---- what is there ---- */

/* A lone image: pushed before there were images for other platforms. */
static int take_lone(const struct sb_join *join, const struct sb_manifest *manifest,
                     struct sb_image_index *out, struct sb_error *err) {
    sb_autoplatform struct sb_platform platform;
    sb_autofree char *artifact = NULL;
    if (read_platform(join, manifest, &platform, &artifact, err) < 0)
        return -1;
    if (platform.os)
        sb_image_index_put_descriptor(out, &manifest->descriptor, &platform, artifact);
    return 0;
}

/* *out_lone: it is no index. */
static int read_there(const struct sb_join *join, const char *tag, struct sb_joined *joined,
                      struct sb_image_index *out, bool *out_lone, struct sb_error *err) {
    struct sb_manifest manifest = {0};
    struct sb_error own = {0};
    *out = (struct sb_image_index){0};
    *out_lone = false;
    int rc = sb_remote_manifest_get_own(join->remote, tag, &manifest, &own);
    joined->named = rc == 0;
    joined->names = manifest.descriptor;
    if (rc < 0 && own.code != SB_E_NOT_FOUND) {
        *err = own;
        return -1;
    }
    if (rc < 0)
        return 0;
    enum sb_media_kind kind = sb_media_kind(manifest.descriptor.media_type);
    *out_lone = kind == SB_MEDIA_KIND_MANIFEST;
    rc = kind == SB_MEDIA_KIND_INDEX
             ? sb_image_index_parse(sb_buf_text(&manifest.bytes), manifest.bytes.len,
                                    &manifest.descriptor, out, err)
         : *out_lone ? take_lone(join, &manifest, out, err)
                     : 0;
    sb_manifest_free(&manifest);
    return rc < 0 ? sb_error_context(err, "%s:%s", join->where, tag) : 0;
}

/* ---- what has to be ---- */

static void add_text(struct sb_strings *list, const struct sb_platform *platform) {
    sb_strings_take(list, sb_platform_text(platform));
}

static bool is_removed(const struct sb_join *join, const struct sb_platform *platform) {
    return join->removed && sb_platforms_has(join->removed, platform);
}

/* Of the first look: what the tag loses by this push, and what it had otherwise. */
static void compare(const struct sb_join *join, const struct sb_image_index *there, bool lone,
                    struct sb_joined *joined) {
    joined->looked = true;
    for (size_t i = 0; i < there->n; i++) {
        const struct sb_index_entry *e = &there->v[i];
        if (!e->platform.os)
            continue;
        const struct sb_index_entry *mine = sb_image_index_find(join->own, &e->platform);
        if (!mine && (join->whole || is_removed(join, &e->platform)))
            add_text(&joined->dropped, &e->platform);
        else if (!mine && lone)
            joined->adopted = sb_platform_text(&e->platform);
        else if (mine && !joined->replaced &&
                 !sb_digest_equal(&mine->descriptor.digest, &e->descriptor.digest)) {
            joined->replaced = sb_platform_text(&e->platform);
            joined->was = e->descriptor.digest;
        }
    }
}

/* Who takes something out has a reason to believe that it is there. */
static int check_removed(const struct sb_join *join, const char *tag,
                         const struct sb_image_index *there, const struct sb_joined *joined,
                         struct sb_error *err) {
    sb_autofree char *has = sb_image_index_platforms(there);
    if (join->removed && join->removed->n > 0 && !joined->named)
        return sb_fail(err, SB_E_NOT_FOUND, "%s:%s names nothing", join->where, tag);
    for (size_t i = 0; join->removed && i < join->removed->n; i++) {
        sb_autofree char *platform = sb_platform_text(&join->removed->v[i]);
        if (sb_image_index_find(there, &join->removed->v[i]))
            continue;
        sb_fail(err, SB_E_NOT_FOUND, "%s:%s has no image for %s", join->where, tag, platform);
        return sb_error_hint(err, "it is for %s", *has ? has : "no platform");
    }
    return 0;
}

/* Whose markers matter. */
static void find_platforms(const struct sb_join *join, const struct sb_image_index *there,
                           struct sb_platforms *out) {
    for (size_t i = 0; i < join->own->n; i++)
        if (join->own->v[i].platform.os)
            sb_platforms_add(out, &join->own->v[i].platform);
    if (join->whole)
        return;
    for (size_t i = 0; i < there->n; i++)
        if (there->v[i].platform.os && !is_removed(join, &there->v[i].platform))
            sb_platforms_add(out, &there->v[i].platform);
    struct sb_platforms usual = {0};
    if (!join->others)
        sb_platforms_add_usual(&usual);
    const struct sb_platforms *others = join->others ? join->others : &usual;
    for (size_t i = 0; i < others->n; i++)
        if (!is_removed(join, &others->v[i]))
            sb_platforms_add(out, &others->v[i]);
    sb_platforms_free(&usual);
}

static int take_markers(const struct sb_join *join, const char *tag,
                        const struct sb_platforms *platforms, struct sb_image_index *index,
                        struct sb_joined *joined, struct sb_error *err) {
    struct markers markers = {0};
    int rc = ask_markers(join, tag, platforms, &markers, err);
    for (size_t i = 0; i < markers.n && rc == 0; i++) {
        const struct marker *m = &markers.v[i];
        const struct sb_index_entry *entry = sb_image_index_find(index, &m->platform);
        if (!m->there || (entry && sb_digest_equal(&entry->descriptor.digest, &m->names.digest)))
            continue;
        int changed = take_marker(m, index, err);
        rc = changed < 0 ? -1 : 0;
        if (changed > 0 && sb_image_index_find(join->own, &m->platform))
            add_text(&joined->overtaken, &m->platform);
    }
    markers_free(&markers);
    return rc;
}

static void start_index(const struct sb_join *join, const struct sb_image_index *there,
                        struct sb_image_index *out) {
    bool none = !there->descriptor.media_type; /* nothing, or a lone image */
    sb_image_index_copy(out, join->whole || none ? join->own : there);
    for (size_t i = 0; i < there->n && !join->whole && none; i++)
        sb_image_index_put_entry(out, &there->v[i]);
    for (size_t i = 0; i < join->own->n; i++)
        sb_image_index_put_entry(out, &join->own->v[i]);
    for (size_t i = 0; join->removed && i < join->removed->n; i++)
        sb_image_index_remove(out, &join->removed->v[i]);
}

static int compose(const struct sb_join *join, const char *tag, const struct sb_image_index *there,
                   struct sb_joined *joined, struct sb_error *err) {
    sb_autoplatforms struct sb_platforms platforms = {0};
    struct sb_image_index index;
    sb_buf_reset(&joined->bytes);
    sb_strings_free(&joined->overtaken);
    sb_strings_free(&joined->beside);
    start_index(join, there, &index);
    find_platforms(join, there, &platforms);
    int rc = take_markers(join, tag, &platforms, &index, joined, err);
    if (rc == 0)
        rc = sb_image_index_write(&index, &joined->bytes, err);
    joined->descriptor = index.descriptor;
    for (size_t i = 0; i < index.n; i++)
        if (index.v[i].platform.os && !sb_image_index_find(join->own, &index.v[i].platform))
            add_text(&joined->beside, &index.v[i].platform);
    sb_image_index_free(&index);
    return rc;
}

static bool is_same(const struct sb_joined *joined) {
    return joined->named && sb_digest_equal(&joined->names.digest, &joined->descriptor.digest);
}

int sb_join_look(const struct sb_join *join, const char *tag, struct sb_joined *out, bool *out_same,
                 struct sb_error *err) {
    struct sb_image_index there;
    bool lone;
    int rc = read_there(join, tag, out, &there, &lone, err);
    if (rc == 0 && !out->looked)
        rc = check_removed(join, tag, &there, out, err);
    if (rc == 0 && !out->looked)
        compare(join, &there, lone, out);
    if (rc == 0)
        rc = compose(join, tag, &there, out, err);
    sb_image_index_free(&there);
    out->fresh = rc == 0;
    *out_same = rc == 0 && is_same(out);
    return rc;
}

/* ---- putting it ---- */

/* Where there is one. */
static int set_marker(struct sb_remote *remote, const char *tag, const struct sb_platform *platform,
                      const struct sb_descriptor *image, const struct sb_buf *bytes,
                      struct sb_error *err) {
    sb_autofree char *marker = sb_join_marker(tag, platform);
    struct sb_descriptor there;
    int found = sb_remote_manifest_head(remote, marker, &there, err);
    if (found <= 0 || sb_digest_equal(&there.digest, &image->digest))
        return found < 0 ? -1 : 0;
    return sb_remote_manifest_put(remote, marker, image->media_type, bytes->data, bytes->len, err);
}

/* A marker without images, where there is one: else the next join would bring the image back. */
static int clear_marker(struct sb_remote *remote, const char *tag,
                        const struct sb_platform *platform, struct sb_error *err) {
    struct sb_image_index none = {0};
    sb_autobuf struct sb_buf bytes = {0};
    return sb_image_index_write(&none, &bytes, err) < 0
               ? -1
               : set_marker(remote, tag, platform, &none.descriptor, &bytes, err);
}

static int clear_markers(const struct sb_join *join, const char *tag,
                         const struct sb_joined *joined, struct sb_error *err) {
    for (size_t i = 0; i < joined->dropped.n; i++) {
        sb_autoplatform struct sb_platform platform;
        if (sb_platform_parse(joined->dropped.v[i], &platform, err) < 0 ||
            clear_marker(join->remote, tag, &platform, err) < 0)
            return -1;
    }
    return 0;
}

/* The registry lacks an image that the index names. */
static int explain_missing(const struct sb_join *join, const char *tag,
                           const struct sb_joined *joined, struct sb_error *err) {
    struct sb_image_index index;
    if (sb_image_index_parse(sb_buf_text(&joined->bytes), joined->bytes.len, &joined->descriptor,
                             &index, NULL) < 0)
        return -1;
    for (size_t i = 0; i < index.n; i++) {
        const struct sb_index_entry *e = &index.v[i];
        struct sb_descriptor there;
        struct sb_digest_text digest = sb_digest_text(&e->descriptor.digest);
        if (!e->platform.os || sb_remote_manifest_head(join->remote, digest.text, &there, NULL))
            continue;
        sb_autofree char *platform = sb_platform_text(&e->platform);
        sb_error_clear(err);
        sb_fail(err, SB_E_NETWORK, "%s:%s names an image for %s that is not there any more, %s",
                join->where, tag, platform, digest.text);
        sb_error_hint(err, "push that one again, or take it out: sbuild index %s:%s --remove %s",
                      join->where, tag, platform);
        break;
    }
    sb_image_index_free(&index);
    return -1;
}

static int explain(const struct sb_join *join, const char *tag, const struct sb_joined *joined,
                   struct sb_error *err) {
    if (err->reason == SB_REASON_MISSING)
        return explain_missing(join, tag, joined, err);
    if (err->reason == SB_REASON_IMMUTABLE)
        return sb_error_hint(err,
                             "no platform can be added to a tag that stays as it was put first: "
                             "push all platforms at once, or let this tag be moved in the "
                             "repository's settings");
    if (err->code == SB_E_NETWORK && !err->hint[0])
        sb_error_hint(err, "if this registry takes no indexes, push each image, by its digest, "
                           "under a tag of its own");
    return -1;
}

/* 1: it is as it has to be. */
static int step(const struct sb_join *join, const char *tag, int round, struct sb_joined *joined,
                struct sb_error *err) {
    bool ignored;
    if (!joined->fresh && sb_join_look(join, tag, joined, &ignored, err) < 0)
        return -1;
    joined->fresh = false;
    if (is_same(joined))
        return 1;
    if (joined->beside.n == 0 && join->own->n == 0) {
        sb_fail(err, SB_E_USAGE, "%s:%s would have no image any more", join->where, tag);
        return sb_error_hint(err, "delete the tag in the registry instead");
    }
    if (round == 0 && clear_markers(join, tag, joined, err) < 0)
        return -1;
    if (round > 1 && sb_remote_pause(join->remote, (uint64_t)round * PAUSE_MS, err) < 0)
        return -1;
    const struct sb_digest *before = joined->named ? &joined->names.digest : NULL;
    if (sb_remote_manifest_put_if(join->remote, tag, before, joined->descriptor.media_type,
                                  joined->bytes.data, joined->bytes.len, err) < 0)
        return explain(join, tag, joined, err);
    return 0;
}

int sb_join_tag(const struct sb_join *join, const char *tag, struct sb_joined *out,
                struct sb_error *err) {
    for (int round = 0; round < ROUNDS; round++) {
        int done = step(join, tag, round, out, err);
        if (done != 0)
            return done < 0 ? -1 : 0;
        if (round == ROUNDS / 2 && !out->named)
            return sb_fail(err, SB_E_INTEGRITY,
                           "%s: the registry took the index %s, and has nothing under %s now",
                           join->where, sb_digest_text(&out->descriptor.digest).text, tag);
    }
    return sb_fail(err, SB_E_NETWORK,
                   "%s: the registry takes the index %s, and %s names another one each time it is "
                   "asked: it answers with what it had before, or others write it all the time",
                   join->where, sb_digest_text(&out->descriptor.digest).text, tag);
}

/* ---- an image alone ---- */

static int leave_platform(const struct sb_leaving *l, const struct sb_platform *platform,
                          struct sb_strings *out_dropped, struct sb_error *err) {
    if (l->platform && sb_platform_compare(platform, l->platform) == 0)
        return set_marker(l->remote, l->tag, platform, l->image, l->bytes, err);
    sb_autofree char *text = sb_platform_text(platform);
    if (!sb_strings_has(out_dropped, text))
        sb_strings_add(out_dropped, text);
    return clear_marker(l->remote, l->tag, platform, err);
}

int sb_join_leave(const struct sb_leaving *l, struct sb_strings *out_dropped,
                  struct sb_error *err) {
    sb_autoimageindex struct sb_image_index index = {0};
    struct sb_manifest manifest = {0};
    struct sb_error ignored = {0}; /* what can't be read has nothing to be lost */
    int rc =
        sb_remote_manifest_get_own(l->remote, sb_digest_text(l->index).text, &manifest, &ignored);
    if (rc == 0)
        rc = sb_image_index_parse(sb_buf_text(&manifest.bytes), manifest.bytes.len,
                                  &manifest.descriptor, &index, &ignored);
    sb_manifest_free(&manifest);
    for (size_t i = 0; rc == 0 && i < index.n; i++)
        if (index.v[i].platform.os && leave_platform(l, &index.v[i].platform, out_dropped, err) < 0)
            return -1;
    return 0;
}
