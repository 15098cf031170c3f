#include "attention.h"

/* Keys as they lie in a paged cache: pages of 16, the last first. */
#define FOR_HEAD(D)                                                                                \
    static void cache_##D(const float *keys, float *out) {                                         \
        for (int page = 0; page < LENGTH / 16; page++)                                             \
            for (int i = 0; i < 16 * D; i++)                                                       \
                out[page * 16 * D + i] = keys[(LENGTH / 16 - 1 - page) * 16 * D + i];              \
    }
HEADS(FOR_HEAD)

void cache(int head, const float *keys, float *out) {
    switch (head) {
#define CASE(D) case D: cache_##D(keys, out); break;
        HEADS(CASE)
    }
}
