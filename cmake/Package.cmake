# `cpack` makes two Debian packages: fqat-opt, which needs nothing but the C and
# C++ libraries, and libfqat-dev for people who embed.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME fqat-opt)
set(CPACK_PACKAGE_CONTACT "The fqat-opt authors <fqat-opt@localhost>")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 0)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME fqat-opt)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION
    "Makes PyTorch models obey the rules of a fixed-point training kit")
# The libraries brought along are found by the tools' RPATH; what those need in
# turn is what GCC's runtime and the C library have.
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS
    "libc6 (>= 2.36), libstdc++6 (>= 12), libgcc-s1")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libfqat-dev)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Headers and libraries of fqat-opt")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "fqat-opt (= ${PROJECT_VERSION}), libmlir-${LLVM_VERSION_MAJOR}-dev, libcli11-dev, zlib1g-dev")

include(CPack)
cpack_add_component_group(runtime)
cpack_add_component_group(development)
cpack_add_component(Programs GROUP runtime)
cpack_add_component(Library GROUP runtime)
cpack_add_component(Manual GROUP runtime)
cpack_add_component(Development GROUP development)
