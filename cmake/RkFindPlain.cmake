# rk_find_plain(name HEADER h LIBRARY l): an imported target ringkernel_deps::<name> for a library without a
# CMake package of its own. Included by the installed package too.
function(rk_find_plain name)
  cmake_parse_arguments(arg "" "HEADER;LIBRARY" "" ${ARGN})
  if(TARGET ringkernel_deps::${name})
    return()
  endif()
  find_path(RK_${name}_INCLUDE ${arg_HEADER})
  find_library(RK_${name}_LIBRARY ${arg_LIBRARY})
  mark_as_advanced(RK_${name}_INCLUDE RK_${name}_LIBRARY)
  if(NOT RK_${name}_INCLUDE OR NOT RK_${name}_LIBRARY)
    message(FATAL_ERROR "ringkernel needs ${name} (${arg_HEADER}); scripts/bootstrap installs it")
  endif()
  add_library(ringkernel_deps::${name} INTERFACE IMPORTED GLOBAL)
  set_target_properties(ringkernel_deps::${name} PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${RK_${name}_INCLUDE}"
    INTERFACE_LINK_LIBRARIES "${RK_${name}_LIBRARY}")
endfunction()
