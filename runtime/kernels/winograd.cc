#include "kernels/winograd.h"

#include <algorithm>
#include <atomic>

#include "kernels/lane_rows.h"

namespace sparsebook::kernels {
namespace {

// Tiles of a block: their transformed inputs stay in a core's second cache, and there are enough of them to make up for transforming the weights.
constexpr std::size_t BLOCK_BYTES = std::size_t{3} << 19;
constexpr std::size_t FEWEST_TILES = 49, MOST_TILES = 96;
// Input channels whose weights are transformed together, for a block of output channels.
constexpr std::size_t CHANNELS = 64;
// From so many blocks on, threads take blocks; before, they share each.
constexpr std::size_t MANY_BLOCKS = 8;
// Points lie a cache line more than their content apart: a power of two would bring them all to the same lines of the first cache.
constexpr std::size_t LINE_FLOATS = 16;
// Fewer tiles at once than this do not hide the latency of the additions.
constexpr double LATENT_TILES = 4;
// Sums are loaded and stored for every product, which fewer channels do not make up for: 3 to 32 of them at 112 x 112 took as long as 8.
constexpr double FEWEST_CHANNELS = 12;

constexpr std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

std::size_t point_floats(std::size_t floats) { return ceil_div(floats, 2 * LINE_FLOATS) * 2 * LINE_FLOATS + LINE_FLOATS; }

}  // namespace

const WinogradTransforms* Winograd::transforms(const Variant& variant, std::size_t high, std::size_t wide) {
  if (variant.winograd == nullptr) return nullptr;
  for (const WinogradTransforms& some : variant.winograd->transforms) {
    if (some.high.taps == high && some.wide.taps == wide) return &some;
  }
  return nullptr;
}

const WinogradTransforms* Winograd::transforms(const Variant& variant, const ConvShape& given) {
  const ConvShape shape = laid_flat(given);
  const ConvAxis& leading = shape.axis[0];
  const auto has_unit_steps = [](const ConvAxis& axis) { return axis.stride == 1 && axis.dilation == 1; };
  if (leading.input != 1 || leading.kernel != 1 || leading.output != 1 || !has_unit_steps(shape.axis[1]) || !has_unit_steps(shape.axis[2])) {
    return nullptr;
  }
  return transforms(variant, shape.axis[1].kernel, shape.axis[2].kernel);
}

Winograd::Winograd(const Variant& variant, const ConvShape& shape)
    : variant_(&variant),
      kernels_(variant.winograd),
      transforms_(transforms(variant, shape)),
      shape_(laid_flat(shape)),
      points_(std::size_t{transforms_->high.points} * transforms_->wide.points),
      tile_rows_(ceil_div(shape_.axis[1].output, transforms_->high.out)),
      tile_columns_(ceil_div(shape_.axis[2].output, transforms_->wide.out)) {
  const std::size_t tile_bytes = points_ * input_vectors() * variant.lanes * sizeof(float);
  const std::size_t most = std::clamp(BLOCK_BYTES / tile_bytes, FEWEST_TILES, MOST_TILES);
  block_tiles_ = std::max<std::size_t>(1, ceil_div(tiles(), std::max<std::size_t>(1, ceil_div(tiles(), most))));
}

double Winograd::cost() const {
  const WinogradCosts& of = kernels_->cost;
  const auto count = [](std::size_t value) { return static_cast<double>(value); };
  const double inputs = count(tiles() * input_vectors()) * static_cast<double>(of.input);
  const double vectors = count(column_blocks() * (kernels_->columns / variant_->lanes));
  const double outputs = count(tiles()) * vectors * static_cast<double>(of.output);
  const double channels = count(shape_.group_inputs) * vectors;
  const double weights = count(blocks()) * channels * static_cast<double>(of.weight);
  const double products = std::max(count(tiles()), LATENT_TILES) * std::max(count(shape_.group_inputs), FEWEST_CHANNELS) * vectors *
                          static_cast<double>(of.product);
  return count(shape_.group * points_) * (inputs + outputs + weights + products);
}

bool Winograd::run(const ConvWeight& weight, const ConvArguments& arguments, const Parallel& parallel, Scratch& scratch, float* y) const {
  const ConvCall call = {weight, arguments, scratch, y};
  std::atomic<bool> finite{true};
  const auto run_part = [&](std::size_t part, const Parallel& helpers) {
    if (!finite) return;
    const std::size_t first = part % blocks() * block_tiles_;
    if (!run_block(call, {first, std::min(block_tiles_, tiles() - first), part / blocks()}, helpers)) finite = false;
  };
  const std::size_t parts = shape_.group * blocks();
  if (parts >= MANY_BLOCKS) {
    parallel.run(parts, [&](std::size_t part) { run_part(part, Serial()); });
  } else {
    for (std::size_t part = 0; part < parts; ++part) run_part(part, parallel);
  }
  return finite;
}

// Calls body for the stretches of neighbours among the block's tiles.
template <class Body>
void Winograd::for_runs(const Block& block, const Body& body) const {
  for (std::size_t tile = block.first, end = block.first + block.count; tile < end;) {
    const std::size_t row = tile / tile_columns_, first = tile % tile_columns_;
    const std::size_t count = std::min(tile_columns_ - first, end - tile);
    body(Run{row / tile_rows_, row % tile_rows_, first, count, tile - block.first});
    tile += count;
  }
}

// Returns whether all sums are finite.
bool Winograd::run_block(const ConvCall& call, const Block& block, const Parallel& parallel) const {
  const std::size_t tile_floats = input_vectors() * variant_->lanes, apart = point_floats(block.count * tile_floats);
  const auto memory = call.scratch.lend(points_ * apart * sizeof(float));
  const WinogradPlane inputs = {memory.floats(), apart, tile_floats};
  parallel.run(input_vectors(), [&](std::size_t part) { lay_out_inputs(call, block, part, inputs); });
  std::atomic<bool> finite{true};
  parallel.run(column_blocks(), [&](std::size_t part) {
    if (finite && !sum_channels(call, block, part, inputs)) finite = false;
  });
  return finite;
}

// The transformed inputs of one vector of channels.
void Winograd::lay_out_inputs(const ConvCall& call, const Block& block, std::size_t part, const WinogradPlane& to) const {
  const std::size_t lanes = variant_->lanes, tiles = std::min(tile_columns_, block.count);
  const auto memory = call.scratch.lend(transforms_->high.points * strip_columns(tiles) * lanes * sizeof(float));
  for_runs(block, [&](const Run& run) {
    lay_out_strip(call, block, run, part * lanes, memory.floats());
    const WinogradPlane its = {to.at + part * lanes + run.at * to.tile_floats, to.point_floats, to.tile_floats};
    transforms_->input(memory.floats(), strip_columns(run.count) * lanes, run.count, its);
  });
}

// The inputs of neighbouring tiles, a vector of channels side by side, zeros where there is padding or no channel.
void Winograd::lay_out_strip(const ConvCall& call, const Block& block, const Run& run, std::size_t channel, float* strip) const {
  const ConvAxis &high = shape_.axis[1], &wide = shape_.axis[2];
  const std::size_t image = high.input * wide.input, columns = strip_columns(run.count);
  const std::size_t channels = std::min(variant_->lanes, shape_.group_inputs - channel);
  const float* const from = call.arguments.x + ((run.image * shape_.group + block.group) * shape_.group_inputs + channel) * image;
  const auto first = static_cast<std::ptrdiff_t>(run.first * transforms_->wide.out) - static_cast<std::ptrdiff_t>(wide.pad);
  for (std::size_t i = 0; i < transforms_->high.points; ++i, strip += columns * variant_->lanes) {
    const std::size_t padded = run.row * transforms_->high.out + i;
    const bool is_there = padded >= high.pad && padded - high.pad < high.input;
    lay_out_lanes(*variant_, {is_there ? from + (padded - high.pad) * wide.input : nullptr, image, channels, wide.input}, first, columns, strip);
  }
}

// One block of output channels: their weights, the products at every point, and what becomes of them. Returns whether all are finite.
bool Winograd::sum_channels(const ConvCall& call, const Block& block, std::size_t part, const WinogradPlane& inputs) const {
  const CodeLayout& codes = *call.weight.group(block.group, WideForm::CODES).codes();
  const std::size_t taps = std::size_t{transforms_->high.taps} * transforms_->wide.taps;
  const std::size_t width = kernels_->columns, channel = part * width;
  const std::size_t weight_apart = point_floats(CHANNELS * width), sum_apart = point_floats(block.count * width);
  const auto memory = call.scratch.lend(points_ * (weight_apart + sum_apart) * sizeof(float));
  const WinogradPlane weights = {memory.floats(), weight_apart, width};
  const WinogradPlane sums = {memory.floats() + points_ * weight_apart, sum_apart, width};
  const WinogradWeight transform = call.weight.is_narrow() ? transforms_->narrow_weight : transforms_->wide_weight;
  for (std::size_t c = 0; c < shape_.group_inputs; c += CHANNELS) {
    const std::size_t channels = std::min(CHANNELS, shape_.group_inputs - c);
    transform({codes.panel(channel / PANEL_ROWS) + c * taps * PANEL_ROWS, codes.panel_bytes(),
               codes.rows() - channel, call.weight.codebook()},
              channels, weights);
    for (std::size_t p = 0; p < points_; ++p) {
      kernels_->product({inputs.at + p * inputs.point_floats + c, inputs.tile_floats, weights.at + p * weight_apart, channels, c == 0,
                         sums.at + p * sum_apart},
                        block.count);
    }
  }
  for (std::size_t v = 0; v < width && channel + v < shape_.group_outputs; v += variant_->lanes) {
    if (!put_outputs(call, block, channel + v, {sums.at + v, sum_apart, width})) return false;
  }
  return true;
}

// A vector of output channels. Returns whether all of it is finite.
bool Winograd::put_outputs(const ConvCall& call, const Block& block, std::size_t channel, const WinogradPlane& sums) const {
  const std::size_t lanes = variant_->lanes, tiles = std::min(tile_columns_, block.count);
  const auto memory = call.scratch.lend(transforms_->high.out * tiles * transforms_->wide.out * lanes * sizeof(float));
  bool finite = true;
  for_runs(block, [&](const Run& run) {
    const WinogradPlane its = {sums.at + run.at * sums.tile_floats, sums.point_floats, sums.tile_floats};
    finite = transforms_->output(its, run.count, memory.floats(), run.count * transforms_->wide.out * lanes) && finite;
    store(call, block, run, channel, memory.floats());
  });
  return finite;
}

// The outputs of neighbouring tiles, which lie with their channels side by side.
void Winograd::store(const ConvCall& call, const Block& block, const Run& run, std::size_t channel, const float* strip) const {
  const ConvAxis &high = shape_.axis[1], &wide = shape_.axis[2];
  const std::size_t image = high.output * wide.output, column = run.first * transforms_->wide.out;
  const std::size_t row = run.row * transforms_->high.out, rows = std::min<std::size_t>(transforms_->high.out, high.output - row);
  const std::size_t first = block.group * shape_.group_outputs + channel;
  ResultRow to = {(run.image * shape_.group * shape_.group_outputs + first) * image + row * wide.output + column, image, first,
                  std::min(variant_->lanes, shape_.group_outputs - channel), std::min(run.count * transforms_->wide.out, wide.output - column)};
  for (std::size_t i = 0; i < rows; ++i, to.at += wide.output, strip += run.count * transforms_->wide.out * variant_->lanes) {
    store_lanes(*variant_, strip, to, call.arguments, call.scratch, call.y);
  }
}

}  // namespace sparsebook::kernels
