// A random sparse matrix for the kernels, and buffers that end where their data end.
#pragma once

#include <memory>
#include <random>
#include <vector>

#include "kernels/sparse_matrix.h"

struct SparseSample {
  std::size_t rows, columns;
  std::vector<std::uint64_t> start{0};
  std::vector<std::uint32_t> column;
  std::vector<std::uint8_t> code;
  std::vector<float> codebook = std::vector<float>(256);

  SparseSample(std::size_t row_count, std::size_t column_count, double density, std::mt19937& random)
      : rows(row_count), columns(column_count) {
    for (unsigned i = 1; i < 256; ++i) codebook[i] = std::normal_distribution<float>()(random);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        if (std::uniform_real_distribution<>()(random) >= density) continue;
        column.push_back(static_cast<std::uint32_t>(c));
        code.push_back(static_cast<std::uint8_t>(1 + random() % 255));
      }
      start.push_back(column.size());
    }
  }

  [[nodiscard]] sparsebook::kernels::SparseMatrix view() const {
    return {rows, columns, start.data(), column.data(), code.data(), codebook.data()};
  }

  /// The matrix in full.
  [[nodiscard]] std::vector<double> dense() const {
    std::vector<double> values(rows * columns);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::uint64_t i = start[r]; i < start[r + 1]; ++i) values[r * columns + column[i]] = codebook[code[i]];
    }
    return values;
  }
};

/// Exactly `size` floats on the heap, random.
inline std::unique_ptr<float[]> random_floats(std::size_t size, std::mt19937& random) {
  std::unique_ptr<float[]> values(new float[size]);
  for (std::size_t i = 0; i < size; ++i) values[i] = std::normal_distribution<float>()(random);
  return values;
}
