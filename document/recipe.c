#include "document/recipe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/yaml.h"
#include "document/environment.h"
#include "document/project.h"
#include "document/recipe_private.h"
#include "layers/entry.h"

/* One load of a recipe and those below it. */
struct load {
    const struct sb_recipe_options *options;
    struct sb_project *project;                     /* of the top one; NULL: not found yet */
    bool *set_used;                                 /* of each of options->set */
    struct sb_recipe *chain[SB_RECIPE_DEPTH_LIMIT]; /* top first; not owned */
    struct file_id {
        dev_t device;
        ino_t inode;
    } ids[SB_RECIPE_DEPTH_LIMIT];
    size_t depth;
    struct sb_error *err;
};

/* ---- finding and reading the file ---- */

/* Names the recipe beside a missing one that has nearly its name. */
static void hint_nearest(struct sb_error *err, const char *path) {
    sb_autofree char *dirname = sb_path_dirname(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    sb_autofree char *stem = sb_strndup(name, strcspn(name, "."));
    sb_autoclosedir DIR *dir = opendir(dirname);
    sb_autostrings struct sb_strings files = {0}, stems = {0};
    struct dirent *e;
    while (dir && files.n < 200 && (e = readdir(dir))) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && dot != e->d_name && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml")))
            sb_strings_add(&files, e->d_name);
    }
    sb_strings_sort(&files);
    for (size_t i = 0; i < files.n; i++)
        sb_strings_take(&stems, sb_strndup(files.v[i], strcspn(files.v[i], ".")));
    const char *nearest = stems.n ? sb_text_nearest(stem, (const char *const *)stems.v) : NULL;
    for (size_t i = 0; nearest && i < stems.n; i++)
        if (stems.v[i] == nearest)
            sb_error_hint(err, "did you mean %.*s%s?", (int)(name - path), path, files.v[i]);
}

/* Also finds out which file it is. */
static int read_file(const struct sb_project *project, const char *path, struct sb_buf *text,
                     struct file_id *id, struct sb_error *err) {
    struct stat st;
    sb_autofree char *real = project ? sb_project_resolve(project, path, err) : NULL;
    if (project && !real && err->code != SB_E_NOT_FOUND)
        return -1;
    if (!strcmp(path, "-"))
        return sb_fail(err, SB_E_USAGE,
                       "a recipe can't come from standard input: paths in it are relative to its "
                       "file");
    if (stat(path, &st) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return sb_fail_errno(err, SB_E_IO, "%s", path);
        sb_fail(err, SB_E_NOT_FOUND, "%s: there is no such recipe", path);
        hint_nearest(err, path);
        return -1;
    }
    if (!S_ISREG(st.st_mode))
        return sb_fail(err, SB_E_RECIPE, "%s: not a file (expected a recipe)", path);
    if (st.st_size > SB_RECIPE_SIZE_LIMIT)
        return sb_fail(err, SB_E_RECIPE, "%s:1:1: %s long (expected a recipe of at most %s)", path,
                       sb_text_size((uint64_t)st.st_size).text,
                       sb_text_size(SB_RECIPE_SIZE_LIMIT).text);
    if (!project) /* its directory went, and came back */
        return sb_fail(err, SB_E_IO, "%s: its directory can't be looked up", path);
    if (sb_project_read(project, path, SB_RECIPE_SIZE_LIMIT, text, &st, err) < 0)
        return -1;
    *id = (struct file_id){st.st_dev, st.st_ino};
    return 0;
}

/* What the recipe that was asked for may name, and those that it stands on. */
static int find_project(struct load *load, const char *path) {
    const struct sb_recipe_options *options = load->options;
    struct sb_project_trust trust = {options ? options->allowed : NULL,
                                     options ? options->trusted : NULL};
    sb_autofree char *directory = sb_path_dirname(path);
    struct sb_error missing = {0};
    struct sb_project *project = sb_alloc(sizeof *project);
    if (sb_project_find(directory, &trust, project, &missing) == 0) {
        load->project = project;
        return 0;
    }
    free(project);
    if (missing.code == SB_E_NOT_FOUND || missing.code == SB_E_IO)
        return 0; /* told when the recipe is read */
    *load->err = missing;
    return -1;
}

/* ---- one file ---- */

static const char *set_value(struct load *load, const char *name) {
    const struct sb_pairs *set = load->options ? load->options->set : NULL;
    const char *value = NULL;
    for (size_t i = 0; set && i < set->n; i++) {
        if (!strcmp(set->v[i].name, name)) {
            load->set_used[i] = true;
            value = set->v[i].value;
        }
    }
    return value;
}

/* args: come first, as everything else may use them; each may use those above it. */
static void read_args(struct load *load, struct sb_reader *reader, const struct sb_yaml *node,
                      struct sb_recipe *recipe) {
    if (node->type != SB_YAML_MAPPING || node->count > SB_RECIPE_ARG_LIMIT) {
        sb_reader_problem(reader, node,
                          "key \"args\": expected a mapping of at most %d names to values, "
                          "found %s",
                          SB_RECIPE_ARG_LIMIT,
                          node->type == SB_YAML_MAPPING ? "more" : sb_yaml_type_name(node));
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct sb_yaml *name = node->items[2 * i];
        struct sb_key key = {.name = name->text};
        if (!sb_schema_check(reader, "args", &sb_rule_env, name->text, name))
            continue;
        sb_autofree char *fallback = sb_schema_text(reader, &key, node->items[2 * i + 1]);
        const char *set = set_value(load, name->text);
        if (fallback)
            sb_pairs_set(&recipe->args, name->text, set ? set : fallback);
    }
}

/* For a line of a list of mistakes: it holds paths that the recipe names. */
static void make_plain(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            *text = '?';
}

void sb_reader_outside(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                       const struct sb_error *why) {
    sb_autofree char *text = sb_format("%s (%s)", why->message, why->hint);
    make_plain(text);
    sb_reader_problem(reader, node, "key \"%s\": %s", key, text);
}

static bool is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void check_context(struct sb_reader *reader, const struct sb_yaml *root,
                          struct sb_recipe *recipe) {
    const struct sb_yaml *node = sb_yaml_get(root, "context");
    sb_autofree char *said = sb_steal(recipe->context);
    if (!said) {
        recipe->context = sb_path_dirname(recipe->path);
        return;
    }
    recipe->context = sb_path_beside(recipe->path, said);
    struct sb_error why = {0};
    sb_autofree char *real = sb_project_resolve(recipe->project, recipe->context, &why);
    if (!real && why.code == SB_E_RECIPE)
        sb_reader_outside(reader, node, "context", &why);
    else if (!real || !is_directory(real))
        sb_reader_problem(reader, node,
                          "key \"context\": there is no directory %s (it is relative "
                          "to the recipe's)",
                          sb_text_shown(recipe->context).text);
}

/* Ports without a protocol are of TCP. */
static void finish_image(struct sb_recipe_image *image) {
    for (size_t i = 0; i < image->ports.n; i++) {
        if (!strchr(image->ports.v[i], '/')) {
            char *port = sb_format("%s/tcp", image->ports.v[i]);
            free(image->ports.v[i]);
            image->ports.v[i] = port;
        }
    }
}

static int read_recipe(struct load *load, const struct sb_yaml *root, struct sb_recipe *recipe) {
    struct sb_reader reader = {.file = recipe->path, .args = &recipe->args};
    const struct sb_yaml *args = sb_yaml_get(root, "args");
    const struct sb_yaml *service = sb_yaml_get(root, "service");
    const struct sb_yaml *tests = sb_yaml_get(root, "test");
    if (root->type != SB_YAML_MAPPING) {
        sb_reader_problem(&reader, root, "expected keys such as name: and from:, found %s",
                          sb_yaml_type_name(root));
        return sb_reader_finish(&reader, load->err);
    }
    if (args)
        read_args(load, &reader, args, recipe);
    sb_schema_read(&reader, sb_recipe_keys, "recipe", root, recipe);
    check_context(&reader, root, recipe);
    finish_image(&recipe->image);
    sb_image_check(&reader, sb_yaml_get(root, "image"), recipe);
    if (tests)
        sb_tests_check(&reader, tests, recipe);
    if (service)
        sb_service_check(&reader, service, recipe);
    return sb_reader_finish(&reader, load->err);
}

/* ---- chains ---- */

/* "a.yaml → b.yaml → a.yaml", from where the circle closes. */
static int fail_circle(struct load *load, size_t start) {
    sb_autobuf struct sb_buf names = {0};
    for (size_t i = start; i < load->depth; i++)
        sb_buf_addf(&names, "%s → ", load->chain[i]->path);
    sb_buf_adds(&names, load->chain[start]->path);
    const struct sb_place *place = &load->chain[load->depth - 1]->from.place;
    return sb_fail(load->err, SB_E_RECIPE,
                   "%s:%d:%d: key \"from\": recipes that are built on each other: %s", place->file,
                   place->line, place->column, sb_buf_text(&names));
}

/* A place to blame for what is wrong with a recipe as a base. */
static int fail_from(struct load *load, char *message) {
    make_plain(message);
    const struct sb_place *place = &load->chain[load->depth - 1]->from.place;
    struct sb_error *err = load->err;
    sb_autofree char *hint = err->hint[0] ? sb_format(" (%s)", err->hint) : sb_strdup("");
    return sb_fail(err, SB_E_RECIPE, "%s:%d:%d: key \"from\": %s%s", place->file, place->line,
                   place->column, message, hint);
}

static int load_base(struct load *load, struct sb_recipe *recipe);

static int load_one(struct load *load, const char *path, struct sb_recipe **out) {
    sb_autobuf struct sb_buf text = {0};
    struct file_id id = {0};
    if (read_file(load->project, path, &text, &id, load->err) < 0) {
        sb_autofree char *message = sb_strdup(load->err ? load->err->message : "");
        return load->depth ? fail_from(load, message) : -1;
    }
    for (size_t i = 0; i < load->depth; i++)
        if (load->ids[i].device == id.device && load->ids[i].inode == id.inode)
            return fail_circle(load, i);
    if (load->depth == SB_RECIPE_DEPTH_LIMIT)
        return fail_from(load, (char[]){"too many recipes on top of one another"});
    struct sb_yaml_document *document;
    if (sb_yaml_parse(sb_buf_text(&text), text.len, path, &document, load->err) < 0)
        return -1;
    struct sb_recipe *recipe = *out = sb_alloc(sizeof *recipe);
    recipe->path = sb_strdup(path);
    recipe->project = load->project;
    int result = read_recipe(load, sb_yaml_root(document), recipe);
    sb_yaml_free(document);
    if (result < 0)
        return -1;
    load->ids[load->depth] = id;
    load->chain[load->depth++] = recipe;
    return recipe->from.kind == SB_FROM_RECIPE ? load_base(load, recipe) : 0;
}

static int load_base(struct load *load, struct sb_recipe *recipe) {
    return load_one(load, recipe->from.recipe, &recipe->base);
}

static int check_layers(const struct load *load) {
    size_t count = 0;
    for (size_t i = 0; i < load->depth; i++)
        count += load->chain[i]->layer_count;
    if (count <= SB_LAYER_LIMIT)
        return 0;
    const struct sb_place *place = &load->chain[0]->from.place;
    return sb_fail(
        load->err, SB_E_RECIPE,
        "%s:%d:%d: key \"from\": %zu layers together with the recipes below (expected at "
        "most %d; put several steps into one layer)",
        place->file, place->line, place->column, count, SB_LAYER_LIMIT);
}

/* What the variables of recipes say of one another, where no image below has further ones that only
 * it knows. */
static int check_variables(const struct load *load) {
    struct sb_pairs env = {0};
    int failed = 0;
    if (load->chain[load->depth - 1]->from.kind == SB_FROM_IMAGE)
        return 0;
    for (size_t i = load->depth; i-- > 0 && !failed;) {
        const struct sb_recipe *recipe = load->chain[i];
        failed = sb_environment_add(&env, &recipe->image.env, &recipe->args, NULL, recipe->path,
                                    load->err);
    }
    sb_pairs_free(&env);
    return failed;
}

/* Every --set must have met an arg. */
static int check_set(const struct load *load) {
    const struct sb_pairs *set = load->options ? load->options->set : NULL;
    for (size_t i = 0; set && i < set->n; i++) {
        if (load->set_used[i])
            continue;
        sb_autostrings struct sb_strings names = {0};
        for (size_t r = 0; r < load->depth; r++)
            for (size_t a = 0; a < load->chain[r]->args.n; a++)
                sb_strings_add(&names, load->chain[r]->args.v[a].name);
        const char *nearest =
            names.n ? sb_text_nearest(set->v[i].name, (const char *const *)names.v) : NULL;
        sb_fail(load->err, SB_E_RECIPE,
                "--set %s: no args of %s, or of a recipe below it, have that "
                "name%s%s%s",
                set->v[i].name, load->chain[0]->path, nearest ? " (did you mean " : "",
                nearest ? nearest : "", nearest ? "?)" : "");
        return -1;
    }
    return 0;
}

static void free_project(const struct sb_project *project) {
    if (project)
        sb_project_free((struct sb_project *)project);
    free((struct sb_project *)project);
}

int sb_recipe_load(const char *path, const struct sb_recipe_options *options,
                   struct sb_recipe **out, struct sb_error *err) {
    struct sb_error ignored;
    struct load load = {.options = options, .err = err ? err : &ignored};
    size_t set_count = options && options->set ? options->set->n : 0;
    sb_autofree bool *set_used = sb_alloc(set_count + 1);
    load.set_used = set_used;
    struct sb_recipe *recipe = NULL;
    if (find_project(&load, path) < 0)
        return -1;
    if (load_one(&load, path, &recipe) < 0 || check_layers(&load) < 0 || check_set(&load) < 0 ||
        check_variables(&load) < 0) {
        if (!recipe)
            free_project(load.project);
        sb_recipe_free(recipe);
        return -1;
    }
    *out = recipe;
    return 0;
}

void sb_recipe_free(struct sb_recipe *recipe) {
    if (recipe)
        free_project(recipe->project);
    while (recipe) {
        struct sb_recipe *base = recipe->base;
        sb_layers_free(recipe);
        sb_tests_free(recipe);
        sb_from_free(&recipe->from);
        sb_pairs_free(&recipe->args);
        sb_schema_free(sb_recipe_keys, recipe);
        free(recipe->path);
        free(recipe);
        recipe = base;
    }
}
