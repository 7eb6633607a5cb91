// A random sparse matrix for the kernels.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/sparse_matrix.h"

struct SparseSample {
  std::size_t rows, columns;
  unsigned centroids;
  std::vector<std::uint64_t> start{0};
  std::vector<std::uint32_t> column;
  std::vector<std::uint8_t> code;
  std::vector<float> codebook = std::vector<float>(256);

  /// Where `clustered`, non-zeros come in runs, as those of trained weights do.
  SparseSample(std::size_t row_count, std::size_t column_count, double density, std::mt19937& random, unsigned highest_code = 255,
               bool clustered = false)
      : rows(row_count), columns(column_count), centroids(highest_code) {
    for (unsigned i = 1; i <= centroids; ++i) codebook[i] = std::normal_distribution<float>()(random);
    for (std::size_t r = 0; r < rows; ++r) {
      double here = density;
      for (std::size_t c = 0; c < columns; ++c) {
        if (clustered && c % 32 == 0) here = random() % 4 == 0 ? std::min(1.0, 4 * density) : 0.0;
        if (std::uniform_real_distribution<>()(random) >= here) continue;
        column.push_back(static_cast<std::uint32_t>(c));
        code.push_back(static_cast<std::uint8_t>(1 + random() % centroids));
      }
      start.push_back(column.size());
    }
  }

  /// Puts another's rows below, which has as many columns; its values become this one's.
  void append(const SparseSample& below) {
    for (std::size_t r = 1; r <= below.rows; ++r) start.push_back(column.size() + below.start[r]);
    column.insert(column.end(), below.column.begin(), below.column.end());
    code.insert(code.end(), below.code.begin(), below.code.end());
    rows += below.rows;
  }

  [[nodiscard]] sparsebook::kernels::SparseMatrix view() const {
    return {rows, columns, start.data(), column.data(), code.data(), codebook.data(), centroids};
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
