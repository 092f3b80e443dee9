# libtorch, and what the targets that see it need.

find_package(Torch REQUIRED CONFIG)
message(STATUS "Torch: ${Torch_DIR} (${Torch_VERSION})")

# One process, one C++ ABI: LLVM's packages use the C++11 ABI.
if(TORCH_CXX_FLAGS MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
  message(FATAL_ERROR "This libtorch uses the old C++ ABI, LLVM the new one; "
                      "take torch 2.6 or later")
endif()

# fqat_use_torch(TARGET): torch's headers and library, and exceptions, which
# LLVM's flags turn off and libtorch throws.
function(fqat_use_torch target)
  target_include_directories(${target} SYSTEM PRIVATE ${TORCH_INCLUDE_DIRS})
  target_compile_options(${target} PRIVATE -fexceptions)
  target_link_libraries(${target} PUBLIC torch)
endfunction()
