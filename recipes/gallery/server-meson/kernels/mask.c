#include "attention.h"

/* A window that is as wide as the head is long. */
#define FOR_HEAD(D)                                                                                \
    static void mask_##D(float *scores) {                                                          \
        for (int i = D; i < LENGTH; i++)                                                           \
            scores[i] = 0;                                                                         \
    }
HEADS(FOR_HEAD)

void mask(int head, float *scores) {
    switch (head) {
#define CASE(D) case D: mask_##D(scores); break;
        HEADS(CASE)
    }
}
