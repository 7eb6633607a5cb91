#include "kernels/window_layout.h"

#include <algorithm>
#include <array>

#include "kernels/cost.h"

namespace sparsebook::kernels {
namespace {

constexpr std::size_t MOST_ROWS = 32;        // of a strip, in any variant
constexpr std::uint64_t MOST_STEP = 0xFFFF;  // in units of the format's alignment
constexpr std::size_t SAMPLED_STRIPS = 16;
// Memory is kept ready for what a sample promises, but not for groups emptier than this.
constexpr double LEAST_FILLED = 1.0 / 8;
// A layout of more bytes than a core's own cache keeps comes from memory: a sixth of a cycle a byte, behind which two thirds of the
// computing hide. Within 10% of what four formats took for 4096 x 4096 at 9%, evicted.
constexpr double CACHED_BYTES = 1 << 20;
constexpr double BYTE_COST = 0.176;
constexpr double NOT_HIDDEN = 1.0 / 3;

double cost_of(const WindowFormat& format, double groups) {
  const double computing = static_cast<double>(format.cost), bytes = format.bytes + sizeof(std::uint16_t);
  if (groups * bytes <= CACHED_BYTES) return groups * computing;
  return groups * std::max(computing, BYTE_COST * bytes + NOT_HIDDEN * computing);
}

// The walk of a strip's rows over the columns.
class StripWalk {
 public:
  StripWalk(const WindowFormat& format, const SparseMatrix& weight, std::size_t first_row)
      : format_(format), weight_(weight), rows_(std::min<std::size_t>(format.rows, weight.rows - first_row)) {
    for (std::size_t r = 0; r < rows_; ++r) {
      next_[r] = weight.start[first_row + r];
      end_[r] = weight.start[first_row + r + 1];
    }
  }

  /// Whether there is another group; it begins at column `base`.
  bool find(std::uint64_t& base) const {
    std::uint64_t first = ~std::uint64_t{0};
    for (std::size_t r = 0; r < rows_; ++r) {
      if (next_[r] != end_[r]) first = std::min<std::uint64_t>(first, weight_.column[next_[r]]);
    }
    base = first / format_.align * format_.align;
    return first != ~std::uint64_t{0};
  }

  /// Calls take(row, slot, column - base, code) for all that the group at `base` holds, and goes behind it.
  template <class Take>
  void fill(std::uint64_t base, Take&& take) {
    for (std::size_t r = 0; r < rows_; ++r) {
      for (unsigned slot = 0; slot < format_.slots && next_[r] != end_[r]; ++slot, ++next_[r]) {
        const std::uint64_t index = weight_.column[next_[r]] - base;
        if (index >= format_.window) break;
        take(static_cast<unsigned>(r), slot, static_cast<unsigned>(index), unsigned{weight_.code[next_[r]]});
      }
    }
  }

 private:
  const WindowFormat& format_;
  const SparseMatrix& weight_;
  std::size_t rows_;
  std::array<std::uint64_t, MOST_ROWS> next_{};
  std::array<std::uint64_t, MOST_ROWS> end_{};
};

template <class Cost>
WindowChoice cheapest(const Variant& variant, const SparseMatrix& weight, const Cost& cost_of_row) {
  WindowChoice best;
  double least = 0;
  for (std::size_t i = 0; i < variant.window_count; ++i) {
    const WindowRow& row = variant.windows[i];
    if (weight.centroids > row.format.centroids) continue;
    const double groups = estimated_groups(row.format, weight);
    const double cost = cost_of_row(row, groups);
    if (best.row == nullptr || cost < least) {
      best = {&row, groups};
      least = cost;
    }
  }
  return best;
}

std::size_t strips_of(const WindowFormat& format, std::size_t rows) { return (rows + format.rows - 1) / format.rows; }

}  // namespace

WindowLayout::WindowLayout(const WindowRow& row, const SparseMatrix& weight) : row_(&row), columns_(weight.columns) {
  const std::size_t strips = strips_of(row.format, weight.rows);
  const double most = static_cast<double>(weight.nonzeros()) / (LEAST_FILLED * row.format.rows * row.format.slots);
  const auto expected = static_cast<std::size_t>(std::min(estimated_groups(row.format, weight) * 1.02, most)) + strips;
  steps_.reserve(expected);
  groups_.reserve(expected * row.format.bytes);
  ends_.reserve(strips + 1);
  ends_.push_back(0);
  for (std::size_t strip = 0; strip < strips; ++strip) {
    pack_strip(weight, strip * row.format.rows);
    ends_.push_back(steps_.size());
  }
  if (groups_.capacity() > groups_.size() + groups_.size() / 8) {
    groups_.shrink_to_fit();
    steps_.shrink_to_fit();
  }
}

void WindowLayout::pack_strip(const SparseMatrix& weight, std::size_t first_row) {
  const WindowFormat& format = row_->format;
  StripWalk walk(format, weight, first_row);
  std::uint64_t before = 0;
  std::uint64_t base = 0;
  while (walk.find(base)) {
    std::uint64_t step = (base - before) / format.align;
    for (; step > MOST_STEP; step -= MOST_STEP) {  // empty groups bridge what one step cannot
      steps_.push_back(static_cast<std::uint16_t>(MOST_STEP));
      groups_.resize(groups_.size() + format.bytes);
    }
    steps_.push_back(static_cast<std::uint16_t>(step));
    groups_.resize(groups_.size() + format.bytes);
    std::uint8_t* const group = groups_.data() + groups_.size() - format.bytes;
    walk.fill(base, [&](unsigned row, unsigned slot, unsigned index, unsigned code) { format.put(group, row, slot, index, code); });
    before = base;
  }
}

std::size_t WindowLayout::bytes() const {
  return bytes_of(groups_) + bytes_of(steps_) + ends_.size() * sizeof(std::uint64_t);
}

OwnedMatrix WindowLayout::unpacked(std::size_t rows) const {
  const WindowFormat& format = row_->format;
  OwnedMatrix matrix;
  matrix.columns = columns_;
  matrix.start.reserve(rows + 1);
  matrix.start.push_back(0);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t strip = r / format.rows;
    std::uint64_t base = 0;
    for (std::uint64_t g = ends_[strip]; g < ends_[strip + 1]; ++g) {
      base += std::uint64_t{steps_[g]} * format.align;
      const std::uint8_t* group = groups_.data() + g * format.bytes;
      for (unsigned slot = 0; slot < format.slots; ++slot) {
        const unsigned code = format.code(group, static_cast<unsigned>(r % format.rows), slot);
        if (code == 0) break;  // slots are filled from the first on
        matrix.column.push_back(static_cast<std::uint32_t>(base + format.index(group, static_cast<unsigned>(r % format.rows), slot)));
        matrix.code.push_back(static_cast<std::uint8_t>(code));
      }
    }
    matrix.start.push_back(matrix.column.size());
  }
  return matrix;
}

void WindowLayout::dot(unsigned batch, std::size_t begin, std::size_t end, const std::uint8_t* prepared, std::size_t pitch,
                       const float* codebook, float* sums) const {
  const std::uint64_t first = ends_[begin];
  const WindowStrips strips = {groups_.data() + first * row_->format.bytes, steps_.data() + first, ends_.data() + begin + 1,
                               end - begin, codebook};
  row_->kernel[batch](strips, prepared, pitch, sums);
}

double estimated_groups(const WindowFormat& format, const SparseMatrix& weight) {
  const std::size_t strips = strips_of(format, weight.rows);
  const std::size_t sampled = std::min(strips, SAMPLED_STRIPS);
  std::uint64_t groups = 0;
  std::uint64_t nonzeros = 0;
  for (std::size_t i = 0; i < sampled; ++i) {
    const std::size_t first_row = strips * i / sampled * format.rows;
    StripWalk walk(format, weight, first_row);
    std::uint64_t base = 0;
    for (std::uint64_t before = 0; walk.find(base); before = base, ++groups) {
      const std::uint64_t step = (base - before) / format.align;
      if (step > MOST_STEP) groups += (step - 1) / MOST_STEP;
      walk.fill(base, [](unsigned, unsigned, unsigned, unsigned) {});
    }
    nonzeros += weight.start[std::min(weight.rows, first_row + format.rows)] - weight.start[first_row];
  }
  if (sampled == strips) return static_cast<double>(groups);
  if (nonzeros == 0) return static_cast<double>(strips);
  return static_cast<double>(groups) * static_cast<double>(weight.nonzeros()) / static_cast<double>(nonzeros);
}

WindowChoice cheapest_window(const Variant& variant, const SparseMatrix& weight) {
  return cheapest(variant, weight, [](const WindowRow& row, double groups) { return cost_of(row.format, groups); });
}

WindowChoice cheapest_batch_window(const Variant& variant, const SparseMatrix& weight) {
  constexpr unsigned MOST = WINDOW_BATCHES[WINDOW_BATCH_COUNT - 1];
  return cheapest(variant, weight, [](const WindowRow& row, double groups) { return window_cost(row, groups, MOST); });
}

}  // namespace sparsebook::kernels
