// Numbers in few bits: a block has a scale, and each number of it BITS bits.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

std::vector<int> pack(const std::vector<float> &numbers, int bits);
std::vector<float> unpack(const std::vector<int> &packed, float scale);

template <int BITS> int clamped(float x) {
    constexpr int most = (1 << (BITS - 1)) - 1;
    return std::clamp(static_cast<int>(std::lround(x)), -most - 1, most);
}
