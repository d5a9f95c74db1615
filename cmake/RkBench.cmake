# One program per file of bench/. A peer to compare with lives in the same program.
file(GLOB rk_bench_sources CONFIGURE_DEPENDS bench/*.cpp)
if(RK_CUDA)
  file(GLOB rk_bench_cuda CONFIGURE_DEPENDS bench/*.cu)
  list(APPEND rk_bench_sources ${rk_bench_cuda})
endif()
foreach(source IN LISTS rk_bench_sources)
  cmake_path(GET source STEM name)
  add_executable(${name} "${source}")
  target_link_libraries(${name} PRIVATE
    ringkernel benchmark::benchmark benchmark::benchmark_main Boost::headers
    nlohmann_json::nlohmann_json ringkernel_deps::xxhash ringkernel_deps::isal)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
  rk_flags(${name})
endforeach()
