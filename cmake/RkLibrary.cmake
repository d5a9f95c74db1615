# The library: bodies that are not templates, from every room's src/.
file(GLOB rk_library_sources CONFIGURE_DEPENDS
  hlc/src/*.cpp runtime/src/*.cpp kernels/src/*.cpp checkpoint/src/*.cpp)
if(NOT rk_library_sources)
  # A static library needs one object.
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/generated/empty.cpp" "")
  set(rk_library_sources "${CMAKE_CURRENT_BINARY_DIR}/generated/empty.cpp")
endif()
add_library(ringkernel STATIC ${rk_library_sources})
add_library(ringkernel::ringkernel ALIAS ringkernel)
target_include_directories(ringkernel PUBLIC
  $<BUILD_INTERFACE:${RK_INCLUDE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(ringkernel
  PUBLIC Threads::Threads
  PRIVATE $<BUILD_INTERFACE:Boost::headers> $<BUILD_INTERFACE:nlohmann_json::nlohmann_json>
          ringkernel_deps::xxhash ringkernel_deps::isal ringkernel_deps::lz4 ringkernel_deps::zstd
          CURL::libcurl OpenSSL::Crypto pugixml::pugixml)
rk_flags(ringkernel)

# Optional for consumers: the floating-point flags under which host and device agree bit for bit.
add_library(exact_math INTERFACE)
add_library(ringkernel::exact_math ALIAS exact_math)
target_compile_options(exact_math INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
  $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-ffp-contract=off>)
