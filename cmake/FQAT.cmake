# How the project's libraries and tools are made.

# GCC 12 reports copies in std::string that cannot happen (GCC bug 105651), and
# dangling pointers where an optional is taken apart.
set(FQAT_WARNINGS -Wall -Wextra -Wno-unused-parameter)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND FQAT_WARNINGS -Wno-restrict -Wno-stringop-overflow
       -Wno-dangling-pointer)
else()
  # GCC 12's library calls what it has deprecated itself, in std::stable_sort.
  list(APPEND FQAT_WARNINGS -Wno-deprecated-declarations)
endif()
if(FQAT_WERROR)
  list(APPEND FQAT_WARNINGS -Werror)
endif()

# LLVM and MLIR come from static libraries: of LLVM's one shared library, which
# Debian's MLIR names, a program needs a twentieth, and to load it takes a tenth
# of a small model's time. The two kinds must never meet in one program: who
# builds on our libraries gets LLVM the way that MLIR's own package names it.
# (MLIR's remarks and language server need two parts more of LLVM.)
if(LLVM_LINK_LLVM_DYLIB)
  foreach(target IN LISTS MLIR_EXPORTED_TARGETS)
    get_target_property(libraries ${target} INTERFACE_LINK_LIBRARIES)
    if(libraries)
      list(TRANSFORM libraries REPLACE "^LLVM$" "LLVMSupportLSP;LLVMRemarks;LLVMSupport")
      set_target_properties(${target} PROPERTIES
        INTERFACE_LINK_LIBRARIES "${libraries}")
    endif()
  endforeach()
  set(FQAT_LLVM $<BUILD_INTERFACE:LLVMSupport> $<INSTALL_INTERFACE:LLVM>)
else()
  set(FQAT_LLVM LLVMSupport)
endif()

# fqat_add_library(NAME SOURCES... [EXPORT NAME] [DEPENDS ...] LINK_LIBS ...)
# A static library, of the core unless it is exported elsewhere.
function(fqat_add_library name)
  cmake_parse_arguments(ARG "" "EXPORT" "DEPENDS;LINK_LIBS" ${ARGN})
  if(NOT ARG_EXPORT)
    set(ARG_EXPORT FQATTargets)
  endif()
  add_library(${name} STATIC ${ARG_UNPARSED_ARGUMENTS})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
  target_compile_options(${name} PRIVATE ${FQAT_WARNINGS})
  target_link_libraries(${name} PUBLIC ${ARG_LINK_LIBS})
  fqat_install_library(${name} ${ARG_EXPORT})
endfunction()

# fqat_add_tool(NAME SOURCES... LINK_LIBS ...)
function(fqat_add_tool name)
  cmake_parse_arguments(ARG "" "" "LINK_LIBS" ${ARGN})
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_compile_options(${name} PRIVATE ${FQAT_WARNINGS})
  target_link_libraries(${name} PRIVATE ${ARG_LINK_LIBS} LLVMSupport)
endfunction()
