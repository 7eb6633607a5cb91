// The library's window: what it holds in memory.
#include <algorithm>
#include <cstring>
#include <string>

#include "abi/export.h"
#include "op/live_weights.h"

/// Writes what LiveWeights::describe says to `buffer`, as far as `size` bytes go, with a zero at the end; returns the bytes that all of
/// it takes, the zero among them, and 0 when memory is short.
SPARSEBOOK_EXPORT std::size_t SparsebookDescribe(char* buffer, std::size_t size) noexcept {
  try {
    const std::string text = sparsebook::op::LiveWeights::of_process().describe();
    if (size != 0) {
      const std::size_t length = std::min(text.size(), size - 1);
      std::memcpy(buffer, text.data(), length);
      buffer[length] = 0;
    }
    return text.size() + 1;
  } catch (...) {
    return 0;
  }
}
