// The constants of docs/format.md, once for C++. `tests/contract` compares them with the page and with the Python module,
// so every one of them stays a plain `NAME = value;` line.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsebook::decode {

inline constexpr std::uint8_t MAGIC[4] = {0x53, 0x42, 0x4B, 0x50};
inline constexpr unsigned VERSION = 1;
inline constexpr unsigned VERSION_CONTEXT = 2;
inline constexpr std::size_t HEAD_BYTES = 24;
inline constexpr unsigned MAX_RANK = 8;
inline constexpr unsigned MAX_BITS = 8;
inline constexpr unsigned MAX_CODE_LENGTH = 12;
inline constexpr unsigned SEGMENT_SYMBOLS = 4096;
inline constexpr std::uint64_t MAX_ELEMENTS = 1ull << 36;
inline constexpr unsigned MAX_SEGMENT_BYTES = SEGMENT_SYMBOLS * MAX_CODE_LENGTH / 8;
inline constexpr std::size_t CHECKSUM_BYTES = 4;

// Numbers of ONNX's TensorProto.DataType.
inline constexpr unsigned DTYPE_FLOAT32 = 1;
inline constexpr unsigned DTYPE_FLOAT16 = 10;
inline constexpr unsigned DTYPE_FLOAT64 = 11;
inline constexpr unsigned DTYPE_BFLOAT16 = 16;

inline constexpr unsigned LAYOUT_DENSE = 0;
inline constexpr unsigned LAYOUT_GAPS = 1;
inline constexpr unsigned LAYOUT_CONTEXT = 2;

inline constexpr unsigned CODEC_FIXED = 0;
inline constexpr unsigned CODEC_HUFFMAN = 1;
inline constexpr unsigned CODEC_CONTEXT = 2;

// Nibbles above MAX_CODE_LENGTH in the run-length coded code lengths.
inline constexpr unsigned NIBBLE_ZERO_RUN = 13;
inline constexpr unsigned NIBBLE_REPEAT_RUN = 14;
inline constexpr unsigned MIN_RUN = 2;
inline constexpr unsigned MAX_RUN = 17;

// Version 2.
inline constexpr std::size_t CONTEXT_HEAD_BYTES = 8;
inline constexpr unsigned MAX_CLASSES = 8;
inline constexpr unsigned MAX_CODE_CONTEXTS = 8;
inline constexpr unsigned CONTEXT_SEGMENT = 65536;
inline constexpr unsigned CONTEXT_LANES = 4;
inline constexpr unsigned LANES_FROM = 16384;
inline constexpr unsigned PROBABILITY_BITS = 12;
inline constexpr unsigned STATE_BITS = 16;
inline constexpr unsigned MAX_MASK_LEVEL = 143;
inline constexpr unsigned MAX_FREQUENCY_LEVEL = 80;

inline constexpr unsigned MASK_NONE = 0;
inline constexpr unsigned MASK_PLAIN = 1;
inline constexpr unsigned MASK_RUNS = 2;
inline constexpr unsigned MASK_GROUPS = 3;

}  // namespace sparsebook::decode
