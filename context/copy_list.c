#include "context/copy_list.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "context/statcache.h"

void sb_copy_list_free(struct sb_copy_list *list) {
    free(list->v);
    sb_arena_free(&list->arena);
    *list = (struct sb_copy_list){0};
}

struct ranked {
    struct sb_copy_entry entry;
    size_t rank; /* position before sorting */
};

static int compare_ranked(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    int order = sb_path_order(x->entry.path, y->entry.path);
    return order ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

static bool is_sorted(const struct sb_copy_list *list) {
    for (size_t i = 1; i < list->n; i++)
        if (sb_path_order(list->v[i - 1].path, list->v[i].path) >= 0)
            return false;
    return true;
}

/* Of two with one path: a directory stays as it was made first, of all others the later wins. One
 * source may have both kinds, where a link leads from one of its directories to another. */
static int merge(struct sb_copy_entry *earlier, const struct sb_copy_entry *later,
                 struct sb_error *err) {
    bool both = S_ISDIR(earlier->mode) && S_ISDIR(later->mode);
    if (S_ISDIR(earlier->mode) != S_ISDIR(later->mode))
        return sb_fail(err, SB_E_FAILED, "both %s and %s become /%s",
                       earlier->source ? earlier->source : "a directory",
                       later->source ? later->source : "a directory", later->path),
               sb_step_at(later->step, err);
    if (!both)
        *earlier = *later;
    else if (!earlier->source)
        earlier->source = later->source;
    return 0;
}

int sb_copy_settle(struct sb_copy_list *list, struct sb_error *err) {
    if (is_sorted(list))
        return 0;
    sb_autofree struct ranked *all = sb_realloc(NULL, list->n + 1, sizeof *all);
    for (size_t i = 0; i < list->n; i++)
        all[i] = (struct ranked){list->v[i], i};
    qsort(all, list->n, sizeof *all, compare_ranked);
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        struct sb_copy_entry *last = n ? &list->v[n - 1] : NULL;
        if (!last || strcmp(last->path, all[i].entry.path) != 0)
            list->v[n++] = all[i].entry;
        else if (merge(last, &all[i].entry, err) < 0)
            return -1;
    }
    list->n = n;
    return 0;
}

/* The next entry that something is copied to, from *at on. */
static const struct sb_copy_entry *next_copied(const struct sb_copy_list *list, size_t *at) {
    while (*at < list->n && !list->v[*at].source && !list->v[*at].download)
        (*at)++;
    return *at < list->n ? &list->v[(*at)++] : NULL;
}

static const struct sb_copy_entry *find_copied(const struct sb_copy_list *list,
                                               const struct sb_copy_entry *same) {
    size_t at = 0;
    const struct sb_copy_entry *e;
    while ((e = next_copied(list, &at)))
        if (e->step == same->step && (e->source == same->source || e->download))
            return e;
    return NULL;
}

int sb_copy_compare(const struct sb_copy_list *list, const struct sb_copy_list *real,
                    struct sb_error *err) {
    size_t in_list = 0, in_real = 0;
    const struct sb_copy_entry *a, *b;
    do {
        a = next_copied(list, &in_list);
        b = next_copied(real, &in_real);
    } while (a && b && !strcmp(a->path, b->path));
    if (!a || !(b = find_copied(real, a)))
        return 0;
    sb_fail(err, SB_E_RECIPE,
            "/%s leads through a symbolic link of the base, or into a directory, of which its "
            "config doesn't tell",
            a->path);
    sb_error_hint(err, "write where it leads, /%s", b->path);
    return sb_step_at(a->step, err);
}

/* ---- the listing ---- */

/* Appends a space and the number. */
static size_t add_number(char *out, size_t at, uint32_t value, unsigned base) {
    char digits[16];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % base);
    while (value /= base);
    out[at++] = ' ';
    while (n > 0)
        out[at++] = digits[--n];
    return at;
}

static void add_xattrs(const struct sb_copy_entry *e, struct sb_buf *out) {
    sb_autobuf struct sb_buf all = {0};
    for (size_t i = 0; i < e->xattr_count; i++) {
        sb_buf_addf(&all, "%zu %s=", e->xattrs[i].value_len, e->xattrs[i].name);
        sb_buf_add(&all, e->xattrs[i].value, e->xattrs[i].value_len);
    }
    struct sb_digest digest = sb_digest_of(all.data, all.len);
    sb_buf_addf(out, " %s", sb_digest_hex(&digest).text);
}

void sb_copy_listing(const struct sb_copy_list *list, struct sb_buf *out) {
    for (size_t i = 0; i < list->n; i++) {
        const struct sb_copy_entry *e = &list->v[i];
        sb_buf_add(out, e->path, strlen(e->path) + 1);
        char type = S_ISDIR(e->mode) ? 'd' : S_ISLNK(e->mode) ? 'l' : 'f';
        char head[48]; /* one formatted write for each of many thousand entries is too dear */
        size_t n = 0;
        head[n++] = type;
        n = add_number(head, n, e->mode & 07777u, 8);
        n = add_number(head, n, e->uid, 10);
        n = add_number(head, n, e->gid, 10);
        head[n++] = ' ';
        sb_buf_add(out, head, n);
        if (type == 'f')
            sb_buf_add(out, sb_digest_hex(&e->digest).text, SB_DIGEST_HEX_SIZE - 1);
        else if (type == 'l') { /* a target may hold a newline: its digest can't */
            struct sb_digest target = sb_digest_of(e->link, strlen(e->link));
            sb_buf_adds(out, sb_digest_hex(&target).text);
        }
        if (e->xattr_count)
            add_xattrs(e, out);
        sb_buf_addc(out, '\n');
    }
}
