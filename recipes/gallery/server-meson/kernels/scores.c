#include <math.h>

#include "attention.h"

static const float TEMPERATURE = 1.0f;

#define FOR_HEAD(D)                                                                                \
    static void scores_##D(const float *query, const float *keys, float *out) {                    \
        for (int i = 0; i < LENGTH; i++) {                                                         \
            float sum = 0;                                                                         \
            for (int j = 0; j < D; j++)                                                            \
                sum += query[j] * keys[i * D + j];                                                 \
            out[i] = expf(sum / (TEMPERATURE * sqrtf(D)));                                         \
        }                                                                                          \
    }
HEADS(FOR_HEAD)

void scores(int head, const float *query, const float *keys, float *out) {
    switch (head) {
#define CASE(D) case D: scores_##D(query, keys, out); break;
        HEADS(CASE)
    }
}
