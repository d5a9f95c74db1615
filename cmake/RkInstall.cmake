# include/ringkernel/<room>/*.hpp|*.cuh, the library, rk, and a package for find_package(ringkernel).
if(TARGET rk)
  install(TARGETS rk)
endif()
if(RK_HOST_BUILD)
  # The rest is installed from there.
  return()
endif()
include(CMakePackageConfigHelpers)
foreach(room hlc runtime kernels checkpoint)
  install(DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}/${room}/"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ringkernel/${room}"
    FILES_MATCHING PATTERN "*.hpp" PATTERN "*.cuh" PATTERN "src" EXCLUDE)
endforeach()
install(TARGETS ringkernel exact_math EXPORT ringkernelTargets)
set(RK_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/ringkernel")
install(EXPORT ringkernelTargets NAMESPACE ringkernel:: DESTINATION "${RK_PACKAGE_DIR}")
configure_package_config_file(cmake/ringkernelConfig.cmake.in
  "${CMAKE_CURRENT_BINARY_DIR}/ringkernelConfig.cmake" INSTALL_DESTINATION "${RK_PACKAGE_DIR}")
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/ringkernelConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${CMAKE_CURRENT_BINARY_DIR}/ringkernelConfig.cmake"
  "${CMAKE_CURRENT_BINARY_DIR}/ringkernelConfigVersion.cmake"
  "${CMAKE_CURRENT_SOURCE_DIR}/cmake/RkFindPlain.cmake"
  "${CMAKE_CURRENT_SOURCE_DIR}/cmake/RkCudaStandard.cmake"
  DESTINATION "${RK_PACKAGE_DIR}")
