#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "layers/descriptor.h"
#include "registry/artifact.h"
#include "registry/fetch.h"
#include "registry/push_private.h"

enum {
    PARTS_AT_ONCE = 3,
    TAGS_AT_ONCE = 4,
};

/* ---- the images ---- */

struct part_job {
    struct sb_push_part *part;
    struct sb_platform platform;
    struct sb_strings markers;
    struct sb_push_result result;
};

/* Tags that an index is joined at: those that float name what the version's own does. */
static void joined_tags(const struct sb_push_tags *tags, struct sb_strings *out) {
    if (tags->release && sb_release_has_tags(tags->release))
        sb_strings_take(out, sb_release_tag(tags->release));
    for (size_t i = 0; i < tags->told->n; i++)
        if (!sb_strings_has(out, tags->told->v[i]))
            sb_strings_add(out, tags->told->v[i]);
}

static int prepare_part(struct part_job *job, struct sb_push_part *part,
                        const struct sb_strings *tags, struct sb_error *err) {
    job->part = part;
    if (!sb_platform_read(part->image->config, &job->platform))
        return sb_fail(err, SB_E_FAILED, "%s does not say which platform it is for",
                       sb_digest_text(&part->image->descriptor.digest).text);
    for (size_t i = 0; i < tags->n; i++)
        sb_strings_take(&job->markers, sb_join_marker(tags->v[i], &job->platform));
    return 0;
}

static int push_part(void *data, struct sb_error *err) {
    struct part_job *job = data;
    const struct sb_push_tags tags = {&job->markers, NULL};
    if (sb_pusher_finish(job->part->pusher, job->part->image, &tags, &job->result, err) == 0)
        return 0;
    sb_autofree char *platform = sb_platform_text(&job->platform);
    return sb_error_context(err, "the image for %s", platform);
}

static int push_parts(const struct sb_push_index *push, struct part_job *parts,
                      struct sb_error *err) {
    struct sb_jobs *jobs = sb_jobs_new(PARTS_AT_ONCE);
    for (size_t i = 0; i < push->count; i++)
        sb_jobs_add(jobs, push_part, &parts[i]);
    int rc = sb_jobs_wait(jobs, err);
    sb_jobs_free(jobs);
    return rc;
}

static void free_parts(const struct sb_push_index *push, struct part_job *parts) {
    for (size_t i = 0; i < push->count; i++) {
        sb_pusher_free(sb_steal(push->parts[i].pusher));
        sb_platform_free(&parts[i].platform);
        sb_strings_free(&parts[i].markers);
        sb_push_result_free(&parts[i].result);
    }
    free(parts);
}

/* ---- the index of them ---- */

/* Whether the repository has what is no image for Linux: it may be there, or be sent as it is. */
static int send_other(const struct sb_push_index *push, struct sb_remote *remote,
                      const struct sb_descriptor *descriptor, struct sb_error *err) {
    struct sb_digest_text digest = sb_digest_text(&descriptor->digest);
    struct sb_descriptor there;
    int found =
        descriptor->media_type ? sb_remote_manifest_head(remote, digest.text, &there, err) : 0;
    if (found == 0)
        found = sb_artifact_push(remote, push->store, descriptor, err);
    return found < 0 ? sb_error_context(err, "%s", digest.text) : found;
}

static int send_others(const struct sb_push_index *push, struct sb_remote *remote,
                       const struct part_job *parts, struct sb_image_index *own,
                       struct sb_strings *out_lost, struct sb_error *err) {
    for (size_t i = own->n; i-- > 0;) {
        const struct sb_descriptor *descriptor = &own->v[i].descriptor;
        bool sent = false;
        for (size_t k = 0; k < push->count; k++)
            sent = sent || (own->v[i].platform.os &&
                            sb_platform_compare(&own->v[i].platform, &parts[k].platform) == 0);
        int found = sent ? 1 : send_other(push, remote, descriptor, err);
        if (found < 0)
            return -1;
        if (found)
            continue;
        sb_strings_add(out_lost, sb_json_string(own->v[i].json, "digest", ""));
        sb_image_index_remove_at(own, i);
    }
    return 0;
}

static int make_own(const struct sb_push_index *push, const struct part_job *parts,
                    struct sb_remote *remote, struct sb_image_index *own, struct sb_strings *lost,
                    struct sb_error *err) {
    if (push->rest)
        sb_image_index_copy(own, push->rest);
    for (size_t i = 0; i < push->count; i++)
        sb_image_index_put_descriptor(own, &parts[i].result.manifest, &parts[i].platform,
                                      parts[i].part->image->artifact_type);
    return send_others(push, remote, parts, own, lost, err);
}

/* Under no tag at all, by its digest. */
static int write_untagged(struct sb_tagging *tagging, const struct sb_image_index *own,
                          struct sb_error *err) {
    struct sb_image_index copy;
    struct sb_joined *joined = &tagging->v[0].joined;
    if (tagging->v[0].reference)
        return 0;
    sb_image_index_copy(&copy, own);
    int rc = sb_image_index_write(&copy, &joined->bytes, err);
    joined->descriptor = copy.descriptor;
    sb_image_index_free(&copy);
    return rc;
}

static int put_index(const struct sb_join *join, const struct sb_push_tags *tags,
                     struct sb_push_result *out, struct sb_error *err) {
    struct sb_tagging tagging;
    struct sb_jobs *jobs = sb_jobs_new(TAGS_AT_ONCE);
    sb_tagging_init(&tagging, join->remote, jobs, join->where, NULL, join, tags);
    bool same = false;
    int rc = write_untagged(&tagging, join->own, err);
    if (rc == 0)
        rc = sb_tagging_look(&tagging, &same, err);
    if (rc == 0 && !same)
        rc = sb_tagging_put(&tagging, err);
    out->unchanged = same;
    sb_tagging_result(&tagging, out);
    sb_tagging_free(&tagging);
    sb_jobs_free(jobs);
    return rc;
}

static void add_up(const struct sb_push_index *push, const struct part_job *parts,
                   struct sb_push_result *out) {
    for (size_t i = 0; i < push->count; i++) {
        const struct sb_push_result *r = &parts[i].result;
        out->unchanged = out->unchanged && r->unchanged;
        out->uploaded += r->uploaded;
        out->mounted += r->mounted;
        out->sent += r->sent;
    }
}

int sb_push_index(const struct sb_push_index *push, const struct sb_push_tags *tags,
                  struct sb_push_result *out, struct sb_error *err) {
    sb_autostrings struct sb_strings joined = {0};
    struct part_job *parts = sb_alloc((push->count + 1) * sizeof *parts);
    *out = (struct sb_push_result){0};
    joined_tags(tags, &joined);
    int rc = 0;
    for (size_t i = 0; i < push->count && rc == 0; i++)
        rc = prepare_part(&parts[i], &push->parts[i], &joined, err);
    if (rc == 0)
        rc = push_parts(push, parts, err);
    struct sb_image_index own = {0};
    sb_autofree char *where = sb_reference_name(push->repository);
    struct sb_remote *remote =
        sb_remote_open(push->registry, push->repository->host, push->repository->repository);
    const struct sb_join join = {remote, where, &own, push->whole, push->others, push->removed};
    sb_remote_will_push(remote);
    if (rc == 0)
        rc = make_own(push, parts, remote, &own, &out->lost, err);
    if (rc == 0)
        rc = put_index(&join, tags, out, err);
    if (rc == 0)
        add_up(push, parts, out);
    sb_remote_free(remote);
    sb_image_index_free(&own);
    free_parts(push, parts);
    return rc < 0 ? sb_registry_failed(err) : 0;
}
