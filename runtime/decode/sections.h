// The sections of a payload, one behind the other, and those that streams are described by.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decode/payload.h"

namespace sparsebook::decode {

/// Takes the sections one behind the other; each must be there whole.
class Sections {
 public:
  Sections(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  /// The next `count` bytes. Throws PayloadError `truncated`, naming what is cut.
  const std::uint8_t* take(std::uint64_t count, const char* what);

  [[nodiscard]] const std::uint8_t* here() const { return bytes_ + offset_; }
  [[nodiscard]] std::size_t left() const { return size_ - offset_; }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
  std::size_t offset_ = 0;
};

/// Says how a stream is coded. A Huffman stream in which one symbol alone occurs is constant and needs no table.
void read_coding(Sections& sections, unsigned codec, unsigned alphabet, const char* name, Stream& stream);

/// The stored sizes of the segments of a stream of `symbols` symbols; null where none are stored.
const std::uint8_t* take_sizes(Sections& sections, const Stream& stream, std::uint64_t symbols, const char* name);

/// Bytes of a stream's segments together. `sizes` are those stored, or null. Throws PayloadError `segment-size`.
std::uint64_t stream_bytes(std::uint64_t symbols, const Stream& stream, const std::uint8_t* sizes, const char* name);

/// Notes where every segment ends, from the stored sizes, or null.
void sum_sizes(const std::uint8_t* sizes, std::uint64_t symbols, Stream& stream);

}  // namespace sparsebook::decode
