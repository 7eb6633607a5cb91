# Cross-builds with Zig's clang, which brings the C and C++ libraries of every platform along; it is looked for in PATH.
# Included by the toolchain file of each platform, which sets
#   SPARSEBOOK_TARGET       what Zig calls the platform, with the oldest version of its system that the library runs on
#   CMAKE_SYSTEM_NAME, CMAKE_SYSTEM_PROCESSOR
find_program(SPARSEBOOK_ZIG zig REQUIRED)

# Zig compiles its C++ library once for each set of these options, minutes each time. So CMake's own trials and everything that is
# linked have the same ones. The library's debugging information is ten times the size of ours: -s leaves it out.
set(CMAKE_CXX_COMPILER ${SPARSEBOOK_ZIG} c++ -target ${SPARSEBOOK_TARGET} -O3 -s)

# CMake calls these by one name without arguments, so each gets one.
foreach(tool ar ranlib)
  string(TOUPPER ${tool} variable)
  set(CMAKE_${variable} ${CMAKE_BINARY_DIR}/zig-${tool})
  if(NOT EXISTS ${CMAKE_${variable}})
    file(WRITE ${CMAKE_${variable}} "#!/bin/sh\nexec '${SPARSEBOOK_ZIG}' ${tool} \"$@\"\n")
    file(CHMOD ${CMAKE_${variable}} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  endif()
endforeach()

# What is installed on this machine is not for that one.
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE NEVER)
