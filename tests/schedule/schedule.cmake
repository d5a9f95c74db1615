# Programs whose every atomic access is a step of the deterministic scheduler. RK_SCHEDULE_POINTS changes inline
# functions of runtime/atomic.hpp and runtime/wait.hpp, so these programs compile the few library sources they need
# themselves and never link the library: no object in them was compiled without the macro. (GoogleTest includes none of
# our headers.) Planted bugs lie in the headers that the tests include, so what is not a test is compiled once.
# Sanitizers do not follow the fibers' stacks.
if(NOT RK_SANITIZE AND NOT RK_CUDA)
  set(rk_schedule_root "${CMAKE_CURRENT_SOURCE_DIR}")
  function(rk_schedule_target name)
    target_include_directories(${name} PRIVATE "${RK_INCLUDE_DIR}")
    target_compile_definitions(${name} PRIVATE RK_SCHEDULE_POINTS)
    rk_flags(${name})
  endfunction()

  add_library(schedule_objects OBJECT
    "${rk_schedule_root}/tests/schedule/scheduler.cpp"
    "${rk_schedule_root}/runtime/src/system_image.cpp"
    "${rk_schedule_root}/runtime/src/host_lane.cpp"
    "${rk_schedule_root}/runtime/src/move_leader.cpp"
    "${rk_schedule_root}/checkpoint/src/cut_ledger.cpp")
  rk_schedule_target(schedule_objects)

  function(rk_schedule_program name)
    add_executable(${name} ${ARGN})
    target_link_libraries(${name} PRIVATE schedule_objects GTest::gtest_main)
    rk_schedule_target(${name})
  endfunction()

  set(cut "${rk_schedule_root}/tests/schedule/cut_schedule_test.cpp")
  set(moves "${rk_schedule_root}/tests/schedule/move_schedule_test.cpp")
  rk_schedule_program(test_schedule "${rk_schedule_root}/tests/schedule/ring_schedule_test.cpp" "${cut}" "${moves}")
  set(programs test_schedule)
  foreach(mutant 1 2 9 10 11 12 13 14 15)
    set(program test_schedule_mutant_${mutant})
    if(mutant MATCHES "^(9|10|11)$")
      rk_schedule_program(${program} "${moves}")
    else()
      rk_schedule_program(${program} "${cut}")
    endif()
    target_compile_definitions(${program} PRIVATE RK_MUTANT=${mutant})
    list(APPEND programs ${program})
  endforeach()
  foreach(program ${programs})
    string(REPLACE test_ "" prefix ${program})
    gtest_discover_tests(${program} TEST_PREFIX ${prefix}. DISCOVERY_MODE PRE_TEST
      DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${RK_TEST_TIMEOUT_S})
  endforeach()
endif()
