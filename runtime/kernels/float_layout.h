// The layout of small weights that have few zeros, for one row of activations or a few: their floats.
//
// Products of one row do nothing with a value but multiply it once, so that looking it up takes several times as long as loading it from a
// core's own cache. Nothing is saved there by codes, and every step of a recurrent layer is such a product.
#pragma once

#include <cstddef>

#include "kernels/pages.h"
#include "kernels/sparse_matrix.h"
#include "kernels/variant.h"

namespace sparsebook::kernels {

/// Rows lie in strips of 4, 2 or 1 vectors, side by side, column after column.
class FloatLayout {
 public:
  FloatLayout(const Variant& variant, const SparseMatrix& weight);

  /// Whether the floats of a weight of this shape fit into a core's own cache.
  [[nodiscard]] static bool fits(const Variant& variant, std::size_t rows, std::size_t columns);

  /// Whether floats are to be taken for one row of activations that costs so much otherwise.
  [[nodiscard]] static bool beats(const Variant& variant, std::size_t rows, std::size_t columns, double other);

  /// Of so many rows of activations, in the variant's unit.
  [[nodiscard]] static double cost(const Variant& variant, std::size_t rows, std::size_t columns, std::size_t activations);

  [[nodiscard]] std::size_t bytes() const { return bytes_of(floats_); }
  [[nodiscard]] std::size_t strips() const { return strips_; }
  /// The first row of a strip; of the one behind the last, the number of rows with those that fill its last vector.
  [[nodiscard]] std::size_t first_row(std::size_t strip) const;

  /// The products of a strip's rows with the first of so many rows of activations, at most as many as a kernel takes; returns with how many.
  /// Sums of one row of activations come behind those of the one before, rows of the strip each.
  std::size_t dot(std::size_t strip, const float* x, std::size_t row_stride, std::size_t column_stride, std::size_t activations,
                  float* sums) const;

  /// The weight again, by rows. `weight`: its codebook and centroids; of codes with the same value the first is given.
  [[nodiscard]] OwnedMatrix unpacked(const float* codebook, unsigned centroids) const;

 private:
  [[nodiscard]] std::size_t vectors() const { return (rows_ + variant_->lanes - 1) / variant_->lanes; }
  [[nodiscard]] unsigned width(std::size_t strip) const;
  [[nodiscard]] const float* at(std::size_t row, std::size_t column) const;

  const Variant* variant_;
  std::size_t rows_;
  std::size_t columns_;
  std::size_t strips_;
  Block<float> floats_;
};

}  // namespace sparsebook::kernels
