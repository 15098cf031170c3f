/* The keys of a recipe, and what a table can't say of them. */
#include "document/recipe_private.h"

#include <string.h>

#include "base/json.h"

#define AT(member)    offsetof(struct sb_recipe, member)
#define IMAGE(member) offsetof(struct sb_recipe, image.member)

static const struct sb_key repository_keys[] = {
    {"name", SB_KEY_STRING, IMAGE(repository), .required = true, .shorthand = true,
     .rule = &sb_rule_repository,
     .description = "Where the image is pushed to and what it is called, without tag."},
    {"create", SB_KEY_BOOL, IMAGE(ecr.create), .fallback = "false",
     .description = "ECR: a push makes the repository when it is missing, as the keys below say."},
    {"scan_on_push", SB_KEY_BOOL, IMAGE(ecr.scan_on_push), .fallback = "false",
     .description = "ECR: images are scanned for known vulnerabilities."},
    {"immutable_tags", SB_KEY_BOOL, IMAGE(ecr.immutable_tags), .fallback = "false",
     .description = "ECR: a tag can't be moved to another image."},
    {"lifecycle_keep", SB_KEY_INTEGER, IMAGE(ecr.lifecycle_keep), .least = 1, .most = 100000,
     .fallback = "all",
     .description = "ECR: how many images are kept; the oldest beyond them expire."},
    {0},
};

static const struct sb_key image_keys[] = {
    {"repository", SB_KEY_MAPPING, 0, .keys = repository_keys,
     .description = "Where the image is pushed to and what it is called, without tag."},
    {"user", SB_KEY_STRING, IMAGE(user), .rule = &sb_rule_user, .fallback = "the base's",
     .description = "The user that the program runs as: name or UID, with :GROUP if needed."},
    {"workdir", SB_KEY_STRING, IMAGE(workdir), .rule = &sb_rule_absolute, .fallback = "the base's",
     .description = "The directory that the program starts in."},
    {"env", SB_KEY_PAIRS, IMAGE(env), .rule = &sb_rule_env, .most = 1000, .variables = true,
     .description = "Environment variables, added to the base's; $NAME in a value is the base's, "
                    "or one above."},
    {"path", SB_KEY_STRINGS, IMAGE(path), .rule = &sb_rule_search, .most = 100,
     .description = "Directories with programs, before those of the base's PATH."},
    {"entrypoint", SB_KEY_STRINGS, IMAGE(entrypoint), .given = IMAGE(has_entrypoint),
     .fallback = "the base's",
     .description = "The program and its first arguments; [] clears the base's."},
    {"cmd", SB_KEY_STRINGS, IMAGE(cmd), .given = IMAGE(has_cmd), .fallback = "the base's",
     .description = "Further arguments, which whoever runs the image may replace; [] clears the "
                    "base's."},
    {"ports", SB_KEY_STRINGS, IMAGE(ports), .rule = &sb_rule_port,
     .description = "Ports that the program listens on."},
    {"volumes", SB_KEY_STRINGS, IMAGE(volumes), .rule = &sb_rule_absolute,
     .description = "Directories for data that outlives a container."},
    {"labels", SB_KEY_PAIRS, IMAGE(labels), .rule = &sb_rule_label, .most = 1000,
     .description = "Labels, added to the base's."},
    {"stop_signal", SB_KEY_STRING, IMAGE(stop_signal), .rule = &sb_rule_signal,
     .fallback = "the base's", .description = "The signal that asks the program to stop."},
    {0},
};

/* Settings of a repository that nobody makes would be silently without effect. */
void sb_image_check(struct sb_reader *reader, const struct sb_yaml *node,
                    const struct sb_recipe *recipe) {
    const struct sb_yaml *repository = node ? sb_yaml_get(node, "repository") : NULL;
    const struct sb_yaml *workdir = node ? sb_yaml_get(node, "workdir") : NULL;
    if (workdir)
        sb_reader_check_names(reader, workdir, "workdir", recipe->image.workdir);
    if (!repository || recipe->image.ecr.create)
        return;
    for (const struct sb_key *key = repository_keys + 2; key->name; key++) {
        const struct sb_yaml *value = sb_yaml_get(repository, key->name);
        if (value)
            sb_reader_problem(reader, value,
                              "key \"%s\": needs create: true beside it (a repository that exists "
                              "is left as it is)",
                              key->name);
    }
}

static const char *const tag_schemes[] = {"semver", "git", "date", NULL}; /* enum sb_tag_scheme */
static const char *const compressions[] = {"zstd", "gzip", NULL}; /* enum sb_recipe_compression */

/* args and build are read before everything else, by document/recipe.c. */
static void read_before(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target) {
    (void)reader;
    (void)key;
    (void)node;
    (void)target;
}

static json_t *args_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_of_key(
        &(struct sb_key){.type = SB_KEY_PAIRS, .rule = &sb_rule_env, .most = SB_RECIPE_ARG_LIMIT});
}

const struct sb_key sb_build_keys[] = {
    {"shell", SB_KEY_STRINGS, AT(build.shell), .not_empty = true, .fallback = "[sh, -eu]",
     .description = "The program that runs the scripts of run steps that name none."},
    {"env", SB_KEY_PAIRS, AT(build.env), .rule = &sb_rule_env, .most = 1000, .variables = true,
     .description = "Environment variables of steps that see those of the image, which values may "
                    "name."},
    {0},
};

static json_t *build_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_of_keys(sb_build_keys);
}

const struct sb_key sb_recipe_keys[] = {
    {"name", SB_KEY_STRING, AT(name), .required = true, .literal = true, .rule = &sb_rule_name,
     .description = "The name of the image."},
    {"version", SB_KEY_STRING, AT(version), .rule = &sb_rule_version,
     .fallback = "the nearest git tag vX.Y.Z",
     .description = "Semantic version; --version overrides it."},
    {"from", SB_KEY_CUSTOM, 0, .required = true, .read = sb_from_read, .schema = sb_from_schema,
     .description = "What the image is built on: scratch, another recipe, an image, or a "
                    "distribution."},
    {"platforms", SB_KEY_STRINGS, AT(platforms), .rule = &sb_rule_platform, .literal = true,
     .not_empty = true, .most = SB_RECIPE_PLATFORM_LIMIT, .fallback = "this machine's",
     .description = "What it is built for: an image for each platform, and an index of them."},
    {"context", SB_KEY_STRING, AT(context), .fallback = "the recipe's directory", .not_empty = true,
     .description = "The directory that copy takes files from, relative to the recipe's."},
    {"args", SB_KEY_CUSTOM, 0, .read = read_before, .schema = args_schema,
     .description = "Build parameters and their defaults: ${NAME} in values, $NAME in run."},
    {"build", SB_KEY_CUSTOM, 0, .read = read_before, .schema = build_schema,
     .description = "What steps see, and the image does not."},
    {"stages", SB_KEY_CUSTOM, 0, .read = sb_stages_read, .schema = sb_stages_schema,
     .description = "Images of this recipe's own, which layers copy from and stages stand on: they "
                    "are never tagged or pushed, and not built when nothing needs them."},
    {"layers", SB_KEY_CUSTOM, 0, .read = sb_layers_read, .schema = sb_layers_schema,
     .description = "The layers, lowest first."},
    {"image", SB_KEY_MAPPING, 0, .keys = image_keys,
     .description = "What whoever runs the image is told."},
    {"tags", SB_KEY_FLAGS, AT(tags), .values = tag_schemes,
     .description = "Kinds of tags that a build sets."},
    {"compression", SB_KEY_CHOICE, AT(compression), .values = compressions, .fallback = "zstd",
     .description = "How layers are compressed; gzip is for old hosts."},
    {"test", SB_KEY_CUSTOM, 0, .read = sb_tests_read, .schema = sb_tests_schema,
     .description = "What has to work in the finished image before it gets a tag or is pushed: "
                    "run steps, and service, which starts the service and waits for its health."},
    {"service", SB_KEY_MAPPING, 0, .keys = sb_service_keys, .given = AT(service.present),
     .description = "The service that bundles and Kubernetes manifests are made for."},
    {0},
};

json_t *sb_schema_json(void) {
    json_t *schema =
        json_pack("{s:s, s:s, s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema",
                  "title", "sbuild recipe", "description",
                  "One image: what it is built on, its layers, and how it "
                  "runs. docs/recipe.md is the reference.");
    sb_autojson json_t *keys = sb_schema_of_keys(sb_recipe_keys);
    json_object_update(schema, keys);
    json_t *definitions = json_pack("{s:{s:s, s:s, s:s}}", "substituted", "description",
                                    "A value made with ${NAME} of args.", "type", "string",
                                    "pattern", "[$][{][A-Za-z_][A-Za-z0-9_]*[}]");
    sb_layers_define(definitions);
    json_object_set_new(schema, "$defs", definitions);
    return schema;
}
