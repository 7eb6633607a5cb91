// Writes payloads field by field, right ones and wrong ones, from docs/format.md alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "decode/crc32.h"

namespace builder {

using Bytes = std::vector<std::uint8_t>;

inline void put(Bytes& to, std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) to.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}

inline void append(Bytes& to, const Bytes& from) { to.insert(to.end(), from.begin(), from.end()); }

class BitWriter {
 public:
  void put(std::uint32_t word, unsigned length) {
    for (unsigned i = length; i-- > 0;) {
      if (bit_++ % 8 == 0) bytes_.push_back(0);
      if ((word >> i & 1) != 0) bytes_.back() |= static_cast<std::uint8_t>(0x80u >> (bit_ - 1) % 8);
    }
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
  std::size_t bit_ = 0;
};

/// One stream; with `lengths` it is Huffman coded, without fixed width.
struct Stream {
  Bytes symbols;
  Bytes lengths;  ///< of the alphabet, 0 where a symbol does not occur

  [[nodiscard]] bool constant() const {
    int occurring = 0;
    for (const std::uint8_t length : lengths) occurring += length != 0;
    return occurring == 1;
  }

  /// Code words by symbol (RFC 1951, section 3.2.2), or the symbols themselves.
  [[nodiscard]] std::vector<std::uint32_t> words() const {
    std::vector<std::uint32_t> result(256);
    if (lengths.empty()) {
      for (std::uint32_t s = 0; s < 256; ++s) result[s] = s;
      return result;
    }
    std::uint32_t word = 0;
    for (unsigned length = 1; length <= 12; ++length, word <<= 1) {
      for (std::size_t s = 0; s < lengths.size(); ++s) {
        if (lengths[s] == length) result[s] = word++;
      }
    }
    return result;
  }

  [[nodiscard]] std::vector<Bytes> segments(unsigned width) const {
    std::vector<Bytes> result;
    if (constant()) return result;
    const std::vector<std::uint32_t> code = words();
    for (std::size_t begin = 0; begin < symbols.size(); begin += 4096) {
      BitWriter bits;
      for (std::size_t i = begin; i < symbols.size() && i < begin + 4096; ++i) {
        bits.put(code[symbols[i]], lengths.empty() ? width : lengths[symbols[i]]);
      }
      result.push_back(bits.bytes());
    }
    return result;
  }
};

struct Payload {
  unsigned dtype = 1, layout = 1, bits = 3, gap_bits = 4, codebook_dtype = 1, reserved = 0, version = 1;
  std::vector<std::uint32_t> shape;
  std::vector<float> codebook;
  Stream codes, gaps;

  [[nodiscard]] Bytes bytes() const {
    Bytes out = {'S', 'B', 'K', 'P'};
    for (const unsigned field : {version, dtype, static_cast<unsigned>(shape.size()), layout, bits, gap_bits, codebook_dtype,
                                 static_cast<unsigned>(!codes.lengths.empty()), static_cast<unsigned>(!gaps.lengths.empty()),
                                 reserved}) {
      put(out, field, 1);
    }
    put(out, codebook.size(), 2);
    put(out, codes.symbols.size(), 8);
    for (const std::uint32_t dimension : shape) put(out, dimension, 4);
    for (const float value : codebook) {
      std::uint32_t word = 0;
      std::memcpy(&word, &value, 4);
      put(out, word, 4);
    }
    for (const Stream* stream : {&codes, &gaps}) {  // every length as a nibble of its own
      BitWriter nibbles;
      for (const std::uint8_t length : stream->lengths) nibbles.put(length, 4);
      append(out, nibbles.bytes());
    }
    const std::vector<Bytes> code_segments = codes.segments(bits);
    const std::vector<Bytes> gap_segments = layout == 1 ? gaps.segments(gap_bits) : std::vector<Bytes>{};
    if (!codes.lengths.empty()) {
      for (const Bytes& segment : code_segments) put(out, segment.size(), 2);
    }
    if (!gaps.lengths.empty()) {
      for (const Bytes& segment : gap_segments) put(out, segment.size(), 2);
    }
    for (const Bytes& segment : code_segments) append(out, segment);
    for (const Bytes& segment : gap_segments) append(out, segment);
    return sealed(out);
  }

  /// The bytes with their checksum behind them.
  static Bytes sealed(Bytes body) {
    put(body, sparsebook::decode::crc32(body.data(), body.size()), 4);
    return body;
  }
};

/// The payload without its checksum, changed, and sealed again.
template <class Change>
Bytes changed(const Bytes& payload, Change&& change) {
  Bytes body(payload.begin(), payload.end() - 4);
  change(body);
  return Payload::sealed(std::move(body));
}

/// Lengths of a complete code for 2..256 symbols: up to three short words, the rest as even as a complete code can be.
inline Bytes skewed_lengths(std::size_t alphabet) {
  const std::size_t shortest = std::min<std::size_t>(3, alphabet - 2);
  Bytes lengths;
  for (std::size_t i = 0; i < shortest; ++i) lengths.push_back(static_cast<std::uint8_t>(i + 1));
  const std::size_t left = alphabet - shortest;
  unsigned depth = 0;
  while (std::size_t{1} << depth < left) ++depth;
  const std::size_t shorter = (std::size_t{1} << depth) - left;
  for (std::size_t i = 0; i < left; ++i) lengths.push_back(static_cast<std::uint8_t>(shortest + depth - (i < shorter ? 1 : 0)));
  return lengths;
}

/// A weight and the payload that stands for it.
struct Sample {
  Payload payload;
  std::vector<float> values;
};

struct SampleOptions {
  double density = 0.3;
  bool dense = false;
  bool huffman = true;
  unsigned centroids = 7, bits = 3, gap_bits = 4;
};

inline Sample sample(std::vector<std::uint32_t> shape, const SampleOptions& options, unsigned seed) {
  std::mt19937 random(seed);
  Sample made;
  Payload& payload = made.payload;
  payload.layout = options.dense ? 0 : 1;
  payload.bits = options.bits;
  payload.gap_bits = options.dense ? 0 : options.gap_bits;
  payload.shape = std::move(shape);
  for (unsigned i = 0; i < options.centroids; ++i) payload.codebook.push_back(0.25f * static_cast<float>(i + 1) - 1.125f);
  std::size_t elements = 1;
  for (const std::uint32_t dimension : payload.shape) elements *= dimension;
  const unsigned widest = (1u << options.gap_bits) - 1;
  unsigned gap = 0;
  for (std::size_t i = 0; i < elements; ++i) {
    const bool kept = std::uniform_real_distribution<>()(random) < options.density;
    const auto code = static_cast<std::uint8_t>(kept ? 1 + random() % options.centroids : 0);
    made.values.push_back(code == 0 ? 0 : payload.codebook[code - 1]);
    if (options.dense) {
      payload.codes.symbols.push_back(code);
    } else if (code != 0 || gap == widest) {
      payload.codes.symbols.push_back(code);
      payload.gaps.symbols.push_back(static_cast<std::uint8_t>(gap));
      gap = 0;
    } else {
      ++gap;
    }
  }
  if (options.huffman && !payload.codes.symbols.empty()) {
    payload.codes.lengths = skewed_lengths(options.centroids + 1);
    if (!options.dense) payload.gaps.lengths = skewed_lengths(std::size_t{1} << options.gap_bits);
  }
  return made;
}

}  // namespace builder
