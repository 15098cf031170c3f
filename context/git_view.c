#include "context/git_view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "context/git_config.h"

enum {
    ANSWER_LIMIT = 64 << 20,
    CONFIG_LIMIT = 1 << 20,
    FILE_LIMIT = 16 << 20,
    REFS_LIMIT = 64 << 20,
    REF_LIMIT = 4096,
    OBJECTS_DEPTH = 3,
    TAGS_DEPTH = 32,
    ALTERNATES_DEPTH = 5,
};

#define FOREIGN "foreign" /* configurations of the checkout, to be parsed */

/* ---- running git ---- */

static bool is_kept(const char *variable, bool with_config) {
    if (strncmp(variable, "GIT_", 4) != 0)
        return strncmp(variable, "LC_ALL=", 7) != 0 && strncmp(variable, "LANGUAGE=", 9) != 0;
    return !strncmp(variable, "GIT_EXEC_PATH=", 14) ||
           (with_config && !strncmp(variable, "GIT_CONFIG_", 11));
}

/* This process's environment without what it says of any checkout. with_config: git is to read this
 * user's configuration; otherwise nobody's but the view's. */
static void make_environment(const struct sb_git_view *view, bool with_config,
                             struct sb_strings *out) {
    static const char *const none[] = {"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null",
                                       "GIT_CONFIG_GLOBAL=/dev/null", NULL};
    static const char *const always[] = {"GIT_OPTIONAL_LOCKS=0",
                                         "GIT_NO_LAZY_FETCH=1",
                                         "GIT_NO_REPLACE_OBJECTS=1",
                                         "GIT_ALLOW_PROTOCOL=none",
                                         "GIT_TERMINAL_PROMPT=0",
                                         "GIT_ASKPASS=false",
                                         "GIT_SSH_COMMAND=false",
                                         "GIT_EXTERNAL_DIFF=false",
                                         "GIT_PAGER=cat",
                                         "GIT_EDITOR=false",
                                         "LC_ALL=C", /* its words are looked at */
                                         NULL};
    for (char **e = environ; *e; e++)
        if (is_kept(*e, with_config))
            sb_strings_add(out, *e);
    for (size_t i = 0; !with_config && none[i]; i++)
        sb_strings_add(out, none[i]);
    for (size_t i = 0; always[i]; i++)
        sb_strings_add(out, always[i]);
    sb_strings_addf(out, "GIT_DIR=%s", view->path);
    sb_strings_addf(out, "GIT_WORK_TREE=%s", view->checkout->top);
}

static int run_git(const struct sb_git_view *view, const char *const *arguments, bool with_config,
                   struct sb_buf *answer, struct sb_buf *complaint, struct sb_error *err) {
    sb_autostrings struct sb_strings env = {0}, argv = {0};
    sb_strings_add(&argv, "git");
    sb_strings_add(&argv, "--no-pager");
    for (; *arguments; arguments++)
        sb_strings_add(&argv, *arguments);
    make_environment(view, with_config, &env);
    int status = sb_process_capture_env((const char *const *)argv.v, (const char *const *)env.v,
                                        with_config ? view->path : view->checkout->top,
                                        ANSWER_LIMIT, 0, answer, complaint, err);
    if (status < 0 && err && err->code == SB_E_NOT_FOUND)
        sb_error_hint(err, "install git, or leave git out of tags: and give version:");
    return status;
}

int sb_git_view_run(const struct sb_git_view *view, const char *const *arguments,
                    struct sb_buf *answer, struct sb_buf *complaint, struct sb_error *err) {
    return run_git(view, arguments, false, answer, complaint, err);
}

/* Git knows files by where the view has them: the places of the checkout are what helps. The
 * caller's. */
static char *in_checkout(const struct sb_git_view *view, const char *text) {
    sb_autofree char *foreign = sb_format("%s/" FOREIGN, view->path);
    struct sb_buf out = {0};
    while (*text) {
        bool copy = !strncmp(text, foreign, strlen(foreign));
        size_t n = copy ? strlen(foreign) : strlen(view->path);
        if (copy || !strncmp(text, view->path, n)) {
            sb_buf_adds(&out, view->checkout->common);
            text += n;
        } else {
            sb_buf_addc(&out, *text++);
        }
    }
    return sb_buf_steal(&out);
}

static int explain_failure(const struct sb_git_view *view, const struct sb_buf *complaint,
                           int status, struct sb_error *err) {
    sb_autofree char *text = in_checkout(view, sb_buf_text(complaint));
    if (!*text)
        return sb_fail(err, SB_E_FAILED, "git in %s: ended with status %d, and said nothing",
                       view->checkout->top, status);
    sb_fail(err, SB_E_FAILED, "git in %s: %.*s", view->checkout->top, (int)strcspn(text, "\n"),
            text);
    if (strstr(text, "unable to read") || strstr(text, "bad object") ||
        strstr(text, "Could not read"))
        return sb_error_hint(err, "objects are missing: in a partial clone, `git checkout HEAD` "
                                  "fetches those that are needed");
    return -1;
}

int sb_git_view_ask(const struct sb_git_view *view, const char *const *arguments,
                    struct sb_buf *answer, struct sb_error *err) {
    sb_autobuf struct sb_buf complaint = {0};
    int status = run_git(view, arguments, false, answer, &complaint, err);
    return status > 0 ? explain_failure(view, &complaint, status, err) : status;
}

/* ---- configuration ---- */

static int write_file(const struct sb_git_view *view, const char *name, const void *data,
                      size_t len, struct sb_error *err) {
    sb_autofree char *path = sb_path_join(view->path, name);
    sb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    return sb_fd_write(fd, data, len, path, err);
}

/* Appends what a configuration file of the checkout says. It is parsed from a copy, and what it
 * includes is left out. plain: one that only has what git does anyway isn't parsed. */
static int add_config(const struct sb_git_view *view, int dirfd, const char *dir, const char *name,
                      bool plain, struct sb_buf *out, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0}, list = {0};
    struct sb_error own = {0};
    if (sb_beneath_read(dirfd, name, 0, CONFIG_LIMIT, &text, &own) < 0) {
        if (own.code == SB_E_NOT_FOUND)
            return 0;
        if (err)
            *err = own;
        return sb_error_context(err, "%s", dir);
    }
    if (plain && !sb_git_config_matters(sb_buf_text(&text)))
        return 0;
    sb_autofree char *foreign = sb_format(FOREIGN "/%s", name);
    sb_autofree char *copy = sb_path_join(view->path, foreign);
    const char *const arguments[] = {"config", "--file", copy, "--no-includes",
                                     "-z",     "--list", NULL};
    if (write_file(view, foreign, text.data, text.len, err) < 0 ||
        sb_git_view_ask(view, arguments, &list, err) < 0)
        return -1;
    sb_git_config_read(&list, sb_git_config_add, out);
    return 0;
}

/* What git would run or ask of its own is told not to. */
#define BASIC_CONFIG                                                                               \
    "[core]\n\trepositoryFormatVersion = 1\n\tbare = false\n\tfsmonitor = false\n"                 \
    "\tuntrackedCache = false\n\thooksPath = /dev/null\n[gc]\n\tauto = 0\n"                        \
    "[maintenance]\n\tauto = false\n"

static int write_config(const struct sb_git_view *view, struct sb_error *err) {
    const struct sb_checkout *c = view->checkout;
    sb_autobuf struct sb_buf config = {0};
    sb_git_config_read(&view->user, sb_git_config_add_own, &config);
    bool plain = config.len == 0; /* else the checkout's may take back what the user's says */
    if (add_config(view, c->common_fd, c->common, "config", plain, &config, err) < 0 ||
        add_config(view, c->dir_fd, c->dir, "config.worktree", plain, &config, err) < 0)
        return -1;
    sb_buf_adds(&config, BASIC_CONFIG);
    return write_file(view, "config", config.data, config.len, err);
}

/* ---- whose it is ---- */

struct owner {
    const char *top;
    bool safe;
};

/* As git has it: the last that is empty takes back those before. */
static void look_for_safe(void *data, const char *key, const char *value) {
    struct owner *owner = data;
    if (strcmp(key, "safe.directory") != 0)
        return;
    size_t n = strlen(value);
    bool below = n > 2 && !strcmp(value + n - 2, "/*") && !strncmp(value, owner->top, n - 1);
    if (!*value)
        owner->safe = false;
    else if (!strcmp(value, "*") || !strcmp(value, owner->top) || below)
        owner->safe = true;
}

static int check_owner(const struct sb_git_view *view, struct sb_error *err) {
    uid_t stranger = sb_checkout_stranger(view->checkout);
    struct owner owner = {.top = view->checkout->top, .safe = !stranger};
    if (stranger)
        sb_git_config_read(&view->user, look_for_safe, &owner);
    if (owner.safe)
        return 0;
    sb_fail(err, SB_E_FAILED, "git in %s: dubious ownership: it belongs to another user (uid %u)",
            owner.top, (unsigned)stranger);
    return sb_error_hint(err, "run git config --global --add safe.directory %s", owner.top);
}

/* ---- files ---- */

static int fail_kind(const char *dir, const char *name, struct sb_error *err) {
    return sb_fail(err, SB_E_FAILED, "%s/%s: neither a file nor a directory", dir, name);
}

/* Git opens what it finds here without a look at what it is. */
static int check_objects(int parent, const char *name, const char *dir, int depth,
                         struct sb_error *err) {
    int fd = sb_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, SB_BENEATH_NO_LINKS);
    sb_autoclosedir DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries)
        return sb_fail_errno(err, SB_E_FAILED, "%s/%s", dir, name);
    sb_autofree char *path = *name ? sb_path_join(dir, name) : sb_strdup(dir);
    for (struct dirent *e; (e = readdir(entries));) {
        struct stat st;
        unsigned char type = e->d_type;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (type == DT_UNKNOWN && fstatat(dirfd(entries), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            type = IFTODT(st.st_mode);
        if (type != DT_REG && type != DT_DIR)
            return fail_kind(path, e->d_name, err);
        if (type == DT_DIR && depth > 0 &&
            check_objects(dirfd(entries), e->d_name, path, depth - 1, err) < 0)
            return -1;
    }
    return 0;
}

static int check_store(const char *objects, int depth, struct sb_error *err);

/* Another store of objects that this one borrows from (clone --reference, --shared). */
static int check_alternate(const char *objects, const char *line, int depth, struct sb_error *err) {
    sb_autofree char *named = sb_path_join(objects, line);
    sb_autofree char *clean = sb_path_clean(named); /* ".." by the text alone, as git has it */
    sb_autofree char *real = realpath(clean, NULL);
    sb_autofree char *head = real ? sb_path_beside(real, "HEAD") : NULL;
    const char *slash = real ? strrchr(real, '/') : NULL;
    struct stat st;
    if (*line == '"') /* to git it has escapes; it writes none such itself */
        return sb_fail(err, SB_E_FAILED, "%s/info/alternates: names a directory in quotes",
                       objects);
    if (!real) /* git warns, and goes on */
        return 0;
    if (depth == 0 || strcmp(slash, "/objects") != 0 || lstat(head, &st) < 0)
        return sb_fail(err, SB_E_FAILED,
                       "%s/info/alternates: names %s, which is no git repository's", objects, real);
    return check_store(real, depth - 1, err);
}

static int check_store(const char *objects, int depth, struct sb_error *err) {
    sb_autoclose int fd = sb_directory_open(AT_FDCWD, objects, err);
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    if (fd < 0)
        return -1;
    if (check_objects(fd, "", objects, OBJECTS_DEPTH, err) < 0)
        return -1;
    if (sb_beneath_read(fd, "info/alternates", 0, CONFIG_LIMIT, &text, &own) < 0)
        return 0; /* regular by now, and so not there */
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line && *line != '#' && check_alternate(objects, line, depth, err) < 0)
            return -1;
    return 0;
}

static int link_to(const struct sb_git_view *view, const char *dir, const char *name,
                   struct sb_error *err) {
    sb_autofree char *target = sb_path_join(dir, name), *path = sb_path_join(view->path, name);
    return symlink(target, path) < 0 ? sb_fail_errno(err, SB_E_IO, "%s", path) : 0;
}

/* A link to a file that is one; one that is missing is left out. */
static int link_file(const struct sb_git_view *view, int dirfd, const char *dir, const char *name,
                     struct sb_error *err) {
    struct sb_error own = {0};
    sb_autoclose int fd = sb_beneath_open(dirfd, name, SB_BENEATH_NO_LINKS, NULL, &own);
    if (fd >= 0)
        return link_to(view, dir, name, err);
    if (own.code == SB_E_NOT_FOUND)
        return 0;
    if (err)
        *err = own;
    return sb_error_context(err, "%s", dir);
}

static int copy_file(const struct sb_git_view *view, int dirfd, const char *dir, const char *name,
                     struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    if (sb_beneath_read(dirfd, name, 0, FILE_LIMIT, &text, &own) == 0)
        return write_file(view, name, text.data, text.len, err);
    if (own.code == SB_E_NOT_FOUND)
        return 0;
    if (err)
        *err = own;
    return sb_error_context(err, "%s", dir);
}

/* Tags that are files of their own: name is "refs/tags" or below. What is none is passed over. */
static int copy_tags(const struct sb_git_view *view, int common_fd, const char *name, int depth,
                     struct sb_error *err) {
    int fd = sb_open_beneath(common_fd, name, O_RDONLY | O_DIRECTORY, SB_BENEATH_NO_LINKS);
    sb_autoclosedir DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    sb_autofree char *copy = sb_path_join(view->path, name);
    if (!entries && (errno == ENOENT || depth < TAGS_DEPTH))
        return 0; /* none, or in a tag's place something else */
    if (!entries)
        return sb_fail_errno(err, SB_E_FAILED, "%s/%s", view->checkout->common, name);
    if (mkdir(copy, 0700) < 0 && errno != EEXIST)
        return sb_fail_errno(err, SB_E_IO, "%s", copy);
    for (struct dirent *e; (e = readdir(entries));) {
        if (e->d_name[0] == '.')
            continue;
        sb_autofree char *path = sb_path_join(name, e->d_name);
        sb_autobuf struct sb_buf text = {0};
        if (sb_beneath_read(common_fd, path, SB_BENEATH_NO_LINKS, REF_LIMIT, &text, NULL) == 0) {
            if (sb_buf_text(&text)[0] && write_file(view, path, text.data, text.len, err) < 0)
                return -1;
        } else if (depth > 0 && copy_tags(view, common_fd, path, depth - 1, err) < 0) {
            return -1;
        }
    }
    return sb_interrupt_check(err);
}

/* A split index has its larger part in a file beside it. */
static int link_shared_index(const struct sb_git_view *view, struct sb_error *err) {
    const struct sb_checkout *c = view->checkout;
    sb_autoclosedir DIR *entries = opendir(c->dir);
    for (struct dirent *e; entries && (e = readdir(entries));)
        if (!strncmp(e->d_name, "sharedindex.", 12) &&
            link_file(view, c->dir_fd, c->dir, e->d_name, err) < 0)
            return -1;
    return 0;
}

static int fill_refs(const struct sb_git_view *view, struct sb_error *err) {
    const struct sb_checkout *c = view->checkout;
    enum sb_head head;
    struct sb_head_name name;
    if (sb_checkout_head(c, &head, &name, err) < 0)
        return -1;
    if (head == SB_HEAD_REFTABLE) {
        if (strcmp(c->dir, c->common) != 0)
            return sb_fail(err, SB_E_FAILED, "%s: a linked work tree with reftables can't be read",
                           c->top);
        if (check_objects(c->common_fd, "reftable", c->common, 1, err) < 0 ||
            link_to(view, c->common, "reftable", err) < 0)
            return -1;
        static const char stub[] = "ref: refs/heads/.invalid\n";
        return write_file(view, "HEAD", stub, strlen(stub), err);
    }
    sb_autofree char *line = sb_format("%s\n", name.commit);
    if (write_file(view, "HEAD", line, strlen(line), err) < 0 ||
        link_file(view, c->common_fd, c->common, "packed-refs", err) < 0)
        return -1;
    return copy_tags(view, c->common_fd, "refs/tags", TAGS_DEPTH, err);
}

static int fill(const struct sb_git_view *view, struct sb_error *err) {
    const struct sb_checkout *c = view->checkout;
    sb_autofree char *objects = sb_path_join(c->common, "objects");
    struct stat st;
    if (lstat(objects, &st) < 0 || !S_ISDIR(st.st_mode))
        return sb_fail(err, SB_E_FAILED, "%s: is no directory", objects);
    if (check_store(objects, ALTERNATES_DEPTH, err) < 0 || fill_refs(view, err) < 0)
        return -1;
    if (copy_file(view, c->common_fd, c->common, "shallow", err) < 0 ||
        copy_file(view, c->common_fd, c->common, "info/attributes", err) < 0 ||
        copy_file(view, c->dir_fd, c->dir, "info/sparse-checkout", err) < 0)
        return -1;
    if (link_file(view, c->dir_fd, c->dir, "index", err) < 0 || link_shared_index(view, err) < 0)
        return -1;
    return link_to(view, c->common, "objects", err);
}

/* ---- the view ---- */

/* Git takes it for a git directory as it is. */
static int make_empty(const struct sb_git_view *view, struct sb_error *err) {
    static const char *const directories[] = {"", "refs", "info", FOREIGN};
    for (size_t i = 0; i < 4; i++) {
        sb_autofree char *path = sb_format("%s/%s", view->path, directories[i]);
        if (mkdir(path, 0700) < 0)
            return sb_fail_errno(err, SB_E_IO, "%s", path);
    }
    return write_file(view, "config", BASIC_CONFIG, strlen(BASIC_CONFIG), err);
}

static int read_user_config(const struct sb_git_view *view, struct sb_buf *out,
                            struct sb_error *err) {
    static const char *const arguments[] = {"config", "-z", "--list", NULL};
    sb_autobuf struct sb_buf complaint = {0};
    if (sb_git_config_is_plain(sb_checkout_stranger(view->checkout) != 0))
        return 0;
    int status = run_git(view, arguments, true, out, &complaint, err);
    return status > 0 ? explain_failure(view, &complaint, status, err) : status;
}

int sb_git_view_open(const struct sb_checkout *checkout, const char *scratch,
                     const struct sb_git_view *around, struct sb_git_view *out,
                     struct sb_error *err) {
    static atomic_uint count;
    *out = (struct sb_git_view){.checkout = checkout};
    out->path = sb_format("%s/git-%u", scratch, atomic_fetch_add(&count, 1));
    int failed = make_empty(out, err);
    if (!failed && around && !sb_checkout_stranger(checkout))
        sb_buf_add(&out->user, around->user.data, around->user.len);
    else if (!failed)
        failed = read_user_config(out, &out->user, err);
    if (!failed)
        failed = check_owner(out, err) < 0 || fill(out, err) < 0 || write_config(out, err) < 0;
    if (!failed)
        return 0;
    sb_git_view_close(out);
    return -1;
}

void sb_git_view_close(struct sb_git_view *view) {
    if (view->path)
        sb_tree_remove(AT_FDCWD, view->path, NULL);
    free(view->path);
    sb_buf_free(&view->user);
    *view = (struct sb_git_view){0};
}
