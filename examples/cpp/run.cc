// Runs an artifact whose output is `operator` from C++.
//
//   c++ -std=c++17 run.cc -I INCLUDE -L LIB -lonnxruntime -o run
//   ./run model.onnx lib/linux-x86_64/libsparsebook.so [provider] < input > output
//
// With `provider` the library is the execution provider (ONNX Runtime 1.24 or newer), which brings the operators itself. The model
// has one float input, whose free dimensions are taken as 1, and its first output is float; both are raw numbers here. Paths are of
// ORTCHAR_T, which is wchar_t on Windows.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iostream>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

constexpr const char* PROVIDER = "SparsebookExecutionProvider";

void take_provider(Ort::Env& env, Ort::SessionOptions& options, const char* library) {
  env.RegisterExecutionProviderLibrary(PROVIDER, library);  // once a process; an absolute path
  std::vector<Ort::ConstEpDevice> devices;
  for (const Ort::ConstEpDevice& device : env.GetEpDevices()) {
    if (std::string(device.EpName()) == PROVIDER) devices.push_back(device);
  }
  options.AppendExecutionProvider_V2(env, devices, std::unordered_map<std::string, std::string>{});
}

int run(const char* model, const char* library, bool provider) {
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "run");
  Ort::SessionOptions options;
  if (provider) {
    take_provider(env, options, library);
  } else {
    options.RegisterCustomOpsLibrary(library);  // the one call that an artifact needs
  }
  Ort::Session session(env, model, options);

  Ort::AllocatorWithDefaultOptions allocator;
  const Ort::AllocatedStringPtr input_name = session.GetInputNameAllocated(0, allocator);
  const Ort::AllocatedStringPtr output_name = session.GetOutputNameAllocated(0, allocator);
  std::vector<std::int64_t> shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
  std::replace_if(shape.begin(), shape.end(), [](std::int64_t dimension) { return dimension < 0; }, 1);

  const auto count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  std::vector<float> x(static_cast<std::size_t>(count));
  if (std::fread(x.data(), sizeof(float), x.size(), stdin) != x.size()) return 2;
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  const Ort::Value input = Ort::Value::CreateTensor<float>(memory, x.data(), x.size(), shape.data(), shape.size());
  const char* input_names[] = {input_name.get()};
  const char* output_names[] = {output_name.get()};
  const std::vector<Ort::Value> outputs = session.Run(Ort::RunOptions(), input_names, &input, 1, output_names, 1);

  const std::size_t produced = outputs[0].GetTensorTypeAndShapeInfo().GetElementCount();
  return std::fwrite(outputs[0].GetTensorData<float>(), sizeof(float), produced, stdout) == produced ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return 2;
  try {
    return run(argv[1], argv[2], argc == 4);
  } catch (const Ort::Exception& error) {
    std::cerr << error.what() << '\n';  // a damaged payload is named here
    return 1;
  }
}
