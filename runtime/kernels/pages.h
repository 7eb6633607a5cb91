// Memory for what a layer is computed from: large blocks lie in large pages where the system has them.
//
// A layer of some MB is read once a run, and by then neither it nor the entries of its page tables are in any cache: a walk for every 4 KB
// took as long as the bytes themselves. docs/adr/0018 has the measurements.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace sparsebook::kernels {

/// Memory of at least so many bytes, from the beginning of a cache line on, on Linux from 1.3 MB on of a large page. Throws std::bad_alloc.
[[nodiscard]] void* allocate_block(std::size_t bytes);

/// Gives back what `allocate_block` gave for as many bytes.
void free_block(void* block, std::size_t bytes) noexcept;

/// What a block of so many bytes takes.
[[nodiscard]] std::size_t block_bytes(std::size_t bytes);

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

/// What a container takes.
template <class T>
[[nodiscard]] std::size_t bytes_of(const Block<T>& block) {
  return block_bytes(block.capacity() * sizeof(T));
}

}  // namespace sparsebook::kernels
