#include "deploy/host/native.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/host/elf.h"

enum {
    SCRIPTS = 4, /* that are run by one another */
    WORDS = 4,   /* behind "#!" */
    FIRST = 256, /* bytes of a script that the kernel looks at */
};

bool sb_native_runs(const char *architecture) {
    const char *own = sb_platform_architecture();
    return !strcmp(architecture, own) || (!strcmp(own, "amd64") && !strcmp(architecture, "386"));
}

static bool is_accepted(const struct sb_platform *accepted, const char *architecture) {
    return accepted && !strcmp(accepted->architecture, architecture);
}

static int refuse(const char *what, const char *platform, struct sb_error *err) {
    sb_fail(err, SB_E_FAILED, "%s made for %s, and this host is linux/%s", what, platform,
            sb_platform_architecture());
    return sb_error_hint(err,
                         "nothing was changed: install what is built for linux/%s (sbuild bundle "
                         "--platform), or, for an emulator that this host has, say --platform %s",
                         sb_platform_architecture(), platform);
}

int sb_native_check_config(const json_t *config, const struct sb_platform *accepted,
                           struct sb_error *err) {
    sb_autoplatform struct sb_platform platform;
    if (!sb_platform_read(config, &platform) || sb_native_runs(platform.architecture) ||
        is_accepted(accepted, platform.architecture))
        return 0;
    sb_autofree char *text = sb_platform_text(&platform);
    return refuse("it is", text, err);
}

/* ---- programs ---- */

/* Those of a script's first line; false when it is none. buf is cut up. */
static bool split_script(char *buf, ssize_t n, const char *words[static WORDS + 1]) {
    size_t count = 0;
    char *rest = buf + 2;
    if (n < 3 || buf[0] != '#' || buf[1] != '!')
        return false;
    buf[n] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    for (char *word; count < WORDS && (word = strsep(&rest, " \t"));)
        if (*word)
            words[count++] = word;
    words[count] = NULL;
    return count > 0;
}

/* In $PATH; the caller's. NULL when it isn't there. */
static char *look_up(const struct sb_native_program *p, const char *name) {
    for (const char *path = p->path; *path;) {
        size_t n = strcspn(path, ":");
        sb_autofree char *whole = sb_format("%.*s/%s", (int)n, path, name);
        sb_autoclose int fd = sb_open_in_root(p->root, whole, O_PATH | O_CLOEXEC);
        if (fd >= 0)
            return sb_steal(whole);
        path += n + (path[n] == ':');
    }
    return NULL;
}

/* What a script's first line runs: of env the program that it looks up. */
static char *interpreter(const struct sb_native_program *p, const char *const *words) {
    const char *slash = strrchr(words[0], '/'), *base = slash ? slash + 1 : words[0];
    if (strcmp(base, "env") != 0)
        return sb_strdup(words[0]);
    for (words++; *words; words++)
        if (**words != '-' && !strchr(*words, '='))
            return strchr(*words, '/') ? sb_strdup(*words) : look_up(p, *words);
    return NULL;
}

/* 1: there is another program to look at, in *next. */
static int check_one(const struct sb_native_program *p, const char *program,
                     const struct sb_platform *accepted, char **next, struct sb_error *err) {
    char buf[FIRST + 1];
    const char *words[WORDS + 1];
    struct stat st;
    sb_autofree char *whole = sb_path_join(p->workdir, program);
    sb_autoclose int fd = sb_open_in_root(p->root, whole, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    const char *architecture = sb_elf_architecture(fd);
    if (architecture) {
        if (sb_native_runs(architecture) || is_accepted(accepted, architecture))
            return 0;
        sb_autofree char *platform = sb_format("linux/%s", architecture);
        sb_autofree char *what = sb_format("its program %s is", sb_text_shown(program).text);
        return refuse(what, platform, err);
    }
    if (!split_script(buf, pread(fd, buf, FIRST, 0), words))
        return 0;
    *next = interpreter(p, words);
    return *next != NULL;
}

int sb_native_check_program(const struct sb_native_program *p, const struct sb_platform *accepted,
                            struct sb_error *err) {
    sb_autofree char *program = sb_strdup(p->program);
    for (int i = 0; i < SCRIPTS; i++) {
        char *next = NULL;
        int more = check_one(p, program, accepted, &next, err);
        if (more <= 0)
            return more;
        sb_free_pointer(&program);
        program = next;
    }
    return 0;
}
