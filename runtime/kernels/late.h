// Something that is made when it is wanted first, by whichever thread wants it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

namespace sparsebook::kernels {

template <class T>
class Late {
 public:
  /// What make() has returned, now or before. What it throws passes, and the next call tries again.
  template <class Make>
  [[nodiscard]] const T& get(const Make& make) const {
    if (const T* const made = this->made()) return *made;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!owned_) {
      owned_ = std::make_unique<const T>(make());
      made_.store(owned_.get(), std::memory_order_release);
    }
    return *owned_;
  }

  /// Null as long as nobody has wanted it.
  [[nodiscard]] const T* made() const { return made_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;
  mutable std::unique_ptr<const T> owned_;
  mutable std::atomic<const T*> made_{nullptr};
};

}  // namespace sparsebook::kernels
