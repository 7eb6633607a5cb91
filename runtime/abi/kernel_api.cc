#include "abi/kernel_api.h"

#include <exception>
#include <mutex>

namespace sparsebook::abi {
namespace {

// Owns a status that ONNX Runtime returned.
class Status {
 public:
  Status(const OrtApi* api, OrtStatus* status) : api_(api), status_(status) {}
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;
  ~Status() {
    if (status_ != nullptr) call<Slot::ReleaseStatus, void>(api_, status_);
  }
  [[nodiscard]] bool ok() const { return status_ == nullptr; }
  [[nodiscard]] std::string message() const {
    return call<Slot::GetErrorMessage, const char*>(api_, static_cast<const OrtStatus*>(status_));
  }

 private:
  const OrtApi* api_;
  OrtStatus* status_;
};

template <Slot SLOT, class... Arguments>
bool succeeds(const OrtApi* api, Arguments... arguments) {
  return Status(api, call<SLOT>(api, arguments...)).ok();
}

template <Slot SLOT, class... Arguments>
void require(const OrtApi* api, const char* what, Arguments... arguments) {
  const Status status(api, call<SLOT>(api, arguments...));
  if (!status.ok()) throw std::runtime_error("ONNX Runtime gives no " + std::string(what) + ": " + status.message());
}

class TypeAndShape {
 public:
  TypeAndShape(const OrtApi* api, const OrtValue* value) : api_(api), info_(nullptr) {
    require<Slot::GetTensorTypeAndShape>(api_, "tensor type", value, &info_);
  }
  TypeAndShape(const TypeAndShape&) = delete;
  TypeAndShape& operator=(const TypeAndShape&) = delete;
  ~TypeAndShape() { call<Slot::ReleaseTensorTypeAndShapeInfo, void>(api_, info_); }

  [[nodiscard]] int element_type() const {
    int type = UNDEFINED;
    require<Slot::GetTensorElementType>(api_, "tensor type", constant(), &type);
    return type;
  }

  [[nodiscard]] Shape shape() const {
    std::size_t rank = 0;
    require<Slot::GetDimensionsCount>(api_, "tensor rank", constant(), &rank);
    Shape shape(rank);
    if (rank != 0) require<Slot::GetDimensions>(api_, "tensor shape", constant(), shape.data(), rank);
    return shape;
  }

 private:
  [[nodiscard]] const OrtTensorTypeAndShapeInfo* constant() const { return info_; }

  const OrtApi* api_;
  OrtTensorTypeAndShapeInfo* info_;
};

Tensor view(const OrtApi* api, const OrtValue* value) {
  const TypeAndShape info(api, value);
  void* data = nullptr;
  // There is no getter for constant data; nothing is written through the pointer.
  require<Slot::GetTensorMutableData>(api, "tensor data", const_cast<OrtValue*>(value), &data);
  return {data, info.element_type(), info.shape()};
}

// The calls of one parallel_for. No exception may leave through the pool's threads, which are ONNX Runtime's.
class Calls {
 public:
  explicit Calls(const std::function<void(std::size_t)>& body) : body_(body) {}

  static void make(void* calls, std::size_t index) noexcept { static_cast<Calls*>(calls)->call_body(index); }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void call_body(std::size_t index) noexcept {
    try {
      body_(index);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (error_ && least_ < index) return;
      error_ = std::current_exception();
      least_ = index;
    }
  }

  const std::function<void(std::size_t)>& body_;
  std::mutex mutex_;
  std::exception_ptr error_;
  std::size_t least_ = 0;  ///< the index whose call threw `error_`
};

}  // namespace

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dimension);
  }
  return text + "]";
}

std::size_t Tensor::elements() const {
  std::size_t count = 1;
  for (const std::int64_t dimension : shape) count *= static_cast<std::size_t>(dimension);
  return count;
}

// A getter fails alike for an absent attribute and for one of another type, and only its message says which. An attribute
// that exists answers to one of the other getters.
bool KernelInfo::has_attribute(const char* name) const {
  float number = 0;
  std::int64_t integer = 0;
  std::size_t size = 0;
  return succeeds<Slot::KernelInfoGetAttribute_float>(api_, info_, name, &number) ||
         succeeds<Slot::KernelInfoGetAttribute_int64>(api_, info_, name, &integer) ||
         succeeds<Slot::KernelInfoGetAttribute_string>(api_, info_, name, static_cast<char*>(nullptr), &size) ||
         succeeds<Slot::KernelInfoGetAttributeArray_float>(api_, info_, name, static_cast<float*>(nullptr), &size) ||
         succeeds<Slot::KernelInfoGetAttributeArray_int64>(api_, info_, name, static_cast<std::int64_t*>(nullptr), &size);
}

void KernelInfo::refuse_other_type(const char* name, const char* expected) const {
  if (has_attribute(name)) throw OperatorError("attribute '" + std::string(name) + "' is not " + expected);
}

std::optional<float> KernelInfo::attribute_float(const char* name) const {
  float value = 0;
  if (succeeds<Slot::KernelInfoGetAttribute_float>(api_, info_, name, &value)) return value;
  refuse_other_type(name, "a float");
  return std::nullopt;
}

std::optional<std::int64_t> KernelInfo::attribute_int(const char* name) const {
  std::int64_t value = 0;
  if (succeeds<Slot::KernelInfoGetAttribute_int64>(api_, info_, name, &value)) return value;
  refuse_other_type(name, "an integer");
  return std::nullopt;
}

std::optional<std::string> KernelInfo::attribute_string(const char* name) const {
  std::size_t size = 0;  // with the terminating zero
  if (!succeeds<Slot::KernelInfoGetAttribute_string>(api_, info_, name, static_cast<char*>(nullptr), &size)) {
    refuse_other_type(name, "a string");
    return std::nullopt;
  }
  std::string value(size, '\0');
  require<Slot::KernelInfoGetAttribute_string>(api_, "attribute", info_, name, value.data(), &size);
  value.resize(size - 1);
  return value;
}

std::optional<std::vector<std::int64_t>> KernelInfo::attribute_ints(const char* name) const {
  std::size_t size = 0;
  if (!succeeds<Slot::KernelInfoGetAttributeArray_int64>(api_, info_, name, static_cast<std::int64_t*>(nullptr), &size)) {
    refuse_other_type(name, "a list of integers");
    return std::nullopt;
  }
  std::vector<std::int64_t> values(size);
  if (size != 0) require<Slot::KernelInfoGetAttributeArray_int64>(api_, "attribute", info_, name, values.data(), &size);
  return values;
}

std::string KernelInfo::input_name(std::size_t index) const {
  std::size_t size = 0;
  require<Slot::KernelInfo_GetInputName>(api_, "input name", info_, index, static_cast<char*>(nullptr), &size);
  std::string name(size, '\0');
  require<Slot::KernelInfo_GetInputName>(api_, "input name", info_, index, name.data(), &size);
  name.resize(size - 1);
  return name;
}

void KernelInfo::log(const std::string& message) const {
#if defined(_WIN32)
  const wchar_t* const file = L"sparsebook";
#else
  const char* const file = "sparsebook";
#endif
  constexpr int INFORMATION = 1;
  const OrtLogger* logger = nullptr;
  require<Slot::KernelInfo_GetLogger>(api_, "logger", info_, &logger);
  require<Slot::Logger_LogMessage>(api_, "log", logger, INFORMATION, message.c_str(), file, 0, "load");
}

std::optional<Tensor> KernelInfo::constant_input(std::size_t index) const {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  require<Slot::KernelInfoGetConstantInput_tensor>(api_, "constant input", info_, index, &is_constant, &value);
  if (is_constant == 0 || value == nullptr) return std::nullopt;
  return view(api_, value);
}

std::optional<Tensor> KernelContext::optional_input(std::size_t index) const {
  std::size_t count = 0;
  require<Slot::KernelContext_GetInputCount>(api_, "number of inputs", static_cast<const OrtKernelContext*>(context_), &count);
  if (index >= count) return std::nullopt;
  const OrtValue* value = nullptr;
  require<Slot::KernelContext_GetInput>(api_, "input", static_cast<const OrtKernelContext*>(context_), index, &value);
  if (value == nullptr) return std::nullopt;
  return view(api_, value);
}

Tensor KernelContext::input(std::size_t index) const {
  std::optional<Tensor> tensor = optional_input(index);
  if (!tensor) throw OperatorError("input " + std::to_string(index) + " is missing");
  return *std::move(tensor);
}

float* KernelContext::output(std::size_t index, const Shape& shape) const {
  OrtValue* value = nullptr;
  void* data = nullptr;
  require<Slot::KernelContext_GetOutput>(api_, "output", context_, index, shape.data(), shape.size(), &value);
  if (value == nullptr) return nullptr;
  require<Slot::GetTensorMutableData>(api_, "output data", value, &data);
  return static_cast<float*>(data);
}

void KernelContext::parallel_for(std::size_t total, const std::function<void(std::size_t)>& body) const {
  Calls calls(body);
  if (version_ < THREADS_VERSION || total < 2) {
    for (std::size_t index = 0; index < total; ++index) Calls::make(&calls, index);
  } else {
    // No batches (0): the pool hands out one index at a time, so that uneven work evens out.
    require<Slot::KernelContext_ParallelFor>(api_, "threads", static_cast<const OrtKernelContext*>(context_), &Calls::make,
                                             total, std::size_t{0}, static_cast<void*>(&calls));
  }
  calls.rethrow();
}

OrtStatus* make_status(const OrtApi* api, ErrorCode code, const char* message) noexcept {
  return call<Slot::CreateStatus>(api, static_cast<int>(code), message);
}

}  // namespace sparsebook::abi
