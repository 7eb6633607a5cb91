#include "kernels/pages.h"

#include <algorithm>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sparsebook::kernels {
namespace {

constexpr std::size_t CACHE_LINE = 64;
constexpr std::size_t HUGE_PAGE = std::size_t{2} << 20;

// How much of a block lies in large pages: whole ones, and a last one of which a third at most stays empty.
std::size_t huge_bytes(std::size_t bytes) { return bytes / HUGE_PAGE * HUGE_PAGE + (3 * (bytes % HUGE_PAGE) >= 2 * HUGE_PAGE ? HUGE_PAGE : 0); }

std::align_val_t alignment_of(std::size_t bytes) { return std::align_val_t{huge_bytes(bytes) != 0 ? HUGE_PAGE : CACHE_LINE}; }

}  // namespace

void* allocate_block(std::size_t bytes) {
  const std::size_t huge = huge_bytes(bytes);
  void* const block = ::operator new(std::max(bytes, huge), alignment_of(bytes));
#if defined(__linux__)
  // A wish: where it is not granted, small pages serve.
  if (huge != 0) static_cast<void>(::madvise(block, huge, MADV_HUGEPAGE));
#endif
  return block;
}

void free_block(void* block, std::size_t bytes) noexcept { ::operator delete(block, alignment_of(bytes)); }

}  // namespace sparsebook::kernels
