set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR AMD64)
set(SPARSEBOOK_TARGET x86_64-windows-gnu)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)

# ctest runs what was built with it. Debian's wine64 has its program outside of PATH.
find_program(SPARSEBOOK_WINE NAMES wine64 PATHS /usr/lib/wine)
if(SPARSEBOOK_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${SPARSEBOOK_WINE})
endif()
