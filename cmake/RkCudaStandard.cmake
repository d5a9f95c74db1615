# ringkernel_cuda_cxx20(): after enable_language(CUDA) with -std=c++20 in CMAKE_CUDA_FLAGS. CMake before 3.26
# appends the newest standard it knows for this compiler, -std=c++17, after that flag, and the last one wins.
macro(ringkernel_cuda_cxx20)
  if(CMAKE_VERSION VERSION_LESS 3.26)
    set(CMAKE_CUDA17_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA17_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
endmacro()
