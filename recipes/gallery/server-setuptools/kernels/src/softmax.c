#include "tile.h"

#define KERNEL(N)                                                                                   \
    static float softmax_##N(float *x) {                                                           \
        float most = x[0], sum = 0;                                                                \
        for (int i = 1; i < N; i++)                                                                \
            most = x[i] > most ? x[i] : most;                                                      \
        for (int i = 0; i < N; i++)                                                                \
            sum += x[i] = expf(x[i] - most);                                                       \
        for (int i = 0; i < N; i++)                                                                \
            x[i] /= sum;                                                                           \
        return sum;                                                                                \
    }
SIZES(KERNEL)

float softmax(float *x, size_t n) {
#define CASE(N) case N: return softmax_##N(x);
    switch (n) { SIZES(CASE) }
    return 0;
}
