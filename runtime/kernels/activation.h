// The activation that is fused behind a layer: a clip, of which none and relu are the open cases.
#pragma once

#include <limits>

namespace sparsebook::kernels {

/// min(max(x, low), high), and NaN for NaN. The default changes nothing; relu is {0, infinity}.
struct Activation {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  [[nodiscard]] float operator()(float x) const {
    x = x < low ? low : x;
    return x > high ? high : x;
  }
};

}  // namespace sparsebook::kernels
