/* git: the files of a commit of another repository. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "context/copy.h"
#include "document/schema.h"
#include "layers/unpack.h"
#include "steps/execution.h"
#include "steps/git_fetch.h"
#include "steps/git_program.h"
#include "steps/git_refs.h"
#include "steps/kinds.h"

struct git {
    char *url;
    char *commit, *tag, *branch; /* one of them */
    struct sb_placing placing;   /* to, owner */
    bool submodules, lfs;
    char resolved[SB_STEP_SETTLED]; /* the commit, once it is known */
};

static struct git *own(const struct sb_step *step) {
    return step->own;
}

#define AT(member) offsetof(struct git, member)

static const struct sb_key keys[] = {
    {"url", SB_KEY_STRING, AT(url), .required = true, .rule = &sb_rule_git_url,
     .description = "The repository: https, http or git."},
    {"commit", SB_KEY_STRING, AT(commit), .rule = &sb_rule_commit,
     .description = "The commit, all 40 or 64 digits of it."},
    {"tag", SB_KEY_STRING, AT(tag), .rule = &sb_rule_git_ref,
     .description = "Instead: the commit that this tag names when it is built."},
    {"branch", SB_KEY_STRING, AT(branch), .rule = &sb_rule_git_ref,
     .description = "Instead: the commit that this branch is at when it is built."},
    {"to", SB_KEY_STRING, AT(placing.to), .required = true, .rule = &sb_rule_absolute,
     .description = "The directory that the files go into."},
    {"submodules", SB_KEY_BOOL, AT(submodules), .fallback = "false",
     .description = "Fetch its submodules, too, and theirs."},
    {"lfs", SB_KEY_BOOL, AT(lfs), .fallback = "false",
     .description = "Fetch the files that Git LFS keeps beside it."},
    {"owner", SB_KEY_OWNER, AT(placing.uid), .fallback = "\"0:0\"",
     .description = "Owner of the files, UID:GID."},
    {0},
};

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    struct git *git = step->own;
    int names = (git->commit != NULL) + (git->tag != NULL) + (git->branch != NULL);
    sb_step_check_path(reader, node, "to", git->placing.to);
    if (names != 1)
        sb_reader_problem(reader, node, "key \"git\": expected one of commit, tag and branch%s",
                          names ? "" : ", found none");
    if (step->network_given && !step->network)
        sb_reader_problem(reader, node, "key \"network\": git needs the network");
    if (step->caches.n)
        sb_reader_problem(reader, node, "key \"cache\": has no meaning for git");
    if (git->commit)
        memcpy(git->resolved, git->commit, strlen(git->commit) + 1);
}

/* The commit is what counts, whatever name, and place, it was found by. */
static void describe(const struct sb_step *step, json_t *out) {
    const struct git *git = own(step);
    json_object_set_new(out, "commit", json_string(git->resolved));
    json_object_set_new(out, "to", json_string(git->placing.to));
    json_object_set_new(out, "uid", json_integer(git->placing.uid));
    json_object_set_new(out, "gid", json_integer(git->placing.gid));
    json_object_set_new(out, "submodules", json_boolean(git->submodules));
    json_object_set_new(out, "lfs", json_boolean(git->lfs));
}

static char *summary(const struct sb_step *step) {
    const struct git *git = own(step);
    const char *name = git->tag ? git->tag : git->branch ? git->branch : git->commit;
    return sb_format("git: %s %.*s to %s", git->url, git->commit ? 12 : 256, name, git->placing.to);
}

static const struct sb_secret *credentials_of(const struct sb_step *step,
                                              const struct sb_secrets *secrets) {
    static const char name[] = "git_credentials";
    for (size_t i = 0; sb_strings_has(&step->secrets, name) && secrets && i < secrets->n; i++)
        if (!strcmp(secrets->v[i].name, name))
            return &secrets->v[i];
    return NULL;
}

/* The caller's to free; NULL: a commit. */
static char *ref_of(const struct sb_step *step) {
    const struct git *git = own(step);
    if (git->commit)
        return NULL;
    return sb_format("refs/%s/%s", git->tag ? "tags" : "heads", git->tag ? git->tag : git->branch);
}

static char *moving(const struct sb_step *step) {
    sb_autofree char *ref = ref_of(step);
    return ref && !*own(step)->resolved ? sb_format("%s %s", own(step)->url, ref) : NULL;
}

static int resolve(const struct sb_step *step, const struct sb_secrets *secrets,
                   const struct sb_settings *settings, char out[static SB_STEP_SETTLED],
                   struct sb_error *err) {
    sb_autofree char *ref = ref_of(step);
    return sb_git_resolve(own(step)->url, ref, credentials_of(step, secrets), settings, out, err);
}

static void settle(const struct sb_step *step, const char *commit) {
    memcpy(own(step)->resolved, commit, strlen(commit) + 1);
}

static int look(const struct sb_step *step, struct sb_context *context, bool deep,
                struct sb_error *err) {
    (void)context, (void)deep;
    return sb_git_check(own(step)->lfs, err);
}

/* ---- running ---- */

static int unpack(const struct sb_step *step, const char *directory, size_t count, int root,
                  int64_t epoch, struct sb_error *err) {
    const struct git *git = own(step);
    const struct sb_copy_ground ground = {.root = root};
    struct sb_copy_list list = {0};
    struct sb_unpack_owner owner = {git->placing.uid, git->placing.gid};
    int failed = sb_copy_place_directory(&git->placing, &ground, &list, err);
    if (!failed)
        failed = sb_copy_lay_out(&list, NULL, NULL, root, epoch, err);
    sb_autofree char *below = sb_strdup(list.n ? list.v[list.n - 1].path : "");
    sb_copy_list_free(&list);
    const struct sb_unpack_options options = {
        .form = SB_UNPACK_ONTO, .below = below, .owner = &owner, .mtime = &epoch};
    for (size_t i = 1; i <= count && !failed; i++) {
        sb_autofree char *path = sb_format("%s/%zu.tar", directory, i);
        sb_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        failed = fd < 0 ? sb_fail_errno(err, SB_E_IO, "%s", path)
                        : sb_unpack_fd(fd, root, &options, err);
    }
    return failed ? sb_error_context(err, "unpacking %s", git->url) : 0;
}

static int run_in(const struct sb_step *step, struct sb_step_run_context *context,
                  const char *directory, struct sb_error *err) {
    const struct git *git = own(step);
    struct sb_git_commit commit = {.url = git->url, .submodules = git->submodules, .lfs = git->lfs};
    size_t count;
    memcpy(commit.name, git->resolved, sizeof commit.name);
    if (sb_git_fetch(&commit, credentials_of(step, context->secrets), directory, context, &count,
                     err) < 0)
        return -1;
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    return root < 0 ? -1 : unpack(step, directory, count, root, context->epoch, err);
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    sb_autofree char *directory = sb_store_tmp_new(context->store, "git", err);
    if (!directory)
        return -1;
    if (mkdir(directory, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "creating the directory %s", directory);
    int failed = run_in(step, context, directory, err);
    sb_tree_remove(AT_FDCWD, directory, NULL);
    return failed;
}

const struct sb_step_kind sb_step_kind_git = {
    .name = "git",
    .size = sizeof(struct git),
    .description = "The files of a commit of another repository.",
    .keys = keys,
    .network = true,
    .runs_programs = true,
    .runs_outside = true,
    .check = check,
    .moving = moving,
    .resolve = resolve,
    .settle = settle,
    .describe = describe,
    .look = look,
    .summary = summary,
    .run = run,
};
