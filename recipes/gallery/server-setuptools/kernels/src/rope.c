#include "tile.h"

#define KERNEL(N)                                                                                   \
    static float rope_##N(float *x) {                                                              \
        float sum = 0;                                                                             \
        for (int i = 0; i + 1 < N; i += 2) {                                                       \
            float angle = powf(10000, -(float)i / N), a = x[i], b = x[i + 1];                      \
            x[i] = a * cosf(angle) - b * sinf(angle);                                              \
            x[i + 1] = a * sinf(angle) + b * cosf(angle);                                          \
            sum += x[i] + x[i + 1];                                                                \
        }                                                                                          \
        return sum;                                                                                \
    }
SIZES(KERNEL)

float rope(float *x, size_t n) {
#define CASE(N) case N: return rope_##N(x);
    switch (n) { SIZES(CASE) }
    return 0;
}
