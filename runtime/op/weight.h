// A node's payload in the form that its kernel computes from, decoded once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "abi/kernel_api.h"
#include "decode/bytes.h"
#include "decode/layout.h"
#include "decode/payload.h"

namespace sparsebook::op {

/// `Form` is made from a payload by `make`, which throws PayloadError for a bad payload and OperatorError for one that does not
/// fit the node. A constant payload is decoded when the session is created. One that reaches a subgraph from outside is decoded
/// at its first use and kept until the node is given another.
template <class Form>
class Weight {
 public:
  using Make = std::function<Form(decode::Payload)>;

  Weight(const abi::KernelInfo& info, std::size_t input, Make make) : input_(input), make_(std::move(make)) {
    if (const auto payload = info.constant_input(input_)) constant_ = form_of(*payload);
  }

  /// The form of the node's payload. Safe to call from several threads.
  [[nodiscard]] std::shared_ptr<const Form> get(const abi::KernelContext& context) const {
    if (constant_) return constant_;
    const abi::Tensor payload = context.input(input_);
    const Key key = key_of(payload);
    // Decoding under the lock: threads that want the same payload wait for it instead of decoding it as well.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!latest_ || !(key == key_)) {
      latest_ = form_of(payload);
      key_ = key;
    }
    return latest_;
  }

 private:
  // Tells payloads apart without reading them: two at one place with one size and one CRC-32 are one.
  struct Key {
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
    std::uint32_t checksum = 0;
    bool operator==(const Key& other) const {
      return data == other.data && size == other.size && checksum == other.checksum;
    }
  };

  static Key key_of(const abi::Tensor& payload) {
    const std::size_t size = payload.elements();
    const bool whole = size >= decode::CHECKSUM_BYTES;
    return {payload.bytes(), size, whole ? decode::load_u32(payload.bytes() + size - decode::CHECKSUM_BYTES) : 0};
  }

  std::shared_ptr<const Form> form_of(const abi::Tensor& payload) const {
    return std::make_shared<const Form>(make_(decode::parse(payload.bytes(), payload.elements())));
  }

  std::size_t input_;
  Make make_;
  std::shared_ptr<const Form> constant_;
  mutable std::mutex mutex_;
  mutable Key key_;
  mutable std::shared_ptr<const Form> latest_;
};

/// A payload's shape as ONNX Runtime writes shapes.
[[nodiscard]] inline abi::Shape shape_of(const decode::Payload& payload) {
  return {payload.shape.begin(), payload.shape.end()};
}

}  // namespace sparsebook::op
