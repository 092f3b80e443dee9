# Where an installation puts the programs, and the libraries that only they use.
# A wheel puts both into the Python package. The latter's folder must be called
# lib: LLVM's library looks for what it needs in ../lib.
set(FQAT_INSTALL_BINDIR bin CACHE STRING "Folder of the programs")
set(FQAT_INSTALL_LIBDIR lib/fqat/lib CACHE STRING
    "Folder of the libraries that the programs bring along")

# fqat_install_tools(TARGETS...): the programs with libtorch, LLVM and whatever
# else they need, but for what every Linux system has.
function(fqat_install_tools)
  file(RELATIVE_PATH libraries "/${FQAT_INSTALL_BINDIR}" "/${FQAT_INSTALL_LIBDIR}")
  set_target_properties(${ARGN} PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries}")
  foreach(target IN LISTS ARGN)
    # An RPATH, unlike a RUNPATH, holds for the libraries' own needs too, and
    # comes before LD_LIBRARY_PATH: another torch on it does no harm.
    target_link_options(${target} PRIVATE LINKER:--disable-new-dtags)
  endforeach()
  install(TARGETS ${ARGN}
    RUNTIME_DEPENDENCY_SET fqat-libraries
    RUNTIME DESTINATION ${FQAT_INSTALL_BINDIR})
  install(RUNTIME_DEPENDENCY_SET fqat-libraries
    PRE_EXCLUDE_REGEXES "^ld-linux" "^libc\\.so" "^libm\\.so" "^libdl\\.so"
                        "^librt\\.so" "^libpthread\\.so" "^libstdc\\+\\+\\.so"
                        "^libgcc_s\\.so"
    LIBRARY DESTINATION ${FQAT_INSTALL_LIBDIR})
endfunction()
