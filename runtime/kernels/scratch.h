// Memory that kernels write to before they read from it, kept from run to run: pages that the system has cleared once are not cleared
// again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "kernels/pages.h"

namespace sparsebook::kernels {

/// Lends aligned buffers to as many threads as ask.
class Scratch {
  struct Free {
    std::size_t bytes = 0;
    void operator()(void* data) const noexcept { free_block(data, bytes); }
  };
  using Buffer = std::unique_ptr<void, Free>;

 public:
  class Loan {
   public:
    Loan(Scratch& owner, std::size_t bytes) : owner_(owner), buffer_(owner.take(bytes)) {}
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() { owner_.give_back(std::move(buffer_)); }
    [[nodiscard]] float* floats() const { return reinterpret_cast<float*>(bytes()); }
    [[nodiscard]] std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(buffer_.get()); }

   private:
    Scratch& owner_;
    Buffer buffer_;
  };

  /// A buffer of at least so many bytes, for as long as the loan lives. Throws std::bad_alloc.
  [[nodiscard]] Loan lend(std::size_t bytes) { return Loan(*this, bytes); }

 private:
  // What is larger is given back to the system: it would stay for as long as any kernel lives, and clearing its pages anew is little beside
  // what is done in it.
  static constexpr std::size_t MOST_KEPT = std::size_t{32} << 20;

  Buffer take(std::size_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (Buffer& kept : kept_) {
        if (kept.get_deleter().bytes < bytes) continue;
        Buffer found = std::move(kept);
        kept = std::move(kept_.back());
        kept_.pop_back();
        return found;
      }
      if (!kept_.empty()) kept_.pop_back();  // too small: a larger one takes its place
    }
    return {allocate_block(bytes), Free{bytes}};
  }

  void give_back(Buffer buffer) noexcept {
    if (buffer.get_deleter().bytes > MOST_KEPT) return;
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      kept_.push_back(std::move(buffer));
    } catch (const std::bad_alloc&) {
      // The buffer goes with its last owner.
    }
  }

  std::mutex mutex_;
  std::vector<Buffer> kept_;
};

}  // namespace sparsebook::kernels
