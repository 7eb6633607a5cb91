#include <vector>

#include "check.h"
#include "decode/huffman.h"

using namespace sparsebook::decode;

namespace {

// Packs nibbles and reads them back as the code lengths of `alphabet` symbols.
CodeLengths read(const std::vector<unsigned>& nibbles, unsigned alphabet) {
  std::vector<std::uint8_t> bytes((nibbles.size() + 1) / 2);
  for (std::size_t i = 0; i < nibbles.size(); ++i) {
    bytes[i / 2] = static_cast<std::uint8_t>(bytes[i / 2] | nibbles[i] << (i % 2 == 0 ? 4 : 0));
  }
  return read_code_lengths(bytes.data(), bytes.size(), alphabet, "codes");
}

std::string error(const std::vector<unsigned>& nibbles, unsigned alphabet) {
  return check::payload_error([&] { (void)read(nibbles, alphabet); });
}

void reads_lengths() {
  const CodeLengths plain = read({1, 2, 3, 3}, 4);
  CHECK(plain.occurring == 4 && plain.bytes == 2);
  CHECK(plain.length[0] == 1 && plain.length[1] == 2 && plain.length[2] == 3 && plain.length[3] == 3);

  // Zeros 17, one symbol of length 2 repeated three times: 17 + 4 symbols, padded to whole bytes.
  const CodeLengths runs = read({13, 15, 2, 14, 1}, 21);
  CHECK(runs.occurring == 4 && runs.bytes == 3);
  CHECK(runs.length[16] == 0 && runs.length[17] == 2 && runs.length[20] == 2);

  // A repetition may repeat a zero.
  CHECK(read({0, 14, 0, 1, 1}, 5).occurring == 2);

  const CodeLengths single = read({0, 0, 1}, 3);
  CHECK(single.occurring == 1 && single.only == 2);
  CHECK(read({1}, 1).only == 0);
}

void refuses_lengths() {
  CHECK(error({15, 1, 1}, 2) == "code-lengths");       // invalid nibble
  CHECK(error({14, 0, 1}, 3) == "code-lengths");       // nothing to repeat
  CHECK(error({1, 13, 0}, 2) == "code-lengths");       // a run out of the alphabet
  CHECK(error({1, 1, 1}, 3) == "code-lengths");        // over-full
  CHECK(error({1, 2, 3}, 3) == "code-lengths");        // incomplete
  CHECK(error({0, 2}, 2) == "code-lengths");           // a single symbol not of length 1
  CHECK(error({0, 0}, 2) == "code-lengths");           // no symbol
  CHECK(error({1, 2, 2, 7}, 3) == "code-lengths");     // padding that is not zero
  CHECK(error({1, 2}, 3) == "truncated");
  CHECK(error({}, 1) == "truncated");
  CHECK(error({1, 13}, 5) == "truncated");             // a run without its length
}

void decodes_every_window() {
  const HuffmanTable table(read({12, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 13));
  // Canonical order: the shortest word first. Symbol 12 is "0", 11 is "10", ..., symbols 0 and 1 the two longest.
  for (std::uint64_t window = 0; window < 4096; ++window) {
    unsigned ones = 0;
    while (ones < 12 && (window >> (11 - ones) & 1) != 0) ++ones;
    const HuffmanTable::Entry entry = table.lookup(window << 52);
    const unsigned expected = ones == 12 ? 1 : ones == 11 ? 0 : 12 - ones;
    CHECK(entry.symbol == expected);
    CHECK(entry.length == (ones >= 11 ? 12 : ones + 1));
  }
}

}  // namespace

int main() {
  reads_lengths();
  refuses_lengths();
  decodes_every_window();
  return check::finish();
}
