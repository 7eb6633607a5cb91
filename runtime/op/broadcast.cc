#include "op/broadcast.h"

#include <algorithm>
#include <string>
#include <vector>

namespace sparsebook::op {
namespace {

// How far the elements of a tensor are apart along each axis of the result; 0 where it is repeated.
std::vector<std::size_t> strides(const abi::Shape& shape, std::size_t rank) {
  std::vector<std::size_t> found(rank, 0);
  std::size_t stride = 1;
  for (std::size_t back = 1; back <= shape.size(); ++back) {
    const std::int64_t size = shape[shape.size() - back];
    found[rank - back] = size == 1 ? 0 : stride;
    stride *= static_cast<std::size_t>(size);
  }
  return found;
}

}  // namespace

abi::Shape broadcast_shape(const abi::Shape& a, const abi::Shape& b) {
  abi::Shape result(std::max(a.size(), b.size()), 1);
  for (std::size_t back = 1; back <= result.size(); ++back) {
    const std::int64_t of_a = back <= a.size() ? a[a.size() - back] : 1, of_b = back <= b.size() ? b[b.size() - back] : 1;
    if (of_a != of_b && of_a != 1 && of_b != 1) {
      throw abi::OperatorError("the addend has shape " + abi::to_string(b) + ", which does not fit the convolution's, " + abi::to_string(a));
    }
    result[result.size() - back] = of_a == 1 ? of_b : of_a;
  }
  return result;
}

void add_broadcast(const Addend& a, const Addend& b, const kernels::Activation& activation, float* y) {
  const abi::Shape shape = broadcast_shape(a.shape, b.shape);
  const std::size_t rank = shape.size();
  const std::vector<std::size_t> of_a = strides(a.shape, rank), of_b = strides(b.shape, rank);
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  std::vector<std::int64_t> index(rank, 0);
  std::size_t at_a = 0, at_b = 0;
  for (std::size_t i = 0; i < count; ++i) {
    y[i] = activation(a.data[at_a] + b.data[at_b]);
    for (std::size_t axis = rank; axis-- > 0;) {
      at_a += of_a[axis];
      at_b += of_b[axis];
      if (++index[axis] != shape[axis]) break;
      at_a -= of_a[axis] * static_cast<std::size_t>(shape[axis]);
      at_b -= of_b[axis] * static_cast<std::size_t>(shape[axis]);
      index[axis] = 0;
    }
  }
}

}  // namespace sparsebook::op
