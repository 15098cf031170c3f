/* copy: files of the context, or of an image. */
#include <fcntl.h>

#include "base/file.h"
#include "base/memory.h"
#include "context/copy.h"
#include "document/schema.h"
#include "steps/execution.h"
#include "steps/kinds.h"

#define AT(member) offsetof(struct sb_placing, member)

static const struct sb_key mode_keys[] = {
    {"files", SB_KEY_MODE, AT(file_mode), .description = "Permissions of files, octal."},
    {"directories", SB_KEY_MODE, AT(directory_mode),
     .description = "Permissions of directories, octal."},
    {0},
};

/* One mode is that of the files; directories get search permission wherever it gives reading. */
static void read_mode(struct sb_reader *reader, const struct sb_key *key,
                      const struct sb_yaml *node, void *target) {
    if (node->type == SB_YAML_MAPPING) {
        sb_schema_read(reader, mode_keys, "mode", node, target);
        return;
    }
    struct sb_placing *copy = target;
    struct sb_key one = mode_keys[0];
    one.name = key->name;
    sb_schema_read_key(reader, &one, node, target);
    if (copy->file_mode >= 0)
        copy->directory_mode = copy->file_mode | (copy->file_mode & 0444) >> 2;
}

static json_t *mode_schema(const struct sb_key *key) {
    (void)key;
    return json_pack("{s:[o,o]}", "anyOf", sb_schema_of_key(&mode_keys[0]),
                     sb_schema_of_keys(mode_keys));
}

static const struct sb_key keys[] = {
    {"stage", SB_KEY_STRING, AT(origin.stage), .rule = &sb_rule_name,
     .description = "A stage of this recipe that the files are taken from, not the context."},
    {"recipe", SB_KEY_STRING, AT(origin.recipe), .not_empty = true,
     .description = "Likewise another recipe, relative to this one."},
    {"image", SB_KEY_STRING, AT(origin.image), .not_empty = true,
     .description = "Likewise an image: a reference with tag or digest, or oci:PATH[:TAG], "
                    "oci-archive:FILE, docker-archive:FILE."},
    {"from", SB_KEY_STRINGS, AT(from), .required = true, .one_or_many = true, .not_empty = true,
     .rule = &sb_rule_source,
     .description = "Files, directories and patterns in the context, or in the image; \".\" is all "
                    "of it."},
    {"to", SB_KEY_STRING, AT(to), .required = true, .rule = &sb_rule_absolute,
     .description = "Where it goes: an absolute path; into it, when it ends in / or is a "
                    "directory."},
    {"exclude", SB_KEY_STRINGS, AT(exclude), .one_or_many = true, .rule = &sb_rule_pattern,
     .description = "Patterns, as in .dockerignore, of what stays out; relative to each source."},
    {"include", SB_KEY_STRINGS, AT(include), .one_or_many = true, .rule = &sb_rule_pattern,
     .description = "Patterns of what is taken, when not all is; relative to each source."},
    {"owner", SB_KEY_OWNER, AT(uid), .given = AT(owner_given),
     .fallback = "\"0:0\"; of an image's files, their own",
     .description = "Owner of everything copied, UID:GID, in numbers."},
    {"mode", SB_KEY_CUSTOM, 0, .read = read_mode, .schema = mode_schema,
     .fallback = "0755 for directories and executable files, else 0644; of an image's, their own",
     .description = "Permissions, octal: one for files, or {files, directories}."},
    {0},
};

/* One of stage, recipe and image, or none. */
static void check_origin(struct sb_reader *reader, const struct sb_yaml *node,
                         struct sb_origin *origin) {
    static const char *const names[] = {"stage", "recipe", "image"};
    const char *first = NULL;
    for (size_t i = 0; i < 3; i++) {
        const struct sb_yaml *value = sb_yaml_get(node, names[i]);
        if (value && first)
            sb_reader_problem(reader, value,
                              "key \"%s\": stands beside \"%s\" (expected one of them)", names[i],
                              first);
        else if (value)
            origin->place = (struct sb_place){reader->file, value->line, value->column};
        first = value && !first ? names[i] : first;
    }
}

static void check_from(struct sb_reader *reader, const struct sb_yaml *node,
                       const struct sb_rule *rule, const struct sb_strings *from) {
    const struct sb_yaml *value = sb_yaml_get(node, "from");
    bool many = value && value->type == SB_YAML_SEQUENCE;
    for (size_t i = 0; value && i < from->n && (!many || from->n == value->count); i++)
        sb_schema_check(reader, "from", rule, from->v[i], many ? value->items[i] : value);
}

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    struct sb_placing *copy = step->own;
    check_origin(reader, node, &copy->origin);
    bool context = sb_origin_is_context(&copy->origin);
    check_from(reader, node, context ? &sb_rule_inside : &sb_rule_in_image, &copy->from);
    sb_step_check_path(reader, node, "to", copy->to);
    const struct sb_yaml *mode = sb_yaml_get(node, "mode");
    bool split = mode && mode->type == SB_YAML_MAPPING;
    if (!mode || (split && !sb_yaml_get(mode, "files")))
        copy->file_mode = -1;
    if (!mode || (split && !sb_yaml_get(mode, "directories")))
        copy->directory_mode = -1;
}

static void describe(const struct sb_step *step, json_t *out) {
    const struct sb_placing *copy = step->own;
    json_object_set_new(out, "from", sb_step_list(&copy->from));
    json_object_set_new(out, "to", json_string(copy->to));
    if (copy->exclude.n)
        json_object_set_new(out, "exclude", sb_step_list(&copy->exclude));
    if (copy->include.n)
        json_object_set_new(out, "include", sb_step_list(&copy->include));
    json_object_set_new(out, "uid", json_integer(copy->uid));
    json_object_set_new(out, "gid", json_integer(copy->gid));
    if (copy->file_mode >= 0)
        json_object_set_new(out, "file_mode", sb_step_mode(copy->file_mode));
    if (copy->directory_mode >= 0)
        json_object_set_new(out, "directory_mode", sb_step_mode(copy->directory_mode));
}

static char *summary(const struct sb_step *step) {
    const struct sb_placing *copy = step->own;
    const struct sb_origin *origin = &copy->origin;
    const char *of = origin->stage    ? origin->stage
                     : origin->recipe ? origin->recipe
                     : origin->image  ? origin->image
                                      : NULL;
    sb_autofree char *sources = sb_step_words("copy", &copy->from);
    return sb_format("%s%s%s to %s", sources, of ? " of " : "", of ? of : "", copy->to);
}

static const struct sb_placing *placing(const struct sb_step *step) {
    return step->own;
}

/* In a layer of several steps: into the mounted root, among what the others wrote. */
static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    if (root < 0)
        return -1;
    struct sb_copy_list list = {0};
    const struct sb_copy_ground ground = {.root = root};
    int result = sb_copy_resolve(step, 1, context->from, &ground, &list, err);
    if (result == 0 && sb_copy_lay_out(&list, context->from, NULL, root, context->epoch, err) < 0)
        result = sb_step_at(step, err);
    sb_copy_list_free(&list);
    return result;
}

const struct sb_step_kind sb_step_kind_copy = {
    .name = "copy",
    .size = sizeof(struct sb_placing),
    .description = "Copy files of the context, or of a stage or an image.",
    .keys = keys,
    .placing = placing,
    .checks_always = true,
    .check = check,
    .describe = describe,
    .summary = summary,
    .run = run,
};
