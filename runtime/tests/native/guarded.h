// Floats between two pages that nobody may touch: a kernel that reads or writes beyond its buffer stops the test.
#pragma once

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#undef far  // words that it takes from everyone
#undef near
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <cstddef>
#include <cstdint>
#include <new>
#include <random>

/// Memory of which nothing may be touched, and a part of it that may.
namespace pages {

#if defined(_WIN32)
inline std::size_t size() {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwPageSize;
}
inline void* forbidden(std::size_t bytes) { return VirtualAlloc(nullptr, bytes, MEM_RESERVE, PAGE_NOACCESS); }
inline bool allow(void* begin, std::size_t bytes) { return VirtualAlloc(begin, bytes, MEM_COMMIT, PAGE_READWRITE) != nullptr; }
inline void give_back(void* begin, std::size_t /*bytes*/) { VirtualFree(begin, 0, MEM_RELEASE); }
#else
inline std::size_t size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
inline void* forbidden(std::size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}
inline bool allow(void* begin, std::size_t bytes) { return mprotect(begin, bytes, PROT_READ | PROT_WRITE) == 0; }
inline void give_back(void* begin, std::size_t bytes) { munmap(begin, bytes); }
#endif

}  // namespace pages

class Guarded {
 public:
  /// `size` floats that end where the forbidden page begins, or, where `at_start`, begin where the one before ends. At the end they are
  /// aligned to a float and to nothing more, unless `size` happens to be.
  explicit Guarded(std::size_t size, bool at_start = false) : size_(size) {
    const std::size_t page = pages::size();
    const std::size_t inner = (size * sizeof(float) + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    memory_ = static_cast<std::uint8_t*>(pages::forbidden(mapped_));
    if (memory_ == nullptr || (inner != 0 && !pages::allow(memory_ + page, inner))) throw std::bad_alloc();
    std::uint8_t* const begin = memory_ + page + (at_start ? 0 : inner - size * sizeof(float));
    data_ = reinterpret_cast<float*>(begin);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { pages::give_back(memory_, mapped_); }

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
