// Marks the library's doors, which alone are seen from outside.
#pragma once

#if defined(_WIN32)
#define SPARSEBOOK_EXPORT extern "C" __declspec(dllexport)
#else
#define SPARSEBOOK_EXPORT extern "C" __attribute__((visibility("default")))
#endif
