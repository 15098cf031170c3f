#include "builder/cache_prune.h"

#include <stdlib.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/jobs.h"
#include "base/memory.h"

enum { TAG_LIMIT = 1000000, AT_ONCE = 8 };

static void free_record(struct sb_shared_record *record) {
    free(record->tag);
    sb_cache_record_free(&record->record);
}

void sb_shared_records_free(struct sb_shared_records *records) {
    for (size_t i = 0; i < records->n; i++)
        free_record(&records->v[i]);
    free(records->v);
    *records = (struct sb_shared_records){0};
}

/* ---- several at a time ---- */

typedef int one_record(struct sb_remote *remote, struct sb_shared_record *record,
                       struct sb_error *err);

struct task {
    struct sb_remote *remote;
    struct sb_shared_record *record;
    one_record *each;
};

static int do_one(void *data, struct sb_error *err) {
    const struct task *task = data;
    return sb_interrupt_check(err) < 0 ? -1 : task->each(task->remote, task->record, err);
}

static int for_each(struct sb_remote *remote, struct sb_shared_records *records, one_record *each,
                    struct sb_error *err) {
    sb_autofree struct task *tasks = sb_alloc((records->n + 1) * sizeof *tasks);
    struct sb_jobs *jobs = sb_jobs_new(AT_ONCE);
    for (size_t i = 0; i < records->n; i++) {
        tasks[i] = (struct task){remote, &records->v[i], each};
        sb_jobs_add(jobs, do_one, &tasks[i]);
    }
    int failed = sb_jobs_wait(jobs, err);
    sb_jobs_free(jobs);
    return failed;
}

/* ---- listing ---- */

static int read_one(struct sb_remote *remote, struct sb_shared_record *record,
                    struct sb_error *err) {
    struct sb_manifest manifest = {0};
    int failed = sb_remote_manifest_get(remote, record->tag, &manifest, err);
    if (failed && err->code == SB_E_NOT_FOUND) {
        record->gone = true;
        sb_error_clear(err);
        failed = 0;
    } else if (!failed) {
        struct sb_error ignored = {0};
        record->manifest = manifest.descriptor.digest;
        record->damaged = sb_cache_record_parse(sb_buf_text(&manifest.bytes), manifest.bytes.len,
                                                &record->record, &ignored) < 0;
    }
    sb_manifest_free(&manifest);
    return failed;
}

static int compare(const void *a, const void *b) {
    const struct sb_shared_record *x = a, *y = b;
    if (x->record.created != y->record.created)
        return x->record.created > y->record.created ? -1 : 1;
    return strcmp(x->tag, y->tag);
}

int sb_shared_records_list(struct sb_remote *remote, struct sb_shared_records *out,
                           struct sb_error *err) {
    sb_autostrings struct sb_strings tags = {0};
    *out = (struct sb_shared_records){0};
    if (sb_remote_tags(remote, TAG_LIMIT, &tags, err) < 0) {
        if (err->code != SB_E_NOT_FOUND)
            return -1;
        sb_error_clear(err);
    }
    out->v = sb_alloc((tags.n + 1) * sizeof *out->v);
    for (size_t i = 0; i < tags.n; i++)
        if (sb_cache_record_is_tag(tags.v[i]))
            out->v[out->n++].tag = sb_strdup(tags.v[i]);
    if (for_each(remote, out, read_one, err) < 0) {
        sb_shared_records_free(out);
        return -1;
    }
    size_t kept = 0;
    for (size_t i = 0; i < out->n; i++) {
        if (out->v[i].gone)
            free_record(&out->v[i]);
        else
            out->v[kept++] = out->v[i];
    }
    out->n = kept;
    qsort(out->v, out->n, sizeof *out->v, compare);
    return 0;
}

/* ---- removing ---- */

void sb_shared_records_select_old(struct sb_shared_records *records, int64_t before) {
    size_t kept = 0;
    for (size_t i = 0; i < records->n; i++) {
        struct sb_shared_record *record = &records->v[i];
        if (record->damaged || record->record.created < before)
            records->v[kept++] = *record;
        else
            free_record(record);
    }
    records->n = kept;
}

static int remove_one(struct sb_remote *remote, struct sb_shared_record *record,
                      struct sb_error *err) {
    int removed = sb_remote_manifest_delete(remote, sb_digest_text(&record->manifest).text, err);
    record->gone = removed == 0;
    return removed < 0 ? -1 : 0;
}

int sb_shared_records_remove(struct sb_remote *remote, struct sb_shared_records *records,
                             struct sb_error *err) {
    return for_each(remote, records, remove_one, err);
}
