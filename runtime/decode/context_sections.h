// The sections of a payload of version 2 (docs/format.md, section 7).
#pragma once

#include <cstdint>

#include "decode/payload.h"
#include "decode/sections.h"

namespace sparsebook::decode {

/// Finds the sections, and reads them once the checksum has passed.
class ContextSections {
 public:
  /// `payload` has its header read.
  explicit ContextSections(const Payload& payload) : payload_(payload) {}

  /// Takes all sections between the codebook and the checksum. Throws PayloadError `truncated`, `contexts`, `code-lengths` or
  /// `segment-size`.
  void take(Sections& sections);

  /// Makes `payload.contexts` of them. Throws PayloadError `stream`, `probabilities`, `cells` or `frequencies`.
  void read(Payload& payload);

 private:
  void take_head(Sections& sections);
  void take_segments(Sections& sections);

  const Payload& payload_;
  Contexts contexts_;
  unsigned contexts_of_codes_ = 1;
  unsigned alphabet_ = 0;
  std::uint64_t rows_ = 1;
  Stream row_classes_;
  Stream column_classes_;
  const std::uint8_t* row_sizes_ = nullptr;
  const std::uint8_t* column_sizes_ = nullptr;
  const std::uint8_t* levels_ = nullptr;
  const std::uint8_t* cells_ = nullptr;
  const std::uint8_t* code_levels_ = nullptr;
  const std::uint8_t* sizes_ = nullptr;
};

}  // namespace sparsebook::decode
