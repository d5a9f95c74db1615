# Programs that the checks in scripts/ run: the oracle of the cut, the same program with one planted bug each
# (runtime/mutant.hpp; scripts/check_bank expects those to fail), and what scripts/check_corrupt needs.
if(NOT RK_SANITIZE AND NOT RK_CUDA)
  set(rk_bank "${CMAKE_CURRENT_SOURCE_DIR}/examples/bank")
  add_library(bank_oracle_objects OBJECT
    "${CMAKE_CURRENT_SOURCE_DIR}/tests/oracle/bank_oracle.cpp" "${rk_bank}/audit.cpp")
  target_link_libraries(bank_oracle_objects PUBLIC ringkernel)
  rk_flags(bank_oracle_objects)

  function(rk_bank_oracle name mutant)
    add_executable(${name} "${rk_bank}/simulation.cpp" ${ARGN})
    target_link_libraries(${name} PRIVATE bank_oracle_objects ringkernel nlohmann_json::nlohmann_json
      ringkernel_deps::xxhash)
    target_compile_definitions(${name} PRIVATE RK_MUTANT=${mutant})
    rk_flags(${name})
  endfunction()

  rk_bank_oracle(bank_oracle 0)
  rk_bank_oracle(bank_oracle_mutant_1 1)
  rk_bank_oracle(bank_oracle_mutant_2 2)
  # The lane lock is taken in the library; an object of the program comes before the archive's.
  rk_bank_oracle(bank_oracle_mutant_3 3 "${CMAKE_CURRENT_SOURCE_DIR}/runtime/src/runtime.cpp")

  # What increments write and restore to; mutants live in device code, so they are this program's.
  foreach(mutant 0 5 6)
    set(name increment_oracle)
    if(mutant)
      string(APPEND name "_mutant_${mutant}")
    endif()
    add_executable(${name} "${CMAKE_CURRENT_SOURCE_DIR}/tests/oracle/increment_oracle.cpp")
    target_link_libraries(${name} PRIVATE ringkernel)
    target_compile_definitions(${name} PRIVATE RK_MUTANT=${mutant})
    rk_flags(${name})
  endforeach()

  # Cyclic traffic through queues of a few slots.
  foreach(mutant 0 7 8)
    set(name flow_oracle)
    if(mutant)
      string(APPEND name "_mutant_${mutant}")
    endif()
    add_executable(${name} "${CMAKE_CURRENT_SOURCE_DIR}/tests/oracle/flow_oracle.cpp")
    target_link_libraries(${name} PRIVATE ringkernel)
    target_compile_definitions(${name} PRIVATE RK_MUTANT=${mutant})
    rk_flags(${name})
  endforeach()

  # Actors that change their workers under traffic.
  foreach(mutant 0 9 10 11)
    set(name move_oracle)
    if(mutant)
      string(APPEND name "_mutant_${mutant}")
    endif()
    add_executable(${name} "${CMAKE_CURRENT_SOURCE_DIR}/tests/oracle/move_oracle.cpp")
    target_link_libraries(${name} PRIVATE ringkernel)
    target_compile_definitions(${name} PRIVATE RK_MUTANT=${mutant})
    rk_flags(${name})
  endforeach()
endif()

# Damages a checkpoint in every way a bit or a length can be wrong; for scripts/check_corrupt.
if(NOT RK_CUDA)
  add_executable(flip_bits "${CMAKE_CURRENT_SOURCE_DIR}/tests/oracle/flip_bits.cpp")
  target_link_libraries(flip_bits PRIVATE ringkernel)
  rk_flags(flip_bits)
endif()

# One program in several versions of its state; for scripts/check_migration and the end-to-end tests.
if(NOT RK_CUDA)
  add_executable(layout_versions "${CMAKE_CURRENT_SOURCE_DIR}/tests/oracle/layout_versions.cpp")
  target_link_libraries(layout_versions PRIVATE ringkernel)
  rk_flags(layout_versions)
endif()
