// What a convolution is given: its weight, in the layout that the kernels take, and what its sums meet.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "kernels/activation.h"
#include "kernels/late.h"
#include "kernels/scratch.h"
#include "kernels/sparse_matrix.h"
#include "kernels/tap_layout.h"
#include "kernels/variant.h"
#include "kernels/wide_layout.h"

namespace sparsebook::kernels {

/// A weight in the layout that convolutions take: one of its own for every group, or taps where groups have few output channels.
class ConvWeight {
 public:
  /// `weight` has a row an output channel, columns in the order channel of the group, kernel elements. `transforms`: Winograd's for
  /// the convolutions that it is for; null where there are none.
  ConvWeight(const Variant& variant, const SparseMatrix& weight, std::size_t groups, const WinogradTransforms* transforms);

  [[nodiscard]] const Variant& variant() const { return *variant_; }
  /// Null where groups have layouts of their own.
  [[nodiscard]] const TapLayout* taps() const { return taps_ ? &*taps_ : nullptr; }
  /// The form of all groups, as the weight was decoded.
  [[nodiscard]] WideForm decoded_form() const { return groups_.front().is_sparse() ? WideForm::BLOCKS : WideForm::CODES; }
  /// Codes that are there for Winograd's tiles: some shapes may want blocks instead.
  [[nodiscard]] bool is_for_winograd() const { return is_for_winograd_; }
  /// The group's layout of blocks is made when it is wanted first, if the weight was decoded into codes.
  [[nodiscard]] const WideLayout& group(std::size_t index, WideForm form) const;
  /// The cheapest tiles of all groups' blocks for so many outputs, in the variant's unit.
  [[nodiscard]] double blocks_cost(std::size_t outputs) const;
  [[nodiscard]] std::size_t columns() const { return columns_; }
  [[nodiscard]] const float* codebook() const { return codebook_.data(); }
  /// Whether codes have no more than NARROW_CODE bits.
  [[nodiscard]] bool is_narrow() const { return centroids_ < 1u << NARROW_CODE; }
  [[nodiscard]] std::size_t bytes() const;
  /// "taps", "block" or "codes" (wide_layout.h), or "codes+block".
  [[nodiscard]] const char* form() const;

 private:
  const Variant* variant_;
  std::size_t columns_;
  std::vector<float> codebook_;
  std::optional<TapLayout> taps_;
  std::vector<WideLayout> groups_;
  bool is_for_winograd_ = false;
  std::uint64_t nonzeros_;
  unsigned centroids_;
  Late<std::vector<WideLayout>> blocks_;
};

/// What is convolved, and what its sums meet before they are stored.
struct ConvArguments {
  const float* x;
  const float* scale = nullptr;   ///< a value an output channel; null for ones
  const float* bias = nullptr;    ///< a value an output channel; null for none
  const float* addend = nullptr;  ///< a value an output; null for none
  Activation activation;
};

/// What all parts of one run have in common.
struct ConvCall {
  const ConvWeight& weight;
  const ConvArguments& arguments;
  Scratch& scratch;
  float* y;
};

}  // namespace sparsebook::kernels
