/* from: what an image is built on. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/project.h"
#include "document/recipe_private.h"
#include "layers/import.h"

/* What the mapping form says, before it is known which kind it is. */
struct from_mapping {
    char *image, *recipe, *stage, *debian, *ubuntu, *mirror;
    struct sb_strings components, packages;
};

#define AT(member) offsetof(struct from_mapping, member)

static const struct sb_key keys[] = {
    {"image", SB_KEY_STRING, AT(image), .not_empty = true,
     .description = "An image: a reference with tag or digest, or oci:PATH[:TAG], "
                    "oci-archive:FILE, docker-archive:FILE."},
    {"recipe", SB_KEY_STRING, AT(recipe), .not_empty = true,
     .description = "Another recipe, relative to this one."},
    {"stage", SB_KEY_STRING, AT(stage), .rule = &sb_rule_name,
     .description = "A stage of this recipe."},
    {"debian", SB_KEY_STRING, AT(debian), .rule = &sb_rule_suite,
     .description = "A suite of Debian, bootstrapped from packages."},
    {"ubuntu", SB_KEY_STRING, AT(ubuntu), .rule = &sb_rule_suite,
     .description = "A suite of Ubuntu, bootstrapped from packages."},
    {"components", SB_KEY_STRINGS, AT(components), .rule = &sb_rule_component, .not_empty = true,
     .fallback = "[main]", .description = "Components of the archive, with debian or ubuntu."},
    {"packages", SB_KEY_STRINGS, AT(packages), .rule = &sb_rule_package,
     .description = "Packages beyond the minimum, with debian or ubuntu."},
    {"mirror", SB_KEY_STRING, AT(mirror), .rule = &sb_rule_url,
     .fallback = "the distribution's own",
     .description = "The archive, with debian or ubuntu; goes into the image's sources.list."},
    {0},
};

#define REFERENCE "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:@"

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && !strcmp(text + n - m, end);
}

static bool is_recipe(const char *text) {
    return ends_in(text, ".yaml") || ends_in(text, ".yml");
}

/* The path in "oci:PATH" is relative to the recipe; a reference stays as it is. */
static char *resolve_image(const struct sb_recipe *recipe, const char *text) {
    static const char *const transports[] = {"oci:", "oci-archive:", "docker-archive:"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(transports[i]);
        if (!strncmp(text, transports[i], n)) {
            sb_autofree char *path = sb_path_beside(recipe->path, text + n);
            return sb_format("%s%s", transports[i], path);
        }
    }
    return NULL;
}

/* What lies on this machine lies in the project. That it is missing is told when it is wanted. */
static void check_local(struct sb_reader *reader, const struct sb_recipe *recipe, const char *key,
                        const char *image, const struct sb_yaml *node) {
    struct sb_error why = {0};
    sb_autofree char *path = image ? sb_import_path(image) : NULL;
    sb_autofree char *real = path ? sb_project_resolve(recipe->project, path, &why) : NULL;
    struct stat st;
    if (path && !real && why.code == SB_E_RECIPE)
        sb_reader_outside(reader, node, key, &why);
    else if (real && stat(real, &st) == 0 && !S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        sb_reader_problem(reader, node, "key \"%s\": %s is neither a file nor a directory", key,
                          sb_text_shown(path).text);
}

static const char expected[] =
    "scratch, a recipe such as base.yaml, {image: …}, {stage: …}, {debian: …} or {ubuntu: …}";

static void read_string(struct sb_reader *reader, const struct sb_recipe *recipe, const char *text,
                        const struct sb_yaml *node, struct sb_from *from) {
    char *image = resolve_image(recipe, text);
    check_local(reader, recipe, "from", image, node);
    if (!strcmp(text, "scratch")) {
        from->kind = SB_FROM_SCRATCH;
    } else if (image) {
        from->kind = SB_FROM_IMAGE;
        from->image = image;
    } else if (is_recipe(text)) {
        from->kind = SB_FROM_RECIPE;
        from->recipe = sb_path_beside(recipe->path, text);
    } else {
        bool reference =
            strpbrk(text, "/:") && !strstr(text, "://") && !text[strspn(text, REFERENCE)];
        const char *words[] = {"scratch", NULL};
        const char *nearest = sb_text_nearest(text, words);
        sb_autofree char *guess = reference ? sb_format("{image: %.80s}", text)
                                  : nearest ? sb_strdup(nearest)
                                            : NULL;
        sb_reader_problem(reader, node, "key \"from\": expected %s, found %s%s%s%s", expected,
                          sb_text_shown(text).text, guess ? " (did you mean " : "",
                          guess ? guess : "", guess ? "?)" : "");
    }
}

static void take_bootstrap(struct from_mapping *said, struct sb_from *from) {
    from->kind = SB_FROM_BOOTSTRAP;
    from->bootstrap.distribution = sb_strdup(said->debian ? "debian" : "ubuntu");
    from->bootstrap.suite = sb_strdup(said->debian ? said->debian : said->ubuntu);
    if (!said->components.n)
        sb_strings_add(&said->components, "main");
    from->bootstrap.components = said->components;
    from->bootstrap.packages = said->packages;
    from->bootstrap.mirror = sb_steal(said->mirror);
    said->components = said->packages = (struct sb_strings){0};
}

/* Keys that only make sense for a distribution. */
static void check_mapping(struct sb_reader *reader, const struct sb_yaml *node) {
    static const char *const kinds[] = {"image", "recipe", "stage", "debian", "ubuntu"};
    static const char *const details[] = {"components", "packages", "mirror"};
    int count = 0;
    for (int i = 0; i < 5; i++)
        count += sb_yaml_get(node, kinds[i]) != NULL;
    if (count != 1)
        sb_reader_problem(reader, node,
                          "key \"from\": expected one of image, recipe, stage, debian and ubuntu, "
                          "found %s",
                          count ? "several" : "none");
    else if (!sb_yaml_get(node, "debian") && !sb_yaml_get(node, "ubuntu"))
        for (int i = 0; i < 3; i++)
            if (sb_yaml_get(node, details[i]))
                sb_reader_problem(reader, sb_yaml_get(node, details[i]),
                                  "key \"%s\": has a meaning only with debian or ubuntu",
                                  details[i]);
}

char *sb_from_image(struct sb_reader *reader, const struct sb_recipe *recipe, const char *key,
                    const char *text, const struct sb_yaml *node) {
    char *local = resolve_image(recipe, text);
    check_local(reader, recipe, key, local, node);
    return local ? local : sb_strdup(text);
}

static void read_mapping(struct sb_reader *reader, const struct sb_recipe *recipe,
                         const struct sb_yaml *node, struct sb_from *from) {
    struct from_mapping said = {0};
    sb_schema_read(reader, keys, "from", node, &said);
    check_mapping(reader, node);
    if (said.image) {
        from->kind = SB_FROM_IMAGE;
        from->image = sb_from_image(reader, recipe, "from", said.image, sb_yaml_get(node, "image"));
    } else if (said.stage) {
        from->kind = SB_FROM_STAGE;
        from->stage = sb_steal(said.stage);
    } else if (said.recipe) {
        from->kind = SB_FROM_RECIPE;
        from->recipe = sb_path_beside(recipe->path, said.recipe);
    } else if (said.debian || said.ubuntu) {
        take_bootstrap(&said, from);
    }
    sb_schema_free(keys, &said);
}

void sb_from_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                  void *target) {
    struct sb_recipe *recipe = target;
    recipe->from.place = (struct sb_place){recipe->path, node->line, node->column};
    if (node->type == SB_YAML_MAPPING) {
        read_mapping(reader, recipe, node, &recipe->from);
        return;
    }
    sb_autofree char *text = sb_schema_text(reader, key, node);
    if (text)
        read_string(reader, recipe, text, node, &recipe->from);
}

static json_t *without_details(void) {
    return json_pack("{s:{s:b, s:b, s:b}}", "properties", "components", 0, "packages", 0, "mirror",
                     0);
}

json_t *sb_from_schema(const struct sb_key *key) {
    (void)key;
    json_t *mapping = sb_schema_of_keys(keys);
    json_object_set_new(mapping, "oneOf",
                        json_pack("[{s:[s]},{s:[s]},{s:[s]},{s:[s]},{s:[s]}]", "required", "image",
                                  "required", "recipe", "required", "stage", "required", "debian",
                                  "required", "ubuntu"));
    json_object_set_new(mapping, "dependentSchemas",
                        json_pack("{s:o, s:o, s:o}", "image", without_details(), "recipe",
                                  without_details(), "stage", without_details()));
    return json_pack("{s:[{s:s,s:s},{s:s},o]}", "anyOf", "type", "string", "pattern",
                     "^(scratch|(oci|oci-archive|docker-archive):.*|.+[.]ya?ml)$", "$ref",
                     "#/$defs/substituted", mapping);
}

void sb_from_free(struct sb_from *from) {
    free(from->recipe);
    free(from->image);
    free(from->stage);
    free(from->bootstrap.distribution);
    free(from->bootstrap.suite);
    free(from->bootstrap.mirror);
    sb_strings_free(&from->bootstrap.components);
    sb_strings_free(&from->bootstrap.packages);
}
