// What kernels borrow from the session and the process that they run in.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "abi/kernel_api.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"

namespace sparsebook::op {

/// The threads of the session, for as long as a node runs.
class SessionThreads final : public kernels::Parallel {
 public:
  explicit SessionThreads(const abi::KernelContext& context) : context_(context) {}
  void run(std::size_t parts, const std::function<void(std::size_t)>& body) const override { context_.parallel_for(parts, body); }

 private:
  const abi::KernelContext& context_;
};

/// One scratch for all kernels of the process, of which few run at the same time; it goes with the last one that holds it.
[[nodiscard]] std::shared_ptr<kernels::Scratch> shared_scratch();

}  // namespace sparsebook::op
