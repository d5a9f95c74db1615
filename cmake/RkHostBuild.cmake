# ringkernel and rk_app from another build: they are the same with CUDA and without. RkTools writes the file.
if(NOT EXISTS "${RK_HOST_BUILD}/RkHostTargets.cmake")
  message(FATAL_ERROR "RK_HOST_BUILD: no host build in ${RK_HOST_BUILD}; `make cuda` builds both")
endif()
include("${RK_HOST_BUILD}/RkHostTargets.cmake")
# Imported headers count as system headers, whose warnings nobody sees; these are ours.
set_target_properties(ringkernel rk_app PROPERTIES SYSTEM OFF)
