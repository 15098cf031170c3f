#include "http/aws_credentials.h"

#include <pthread.h>
#include <time.h>

#include "http/aws_search.h"

/* Renewed that early: what is signed with them must still be good when it arrives. */
enum { EARLY_SECONDS = 300 };

/* ---- the chain ---- */

static int find_web_identity(struct sb_aws_search *search, struct sb_aws_keys *out,
                             struct sb_error *err) {
    const char *file = sb_aws_env("AWS_WEB_IDENTITY_TOKEN_FILE");
    const char *arn = sb_aws_env("AWS_ROLE_ARN");
    if (!file) {
        sb_buf_adds(&search->tried, "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set");
        return 0;
    }
    if (!arn)
        return sb_fail(err, SB_E_NETWORK,
                       "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    struct sb_aws_role role = {
        .arn = arn, .session = sb_aws_env("AWS_ROLE_SESSION_NAME"), .token_file = file};
    return sb_aws_assume_role(search, &role, out, err) < 0 ? -1 : 1;
}

static int look(struct sb_aws_search *search, struct sb_aws_keys *out, struct sb_error *err) {
    static const struct {
        const char *name;
        int (*find)(struct sb_aws_search *, struct sb_aws_keys *, struct sb_error *);
    } sources[] = {
        {"the environment", sb_aws_find_environment},
        {"a web identity", find_web_identity},
        {"the profile", sb_aws_find_profile},
        {"the container's role", sb_aws_find_container},
        {"the instance's role", sb_aws_find_instance},
    };
    if (sb_aws_config_load(&search->config, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (i > 0)
            sb_buf_adds(&search->tried, "; ");
        int found = sources[i].find(search, out, err);
        out->source = sources[i].name;
        if (found)
            return found < 0 ? -1 : 0;
    }
    sb_fail(err, SB_E_NOT_FOUND, "no credentials for AWS (%s)", sb_buf_text(&search->tried));
    return sb_error_hint(err, "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                              "give the machine a role");
}

/* ---- what was found ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sb_aws_keys known; /* guarded by lock, like the next */
static struct sb_error nothing;  /* set once there was nothing anywhere: that stays so */

int sb_aws_keys_get(const struct sb_http_settings *settings, const char *region,
                    struct sb_aws_keys *out, struct sb_error *err) {
    *out = (struct sb_aws_keys){0};
    int result = 0;
    pthread_mutex_lock(&lock);
    if (known.expires && known.expires - EARLY_SECONDS < time(NULL))
        sb_aws_keys_free(&known);
    if (nothing.code) {
        *err = nothing;
        result = -1;
    } else if (!known.access_key) {
        struct sb_aws_search search = {.settings = settings, .region = region};
        result = look(&search, &known, err);
        sb_aws_config_free(&search.config);
        sb_buf_free(&search.tried);
        if (result < 0 && err->code == SB_E_NOT_FOUND)
            nothing = *err;
    }
    if (result == 0)
        sb_aws_keys_copy(out, &known);
    pthread_mutex_unlock(&lock);
    return result;
}

void sb_aws_keys_forget(void) {
    pthread_mutex_lock(&lock);
    sb_aws_keys_free(&known);
    pthread_mutex_unlock(&lock);
}
