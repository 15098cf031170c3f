#include "builder/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/yaml.h"
#include "document/schema.h"
#include "registry/reference.h"

#define VERSION "1"

char *sb_lockfile_path(const char *recipe) {
    const char *slash = strrchr(recipe, '/'), *dot = strrchr(recipe, '.');
    size_t n = dot && dot > (slash ? slash + 1 : recipe) ? (size_t)(dot - recipe) : strlen(recipe);
    return sb_format("%.*s.lock", (int)n, recipe);
}

void sb_lockfile_free(struct sb_lockfile *lock) {
    for (size_t i = 0; i < lock->n; i++)
        free(lock->v[i].name);
    free(lock->v);
    free(lock->path);
    *lock = (struct sb_lockfile){0};
}

/* ---- reading ---- */

/* found: what is there; NULL: the node as it is. */
static int refuse(const struct sb_lockfile *lock, const struct sb_yaml *node, const char *what,
                  const char *found, struct sb_error *err) {
    struct sb_text_shown shown = sb_text_shown(node->type == SB_YAML_SCALAR ? node->text : "");
    if (!found)
        found = node->type == SB_YAML_SCALAR ? shown.text : sb_yaml_type_name(node);
    sb_fail(err, SB_E_RECIPE, "%s:%d:%d: %s, found %s", lock->path, node->line, node->column, what,
            found);
    return sb_error_hint(err,
                         "it is written by `sbuild lock`: remove it and lock the recipe again");
}

/* Whole, by tag: as sb_reference_text writes it. */
static bool is_canonical(const char *text) {
    struct sb_reference reference;
    if (sb_reference_parse(text, &reference, NULL) < 0)
        return false;
    sb_autofree char *whole = sb_reference_text(&reference);
    bool canonical = reference.tag && !reference.has_digest && !strcmp(whole, text);
    sb_reference_free(&reference);
    return canonical;
}

static int read_image(struct sb_lockfile *lock, const struct sb_yaml *name,
                      const struct sb_yaml *value, struct sb_error *err) {
    struct sb_digest digest;
    if (!is_canonical(name->text))
        return refuse(lock, name, "expected HOST/REPOSITORY:TAG", NULL, err);
    if (value->type != SB_YAML_SCALAR || sb_digest_parse(value->text, &digest, NULL) < 0)
        return refuse(lock, value, "expected a digest, sha256: and 64 hexadecimal digits", NULL,
                      err);
    sb_lockfile_set(lock, SB_LOCKED_IMAGE, name->text, sb_digest_text(&digest).text);
    return 0;
}

static bool is_git_name(const char *text) {
    static const char *const spaces[] = {"refs/tags/", "refs/heads/"};
    const char *blank = strchr(text, ' ');
    sb_autofree char *url = sb_strndup(text, blank ? (size_t)(blank - text) : 0);
    for (size_t i = 0; blank && sb_rule_git_url.check(url) && i < 2; i++)
        if (!strncmp(blank + 1, spaces[i], strlen(spaces[i])))
            return sb_rule_git_ref.check(blank + 1 + strlen(spaces[i]));
    return false;
}

static int read_commit(struct sb_lockfile *lock, const struct sb_yaml *name,
                       const struct sb_yaml *value, struct sb_error *err) {
    if (!is_git_name(name->text))
        return refuse(lock, name, "expected URL refs/tags/TAG or URL refs/heads/BRANCH", NULL, err);
    if (value->type != SB_YAML_SCALAR || !sb_rule_commit.check(value->text))
        return refuse(lock, value, "expected a commit, 40 or 64 hexadecimal digits", NULL, err);
    sb_lockfile_set(lock, SB_LOCKED_COMMIT, name->text, value->text);
    return 0;
}

/* By sb_locked_kind. */
static const struct {
    const char *key, *expected;
    int (*read)(struct sb_lockfile *lock, const struct sb_yaml *name, const struct sb_yaml *value,
                struct sb_error *err);
} kinds[] = {
    [SB_LOCKED_IMAGE] = {"images", "expected a mapping of references to digests", read_image},
    [SB_LOCKED_COMMIT] = {"git", "expected a mapping of names to commits", read_commit},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static int read_kind(struct sb_lockfile *lock, size_t kind, const struct sb_yaml *list,
                     struct sb_error *err) {
    if (list->type != SB_YAML_MAPPING)
        return refuse(lock, list, kinds[kind].expected, NULL, err);
    for (size_t i = 0; i < list->count; i++)
        if (kinds[kind].read(lock, list->items[2 * i], list->items[2 * i + 1], err) < 0)
            return -1;
    return 0;
}

static size_t kind_of(const char *key) {
    size_t kind = 0;
    while (kind < KINDS && strcmp(kinds[kind].key, key) != 0)
        kind++;
    return kind;
}

static int read_root(struct sb_lockfile *lock, const struct sb_yaml *root, struct sb_error *err) {
    const struct sb_yaml *lists[KINDS] = {NULL}, *version = NULL;
    for (size_t i = 0; i < root->count; i++) {
        const struct sb_yaml *key = root->items[2 * i], *value = root->items[2 * i + 1];
        size_t kind = kind_of(key->text);
        if (!strcmp(key->text, "version"))
            version = value;
        else if (kind < KINDS)
            lists[kind] = value;
        else
            return refuse(lock, key, "expected the keys version, images and git", NULL, err);
    }
    if (!version)
        return refuse(lock, root, "expected version: " VERSION, "none", err);
    if (version->type != SB_YAML_SCALAR || strcmp(version->text, VERSION) != 0)
        return refuse(lock, version, "expected version " VERSION, NULL, err);
    if (!lists[SB_LOCKED_IMAGE] && !lists[SB_LOCKED_COMMIT])
        return refuse(lock, root, "expected the key images or git", "none", err);
    for (size_t kind = 0; kind < KINDS; kind++)
        if (lists[kind] && read_kind(lock, kind, lists[kind], err) < 0)
            return -1;
    return 0;
}

static int parse(struct sb_lockfile *lock, const struct sb_buf *text, struct sb_error *err) {
    struct sb_yaml_document *document;
    if (sb_yaml_parse(sb_buf_text(text), text->len, lock->path, &document, err) < 0)
        return -1;
    const struct sb_yaml *root = sb_yaml_root(document);
    int failed = root->type == SB_YAML_MAPPING
                     ? read_root(lock, root, err)
                     : refuse(lock, root, "expected a mapping", NULL, err);
    sb_yaml_free(document);
    return failed;
}

int sb_lockfile_read(const struct sb_project *project, const char *recipe, struct sb_lockfile *out,
                     struct sb_error *err) {
    *out = (struct sb_lockfile){.path = sb_lockfile_path(recipe)};
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    int failed = sb_project_read(project, out->path, SB_LOCKFILE_LIMIT, &text, NULL, &own);
    if (failed && own.code == SB_E_NOT_FOUND)
        return 0;
    out->exists = true;
    if (failed && err)
        *err = own;
    if (!failed)
        failed = parse(out, &text, err);
    if (failed)
        sb_lockfile_free(out);
    return failed;
}

/* ---- entries ---- */

static int compare(const struct sb_locked *locked, enum sb_locked_kind kind, const char *name) {
    return locked->kind != kind ? (int)locked->kind - (int)kind : strcmp(locked->name, name);
}

/* Where the name is, or belongs. */
static size_t seek(const struct sb_lockfile *lock, enum sb_locked_kind kind, const char *name) {
    size_t i = 0;
    while (i < lock->n && compare(&lock->v[i], kind, name) < 0)
        i++;
    return i;
}

const char *sb_lockfile_find(const struct sb_lockfile *lock, enum sb_locked_kind kind,
                             const char *name) {
    size_t i = seek(lock, kind, name);
    return i < lock->n && !compare(&lock->v[i], kind, name) ? lock->v[i].value : NULL;
}

void sb_lockfile_set(struct sb_lockfile *lock, enum sb_locked_kind kind, const char *name,
                     const char *value) {
    size_t i = seek(lock, kind, name);
    sb_assert(strlen(value) < sizeof lock->v[i].value);
    if (i == lock->n || compare(&lock->v[i], kind, name) != 0) {
        SB_GROW(lock->v, lock->n, lock->cap);
        memmove(&lock->v[i + 1], &lock->v[i], (lock->n++ - i) * sizeof *lock->v);
        lock->v[i] = (struct sb_locked){.kind = kind, .name = sb_strdup(name)};
    }
    memcpy(lock->v[i].value, value, strlen(value) + 1);
}

void sb_lockfile_keep(struct sb_lockfile *lock, const struct sb_strings *names,
                      struct sb_strings *dropped) {
    size_t kept = 0;
    for (size_t i = 0; i < lock->n; i++)
        if (sb_strings_has(names, lock->v[i].name))
            lock->v[kept++] = lock->v[i];
        else
            sb_strings_take(dropped, lock->v[i].name);
    lock->n = kept;
}

/* ---- writing ---- */

static void add_entry(const struct sb_locked *locked, struct sb_buf *out) {
    sb_buf_adds(out, "  \"");
    for (const char *p = locked->name; *p; p++) { /* names have no control characters */
        if (*p == '"' || *p == '\\')
            sb_buf_addc(out, '\\');
        sb_buf_addc(out, *p);
    }
    sb_buf_addf(out, "\": %s%s%s\n", locked->kind == SB_LOCKED_COMMIT ? "\"" : "", locked->value,
                locked->kind == SB_LOCKED_COMMIT ? "\"" : "");
}

int sb_lockfile_write(const struct sb_lockfile *lock, struct sb_error *err) {
    if (lock->n == 0) {
        if (unlink(lock->path) < 0 && errno != ENOENT)
            return sb_fail_errno(err, SB_E_IO, "%s", lock->path);
        return 0;
    }
    sb_autobuf struct sb_buf text = {0};
    sb_buf_adds(&text, "# Written by `sbuild lock`, and moved by `sbuild lock --update`; belongs "
                       "under version control.\nversion: " VERSION "\n");
    for (size_t i = 0; i < lock->n; i++) {
        if (i == 0 || lock->v[i].kind != lock->v[i - 1].kind)
            sb_buf_addf(&text, "%s:\n", kinds[lock->v[i].kind].key);
        add_entry(&lock->v[i], &text);
    }
    return sb_file_write(AT_FDCWD, lock->path, text.data, text.len, 0644, err) < 0
               ? sb_error_context(err, "writing the lock file")
               : 0;
}
