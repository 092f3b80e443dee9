//===- Kernels.cpp - The kernels of torch's operators -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Kernels.h"

#include <atomic>

namespace fqat {

static constinit std::atomic<void (*)()> source = nullptr;

void requireKernels() {
  if (auto *registerKept = source.load())
    registerKept();
}

void setKernelSource(void (*registerKept)()) { source = registerKept; }

} // namespace fqat
