/*
 * http/auth_request: what credentials are wanted for: of http/auth, and of those that it asks, the
 * token servers (http/token), which a registry names (http/realm).
 */
#ifndef SB_HTTP_AUTH_REQUEST_H
#define SB_HTTP_AUTH_REQUEST_H

struct sb_auth_request {
    const char *host;   /* the registry as in references: "docker.io", "127.0.0.1:5000" */
    const char *origin; /* "https://registry-1.docker.io", "http://127.0.0.1:5000": without path */
    const char *scope;  /* "repository:team/app:pull,push"; several separated by blanks; NULL */
};

#endif
