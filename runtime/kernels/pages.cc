#include "kernels/pages.h"

#include <algorithm>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sparsebook::kernels {
namespace {

constexpr std::align_val_t CACHE_LINE{64};

#if defined(__linux__)
constexpr std::size_t HUGE_PAGE = std::size_t{2} << 20;
constexpr std::size_t MOST_PAGE = std::size_t{64} << 10;  // of any machine's small ones

std::size_t rounded_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

// How much of a block lies in large pages: whole ones, and a last one of which a third at most stays empty.
std::size_t huge_bytes(std::size_t bytes) { return bytes / HUGE_PAGE * HUGE_PAGE + (3 * (bytes % HUGE_PAGE) >= 2 * HUGE_PAGE ? HUGE_PAGE : 0); }

std::size_t mapped_bytes(std::size_t bytes) { return std::max(rounded_up(bytes, MOST_PAGE), huge_bytes(bytes)); }

// From the system itself: what malloc takes back it lends to others, large pages and all.
void* map_block(std::size_t bytes) {
  const std::size_t size = mapped_bytes(bytes);
  if (size < bytes || size + HUGE_PAGE < size) throw std::bad_alloc();
  void* const mapped = ::mmap(nullptr, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<std::uint8_t*>(mapped);
  const std::size_t before = (HUGE_PAGE - reinterpret_cast<std::uintptr_t>(begin) % HUGE_PAGE) % HUGE_PAGE;
  std::uint8_t* const block = begin + before;
  if (before != 0) ::munmap(begin, before);
  if (before != HUGE_PAGE) ::munmap(block + size, HUGE_PAGE - before);
  // A wish: where it is not granted, small pages serve.
  static_cast<void>(::madvise(block, huge_bytes(bytes), MADV_HUGEPAGE));
  return block;
}

bool is_mapped(std::size_t bytes) { return huge_bytes(bytes) != 0; }
#endif

}  // namespace

void* allocate_block(std::size_t bytes) {
#if defined(__linux__)
  if (is_mapped(bytes)) return map_block(bytes);
#endif
  return ::operator new(bytes, CACHE_LINE);
}

void free_block(void* block, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__)
  if (block != nullptr && is_mapped(bytes)) {
    ::munmap(block, mapped_bytes(bytes));
    return;
  }
#endif
  ::operator delete(block, CACHE_LINE);
}

std::size_t block_bytes(std::size_t bytes) {
#if defined(__linux__)
  if (is_mapped(bytes)) return mapped_bytes(bytes);
#endif
  return bytes;
}

}  // namespace sparsebook::kernels
