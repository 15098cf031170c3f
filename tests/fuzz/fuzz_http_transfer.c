/*
 * Any answers of a registry and of whoever it leads to: redirects, challenges, tokens, ranges. A
 * credential goes to its own registry and its token server alone, and never without TLS.
 */
#include "http/credentials.h"
#include "http/origin.h"
#include "http/transfer.h"
#include "tests/fuzz/exchanges.h"

/* Takes the place of docker's files. */
int sb_credentials_find(const char *host, const char *repository, struct sb_credential *out,
                        struct sb_error *err) {
    (void)host;
    (void)repository;
    (void)err;
    *out = (struct sb_credential){
        .user = sb_strdup("user"), .password = sb_strdup("pass:word"), .source = sb_strdup("fuzz")};
    return 1;
}
bool sb_credentials_by_repository(const char *host) {
    (void)host;
    return false;
}

static int take_head(void *data, int status, const struct sb_strings *headers,
                     struct sb_error *err) {
    int *heads = data;
    (void)status;
    (void)headers;
    (void)err;
    ++*heads;
    return 0;
}

static int take_bytes(void *data, const void *bytes, size_t len, struct sb_error *err) {
    (void)data;
    (void)bytes;
    (void)len;
    (void)err;
    return 0;
}

static bool nobody_is_gone(void *data) {
    (void)data;
    return false;
}

static void ask(struct sb_transfer *transfer, unsigned kind) {
    static const char *const methods[] = {"GET", "POST", "HEAD", "PUT"};
    struct sb_request request = {.method = (char *)methods[kind % 4],
                                 .host = (char *)"r.example.com",
                                 .endpoint = (char *)"r.example.com",
                                 .target = (char *)"/v2/team/app/blobs/x",
                                 .scope = (char *)"repository:team/app:pull",
                                 .body_fd = -1,
                                 .sink = kind & 4,
                                 .limit = 4096};
    int heads = 0;
    const struct sb_receiver receiver = {take_head, take_bytes, nobody_is_gone, &heads};
    uint64_t sent, received;
    struct sb_error err = {0};
    if (sb_transfer_run(transfer, &request, &receiver, &sent, &received, &err) < 0)
        fuzz_check_error(&err);
    else
        FUZZ_CHECK(heads == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sb_http_settings settings = {.stall_seconds = 30};
    static struct sb_schemes *schemes;
    if (!schemes)
        schemes = sb_schemes_new(&settings);
    exchange_answers = fuzz_parts(data, size);
    exchange_count = 0;
    unsigned kind = fuzz_choose(&exchange_answers, 8);
    static struct sb_http_service service;
    static struct sb_transfer *transfer;
    service = (struct sb_http_service){&settings, sb_auth_new(&settings), schemes};
    if (!transfer)
        transfer = sb_transfer_new(&service);
    ask(transfer, kind);
    if (exchange_answers.more) /* with what is known by now */
        ask(transfer, kind);
    sb_auth_free(service.auth);
    return 0;
}
