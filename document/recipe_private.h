/*
 * document/recipe_private: how the parts of document/recipe share the work; for them alone.
 */
#ifndef SB_DOCUMENT_RECIPE_PRIVATE_H
#define SB_DOCUMENT_RECIPE_PRIVATE_H

#include "document/recipe.h"
#include "document/schema.h"

/* All of a recipe; targets are struct sb_recipe. */
extern const struct sb_key sb_recipe_keys[];
extern const struct sb_key sb_service_keys[];

/* from: a string or a mapping. The recipe's path must be set. */
void sb_from_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                  void *target);
json_t *sb_from_schema(const struct sb_key *key);
void sb_from_free(struct sb_from *from);

/* What image: names (key says which key), as written or a path of this machine made relative to
 * nothing; the caller's. Says so when that lies outside the project. */
char *sb_from_image(struct sb_reader *reader, const struct sb_recipe *recipe, const char *key,
                    const char *text, const struct sb_yaml *node);

/* ---- recipe.c ---- */

/* --set, and which of it some recipe had an argument for. */
struct sb_recipe_setting {
    const struct sb_platform *platform; /* as the options have it */
    const struct sb_pairs *set;         /* may be NULL */
    bool *used;
};
/* Fills a recipe whose path, project and family are set. All mistakes are told at once. */
int sb_recipe_read(const struct sb_recipe_setting *setting, const struct sb_yaml *root,
                   struct sb_recipe *recipe, struct sb_error *err);
/* For a line of a list of mistakes: it holds paths that the recipe names. */
void sb_recipe_make_plain(char *text);

/* ---- recipe_load.c ---- */

struct sb_recipe_file; /* document/recipe_files.h */
/* The file alone; options must have files. */
int sb_recipe_load_file(const char *path, const struct sb_recipe_options *options,
                        struct sb_recipe_file **out, struct sb_error *err);

/* A new recipe of a family, which owns it. */
struct sb_recipe *sb_recipe_new(struct sb_recipe_family *family, enum sb_recipe_kind kind);
/* Its index; an earlier one if it is needed already. */
size_t sb_recipe_add_need(struct sb_recipe *recipe, struct sb_recipe *needed);

/* ---- recipe_stages.c ---- */

void sb_stages_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                    void *target);
json_t *sb_stages_schema(const struct sb_key *key);
/* Finds the stages that the recipe and its stages name, once all of the file was read. */
void sb_stages_check(struct sb_reader *reader, struct sb_recipe *recipe);
/* What the tables filled. */
void sb_stage_free(struct sb_recipe *stage);

/* ---- recipe_layers.c ---- */

/* layers: the recipe's args must be set. */
void sb_layers_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                    void *target);
json_t *sb_layers_schema(const struct sb_key *key);
void sb_layers_free(struct sb_recipe *recipe);
/* secrets: of a step, or of all in a layer; the schemas of the list and of one. */
void sb_secrets_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                     void *target);
json_t *sb_secrets_schema(const struct sb_key *key);
json_t *sb_secret_schema(void);
/* The layer's, but for those in whose place the step has others. */
void sb_secrets_add_defaults(struct sb_step *step, const struct sb_step *defaults);

/* inputs: of a step, and what they hold. */
void sb_inputs_read_key(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target);
json_t *sb_inputs_schema(const struct sb_key *key);
void sb_inputs_free_list(struct sb_step *step);

/* when: of a layer or a step: why it is left out, NULL where it is not. The caller's. */
char *sb_when_read(struct sb_reader *reader, const struct sb_yaml *node);
#define SB_WHEN "when"
/* In the table of keys: it is read apart, as it is neither the step's own nor does the step depend
 * on it. */
void sb_when_skip(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                  void *target);
json_t *sb_when_schema(const struct sb_key *key);
/* Takes what says that it is left out from the layers to recipe->left_out. */
void sb_layers_leave_out(struct sb_recipe *recipe);
/* The definitions that the schema of layers refers to are added to an object. */
void sb_layers_define(json_t *definitions);

/* One step of a list, of a kind that its mapping names; with why it is left out, if it is. False,
 * and a problem, when it names none. Frees with sb_step_free, which takes what was zeroed. */
bool sb_step_read(struct sb_reader *reader, const struct sb_yaml *node,
                  const struct sb_recipe_build *build, struct sb_step *out);
void sb_step_free(struct sb_step *step);

/* test: */
void sb_tests_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                   void *target);
json_t *sb_tests_schema(const struct sb_key *key);
void sb_tests_check(struct sb_reader *reader, const struct sb_yaml *list,
                    const struct sb_recipe *recipe);
void sb_tests_free(struct sb_recipe *recipe);

/* ---- recipe_platforms.c ---- */

/* None stands in the list twice. */
void sb_platforms_check(struct sb_reader *reader, const struct sb_yaml *node,
                        const struct sb_recipe *recipe);
/* Which stages differ, once they know what they need. */
void sb_platforms_find_uses(const struct sb_yaml *root, struct sb_recipe *file);

/* build: comes before the layers, whose steps point to it. */
extern const struct sb_key sb_build_keys[];

/* Notes that the arguments have no such name. */
void sb_reader_undeclared(struct sb_reader *reader, const char *key, const char *name,
                          const struct sb_yaml *node);
/* Notes that what a key names lies outside the project, as sb_project_resolve says. */
void sb_reader_outside(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                       const struct sb_error *why);

/* Of a place in the root where a step gets something from outside: one that its container needs
 * is a problem. */
void sb_reader_check_place(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                           const char *path);
/* Of all those of a step: a secret's file is in none's way. */
void sb_step_check_places(struct sb_reader *reader, const struct sb_yaml *node,
                          const struct sb_step *step);

/* What the tables can't say of image: and service:. */
void sb_image_check(struct sb_reader *reader, const struct sb_yaml *node,
                    const struct sb_recipe *recipe);
void sb_service_check(struct sb_reader *reader, const struct sb_yaml *node,
                      const struct sb_recipe *recipe);

#endif
