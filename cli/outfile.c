/*
 * Files that a command is told to write: what is wrong with one is said before the work, not after
 * it.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "cli/request.h"

static int check_directory(const char *option, const char *path, struct sb_error *err) {
    struct stat st;
    sb_autofree char *directory = sb_path_dirname(path);
    if (stat(directory, &st) < 0) {
        sb_fail_errno(err, SB_E_NOT_FOUND, "%s %s: %s", option, path, directory);
        return sb_error_hint(err, "make the directory first");
    }
    if (!S_ISDIR(st.st_mode))
        return sb_fail(err, SB_E_NOT_FOUND, "%s %s: %s is not a directory", option, path,
                       directory);
    if (faccessat(AT_FDCWD, directory, W_OK, AT_EACCESS) < 0) {
        sb_fail_errno(err, SB_E_IO, "%s %s: writing to %s", option, path, directory);
        return sb_error_hint(err, "name a place that you may write to");
    }
    return 0;
}

int sb_cli_check_output(const struct sb_cli_request *request, const char *option, const char *path,
                        struct sb_error *err) {
    struct stat st, recipe, link;
    if (!path)
        return 0;
    if (!*path || (!strcmp(path, "-") && !strcmp(option, "--metadata-file"))) {
        sb_fail(err, SB_E_USAGE, "%s %s: expected the name of a file", option, *path ? path : "''");
        return sb_error_hint(err, "--json prints facts on standard output");
    }
    if (!strcmp(path, "-"))
        return 0;
    if (lstat(path, &link) < 0)
        return check_directory(option, path, err);
    if (stat(path, &st) < 0)
        return 0; /* a link to what isn't there yet is written through */
    if (S_ISDIR(st.st_mode)) {
        sb_fail(err, SB_E_USAGE, "%s %s: it is a directory", option, path);
        return sb_error_hint(err, "name a file in it");
    }
    for (size_t i = 0; i < request->build.recipe_count; i++) {
        if (stat(request->recipes[i], &recipe) < 0 || recipe.st_dev != st.st_dev ||
            recipe.st_ino != st.st_ino)
            continue;
        sb_fail(err, SB_E_USAGE, "%s %s: that is the recipe itself", option, path);
        return sb_error_hint(err, "name another file: it would be replaced");
    }
    return S_ISREG(link.st_mode) ? check_directory(option, path, err) : 0;
}
