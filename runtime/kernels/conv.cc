#include "kernels/conv.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "kernels/cost.h"

namespace sparsebook::kernels {
namespace {

// Positions that taps pass over at once: their sums stay in the first cache.
constexpr std::size_t TAP_TILE = 1024;
// Where an image gives fewer tiles than this, its output channels are cut as well.
constexpr std::size_t FEW_TILES = 8;
// Floats that a last tile may read behind the planes.
constexpr std::size_t WIDEST_TILE = 128;

// Cycles on Sapphire Rapids, rough ones: loads that are not aligned took 1.05 to 1.3 times as long.
constexpr double FILL = 0.5;              // a float of a plane
constexpr double FILL_STRIDED = 1.5;      // the same, where it is picked from a stride
constexpr double ACROSS_LINES = 1.15;     // times a panel's cost
constexpr double TAP = 1.3;               // a tap and a vector of outputs

double fill_cost(const ConvShape& shape, const ConvPlanes& planes) {
  if (planes.reads_input()) return 0;
  const double floats = static_cast<double>(shape.group * shape.group_inputs) * static_cast<double>(planes.channel_floats());
  return floats * (shape.axis[SPATIAL - 1].stride == 1 ? FILL : FILL_STRIDED);
}

// Whether panels of codes meet activations where they lie, padding around them, or copied side by side. Copies have no gaps between rows;
// whatever lies still needs none, which pays where few rows share a copy.
Padding cheaper_padding(const ConvShape& shape, const ConvWeight& weight, WideForm form) {
  if (weight.taps() != nullptr) return Padding::LAID_OUT;
  const WideLayout& layout = weight.group(0, form);
  if (layout.is_sparse()) return Padding::MASKED;
  const ConvPlanes masked(shape, Padding::MASKED), laid_out(shape, Padding::LAID_OUT);
  const auto groups = static_cast<double>(shape.group);
  const double copied = groups * layout.cheapest_tiling(masked.outputs(), layout.columns()).cost + fill_cost(shape, masked);
  const double met = groups * ACROSS_LINES * layout.cheapest_tiling(laid_out.positions(), 0).cost + fill_cost(shape, laid_out);
  return met < copied ? Padding::LAID_OUT : Padding::MASKED;
}

// The form in which a weight that has codes for Winograd's sake costs least in this shape; else the one that it has. Codes go by panels where
// those cost less than tiles do.
WideForm cheaper_form(const ConvShape& shape, const ConvWeight& weight) {
  if (weight.taps() != nullptr) return WideForm::CODES;  // of which there is none
  if (!weight.is_for_winograd()) return weight.decoded_form();
  const std::size_t outputs = shape.axis[1].output * shape.axis[2].output;
  const auto batch = static_cast<double>(shape.batch);
  const double panels = static_cast<double>(shape.group) * weight.group(0, WideForm::CODES).cheapest_tiling(outputs, weight.columns()).cost;
  const double codes = std::min(Winograd(weight.variant(), shape).cost(), batch * panels);
  return batch * weight.blocks_cost(outputs) < codes ? WideForm::BLOCKS : WideForm::CODES;
}

}  // namespace

// What the tiles of one image have in common. `planes` begins with the first channel that is in it.
struct Conv::Image {
  const ConvWeight& weight;
  const float* x;
  const float* planes;
  const ConvArguments& arguments;
  const float* addend;
  Scratch& scratch;
  float* y;
};

Conv::Conv(const ConvShape& shape, const ConvWeight& weight) : Conv(shape, weight, cheaper_form(shape, weight)) {}

Conv::Conv(const ConvShape& shape, const ConvWeight& weight, WideForm form) : Conv(shape, weight, form, cheaper_padding(shape, weight, form)) {}

Conv::Conv(const ConvShape& shape, const ConvWeight& weight, WideForm form, Padding padding)
    : shape_(shape), planes_(shape, padding), form_(form), input_floats_(1), channels_(shape.group * shape.group_inputs) {
  for (const ConvAxis& axis : shape.axis) input_floats_ *= axis.input;
  std::size_t floats = 0;
  if (__builtin_mul_overflow(channels_, planes_.channel_floats(), &floats) ||
      __builtin_mul_overflow(floats, sizeof(float), &floats)) {
    throw std::length_error("the padded input is larger than memory");
  }
  if (planes_.outputs() == 0) return;
  if (padding == Padding::LAID_OUT) {
    for (std::size_t column = 0; column < weight.columns(); ++column) {
      const std::size_t channel = column / planes_.elements() * planes_.channel_floats();
      at_.push_back(static_cast<std::ptrdiff_t>(channel) + planes_.offset(column % planes_.elements()));
    }
  }
  cut(weight);
  take_cheaper_way(weight);
}

// Than the tiles and taps that have been cut.
void Conv::take_cheaper_way(const ConvWeight& weight) {
  const auto batch = static_cast<double>(shape_.batch);
  if (weight.taps() != nullptr && Depthwise::fits(weight.variant(), shape_)) {
    Depthwise depthwise(weight.variant(), shape_);
    if (depthwise.cost() < batch * taps_cost(weight)) depthwise_ = std::move(depthwise);
  }
  if (weight.is_for_winograd() && form_ == WideForm::CODES) {
    Winograd winograd(weight.variant(), shape_);
    const double tiled = static_cast<double>(shape_.group) * tiling_.cost + fill_cost(shape_, planes_);
    if (winograd.cost() < batch * tiled) winograd_ = winograd;
  }
}

// Into tiles, and the output channels into ranges.
void Conv::cut(const ConvWeight& weight) {
  const bool is_laid_out = !at_.empty();
  const std::size_t end = is_laid_out ? planes_.positions() : planes_.outputs();
  if (weight.taps() != nullptr) {
    for (std::size_t first = 0; first < end; first += TAP_TILE) {
      const std::size_t width = std::min(TAP_TILE, end - first);
      tiles_.push_back({first, width, std::nullopt, planes_.runs(first, width)});
    }
    return;
  }
  const WideLayout& layout = weight.group(0, form_);
  tiling_ = layout.cheapest_tiling(end, is_laid_out ? 0 : layout.columns());
  for (std::size_t index = 0, first = 0; index < tiling_.tiles(); ++index) {
    const std::size_t width = tiling_.of(index).width;
    Tile tile = {first, width, std::nullopt, {{first, first, std::min(width, end - first)}}};
    if (is_laid_out) tile.runs = planes_.runs(first, width);
    // Behind the input there is nothing to be read; there outputs lie as positions do.
    if (!is_laid_out || (planes_.reads_input() && first + width > end)) {
      tile.columns.emplace(planes_, weight.variant(), first, width);
    }
    tiles_.push_back(std::move(tile));
    first += width;
  }
  ranges_ = std::max<std::size_t>(1, std::min(FEW_TILES / tiles_.size(), layout.row_groups()));
}

void Conv::run(const ConvWeight& weight, const ConvArguments& arguments, const Parallel& parallel, Scratch& scratch, float* y) const {
  if (planes_.outputs() == 0) return;
  if (depthwise_) return depthwise_->run(weight, arguments, parallel, scratch, y);
  if (winograd_ && winograd_->run(weight, arguments, parallel, scratch, y)) return;
  const std::size_t image_floats = shape_.group * shape_.group_outputs * planes_.outputs();
  // Groups of taps lay out their own channels, just before they need them.
  const bool fills = !planes_.reads_input() && (weight.taps() == nullptr || shape_.group == 1);
  const std::size_t plane_floats = fills ? channels_ * planes_.channel_floats() : 0;
  const auto planes = scratch.lend((plane_floats + WIDEST_TILE) * sizeof(float));
  // A last tile reads on behind the last channel, and makes nothing of it.
  std::fill_n(planes.floats() + plane_floats, WIDEST_TILE, 0.0f);
  for (std::size_t n = 0; n < shape_.batch; ++n) {
    const float* const x = arguments.x + n * channels_ * input_floats_;
    if (fills) {
      const std::size_t parts = parts_of(static_cast<double>(plane_floats), channels_);
      parallel.run(parts, [&](std::size_t part) {
        const std::size_t first = channels_ * part / parts, end = channels_ * (part + 1) / parts;
        fill(x, first, end - first, planes.floats() + first * planes_.channel_floats());
      });
    }
    const Image image = {weight,  x, fills ? planes.floats() : x, arguments, arguments.addend == nullptr ? nullptr : arguments.addend + n * image_floats,
                         scratch, y + n * image_floats};
    weight.taps() != nullptr ? run_taps(image, parallel) : run_wide(image, parallel);
  }
}

void Conv::fill(const float* x, std::size_t first, std::size_t count, float* planes) const {
  for (std::size_t c = first; c < first + count; ++c, planes += planes_.channel_floats()) planes_.fill(x + c * input_floats_, planes);
}

// Of one image.
double Conv::taps_cost(const ConvWeight& weight) const {
  const double vectors = static_cast<double>(planes_.positions()) / static_cast<double>(weight.variant().lanes);
  return static_cast<double>(weight.taps()->nonzeros()) * TAP * vectors + fill_cost(shape_, planes_);
}

void Conv::run_taps(const Image& image, const Parallel& parallel) const {
  const double cost = taps_cost(image.weight);
  if (shape_.group == 1) {
    const std::size_t parts = parts_of(cost, tiles_.size());
    parallel.run(parts, [&](std::size_t part) {
      tap_tiles(image, 0, tiles_.size() * part / parts, tiles_.size() * (part + 1) / parts);
    });
    return;
  }
  const std::size_t parts = parts_of(cost, shape_.group);
  const std::size_t group_floats = shape_.group_inputs * planes_.channel_floats();
  parallel.run(parts, [&](std::size_t part) {
    const auto memory = image.scratch.lend(planes_.reads_input() ? 1 : group_floats * sizeof(float));
    for (std::size_t group = shape_.group * part / parts; group < shape_.group * (part + 1) / parts; ++group) {
      Image own = image;
      own.planes = planes_.reads_input() ? image.x + group * group_floats : memory.floats();
      if (!planes_.reads_input()) fill(image.x, group * shape_.group_inputs, shape_.group_inputs, memory.floats());
      tap_tiles(own, group, 0, tiles_.size());
    }
  });
}

// The output channels of a group in the tiles [begin, end).
void Conv::tap_tiles(const Image& image, std::size_t group, std::size_t begin, std::size_t end) const {
  const TapLayout& layout = *image.weight.taps();
  const auto memory = image.scratch.lend(layout.most() * (sizeof(std::ptrdiff_t) + sizeof(float)) + 1);
  auto* const places = reinterpret_cast<std::ptrdiff_t*>(memory.bytes());
  auto* const values = reinterpret_cast<float*>(places + layout.most());
  float sums[TAP_TILE];
  for (std::size_t row = group * shape_.group_outputs; row < (group + 1) * shape_.group_outputs; ++row) {
    layout.read(row, image.weight.codebook(), at_.data(), values, places);
    for (std::size_t index = begin; index < end; ++index) {
      const Tile& tile = tiles_[index];
      image.weight.variant().taps({values, places, layout.count(row)}, image.planes + tile.first, tile.width, sums);
      store(image, tile, row, 1, sums, 0);
    }
  }
}

void Conv::run_wide(const Image& image, const Parallel& parallel) const {
  parallel.run(shape_.group * tiles_.size() * ranges_, [&](std::size_t part) {
    wide_tile(image, part / ranges_ / tiles_.size(), part / ranges_ % tiles_.size(), part % ranges_);
  });
}

void Conv::wide_tile(const Image& image, std::size_t group, std::size_t index, std::size_t range) const {
  const WideLayout& layout = image.weight.group(group, form_);
  const WideTile& how = tiling_.of(index);
  const Tile& tile = tiles_[index];
  const std::size_t begin = layout.row_groups() * range / ranges_, end = layout.row_groups() * (range + 1) / ranges_;
  const std::size_t first_row = begin * BLOCK_GROUP, last_row = std::min(end * BLOCK_GROUP, layout.rows());

  const float* from = image.planes + group * shape_.group_inputs * planes_.channel_floats();
  const std::size_t column_floats = tile.columns ? layout.laid_out_columns() * how.width + MOST_LANES : 0;
  const std::size_t sum_floats = layout.sum_rows(last_row - first_row) * how.width;
  const auto memory = image.scratch.lend((column_floats + sum_floats) * sizeof(float));
  float* const block_columns = memory.floats();
  float* const sums = block_columns + column_floats;
  for (std::size_t block = 0; block < layout.blocks(); ++block) {
    PanelInput input = {block_columns, nullptr};
    if (tile.columns) {
      tile.columns->lay_out(planes_, image.weight.variant(), layout, block, from, block_columns);
    } else {
      input = {from + tile.first, at_.data() + block * layout.block_columns()};
    }
    if (block + 1 == layout.blocks()) {
      const std::size_t output = tile.runs.empty() ? 0 : tile.runs.front().output;
      for (std::size_t row = first_row; row < last_row; ++row) {
        const float* to = image.y + (group * shape_.group_outputs + row) * planes_.outputs() + output;
        for (std::size_t i = 0; i < how.width; i += 16) __builtin_prefetch(to + i, 1, 2);
      }
    }
    layout.accumulate(how, block, begin, end, image.weight.codebook(), input, ahead(image, group, index, block), sums);
  }
  store(image, tile, group * shape_.group_outputs + first_row, last_row - first_row, sums, how.width);
}

// What is met after a block of a tile, if it is met where it lies.
ColumnsAhead Conv::ahead(const Image& image, std::size_t group, std::size_t index, std::size_t block) const {
  const WideLayout& layout = image.weight.group(group, form_);
  const std::size_t next = block + 1 == layout.blocks() ? 0 : block + 1;
  if (next == 0) ++index;
  if (index == tiles_.size() || tiles_[index].columns) return {};
  const std::size_t first = next * layout.block_columns();
  return {image.planes + group * shape_.group_inputs * planes_.channel_floats() + tiles_[index].first, at_.data() + first,
          std::min(layout.block_columns(), layout.columns() - first), tiles_[index].width};
}

// What becomes of a tile's sums of neighbouring output channels.
void Conv::store(const Image& image, const Tile& tile, std::size_t channel, std::size_t count, const float* sums, std::size_t pitch) const {
  const ConvArguments& with = image.arguments;
  const auto from = [](const float* values, std::size_t first) { return values == nullptr ? nullptr : values + first; };
  for (const ConvPlanes::Run& run : tile.runs) {
    const std::size_t at = channel * planes_.outputs() + run.output;
    image.weight.variant().store({sums + (run.position - tile.first), pitch, count, run.count, from(with.scale, channel),
                                  from(with.bias, channel), from(image.addend, at), with.activation.low, with.activation.high,
                                  image.y + at, planes_.outputs()});
  }
}

}  // namespace sparsebook::kernels
