# Third-party libraries. The ones the library itself links are also looked up by the installed package.
find_package(Threads REQUIRED)
find_package(Boost 1.74 REQUIRED)
find_package(nlohmann_json REQUIRED)
include(RkFindPlain)
rk_find_plain(xxhash HEADER xxhash.h LIBRARY xxhash)
rk_find_plain(isal HEADER isa-l.h LIBRARY isal)

if(RK_TOOLS)
  find_package(CLI11 REQUIRED)
  find_package(PNG REQUIRED)
  rk_find_plain(sndfile HEADER sndfile.h LIBRARY sndfile)
  rk_find_plain(samplerate HEADER samplerate.h LIBRARY samplerate)
endif()
if(RK_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()
if(RK_BENCH)
  find_package(benchmark REQUIRED)
endif()

# These packages ask for C++11 as a compile feature, which makes CMake 3.25 append -std=c++17 to nvcc's flags
# after our -std=c++20. Every target here is C++20 already.
if(RK_CUDA)
  foreach(target GTest::gtest GTest::gtest_main GTest::gmock GTest::gmock_main
          nlohmann_json::nlohmann_json CLI11::CLI11)
    if(TARGET ${target})
      set_property(TARGET ${target} PROPERTY INTERFACE_COMPILE_FEATURES "")
    endif()
  endforeach()
endif()
