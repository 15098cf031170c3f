#include "tile.h"

#define KERNEL(N)                                                                                   \
    static float gelu_##N(float *x) {                                                              \
        float sum = 0;                                                                             \
        for (int i = 0; i < N; i++)                                                                \
            sum += x[i] = 0.5f * x[i] * (1 + tanhf(0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i]))); \
        return sum;                                                                                \
    }
SIZES(KERNEL)

float gelu(float *x, size_t n) {
#define CASE(N) case N: return gelu_##N(x);
    switch (n) { SIZES(CASE) }
    return 0;
}
