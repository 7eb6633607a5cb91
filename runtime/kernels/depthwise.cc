#include "kernels/depthwise.h"

#include <algorithm>

#include "kernels/cost.h"
#include "kernels/lane_rows.h"

namespace sparsebook::kernels {
namespace {

// Of inputs that are laid out together: a part of a second cache.
constexpr std::size_t BAND_BYTES = std::size_t{128} << 10;
// The most that one row of outputs may want laid out: beyond it, next to nothing is met of what is laid out, or a row is wider than any image.
constexpr double MOST_BYTES = 64 << 20;
// Cycles of a vector: a multiply-add, and laying it out and storing it.
constexpr double TAP = 0.6, AROUND = 10;

std::size_t reach(const ConvAxis& axis, std::size_t outputs) { return (outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1; }

}  // namespace

// Neighbouring rows of outputs of one image and vector of channels.
struct Depthwise::Band {
  std::size_t image;
  std::size_t channel;
  std::size_t channels;
  std::size_t first;
  std::size_t rows;
};

bool Depthwise::fits(const Variant& variant, const ConvShape& shape) {
  const ConvAxis& leading = shape.axis[0];
  if (shape.group_inputs != 1 || shape.group_outputs != 1 || leading.input != 1 || leading.kernel != 1 || leading.output != 1) return false;
  const ConvShape flat = laid_flat(shape);
  if (flat.axis[1].output == 0 || flat.axis[2].output == 0) return true;
  // In double: the product of two attributes and a vector's bytes may be beyond 64 bits.
  const double positions = static_cast<double>(reach(flat.axis[1], 1)) * static_cast<double>(reach(flat.axis[2], flat.axis[2].output));
  return positions * static_cast<double>(variant.lanes * sizeof(float)) <= MOST_BYTES;
}

Depthwise::Depthwise(const Variant& variant, const ConvShape& shape) : variant_(&variant), shape_(laid_flat(shape)), columns_(0), band_(1) {
  if (high().output == 0 || wide().output == 0) return;
  columns_ = reach(wide(), wide().output);
  const std::size_t row_floats = columns_ * variant.lanes, rows = BAND_BYTES / sizeof(float) / row_floats, least = reach(high(), 1);
  if (rows > least) band_ = std::min(high().output, (rows - least) / high().stride + 1);
  for (std::size_t h = 0; h < high().kernel; ++h) {
    for (std::size_t w = 0; w < wide().kernel; ++w) {
      at_.push_back(static_cast<std::ptrdiff_t>(h * high().dilation * row_floats + w * wide().dilation * variant.lanes));
    }
  }
}

double Depthwise::cost() const {
  const auto vectors = static_cast<double>((shape_.group + variant_->lanes - 1) / variant_->lanes * high().output * wide().output);
  return static_cast<double>(shape_.batch) * vectors * (static_cast<double>(at_.size()) * TAP + AROUND);
}

void Depthwise::run(const ConvWeight& weight, const ConvArguments& arguments, const Parallel& parallel, Scratch& scratch, float* y) const {
  const ConvCall call = {weight, arguments, scratch, y};
  const std::size_t vectors = (shape_.group + variant_->lanes - 1) / variant_->lanes, bands = shape_.batch * image_bands();
  // Few vectors are cut into bands for the threads' sake: each part reads its taps.
  const std::size_t ranges = parts_of(cost() / static_cast<double>(vectors), bands);
  parallel.run(vectors * ranges, [&](std::size_t part) {
    const std::size_t range = part % ranges;
    run_bands(call, part / ranges, bands * range / ranges, bands * (range + 1) / ranges);
  });
}

// Of a vector of channels the bands [begin, end), counted through all images.
void Depthwise::run_bands(const ConvCall& call, std::size_t vector, std::size_t begin, std::size_t end) const {
  const std::size_t channel = vector * variant_->lanes, channels = std::min(variant_->lanes, shape_.group - channel);
  const auto memory = call.scratch.lend(at_.size() * (variant_->lanes * sizeof(float) + sizeof(std::ptrdiff_t)));
  float* const weights = memory.floats();
  auto* const at = reinterpret_cast<std::ptrdiff_t*>(weights + at_.size() * variant_->lanes);
  const LaneTaps taps = {weights, at, read_taps(call, channel, channels, weights, at)};
  for (std::size_t band = begin; band < end; ++band) {
    const std::size_t first = band % image_bands() * band_;
    run_band(call, taps, {band / image_bands(), channel, channels, first, std::min(band_, high().output - first)});
  }
}

// The channels' values at every element of the kernel that not all of them have pruned, and where it meets activations; returns how many.
std::size_t Depthwise::read_taps(const ConvCall& call, std::size_t channel, std::size_t channels, float* weights, std::ptrdiff_t* at) const {
  const TapLayout& layout = *call.weight.taps();
  const std::size_t lanes = variant_->lanes;
  std::fill_n(weights, at_.size() * lanes, 0.0f);
  for (std::size_t c = 0; c < channels; ++c) {
    layout.for_row(channel + c, [&](std::size_t element, std::uint8_t code) { weights[element * lanes + c] = call.weight.codebook()[code]; });
  }
  std::size_t kept = 0;
  for (std::size_t element = 0; element < at_.size(); ++element) {
    const float* const from = weights + element * lanes;
    if (std::all_of(from, from + lanes, [](float value) { return value == 0; })) continue;
    std::copy_n(from, lanes, weights + kept * lanes);
    at[kept++] = at_[element];
  }
  return kept;
}

void Depthwise::run_band(const ConvCall& call, const LaneTaps& taps, const Band& band) const {
  const std::size_t lanes = variant_->lanes, row_floats = columns_ * lanes, rows = reach(high(), band.rows);
  const auto memory = call.scratch.lend((rows * row_floats + wide().output * lanes) * sizeof(float));
  float* const strip = memory.floats();
  float* const sums = strip + rows * row_floats;
  const std::size_t in_image = high().input * wide().input, out_image = high().output * wide().output;
  const std::size_t channel = band.image * shape_.group + band.channel;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t padded = band.first * high().stride + r;
    const bool is_there = padded >= high().pad && padded - high().pad < high().input;
    const float* const from = is_there ? call.arguments.x + channel * in_image + (padded - high().pad) * wide().input : nullptr;
    lay_out_lanes(*variant_, {from, in_image, band.channels, wide().input}, -static_cast<std::ptrdiff_t>(wide().pad), columns_,
                  strip + r * row_floats);
  }
  for (std::size_t r = 0; r < band.rows; ++r) {
    variant_->lane_taps(taps, strip + r * high().stride * row_floats, wide().stride * lanes, wide().output, sums);
    store_lanes(*variant_, sums, {channel * out_image + (band.first + r) * wide().output, out_image, band.channel, band.channels, wide().output},
                call.arguments, call.scratch, call.y);
  }
}

}  // namespace sparsebook::kernels
