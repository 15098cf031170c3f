#include "document/recipe_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/project.h"

struct known_project {
    char *directory; /* that was asked for */
    struct sb_project project;
};

struct sb_recipe_files {
    struct sb_recipe_file **v;
    size_t n, cap;
    struct known_project **projects;
    size_t project_n, project_cap;
};

struct sb_recipe_files *sb_recipe_files_new(void) {
    return sb_alloc(sizeof(struct sb_recipe_files));
}

static void free_file(struct sb_recipe_file *file) {
    sb_yaml_free(file->document);
    sb_buf_free(&file->text);
    free(file->path);
    free(file);
}

void sb_recipe_files_free(struct sb_recipe_files *files) {
    if (!files)
        return;
    for (size_t i = 0; i < files->n; i++)
        free_file(files->v[i]);
    for (size_t i = 0; i < files->project_n; i++) {
        sb_project_free(&files->projects[i]->project);
        free(files->projects[i]->directory);
        free(files->projects[i]);
    }
    free(files->projects);
    free(files->v);
    free(files);
}

const struct sb_project *sb_recipe_files_project(struct sb_recipe_files *files,
                                                 const char *directory,
                                                 const struct sb_project_trust *trust,
                                                 struct sb_error *err) {
    for (size_t i = 0; i < files->project_n; i++)
        if (!strcmp(files->projects[i]->directory, directory))
            return &files->projects[i]->project;
    struct known_project *known = sb_alloc(sizeof *known);
    if (sb_project_find(directory, trust, &known->project, err) < 0) {
        free(known);
        return NULL;
    }
    known->directory = sb_strdup(directory);
    SB_GROW(files->projects, files->project_n, files->project_cap);
    files->projects[files->project_n++] = known;
    return &known->project;
}

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
static int read_file(const struct sb_project *project, const char *path,
                     struct sb_recipe_file *file, struct sb_error *err) {
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
    if (sb_project_read(project, path, SB_RECIPE_SIZE_LIMIT, &file->text, &st, err) < 0)
        return -1;
    file->device = st.st_dev;
    file->inode = st.st_ino;
    return 0;
}

int sb_recipe_files_read(struct sb_recipe_files *files, const struct sb_project *project,
                         const char *path, struct sb_recipe_file **out, struct sb_error *err) {
    for (size_t i = 0; i < files->n; i++)
        if (!strcmp(files->v[i]->path, path)) {
            *out = files->v[i];
            return 0;
        }
    struct sb_recipe_file *file = sb_alloc(sizeof *file);
    file->path = sb_strdup(path);
    if (read_file(project, path, file, err) < 0) {
        free_file(file);
        return -1;
    }
    SB_GROW(files->v, files->n, files->cap);
    *out = files->v[files->n++] = file;
    return 0;
}

const struct sb_yaml *sb_recipe_file_root(struct sb_recipe_file *file, struct sb_error *err) {
    if (!file->document && sb_yaml_parse(sb_buf_text(&file->text), file->text.len, file->path,
                                         &file->document, err) < 0)
        return NULL;
    return sb_yaml_root(file->document);
}
