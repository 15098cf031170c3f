#include "tile.h"

#define KERNEL(N)                                                                                   \
    static float matmul_##N(float *x) {                                                            \
        float c[N][N], sum = 0;                                                                    \
        for (int i = 0; i < N; i++)                                                                \
            for (int j = 0; j < N; j++) {                                                          \
                c[i][j] = 0;                                                                       \
                for (int k = 0; k < N; k++)                                                        \
                    c[i][j] += x[i] * x[j] + x[k];                                                 \
            }                                                                                      \
        for (int i = 0; i < N; i++)                                                                \
            for (int j = 0; j < N; j++)                                                            \
                sum += c[i][j];                                                                    \
        return sum;                                                                                \
    }
SIZES(KERNEL)

float matmul(float *x, size_t n) {
#define CASE(N) case N: return matmul_##N(x);
    switch (n) { SIZES(CASE) }
    return 0;
}
