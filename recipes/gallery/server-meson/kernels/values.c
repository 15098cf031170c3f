#include "attention.h"

#define FOR_HEAD(D)                                                                                \
    static void values_##D(const float *scores, const float *values, float *out) {                 \
        float total = 0;                                                                           \
        for (int i = 0; i < LENGTH; i++)                                                           \
            total += scores[i];                                                                    \
        for (int j = 0; j < D; j++) {                                                              \
            out[j] = 0;                                                                            \
            for (int i = 0; i < LENGTH; i++)                                                       \
                out[j] += scores[i] / total * values[i * D + j];                                   \
        }                                                                                          \
    }
HEADS(FOR_HEAD)

void values(int head, const float *scores, const float *values, float *out) {
    switch (head) {
#define CASE(D) case D: values_##D(scores, values, out); break;
        HEADS(CASE)
    }
}
