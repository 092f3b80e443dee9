# What `cmake --install` puts where, in four components: Programs (a wheel has
# these alone), Manual, Library (the C interface), Development.
include(GNUInstallDirs)

# A wheel puts the programs, and the libraries that only we use, into the Python
# package.
set(FQAT_INSTALL_BINDIR ${CMAKE_INSTALL_BINDIR} CACHE STRING
    "Folder of the programs")
set(FQAT_INSTALL_LIBDIR lib/fqat CACHE STRING
    "Folder of the libraries that the programs bring along")
set(FQAT_INSTALL_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/FQAT)

# fqat_set_install_rpath(TARGET FOLDER): finds the libraries brought along from
# where the target will be. An RPATH, unlike a RUNPATH, holds for the libraries'
# own needs too, and comes before LD_LIBRARY_PATH: another torch on it does no
# harm.
function(fqat_set_install_rpath target folder)
  file(RELATIVE_PATH libraries "/${folder}" "/${FQAT_INSTALL_LIBDIR}")
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries}")
  target_link_options(${target} PRIVATE LINKER:--disable-new-dtags)
endfunction()

# fqat_install_tools(TARGETS...): the programs with libtorch and whatever else
# they need, but for what every Linux system has.
function(fqat_install_tools)
  foreach(target IN LISTS ARGN)
    fqat_set_install_rpath(${target} ${FQAT_INSTALL_BINDIR})
  endforeach()
  install(TARGETS ${ARGN}
    RUNTIME_DEPENDENCY_SET fqat-libraries
    RUNTIME DESTINATION ${FQAT_INSTALL_BINDIR} COMPONENT Programs)
  install(RUNTIME_DEPENDENCY_SET fqat-libraries
    PRE_EXCLUDE_REGEXES "^ld-linux" "^libc\\.so" "^libm\\.so" "^libdl\\.so"
                        "^librt\\.so" "^libpthread\\.so" "^libstdc\\+\\+\\.so"
                        "^libgcc_s\\.so"
    LIBRARY DESTINATION ${FQAT_INSTALL_LIBDIR} COMPONENT Programs)
  # Ours, and that of the libraries brought along.
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE RENAME copyright
    DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT Manual)
  file(GLOB licences ${TORCH_INSTALL_PREFIX}/../torch-*.dist-info/licenses)
  install(DIRECTORY ${licences}/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/libtorch
    COMPONENT Manual)
endfunction()

# fqat_install_library(TARGET EXPORT): a static library for programs that find
# this package, as FQAT::IR for FQATIR.
function(fqat_install_library target export)
  string(REGEX REPLACE "^FQAT" "" name ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(${target} INTERFACE
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS ${target} EXPORT ${export}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT Development)
endfunction()

# fqat_install_development(): headers, TableGen files and the CMake package.
function(fqat_install_development)
  foreach(folder include/fqat dialect/fqat)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}
      DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT Development
      FILES_MATCHING PATTERN *.h PATTERN *.td)
  endforeach()
  install(DIRECTORY ${PROJECT_BINARY_DIR}/include/fqat
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT Development
    FILES_MATCHING PATTERN *.inc PATTERN CMakeFiles EXCLUDE)

  include(CMakePackageConfigHelpers)
  set(config ${PROJECT_BINARY_DIR}/FQATConfig.cmake)
  configure_package_config_file(cmake/FQATConfig.cmake.in ${config}
    INSTALL_DESTINATION ${FQAT_INSTALL_CMAKEDIR})
  # Of the C++ interface nothing is promised from one minor version to the next.
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/FQATConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${config} ${PROJECT_BINARY_DIR}/FQATConfigVersion.cmake
    DESTINATION ${FQAT_INSTALL_CMAKEDIR} COMPONENT Development)
  install(EXPORT FQATTargets NAMESPACE FQAT::
    DESTINATION ${FQAT_INSTALL_CMAKEDIR} COMPONENT Development)
  if(FQAT_ENABLE_TORCH)
    foreach(export FQATTorchTargets FQATCTargets)
      install(EXPORT ${export} NAMESPACE FQAT::
        DESTINATION ${FQAT_INSTALL_CMAKEDIR} COMPONENT Development)
    endforeach()
  endif()
endfunction()
