/*
 * A recipe with all that it needs: those that it stands on, and what steps copy from.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/arguments.h"
#include "document/environment.h"
#include "document/project.h"
#include "document/recipe_files.h"
#include "document/recipe_private.h"

struct sb_recipe_family {
    const struct sb_project *project; /* of the top one, of files; NULL: not found yet */
    struct sb_recipe_files *files;    /* its own; or NULL */
    struct sb_recipe **v;             /* all that were made */
    size_t n, cap;
    struct sb_recipe **ordered; /* those that are complete, each after what it needs */
    size_t ordered_n, ordered_cap;
};

/* One load. */
struct load {
    const struct sb_recipe_options *options;
    struct sb_recipe_setting setting;
    struct sb_recipe_family *family;
    struct sb_recipe_files *files;
    struct loading { /* files that are not complete: each is named by the one before */
        struct sb_recipe *recipe;
        const struct sb_recipe_file *file;
        const char *key; /* by which it is named */
    } loading[SB_RECIPE_DEPTH_LIMIT];
    size_t depth;
    struct loaded {
        struct sb_recipe *recipe;
        const struct sb_recipe_file *file;
    } * loaded;
    size_t loaded_n, loaded_cap;
    struct sb_error *err;
};

/* ---- the family ---- */

struct sb_recipe *sb_recipe_new(struct sb_recipe_family *family, enum sb_recipe_kind kind) {
    struct sb_recipe *recipe = sb_alloc(sizeof *recipe);
    recipe->kind = kind;
    recipe->family = family;
    recipe->project = family->project;
    SB_GROW(family->v, family->n, family->cap);
    family->v[family->n++] = recipe;
    return recipe;
}

size_t sb_recipe_add_need(struct sb_recipe *recipe, struct sb_recipe *needed) {
    for (size_t i = 0; i < recipe->need_count; i++)
        if (recipe->needs[i] == needed)
            return i;
    SB_GROW(recipe->needs, recipe->need_count, recipe->need_cap);
    recipe->needs[recipe->need_count] = needed;
    return recipe->need_count++;
}

struct sb_recipe *const *sb_recipe_all(const struct sb_recipe *recipe, size_t *out_count) {
    *out_count = recipe->family->ordered_n;
    return recipe->family->ordered;
}

static void free_one(struct sb_recipe *recipe) {
    sb_layers_free(recipe);
    sb_tests_free(recipe);
    sb_from_free(&recipe->from);
    sb_pairs_free(&recipe->args);
    sb_schema_free(sb_build_keys, recipe);
    if (recipe->kind == SB_RECIPE_FILE)
        sb_schema_free(sb_recipe_keys, recipe);
    else
        sb_stage_free(recipe);
    free(recipe->title);
    free(recipe->path);
    free(recipe->stages);
    free(recipe->needs);
    free(recipe);
}

static void free_family(struct sb_recipe_family *family) {
    for (size_t i = 0; i < family->n; i++)
        free_one(family->v[i]);
    sb_recipe_files_free(family->files);
    free(family->v);
    free(family->ordered);
    free(family);
}

static void complete(struct load *load, struct sb_recipe *recipe) {
    struct sb_recipe_family *family = load->family;
    SB_GROW(family->ordered, family->ordered_n, family->ordered_cap);
    family->ordered[family->ordered_n++] = recipe;
}

/* ---- finding it ---- */

/* What the recipe that was asked for may name, and those that it needs. */
static int find_project(struct load *load, const char *path) {
    const struct sb_recipe_options *options = load->options;
    struct sb_project_trust trust = {options ? options->allowed : NULL,
                                     options ? options->trusted : NULL};
    sb_autofree char *directory = sb_path_dirname(path);
    struct sb_error missing = {0};
    load->family->project = sb_recipe_files_project(load->files, directory, &trust, &missing);
    if (load->family->project || missing.code == SB_E_NOT_FOUND || missing.code == SB_E_IO)
        return 0; /* what is missing is told when the recipe is read */
    *load->err = missing;
    return -1;
}

/* ---- one file after another ---- */

/* Where a recipe is named. */
struct reference {
    const struct sb_place *place;
    const char *key;
};

/* "a.yaml → b.yaml → a.yaml", from where the circle closes. */
static int fail_circle(struct load *load, const struct reference *by, size_t start) {
    sb_autobuf struct sb_buf names = {0};
    bool bases = !strcmp(by->key, "from");
    for (size_t i = start; i < load->depth; i++) {
        sb_buf_addf(&names, "%s → ", load->loading[i].recipe->path);
        bases = bases && (i == start || !strcmp(load->loading[i].key, "from"));
    }
    sb_buf_adds(&names, load->loading[start].recipe->path);
    return sb_fail(load->err, SB_E_RECIPE, "%s:%d:%d: key \"%s\": recipes that %s each other: %s",
                   by->place->file, by->place->line, by->place->column, by->key,
                   bases ? "are built on" : "need", sb_buf_text(&names));
}

/* A place to blame for what is wrong with a recipe that is needed. */
static int fail_named(struct load *load, const struct reference *by, const char *message) {
    struct sb_error *err = load->err;
    sb_autofree char *plain = sb_strdup(message);
    sb_autofree char *hint = err->hint[0] ? sb_format(" (%s)", err->hint) : sb_strdup("");
    sb_recipe_make_plain(plain);
    return sb_fail(err, SB_E_RECIPE, "%s:%d:%d: key \"%s\": %s%s", by->place->file, by->place->line,
                   by->place->column, by->key, plain, hint);
}

static bool is_same(const struct sb_recipe_file *a, const struct sb_recipe_file *b) {
    return a->device == b->device && a->inode == b->inode;
}

static int find_needs(struct load *load, struct sb_recipe *file);

static int load_one(struct load *load, const char *path, const struct reference *by,
                    struct sb_recipe **out) {
    struct sb_recipe_file *file;
    if (sb_recipe_files_read(load->files, load->family->project, path, &file, load->err) < 0) {
        sb_autofree char *message = sb_strdup(load->err->message);
        return load->depth ? fail_named(load, by, message) : -1;
    }
    for (size_t i = 0; i < load->depth; i++)
        if (is_same(load->loading[i].file, file))
            return fail_circle(load, by, i);
    for (size_t i = 0; i < load->loaded_n; i++) {
        *out = load->loaded[i].recipe;
        if (is_same(load->loaded[i].file, file))
            return 0;
    }
    if (load->depth == SB_RECIPE_DEPTH_LIMIT)
        return fail_named(load, by, "too many recipes on top of one another");
    if (load->family->n > SB_RECIPE_COUNT_LIMIT)
        return fail_named(load, by, "too many recipes, stages and images are needed");
    const struct sb_yaml *root = sb_recipe_file_root(file, load->err);
    if (!root)
        return -1;
    *out = sb_recipe_new(load->family, SB_RECIPE_FILE);
    (*out)->path = sb_strdup(path);
    if (sb_recipe_read(&load->setting, root, *out, load->err) < 0)
        return -1;
    load->loading[load->depth++] = (struct loading){*out, file, by->key};
    if (find_needs(load, *out) < 0)
        return -1;
    load->depth--;
    SB_GROW(load->loaded, load->loaded_n, load->loaded_cap);
    load->loaded[load->loaded_n++] = (struct loaded){*out, file};
    return 0;
}

/* ---- what a file needs ---- */

/* An image that steps copy from: one for all that name it so in one file, as a lock file is the
 * file's. */
static struct sb_recipe *image_of(struct load *load, const struct sb_recipe *by,
                                  const struct sb_origin *origin) {
    const struct sb_recipe_family *family = load->family;
    for (size_t i = 0; i < family->n; i++)
        if (family->v[i]->kind == SB_RECIPE_IMAGE && !strcmp(family->v[i]->path, by->path) &&
            !strcmp(family->v[i]->from.image, origin->image))
            return family->v[i];
    struct sb_recipe *image = sb_recipe_new(load->family, SB_RECIPE_IMAGE);
    image->path = sb_strdup(by->path);
    image->title = sb_strdup(origin->image);
    image->name = sb_strdup(by->name);
    image->context = sb_strdup(by->context);
    image->from = (struct sb_from){
        .kind = SB_FROM_IMAGE, .place = origin->place, .image = sb_strdup(origin->image)};
    complete(load, image);
    return image;
}

static int find_origin(struct load *load, struct sb_recipe *recipe, struct sb_origin *origin) {
    struct sb_recipe *needed = NULL;
    if (origin->recipe) {
        const struct reference by = {&origin->place, "recipe"};
        sb_autofree char *path = sb_path_beside(recipe->path, origin->recipe);
        if (load_one(load, path, &by, &needed) < 0)
            return -1;
    } else if (origin->image) {
        needed = image_of(load, recipe, origin);
    }
    if (needed)
        origin->need = sb_recipe_add_need(recipe, needed);
    return 0;
}

static int find_needs_of(struct load *load, struct sb_recipe *recipe) {
    const struct reference by = {&recipe->from.place, "from"};
    if (recipe->from.kind == SB_FROM_RECIPE) {
        if (load_one(load, recipe->from.recipe, &by, &recipe->base) < 0)
            return -1;
        sb_recipe_add_need(recipe, recipe->base);
    }
    for (size_t l = 0; l < recipe->layer_count; l++)
        for (size_t s = 0; s < recipe->layers[l].step_count; s++) {
            struct sb_origin *origin;
            for (size_t n = 0; (origin = sb_step_origin(&recipe->layers[l].steps[s], n)); n++)
                if (find_origin(load, recipe, origin) < 0)
                    return -1;
        }
    complete(load, recipe);
    return 0;
}

static int find_needs(struct load *load, struct sb_recipe *file) {
    for (size_t i = 0; i < file->stage_count; i++)
        if (find_needs_of(load, file->stages[i]) < 0)
            return -1;
    return find_needs_of(load, file);
}

/* ---- what they say together ---- */

static int check_layers(const struct load *load) {
    size_t all;
    struct sb_recipe *const *recipes = sb_recipe_all(load->family->v[0], &all);
    for (size_t i = 0; i < all; i++) {
        size_t count = 0;
        for (const struct sb_recipe *r = recipes[i]; r; r = r->base)
            count += r->layer_count;
        if (count <= SB_LAYER_LIMIT)
            continue;
        const struct sb_place *place = &recipes[i]->from.place;
        return sb_fail(
            load->err, SB_E_RECIPE,
            "%s:%d:%d: key \"from\": %zu layers together with the recipes below (expected at "
            "most %d; put several steps into one layer)",
            place->file, place->line, place->column, count, SB_LAYER_LIMIT);
    }
    return 0;
}

/* What the variables of a recipe and those below it say of one another, where no image below has
 * further ones that only it knows. */
static int add_variables(struct load *load, const struct sb_recipe *recipe, struct sb_pairs *env) {
    if (recipe->base && add_variables(load, recipe->base, env) < 0)
        return -1;
    return sb_environment_add(env, &recipe->image.env, &recipe->args, NULL, recipe->path,
                              load->err);
}

static int check_variables(struct load *load) {
    size_t all;
    struct sb_recipe *const *recipes = sb_recipe_all(load->family->v[0], &all);
    int failed = 0;
    for (size_t i = 0; i < all && !failed; i++) {
        const struct sb_recipe *lowest = recipes[i];
        struct sb_pairs env = {0};
        while (lowest->base)
            lowest = lowest->base;
        if (lowest->from.kind != SB_FROM_IMAGE)
            failed = add_variables(load, recipes[i], &env);
        sb_pairs_free(&env);
    }
    return failed;
}

/* Every --set must have met an arg. */
static int check_set(const struct load *load) {
    const struct sb_recipe_family *family = load->family;
    const struct sb_pairs *set = load->setting.set;
    for (size_t i = 0; set && i < set->n; i++) {
        if (load->setting.used[i])
            continue;
        if (sb_argument_is_platform(set->v[i].name)) {
            sb_fail(load->err, SB_E_USAGE, "--set %s: it can't be set: it is what is built for",
                    set->v[i].name);
            return -1;
        }
        sb_autostrings struct sb_strings names = {0};
        for (size_t r = 0; r < family->n; r++)
            for (size_t a = 0; a < family->v[r]->args.n; a++)
                sb_strings_add(&names, family->v[r]->args.v[a].name);
        const char *nearest =
            names.n ? sb_text_nearest(set->v[i].name, (const char *const *)names.v) : NULL;
        sb_fail(load->err, SB_E_RECIPE,
                "--set %s: no args of %s, or of a recipe below it, have that "
                "name%s%s%s",
                set->v[i].name, family->v[0]->path, nearest ? " (did you mean " : "",
                nearest ? nearest : "", nearest ? "?)" : "");
        return -1;
    }
    return 0;
}

int sb_recipe_load(const char *path, const struct sb_recipe_options *options,
                   struct sb_recipe **out, struct sb_error *err) {
    struct sb_error ignored;
    struct load load = {.options = options, .err = err ? err : &ignored};
    load.setting.set = options ? options->set : NULL;
    load.setting.platform = options ? options->platform : NULL;
    sb_autofree bool *used = sb_alloc((load.setting.set ? load.setting.set->n : 0) + 1);
    load.setting.used = used;
    load.family = sb_alloc(sizeof *load.family);
    load.files = options ? options->files : NULL;
    if (!load.files)
        load.files = load.family->files = sb_recipe_files_new();
    struct sb_recipe *recipe = NULL;
    const struct sb_place start = {path, 1, 1};
    const struct reference asked = {&start, "recipe"};
    int failed = find_project(&load, path) < 0 || load_one(&load, path, &asked, &recipe) < 0 ||
                 check_layers(&load) < 0 || check_set(&load) < 0 || check_variables(&load) < 0;
    free(load.loaded);
    if (failed) {
        free_family(load.family);
        return -1;
    }
    *out = recipe;
    return 0;
}

int sb_recipe_load_file(const char *path, const struct sb_recipe_options *options,
                        struct sb_recipe_file **out, struct sb_error *err) {
    struct load load = {.options = options, .files = options->files, .err = err};
    load.family = sb_alloc(sizeof *load.family);
    int failed = find_project(&load, path);
    if (!failed)
        failed = sb_recipe_files_read(load.files, load.family->project, path, out, err);
    free_family(load.family);
    return failed;
}

struct sb_recipe *sb_recipe_counterpart(const struct sb_recipe *recipe,
                                        const struct sb_recipe *of) {
    const struct sb_recipe_family *family = of->family;
    for (size_t i = 0; i < family->n; i++) {
        struct sb_recipe *one = family->v[i];
        if (one->kind != recipe->kind || strcmp(one->path, recipe->path) != 0)
            continue;
        if (one->kind == SB_RECIPE_FILE ||
            (one->kind == SB_RECIPE_STAGE && !strcmp(one->name, recipe->name)) ||
            (one->kind == SB_RECIPE_IMAGE && !strcmp(one->from.image, recipe->from.image)))
            return one;
    }
    return NULL;
}

void sb_recipe_free(struct sb_recipe *recipe) {
    if (recipe)
        free_family(recipe->family);
}
