
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "steps/mounts_private.h"

#define SHOWN   "/run/secrets"
#define SECRETS "shown"  /* what is seen there, below the tmpfs */
#define PLACED  "placed" /* what is seen elsewhere */

static const struct sb_secret *find(const struct sb_secrets *secrets, const char *name) {
    for (size_t i = 0; secrets && i < secrets->n; i++)
        if (!strcmp(secrets->v[i].name, name))
            return &secrets->v[i];
    return NULL;
}

/* "/run/secrets/NAME" names a file among those that are there anyway: NAME; else NULL. */
static const char *name_in_shown(const char *to) {
    size_t n = strlen(SHOWN "/");
    return !strncmp(to, SHOWN "/", n) && to[n] && !strchr(to + n, '/') ? to + n : NULL;
}

/* A step that says nothing of places has none. */
static const char *place_of(const struct sb_step *step, size_t i) {
    return i < step->secret_places.n ? step->secret_places.v[i] : "";
}

static const char *variable_of(const struct sb_step *step, size_t i) {
    return i < step->secret_variables.n ? step->secret_variables.v[i] : "";
}

static bool is_variable(const struct sb_step *step, size_t i) {
    return *variable_of(step, i);
}

/* The file's name in /run/secrets; NULL when it is elsewhere, or none. */
static const char *shown_name(const struct sb_step *step, size_t i) {
    const char *to = place_of(step, i);
    if (*to)
        return name_in_shown(to);
    return is_variable(step, i) ? NULL : step->secrets.v[i];
}

int sb_step_secrets_places(const struct sb_step *step, struct sb_step_mounts *mounts,
                           struct sb_error *err) {
    bool shown = false;
    for (size_t i = 0; i < step->secrets.n; i++) {
        const char *to = place_of(step, i);
        shown = shown || shown_name(step, i);
        if (!*to || name_in_shown(to))
            continue;
        if (sb_step_mounts_check_place(to, err) < 0)
            return -1;
        sb_step_mounts_add(mounts, sb_format("%s/secrets/" PLACED "/%zu", mounts->directory, i), to,
                           false, true);
    }
    if (shown)
        sb_step_mounts_add(mounts, sb_format("%s/secrets/" SECRETS, mounts->directory), SHOWN, true,
                           true);
    return 0;
}

/* On a tmpfs of this process's own mount namespace: it never touches a disk, and is gone with us.
 */
static int mount_secrets(struct sb_step_mounts *mounts, struct sb_error *err) {
    sb_autofree char *path = sb_format("%s/secrets", mounts->directory);
    sb_autofree char *shown = sb_format("%s/" SECRETS, path);
    sb_autofree char *placed = sb_format("%s/" PLACED, path);
    if (mount("sbuild-secrets", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0755,size=64m") < 0)
        return sb_fail_errno(err, SB_E_FAILED, "mounting a tmpfs for secrets");
    mounts->secrets = true;
    if (mkdir(shown, 0755) < 0 || chmod(shown, 0755) < 0 || mkdir(placed, 0700) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making the directories of secrets");
    return 0;
}

static int give(const struct sb_step *step, size_t i, const struct sb_secret *secret,
                const struct sb_user *user, const struct sb_step_mounts *mounts,
                struct sb_error *err) {
    const char *shown = shown_name(step, i);
    sb_autofree char *number = sb_format("%zu", i);
    sb_autofree char *directory =
        sb_format("%s/secrets/%s", mounts->directory, shown ? SECRETS : PLACED);
    const char *name = shown ? shown : number;
    if (sb_step_mounts_write(directory, name, secret->value, secret->len, 0400, err) < 0)
        return -1;
    sb_autofree char *file = sb_format("%s/%s", directory, name);
    return chown(file, user->uid, user->gid) < 0
               ? sb_fail_errno(err, SB_E_FAILED, "giving the secret %s to its user", secret->name)
               : 0;
}

static const struct sb_secret *find_given(const struct sb_step_run_context *context,
                                          const char *name, struct sb_error *err) {
    const struct sb_secret *secret = find(context->secrets, name);
    if (!secret || strchr(name, '/') || name[0] == '.') {
        sb_fail(err, SB_E_RECIPE, "the secret %s was not given", name);
        return NULL;
    }
    return secret;
}

int sb_step_secrets_give(const struct sb_step *step, const struct sb_step_run_context *context,
                         const struct sb_user *user, struct sb_step_mounts *mounts,
                         struct sb_error *err) {
    if (step->secrets.n && mount_secrets(mounts, err) < 0)
        return -1;
    for (size_t i = 0; i < step->secrets.n; i++) {
        const struct sb_secret *secret = find_given(context, step->secrets.v[i], err);
        if (!secret)
            return -1;
        bool file = *place_of(step, i) || !is_variable(step, i);
        if (file && give(step, i, secret, user, mounts, err) < 0)
            return -1;
    }
    return 0;
}

void sb_step_secrets_end(struct sb_step_mounts *mounts) {
    sb_autofree char *secrets = sb_format("%s/secrets", mounts->directory);
    if (mounts->secrets)
        umount2(secrets, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* ---- variables ---- */

int sb_step_secrets_environment(const struct sb_step *step,
                                const struct sb_step_run_context *context, struct sb_pairs *env,
                                struct sb_error *err) {
    for (size_t i = 0; i < step->secrets.n; i++) {
        if (!is_variable(step, i))
            continue;
        const struct sb_secret *secret = find_given(context, step->secrets.v[i], err);
        if (!secret)
            return -1;
        size_t len = secret->len;
        len -= len > 0 && secret->value[len - 1] == '\n';
        len -= len < secret->len && len > 0 && secret->value[len - 1] == '\r';
        if (len && memchr(secret->value, '\0', len)) {
            sb_fail(err, SB_E_FAILED, "the secret %s has a NUL byte, which no variable can hold",
                    secret->name);
            return sb_error_hint(err, "give it as a file: secrets: [%s]", secret->name);
        }
        char *value = sb_strndup(secret->value ? secret->value : "", len);
        sb_pairs_set(env, variable_of(step, i), value);
        explicit_bzero(value, len);
        free(value);
    }
    return 0;
}

bool sb_step_secrets_in_environment(const struct sb_step *step) {
    for (size_t i = 0; i < step->secrets.n; i++)
        if (is_variable(step, i))
            return true;
    return false;
}

void sb_step_secrets_forget(const struct sb_step *step, struct sb_pairs *env) {
    for (size_t i = 0; i < step->secrets.n; i++) {
        const char *value = sb_pairs_get(env, variable_of(step, i));
        if (value)
            explicit_bzero((char *)value, strlen(value));
    }
}

char *sb_step_secrets_file(const struct sb_step *step, const char *name) {
    for (size_t i = 0; i < step->secrets.n; i++)
        if (!strcmp(step->secrets.v[i], name) && shown_name(step, i) && !*place_of(step, i))
            return sb_format(SHOWN "/%s", name);
    return NULL;
}
