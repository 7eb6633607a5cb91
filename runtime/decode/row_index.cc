#include "decode/row_index.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "decode/bytes.h"
#include "decode/segment_reader.h"
#include "decode/segments.h"

namespace sparsebook::decode {
namespace {

// Reads one symbol after the other of a stream that lies in [bytes, bytes + size), and nothing outside of it.
class SymbolReader {
 public:
  SymbolReader(const Stream& stream, const std::uint8_t* bytes, std::size_t size)
      : stream_(stream), bytes_(bytes), size_(size) {}

  void seek(std::size_t bit) { bit_ = bit; }

  std::uint8_t next() {
    if (stream_.constant) return stream_.symbol;
    const std::uint64_t word = peek();
    if (stream_.table) {
      const HuffmanTable::Entry entry = stream_.table->lookup(word);
      bit_ += entry.length;
      return entry.symbol;
    }
    bit_ += stream_.width;
    return static_cast<std::uint8_t>(word >> (64 - stream_.width));
  }

 private:
  // Eight bytes from the current one on, zeros standing for those behind the end.
  [[nodiscard]] std::uint64_t peek() const {
    const std::size_t byte = bit_ / 8;
    if (byte + 8 <= size_) return peek_bits(bytes_, bit_);
    std::uint8_t tail[8] = {};
    if (byte < size_) std::memcpy(tail, bytes_ + byte, size_ - byte);
    return peek_bits(tail, bit_ % 8);
  }

  const Stream& stream_;
  const std::uint8_t* bytes_;
  std::size_t size_;
  std::size_t bit_ = 0;
};

std::size_t segment_bit(const Stream& stream, std::uint64_t segment) {
  return stream.constant ? 0 : static_cast<std::size_t>(segment_begin(stream, segment)) * 8;
}

}  // namespace

RowIndex::RowIndex(Payload payload, std::uint64_t rows, std::uint64_t width)
    : payload_(std::move(payload)), rows_(rows), width_(width), size_(0), codes_offset_(0), gaps_offset_(0) {
  starts_.reserve(static_cast<std::size_t>(rows_));
  SegmentReader reader(payload_);
  while (const Segment* segment = reader.next()) {
    std::uint64_t position = segment->before;
    unsigned code_bit = 0;
    unsigned gap_bit = 0;
    for (unsigned i = 0; i < segment->symbols; ++i) {
      position += std::uint64_t{segment->gaps[i]} + 1;
      for (; starts_.size() * width_ <= position && starts_.size() < rows_;) {
        starts_.push_back({static_cast<std::uint32_t>(segment->index), static_cast<std::uint16_t>(i),
                           static_cast<std::uint16_t>(code_bit), static_cast<std::uint16_t>(gap_bit),
                           static_cast<std::uint8_t>(position - starts_.size() * width_)});
      }
      code_bit += payload_.codes.bits[segment->codes[i]];
      gap_bit += payload_.gaps.bits[segment->gaps[i]];
    }
  }
  // Rows behind the last symbol are zero.
  starts_.resize(static_cast<std::size_t>(rows_), {static_cast<std::uint32_t>(payload_.segments()), 0, 0, 0, 0});

  // The bytes are the caller's; from here on their place is given with every call.
  codes_offset_ = static_cast<std::size_t>(payload_.codes.bytes - payload_.begin);
  gaps_offset_ = static_cast<std::size_t>(payload_.gaps.bytes - payload_.begin);
  size_ = static_cast<std::size_t>(payload_.end - payload_.begin);
  payload_.begin = payload_.end = payload_.codes.bytes = payload_.gaps.bytes = nullptr;
}

void RowIndex::decode(const std::uint8_t* bytes, std::uint64_t row, float* values) const {
  std::fill_n(values, width_, 0.0f);
  const RowStart& start = starts_[static_cast<std::size_t>(row)];
  SymbolReader codes(payload_.codes, bytes + codes_offset_, size_ - codes_offset_);
  SymbolReader gaps(payload_.gaps, bytes + gaps_offset_, size_ - gaps_offset_);
  std::uint64_t segment = start.segment;
  unsigned symbol = start.symbol;
  if (segment == payload_.segments()) return;
  codes.seek(segment_bit(payload_.codes, segment) + start.code_bit);
  gaps.seek(segment_bit(payload_.gaps, segment) + start.gap_bit);
  gaps.next();  // the first symbol's position is known
  for (std::uint64_t position = start.column; position < width_; position += std::uint64_t{gaps.next()} + 1) {
    values[position] = payload_.codebook[codes.next()];
    if (++symbol < payload_.segment_symbols(segment)) continue;
    if (++segment == payload_.segments()) return;
    symbol = 0;
    codes.seek(segment_bit(payload_.codes, segment));
    gaps.seek(segment_bit(payload_.gaps, segment));
  }
}

}  // namespace sparsebook::decode
