# rk = tools/ + the examples. Their objects (all but tools/main.cpp and CUDA's) are shared with the tests and with a CUDA
# build that names this one as its RK_HOST_BUILD.
# A main.cpp inside an example folder is a program of its own: example_<folder>.
file(GLOB rk_app_sources CONFIGURE_DEPENDS tools/*.cpp examples/*/*.cpp)
file(GLOB rk_example_mains CONFIGURE_DEPENDS examples/*/main.cpp)
set(rk_tool_main "${CMAKE_CURRENT_SOURCE_DIR}/tools/main.cpp")
list(REMOVE_ITEM rk_app_sources "${rk_tool_main}" ${rk_example_mains})
if(rk_app_sources AND NOT RK_HOST_BUILD)
  add_library(rk_app OBJECT ${rk_app_sources})
  target_link_libraries(rk_app PUBLIC
    ringkernel nlohmann_json::nlohmann_json CLI11::CLI11 PNG::PNG Boost::headers
    ringkernel_deps::sndfile ringkernel_deps::samplerate ringkernel_deps::xxhash)
  target_compile_definitions(rk_app PUBLIC RK_VERSION="${PROJECT_VERSION}")
  target_link_libraries(rk_app PUBLIC ${CMAKE_DL_LIBS})
  # Not in sanitizer builds: CAF is built without them.
  if(RK_caf_INCLUDE AND RK_caf_LIBRARY AND NOT RK_SANITIZE)
    set_source_files_properties(tools/bench_caf.cpp PROPERTIES COMPILE_DEFINITIONS RK_HAVE_CAF=1)
    target_include_directories(rk_app SYSTEM PRIVATE "${RK_caf_INCLUDE}")
    target_link_libraries(rk_app PUBLIC "${RK_caf_LIBRARY}")
  endif()
  rk_flags(rk_app)
  # GCC 12 turns the stencil's rows into vector code only above -O2; the bits stay the same (no fast-math).
  set_source_files_properties(examples/acoustics/command.cpp PROPERTIES COMPILE_OPTIONS -O3)
  export(TARGETS ringkernel rk_app FILE "${CMAKE_CURRENT_BINARY_DIR}/RkHostTargets.cmake")
endif()

if(EXISTS "${rk_tool_main}")
  set(rk_cuda_sources "")
  if(RK_CUDA)
    file(GLOB rk_cuda_sources CONFIGURE_DEPENDS tools/*.cu examples/*/*.cu)
  endif()
  add_executable(rk "${rk_tool_main}" ${rk_cuda_sources})
  target_link_libraries(rk PRIVATE ringkernel)
  if(TARGET rk_app)
    target_link_libraries(rk PRIVATE rk_app)
  endif()
  set_target_properties(rk PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
  rk_flags(rk)
endif()

foreach(main IN LISTS rk_example_mains)
  cmake_path(GET main PARENT_PATH folder)
  cmake_path(GET folder FILENAME name)
  add_executable(example_${name} "${main}")
  target_link_libraries(example_${name} PRIVATE ringkernel)
  rk_flags(example_${name})
endforeach()
