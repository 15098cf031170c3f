/*
 * http/aws_config: the files ~/.aws/credentials and ~/.aws/config
 * (https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html).
 *
 * Where both have a key of one profile, credentials wins. Of nested settings ("s3 =" and indented
 * lines) and sections that are no profiles nothing is kept. A missing file is an empty one.
 */
#ifndef SB_HTTP_AWS_CONFIG_H
#define SB_HTTP_AWS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define SB_AWS_CONFIG_LIMIT (1u << 20) /* bytes of one file */

struct sb_aws_config {
    struct sb_aws_setting {
        char *profile, *key, *value; /* keys in lower case */
    } * v;
    size_t n, cap;
    char *config_path, *credentials_path; /* where they were looked for */
};

/* Both files: AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, or those in ~/.aws. An error names
 * file and line, and nothing of what is there. */
int sb_aws_config_load(struct sb_aws_config *out, struct sb_error *err);
void sb_aws_config_free(struct sb_aws_config *config);

/* Adds what a text says. In config, profiles are called [profile NAME], but [default]; in
 * credentials just [NAME]. */
int sb_aws_config_parse(struct sb_aws_config *config, const char *text, const char *path,
                        bool is_credentials, struct sb_error *err);

/* The config's own; NULL when not set. */
const char *sb_aws_config_get(const struct sb_aws_config *config, const char *profile,
                              const char *key);
bool sb_aws_config_has(const struct sb_aws_config *config, const char *profile);

/* AWS_PROFILE, AWS_DEFAULT_PROFILE, or "default". */
const char *sb_aws_profile(void);
/* An environment variable that is set and not empty; else NULL. */
const char *sb_aws_env(const char *name);

#endif
