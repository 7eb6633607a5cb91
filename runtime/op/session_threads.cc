#include "op/session_threads.h"

#include <mutex>

namespace sparsebook::op {

std::shared_ptr<kernels::Scratch> shared_scratch() {
  static std::mutex mutex;
  static std::weak_ptr<kernels::Scratch> held;
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<kernels::Scratch> scratch = held.lock();
  if (!scratch) held = scratch = std::make_shared<kernels::Scratch>();
  return scratch;
}

}  // namespace sparsebook::op
