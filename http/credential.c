#include "http/credential.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/secret.h"

void sb_credential_free(struct sb_credential *credential) {
    free(credential->user);
    sb_secret_free_text(&credential->password);
    sb_secret_free_text(&credential->identity_token);
    sb_secret_free_text(&credential->registry_token);
    free(credential->source);
    *credential = (struct sb_credential){0};
}

static char *copy(const char *text) {
    return text ? sb_strdup(text) : NULL;
}

void sb_credential_copy(struct sb_credential *to, const struct sb_credential *from) {
    *to = (struct sb_credential){.user = copy(from->user),
                                 .password = copy(from->password),
                                 .identity_token = copy(from->identity_token),
                                 .registry_token = copy(from->registry_token),
                                 .source = copy(from->source)};
}

bool sb_credential_given(const struct sb_credential *credential) {
    return (credential->user && credential->password) || credential->identity_token ||
           credential->registry_token;
}

static bool equal(const char *a, const char *b) {
    return a && b ? !strcmp(a, b) : a == b;
}

bool sb_credential_equal(const struct sb_credential *a, const struct sb_credential *b) {
    return equal(a->user, b->user) && equal(a->password, b->password) &&
           equal(a->identity_token, b->identity_token) &&
           equal(a->registry_token, b->registry_token);
}
