# One GoogleTest program per folder of tests/: test_<room>. Every test has a time limit.
include(GoogleTest)
# The end of a test that hangs, not a claim about speed: groups of threads crawl on cores that others use.
set(RK_TEST_TIMEOUT_S 300)
if(RK_SANITIZE)
  set(RK_TEST_TIMEOUT_S 600)
endif()

function(rk_test_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE
    ringkernel GTest::gtest_main rapidcheck nlohmann_json::nlohmann_json Boost::headers
    ringkernel_deps::xxhash ringkernel_deps::isal)
  target_compile_definitions(${name} PRIVATE
    RK_TEST_DATA_DIR="${CMAKE_CURRENT_SOURCE_DIR}/tests/data"
    RK_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}")
  rk_flags(${name})
  # Tests are compiled for every change and are about what happens, not how fast.
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
endfunction()

# The CUDA build leaves the rooms' tests to the host preset: they would be compiled twice for nothing.
set(rk_test_rooms hlc runtime kernels checkpoint examples system)
if(RK_CUDA)
  set(rk_test_rooms "")
endif()
foreach(room IN LISTS rk_test_rooms)
  file(GLOB sources CONFIGURE_DEPENDS tests/${room}/*.cpp)
  if(NOT sources)
    continue()
  endif()
  rk_test_program(test_${room} ${sources})
  if(room MATCHES "^(examples|system)$")
    if(TARGET rk_app)
      target_link_libraries(test_${room} PRIVATE rk_app)
    endif()
    if(TARGET rk)
      add_dependencies(test_${room} rk)
      target_compile_definitions(test_${room} PRIVATE RK_TOOL="$<TARGET_FILE:rk>")
    endif()
  endif()
  gtest_discover_tests(test_${room} TEST_PREFIX ${room}. DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${RK_TEST_TIMEOUT_S})
endforeach()

if(RK_CUDA)
  file(GLOB sources CONFIGURE_DEPENDS tests/cuda/*.cu tests/cuda/*.cpp)
  if(sources)
    rk_test_program(test_cuda ${sources})
    gtest_discover_tests(test_cuda TEST_PREFIX cuda. DISCOVERY_MODE PRE_TEST
      DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${RK_TEST_TIMEOUT_S})
  endif()
endif()

include("${CMAKE_CURRENT_SOURCE_DIR}/tests/schedule/schedule.cmake")

# What scripts/test_s3 runs against real servers; no test of ctest's.
if(NOT RK_CUDA)
  add_executable(s3_driver tests/s3/driver.cpp)
  target_link_libraries(s3_driver PRIVATE ringkernel)
  rk_flags(s3_driver)
endif()

# Source rules; each script can be told to prove that it catches a planted violation.
if(NOT RK_SANITIZE AND NOT RK_CUDA)
  foreach(script layering)
    add_test(NAME source.${script}
      COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/tests/${script}.py"
              "${CMAKE_CURRENT_SOURCE_DIR}")
    add_test(NAME source.${script}_self_test
      COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/tests/${script}.py" --self-test)
    set_tests_properties(source.${script} source.${script}_self_test PROPERTIES TIMEOUT 60)
  endforeach()
endif()

# The protocols' models, small instances: about two minutes with Spin; scripts/bootstrap installs it.
find_program(RK_SPIN spin)
if(RK_SPIN AND NOT RK_SANITIZE AND NOT RK_CUDA)
  add_test(NAME source.models
    COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/scripts/check_models")
  set_tests_properties(source.models PROPERTIES TIMEOUT 600 PROCESSORS 2)
endif()

if(RK_E2E)
  file(GLOB scripts CONFIGURE_DEPENDS tests/e2e/*.sh tests/e2e/*.py)
  foreach(script IN LISTS scripts)
    cmake_path(GET script STEM name)
    if(script MATCHES "\\.py$")
      add_test(NAME e2e.${name} COMMAND Python3::Interpreter "${script}")
    else()
      add_test(NAME e2e.${name} COMMAND bash "${script}")
    endif()
    set_tests_properties(e2e.${name} PROPERTIES TIMEOUT 300 ENVIRONMENT
      "RK=${CMAKE_BINARY_DIR}/rk;RK_SOURCE=${CMAKE_CURRENT_SOURCE_DIR};RK_BUILD=${CMAKE_BINARY_DIR}")
  endforeach()
endif()

# Programs with a planted bug, each of which a check must report.
include("${CMAKE_CURRENT_SOURCE_DIR}/tests/mutants.cmake" OPTIONAL)
