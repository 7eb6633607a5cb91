// A payload's weight as dense floats.
#pragma once

#include "decode/payload.h"

namespace sparsebook::decode {

/// Writes the `payload.elements` values, row-major, to `values`. Every stored value is exact in float32.
/// Throws PayloadError; `values` is then to be thrown away.
void decode_dense(const Payload& payload, float* values);

}  // namespace sparsebook::decode
