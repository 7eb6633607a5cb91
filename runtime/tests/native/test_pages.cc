// Blocks of every size: where they begin, that all of them can be written to, and that a vector of them grows and goes.
#include <cstdint>
#include <cstring>

#include "check.h"
#include "kernels/pages.h"

using sparsebook::kernels::allocate_block;
using sparsebook::kernels::Block;
using sparsebook::kernels::free_block;

int main() {
  constexpr std::size_t MB = 1 << 20;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{63}, std::size_t{4096}, MB, MB + MB / 3, MB + MB / 3 + 2, 2 * MB - 1, 2 * MB,
                                  3 * MB, 3 * MB + MB / 2, 5 * MB + 7}) {
    void* const block = allocate_block(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
#if defined(__linux__)  // elsewhere there are no such pages to be asked for
    CHECK(bytes < 2 * MB || reinterpret_cast<std::uintptr_t>(block) % (2 * MB) == 0);
#endif
    std::memset(block, 0x5A, bytes);
    free_block(block, bytes);
  }

  Block<std::uint16_t> values;
  for (std::size_t i = 0; i < 3 * MB; ++i) values.push_back(static_cast<std::uint16_t>(i));
  bool same = true;
  for (std::size_t i = 0; i < values.size(); ++i) same = same && values[i] == static_cast<std::uint16_t>(i);
  CHECK(same);
  Block<std::uint16_t> moved = std::move(values);
  CHECK(moved.size() == 3 * MB && values.empty());
  return check::finish();
}
