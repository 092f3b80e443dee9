//===- Kernels.h - The kernels of torch's operators -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A third of the time in which a small model is fixed went to the registration
// of 15,000 kernels when libtorch was loaded. Import, proof and export run a
// handful of operators only: a program can keep the kernels of the others back
// until one is to be run.
//
//===----------------------------------------------------------------------===//

#ifndef FQAT_TORCHSCRIPT_KERNELS_H
#define FQAT_TORCHSCRIPT_KERNELS_H

namespace fqat {

/// Registers what the program has kept back. To be called before torch's
/// operators are run, or code that may run them is loaded; from any thread, as
/// often as one likes. Does nothing in a program that keeps nothing back.
void requireKernels();

/// Sets what `requireKernels` calls. For the program that keeps kernels back,
/// which may do so before any constructor has run.
void setKernelSource(void (*registerKept)());

} // namespace fqat

#endif // FQAT_TORCHSCRIPT_KERNELS_H
