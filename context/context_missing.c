/*
 * A source that is not in the context: what was probably meant.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "context/context_private.h"

/* The letters of U+00C0 to U+017F without their accents. */
static const char letters[] = "AAAAAA.CEEEEIIII.NOOOOO..UUUUY..aaaaaa.ceeeeiiii.nooooo..uuuuy.y"
                              "AaAaAaCcCcCcCcDd..EeEeEeEeEeGgGgGgGgHh..IiIiIiIiI...JjKk.LlLlLl."
                              "...NnNnNn...OoOoOo..RrRrRrSsSsSsSsTtTt..UuUuUuUuUuUuWwYyYZzZzZz.";

/* A name without accents, be they combining marks or part of a letter. */
static char *bare(const char *name) {
    struct sb_buf out = {0};
    const unsigned char *p = (const unsigned char *)name;
    for (; *p; p++) {
        if ((p[0] == 0xCC && p[1] >= 0x80) || (p[0] == 0xCD && p[1] >= 0x80 && p[1] <= 0xAF)) {
            p++;
        } else if (p[0] >= 0xC3 && p[0] <= 0xC5 &&
                   letters[(p[0] - 0xC3) * 64 + (p[1] & 63)] != '.') {
            sb_buf_addc(&out, letters[(p[0] - 0xC3) * 64 + (p[1] & 63)]);
            p++;
        } else {
            sb_buf_addc(&out, (char)*p);
        }
        if (!*p)
            break;
    }
    return sb_buf_steal(&out);
}

static bool is_ascii(const char *name) {
    for (; *name; name++)
        if ((unsigned char)*name >= 0x80)
            return false;
    return true;
}

/* The name of the directory that is name but for the way in which its accents are written. */
static const char *find_accented(const struct sb_names *names, const char *name) {
    if (is_ascii(name))
        return NULL;
    sb_autofree char *wanted = bare(name);
    for (size_t i = 0; i < names->n; i++) {
        sb_autofree char *have = is_ascii(names->v[i]) ? NULL : bare(names->v[i]);
        if (have && !strcmp(have, wanted))
            return names->v[i];
    }
    return NULL;
}

static const char *find_near(const struct sb_names *names, const char *name) {
    sb_autofree const char **candidates = sb_alloc((names->n + 1) * sizeof *candidates);
    for (size_t i = 0; i < names->n; i++)
        candidates[i] = names->v[i];
    candidates[names->n] = NULL;
    return sb_text_nearest(name, candidates);
}

/* There is no part of that name in the open directory at upto. */
static void hint_names(const struct sb_context *c, int directory, const char *upto,
                       const char *part, const char *rest, struct sb_error *err) {
    struct sb_arena arena = {0};
    struct sb_names names = {0};
    if (sb_names_read(directory, &names, &arena) == 0) {
        const char *accented = find_accented(&names, part);
        const char *near = accented ? accented : find_near(&names, part);
        sb_autofree char *other = near ? sb_path_join(upto, near) : NULL;
        if (accented)
            sb_error_hint(err,
                          "%s%s is there, whose accents are written in the other of Unicode's two "
                          "ways: copy the name from `ls`",
                          other, rest);
        else if (near)
            sb_error_hint(err, "did you mean %s%s?", other, rest);
    }
    free(names.v);
    sb_arena_free(&arena);
    if (!*err->hint && c->tree.find)
        sb_error_hint(err, "`sbuild ls` lists what an image has");
    else if (!*err->hint)
        sb_error_hint(err, "paths are relative to the context, %s; context: says another", c->path);
}

/* A part on the way is no directory. */
static void hint_link(int directory, const char *upto, const char *part, const char *rest,
                      struct sb_error *err) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(directory, part, target, sizeof target - 1);
    sb_autofree char *path = sb_path_join(upto, part);
    if (n < 0) {
        sb_error_hint(err, "%s is a file", path);
        return;
    }
    target[n] = '\0';
    sb_autofree char *joined = sb_path_join(upto, target);
    sb_autofree char *leads = sb_path_clean(joined);
    if (target[0] == '/' || !strcmp(leads, "..") || !strncmp(leads, "../", 3))
        sb_error_hint(err, "%s is a symbolic link that leads to %.200s, outside the context", path,
                      target);
    else
        sb_error_hint(err, "%s is a symbolic link: write where it leads, %s%s", path, leads, rest);
}

int sb_context_hint_missing(const struct sb_context *c, const char *path, struct sb_error *err) {
    if (!err || *err->hint)
        return -1;
    sb_autofree char *copy = sb_strdup(path);
    sb_autoclose int directory = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    char *next = copy;
    for (char *part; directory >= 0 && (part = strsep(&next, "/"));) {
        struct stat st;
        const char *rest = next ? path + (next - copy) - 1 : "";
        sb_autofree char *upto =
            part == copy ? sb_strdup(".") : sb_strndup(path, (size_t)(part - copy) - 1);
        if (fstatat(directory, part, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT)
                hint_names(c, directory, upto, part, rest, err);
            return -1;
        }
        if (!S_ISDIR(st.st_mode)) {
            if (next)
                hint_link(directory, upto, part, rest, err);
            return -1;
        }
        int below = openat(directory, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(directory);
        directory = below;
    }
    return -1;
}
