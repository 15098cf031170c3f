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

/* layers: the recipe's args must be set. */
void sb_layers_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                    void *target);
json_t *sb_layers_schema(const struct sb_key *key);
void sb_layers_free(struct sb_recipe *recipe);
/* The definitions that the schema of layers refers to are added to an object. */
void sb_layers_define(json_t *definitions);

/* One step of a list, of a kind that its mapping names. False, and a problem, when it names none.
 * Frees with sb_step_free, which takes what was zeroed. */
bool sb_step_read(struct sb_reader *reader, const struct sb_yaml *node, struct sb_step *out);
void sb_step_free(struct sb_step *step);

/* test: */
void sb_tests_read(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                   void *target);
json_t *sb_tests_schema(const struct sb_key *key);
void sb_tests_check(struct sb_reader *reader, const struct sb_yaml *list,
                    const struct sb_recipe *recipe);
void sb_tests_free(struct sb_recipe *recipe);

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
