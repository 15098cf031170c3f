#include "http/auth.h"

#include <stdlib.h>

#include "base/memory.h"

struct sb_auth {
    const struct sb_settings *settings;
};

struct sb_auth *sb_auth_new(const struct sb_settings *settings) {
    struct sb_auth *auth = sb_alloc(sizeof *auth);
    auth->settings = settings;
    return auth;
}

void sb_auth_free(struct sb_auth *auth) {
    free(auth);
}

int sb_auth_header(struct sb_auth *auth, const struct sb_auth_request *request,
                   struct sb_buf *out_value, struct sb_error *err) {
    (void)auth, (void)request, (void)out_value, (void)err;
    return 0;
}

int sb_auth_challenge(struct sb_auth *auth, const struct sb_auth_request *request,
                      const struct sb_strings *headers, const char *used, struct sb_buf *out_value,
                      struct sb_error *err) {
    (void)auth, (void)request, (void)headers, (void)used, (void)out_value, (void)err;
    return 0;
}
