/*
 * document/recipe_files: the files of recipes, each read and parsed once, for however many
 * platforms a recipe is loaded: all see the same.
 */
#ifndef SB_DOCUMENT_RECIPE_FILES_H
#define SB_DOCUMENT_RECIPE_FILES_H

#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/yaml.h"

#define SB_RECIPE_SIZE_LIMIT (1u << 20) /* bytes of one file */

struct sb_project;
struct sb_project_trust;
struct sb_recipe_files;

struct sb_recipe_file {
    char *path;
    dev_t device;
    ino_t inode;
    struct sb_buf text;
    struct sb_yaml_document *document; /* NULL until it is parsed */
};

/* They must outlive the recipes that are loaded with them. */
struct sb_recipe_files *sb_recipe_files_new(void);
void sb_recipe_files_free(struct sb_recipe_files *files); /* NULL is allowed */

/* The project of a directory, as sb_project_find finds it, once for all loads: they trust the same.
 * It belongs to files. NULL and err when it can't be found. */
const struct sb_project *sb_recipe_files_project(struct sb_recipe_files *files,
                                                 const char *directory,
                                                 const struct sb_project_trust *trust,
                                                 struct sb_error *err);

/* project: that which the recipe may name; NULL: none was found. The file belongs to files. A
 * missing one is SB_E_NOT_FOUND, with the nearest name beside it. */
int sb_recipe_files_read(struct sb_recipe_files *files, const struct sb_project *project,
                         const char *path, struct sb_recipe_file **out, struct sb_error *err);
/* NULL and SB_E_RECIPE when it is no YAML. */
const struct sb_yaml *sb_recipe_file_root(struct sb_recipe_file *file, struct sb_error *err);

#endif
