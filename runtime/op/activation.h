// The attributes `activation`, `low` and `high`.
#pragma once

#include "abi/kernel_api.h"
#include "kernels/activation.h"

namespace sparsebook::op {

/// Throws OperatorError for an activation that is not known.
[[nodiscard]] kernels::Activation read_activation(const abi::KernelInfo& info);

}  // namespace sparsebook::op
