#include "kernels/matmul.h"

#include <algorithm>

#include "kernels/cost.h"

namespace sparsebook::kernels {
namespace {

// A block has columns for so many entries a row, so that what a row of a block costs by itself is spread over them, within what the
// first caches keep of 64 activations a column: measured at densities of 4, 9 and 50%.
constexpr double BLOCK_ENTRIES = 14;
constexpr std::size_t LEAST_BLOCK = 128, MOST_BLOCK = 384;
constexpr std::size_t WIDEST_TILE = 64;
// Row groups of a part, at the least: every part reads all activations, which few rows would not repay.
constexpr std::size_t PART_GROUPS = 16;
// Sums that are taken before they are stored: enough for stretches of strips that are worth walking side by side, and a third of a first cache.
constexpr std::size_t MOST_SUMS = 4096;

std::size_t block_columns_for(std::size_t rows, std::size_t columns, std::uint64_t nonzeros) {
  if (nonzeros == 0) return MOST_BLOCK;
  const double density = static_cast<double>(nonzeros) / (static_cast<double>(rows) * static_cast<double>(columns));
  const double wanted = std::min(BLOCK_ENTRIES / density, static_cast<double>(MOST_BLOCK));
  return std::max(static_cast<std::size_t>(wanted), LEAST_BLOCK);
}

// The activations [first, first + count) that a block meets, side by side by columns, and zeros where the layout wants them; lanes beyond
// `count` are zero too.
void lay_out(const Variant& variant, const WideLayout& layout, std::size_t block, std::size_t width, const Activations& x, std::size_t first,
             std::size_t count, float* to) {
  const std::size_t begin = block * layout.block_columns();
  const std::size_t columns = std::min(layout.block_columns(), layout.columns() - begin);
  const float* from = x.data + first * x.row_stride + begin * x.column_stride;
  std::fill_n(to + layout.block_columns() * width, (layout.laid_out_columns() - layout.block_columns()) * width, 0.0f);
  if (count < width) std::fill_n(to, columns * width, 0.0f);
  if (x.column_stride == 1) {
    variant.transpose(from, x.row_stride, count, columns, to, width);
    return;
  }
  for (std::size_t k = 0; k < columns; ++k, to += width) {
    for (std::size_t lane = 0; lane < count; ++lane) to[lane] = from[lane * x.row_stride + k * x.column_stride];
  }
}

std::size_t part_begin(std::size_t part, std::size_t parts, std::size_t count) { return count * part / parts; }

}  // namespace

Matmul::Matmul(const Variant& variant, const SparseMatrix& weight)
    : variant_(&variant),
      rows_(weight.rows),
      columns_(weight.columns),
      centroids_(weight.centroids),
      nonzeros_(weight.nonzeros()),
      block_columns_(block_columns_for(rows_, columns_, nonzeros_)) {
  std::copy_n(weight.codebook, codebook_.size(), codebook_.begin());
  const WindowChoice one = cheapest_window(variant, weight);
  const double other = one.row == nullptr ? wide_cost(1) : window_cost(*one.row, one.groups, 1);
  // Where zeros are many, what is not finite should not meet them.
  const bool has_few_zeros = 2 * static_cast<double>(nonzeros_) >= static_cast<double>(rows_) * static_cast<double>(columns_);
  if (has_few_zeros && FloatLayout::beats(variant, rows_, columns_, other)) {
    floats_.emplace(variant, weight);
    return;
  }
  if (one.row == nullptr) {
    static_cast<void>(wide_.get([&] { return widened(weight); }));
    return;
  }
  window_.emplace(*one.row, weight);
  const WindowChoice several = cheapest_batch_window(variant, weight);
  if (several.row != one.row) for_several_ = several;
}

OwnedMatrix Matmul::unpacked() const { return floats_ ? floats_->unpacked(codebook_.data(), centroids_) : window_->unpacked(rows_); }

SparseMatrix Matmul::view(const OwnedMatrix& matrix) const {
  return {rows_, columns_, matrix.start.data(), matrix.column.data(), matrix.code.data(), codebook_.data(), centroids_};
}

const WindowLayout& Matmul::several() const {
  return several_.get([&] {
    const OwnedMatrix matrix = unpacked();
    return WindowLayout(*for_several_.row, view(matrix));
  });
}

const WideLayout& Matmul::wide() const {
  return wide_.get([&] {
    const OwnedMatrix matrix = unpacked();
    return widened(view(matrix));
  });
}

WideLayout Matmul::widened(const SparseMatrix& weight) const {
  return WideLayout(*variant_, weight, block_columns_, cheaper_form(*variant_, weight, block_columns_));
}

std::size_t Matmul::bytes() const {
  const WindowLayout* const several = several_.made();
  const WideLayout* const wide = wide_.made();
  return (window_ ? window_->bytes() : 0) + (floats_ ? floats_->bytes() : 0) + (several != nullptr ? several->bytes() : 0) + (wide != nullptr ? wide->bytes() : 0);
}

const char* Matmul::form() const {
  static constexpr const char* FORMS[][3] = {{"window", "window+block", "window+codes"},
                                             {"window+window", "window+window+block", "window+window+codes"},
                                             {"floats", "floats+block", "floats+codes"}};
  const WideLayout* const wide = wide_.made();
  if (!window_ && !floats_) return wide->form();
  return FORMS[floats_ ? 2 : several_.made() != nullptr ? 1 : 0][wide == nullptr ? 0 : wide->is_sparse() ? 1 : 2];
}

const WindowLayout* Matmul::windows_for(std::size_t activations) const {
  if (!window_) return nullptr;
  const double one = window_cost(window_->row(), static_cast<double>(window_->groups()), activations);
  const double several = for_several_.row != nullptr ? window_cost(*for_several_.row, for_several_.groups, activations) : one;
  if (std::min(one, several) > wide_cost(activations)) return nullptr;
  return activations > 1 && several < one ? &this->several() : &*window_;
}

double Matmul::wide_cost(std::size_t activations) const {
  const std::size_t blocks = (columns_ + block_columns_ - 1) / block_columns_;
  const double sparse = cheapest_block_tile(*variant_, activations, nonzeros_, std::uint64_t{blocks} * rows_, columns_).cost;
  return std::min(sparse, cheapest_panel_tile(*variant_, activations, rows_, columns_, columns_).cost);
}

bool Matmul::takes_floats(std::size_t activations) const {
  return floats_ && FloatLayout::cost(*variant_, rows_, columns_, activations) <= wide_cost(activations);
}

void Matmul::run(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const {
  if (x.rows == 0) return;
  if (takes_floats(x.rows)) {
    run_floats(x, epilogue, parallel, y);
    return;
  }
  // A window kernel would multiply what is not finite by the zeros of empty places.
  const WindowLayout* const windows = windows_for(x.rows);
  if (windows != nullptr && run_windows(*windows, x, epilogue, parallel, scratch, y)) return;
  run_wide(x, epilogue, parallel, scratch, y);
}

void Matmul::run_floats(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, float* y) const {
  const std::size_t parts = parts_of(FloatLayout::cost(*variant_, rows_, columns_, x.rows), floats_->strips());
  parallel.run(parts, [&](std::size_t part) {
    float sums[FLOAT_BATCHES[FLOAT_BATCH_COUNT - 1] * FLOAT_WIDTHS[FLOAT_WIDTH_COUNT - 1] * MOST_LANES];
    const std::size_t end = part_begin(part + 1, parts, floats_->strips());
    for (std::size_t strip = part_begin(part, parts, floats_->strips()); strip < end; ++strip) {
      const std::size_t n = floats_->first_row(strip), height = floats_->first_row(strip + 1) - n;
      for (std::size_t m = 0, taken = 0; m < x.rows; m += taken) {
        taken = floats_->dot(strip, x.data + m * x.row_stride, x.row_stride, x.column_stride, x.rows - m, sums);
        for (std::size_t lane = 0; lane < taken; ++lane) {
          variant_->finish(sums + lane * height, std::min(height, rows_ - n), epilogue.at(m + lane, n), y + (m + lane) * rows_ + n);
        }
      }
    }
  });
}

// Whether it could: all of x is finite.
bool Matmul::run_windows(const WindowLayout& windows, const Activations& x, const Epilogue& epilogue, const Parallel& parallel,
                         Scratch& scratch, float* y) const {
  const WindowRow& row = windows.row();
  const std::size_t pitch = row.input.prepared_bytes(columns_);
  const auto prepared = scratch.lend(pitch * WINDOW_BATCHES[window_batch(row, x.rows)]);
  for (std::size_t m = 0; m < x.rows;) {
    const unsigned batch = window_batch(row, x.rows - m);
    const std::size_t lanes = WINDOW_BATCHES[batch];
    const std::size_t count = std::min(lanes, x.rows - m);
    for (std::size_t lane = 0; lane < lanes; ++lane) {  // lanes without activations repeat the last ones
      const float* from = x.data + (m + std::min(lane, count - 1)) * x.row_stride;
      if (!row.input.prepare(from, x.column_stride, columns_, prepared.bytes() + lane * pitch)) return false;
    }
    run_window_batch(windows, batch, m, count, prepared.bytes(), pitch, epilogue, parallel, y);
    m += count;
  }
  return true;
}

void Matmul::run_window_batch(const WindowLayout& windows, unsigned batch, std::size_t first, std::size_t count,
                              const std::uint8_t* prepared, std::size_t pitch, const Epilogue& epilogue, const Parallel& parallel,
                              float* y) const {
  const WindowRow& row = windows.row();
  const std::size_t lanes = WINDOW_BATCHES[batch];
  const std::size_t height = row.format.rows;
  const std::size_t strips = windows.strips();
  const std::size_t at_once = MOST_SUMS / (lanes * height);
  const std::size_t parts = parts_of(window_cost(row, static_cast<double>(windows.groups()), count), strips);
  parallel.run(parts, [&](std::size_t part) {
    float sums[MOST_SUMS];
    const std::size_t end = part_begin(part + 1, parts, strips);
    for (std::size_t begin = part_begin(part, parts, strips); begin < end; begin += at_once) {
      const std::size_t stop = std::min(begin + at_once, end);
      windows.dot(batch, begin, stop, prepared, pitch, codebook_.data(), sums);
      for (std::size_t strip = begin; strip < stop; ++strip) {
        const std::size_t n = strip * height;
        const std::size_t there = std::min(height, rows_ - n);
        for (std::size_t lane = 0; lane < count; ++lane) {
          const float* from = sums + ((strip - begin) * lanes + lane) * height;
          variant_->finish(from, there, epilogue.at(first + lane, n), y + (first + lane) * rows_ + n);
        }
      }
    }
  });
}

void Matmul::run_wide(const Activations& x, const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const {
  const WideLayout& layout = wide();
  for (std::size_t m = 0; m < x.rows;) {
    const std::size_t left = std::min(x.rows - m, WIDEST_TILE);
    const WideTile tile = layout.cheapest_tile(left, columns_);
    const std::size_t count = std::min(tile.width, left);
    run_tile(layout, tile, x, m, count, epilogue, parallel, scratch, y);
    m += count;
  }
}

// The activations are transposed first, so that a non-zero meets them side by side.
void Matmul::run_tile(const WideLayout& layout, const WideTile& tile, const Activations& x, std::size_t first, std::size_t count,
                      const Epilogue& epilogue, const Parallel& parallel, Scratch& scratch, float* y) const {
  const std::size_t width = tile.width;
  const std::size_t block_floats = layout.laid_out_columns() * width;
  const auto lanes = scratch.lend(layout.blocks() * block_floats * sizeof(float));
  const auto sums = scratch.lend(layout.sum_rows(rows_) * width * sizeof(float));
  const double cost = tile.cost;
  const std::size_t parts = parts_of(cost, std::max<std::size_t>(1, layout.row_groups() / PART_GROUPS));
  const std::size_t layers = parts_of(cost, layout.blocks());
  parallel.run(layers, [&](std::size_t part) {
    for (std::size_t block = part_begin(part, layers, layout.blocks()); block < part_begin(part + 1, layers, layout.blocks()); ++block) {
      lay_out(*variant_, layout, block, width, x, first, count, lanes.floats() + block * block_floats);
    }
  });
  parallel.run(parts, [&](std::size_t part) {
    const std::size_t begin = part_begin(part, parts, layout.row_groups()), end = part_begin(part + 1, parts, layout.row_groups());
    const std::size_t stop = std::min(end * BLOCK_GROUP, rows_);
    float* out = sums.floats() + begin * BLOCK_GROUP * width;
    for (std::size_t block = 0; block < layout.blocks(); ++block) {
      layout.accumulate(tile, block, begin, end, codebook_.data(), {lanes.floats() + block * block_floats, nullptr}, {}, out);
    }
    float turned[WIDEST_TILE * BLOCK_GROUP];
    for (std::size_t n = begin * BLOCK_GROUP; n < stop; n += BLOCK_GROUP, out += BLOCK_GROUP * width) {
      const std::size_t height = std::min<std::size_t>(BLOCK_GROUP, stop - n);
      variant_->transpose(out, width, height, count, turned, BLOCK_GROUP);
      for (std::size_t lane = 0; lane < count; ++lane) {
        variant_->finish(turned + lane * BLOCK_GROUP, height, epilogue.at(first + lane, n), y + (first + lane) * rows_ + n);
      }
    }
  });
}

}  // namespace sparsebook::kernels
