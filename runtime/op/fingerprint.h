// Tells payloads apart by their bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sparsebook::op {

using Fingerprint = std::array<std::uint64_t, 2>;

/// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, and its reference code).
[[nodiscard]] Fingerprint siphash(const Fingerprint& key, const std::uint8_t* bytes, std::size_t size);

/// The bytes' fingerprint in this process. Its key is random: who makes a payload cannot make another one with the fingerprint of
/// somebody else's.
[[nodiscard]] Fingerprint fingerprint(const std::uint8_t* bytes, std::size_t size);

}  // namespace sparsebook::op
