// What an operator sees of ONNX Runtime: attributes and constants when it is created, tensors when it runs. Errors are thrown
// here; op/custom_op.h turns them into an OrtStatus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "abi/ort_abi.h"

namespace sparsebook::abi {

using Shape = std::vector<std::int64_t>;

/// "[2, 3]"
[[nodiscard]] std::string to_string(const Shape& shape);

/// Something is wrong with the model or with an input. The message is for the person who runs the model.
class OperatorError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A tensor's data and shape; borrowed from ONNX Runtime for the duration of a call.
struct Tensor {
  const void* data = nullptr;
  int element_type = UNDEFINED;
  Shape shape;

  [[nodiscard]] std::size_t elements() const;
  [[nodiscard]] const float* floats() const { return static_cast<const float*>(data); }
  [[nodiscard]] const std::uint8_t* bytes() const { return static_cast<const std::uint8_t*>(data); }
};

/// A node at session creation. Attribute getters return nothing for an absent attribute and throw OperatorError for one of
/// another type.
class KernelInfo {
 public:
  KernelInfo(const OrtApi* api, const OrtKernelInfo* info) : api_(api), info_(info) {}

  [[nodiscard]] const OrtApi* api() const { return api_; }
  [[nodiscard]] std::optional<float> attribute_float(const char* name) const;
  [[nodiscard]] std::optional<std::int64_t> attribute_int(const char* name) const;
  [[nodiscard]] std::optional<std::string> attribute_string(const char* name) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> attribute_ints(const char* name) const;
  [[nodiscard]] std::string input_name(std::size_t index) const;
  /// Says something to the session's log, at the level of information.
  void log(const std::string& message) const;
  /// The input, if it is a constant of the graph that the node is in.
  [[nodiscard]] std::optional<Tensor> constant_input(std::size_t index) const;

 private:
  [[nodiscard]] bool has_attribute(const char* name) const;
  void refuse_other_type(const char* name, const char* expected) const;

  const OrtApi* api_;
  const OrtKernelInfo* info_;
};

/// A node while it runs.
class KernelContext {
 public:
  /// `api` is the table of version `version`.
  KernelContext(const OrtApi* api, std::uint32_t version, OrtKernelContext* context)
      : api_(api), version_(version), context_(context) {}

  /// The input; nothing if it is optional and not given.
  [[nodiscard]] std::optional<Tensor> optional_input(std::size_t index) const;
  [[nodiscard]] Tensor input(std::size_t index) const;
  /// Has ONNX Runtime lay out float output `index`; null where it is optional and the node does not want it.
  [[nodiscard]] float* output(std::size_t index, const Shape& shape) const;

  /// Calls body(i) once for every i in [0, total), in any order and on any thread of the session's intra-op pool, the caller's
  /// own included; returns when all calls have returned. With `intra_op_num_threads` 1, or before THREADS_VERSION, all of them
  /// are made here, in order. If calls throw, all others are made nevertheless and what the one of the least i threw is thrown.
  ///
  /// How many threads there are cannot be asked: ONNX Runtime has no slot that tells. Work is therefore cut by its shape alone,
  /// which also keeps results from depending on threads.
  void parallel_for(std::size_t total, const std::function<void(std::size_t)>& body) const;

 private:
  const OrtApi* api_;
  std::uint32_t version_;
  OrtKernelContext* context_;
};

/// A new status with this message, for ONNX Runtime to release.
[[nodiscard]] OrtStatus* make_status(const OrtApi* api, ErrorCode code, const char* message) noexcept;

}  // namespace sparsebook::abi
