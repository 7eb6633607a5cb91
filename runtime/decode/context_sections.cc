#include "decode/context_sections.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "decode/bytes.h"
#include "decode/error.h"
#include "decode/segments.h"

namespace sparsebook::decode {
namespace {

constexpr unsigned HISTORIES[] = {1, 1, 15, 15};

[[noreturn]] void fail(const char* id, const std::string& detail) { throw PayloadError(id, detail); }

void expect(bool valid, const std::string& found) {
  if (!valid) fail("contexts", found);
}

std::uint64_t segments_of(std::uint64_t elements) { return (elements + CONTEXT_SEGMENT - 1) / CONTEXT_SEGMENT; }

// The classes of `count` rows or columns; none where there is one class.
std::vector<std::uint8_t> read_classes(const Payload& payload, Stream& stream, const std::uint8_t* sizes, unsigned classes,
                                       std::uint64_t count) {
  std::vector<std::uint8_t> result;
  if (classes == 1) return result;
  sum_sizes(sizes, count, stream);
  Payload part;  // just what decode_segments asks for
  part.symbols = count;
  part.end = payload.end;
  result.reserve(static_cast<std::size_t>(count));
  const auto group = std::make_unique<SegmentGroup>();
  for (std::uint64_t first = 0; first < part.segments(); first += LANES) {
    const unsigned lanes = static_cast<unsigned>(std::min<std::uint64_t>(LANES, part.segments() - first));
    decode_segments(part, stream, first, lanes, *group);
    for (unsigned lane = 0; lane < lanes; ++lane) {
      if (!group->well_formed[lane]) fail("stream", "the classes of rows or columns do not fill their bytes");
      const std::uint8_t* symbols = group->symbol[lane];
      result.insert(result.end(), symbols, symbols + part.segment_symbols(first + lane));
    }
  }
  return result;
}

}  // namespace

void ContextSections::take_head(Sections& sections) {
  const std::uint8_t* head = sections.take(CONTEXT_HEAD_BYTES, "contexts");
  const unsigned rank = static_cast<unsigned>(payload_.shape.size());
  contexts_.split = head[0];
  contexts_.mask = head[1];
  const unsigned group_axis = head[2];
  contexts_.rows_by = head[3];
  contexts_.columns_by = head[4];
  contexts_of_codes_ = head[5];
  expect(contexts_.split <= rank, "the split is behind axis " + std::to_string(contexts_.split) + " of " + std::to_string(rank));
  expect(contexts_.mask <= MASK_GROUPS, "mask " + std::to_string(contexts_.mask) + ", allowed is 0..3");
  expect(contexts_.mask == MASK_NONE || payload_.centroids > 0, "a mask without centroids");
  const bool groups = contexts_.mask == MASK_GROUPS;
  expect(groups ? group_axis >= contexts_.split && group_axis < rank : group_axis == 0,
         "groups from axis " + std::to_string(group_axis));
  for (const unsigned classes : {contexts_.rows_by, contexts_.columns_by}) {
    expect(classes >= 1 && classes <= MAX_CLASSES, std::to_string(classes) + " classes, allowed are 1..8");
  }
  expect(contexts_of_codes_ >= 1 && contexts_of_codes_ <= MAX_CODE_CONTEXTS,
         std::to_string(contexts_of_codes_) + " contexts of codes, allowed are 1..8");
  expect(head[6] == 0 && head[7] == 0, "the last two bytes are not 0");
  contexts_.histories = HISTORIES[contexts_.mask];
  contexts_.first_code = contexts_.mask == MASK_NONE ? 0 : 1;
  alphabet_ = payload_.centroids + 1 - contexts_.first_code;
  contexts_.columns = 1;
  for (unsigned axis = 0; axis < rank; ++axis) {
    // Products of factors of `elements`, which is at most 2^36 and not 0.
    (axis < contexts_.split ? rows_ : contexts_.columns) *= payload_.shape[axis];
  }
  if (groups) {
    contexts_.group = 1;
    for (unsigned axis = group_axis; axis < rank; ++axis) contexts_.group *= payload_.shape[axis];
  }
}

void ContextSections::take_segments(Sections& sections) {
  const std::uint64_t segments = segments_of(payload_.elements);
  sizes_ = sections.take(4 * segments, "segment sizes");
  std::uint64_t total = 0;
  for (std::uint64_t segment = 0; segment < segments; ++segment) {
    const std::uint64_t left = payload_.elements - segment * CONTEXT_SEGMENT;
    const std::uint64_t length = std::min<std::uint64_t>(left, CONTEXT_SEGMENT);
    const std::uint64_t size = load_u32(sizes_ + 4 * segment);
    // Every symbol takes at most one word of two bytes, and an element is two symbols.
    const std::uint64_t least = std::uint64_t{4} * lanes_of(length);
    if (size < least || size > least + 4 * length || size % 2 != 0) {
      fail("segment-size", std::to_string(size) + " bytes in segment " + std::to_string(segment) + ", allowed is an even number of " +
                               std::to_string(least) + ".." + std::to_string(least + 4 * length));
    }
    total += size;
  }
  contexts_.bytes = sections.take(total, "segments");
}

void ContextSections::take(Sections& sections) {
  take_head(sections);
  if (contexts_.rows_by > 1) read_coding(sections, CODEC_HUFFMAN, contexts_.rows_by, "row classes", row_classes_);
  if (contexts_.columns_by > 1) read_coding(sections, CODEC_HUFFMAN, contexts_.columns_by, "column classes", column_classes_);
  row_sizes_ = take_sizes(sections, row_classes_, rows_, "row classes' segment sizes");
  column_sizes_ = take_sizes(sections, column_classes_, contexts_.columns, "column classes' segment sizes");
  // Without a table a stream takes no bytes here: it has one class, or one that occurs.
  const std::uint64_t row_bytes = row_sizes_ ? stream_bytes(rows_, row_classes_, row_sizes_, "row classes") : 0;
  const std::uint64_t column_bytes =
      column_sizes_ ? stream_bytes(contexts_.columns, column_classes_, column_sizes_, "column classes") : 0;
  row_classes_.bytes = sections.take(row_bytes, "row classes");
  column_classes_.bytes = sections.take(column_bytes, "column classes");
  const unsigned cells = contexts_.rows_by * contexts_.columns_by;
  levels_ = sections.take(contexts_.mask == MASK_NONE ? 0 : cells * contexts_.histories, "mask's levels");
  cells_ = sections.take(contexts_of_codes_ > 1 ? cells : 0, "contexts of the cells");
  code_levels_ = sections.take(std::uint64_t{contexts_of_codes_} * alphabet_, "codes' levels");
  take_segments(sections);
}

void ContextSections::read(Payload& payload) {
  contexts_.row_classes = read_classes(payload, row_classes_, row_sizes_, contexts_.rows_by, rows_);
  contexts_.column_classes = read_classes(payload, column_classes_, column_sizes_, contexts_.columns_by, contexts_.columns);
  const unsigned cells = contexts_.rows_by * contexts_.columns_by;
  if (contexts_.mask != MASK_NONE) {
    for (unsigned context = 0; context < cells * contexts_.histories; ++context) {
      const unsigned level = levels_[context];
      if (level == 0 || level > MAX_MASK_LEVEL) fail("probabilities", "level " + std::to_string(level) + ", allowed are 1..143");
      const unsigned cell = context / contexts_.histories;
      const auto first = contexts_.share.begin() + 16 * cell;
      if (contexts_.histories == 1) {
        std::fill_n(first, 16, mask_share(level));  // whatever the history is
      } else {
        first[1 + context % contexts_.histories] = mask_share(level);
      }
    }
  }
  if (contexts_of_codes_ > 1) {
    for (unsigned cell = 0; cell < cells; ++cell) {
      if (cells_[cell] >= contexts_of_codes_) {
        fail("cells", "context " + std::to_string(cells_[cell]) + ", allowed are 0.." + std::to_string(contexts_of_codes_ - 1));
      }
      contexts_.code_context[cell] = cells_[cell];
    }
  }
  for (unsigned context = 0; context < contexts_of_codes_; ++context) {
    contexts_.codes.emplace_back(code_levels_ + std::size_t{context} * alphabet_, alphabet_);
  }
  std::uint64_t end = 0;
  for (std::uint64_t segment = 0; segment < segments_of(payload_.elements); ++segment) {
    end += load_u32(sizes_ + 4 * segment);
    contexts_.ends.push_back(end);
  }
  payload.contexts = std::move(contexts_);
}

}  // namespace sparsebook::decode
