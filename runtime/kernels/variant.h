// What an instruction set brings to the kernels: one row of the list from which dispatch, tests and benchmarks grow.
//
// A variant's file is compiled for its instruction set. It includes this header, the compiler's intrinsics and nothing that
// defines functions for others: an inline function of the standard library, compiled there, could be the copy that the linker
// keeps for the whole library, and would then run on machines without that instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsebook::kernels {

/// How the groups of a window layout look (kernels/window_layout.h). A group has `rows` x `slots` places: `slots` non-zeros of each
/// of `rows` neighbouring rows, from one window of columns. How a place's column and code are packed is the kernel's choice; a
/// group of zero bytes holds column 0 and code 0 everywhere, and code 0 is the value zero.
struct WindowFormat {
  unsigned rows;
  unsigned slots;
  unsigned window;     ///< columns that an index reaches from the group's base
  unsigned align;      ///< bases are multiples of it; it divides `window`
  unsigned centroids;  ///< the highest code that the kernel looks up
  unsigned bytes;      ///< of a group
  float cost;          ///< of a group, in the unit of all costs of the variant: about a cycle
  void (*put)(std::uint8_t* group, unsigned row, unsigned slot, unsigned index, unsigned code);
  unsigned (*index)(const std::uint8_t* group, unsigned row, unsigned slot);
  unsigned (*code)(const std::uint8_t* group, unsigned row, unsigned slot);
};

/// Consecutive strips of a window layout. A group's base is the base of the group before it in its strip, or 0, plus its step times
/// the format's `align`.
struct WindowStrips {
  const std::uint8_t* groups;  ///< the first strip's first group; nothing behind the last one is read (it is prefetched, which touches nothing)
  const std::uint16_t* steps;  ///< of the same group
  const std::uint64_t* ends;   ///< of every strip, in groups of the layout; the first strip begins at ends[-1]
  std::size_t strips;
  const float* codebook;       ///< 256 values
};

/// The sums of strips for one or several rows of activations that `prepare` has laid out, `pitch` bytes apart:
/// sums[(strip * rows of activations + row of activations) * format.rows + row].
using WindowKernel = void (*)(const WindowStrips& strips, const std::uint8_t* prepared, std::size_t pitch, float* sums);

/// Lays out x[k * stride], k in [0, columns), for a format's kernels, in prepared_bytes(columns) bytes, a multiple of 64.
/// Returns whether all of it is finite: a place without a non-zero multiplies some activation by zero.
struct WindowInput {
  std::size_t (*prepared_bytes)(std::size_t columns);
  bool (*prepare)(const float* x, std::size_t stride, std::size_t columns, std::uint8_t* prepared);
};

/// to[c * to_stride + r] = from[r * from_stride + c] for r in [0, rows), c in [0, columns): a batch's rows become the lanes that a block kernel
/// multiplies, and its sums rows again.
using TransposeKernel = void (*)(const float* from, std::size_t from_stride, std::size_t rows, std::size_t columns, float* to,
                                 std::size_t to_stride);

/// How many rows of activations a window kernel takes at once, ascending. A variant may have kernels for the first of them only.
inline constexpr unsigned WINDOW_BATCHES[] = {1, 4, 8};
inline constexpr unsigned WINDOW_BATCH_COUNT = 3;

struct WindowRow {
  WindowFormat format;
  WindowInput input;
  WindowKernel kernel[WINDOW_BATCH_COUNT];  ///< null where there is none
  float batch_cost;                         ///< of a group and every further row of activations
};

/// Rows of one group of BLOCK_GROUP in one block of columns (kernels/block_layout.h), by ascending number of entries. An entry is
/// column << code bits | code; a row's entries come in pairs, of which the last one may be of column `block columns` and code 0. There the
/// activations have a column of zeros.
struct BlockRows {
  const std::uint16_t* entries;
  const std::uint16_t* pairs;  ///< of every row
  const std::uint8_t* order;   ///< which row of the group it is; one more than `rows`, to look ahead
  std::size_t rows;
  const float* codebook;       ///< 256 values
};
inline constexpr unsigned BLOCK_GROUP = 128;
inline constexpr unsigned PAIR = 2;

/// y[row * width + i] = what was there, or 0 for `fresh` sums, + sum over the row's entries of value * x[column * width + i], i in [0, width).
using BlockKernel = void (*)(const BlockRows& rows, const float* x, bool fresh, float* y);

/// A tile of `width` neighbouring activations.
struct BlockRow {
  unsigned width;
  float cost;          ///< of an entry
  float row_cost;      ///< of a row of a block
  BlockKernel narrow;  ///< of entries with NARROW_CODE bits of code
  BlockKernel wide;    ///< of entries with WIDE_CODE bits of code
};
inline constexpr unsigned NARROW_CODE = 5;
inline constexpr unsigned WIDE_CODE = 8;

/// Rows of a panel of codes (kernels/code_layout.h).
inline constexpr unsigned PANEL_ROWS = 8;

/// A column's activations lie at x + at[column], or side by side, `width` apart, where `at` is null.
struct PanelInput {
  const float* x;
  const std::ptrdiff_t* at;
};

/// y[row * width + i] = what was there, or 0 for `fresh` sums, + sum over `columns` of codebook[codes[column * PANEL_ROWS + row]] * the column's
/// activation i, i in [0, width), for the rows of a panel.
using PanelKernel = void (*)(const std::uint8_t* codes, std::size_t columns, const float* codebook, const PanelInput& input, bool fresh,
                             float* y);

/// A tile of `width` neighbouring activations.
struct PanelRow {
  unsigned width;
  float cost;  ///< of a column of a panel, zeros among its codes
  PanelKernel kernel;
};

/// The terms of a sum: every value times the activations from its place on.
struct Taps {
  const float* values;
  const std::ptrdiff_t* at;
  std::size_t count;
};

/// y[i] = sum over the taps of value * x[at + i], i in [0, count); reads and writes nothing else.
using TapKernel = void (*)(const Taps& taps, const float* x, std::size_t count, float* y);

/// The terms of a vector of channels' sums: `values` has a vector for each of them.
struct LaneTaps {
  const float* values;
  const std::ptrdiff_t* at;
  std::size_t count;
};

/// y[o * lanes + l] = sum over the taps of their value l times x[o * step + at + l], o in [0, outputs).
using LaneKernel = void (*)(const LaneTaps& taps, const float* x, std::size_t step, std::size_t outputs, float* y);

/// Neighbouring activations: `count` of them from `from` on go to `to` on. Where `from` is NOTHING they are zeros.
struct CopyRun {
  std::int32_t from;
  std::uint16_t to;
  std::uint16_t count;
};
inline constexpr std::int32_t NOTHING = -1;

/// Copies `count` runs one after the other. Reads nothing else, but writes whole vectors of the variant's `lanes`: what is behind a run
/// becomes zero, unless the next one goes there.
using CopyKernel = void (*)(const CopyRun* runs, std::size_t count, const float* from, float* to);
inline constexpr std::size_t MOST_LANES = 16;

/// What becomes of a sum: min(max(alpha * sum + beta * bias, low), high), NaN passing. `bias` has a value a sum, or one for all.
struct Finish {
  float alpha;
  float beta;
  float low;
  float high;
  const float* bias;       ///< null for none
  std::size_t bias_stride; ///< 1 or 0
};

/// Stores `count` results; reads and writes nothing behind them.
using FinishKernel = void (*)(const float* sums, std::size_t count, const Finish& finish, float* y);

/// Sums of several output channels, and what becomes of them: min(max(scale * sum + bias + addend, low), high), NaN passing. Row r's sums lie at
/// sums + r * pitch; its results go to y + r * y_pitch, and its addends lie likewise.
struct Channels {
  const float* sums;
  std::size_t pitch;
  std::size_t rows;
  std::size_t count;    ///< of a row's sums
  const float* scale;   ///< a value a row; null for ones
  const float* bias;    ///< a value a row; null for none
  const float* addend;  ///< null for none
  float low;
  float high;
  float* y;
  std::size_t y_pitch;
};

/// Stores the results; reads and writes nothing behind them.
using StoreKernel = void (*)(const Channels& channels);

/// A row of a table: element i is the value of the next code where bit i % 8 of mask[i / 8] is set, else zero. No other bit is set.
struct PackedRow {
  const std::uint8_t* mask;
  const std::uint8_t* codes;
  std::size_t width;
  const float* codebook;  ///< 256 values, that of code 0 being zero
};

/// Writes the row's `width` floats. May read up to EXPAND_SLACK bytes behind the codes.
using ExpandKernel = void (*)(const PackedRow& row, float* y);
inline constexpr std::size_t EXPAND_SLACK = 16;

struct ExpandKernels {
  ExpandKernel narrow;  ///< of codes with NARROW_CODE bits
  ExpandKernel wide;    ///< of codes with WIDE_CODE bits
};

/// y[i] = f(a[i] + b[i]), i in [0, count); b may be null, which adds nothing, and y may be a or b.
using GateKernel = void (*)(const float* a, const float* b, std::size_t count, float* y);

/// What recurrent layers do to sums, with the same bits in every variant.
struct GateKernels {
  GateKernel sigmoid;
  GateKernel tanh;
};

/// Winograd's convolution: a tile of outputs from a tile of inputs by a product of channels at each of its points (variants/winograd_kernel.h).
/// Lanes are channels, of the input or of the output.
inline constexpr unsigned WINOGRAD_POINTS = 6;  ///< of an axis along which something is saved

/// A vector at every point: at + point * point_floats + tile * tile_floats.
struct WinogradPlane {
  float* at;
  std::size_t point_floats;
  std::size_t tile_floats;
};

/// Codes of neighbouring panels (kernels/code_layout.h), from an input channel on.
struct WinogradCodes {
  const std::uint8_t* at;
  std::size_t panel_bytes;
  std::size_t rows;  ///< from the first panel on; what a block has beyond them becomes zero
  const float* codebook;
};

/// What tiles meet at one point.
struct WinogradProduct {
  const float* inputs;      ///< tile t's channel c at t * tile_floats + c
  std::size_t tile_floats;
  const float* weights;     ///< channel c's output channels at c * columns
  std::size_t channels;
  bool fresh;               ///< sums begin here
  float* sums;              ///< `columns` a tile
};

/// `tiles` neighbouring tiles of one row, whose inputs lie channels side by side at from + row * row_floats + column * lanes.
using WinogradInput = void (*)(const float* from, std::size_t row_floats, std::size_t tiles, const WinogradPlane& to);
/// `channels` input channels (the tiles of `to`) by a block of output channels.
using WinogradWeight = void (*)(const WinogradCodes& codes, std::size_t channels, const WinogradPlane& to);
/// The sums of `tiles` tiles.
using WinogradSums = void (*)(WinogradProduct of, std::size_t tiles);
/// One vector of output channels of `tiles` neighbouring tiles of one row, to lie as inputs do. Returns whether all of it is finite: an infinity or
/// NaN of the inputs, or one of the transforms' own where numbers are huge, comes through to some output.
using WinogradOutput = bool (*)(const WinogradPlane& from, std::size_t tiles, float* to, std::size_t row_floats);

/// Cycles a point.
struct WinogradCosts {
  float product;  ///< of a vector's multiply-add
  float input;    ///< of a vector of input channels of a tile
  float weight;   ///< of a vector of output channels of an input channel
  float output;   ///< of a vector of output channels of a tile
};

/// One axis of a tile: `points` inputs, as many transformed ones, `out` outputs.
struct WinogradAxis {
  unsigned taps;  ///< of the kernel
  unsigned points;
  unsigned out;
};

/// For kernels of high.taps x wide.taps.
struct WinogradTransforms {
  WinogradAxis high;
  WinogradAxis wide;
  WinogradInput input;
  WinogradWeight narrow_weight;  ///< of codes with NARROW_CODE bits
  WinogradWeight wide_weight;    ///< of codes with WIDE_CODE bits
  WinogradOutput output;
};
inline constexpr unsigned WINOGRAD_KERNELS = 6;

struct WinogradKernels {
  unsigned columns;  ///< of a block: output channels
  WinogradCosts cost;
  WinogradSums product;
  WinogradTransforms transforms[WINOGRAD_KERNELS];
};

/// A strip of rows that lie as floats (kernels/float_layout.h), and rows of activations.
struct FloatStrip {
  const float* weight;  ///< column after column
  std::size_t columns;
  const float* x;             ///< the first row of activations
  std::size_t row_stride;     ///< of the activations
  std::size_t column_stride;  ///< likewise
};

/// Stores the strip's sums of the first row of activations, then those of the next.
using FloatKernel = void (*)(const FloatStrip& of, float* sums);

/// Vectors of a strip, ascending.
inline constexpr unsigned FLOAT_WIDTH_COUNT = 3;
inline constexpr unsigned FLOAT_WIDTHS[FLOAT_WIDTH_COUNT] = {1, 2, 4};

/// Rows of activations that a kernel takes, ascending.
inline constexpr unsigned FLOAT_BATCH_COUNT = 3;
inline constexpr unsigned FLOAT_BATCHES[FLOAT_BATCH_COUNT] = {1, 2, 4};

struct FloatRow {
  unsigned vectors;
  FloatKernel kernel[FLOAT_BATCH_COUNT];  ///< of a batch whose sums do not fit into registers, null
};

/// An instruction set's kernels.
struct Variant {
  const char* name;
  bool (*supported)();       ///< whether this machine can run it
  const WindowRow* windows;  ///< none where window_count is 0
  std::size_t window_count;
  const BlockRow* blocks;    ///< by ascending width; the first has width 1
  std::size_t block_count;
  const PanelRow* panels;    ///< by ascending width
  std::size_t panel_count;
  std::size_t lanes;         ///< of a vector
  TransposeKernel transpose;
  CopyKernel copy;
  TapKernel taps;
  LaneKernel lane_taps;
  FinishKernel finish;
  StoreKernel store;
  GateKernels gates;
  ExpandKernels expand;
  const FloatRow* floats;           ///< FLOAT_WIDTH_COUNT of them
  const WinogradKernels* winograd;  ///< null where convolutions are all summed directly
};

}  // namespace sparsebook::kernels
