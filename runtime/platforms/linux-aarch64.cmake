set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(SPARSEBOOK_TARGET aarch64-linux-gnu.2.17)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)

# ctest runs what was built with it; the folder is that of Debian's cross packages.
find_program(SPARSEBOOK_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(SPARSEBOOK_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${SPARSEBOOK_QEMU} -L /usr/aarch64-linux-gnu)
endif()
