#include "decode/context_reader.h"

#include <algorithm>
#include <cstring>

#include "decode/bytes.h"

namespace sparsebook::decode {
namespace {

constexpr std::uint32_t LOWEST = 1u << STATE_BITS;
constexpr std::uint32_t SLOT = (1u << PROBABILITY_BITS) - 1;
// A cell is below 64.
constexpr unsigned CELL = 63;
constexpr unsigned BEGINS = 64;

}  // namespace

// The 16-bit words of a segment. Behind the last they are 0, and `missing` says that one was asked for.
struct Words {
  const std::uint8_t* next;
  const std::uint8_t* end;
  bool missing = false;

  void refill(std::uint32_t& state) {
    if (state >= LOWEST) return;
    // A symbol takes a state at most from 2^16 to 2^4 (frequency 1), so that one word is enough.
    if (next == end) {
      missing = true;
      state = LOWEST;
      return;
    }
    state = state << STATE_BITS | load_u16(next);
    next += 2;
  }
};

ContextReader::ContextReader(const Payload& payload)
    : payload_(payload), contexts_(*payload.contexts), uniform_(false) {
  const unsigned cells = contexts_.rows_by * contexts_.columns_by;
  if (cells == 1 && contexts_.group == 0) {
    uniform_ = true;
    place_.fill(0);
    return;
  }
  columns_.resize(static_cast<std::size_t>(contexts_.columns));
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    const unsigned of = contexts_.column_classes.empty() ? 0 : contexts_.column_classes[column];
    const bool begins = contexts_.group != 0 && column % contexts_.group == 0;
    columns_[column] = static_cast<std::uint8_t>(of | (begins ? BEGINS : 0));
  }
}

void ContextReader::lay_out(std::uint64_t first, unsigned length) {
  if (uniform_) return;
  std::uint64_t row = first / contexts_.columns;
  std::uint64_t column = first % contexts_.columns;
  for (unsigned at = 0; at < length;) {
    const unsigned of = contexts_.row_classes.empty() ? 0 : contexts_.row_classes[static_cast<std::size_t>(row)];
    const unsigned base = of * contexts_.columns_by;
    const unsigned end = at + static_cast<unsigned>(std::min<std::uint64_t>(length - at, contexts_.columns - column));
    const std::uint8_t* from = columns_.data() + column;
    for (unsigned i = at; i < end; ++i) place_[i] = static_cast<std::uint8_t>(from[i - at] + base);
    at = end;
    column = 0;
    ++row;
  }
}

template <unsigned N>
void ContextReader::decode_mask(Words& words, std::uint32_t* state, unsigned length) {
  const unsigned steps = (length + N - 1) / N;
  const std::uint16_t* const share = contexts_.share.data();
  unsigned history[N];
  std::fill_n(history, N, 1u);
  unsigned found[N] = {};
  std::uint32_t x[N];
  std::copy_n(state, N, x);
  Words local = words;
  const auto take = [&](unsigned lane, unsigned step) {
    const unsigned place = place_[lane * steps + step];
    const unsigned past = (place & BEGINS) != 0 ? 1 : history[lane];
    const std::uint32_t frequency = share[(place & CELL) * 16 + past];
    const std::uint32_t slot = x[lane] & SLOT;
    const std::uint32_t part = (x[lane] >> PROBABILITY_BITS) * frequency;
    const bool nonzero = slot < frequency;
    x[lane] = nonzero ? part + slot : x[lane] - part - frequency;
    local.refill(x[lane]);
    // A lane's k-th non-zero is at its step k or later, so that lanes do not meet.
    position_[lane * steps + found[lane]] = static_cast<std::uint16_t>(lane * steps + step);
    found[lane] += nonzero;
    const unsigned longer = past * 2 + nonzero;
    history[lane] = longer < 16 ? longer : (longer & 7) | 8;
  };
  const unsigned shared = length - (N - 1) * steps;  // steps of the last lane
  for (unsigned step = 0; step < shared; ++step) {
    for (unsigned lane = 0; lane < N; ++lane) take(lane, step);
  }
  for (unsigned step = shared; step < steps; ++step) {
    for (unsigned lane = 0; lane < N && lane * steps + step < length; ++lane) take(lane, step);
  }
  count_ = found[0];
  for (unsigned lane = 1; lane < N; ++lane) {
    std::memmove(position_.data() + count_, position_.data() + lane * steps, found[lane] * sizeof position_[0]);
    count_ += found[lane];
  }
  std::copy_n(x, N, state);
  words = local;
}

template <unsigned N>
void ContextReader::decode_codes(Words& words, std::uint32_t* state) {
  std::uint32_t x[N];
  std::copy_n(state, N, x);
  Words local = words;
  const unsigned first_code = contexts_.first_code;
  const auto take = [&](unsigned lane, unsigned index) {
    const unsigned context = contexts_.code_context[place_[position_[index]] & CELL];
    const std::uint32_t entry = contexts_.codes[context].entry(x[lane] & SLOT);
    x[lane] = ((entry >> 12 & SLOT) + 1) * (x[lane] >> PROBABILITY_BITS) + (entry & SLOT);
    local.refill(x[lane]);
    code_[index] = static_cast<std::uint8_t>((entry >> 24) + first_code);
  };
  unsigned index = 0;
  for (; index + N <= count_; index += N) {
    for (unsigned lane = 0; lane < N; ++lane) take(lane, index + lane);
  }
  for (unsigned lane = 0; index < count_; ++index, ++lane) take(lane, index);
  std::copy_n(x, N, state);
  words = local;
}

bool ContextReader::decode(std::uint64_t index) {
  const std::uint64_t first = index * CONTEXT_SEGMENT;
  const unsigned length = static_cast<unsigned>(std::min<std::uint64_t>(payload_.elements - first, CONTEXT_SEGMENT));
  const unsigned lanes = lanes_of(length);
  const std::uint64_t begin = index == 0 ? 0 : contexts_.ends[static_cast<std::size_t>(index - 1)];
  Words words{contexts_.bytes + begin, contexts_.bytes + contexts_.ends[static_cast<std::size_t>(index)]};
  std::uint32_t state[CONTEXT_LANES];
  bool sound = true;
  for (unsigned lane = 0; lane < lanes; ++lane, words.next += 4) {
    state[lane] = load_u32(words.next);
    sound = sound && state[lane] >= LOWEST;
  }
  if (!sound) return false;
  lay_out(first, length);
  if (contexts_.mask == MASK_NONE) {
    count_ = length;
    for (unsigned i = 0; i < length; ++i) position_[i] = static_cast<std::uint16_t>(i);
  } else if (lanes == 1) {
    decode_mask<1>(words, state, length);
  } else {
    decode_mask<CONTEXT_LANES>(words, state, length);
  }
  if (lanes == 1) {
    decode_codes<1>(words, state);
  } else {
    decode_codes<CONTEXT_LANES>(words, state);
  }
  sound = !words.missing && words.next == words.end;
  for (unsigned lane = 0; lane < lanes; ++lane) sound = sound && state[lane] == LOWEST;
  return sound;
}

}  // namespace sparsebook::decode
