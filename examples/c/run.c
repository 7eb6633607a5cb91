/* Runs an artifact whose output is `operator` from C.
 *
 *   cc run.c -I INCLUDE -L LIB -lonnxruntime -o run
 *   ./run model.onnx lib/linux-x86_64/libsparsebook.so < input > output
 *
 * The model has one float input, whose free dimensions are taken as 1, and its first output is float; both are raw numbers here.
 * Paths are of ORTCHAR_T, which is wchar_t on Windows (there: cc -municode).
 */
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>

static const OrtApi* ort;

static void check(OrtStatus* status) {
  if (status == NULL) return;
  fprintf(stderr, "%s\n", ort->GetErrorMessage(status)); /* a damaged payload is named here */
  exit(1);
}

static size_t elements(const int64_t* shape, size_t rank) {
  size_t count = 1;
  for (size_t i = 0; i < rank; ++i) count *= (size_t)shape[i];
  return count;
}

static int run(const ORTCHAR_T* model, const ORTCHAR_T* library) {
  ort = OrtGetApiBase()->GetApi(16); /* ONNX Runtime 1.16, the oldest that the library runs in */
  if (ort == NULL) return 2;
  OrtEnv* env;
  OrtSessionOptions* options;
  OrtSession* session;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "run", &env));
  check(ort->CreateSessionOptions(&options));
  check(ort->RegisterCustomOpsLibrary_V2(options, library)); /* the one call that an artifact needs */
  check(ort->CreateSession(env, model, options, &session));

  OrtAllocator* allocator;
  OrtTypeInfo* type;
  const OrtTensorTypeAndShapeInfo* info;
  char *input_name, *output_name;
  size_t rank;
  int64_t shape[8];
  check(ort->GetAllocatorWithDefaultOptions(&allocator));
  check(ort->SessionGetInputName(session, 0, allocator, &input_name));
  check(ort->SessionGetOutputName(session, 0, allocator, &output_name));
  check(ort->SessionGetInputTypeInfo(session, 0, &type));
  check(ort->CastTypeInfoToTensorInfo(type, &info));
  check(ort->GetDimensionsCount(info, &rank));
  if (rank > 8) return 2;
  check(ort->GetDimensions(info, shape, rank));
  ort->ReleaseTypeInfo(type);
  for (size_t i = 0; i < rank; ++i) {
    if (shape[i] < 0) shape[i] = 1;
  }

  const size_t count = elements(shape, rank);
  float* x = calloc(count, sizeof *x);
  if (x == NULL || fread(x, sizeof *x, count, stdin) != count) return 2;
  OrtMemoryInfo* memory;
  OrtValue *input, *output = NULL;
  check(ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  check(ort->CreateTensorWithDataAsOrtValue(memory, x, count * sizeof *x, shape, rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
  check(ort->Run(session, NULL, (const char* const*)&input_name, (const OrtValue* const*)&input, 1, (const char* const*)&output_name, 1,
                 &output));

  OrtTensorTypeAndShapeInfo* result;
  size_t produced;
  float* y;
  check(ort->GetTensorTypeAndShape(output, &result));
  check(ort->GetTensorShapeElementCount(result, &produced));
  check(ort->GetTensorMutableData(output, (void**)&y));
  if (fwrite(y, sizeof *y, produced, stdout) != produced) return 1;

  ort->ReleaseTensorTypeAndShapeInfo(result);
  ort->ReleaseValue(output);
  ort->ReleaseValue(input);
  ort->ReleaseMemoryInfo(memory);
  free(x);
  check(ort->AllocatorFree(allocator, output_name));
  check(ort->AllocatorFree(allocator, input_name));
  ort->ReleaseSession(session);
  ort->ReleaseSessionOptions(options);
  ort->ReleaseEnv(env);
  return 0;
}

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>

int wmain(int argc, wchar_t** argv) {
  _setmode(_fileno(stdin), _O_BINARY);
  _setmode(_fileno(stdout), _O_BINARY);
#else
int main(int argc, char** argv) {
#endif
  return argc == 3 ? run(argv[1], argv[2]) : 2;
}
