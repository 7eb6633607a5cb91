#include "op/activation.h"

namespace sparsebook::op {

kernels::Activation read_activation(const abi::KernelInfo& info) {
  const std::string name = info.attribute_string("activation").value_or("none");
  kernels::Activation activation;
  if (name == "none") return activation;
  if (name == "relu") {
    activation.low = 0;
    return activation;
  }
  if (name == "clip") {
    activation.low = info.attribute_float("low").value_or(activation.low);
    activation.high = info.attribute_float("high").value_or(activation.high);
    return activation;
  }
  throw abi::OperatorError("activation '" + name + "' is not known; known are none, relu and clip");
}

}  // namespace sparsebook::op
