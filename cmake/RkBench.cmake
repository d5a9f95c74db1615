# One program per file of bench/. A peer to compare with lives in the same program.
# The CUDA build takes the .cu files only; the others are the host preset's.
if(RK_CUDA)
  file(GLOB rk_bench_sources CONFIGURE_DEPENDS bench/*.cu)
else()
  file(GLOB rk_bench_sources CONFIGURE_DEPENDS bench/*.cpp)
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
