// Memory for what a layer is computed from: large blocks lie in large pages where the system has them.
//
// A layer of some MB is read once a run, and by then neither it nor the entries of its page tables are in any cache: a walk for every 4 KB
// took as long as the bytes themselves. In pages of 2 MB a fully connected layer of 3.4 MB, evicted, was read at 18 GB/s where it
// had been read at 12 (Sapphire Rapids, virtual machine).
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace sparsebook::kernels {

/// Memory of at least so many bytes, from the beginning of a cache line or a large page on. Throws std::bad_alloc.
[[nodiscard]] void* allocate_block(std::size_t bytes);

/// Gives back what `allocate_block` gave for as many bytes.
void free_block(void* block, std::size_t bytes) noexcept;

/// For containers of a layout.
template <class T>
struct BlockAllocator {
  using value_type = T;
  BlockAllocator() = default;
  template <class U>
  BlockAllocator(const BlockAllocator<U>&) noexcept {}  // as allocators are: from one for another type
  [[nodiscard]] T* allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(allocate_block(count * sizeof(T)));
  }
  void deallocate(T* block, std::size_t count) noexcept { free_block(block, count * sizeof(T)); }
  friend bool operator==(const BlockAllocator&, const BlockAllocator&) noexcept { return true; }
  friend bool operator!=(const BlockAllocator&, const BlockAllocator&) noexcept { return false; }
};

template <class T>
using Block = std::vector<T, BlockAllocator<T>>;

}  // namespace sparsebook::kernels
