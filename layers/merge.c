#include "layers/merge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/map.h"
#include "base/memory.h"
#include "layers/whiteout.h"

/* What is known of a path. Layers are counted from 1, the top one, downwards; 0 is none. The first
 * layer that says something is the highest, and so the one that counts. */
union fact {
    uint64_t word;
    struct {
        uint16_t claimed;   /* has an entry for it, or a whiteout */
        uint16_t implied;   /* has entries below it, so it is a directory there */
        uint16_t closed;    /* hides everything below it in lower layers */
        uint16_t file : 14; /* has a file there, neither a directory nor what may lead to one */
        uint16_t told : 1;  /* an entry that is seen says what directory it is */
        uint16_t gone : 1;  /* as yet the claim is a whiteout's alone */
    } by;
};
_Static_assert(SB_ARTIFACT_LAYER_LIMIT < 1 << 14, "the number of any layer has room");

struct sb_merge {
    struct sb_map facts;
    uint16_t layer;
    /* The last parent in this layer: whether something above it is closed. */
    struct sb_strings implied; /* paths that are */
    char *parent;
    bool parent_hidden, parent_implied;
    uint64_t names;
    char *conflict; /* a file that has entries below it in its own layer, or NULL */
};

static uint64_t *put(struct sb_merge *m, const char *path, size_t len) {
    size_t before = m->facts.n;
    uint64_t *word = sb_map_put_n(&m->facts, path, len);
    if (m->facts.n > before)
        m->names += SB_ENTRY_COST + len;
    return word;
}

struct sb_merge *sb_merge_new(void) {
    return sb_alloc(sizeof(struct sb_merge));
}

void sb_merge_free(struct sb_merge *m) {
    if (!m)
        return;
    sb_map_free(&m->facts);
    sb_strings_free(&m->implied);
    free(m->parent);
    free(m->conflict);
    free(m);
}

void sb_merge_lower(struct sb_merge *m) {
    m->layer++;
    free(sb_steal(m->parent));
}

static void say(uint16_t *slot, uint16_t layer) {
    if (*slot == 0)
        *slot = layer;
}

static bool higher(uint16_t slot, uint16_t layer) {
    return slot != 0 && slot < layer;
}

/* Whether a higher layer hides all that is in the parent of path; notes, on the way, that this
 * layer has directories there. Whiteouts alone make none. */
static bool visit_parents(struct sb_merge *m, const char *path, size_t len, bool implies) {
    if (m->parent && m->parent_implied == implies && strlen(m->parent) == len &&
        !memcmp(m->parent, path, len))
        return m->parent_hidden;
    free(m->parent);
    m->parent = sb_strndup(path, len);
    m->parent_implied = implies;
    m->parent_hidden = false;
    for (size_t end = 0; end <= len && !m->parent_hidden; end++) {
        if (end > 0 && end < len && path[end] != '/')
            continue;
        uint64_t *word = put(m, path, end); /* "" is the root */
        union fact fact = {.word = *word};
        if (fact.by.file == m->layer && !m->conflict)
            m->conflict = sb_strndup(path, end);
        bool decided = fact.by.claimed && !(fact.by.gone && fact.by.claimed == m->layer);
        if (implies && !decided && !fact.by.implied) {
            fact.by.implied = m->layer;
            if (end > 0)
                sb_strings_take(&m->implied, sb_strndup(path, end));
        }
        if (higher(fact.by.closed, m->layer)) /* the directory itself may be there */
            m->parent_hidden = true;
        *word = fact.word;
    }
    return m->parent_hidden;
}

static void visit_whiteout(struct sb_merge *m, const char *path, enum sb_whiteout kind) {
    sb_autofree char *target = sb_whiteout_target(path);
    uint64_t *word = put(m, target, strlen(target));
    union fact fact = {.word = *word};
    if (kind == SB_WHITEOUT_HIDES && !fact.by.claimed) {
        fact.by.claimed = m->layer;
        fact.by.gone = true; /* what lower layers have; this one may have it anew */
    }
    say(&fact.by.closed, m->layer);
    *word = fact.word;
}

bool sb_merge_visit(struct sb_merge *m, const struct sb_entry *entry) {
    const char *path = entry->path, *slash = strrchr(path, '/');
    enum sb_whiteout kind = sb_whiteout_kind(path);
    if (kind == SB_WHITEOUT_IGNORED || kind == SB_WHITEOUT_BAD ||
        visit_parents(m, path, slash ? (size_t)(slash - path) : 0, kind == SB_WHITEOUT_NO))
        return false;
    if (kind != SB_WHITEOUT_NO) {
        visit_whiteout(m, path, kind);
        return false;
    }
    bool directory = S_ISDIR(entry->mode) && !entry->hard_link;
    uint64_t *word = put(m, path, strlen(path));
    union fact fact = {.word = *word};
    bool seen =
        !higher(fact.by.claimed, m->layer) && (directory || !higher(fact.by.implied, m->layer));
    say(&fact.by.claimed, m->layer);
    if (fact.by.claimed == m->layer)
        fact.by.gone = false;
    if (!directory)
        say(&fact.by.closed, m->layer);
    bool file = !directory && (!S_ISLNK(entry->mode) || entry->hard_link);
    fact.by.file = file ? m->layer & 0x3fff : 0;
    fact.by.told |= seen && directory;
    *word = fact.word;
    return seen;
}

int sb_merge_implied(struct sb_merge *m, sb_merge_implied_visit *visit, void *self,
                     struct sb_error *err) {
    sb_strings_sort(&m->implied);
    for (size_t i = 0; i < m->implied.n; i++) {
        const char *path = m->implied.v[i];
        union fact fact = {.word = *sb_map_find(&m->facts, path)};
        if (!fact.by.told && visit(self, path, fact.by.implied, err) < 0)
            return -1;
    }
    return 0;
}

int sb_merge_check(const struct sb_merge *m, struct sb_error *err) {
    if (m->names > SB_NAMES_LIMIT)
        return sb_names_too_many("the image", err);
    return m->conflict ? sb_fail(err, SB_E_INTEGRITY, "%s is not a directory", m->conflict) : 0;
}
