// Floats between two pages that nobody may touch: a kernel that reads or writes beyond its buffer stops the test.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <random>

class Guarded {
 public:
  /// `size` floats that end where the forbidden page begins, or, where `at_start`, begin where the one before ends. At the end they are
  /// aligned to a float and to nothing more, unless `size` happens to be.
  explicit Guarded(std::size_t size, bool at_start = false) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inner = (size * sizeof(float) + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    memory_ = static_cast<std::uint8_t*>(mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED || (inner != 0 && mprotect(memory_ + page, inner, PROT_READ | PROT_WRITE) != 0)) throw std::bad_alloc();
    std::uint8_t* const begin = memory_ + page + (at_start ? 0 : inner - size * sizeof(float));
    data_ = reinterpret_cast<float*>(begin);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { munmap(memory_, mapped_); }

  Guarded& fill(std::mt19937& random) {
    for (std::size_t i = 0; i < size_; ++i) data_[i] = std::normal_distribution<float>()(random);
    return *this;
  }

  [[nodiscard]] float* get() const { return data_; }
  float& operator[](std::size_t index) const { return data_[index]; }

 private:
  std::size_t size_;
  std::size_t mapped_;
  std::uint8_t* memory_;
  float* data_;
};
