#include "tile.h"

static const float EPSILON = 1e-5f;

#define KERNEL(N)                                                                                   \
    static float rmsnorm_##N(float *x) {                                                           \
        float sum = 0;                                                                             \
        for (int i = 0; i < N; i++)                                                                \
            sum += x[i] * x[i];                                                                    \
        float scale = 1 / sqrtf(sum / N + EPSILON);                                                \
        for (int i = 0; i < N; i++)                                                                \
            x[i] *= scale;                                                                         \
        return scale;                                                                              \
    }
SIZES(KERNEL)

float rmsnorm(float *x, size_t n) {
#define CASE(N) case N: return rmsnorm_##N(x);
    switch (n) { SIZES(CASE) }
    return 0;
}
