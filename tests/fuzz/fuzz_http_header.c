/* Any bytes as the headers and the body of an answer, in the pieces that libcurl hands on: kept
 * within their limits, one line each. The parts of the input are lines; the last one is the body.
 */
#include "http/exchange.c"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_parts parts = fuzz_parts(data, size);
    struct sb_exchange exchange = {.limit = 256};
    struct running running = {.x = &exchange, .host = (char *)"r.example.com"};
    bool going = true;
    while (going && parts.more) {
        size_t len;
        sb_autofree char *line = fuzz_next(&parts, &len);
        if (parts.more)
            going = on_header(line, 1, len, &running) == len;
        else
            going = on_body(line, 1, len, &running) == len;
    }
    if (!going && !running.cut)
        fuzz_check_error(&running.failure);
    FUZZ_CHECK(exchange.answer_headers.n <= SB_HEADER_COUNT_LIMIT && exchange.body.len <= 256);
    for (size_t i = 0; i < exchange.answer_headers.n; i++)
        for (const char *c = exchange.answer_headers.v[i]; *c; c++)
            FUZZ_CHECK((unsigned char)*c >= 0x20);
    sb_exchange_free(&exchange);
    return 0;
}
