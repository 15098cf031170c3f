#include "quantise.h"

std::vector<float> unpack(const std::vector<int> &packed, float scale) {
    std::vector<float> out(packed.size());
    std::transform(packed.begin(), packed.end(), out.begin(), [&](int x) { return static_cast<float>(x) * scale; });
    return out;
}
