# Compiler settings shared by every target of this build. Nothing here is exported to consumers.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# No NDEBUG: broken invariants must not reach a checkpoint, in any build type.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

if(PROJECT_IS_TOP_LEVEL)
  find_program(RK_CCACHE ccache)
  if(RK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${RK_CCACHE}")
  endif()
endif()

# Designated initializers leave members out on purpose.
set(RK_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wno-missing-field-initializers)
if(PROJECT_IS_TOP_LEVEL)
  list(APPEND RK_WARNINGS -Werror)
endif()

if(RK_SANITIZE STREQUAL "address")
  # With the checks in between g++ 12 takes a boost::optional for uninitialized; the plain build keeps the warning.
  set(RK_SANITIZE_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)
elseif(RK_SANITIZE STREQUAL "thread")
  set(RK_SANITIZE_FLAGS -fsanitize=thread -fno-omit-frame-pointer)
elseif(NOT RK_SANITIZE STREQUAL "")
  message(FATAL_ERROR "RK_SANITIZE must be empty, 'address' or 'thread', not '${RK_SANITIZE}'")
endif()

# The standard is a plain flag because CMake 3.25 applies CXX_STANDARD to CUDA sources too and then finds
# no C++20 for nvcc. Results must agree bit for bit between executors and machines, so a*b+c is never contracted.
function(rk_flags target)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-std=c++20;${RK_WARNINGS};-ffp-contract=off;${RK_SANITIZE_FLAGS}>)
  target_link_options(${target} PRIVATE ${RK_SANITIZE_FLAGS})
endfunction()
