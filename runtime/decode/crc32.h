// CRC-32 of ISO 3309, as zlib's: reflected polynomial 0xEDB88320, start and end inverted.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sparsebook::decode {

[[nodiscard]] std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size);

}  // namespace sparsebook::decode
