// How a kernel asks for help: the parts of its work, which any threads may do in any order.
#pragma once

#include <cstddef>
#include <functional>

namespace sparsebook::kernels {

/// Who does the parts.
class Parallel {
 public:
  virtual ~Parallel() = default;

  /// Calls body(part) once for every part in [0, parts) and returns when all calls have returned. What it throws, if the calls
  /// throw, is what one of them threw. A kernel's parts write to different places and depend on shapes alone, so that the
  /// result has the same bits on any number of threads.
  virtual void run(std::size_t parts, const std::function<void(std::size_t)>& body) const = 0;
};

/// The caller's own thread.
class Serial final : public Parallel {
 public:
  void run(std::size_t parts, const std::function<void(std::size_t)>& body) const override {
    for (std::size_t part = 0; part < parts; ++part) body(part);
  }
};

}  // namespace sparsebook::kernels
