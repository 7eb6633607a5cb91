#include "kernels/conv_weight.h"

#include <algorithm>
#include <utility>

#include "kernels/winograd.h"

namespace sparsebook::kernels {
namespace {

// Columns of a block: with a tile of 128 outputs 32 KB, which stay in the first cache while all output channels pass over them.
constexpr std::size_t BLOCK_COLUMNS = 64;
// Groups with no more output channels than this are convolved tap by tap: a panel takes as long as four rows of taps do.
constexpr std::size_t FEW_OUTPUTS = 3;
// An image that has tiles enough to make up for transforming the weights: where blocks cost less even there, codes are for nothing.
constexpr std::size_t WINOGRAD_SIDE = 28;

double sparse_cost(const Variant& variant, std::size_t outputs, std::size_t rows, std::size_t columns, std::uint64_t nonzeros) {
  const std::uint64_t block_rows = std::uint64_t{(columns + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS} * rows;
  return cheapest_block_tile(variant, outputs, nonzeros + block_rows / 2, block_rows, 0).cost;
}

bool winograd_pays(const Variant& variant, const SparseMatrix& weight, std::size_t groups, const WinogradTransforms& transforms) {
  ConvShape shape;
  shape.batch = 1;
  shape.group = groups;
  shape.group_inputs = weight.columns / (std::size_t{transforms.high.taps} * transforms.wide.taps);
  shape.group_outputs = weight.rows / groups;
  std::size_t outputs = 1;
  for (const auto& [axis, of] : {std::pair(1, transforms.high), std::pair(2, transforms.wide)}) {
    const std::size_t side = of.taps == 1 ? 1 : WINOGRAD_SIDE;
    shape.axis[axis] = {side + of.taps - 1, of.taps, side, 1, 1, 0};
    outputs *= side;
  }
  return Winograd(variant, shape).cost() < sparse_cost(variant, outputs, weight.rows, weight.columns, weight.nonzeros());
}

SparseMatrix part_of(const SparseMatrix& weight, std::size_t first, std::size_t rows) {
  SparseMatrix part = weight;
  part.rows = rows;
  part.start += first;
  return part;
}

}  // namespace

ConvWeight::ConvWeight(const Variant& variant, const SparseMatrix& weight, std::size_t groups, const WinogradTransforms* transforms)
    : variant_(&variant),
      columns_(weight.columns),
      codebook_(weight.codebook, weight.codebook + 256),
      nonzeros_(weight.nonzeros()),
      centroids_(weight.centroids) {
  const std::size_t height = weight.rows / groups;
  if (height <= FEW_OUTPUTS) {
    taps_.emplace(weight);
    return;
  }
  is_for_winograd_ = transforms != nullptr && winograd_pays(variant, weight, groups, *transforms);
  // One form for all of them: tiles and what they meet are the same in every group, however full each is.
  const WideForm form = is_for_winograd_ ? WideForm::CODES : cheaper_form(variant, weight, BLOCK_COLUMNS);
  groups_.reserve(groups);
  for (std::size_t g = 0; g < groups; ++g) groups_.emplace_back(variant, part_of(weight, g * height, height), BLOCK_COLUMNS, form);
}

const WideLayout& ConvWeight::group(std::size_t index, WideForm form) const {
  if (form == decoded_form()) return groups_[index];
  const std::vector<WideLayout>& blocks = blocks_.get([&] {
    std::vector<WideLayout> made;
    made.reserve(groups_.size());
    for (const WideLayout& group : groups_) {
      const OwnedMatrix matrix = group.codes()->unpacked();
      const SparseMatrix view = {group.rows(),           columns_,         matrix.start.data(), matrix.column.data(),
                                 matrix.code.data(), codebook_.data(), centroids_};
      made.emplace_back(*variant_, view, BLOCK_COLUMNS, WideForm::BLOCKS);
    }
    return made;
  });
  return blocks[index];
}

double ConvWeight::blocks_cost(std::size_t outputs) const {
  return sparse_cost(*variant_, outputs, groups_.size() * groups_.front().rows(), columns_, nonzeros_);
}

std::size_t ConvWeight::bytes() const {
  std::size_t bytes = taps_ ? taps_->bytes() : 0;
  for (const WideLayout& group : groups_) bytes += group.bytes();
  if (const std::vector<WideLayout>* const blocks = blocks_.made()) {
    for (const WideLayout& group : *blocks) bytes += group.bytes();
  }
  return bytes;
}

const char* ConvWeight::form() const {
  if (taps_) return "taps";
  return blocks_.made() != nullptr ? "codes+block" : groups_.front().form();
}

}  // namespace sparsebook::kernels
