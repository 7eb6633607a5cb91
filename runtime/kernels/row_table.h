// A table of which single rows are asked for, as embeddings are: every row is a mask of its non-zeros and a byte of code for each of
// them, 1 + 8 x density bits an element, and is expanded by itself.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cost.h"
#include "kernels/pages.h"
#include "kernels/parallel.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

class RowTable {
 public:
  /// A table that `append` has still to fill with so many non-zeros. `codebook` has 256 values, that of code 0 being zero.
  RowTable(const Variant& variant, std::uint64_t rows, std::uint64_t width, std::uint64_t nonzeros, const float* codebook,
           unsigned centroids);

  /// The next non-zero, by ascending row and column. No more than have been announced.
  void append(std::uint64_t row, std::uint64_t column, std::uint8_t code) {
    open(row + 1);
    bytes_[starts_[row] + column / 8] |= static_cast<std::uint8_t>(1u << column % 8);
    bytes_[next_++] = code;
  }
  /// There are no more non-zeros.
  void finish() { open(rows_); }

  [[nodiscard]] std::uint64_t rows() const { return rows_; }
  [[nodiscard]] std::uint64_t width() const { return width_; }

  /// Bytes that the table takes in memory.
  [[nodiscard]] std::size_t bytes() const { return bytes_of(bytes_) + starts_.size() * sizeof(std::uint64_t); }

  /// Writes row `indices[i]`, counted from the end where it is negative, to y + i * width() for i in [0, count). Every index is in
  /// [-rows(), rows()).
  template <class Index>
  void gather(const Index* indices, std::size_t count, const Parallel& parallel, float* y) const {
    const std::size_t parts = parts_of(ELEMENT_COST * static_cast<double>(count) * static_cast<double>(width_), count);
    parallel.run(parts, [&](std::size_t part) {
      const std::size_t begin = count * part / parts, end = count * (part + 1) / parts;
      // Rows lie anywhere, and no processor guesses the next one: their places are asked for first, then what lies there.
      const auto ask = [&](std::size_t i) {
        if (i + AHEAD < end) __builtin_prefetch(&starts_[row_of(indices[i + AHEAD])]);
        if (i < end) prefetch(row_of(indices[i]));
      };
      for (std::size_t i = begin; i < begin + AHEAD; ++i) ask(i);
      for (std::size_t i = begin; i < end; ++i) {
        ask(i + AHEAD);
        expand(row_of(indices[i]), y + i * width_);
      }
    });
  }

 private:
  static constexpr double ELEMENT_COST = 0.5;  // in the unit of cost.h
  static constexpr std::size_t AHEAD = 4;      // rows: 160 ns of work at a width of 384

  template <class Index>
  [[nodiscard]] std::uint64_t row_of(Index index) const {
    return static_cast<std::uint64_t>(index) + (index < 0 ? rows_ : 0);  // modulo 2^64
  }
  void open(std::uint64_t rows);
  void prefetch(std::uint64_t row) const;
  void expand(std::uint64_t row, float* y) const;

  ExpandKernel kernel_;
  std::uint64_t rows_;
  std::uint64_t width_;
  std::uint64_t mask_bytes_;
  std::array<float, 256> codebook_{};
  std::uint64_t next_ = 0;             ///< where the next code or mask goes
  std::vector<std::uint64_t> starts_;  ///< of every row, which begins with its mask
  Block<std::uint8_t> bytes_;
};

}  // namespace sparsebook::kernels
