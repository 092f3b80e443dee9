//===- TextFuzzer.cpp - A model as .mlir, from parser to output -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Run.h"

using namespace fqat;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static InputFile file(".mlir");
  file.set({reinterpret_cast<const char *>(bytes), size});
  runProgram(file);
  return 0;
}
