/* Any bytes as a WWW-Authenticate header; what it says of scopes and of the token server is used as
 * a registry's would be. */

#include "http/challenge.h"
#include "http/realm.h"
#include "http/scope.h"
#include "tests/fuzz/fuzz.h"

static void use(const struct sb_challenge *challenge) {
    static const struct sb_http_settings settings;
    static const struct sb_auth_request request = {"r.example.com", "https://r.example.com", NULL};
    struct sb_error err = {0};
    sb_autourl CURLU *url =
        challenge->realm ? sb_realm_parse(&settings, &request, challenge->realm, &err) : NULL;
    if (url && !sb_url_is_https(url))
        abort();
    sb_autoscopes struct sb_scopes scopes = {0}, again = {0};
    sb_scopes_add(&scopes, challenge->scope);
    sb_scopes_join(&again, &scopes);
    if (scopes.list.n > SB_SCOPE_LIMIT || again.list.n != scopes.list.n ||
        !sb_scopes_cover(&scopes, &again))
        abort();
    sb_autofree char *repository = sb_scope_repository(challenge->scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sb_autofree char *header = sb_strndup((const char *)data, size);
    sb_autochallenges struct sb_challenges list = {0};
    struct sb_error err = {0};
    if (sb_challenges_parse(header, &list, &err) == 0 && (list.n == 0 || !*list.v[0].scheme))
        abort();
    if (list.n > SB_CHALLENGE_LIMIT)
        abort();
    for (size_t i = 0; i < list.n; i++)
        use(&list.v[i]);
    return 0;
}
