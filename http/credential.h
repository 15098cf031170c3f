/*
 * http/credential: what proves to a registry who asks.
 */
#ifndef SB_HTTP_CREDENTIAL_H
#define SB_HTTP_CREDENTIAL_H

#include <stdbool.h>

/* Strings are its own; NULL for what there is none of. Start from {0}. */
struct sb_credential {
    char *user, *password;
    char *identity_token; /* an OAuth2 refresh token: good at the token server only */
    char *registry_token; /* a bearer token, for the registry as it is */
    char *source;         /* "/root/.docker/config.json", "docker-credential-pass": for messages */
};

/* Overwrites what was secret. */
void sb_credential_free(struct sb_credential *credential);
#define sb_autocredential __attribute__((cleanup(sb_credential_free), unused))

/* to must be empty. */
void sb_credential_copy(struct sb_credential *to, const struct sb_credential *from);

/* False when it holds nothing that proves anything. */
bool sb_credential_given(const struct sb_credential *credential);
/* Do both prove the same thing in the same way? Wherever they come from. */
bool sb_credential_equal(const struct sb_credential *a, const struct sb_credential *b);

#endif
