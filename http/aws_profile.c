/* The part of the chain that reads profiles: keys, roles, programs. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "http/aws_search.h"
#include "http/secret.h"

enum { PROFILES_DEEP = 5, PROGRAM_OUTPUT = 64 << 10 };

static const char *setting(const struct sb_aws_search *search, const char *profile,
                           const char *key) {
    const char *value = sb_aws_config_get(&search->config, profile, key);
    return value && *value ? value : NULL;
}

static int no_profile(const struct sb_aws_search *search, const char *profile,
                      struct sb_error *err) {
    sb_fail(err, SB_E_NETWORK, "the AWS profile %s is neither in %s nor in %s",
            sb_text_shown(profile).text, search->config.credentials_path,
            search->config.config_path);
    return sb_error_hint(err, "AWS_PROFILE names the profile; AWS_CONFIG_FILE and "
                              "AWS_SHARED_CREDENTIALS_FILE other files");
}

/* ---- keys and programs ---- */

static int static_keys(struct sb_aws_search *search, const char *profile, struct sb_aws_keys *out,
                       struct sb_error *err) {
    const char *access = setting(search, profile, "aws_access_key_id");
    const char *secret = setting(search, profile, "aws_secret_access_key");
    const char *token = setting(search, profile, "aws_session_token");
    if (!access && !secret)
        return 0;
    sb_autofree char *what = sb_format("AWS profile %s", sb_text_shown(profile).text);
    *out = (struct sb_aws_keys){.access_key = sb_strdup(access ? access : ""),
                                .secret_key = sb_strdup(secret ? secret : ""),
                                .session_token = token ? sb_strdup(token) : NULL};
    if (sb_aws_keys_check(out, what, err) < 0) {
        sb_aws_keys_free(out);
        return -1;
    }
    return 1;
}

/* https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html. What the
 * program says on standard error may be shown: it is told to keep secrets out of it. */
static int run_program(const char *profile, const char *command, struct sb_aws_keys *out,
                       struct sb_error *err) {
    sb_autofree char *what =
        sb_format("credential_process of AWS profile %s", sb_text_shown(profile).text);
    const char *const argv[] = {"sh", "-c", command, NULL};
    sb_autosecret struct sb_buf output = {0};
    sb_autobuf struct sb_buf complaint = {0};
    int status = sb_process_capture(argv, NULL, PROGRAM_OUTPUT, &output, &complaint, err);
    if (status < 0) {
        sb_error_context(err, "%s", what);
        err->code = SB_E_NETWORK;
        return -1;
    }
    if (status > 0)
        return sb_fail(err, SB_E_NETWORK, "%s: failed with exit status %d%s%s", what, status,
                       complaint.len ? ": " : "",
                       complaint.len ? sb_text_shown(sb_buf_text(&complaint)).text : "");
    return sb_aws_keys_of_json(&output, "SessionToken", what, out, err) < 0 ? -1 : 1;
}

/* ---- roles ---- */

static int resolve(struct sb_aws_search *search, const char *profile, int depth,
                   struct sb_aws_keys *out, struct sb_error *err);

/* The keys that a role is assumed with. */
static int source_keys(struct sb_aws_search *search, const char *profile, int depth,
                       struct sb_aws_keys *out, struct sb_error *err) {
    const char *source = setting(search, profile, "source_profile");
    const char *kind = setting(search, profile, "credential_source");
    int found = 0;
    if (source && !strcmp(source, profile))
        found = static_keys(search, profile, out, err);
    else if (source)
        found = resolve(search, source, depth + 1, out, err);
    else if (kind && !strcmp(kind, "Environment"))
        found = sb_aws_find_environment(search, out, err);
    else if (kind && !strcmp(kind, "EcsContainer"))
        found = sb_aws_find_container(search, out, err);
    else if (kind && !strcmp(kind, "Ec2InstanceMetadata"))
        found = sb_aws_find_instance(search, out, err);
    else
        return sb_fail(err, SB_E_NETWORK,
                       "AWS profile %s: role_arn needs source_profile, credential_source "
                       "(Environment, EcsContainer, Ec2InstanceMetadata) or "
                       "web_identity_token_file",
                       sb_text_shown(profile).text);
    if (found)
        return found < 0 ? -1 : 0;
    return sb_fail(err, SB_E_NETWORK, "AWS profile %s: its source %s has no credentials",
                   sb_text_shown(profile).text, sb_text_shown(source ? source : kind).text);
}

static int role_keys(struct sb_aws_search *search, const char *profile, int depth,
                     struct sb_aws_keys *out, struct sb_error *err) {
    if (setting(search, profile, "mfa_serial")) {
        sb_fail(err, SB_E_NETWORK, "AWS profile %s wants a code of a second factor (mfa_serial)",
                sb_text_shown(profile).text);
        return sb_error_hint(err, "get a session with `aws sts assume-role` or `aws configure "
                                  "export-credentials`, and pass it in the environment");
    }
    const char *seconds = setting(search, profile, "duration_seconds");
    struct sb_aws_role role = {
        .arn = setting(search, profile, "role_arn"),
        .session = setting(search, profile, "role_session_name"),
        .external_id = setting(search, profile, "external_id"),
        .token_file = setting(search, profile, "web_identity_token_file"),
        .seconds = seconds ? atoi(seconds) : 0,
    };
    sb_autokeys struct sb_aws_keys source = {0};
    if (!role.token_file) {
        if (source_keys(search, profile, depth, &source, err) < 0)
            return -1;
        role.source = &source;
    }
    if (sb_aws_assume_role(search, &role, out, err) < 0)
        return sb_error_context(err, "AWS profile %s", sb_text_shown(profile).text);
    return 1;
}

static int resolve(struct sb_aws_search *search, const char *profile, int depth,
                   struct sb_aws_keys *out, struct sb_error *err) {
    if (depth > PROFILES_DEEP)
        return sb_fail(err, SB_E_NETWORK, "AWS profile %s: source_profile leads on and on",
                       sb_text_shown(profile).text);
    if (!sb_aws_config_has(&search->config, profile))
        return no_profile(search, profile, err);
    if (setting(search, profile, "role_arn"))
        return role_keys(search, profile, depth, out, err);
    int found = static_keys(search, profile, out, err);
    if (found)
        return found;
    const char *command = setting(search, profile, "credential_process");
    if (command)
        return run_program(profile, command, out, err);
    if (setting(search, profile, "sso_session") || setting(search, profile, "sso_start_url")) {
        sb_fail(err, SB_E_NETWORK, "AWS profile %s signs in with SSO, which sbuild does not do",
                sb_text_shown(profile).text);
        return sb_error_hint(err,
                             "after `aws sso login`, add to a profile: credential_process = "
                             "aws configure export-credentials --profile %s",
                             profile);
    }
    return 0;
}

int sb_aws_find_profile(struct sb_aws_search *search, struct sb_aws_keys *out,
                        struct sb_error *err) {
    const char *profile = sb_aws_profile();
    bool named = sb_aws_env("AWS_PROFILE") || sb_aws_env("AWS_DEFAULT_PROFILE");
    int found = 0;
    if (named || sb_aws_config_has(&search->config, profile))
        found = resolve(search, profile, 1, out, err);
    if (found == 0)
        sb_buf_addf(&search->tried, "profile %s: no credentials in %s or %s",
                    sb_text_shown(profile).text, search->config.credentials_path,
                    search->config.config_path);
    return found;
}
