/* Kernels over tiles of a fixed size, so that the compiler unrolls and vectorises each. */
#ifndef TILE_H
#define TILE_H
#include <math.h>
#include <stddef.h>

#define SIZES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(12) X(16) X(20) X(24) X(28) X(32)

float softmax(float *x, size_t n);
float rmsnorm(float *x, size_t n);
float gelu(float *x, size_t n);
float rope(float *x, size_t n);
float matmul(float *x, size_t n);
#endif
