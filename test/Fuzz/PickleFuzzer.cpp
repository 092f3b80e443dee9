//===- PickleFuzzer.cpp - The reader of pickles -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fqat/TorchScript/Pickle.h"

using namespace fqat;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  auto pickle = Pickle::parse({reinterpret_cast<const char *>(bytes), size});
  if (!pickle)
    llvm::consumeError(pickle.takeError());
  return 0;
}
