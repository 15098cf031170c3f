#include "registry/push_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "layers/descriptor.h"

enum {
    ROUNDS = 8,           /* of reading all and mending it: another push may come between each */
    TAGS_LIMIT = 1 << 18, /* a repository with more is one whose tags can't be listed */
    LIST_ATTEMPTS = 4,    /* until the list has what was just put */
    LIST_PAUSE_MS = 400,
};

static void add(struct sb_tagging *t, const char *reference, bool floats) {
    t->v[t->n++] = (struct sb_tag_job){
        .tagging = t, .reference = reference ? sb_strdup(reference) : NULL, .floats = floats};
    t->floats += floats;
}

void sb_tagging_init(struct sb_tagging *t, struct sb_remote *remote, struct sb_jobs *jobs,
                     const char *where, const struct sb_rewritten *document,
                     const struct sb_join *join, const struct sb_push_tags *tags) {
    static const struct sb_strings nothing;
    sb_autoreleasetags struct sb_release_tags all;
    sb_assert(!document != !join);
    *t = (struct sb_tagging){
        .remote = remote, .jobs = jobs, .where = where, .document = document, .join = join};
    if (tags->release)
        t->release = *tags->release;
    sb_release_decide(&t->release, &nothing, &all);
    t->v = sb_alloc((all.set.n + tags->told->n + 1) * sizeof *t->v);
    for (size_t i = 0; i < all.set.n; i++)
        if (i == 0 || !sb_strings_has(tags->told, all.set.v[i]))
            add(t, all.set.v[i], i > 0);
    for (size_t i = 0; i < tags->told->n; i++)
        if (all.set.n == 0 || strcmp(tags->told->v[i], all.set.v[0]) != 0)
            add(t, tags->told->v[i], false);
    if (t->n == 0)
        add(t, NULL, false);
}

static void forget_other(struct sb_tag_job *j) {
    sb_manifest_free(&j->other);
    j->others = false;
}

void sb_tagging_free(struct sb_tagging *t) {
    for (size_t i = 0; i < t->n; i++) {
        forget_other(&t->v[i]);
        sb_joined_free(&t->v[i].joined);
        sb_strings_free(&t->v[i].dropped);
        free(t->v[i].reference);
        free(t->v[i].kept_by);
    }
    free(t->v);
    free(t->unlisted);
    sb_strings_free(&t->there);
}

/* ---- what a tag names ---- */

/* What it has to name. */
struct document {
    const struct sb_descriptor *descriptor;
    const struct sb_buf *bytes;
};
static struct document document_of(const struct sb_tag_job *j) {
    const struct sb_tagging *t = j->tagging;
    const struct sb_joined *joined = j->floats ? &t->v[0].joined : &j->joined;
    return t->join ? (struct document){&joined->descriptor, &joined->bytes}
                   : (struct document){&t->document->descriptor, &t->document->bytes};
}

static void set_named(struct sb_tag_job *j, bool named, const struct sb_digest *digest) {
    j->named = named;
    j->names = *digest;
    j->same = named && sb_digest_equal(digest, &document_of(j).descriptor->digest);
}

/* Of a tag at which an index is joined: what it has to name depends on what it does. */
static bool is_joined(const struct sb_tag_job *j) {
    return j->tagging->join && j->reference && !j->floats;
}

static int look_at_joined(struct sb_tag_job *j, struct sb_error *err) {
    bool same;
    if (sb_join_look(j->tagging->join, j->reference, &j->joined, &same, err) < 0)
        return -1;
    set_named(j, j->joined.named, &j->joined.names.digest);
    return 0;
}

static int compare_tag(void *data, struct sb_error *err) {
    struct sb_tag_job *j = data;
    if (is_joined(j))
        return look_at_joined(j, err);
    struct sb_digest_text text = sb_digest_text(&document_of(j).descriptor->digest);
    const char *reference = j->reference ? j->reference : text.text;
    struct sb_descriptor there = {0};
    int rc = sb_remote_manifest_head(j->tagging->remote, reference, &there, err);
    set_named(j, rc > 0, &there.digest);
    j->is_index = rc > 0 && sb_media_kind(there.media_type) == SB_MEDIA_KIND_INDEX;
    return rc < 0 ? -1 : 0;
}

/* Some registries say to HEAD that there is nothing, whatever there is. */
static int read_tag(void *data, struct sb_error *err) {
    struct sb_tag_job *j = data;
    struct sb_manifest manifest = {0};
    struct sb_error own = {0};
    if (compare_tag(j, err) < 0)
        return -1;
    if (j->named || is_joined(j))
        return 0;
    struct sb_digest_text text = sb_digest_text(&document_of(j).descriptor->digest);
    int rc = sb_remote_manifest_get_own(j->tagging->remote, j->reference ? j->reference : text.text,
                                        &manifest, &own);
    if (rc == 0)
        set_named(j, true, &manifest.descriptor.digest);
    sb_manifest_free(&manifest);
    if (rc == 0 || own.code == SB_E_NOT_FOUND)
        return 0;
    *err = own;
    return -1;
}

static void remember(struct sb_tag_job *j) {
    j->was_named = j->named;
    j->was = j->names;
}

/* After it was put. What it names now, if neither this nor what it named before, another push put
 * there last. */
static int judge(struct sb_tag_job *j, struct sb_error *err) {
    const struct sb_tagging *t = j->tagging;
    struct sb_digest_text digest = sb_digest_text(&document_of(j).descriptor->digest);
    j->overtaken = j->reference && !j->same && j->named &&
                   !(j->was_named && sb_digest_equal(&j->was, &j->names));
    if (j->same || j->overtaken)
        return 0;
    return sb_fail(err, SB_E_INTEGRITY,
                   "%s: the registry took the manifest %s, and does not name it %s now", t->where,
                   digest.text, j->reference ? j->reference : digest.text);
}

/* ---- tags that are put as told ---- */

static int join(struct sb_tag_job *j, struct sb_error *err) {
    if (sb_join_tag(j->tagging->join, j->reference, &j->joined, err) < 0)
        return -1;
    set_named(j, true, &j->joined.names.digest);
    return 0;
}

/* An image alone takes the place of an index. */
static int leave_index(struct sb_tag_job *j, struct sb_error *err) {
    struct sb_tagging *t = j->tagging;
    const struct document d = document_of(j);
    const struct sb_leaving leaving = {t->remote,   j->reference, &j->names,
                                       t->platform, d.descriptor, d.bytes};
    return t->join ? 0 : sb_join_leave(&leaving, &j->dropped, err);
}

static int put(void *data, struct sb_error *err) {
    struct sb_tag_job *j = data;
    if (is_joined(j))
        return join(j, err);
    const struct document d = document_of(j);
    struct sb_digest_text digest = sb_digest_text(&d.descriptor->digest);
    remember(j);
    if (j->is_index && j->reference && !j->same && leave_index(j, err) < 0)
        return -1;
    return sb_remote_manifest_put(j->tagging->remote, j->reference ? j->reference : digest.text,
                                  d.descriptor->media_type, d.bytes->data, d.bytes->len, err);
}

static int put_and_read(void *data, struct sb_error *err) {
    if (is_joined(data))
        return join(data, err);
    return put(data, err) < 0 || read_tag(data, err) < 0 ? -1 : judge(data, err);
}

/* ---- what tags there are ---- */

/* A registry that refuses to list them is no reason to fail; one that is away is. */
static int list_once(struct sb_tagging *t, struct sb_error *err) {
    struct sb_error own = {0};
    sb_strings_free(&t->there);
    sb_free_pointer(&t->unlisted);
    if (sb_remote_tags(t->remote, TAGS_LIMIT, &t->there, &own) == 0)
        return 0;
    sb_strings_free(&t->there);
    if ((own.code == SB_E_NETWORK && own.reason != SB_REASON_PASSING) ||
        own.code == SB_E_NOT_FOUND) {
        t->unlisted = sb_strdup(own.message);
        return 0;
    }
    *err = own;
    return -1;
}

static int list(struct sb_tagging *t, struct sb_error *err) {
    for (int attempt = 1;; attempt++) {
        if (list_once(t, err) < 0)
            return -1;
        if (t->unlisted || sb_strings_has(&t->there, t->v[0].reference))
            break;
        if (attempt == LIST_ATTEMPTS) {
            t->unlisted = sb_format("%s: the list of tags lacks %s, which is there", t->where,
                                    t->v[0].reference);
            sb_strings_free(&t->there);
            break;
        }
        if (sb_remote_pause(t->remote, LIST_PAUSE_MS, err) < 0)
            return -1;
    }
    t->moved = false;
    return 0;
}

/* ---- which of them float here ---- */

static const char *kept_by(const struct sb_release_tags *tags, const char *tag) {
    for (size_t i = 0; i < tags->kept.n; i++)
        if (!strcmp(tags->kept.v[i], tag))
            return tags->kept_by.v[i];
    return NULL;
}

/* Where nobody can say what else there is, a tag that names nothing yet is no other release's. */
static void decide(struct sb_tagging *t) {
    sb_autoreleasetags struct sb_release_tags tags;
    sb_release_decide(&t->release, t->unlisted ? NULL : &t->there, &tags);
    for (size_t i = 1; i <= t->floats; i++) {
        struct sb_tag_job *j = &t->v[i];
        const char *by = kept_by(&tags, j->reference);
        j->wanted = !by || (t->unlisted && (!j->named || j->same));
        free(j->kept_by);
        j->kept_by = by && !j->wanted ? sb_strdup(by) : NULL;
    }
}

/* Of an index, what the floating tags have to name is known when the version's own was read. */
static int compare_all(struct sb_tagging *t, struct sb_error *err) {
    for (size_t i = 0; i < t->n; i++)
        if (!t->join || !t->v[i].floats)
            sb_jobs_add(t->jobs, compare_tag, &t->v[i]);
    if (t->join && sb_jobs_wait(t->jobs, err) < 0)
        return -1;
    for (size_t i = 0; i < t->n; i++)
        if (t->join && t->v[i].floats)
            sb_jobs_add(t->jobs, compare_tag, &t->v[i]);
    return sb_jobs_wait(t->jobs, err);
}

int sb_tagging_look(struct sb_tagging *t, bool *out_same, struct sb_error *err) {
    if (compare_all(t, err) < 0)
        return -1;
    bool floats = true, others = true;
    for (size_t i = 0; i < t->n; i++)
        *(t->v[i].floats ? &floats : &others) &= t->v[i].same;
    *out_same = floats && others;
    for (size_t i = 1; i <= t->floats; i++)
        t->v[i].wanted = true;
    if (!others || floats)
        return 0;
    /* It may be as it should: higher releases have the rest. */
    if (list(t, err) < 0)
        return -1;
    decide(t);
    *out_same = true;
    for (size_t i = 1; i <= t->floats; i++)
        *out_same &= t->v[i].same || !t->v[i].wanted;
    return 0;
}

void sb_tagging_start_look(struct sb_tagging *t) {
    for (size_t i = 0; i < t->n; i++)
        if (t->v[i].reference)
            sb_jobs_add(t->jobs, compare_tag, &t->v[i]);
}

/* ---- tags that float ---- */

static int put_float(void *data, struct sb_error *err) {
    struct sb_tag_job *j = data;
    struct sb_tagging *t = j->tagging;
    const struct document d = document_of(j);
    const struct sb_buf *bytes = j->others ? &j->other.bytes : d.bytes;
    const char *type = j->others ? j->other.media_type : d.descriptor->media_type;
    struct sb_error own = {0};
    remember(j);
    if (sb_remote_manifest_put_if(t->remote, j->reference, j->named ? &j->names : NULL, type,
                                  bytes->data, bytes->len, &own) >= 0)
        return 0;
    j->stuck = own.reason == SB_REASON_IMMUTABLE;
    if (j->stuck)
        return 0;
    *err = own;
    return -1;
}

/* Whether this image is the highest release of the floating tag's range. */
static bool is_highest(const struct sb_tagging *t, const struct sb_tag_job *j,
                       const struct sb_release_tags *tags) {
    return t->v[0].same && (t->unlisted || !kept_by(tags, j->reference));
}

/* 1: it has to be put, 0: it is as it should be, or nobody knows how that would be. */
static int find_right(struct sb_tagging *t, struct sb_tag_job *j,
                      const struct sb_release_tags *tags, struct sb_error *err) {
    forget_other(j);
    j->overtaken = false;
    if (!j->wanted || j->stuck)
        return 0;
    if (is_highest(t, j, tags))
        return !j->same;
    const char *holder =
        t->unlisted ? NULL : sb_release_holder(&t->release, j->reference, &t->there);
    struct sb_error own = {0};
    if (!holder)
        return 0;
    if (sb_remote_manifest_get_own(t->remote, holder, &j->other, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND) /* gone since */
            return 0;
        *err = own;
        return -1;
    }
    j->others = !j->named || !sb_digest_equal(&j->names, &j->other.descriptor.digest);
    j->overtaken = !j->others && !j->same;
    return j->others;
}

/* Reads all that matters once more, but for the first time, when it was read before. */
static int read_all(struct sb_tagging *t, bool first, struct sb_error *err) {
    for (size_t i = 0; i <= t->floats && !first; i++)
        if (i == 0 || t->v[i].wanted)
            sb_jobs_add(t->jobs, read_tag, &t->v[i]);
    struct sb_error own = {0};
    int listed = first || (t->moved && !t->unlisted) ? list(t, &own) : 0;
    int rc = sb_jobs_wait(t->jobs, err);
    if (listed < 0 && rc == 0)
        *err = own;
    return listed < 0 ? -1 : rc;
}

/* Puts what isn't as it should be. 1: something was put. */
static int mend(struct sb_tagging *t, struct sb_error *err) {
    sb_autoreleasetags struct sb_release_tags tags;
    sb_release_decide(&t->release, t->unlisted ? NULL : &t->there, &tags);
    for (size_t i = 1; i <= t->floats; i++) {
        if (t->join) /* which may have got another platform since this one was read */
            set_named(&t->v[i], t->v[i].named, &t->v[i].names);
        int wrong = find_right(t, &t->v[i], &tags, err);
        if (wrong < 0)
            return -1;
        if (wrong)
            sb_jobs_add(t->jobs, put_float, &t->v[i]);
        t->moved = t->moved || wrong;
    }
    return sb_jobs_wait(t->jobs, err) < 0 ? -1 : t->moved;
}

static int fail_stuck(const struct sb_tagging *t, struct sb_error *err) {
    sb_autobuf struct sb_buf stuck = {0};
    for (size_t i = 1; i <= t->floats; i++)
        if (t->v[i].stuck)
            sb_buf_addf(&stuck, "%s%s", stuck.len ? ", " : "", t->v[i].reference);
    if (stuck.len == 0)
        return 0;
    sb_fail(err, SB_E_NETWORK,
            "%s: %s is there now, but tags are immutable there, and name other images: %s",
            t->where, t->v[0].reference, sb_buf_text(&stuck));
    return sb_error_hint(err,
                         "except latest, v1 and v1.2 from it in the repository's settings (ECR: "
                         "IMMUTABLE_WITH_EXCLUSION); or push the version alone, by --tag");
}

/* The version's own tag. That it names what it did before may be another push's doing, of the very
 * image that it was: that is found out by putting it once more. */
static int insist(struct sb_tagging *t, struct sb_error *err) {
    struct sb_tag_job *own = &t->v[0];
    struct sb_error ignored = {0};
    if (t->join)
        return own->same ? 0 : join(own, err);
    if (own->same || t->insisted || judge(own, &ignored) == 0)
        return own->same ? 0 : judge(own, err);
    t->insisted = true;
    sb_jobs_add(t->jobs, put, own);
    if (sb_jobs_wait(t->jobs, err) < 0)
        return -1;
    sb_jobs_add(t->jobs, read_tag, own);
    return sb_jobs_wait(t->jobs, err) < 0 ? -1 : judge(own, err);
}

/* The floating tags, after the version's own. */
static int settle(struct sb_tagging *t, struct sb_error *err) {
    t->v[0].same = true; /* until it is read */
    for (int round = 0; round < ROUNDS; round++) {
        if (read_all(t, round == 0, err) < 0)
            return -1;
        if (round == 0)
            decide(t);
        else if (insist(t, err) < 0)
            return -1;
        int moved = mend(t, err);
        if (moved < 0)
            return -1;
        if (!moved && round > 0)
            break;
    }
    for (size_t i = 1; i <= t->floats; i++)
        if (t->v[i].wanted && !t->v[i].stuck && !t->v[i].overtaken && judge(&t->v[i], err) < 0)
            return -1;
    return fail_stuck(t, err);
}

int sb_tagging_put(struct sb_tagging *t, struct sb_error *err) {
    bool settles = t->floats > 0;
    for (size_t i = 0; i < t->n; i++)
        if (!t->v[i].floats)
            sb_jobs_add(t->jobs, settles && i == 0 ? put : put_and_read, &t->v[i]);
    if (sb_jobs_wait(t->jobs, err) < 0)
        return -1;
    if (!settles || settle(t, err) == 0)
        return 0;
    return sb_error_context(err, "the floating tags of %s", t->v[0].reference);
}

/* ---- what came of it ---- */

static void joined_result(const struct sb_tagging *t, const struct sb_tag_job *own,
                          struct sb_push_result *out) {
    const struct sb_joined *joined = &t->v[0].joined;
    out->manifest = joined->descriptor;
    sb_strings_copy(&out->beside, &joined->beside);
    sb_strings_copy(&out->dropped, &joined->dropped);
    out->adopted = joined->adopted ? sb_strdup(joined->adopted) : NULL;
    out->replaced = own && joined->replaced;
    if (out->replaced) {
        out->replaced_platform = sb_strdup(joined->replaced);
        out->replaced_digest = joined->was;
    }
    for (size_t i = 0; i < joined->overtaken.n; i++)
        sb_strings_add(&out->overtaken_platforms, joined->overtaken.v[i]);
}

void sb_tagging_result(const struct sb_tagging *t, struct sb_push_result *out) {
    for (size_t i = 0; i < t->n; i++) {
        const struct sb_tag_job *j = &t->v[i];
        if (!j->reference)
            continue;
        if (j->kept_by) {
            sb_strings_add(&out->kept, j->reference);
            sb_strings_add(&out->kept_by, j->kept_by);
        } else {
            sb_strings_add(j->overtaken ? &out->overtaken : &out->tags, j->reference);
        }
    }
    const struct sb_tag_job *own = sb_release_has_tags(&t->release) ? &t->v[0] : NULL;
    if (t->unlisted && out->kept.n > 0)
        out->unlisted = sb_strdup(t->unlisted);
    if (t->join) {
        joined_result(t, own, out);
        return;
    }
    for (size_t i = 0; i < t->n; i++)
        for (size_t k = 0; k < t->v[i].dropped.n; k++)
            if (!sb_strings_has(&out->dropped, t->v[i].dropped.v[k]))
                sb_strings_add(&out->dropped, t->v[i].dropped.v[k]);
    out->replaced = own && !out->unchanged && own->was_named &&
                    !sb_digest_equal(&own->was, &t->document->descriptor.digest);
    if (out->replaced)
        out->replaced_digest = own->was;
}
