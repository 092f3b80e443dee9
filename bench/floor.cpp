//===- floor.cpp - Loads a TorchScript file and saves it -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What anyone pays who reads a model with libtorch and writes it: the floor
// that fqat-opt is measured against.
//
//===----------------------------------------------------------------------===//

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cstdio>
#include <exception>

int main(int argc, char **argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s INPUT.pt OUTPUT.pt\n", argv[0]);
    return 2;
  }
  try {
    torch::jit::load(argv[1]).save(argv[2]);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s: %s\n", argv[1], error.what());
    return 2;
  }
  return 0;
}
