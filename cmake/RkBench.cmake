# One program per file of bench/. A peer to compare with lives in the same program.
function(rk_bench name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE
    ringkernel benchmark::benchmark benchmark::benchmark_main Boost::headers
    nlohmann_json::nlohmann_json ringkernel_deps::xxhash ringkernel_deps::isal)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
  rk_flags(${name})
endfunction()

# The CUDA build takes device_bench only; the others are the host preset's.
if(RK_CUDA)
  # One file per program of actors: each takes minutes to compile.
  file(GLOB sources CONFIGURE_DEPENDS bench/device/*.cu)
  rk_bench(device_bench ${sources})
else()
  file(GLOB sources CONFIGURE_DEPENDS bench/*.cpp)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    rk_bench(${name} "${source}")
  endforeach()
endif()
