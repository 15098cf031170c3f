#include "quantise.h"

#include <stdexcept>

static constexpr float MARGIN = 1.0f;

template <int BITS> static std::vector<int> packed(const std::vector<float> &numbers) {
    float most = 0;
    for (float x : numbers)
        most = std::max(most, std::abs(x));
    const float scale = most > 0 ? ((1 << (BITS - 1)) - 1) / (MARGIN * most) : 0;
    std::vector<int> out(numbers.size());
    std::transform(numbers.begin(), numbers.end(), out.begin(), [&](float x) { return clamped<BITS>(x * scale); });
    return out;
}

std::vector<int> pack(const std::vector<float> &numbers, int bits) {
    switch (bits) {
    case 2: return packed<2>(numbers);
    case 3: return packed<3>(numbers);
    case 4: return packed<4>(numbers);
    case 8: return packed<8>(numbers);
    }
    throw std::invalid_argument("bits: expected 2, 3, 4 or 8");
}
