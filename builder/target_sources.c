/*
 * What steps take of the images of other targets: stages, recipes, images.
 *
 * The paths that a step names are looked up in the image's tables of contents, with links followed
 * as in a root, and laid out in a directory of this process; from there on they are a context like
 * the recipe's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "builder/base_layers.h"
#include "builder/target.h"
#include "document/pattern.h"
#include "layers/extract.h"

/* The image of one target, as others look into it. */
struct source {
    struct sb_contents **contents; /* NULL until needed; empty ones for those below first */
    size_t first;
    struct sb_stack stack;
    bool told; /* some of them came from a shared cache, and nobody has looked at these layers */
};

struct taken {
    const struct sb_step *step;
    struct source *source;
    struct sb_copy_tree tree;
    struct sb_xattr_set xattrs;
};

struct sb_target_sources {
    struct sb_copy_from from;
    struct source *v; /* by the index in the target's needs */
    size_t n;
    const struct sb_image **origins;
    struct taken **taken; /* of steps */
    size_t taken_n, taken_cap;
};

static void free_source(struct source *source) {
    for (size_t i = 0; source->contents && i < source->stack.n; i++)
        sb_contents_close(source->contents[i]);
    free(source->contents);
}

static void free_taken(struct taken *taken) {
    sb_context_close(taken->tree.context);
    sb_strings_free(&taken->tree.from);
    sb_xattr_set_free(&taken->xattrs);
    free(taken);
}

void sb_target_sources_free(struct sb_target_sources *sources) {
    if (!sources)
        return;
    for (size_t i = 0; i < sources->n; i++)
        free_source(&sources->v[i]);
    for (size_t i = 0; i < sources->taken_n; i++)
        free_taken(sources->taken[i]);
    free(sources->v);
    free(sources->origins);
    free(sources->taken);
    free(sources);
}

static struct sb_target_sources *sources_of(struct sb_target *target) {
    if (target->sources)
        return target->sources;
    struct sb_target_sources *sources = target->sources = sb_alloc(sizeof *sources);
    sources->n = target->need_count;
    sources->v = sb_alloc((sources->n + 1) * sizeof *sources->v);
    sources->origins = sb_alloc((sources->n + 1) * sizeof *sources->origins);
    for (size_t i = 0; i < sources->n; i++)
        sources->origins[i] = &target->needs[i]->image;
    return sources;
}

const struct sb_image *const *sb_target_origins(struct sb_target *target) {
    return sources_of(target)->origins;
}

const char *sb_target_unsure_source(const struct sb_target *target,
                                    const struct sb_recipe_layer *layer) {
    for (size_t i = 0; layer && i < layer->step_count; i++) {
        const struct sb_origin *origin;
        for (size_t n = 0; (origin = sb_step_origin(&layer->steps[i], n)); n++)
            if (!sb_origin_is_context(origin) && target->needs[origin->need]->unsure)
                return target->needs[origin->need]->recipe->title;
    }
    return NULL;
}

bool sb_target_sources_are_told(const struct sb_target *target) {
    const struct sb_target_sources *sources = target->sources;
    for (size_t i = 0; sources && i < sources->n; i++)
        if (sources->v[i].told)
            return true;
    return false;
}

/* ---- looking into an image ---- */

/* Tables of nothing, for layers that nobody has to look at. */
static void fill_up(struct source *source) {
    for (size_t i = 0; i < source->first; i++)
        if (!source->contents[i])
            source->contents[i] = sb_contents_from_writer(sb_contents_start());
}

static int open_down_to(struct sb_target *of, struct source *source, size_t first,
                        struct sb_error *err) {
    for (size_t i = first; i < source->first; i++) {
        sb_contents_close(source->contents[i]);
        source->contents[i] = NULL;
    }
    if (first < source->first &&
        sb_base_layers_contents(of->shop->store, &of->image, sb_target_root(of)->pinned, first,
                                source->first, source->contents, err) < 0)
        return sb_error_context(err, "%s", of->recipe->title);
    source->first = first;
    source->told = sb_base_layers_told(of->shop->store, &of->image, first);
    return 0;
}

/* Whether a layer says that there is a directory, so that nothing below is a link there. */
static bool says_directory(const struct source *source, const char *path) {
    struct sb_entry entry;
    for (size_t i = source->first; i < source->stack.n; i++)
        if (sb_contents_find(source->contents[i], path, &entry) && S_ISDIR(entry.mode))
            return true;
    return false;
}

enum settled { NOT_YET, SETTLED, NEVER };

/* What the layers that were looked at say of a path: a file or link there is one, whatever lies
 * below; of a directory each layer may have a part. */
static enum settled is_settled(const struct source *source, const char *path) {
    struct sb_entry entry;
    const struct sb_stack seen = {source->contents + source->first,
                                  source->stack.n - source->first};
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        sb_autofree char *above = sb_strndup(path, (size_t)(end - path));
        if (!sb_stack_find(&seen, above, &entry) || !says_directory(source, above))
            return NOT_YET;
        if (!S_ISDIR(entry.mode))
            return NEVER;
    }
    if (!sb_stack_find(&seen, path, &entry))
        return NOT_YET;
    return S_ISDIR(entry.mode) || entry.hard_link ? NEVER : SETTLED;
}

static enum settled are_settled(const struct source *source, const struct sb_strings *from) {
    enum settled all = SETTLED;
    for (size_t i = 0; i < from->n && all != NEVER; i++) {
        sb_autofree char *clean = sb_path_clean(from->v[i] + strspn(from->v[i], "/"));
        size_t n = strlen(from->v[i]);
        if (sb_pattern_has_wildcard(clean) || !strcmp(clean, ".") || from->v[i][n - 1] == '/')
            return NEVER;
        enum settled one = is_settled(source, clean);
        all = one == SETTLED ? all : one;
    }
    return all;
}

/* From the top, one after the other, while that may be all that has to be fetched. */
static int open_contents(struct sb_target *of, struct source *source, const struct sb_strings *from,
                         struct sb_error *err) {
    size_t n = of->image.layer_count;
    if (!source->contents) {
        source->contents = sb_alloc((n + 1) * sizeof *source->contents);
        source->first = n;
        source->stack = (struct sb_stack){source->contents, n};
    }
    bool absent = sb_base_layers_absent(of->shop->store, &of->image, true).count > 0;
    int failed = 0;
    for (enum settled so_far; source->first > 0 && !failed;) {
        so_far = absent ? are_settled(source, from) : NEVER;
        if (so_far == SETTLED)
            break;
        failed = open_down_to(of, source, so_far == NEVER ? 0 : source->first - 1, err);
    }
    fill_up(source);
    return failed;
}

static bool find_entry(void *data, const char *path, struct sb_entry *out) {
    const struct taken *taken = data;
    if (!sb_stack_find(&taken->source->stack, path, out))
        return false;
    sb_xattr_set_give(&taken->xattrs, out);
    return true;
}

/* The path as it is in the image, its links followed: but that of its last part, unless it ends in
 * "/", and none behind the first wildcard. *out_head gets what of it is to be laid out. */
static int resolve(const struct source *source, const char *from, struct sb_strings *out,
                   struct sb_strings *out_heads, struct sb_error *err) {
    sb_autofree char *clean = sb_path_clean(from + strspn(from, "/"));
    size_t n = strlen(from);
    bool whole = n > 0 && from[n - 1] == '/';
    char *rest = clean;
    for (char *p = clean; *p; p += strcspn(p, "/"), p += *p == '/') {
        sb_autofree char *part = sb_strndup(p, strcspn(p, "/"));
        rest = p;
        if (sb_pattern_has_wildcard(part))
            break;
        rest = p + strlen(part);
    }
    bool wild = *rest != '\0';
    char *split = wild || whole ? rest : strrchr(clean, '/') ? strrchr(clean, '/') + 1 : clean;
    if (!strcmp(clean, "."))
        split = clean + 1;
    sb_autofree char *head = sb_strndup(clean, (size_t)(split - clean));
    sb_autofree char *end = NULL;
    if (sb_stack_resolve(&source->stack, strcmp(head, ".") ? head : "", &end, err) < 0)
        return sb_error_context(err, "/%s", clean);
    sb_autofree char *joined = sb_format("%s%s%s", end, *end && *split ? "/" : "", split);
    sb_strings_add(out, *joined ? joined : ".");
    sb_strings_add(out_heads, wild ? end : joined);
    return 0;
}

/* A directory that lies in this process's own, until its end. */
static int make_directory(struct sb_store *store, struct sb_error *err) {
    sb_autofree char *path = sb_store_tmp_new(store, "taken", err);
    if (!path)
        return -1;
    if (mkdir(path, 0700) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    return sb_directory_open(AT_FDCWD, path, err);
}

static int lay_out(struct sb_target *of, struct taken *taken, const struct sb_strings *heads,
                   int fd, struct sb_error *err) {
    size_t bad;
    if (sb_extract_paths(of->shop->store, &of->image, &taken->source->stack, heads, fd,
                         &taken->xattrs, &bad, err) == 0)
        return 0;
    sb_target_reject(of, bad, err);
    return -1;
}

static const char *kind_of(const struct sb_origin *origin) {
    return origin->stage ? "the stage" : origin->recipe ? "the recipe" : "the image";
}

static int take(struct sb_target *target, struct taken *taken, struct sb_error *err) {
    const struct sb_placing *placing = sb_step_placing(taken->step);
    const struct sb_origin *origin = &placing->origin;
    struct sb_target *of = target->needs[origin->need];
    sb_autostrings struct sb_strings heads = {0};
    taken->source = &sources_of(target)->v[origin->need];
    if (open_contents(of, taken->source, &placing->from, err) < 0)
        return -1;
    for (size_t i = 0; i < placing->from.n; i++)
        if (resolve(taken->source, placing->from.v[i], &taken->tree.from, &heads, err) < 0)
            return -1;
    sb_autoclose int fd = make_directory(of->shop->store, err);
    if (fd < 0 || lay_out(of, taken, &heads, fd, err) < 0)
        return -1;
    sb_autofree char *title = sb_format("%s %s", kind_of(origin),
                                        origin->stage    ? origin->stage
                                        : origin->recipe ? origin->recipe
                                                         : origin->image);
    const struct sb_context_tree tree = {title, find_entry, taken};
    taken->tree.context = sb_context_of_tree(sb_steal_fd(&fd), &tree);
    return 0;
}

static const struct sb_copy_tree *tree_of(void *data, const struct sb_step *step,
                                          struct sb_error *err) {
    struct sb_target *target = data;
    struct sb_target_sources *sources = sources_of(target);
    for (size_t i = 0; i < sources->taken_n; i++)
        if (sources->taken[i]->step == step)
            return &sources->taken[i]->tree;
    struct taken *taken = sb_alloc(sizeof *taken);
    taken->step = step;
    if (take(target, taken, err) < 0) {
        free_taken(taken);
        return NULL;
    }
    SB_GROW(sources->taken, sources->taken_n, sources->taken_cap);
    sources->taken[sources->taken_n++] = taken;
    return &taken->tree;
}

const struct sb_copy_from *sb_target_sources(struct sb_target *target) {
    struct sb_copy_from *from = &sources_of(target)->from;
    *from = (struct sb_copy_from){target->context, tree_of, target};
    return from;
}
