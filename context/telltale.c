#include "context/telltale.h"

#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

/* With a slash: the end of a path; a directory where it says so, else anything but one. */
static const struct {
    const char *name;
    bool directory;
} all[] = {
    {".git", true},
    {".hg", true},
    {".svn", true},
    {".env", false},
    {".env.local", false},
    {".env.*.local", false},
    {".ssh", true},
    {".gnupg", true},
    {".aws", true},
    {".netrc", false},
    {".pypirc", false},
    {".git-credentials", false},
    {".docker/config.json", false},
    {".kube/config", false},
    {"id_rsa", false},
    {"id_dsa", false},
    {"id_ecdsa", false},
    {"id_ed25519", false},
};

static const char *last_parts(const char *path, int count) {
    const char *p = path + strlen(path);
    while (p > path && !(p[-1] == '/' && --count == 0))
        p--;
    return p;
}

/* The end of the path that the i-th of all is compared with. */
static const char *end_for(const char *path, size_t i) {
    return last_parts(path, strchr(all[i].name, '/') ? 2 : 1);
}

static bool is(size_t i, const char *path, bool directory) {
    return all[i].directory == directory &&
           fnmatch(all[i].name, end_for(path, i), FNM_PATHNAME) == 0;
}

bool sb_telltale_is(const char *path, mode_t mode) {
    const char *name = last_parts(path, 1);
    if (name[0] != '.' && strncmp(name, "id_", 3) != 0 && strncmp(name, "config", 6) != 0)
        return false; /* nearly all */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (is(i, path, S_ISDIR(mode)))
            return true;
    return false;
}

void sb_telltale_add(struct sb_telltale *told, const char *path) {
    pthread_mutex_lock(&told->lock);
    sb_strings_add(&told->paths, path);
    pthread_mutex_unlock(&told->lock);
}

enum { SHOWN = 5 };

/* The line of an ignore file that leaves the path out, and those like it below other directories.
 */
static char *line_for(const char *path) {
    const char *end = path;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (is(i, path, all[i].directory))
            end = end_for(path, i);
    return end == path ? sb_strdup(path) : sb_format("**/%s", end);
}

char *sb_telltale_text(const struct sb_telltale *told, const char *place, const char *context,
                       const char *ignore_name) {
    if (told->paths.n == 0)
        return NULL;
    sb_autostrings struct sb_strings paths = {0};
    sb_autostrings struct sb_strings lines = {0};
    sb_strings_copy(&paths, &told->paths);
    sb_strings_sort(&paths);
    struct sb_buf out = {0};
    sb_buf_addf(&out, "%s%sthe image gets ", place ? place : "", place ? ": " : "");
    for (size_t i = 0; i < paths.n; i++) {
        sb_autofree char *line = line_for(paths.v[i]);
        if (!sb_strings_has(&lines, line))
            sb_strings_add(&lines, line);
        if (i < SHOWN)
            sb_buf_addf(&out, "%s%s", i ? ", " : "", paths.v[i]);
    }
    if (paths.n > SHOWN)
        sb_buf_addf(&out, " and %zu more", paths.n - SHOWN);
    sb_buf_addf(&out, "; if it isn't meant to, add to %s/%s:", context, ignore_name);
    for (size_t i = 0; i < lines.n; i++)
        sb_buf_addf(&out, "\n%s", lines.v[i]);
    return sb_buf_steal(&out);
}

void sb_telltale_free(struct sb_telltale *told) {
    sb_strings_free(&told->paths);
    pthread_mutex_destroy(&told->lock);
}
